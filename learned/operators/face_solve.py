"""Solve -div(K grad u) = f for coefficients on the faces of a grid, batched in torch, with gradients in K."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from conjugo.learned.operators.uncompiled import uncompiled


class Faces(NamedTuple):
    """Coefficients of a five- or nine-point operator on n x n nodes, walls included.

    Parameters
    ----------
    across : (B, n - 1, n) tensor
        On the faces between neighbours along the first axis, positive.
    along : (B, n, n - 1) tensor
        On those along the second axis, positive.
    cross : (B, n - 1, n - 1) tensor, optional
        Off-diagonal entry of the coefficient tensor in each cell. Its modulus must be below the geometric mean of the
        smallest coefficients on the cell's faces of either direction: then the operator is positive definite.
    """

    across: Tensor
    along: Tensor
    cross: Tensor | None = None


def solve_faces(faces: Faces, f: Tensor, *, steps: int = 14) -> Tensor:
    """Solve A(K) u = f on the unit square, u = 0 on its walls, with gradients in K and f.

    Parameters
    ----------
    faces : Faces
        K.
    f : (B, n - 2, n - 2) tensor
        Source on the interior nodes.
    steps : int
        Conjugate gradient steps, the same for all: no value is read back from the device.

    Returns
    -------
    (B, n, n) tensor
        u, zero on the walls; of the coefficients' type, float32 at least.

    Raises
    ------
    ValueError
        If the shapes do not fit, or steps is below 1.

    Notes
    -----
    A(K) is the matrix of the energy sum over faces k (du)^2 + 2 sum over cells c (mean d_x u)(mean d_y u), over h^2.
    Preconditioned by the exact inverse for K = 1 (two dense sine transforms, products of matrices), so that the
    error falls by (sqrt(kappa) - 1) / (sqrt(kappa) + 1) a step, kappa <= max K / min K whatever n is; at a contrast
    of 4 to 1, 14 steps leave less than 1e-6 of the energy norm. The backward pass is one solve with the same
    symmetric operator: with A l = g, the gradient in f is l, and in a face -(dl)(du), in a cell -(mean d_x l)(mean
    d_y u) - (mean d_y l)(mean d_x u).

    References
    ----------
    P. Concus, G. H. Golub, SIAM J. Numer. Anal. 10 (1973), 1103-1120 (the preconditioner); the adjoint is that of
    any symmetric solve, for example G. Chavent, "Nonlinear least squares for inverse problems", 2009, section 2.3.

    Examples
    --------
    >>> ones = Faces(torch.ones(1, 16, 17), torch.ones(1, 17, 16))
    >>> u = solve_faces(ones, torch.ones(1, 15, 15))
    >>> round(float(u.max()), 3)  # the torsion of a square: 0.0737
    0.073
    """
    n = faces.along.shape[1]
    expected = {"across": (n - 1, n), "along": (n, n - 1), "cross": (n - 1, n - 1)}
    for name, tensor in faces._asdict().items():
        if tensor is not None and (tensor.ndim != 3 or tuple(tensor.shape[1:]) != expected[name]):
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}: expected (B, {expected[name]}) for n = {n} nodes"
            )
    if n < 3 or tuple(f.shape) != (len(faces.along), n - 2, n - 2):
        raise ValueError(f"f has shape {tuple(f.shape)}: expected {(len(faces.along), n - 2, n - 2)}, n at least 3")
    if steps < 1:
        raise ValueError(f"steps = {steps}: at least 1 is needed")
    with torch.autocast(f.device.type, enabled=False):
        dtype = torch.promote_types(faces.along.dtype, torch.float32)
        across, along = faces.across.to(dtype), faces.along.to(dtype)
        cross = None if faces.cross is None else faces.cross.to(dtype)
        u = _solve(across, along, cross, f.to(dtype) / (n - 1) ** 2, steps)
    return functional.pad(u, (1, 1, 1, 1))


def node_faces(a: Tensor, *, power: float = 0.0) -> Faces:
    """Average a nodal coefficient to the faces by a power mean.

    Parameters
    ----------
    a : (B, n, n) tensor
        Positive, walls included.
    power : float
        -1 for harmonic means, 0 for geometric ones, 1 for arithmetic ones.

    Returns
    -------
    Faces
        Without cross terms.

    Examples
    --------
    >>> faces = node_faces(torch.tensor([[[3.0, 12.0], [3.0, 12.0]]]))
    >>> faces.along[0, 0].item(), faces.across[0, 0].tolist()
    (6.0, [3.0, 12.0])
    """
    b = a.log() if power == 0 else a**power
    pairs = 0.5 * (b[:, 1:] + b[:, :-1]), 0.5 * (b[:, :, 1:] + b[:, :, :-1])
    across, along = (pair.exp() if power == 0 else pair ** (1 / power) for pair in pairs)
    return Faces(across, along)


def product(faces: Faces, u: Tensor) -> Tensor:
    """Apply h^2 A(K) to interior values (B, n - 2, n - 2)."""
    across, along = _differences(u)
    flux_across, flux_along = faces.across * across, faces.along * along
    if faces.cross is not None:
        mean_across, mean_along = _cell_means(across, along)
        turned_across, turned_along = 0.5 * faces.cross * mean_along, 0.5 * faces.cross * mean_across
        flux_across = flux_across + functional.pad(turned_across, (1, 0)) + functional.pad(turned_across, (0, 1))
        flux_along = (
            flux_along + functional.pad(turned_along, (0, 0, 1, 0)) + functional.pad(turned_along, (0, 0, 0, 1))
        )
    return -flux_across.diff(dim=1)[:, :, 1:-1] - flux_along.diff(dim=2)[:, 1:-1]


def _differences(u: Tensor) -> tuple[Tensor, Tensor]:
    full = functional.pad(u, (1, 1, 1, 1))
    return full.diff(dim=1), full.diff(dim=2)


def _cell_means(across: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
    return 0.5 * (across[:, :, 1:] + across[:, :, :-1]), 0.5 * (along[:, 1:] + along[:, :-1])


def _sines(f: Tensor) -> tuple[Tensor, Tensor]:
    """Return the orthonormal matrix of the sine transform, and the inverse eigenvalues of the five-point Laplacian."""
    m = f.shape[1]
    k = torch.arange(1, m + 1, dtype=torch.float64, device=f.device)
    S = torch.sin(k[:, None] * k * (math.pi / (m + 1))) * math.sqrt(2 / (m + 1))
    values = 4 * torch.sin(k * (math.pi / (2 * (m + 1)))).square()
    return S.to(f.dtype), (1 / (values[:, None] + values)).to(f.dtype)


def _pcg(faces: Faces, f: Tensor, steps: int) -> Tensor:
    """Preconditioned conjugate gradients from zero; a sample whose residual vanishes stays as it is."""
    S, inverse = _sines(f)

    def dot(x: Tensor, y: Tensor) -> Tensor:
        return (x * y).sum((1, 2), keepdim=True)

    def divided(x: Tensor, y: Tensor) -> Tensor:
        return torch.where(y > 0, x / torch.where(y > 0, y, 1.0), 0.0)

    u, r = torch.zeros_like(f), f
    p = z = S @ ((S @ r @ S) * inverse) @ S
    rz = dot(r, z)
    for _ in range(steps):
        q = product(faces, p)
        step = divided(rz, dot(p, q))
        u, r = u + step * p, r - step * q
        z = S @ ((S @ r @ S) * inverse) @ S
        before, rz = rz, dot(r, z)
        p = z + divided(rz, before) * p
    return u


class _Solve(torch.autograd.Function):
    """u = A(K)^{-1} f."""

    @staticmethod
    def forward(ctx: Any, across: Tensor, along: Tensor, cross: Tensor | None, f: Tensor, steps: int) -> Tensor:
        u = _pcg(Faces(across, along, cross), f, steps)
        ctx.save_for_backward(across, along, cross, u)
        ctx.steps = steps
        return u

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        across, along, cross, u = ctx.saved_tensors
        with torch.autocast(u.device.type, enabled=False):
            adjoint = _pcg(Faces(across, along, cross), gradients[0], ctx.steps)
            du, dl = _differences(u), _differences(adjoint)
            by_cross = None
            if cross is not None:
                (ux, uy), (lx, ly) = _cell_means(*du), _cell_means(*dl)
                by_cross = -(lx * uy + ly * ux)
        return -dl[0] * du[0], -dl[1] * du[1], by_cross, adjoint, None


@uncompiled
def _solve(across: Tensor, along: Tensor, cross: Tensor | None, f: Tensor, steps: int) -> Tensor:
    found: Tensor = _Solve.apply(across, along, cross, f, steps)
    return found
