"""The published training data: random combinations of Ritz vectors of one matrix, made again from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from conjugo.learned.preconditioners.grid_laplacian import GridLaplacian
from conjugo.learned.preconditioners.multiscale import as_batch, seeded

SMALLEST_VALUE = 1e-8
"""Ritz values at or below this belong to the null space."""

WEIGHT = 9.0
"""Standard deviation of the coefficients of the lower half of the Ritz vectors; of the others it is 1."""

SHIFT = 500
"""The published theta of 10,000 vectors: the lower half has m / 2 + theta of them."""


@dataclass(frozen=True, eq=False)
class LanczosBasis:
    """Orthonormal Lanczos vectors and the eigenvectors of the tridiagonal matrix.

    Parameters
    ----------
    vectors : (n, m) float32 tensor
        The basis V.
    rotation : (m, r) float32 tensor
        Eigenvectors Y that belong to `values`; the Ritz vectors are V Y and are never formed.
    values : (r,) float32 tensor
        Ritz values above 1e-8, ascending.
    """

    vectors: Tensor
    rotation: Tensor
    values: Tensor


def lanczos(A: GridLaplacian, m: int, generator: torch.Generator) -> LanczosBasis:
    """Run m steps of Lanczos from A times a random vector, each new vector orthogonalised twice against all before.

    Parameters
    ----------
    A : GridLaplacian
        Of one domain.
    m : int
        Steps, at most the number of cells; 4 m bytes a cell of device memory. It ends sooner where the space is full.
    generator : Generator
        Seeds the start; everything runs on its device, in float32.

    Returns
    -------
    LanczosBasis

    Raises
    ------
    ValueError
        If m is less than 2 or exceeds the number of cells, or A is of more than one domain.

    Examples
    --------
    >>> from conjugo.learned.preconditioners.grid_laplacian import box_laplacian
    >>> basis = lanczos(box_laplacian((4, 4), wall=0.0), 8, torch.Generator())
    >>> bool(torch.allclose(basis.vectors.T @ basis.vectors, torch.eye(8), atol=1e-5))
    True
    """
    shape, n = A.active.shape, A.active.numel()
    if shape[0] != 1:
        raise ValueError(f"A is of {shape[0]} domains: expected 1, as a basis belongs to one matrix")
    if not 2 <= m <= n:
        raise ValueError(f"m = {m}: expected from 2 to the {n} cells of the grid")
    device = generator.device
    V = torch.zeros(m, n, device=device)
    diagonal, beside = torch.zeros(m, dtype=torch.float64), torch.zeros(m, dtype=torch.float64)
    v = (A @ torch.randn(shape, generator=generator, device=device)).flatten()
    count = m
    for j in range(m):
        size = float(torch.linalg.vector_norm(v))
        if j and size < 1e-5 * float(diagonal[0]):
            count = j
            break
        if j:
            beside[j - 1] = size
        V[j] = v / size
        v = (A @ V[j].reshape(shape)).flatten()
        diagonal[j] = float(V[j] @ v)
        for _ in range(2):
            v = v - V[: j + 1].T @ (V[: j + 1] @ v)
    off = beside[: count - 1]
    T = torch.diag(diagonal[:count]) + torch.diag(off, 1) + torch.diag(off, -1)
    values, Y = torch.linalg.eigh(T.to(device))
    kept = values > SMALLEST_VALUE
    return LanczosBasis(V[:count].T, Y[:, kept].float(), values[kept].float())


@dataclass(frozen=True, kw_only=True, eq=False)
class RitzBatches:
    """Sums c_j q_j over the Ritz vectors of one domain: a function of (seed, step).

    Parameters
    ----------
    A : GridLaplacian
        One domain; published: the empty box with Neumann walls.
    vectors : int
        Lanczos steps m; published 10,000.
    batch : int
        Samples a step.
    kind : {"residual", "error"}
        Whether f = sum_j c_j q_j, as published, or e = sum_j (c_j / value_j) q_j and f = A e, as `energy_loss` needs.
        The two agree where the Ritz vectors have converged to eigenvectors.
    seed : int
        Seed of the basis and of the coefficients.

    Notes
    -----
    c_j = 9 N(0, 1) for the j <= m / 2 + theta smallest Ritz values and N(0, 1) for the others, theta = m / 20: nearly
    all of the energy is in the lower half. Basis and vectors live in device memory and are made again from the seed;
    nothing is written. Published: 20,000 fixed vectors, 21 GB at 64^3; here every step has new ones.

    References
    ----------
    Kaneda et al. (2023), "A deep conjugate direction method for iteratively solving linear systems", ICML, section 5.

    Examples
    --------
    >>> from conjugo.learned.preconditioners.grid_laplacian import box_laplacian
    >>> batch = RitzBatches(A=box_laplacian((8, 8), wall=0.0), vectors=20, batch=3)(0)
    >>> sorted(batch), tuple(batch["f"].shape)
    (['active', 'diag', 'f'], (3, 1, 8, 8))
    """

    A: GridLaplacian
    vectors: int = 2000
    batch: int = 10
    kind: Literal["residual", "error"] = "residual"
    seed: int = 0

    @property
    def device(self) -> torch.device:
        """Where the basis is."""
        return self.A.active.device

    @cached_property
    def basis(self) -> LanczosBasis:
        """The Lanczos basis, made when first needed."""
        return lanczos(self.A, self.vectors, seeded(self.seed, 2**31, self.device))

    def __call__(self, step: int, /) -> dict[str, Tensor]:
        basis = self.basis
        count = len(basis.values)
        lower = count // 2 + count * SHIFT // 10_000
        c = torch.randn(count, self.batch, generator=seeded(self.seed, step, self.device), device=self.device)
        c[:lower] *= WEIGHT
        if self.kind == "error":
            c = c / basis.values[:, None]
        sums = (basis.vectors @ (basis.rotation @ c)).T.reshape(self.batch, 1, *self.A.active.shape[2:])
        return as_batch(self.A @ sums, self.A, error=sums) if self.kind == "error" else as_batch(sums, self.A)
