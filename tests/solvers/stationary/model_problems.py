"""Small stencils for the tests of sweeps and triangular preconditioners: every boundary, every dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.operators.separable import Axis, SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil


def dirichlet(n: int) -> Axis:
    """-u'' times h^2 with zero values beyond both ends."""
    lower, upper = -np.ones(n), -np.ones(n)
    lower[0], upper[-1] = 0.0, 0.0
    return Axis(lower=lower, diag=np.full(n, 2.0), upper=upper, weight=np.ones(n))


def neumann(n: int) -> Axis:
    """-u'' times h^2, vertex-centred, zero slope at both ends: half control volumes there."""
    lower, upper, weight = -np.ones(n), -np.ones(n), np.ones(n)
    lower[0], upper[-1], upper[0], lower[-1] = 0.0, 0.0, -2.0, -2.0
    weight[0] = weight[-1] = 0.5
    return Axis(lower=lower, diag=np.full(n, 2.0), upper=upper, weight=weight)


def periodic(n: int) -> Axis:
    """-u'' times h^2 on a circle."""
    return Axis(lower=-np.ones(n), diag=np.full(n, 2.0), upper=-np.ones(n), weight=np.ones(n), periodic=True)


def poisson(n: int, dimension: int = 2) -> SeparableStencil:
    """The model problem with n unknowns along each axis."""
    return SeparableStencil([dirichlet(n)] * dimension)


def variable(
    shape: tuple[int, ...], wraps: tuple[bool, ...], *, symmetric: bool = True, contrast: float = 10.0, seed: int = 0
) -> VariableStencil:
    """A diagonally dominant stencil with random couplings; one corner node is inactive where no axis wraps."""
    rng = np.random.default_rng(seed)

    def couplings(side: int) -> list[NDArray[np.float64]]:
        found = []
        for axis, wrap in enumerate(wraps):
            values = -(contrast ** rng.uniform(0.0, 1.0, shape))
            if not wrap:
                edge: list[slice | int] = [slice(None)] * len(shape)
                edge[axis] = side
                values[tuple(edge)] = 0.0
            found.append(values)
        return found

    upper = couplings(-1)
    lower = None if symmetric else couplings(0)
    sums = VariableStencil(np.zeros(shape), upper, lower) @ np.ones(int(np.prod(shape)))
    diag = -np.asarray(sums).reshape(shape) + rng.uniform(0.1, 1.0, shape)
    active = np.ones(shape, dtype=bool)
    if symmetric and not any(wraps):
        corner = (0,) * len(shape)
        active[corner], diag[corner] = False, 1.0
        for values in upper:
            values[corner] = 0.0
    return VariableStencil(diag, upper, lower, active=active)


STENCILS: dict[str, Any] = {
    "1d": SeparableStencil([dirichlet(9)], 0.3),
    "1d periodic": SeparableStencil([periodic(8)], 0.3),
    "1d one unknown": SeparableStencil([dirichlet(1)], 0.3),
    "2d": SeparableStencil([dirichlet(6), neumann(5)], 0.1),
    "2d periodic": SeparableStencil([periodic(4), neumann(6)], 0.1),
    "2d short periodic": SeparableStencil([periodic(3), periodic(2)], 0.1),
    "3d flat": SeparableStencil([dirichlet(1), periodic(4), dirichlet(3)], 0.1),
    "3d": SeparableStencil([neumann(4), dirichlet(3), dirichlet(5)], 0.2),
    "3d periodic": SeparableStencil([periodic(4), dirichlet(3), periodic(6)], 0.2),
    "variable 1d": variable((9,), (False,)),
    "variable 1d periodic": variable((9,), (True,)),
    "variable 2d": variable((5, 6), (False, False)),
    "variable 2d periodic": variable((4, 6), (True, True)),
    "variable 3d": variable((4, 3, 5), (False, False, False)),
    "variable 3d periodic": variable((4, 5, 6), (True, False, True)),
}
"""Symmetric positive definite."""

NONSYMMETRIC: dict[str, Any] = {
    "1d": variable((9,), (False,), symmetric=False),
    "2d periodic": variable((4, 6), (True, False), symmetric=False),
    "3d": variable((4, 3, 5), (False, True, False), symmetric=False),
}
