"""The data step of DDS: a few iterations of conjugate gradients, started at the denoised image."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from conjugo.learned.diffusion.counting import Applications, Counted
from conjugo.learned.diffusion.data_step import StepError, all_finite, columns, images
from conjugo.pde.inverse.operator import Measurement, Normal
from conjugo.solvers.krylov.cg import generic_cg
from conjugo.solvers.krylov.preconditioned import check_fixed_symmetric
from conjugo.solvers.monitor import Monitor
from conjugo.solvers.operators.protocol import LinearOperator
from conjugo.solvers.result import Status

type Weight = float | Callable[[float], float]


class KrylovStep:
    """M steps of our `cg` on (I + gamma A^H A) x = x_hat + gamma A^H y, each sample its own right-hand side.

    Parameters
    ----------
    A : Measurement or (m, n) tensor
        Real; complex images and data are pairs of real numbers, which makes these conjugate gradients the Hermitian
        ones of the complex system.
    gamma : float or callable
        Weight of the data against the denoised image, or gamma(sigma_t).
    iterations : int
        M.
    noiseless : bool
        Solve A^H A x = A^H y instead: then x_hat enters as the first iterate only, and gamma is not used.
    M : operator, optional
        Symmetric positive definite preconditioner of the system. Where iterations are few it is a prior of its own: the
        step then searches K(M A^H A, M r).
    rtol : float, optional
        Where a sample stops before M steps: at ||r|| <= rtol ||r_0||. Default eight times the precision's epsilon,
        below which steps would only spread rounding.

    Raises
    ------
    ValueError
        For a negative gamma, a complex A, fewer than 1 iterations, or an M that does not fit or is not linear.

    Notes
    -----
    The iteration is written for d = x - x_hat, whose right-hand side is r_0 = gamma A^H (y - A x_hat) and whose first
    iterate is 0. These are the same iterates, and d lies in K_M(A^H A, r_0), within the range of A^H, to rounding. A
    step costs one product with each of A and A^H for r_0, and one more with each for every iteration.

    Solved out, the noiseless step is DDNM's (`NullSpaceStep`): its few iterations are a regulariser, and more of them
    can lose accuracy where the data are noisy. For a mask, A^H A is a projector and one iteration solves the system.

    References
    ----------
    H. Chung, S. Lee, J. C. Ye, Decomposed diffusion sampler for accelerating large-scale inverse problems, ICLR (2024),
    algorithms 2 (noiseless) and 3 (noisy).

    Examples
    --------
    >>> step = KrylovStep(torch.eye(3)[:2], gamma=3.0)
    >>> step(torch.zeros(1, 3), torch.ones(1, 2), 0.5)
    tensor([[0.7500, 0.7500, 0.0000]])
    """

    def __init__(
        self,
        A: Measurement | Tensor,
        *,
        gamma: Weight = 1.0,
        iterations: int = 5,
        noiseless: bool = False,
        M: LinearOperator | None = None,
        rtol: float | None = None,
    ) -> None:
        if iterations < 1:
            raise ValueError(f"iterations = {iterations}: expected 1 or more, such as 5")
        check_weight(gamma)
        self.A, self.gamma, self.iterations, self.noiseless = A, gamma, int(iterations), bool(noiseless)
        self.M, self.rtol = M, rtol
        self._counted = Counted(A)
        n = self._counted.shape[1]
        check_fixed_symmetric(M, "KrylovStep", "a fixed linear preconditioner")
        if M is not None and tuple(M.shape) != (n, n):
            raise ValueError(f"M has shape {tuple(M.shape)}: expected ({n}, {n}), as it acts on images of {n} numbers")

    def __repr__(self) -> str:
        system = "noiseless" if self.noiseless else f"gamma={self.gamma}"
        return f"KrylovStep({type(self.A).__name__} {self._counted.shape}, {system}, iterations={self.iterations})"

    @property
    def applications(self) -> Applications:
        """Products with A and A^H so far, and their seconds."""
        return self._counted.applications

    def __call__(self, x_hat: Tensor, y: Tensor, sigma_t: float) -> Tensor:
        """Correct images (B, *shape) by data (B, m)."""
        A = self._counted
        gamma = 1.0 if self.noiseless else weight_at(self.gamma, sigma_t)
        x, data = columns(x_hat), columns(y)
        residual = A.H @ (data - A @ x)
        if gamma != 1.0:
            residual = residual * gamma
        if not all_finite(residual):
            raise StepError(Status.NONFINITE, "A^H (y - A x) is NaN or infinite: look at A and its range of numbers")
        normal: Any = Normal(A, shift=0.0 if self.noiseless else 1.0, gamma=gamma)
        rtol = 8 * torch.finfo(x.dtype).eps if self.rtol is None else self.rtol
        monitor = Monitor("cg", normal, residual, rtol=rtol, maxiter=self.iterations, verify=False)
        result = generic_cg(monitor, self.M)
        if result.status in (Status.NONFINITE, Status.INDEFINITE):
            raise StepError(result.status, result.message)
        return x_hat + images(result.x, x_hat)


def weight_at(gamma: Weight, sigma_t: float, *, infinite: bool = False) -> float:
    """Return gamma, or gamma(sigma_t); infinity only where that has a meaning.

    Raises
    ------
    ValueError
        Where a callable gave something else than a finite number >= 0.
    """
    if not callable(gamma):
        return float(gamma)
    value = float(gamma(sigma_t))
    if not (value >= 0 and (infinite or math.isfinite(value))):
        raise ValueError(f"gamma({sigma_t:.3g}) = {value}: expected a finite number >= 0")
    return value


def check_weight(gamma: Weight, *, infinite: bool = False) -> None:
    """Refuse a constant gamma that is no weight."""
    if not callable(gamma) and not (gamma >= 0 and (infinite or math.isfinite(gamma))):
        raise ValueError(f"gamma = {gamma}: expected a finite number >= 0, such as 1.0, or a function of sigma_t")
