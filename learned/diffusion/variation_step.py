"""The data step of DDS for volumes: one sweep of ADMM on total variation along the slices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from conjugo.learned.diffusion.counting import Applications, Counted
from conjugo.learned.diffusion.data_step import StepError, all_finite, columns, images
from conjugo.pde.inverse.operator import Measurement
from conjugo.solvers.krylov.cg import generic_cg
from conjugo.solvers.monitor import Monitor
from conjugo.solvers.result import Status


class VariationStep:
    """One sweep of ADMM on ||A x - y||^2 / 2 + weight ||D x||_1, D the circular difference from slice to slice.

    Its state, the split variable d and the scaled multiplier w, persists from call to call: over the noise levels of a
    run, the sweeps become one ADMM solve whose image is denoised between them. `reset` starts another run.

    Parameters
    ----------
    A : Measurement
        Of a volume (depth, ...), such as `SliceWise`.
    weight : float
        Of the total variation: published are 0.04 (sparse view) and 0.4 (limited angle), for images in [0, 1].
    rho : float
        Penalty of D x = d; published is 10. It competes with the squares of A's singular values for the few iterations:
        where those are about 1, so should it be.
    iterations : int
        Of conjugate gradients in a sweep, started at the denoised volume.

    Raises
    ------
    ValueError
        For negative or vanishing parameters.

    Notes
    -----
    A sweep from the denoised x_hat is

        x from (A^H A + rho D^T D) x = A^H y + rho D^T (d - w), `iterations` steps of CG started at x_hat,
        d = soft(D x + w, weight / rho),
        w = w + D x - d.

    There is no term that holds x near x_hat: the prior enters by the first iterate, and by stopping early. The inner
    products are those of whole volumes.

    References
    ----------
    H. Chung, S. Lee, J. C. Ye, Decomposed diffusion sampler for accelerating large-scale inverse problems, ICLR (2024),
    section on 3D imaging.
    S. Boyd et al., Distributed optimization and statistical learning via the alternating direction method of
    multipliers, Found. Trends Mach. Learn. 3 (2011), section 3.1.1 (the scaled form).

    Examples
    --------
    >>> from conjugo.learned.diffusion.slicewise import SliceWise
    >>> from conjugo.pde.inverse.sensors import Sensors
    >>> step = VariationStep(SliceWise(Sensors((2, 2), [0, 1, 2, 3]), 3), weight=10.0)
    >>> y = torch.arange(12.0)[None]
    >>> x = torch.zeros(1, 3, 2, 2)
    >>> for _ in range(50):
    ...     x = step(x, y, 1.0)
    >>> x[0, 0].round()  # a large weight: all slices become their mean
    tensor([[4., 5.],
            [6., 7.]])
    """

    def __init__(self, A: Measurement, *, weight: float = 0.04, rho: float = 10.0, iterations: int = 5) -> None:
        if not (0 <= weight < float("inf") and 0 < rho < float("inf")):
            raise ValueError(f"weight = {weight}, rho = {rho}: expected weight >= 0 and rho > 0, such as 0.04 and 10")
        if iterations < 1:
            raise ValueError(f"iterations = {iterations}: expected 1 or more, such as 5")
        self.A, self.weight, self.rho, self.iterations = A, float(weight), float(rho), int(iterations)
        self._counted = Counted(A)
        self._state: tuple[Tensor, Tensor] | None = None

    def __repr__(self) -> str:
        return f"VariationStep({tuple(self.A.image_shape)}, weight={self.weight}, rho={self.rho})"

    @property
    def applications(self) -> Applications:
        """Products with A and A^H so far, and their seconds."""
        return self._counted.applications

    @property
    def state(self) -> tuple[Tensor, Tensor] | None:
        """d and w, (B, depth, ...) each; None before the first sweep."""
        return self._state

    def reset(self) -> None:
        """Forget d and w."""
        self._state = None

    def __call__(self, x_hat: Tensor, y: Tensor, sigma_t: float) -> Tensor:
        """Correct volumes (B, depth, ...) by data (B, m)."""
        if self._state is None:
            self._state = torch.zeros_like(x_hat), torch.zeros_like(x_hat)
        d, w = self._state
        if d.shape != x_hat.shape:
            raise ValueError(
                f"x_hat has shape {tuple(x_hat.shape)}, d and w {tuple(d.shape)}: reset() starts a new run"
            )
        A = self._counted
        residual = A.H @ (columns(y) - A @ columns(x_hat))
        residual = residual + self.rho * columns(adjoint_difference(d - w - difference(x_hat)))
        if not all_finite(residual):
            raise StepError(Status.NONFINITE, "A^H (y - A x) is NaN or infinite: look at A and its range of numbers")
        system: Any = _System(A, self.rho, x_hat.shape)
        rtol = 8 * torch.finfo(x_hat.dtype).eps
        result = generic_cg(Monitor("cg", system, residual, rtol=rtol, maxiter=self.iterations, verify=False), None)
        if result.status in (Status.NONFINITE, Status.INDEFINITE):
            raise StepError(result.status, result.message)
        x = x_hat + images(result.x, x_hat)
        w = w + difference(x)
        d = softshrink(w, self.weight / self.rho)
        self._state = d, w - d
        return x


class _System:
    """A^H A + rho D^T D on blocks (n, B)."""

    def __init__(self, A: Counted, rho: float, shape: torch.Size) -> None:
        self.A, self.rho, self.volumes = A, rho, shape
        self.shape = (A.shape[1], A.shape[1])

    def __matmul__(self, x: Tensor) -> Tensor:
        volumes = x.T.reshape(self.volumes)
        return self.A.H @ (self.A @ x) + self.rho * columns(adjoint_difference(difference(volumes)))


def difference(x: Tensor) -> Tensor:
    """D x: from each slice to the next, and from the last to the first, (B, depth, ...)."""
    return torch.roll(x, -1, dims=1) - x


def adjoint_difference(v: Tensor) -> Tensor:
    """D^T v."""
    return torch.roll(v, 1, dims=1) - v
