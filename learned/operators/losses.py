"""Relative errors to train and to judge by: L2, H1, and the energy of a diffusion problem; each a mean over samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

type Spacing = float | Sequence[float]
Faces = Literal["harmonic", "geometric", "arithmetic"]


def relative_l2(p: Tensor, u: Tensor) -> Tensor:
    """Relative L2 error, the mean over the samples.

    Parameters
    ----------
    p, u : Tensor, shape (batch, channels, *spatial)
        Prediction and truth; every node counts the same, all channels count together.

    Returns
    -------
    Tensor, shape ()
        mean_i ||p_i - u_i|| / ||u_i||, at least in float32; infinite or NaN where a truth is zero.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> u = torch.ones(2, 1, 4, 4)
    >>> float(relative_l2(1.5 * u, u))
    0.5
    """
    p, u = _pair(p, u)
    return (_norm([p - u]) / _norm([u])).mean()


def relative_h1(p: Tensor, u: Tensor, spacing: Spacing, *, periodic: bool = False) -> Tensor:
    """Relative error in H1, values and first derivatives, the mean over the samples.

    Parameters
    ----------
    p, u : Tensor, shape (batch, channels, *spatial)
        Prediction and truth.
    spacing : float or sequence of float
        Distance between nodes, in all axes or in each.
    periodic : bool
        Whether the last node of an axis neighbours the first; derivatives are then exact for all resolved waves.

    Returns
    -------
    Tensor, shape ()
        mean_i ||p_i - u_i||_1 / ||u_i||_1, at least in float32.

    Raises
    ------
    ValueError
        If the shapes differ, the spacing does not fit or an axis has fewer than three nodes.

    Notes
    -----
    ||e||_1^2 = int e^2 + |grad e|^2. Not periodic: derivatives by central differences, on the walls by the one-sided
    formula of second order, integrals by the trapezoidal rule. Periodic: both sums by Parseval,
    sum (1 + |k|^2) |e_k|^2, with the derivative of the Nyquist wave (which the grid cannot hold) set to zero.

    Examples
    --------
    >>> x = torch.linspace(0, 1, 101).expand(1, 1, 101, 101)
    >>> round(float(relative_h1(1.1 * x, x, 0.01)), 5)
    0.1
    """
    p, u = _pair(p, u, smallest=3)
    steps = _steps(spacing, u.ndim - 2)
    norm = _periodic_h1 if periodic else _h1
    return (norm(p - u, steps) / norm(u, steps)).mean()


def energy(p: Tensor, u: Tensor, a: Tensor, spacing: Spacing, *, faces: Faces = "harmonic") -> Tensor:
    """Relative error in the energy norm of -div(a grad u), the mean over the samples.

    Parameters
    ----------
    p, u : Tensor, shape (batch, 1, *spatial)
        Prediction and truth on the nodes, walls included.
    a : Tensor, shape (batch, 1, *spatial)
        The coefficient on the same nodes, positive.
    spacing : float or sequence of float
        Distance between nodes, in all axes or in each.
    faces : {"harmonic", "geometric", "arithmetic"}
        Mean of the two nodes' coefficients that a face between them gets.

    Returns
    -------
    Tensor, shape ()
        mean_i sqrt(sum a |grad e_i|^2 / sum a |grad u_i|^2), at least in float32.

    Raises
    ------
    ValueError
        If the shapes differ, the spacing does not fit or `faces` is unknown.

    Notes
    -----
    The sum runs over the faces: a_f (e_j - e_i)^2 / h^2, halved for faces inside a wall, which is e^T A e with the
    five-point operator A where e vanishes on the walls. It is the norm that conjugate gradients minimise: the error of
    a first guess in it is what the solver still has to remove.

    Examples
    --------
    >>> u = torch.rand(2, 1, 9, 9)
    >>> round(float(energy(0.75 * u, u, 1 + u, 1 / 8)), 5)
    0.25
    """
    p, u = _pair(p, u, smallest=2)
    if a.shape != u.shape:
        raise ValueError(f"a has shape {tuple(a.shape)} but u {tuple(u.shape)}: both are needed on the same nodes")
    if faces not in get_args(Faces):
        raise ValueError(f"faces = {faces!r}: choose one of {', '.join(map(repr, get_args(Faces)))}")
    steps = _steps(spacing, u.ndim - 2)
    weights = [_face(a.to(u.dtype), axis, faces).sqrt() / h for axis, h in enumerate(steps, 2)]

    def norm(e: Tensor) -> Tensor:
        parts = [
            w * _half_ends(e.diff(dim=axis), but=axis) for axis, w in enumerate(weights, 2)
        ]  # the square root of each term
        return _norm(parts)

    return (norm(p - u) / norm(u)).mean()


def _pair(p: Tensor, u: Tensor, smallest: int = 1) -> tuple[Tensor, Tensor]:
    if p.shape != u.shape or u.ndim < 3:
        raise ValueError(
            f"p has shape {tuple(p.shape)} and u {tuple(u.shape)}: expected the same, (batch, channels, *spatial)"
        )
    if min(u.shape[2:]) < smallest:
        raise ValueError(f"a grid of {tuple(u.shape[2:])}: differences need at least {smallest} nodes an axis")
    dtype = torch.promote_types(torch.promote_types(p.dtype, u.dtype), torch.float32)
    return p.to(dtype), u.to(dtype)


def _steps(spacing: Spacing, axes: int) -> list[float]:
    steps = [float(spacing)] * axes if isinstance(spacing, int | float) else [float(h) for h in spacing]
    if len(steps) != axes or not all(h > 0 for h in steps):
        raise ValueError(f"spacing = {spacing}: expected a positive number, or one for each of {axes} axes")
    return steps


def _norm(parts: list[Tensor]) -> Tensor:
    """Root of the sum of squares of each sample, over all parts; its derivative at zero is zero."""
    norm: Tensor = torch.linalg.vector_norm(torch.cat([part.flatten(1) for part in parts], dim=1), dim=1)
    return norm


def _half_ends(x: Tensor, but: int | None = None) -> Tensor:
    """Weigh by the square root of the trapezoidal rule in all axes but one: its squares then sum to the integral."""
    for axis in range(2, x.ndim):
        if axis != but:
            weight = torch.ones(x.shape[axis], dtype=x.dtype, device=x.device)
            weight[0] = weight[-1] = 0.5**0.5
            x = x * weight.reshape(-1, *(1,) * (x.ndim - 1 - axis))
    return x


def _h1(e: Tensor, steps: list[float]) -> Tensor:
    axes = tuple(range(2, e.ndim))
    parts = [e, *torch.gradient(e, spacing=steps, dim=axes, edge_order=2)]
    return _norm([_half_ends(part) for part in parts])


def _periodic_h1(e: Tensor, steps: list[float]) -> Tensor:
    axes = tuple(range(2, e.ndim))
    waves = torch.fft.fftn(e, dim=axes, norm="ortho")
    weight = torch.ones(e.shape[2:], dtype=e.dtype, device=e.device)
    for axis, h in enumerate(steps):
        n = e.shape[axis + 2]
        k = 2 * torch.pi * torch.fft.fftfreq(n, d=h, dtype=e.dtype, device=e.device)
        if n % 2 == 0:
            k[n // 2] = 0.0
        weight = weight + k.square().reshape(-1, *(1,) * (len(steps) - 1 - axis))
    return _norm([waves * weight.sqrt()])


def _face(a: Tensor, axis: int, faces: Faces) -> Tensor:
    n = a.shape[axis]
    left, right = a.narrow(axis, 0, n - 1), a.narrow(axis, 1, n - 1)
    if faces == "arithmetic":
        return (left + right) / 2
    return (left * right).sqrt() if faces == "geometric" else 2 * left * right / (left + right)
