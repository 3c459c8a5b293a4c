"""Exact symmetries of two data sets: signed permutations of the nodes that commute with the solution operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class GridSymmetries:
    """A finite group that acts on square fields by moving nodes, and perhaps changing the sign.

    Parameters
    ----------
    sources : (order, n * n) int64 tensor
        Row g: the flat index of the node whose value element g brings to each node.
    signs : (order,) tensor
        1 or -1 an element.
    size : int
        n, the nodes a side.

    Attributes
    ----------
    size : int
        Nodes a side.
    order : int
        Number of elements; element 0 is the identity.

    Raises
    ------
    ValueError
        By its methods, for fields of another size or elements out of range.

    Notes
    -----
    (g w)[x] = sign_g w[source_g(x)], and S(g a) = g S(a) for the solution operator S: a training pair is as good as
    `order` of them, and a model is made equivariant by its average over the group (`group_average`).

    Examples
    --------
    >>> group = square_symmetries(3)
    >>> field = torch.arange(9.0).reshape(1, 1, 3, 3)
    >>> turned = group.apply(5, field)
    >>> torch.equal(group.apply(group.inverse(5), turned), field)
    True
    """

    def __init__(self, sources: Tensor, signs: Tensor, size: int) -> None:
        self.size, self.order = size, len(signs)
        self._sources, self._signs = sources, signs
        # an element is known by where it sends three nodes that no other isometry sends there, and by its sign
        self._marks = (0, 1, size)
        self._names = {self._key(sources[g], float(signs[g])): g for g in range(self.order)}

    def apply(self, g: int | Tensor, fields: Tensor) -> Tensor:
        """Move fields by an element, or each sample by its own.

        Parameters
        ----------
        g : int or (B,) int64 tensor
            Element, or one a sample.
        fields : (B, ..., n, n) tensor
            Scalar fields of the samples.

        Returns
        -------
        tensor like `fields`
            The moved fields.
        """
        self._check(fields)
        chosen = torch.as_tensor(g, dtype=torch.int64).reshape(-1)
        if chosen.numel() not in (1, len(fields)):
            raise ValueError(
                f"g has {chosen.numel()} elements for {len(fields)} samples: expected one, or one a sample"
            )
        if chosen.numel() and not (0 <= int(chosen.min()) and int(chosen.max()) < self.order):
            raise ValueError(f"g = {g}: expected elements 0 to {self.order - 1}")
        index = self._sources.to(fields.device)[chosen.to(fields.device)]
        sign = self._signs.to(fields.device, fields.dtype)[chosen.to(fields.device)]
        inner = (1,) * (fields.ndim - 3)
        flat = fields.flatten(-2)
        moved = flat.gather(-1, index.reshape(-1, *inner, index.shape[1]).expand(flat.shape))
        return (sign.reshape(-1, *inner, 1) * moved).reshape(fields.shape)

    def inverse(self, g: int) -> int:
        """Return the element that undoes g."""
        return self._names[self._key(torch.argsort(self._sources[g]), float(self._signs[g]))]

    def compose(self, g: int, h: int) -> int:
        """Return the element "h, then g"."""
        return self._names[self._key(self._sources[h][self._sources[g]], float(self._signs[g] * self._signs[h]))]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw elements uniformly, (count,) int64, by a generator of the CPU."""
        return torch.randint(self.order, (count,), generator=generator)

    def _key(self, source: Tensor, sign: float) -> tuple[int, int, int, int]:
        first, second, third = (int(source[mark]) for mark in self._marks)
        return first, second, third, int(sign)

    def _check(self, fields: Tensor) -> None:
        if fields.ndim < 3 or tuple(fields.shape[-2:]) != (self.size, self.size):
            raise ValueError(
                f"the fields have shape {tuple(fields.shape)} but these symmetries act on (B, ..., {self.size}, "
                f"{self.size}): make the group for the size of the fields"
            )


def square_symmetries(size: int) -> GridSymmetries:
    """Make the eight symmetries of a square of nodes, walls included: those of Darcy flow with f = 1.

    Parameters
    ----------
    size : int
        Nodes a side, at least 2.

    Returns
    -------
    GridSymmetries
        Of order 8: transposition if g is odd, then mirrored columns if g & 2, then mirrored rows if g & 4.

    Raises
    ------
    ValueError
        If size is below 2.

    Notes
    -----
    A function of the domain's shape, boundary values and right-hand side: all three are invariant under the dihedral
    group D4, and the distribution of the coefficient is as well.

    Examples
    --------
    >>> square_symmetries(85).order
    8
    """
    if size < 2:
        raise ValueError(f"size = {size}: at least 2 nodes a side are needed")
    nodes = torch.arange(size * size).reshape(size, size)
    rows = []
    for g in range(8):
        moved = nodes.T if g & 1 else nodes
        moved = moved.flip(1) if g & 2 else moved
        rows.append((moved.flip(0) if g & 4 else moved).reshape(-1))
    return GridSymmetries(torch.stack(rows), torch.ones(8), size)


def vorticity_symmetries(size: int) -> GridSymmetries:
    """Make the symmetries of two-dimensional flow on the torus that is driven by sin + cos of 2 pi (x + y).

    Parameters
    ----------
    size : int
        Nodes a side, a multiple of 4.

    Returns
    -------
    GridSymmetries
        Of order 4 * size: 256 at 64^2.

    Raises
    ------
    ValueError
        If size is no positive multiple of 4.

    Notes
    -----
    Generated by the shifts by (k, -k) nodes; by R w(x, y) = w(1/4 - x, -y), a turn by pi, since
    f(1/4 - x, -y) = f(x, y) for f = sin 2 pi (x + y) + cos 2 pi (x + y); and by T w(x, y) = -w(y, x - 1/2), a
    reflection, which changes the sign of the vorticity, as does half a period that of f. Element number
    k + size (rotated + 2 reflected) is "reflect, turn, shift by k". Pseudo-spectral steps commute with them to
    rounding; a field with content in the Nyquist modes, whose derivative such a code must choose, to the size of that.

    Examples
    --------
    >>> vorticity_symmetries(64).order
    256
    """
    if size < 4 or size % 4:
        raise ValueError(f"size = {size}: a positive multiple of 4 is needed, for shifts by a quarter of a period")
    i, j = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    rows, signs = [], []
    for reflected in (False, True):
        for rotated in (False, True):
            for k in range(size):
                x, y = i - k, j + k
                if rotated:
                    x, y = size // 4 - x, -y
                if reflected:
                    x, y = y, x - size // 2
                rows.append(((x % size) * size + y % size).reshape(-1))
                signs.append(-1.0 if reflected else 1.0)
    return GridSymmetries(torch.stack(rows), torch.tensor(signs), size)


def group_average(
    model: Callable[[Tensor], Tensor], x: Tensor, group: GridSymmetries, elements: Iterable[int] | None = None
) -> Tensor:
    """Average a model over a group: sum over g of g^{-1} model(g x), divided by their number.

    Parameters
    ----------
    model : callable
        Maps (B, C, n, n) to (B, C', n, n), scalar fields in and out.
    x : (B, C, n, n) tensor
        Its input.
    group : GridSymmetries
        For n nodes a side.
    elements : iterable of int, optional
        Some elements instead of all; a subgroup keeps exact equivariance under itself.

    Returns
    -------
    (B, C', n, n) tensor
        The average, equivariant where `elements` are a group.

    Raises
    ------
    ValueError
        If there are no elements, or x does not fit the group.

    Examples
    --------
    >>> x = torch.randn(1, 1, 4, 4)
    >>> group = square_symmetries(4)
    >>> torch.allclose(group_average(lambda a: 2 * a, x, group), 2 * x)
    True
    """
    chosen = list(range(group.order) if elements is None else elements)
    if not chosen:
        raise ValueError("elements is empty: at least one is needed; 0 is the identity")
    total = sum(group.apply(group.inverse(g), model(group.apply(g, x))) for g in chosen)
    assert isinstance(total, Tensor)
    return total / len(chosen)
