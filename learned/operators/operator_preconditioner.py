"""An operator in flexible Krylov methods: it corrects what is smooth, relaxation sweeps correct the rest."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from array_api_compat import array_namespace, device
from torch import Tensor, nn

from conjugo.learned.operators.guess_test import relaxation
from conjugo.learned.preconditioners.forward import Precision
from conjugo.learned.preconditioners.neural import NeuralPreconditioner
from conjugo.solvers.krylov.columns import inner, quotient
from conjugo.solvers.monitor import to_host
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator, is_symmetric
from conjugo.solvers.stationary.rows import diagonal_of


class OperatorPreconditioner:
    """M for `fcg(A, b, M=OperatorPreconditioner(model, problem))` or `fgmres`: relax, let the operator respond, relax.

    Parameters
    ----------
    model : module
        Maps (batch, 2, *grid) to (batch, 1, *grid): log a and a residual to a correction. `ResidualOperator` is one; an
        operator that maps a alone to u is none, as it takes no residual.
    problem : LinearProblem or stencil
        What is solved: the grid, and A with its diagonal.
    sweeps : int
        Chebyshev-Jacobi sweeps before and after the response; 0 leaves them out, which an operator that answers in low
        modes only, as `ResidualOperator` does, cannot do without.
    relax : operator, optional
        S in place of those sweeps, say one cycle of multigrid on a few levels.
    precision : {"float32", "bfloat16", "float64"}
        Of the network.
    device : device, optional
        Where the network runs; default where the model is.

    Attributes
    ----------
    applications, rejected : int
        Calls of `@`, and how many met a response that is not finite or orthogonal to the residual.
    setup_seconds : float
        What the making took.

    Raises
    ------
    ValueError
        For a negative number of sweeps, a problem without a grid or with a diagonal that is not positive, and what
        `NeuralPreconditioner` refuses.

    Notes
    -----
    With S the sweeps, N the operator and s the root mean square of r_1::

        z = S r,   r_1 = r - A z,   w = s N(log a, r_1 / s)
        z += alpha w,   alpha = w.r_1 / w.A w        (least energy; least residual where A is not symmetric)
        z += S (r_1 - alpha A w)

    log a is the logarithm of the diagonal of A over its geometric mean. alpha makes M non-linear and safe: for a
    symmetric positive definite A no part of it adds energy, whatever the operator says. An application costs 2 sweeps
    products with A, and two more.

    References
    ----------
    Zhang et al. (2022), "A hybrid iterative numerical transferable solver (HINTS) for PDEs based on deep operator
    network and relaxation methods", arXiv:2208.13273 (alternation). Rudikov et al. (2024), "Neural operators meet
    conjugate gradients: the FCG-NO method", ICML (operators in flexible CG).

    Examples
    --------
    >>> from conjugo.learned.operators.residual_operator import ResidualOperator, ResidualOperatorConfig
    >>> from conjugo.pde import poisson
    >>> from conjugo.solvers import fcg
    >>> problem = poisson((31, 31), coefficient="smooth")
    >>> M = OperatorPreconditioner(ResidualOperator(ResidualOperatorConfig()), problem)
    >>> fcg(problem.A, problem.b, M=M, rtol=1e-8).iterations < 20
    True
    """

    linear = False
    symmetric = False

    def __init__(
        self,
        model: nn.Module,
        problem: Any,
        *,
        sweeps: int = 4,
        relax: LinearOperator | None = None,
        precision: Precision = "float32",
        device: torch.device | str | None = None,
    ) -> None:
        started = time.perf_counter()
        if sweeps < 0:
            raise ValueError(f"sweeps = {sweeps}: expected 0 or more, such as 4")
        self._A = A = as_operator(getattr(problem, "A", problem))
        self.shape = tuple(A.shape)
        self._definite = is_symmetric(A)
        self._network = NeuralPreconditioner(
            _Paired(model), problem, precision=precision, device=device, geometry=_coefficient(problem, A)
        )
        found = relaxation(A, sweeps) if relax is None else None
        self._relax = relax if found is None else found.operator
        if sweeps and self._relax is None:
            raise ValueError(f"{type(A).__name__} is not symmetric: pass relax=, or sweeps=0 to have none")
        self.sweeps = sweeps
        self.setup_seconds = time.perf_counter() - started

    def __repr__(self) -> str:
        return f"OperatorPreconditioner({self.shape[0]} unknowns, {self.sweeps} + {self.sweeps} sweeps)"

    @property
    def applications(self) -> int:
        """Calls of `@`."""
        return self._network.applications

    @property
    def rejected(self) -> int:
        """How many of them met a useless response."""
        return self._network.rejected

    def __matmul__(self, r: Array) -> Array:
        A, S = self._A, self._relax
        z = None if S is None else S @ r
        left = r if z is None else r - A @ z
        w = self._network @ left
        q = A @ w
        probe = w if self._definite else q
        above, below = inner(probe, left), inner(probe, q)
        usable = array_namespace(r).asarray(np.asarray(to_host(below) > 0), device=device(r))
        alpha = quotient(above, below, usable)
        z = alpha * w if z is None else z + alpha * w
        return z if S is None else z + S @ (left - alpha * q)


class _Paired(nn.Module):
    """Hand a model of (log a, r) its two channels; gates that depend on a alone are made once."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.split = hasattr(model, "gates") and hasattr(model, "respond")
        if hasattr(model, "coarsening"):
            self.coarsening = model.coarsening

    def gates(self, coefficient: Tensor) -> Tensor:
        """Return what `forward` needs of log a."""
        model: Any = self.model
        made: Tensor = model.gates(coefficient) if self.split else coefficient
        return made

    def forward(self, residual: Tensor, gates: Tensor) -> Tensor:
        """Return the response."""
        model: Any = self.model
        if self.split:
            response: Tensor = model.respond(residual, gates)
            return response
        response = model(torch.cat([gates.expand(residual.shape[0], -1, -1, -1), residual], dim=1))
        return response


def _coefficient(problem: Any, A: LinearOperator) -> Tensor:
    """Return log diag A over its mean, (1, 1, *grid) float32."""
    diagonal = np.asarray(diagonal_of(A, "OperatorPreconditioner"))
    if not np.all(diagonal > 0):
        raise ValueError(f"the diagonal of A falls to {diagonal.min():.3g}: OperatorPreconditioner expects it positive")
    shape: Any = getattr(A, "grid_shape", None) or getattr(getattr(problem, "grid", None), "shape", diagonal.shape)
    logarithm = np.log(diagonal)
    image = (logarithm - logarithm.mean()).reshape(1, 1, *shape)
    return torch.from_numpy(image.astype(np.float32))
