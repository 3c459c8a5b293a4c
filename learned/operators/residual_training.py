"""Training a residual operator: batched five-point products, residuals of its own solves, and the energy loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conjugo.learned.preconditioners.grid_laplacian import GridLaplacian
from conjugo.learned.preconditioners.multiscale import as_batch, multiscale_noise, seeded
from conjugo.learned.preconditioners.replay import ReplayBatches
from conjugo.learned.preconditioners.residual_loss import line_search
from conjugo.pde.darcy import darcy_coefficients, darcy_faces


@dataclass(frozen=True, slots=True, eq=False)
class FaceLaplacian:
    """A u = sum over faces of a_face (u - neighbour), h = 1, u = 0 on the walls, on fields (batch, 1, n, m).

    Parameters
    ----------
    across : (batch, 1, n + 1, m) tensor
        a on the faces along the first axis, those at the walls included.
    along : (batch, 1, n, m + 1) tensor
        The same along the second.

    Examples
    --------
    >>> A = FaceLaplacian(torch.ones(1, 1, 4, 3), torch.ones(1, 1, 3, 4))
    >>> (A @ torch.ones(1, 1, 3, 3))[0, 0]
    tensor([[2., 1., 2.],
            [1., 0., 1.],
            [2., 1., 2.]])
    """

    across: Tensor
    along: Tensor

    @property
    def diag(self) -> Tensor:
        """The diagonal, (batch, 1, n, m)."""
        return self.across[:, :, 1:] + self.across[:, :, :-1] + self.along[..., 1:] + self.along[..., :-1]

    @property
    def active(self) -> Tensor:
        """Ones: every node is an unknown."""
        return torch.ones_like(self.diag)

    def __matmul__(self, u: Tensor) -> Tensor:
        inner, beside = self.across[:, :, 1:-1], self.along[..., 1:-1]
        y = self.diag * u
        y[:, :, 1:] -= inner * u[:, :, :-1]
        y[:, :, :-1] -= inner * u[:, :, 1:]
        y[..., 1:] -= beside * u[..., :-1]
        y[..., :-1] -= beside * u[..., 1:]
        return y

    def seen(self) -> Tensor:
        """Return what the network sees of A: log diag over its mean, (batch, 1, n, m)."""
        logarithm = self.diag.log()
        return logarithm - logarithm.mean((2, 3), keepdim=True)

    def relax(self, r: Tensor, sweeps: int) -> Tensor:
        """Return `sweeps` of Chebyshev-Jacobi from zero, with the bounds 2 min(1/4, 4/sweeps^2) and 2 of D^-1 A."""
        largest, smallest = 2.0, 2.0 * min(0.25, 4 / sweeps**2)
        theta, delta = (largest + smallest) / 2, (largest - smallest) / 2
        rho, diag = delta / theta, self.diag
        d = r / diag / theta
        z = d
        for _ in range(sweeps - 1):
            rho, before = 1 / (2 * theta / delta - rho), rho
            d = rho * before * d + (2 * rho / delta) * (r - self @ z) / diag
            z = z + d
        return z


@dataclass(frozen=True, kw_only=True, eq=False)
class DarcyErrors:
    """Fresh errors e and residuals f = A e for random Darcy coefficients: a function of (seed, step).

    Parameters
    ----------
    size : int
        Nodes a side, walls included.
    batch : int
        Samples a step.
    seed : int
        Of coefficients and errors.
    device : device
        Where the batches go.

    Examples
    --------
    >>> batch = DarcyErrors(size=17, batch=2)(0)
    >>> sorted(batch), tuple(batch["f"].shape)
    (['across', 'active', 'along', 'diag', 'e', 'f'], (2, 1, 15, 15))
    """

    size: int
    batch: int
    seed: int = 0
    device: torch.device | str = "cpu"

    def __call__(self, step: int, /) -> dict[str, Tensor]:
        a = darcy_coefficients(self.batch, self.size, seed=self.seed, first=step * self.batch)
        A = face_laplacian(a, self.device)
        e = multiscale_noise((self.size - 2,) * 2, self.batch, seeded(self.seed, step, self.device))
        return {**as_batch(A @ e, GridLaplacian(A.active, A.diag), error=e), "across": A.across, "along": A.along}


def face_laplacian(a: NDArray[np.floating[Any]], device: torch.device | str = "cpu") -> FaceLaplacian:
    """Return A for coefficients (N, n, n) on the nodes, with harmonic means, scaled to a mean diagonal of 4."""
    pairs = [darcy_faces(np.asarray(one, dtype=np.float64), "harmonic") for one in a]
    across, along = (
        torch.from_numpy(np.stack(fields)[:, None].astype(np.float32)).to(device) for fields in zip(*pairs, strict=True)
    )
    mean = FaceLaplacian(across, along).diag.mean((2, 3), keepdim=True) / 4
    return FaceLaplacian(across / mean, along / mean)


class KrylovResiduals(ReplayBatches):
    """Residuals of flexible CG preconditioned by relaxation, the operator in training, and relaxation.

    Parameters
    ----------
    fresh : callable
        Where new errors come from: `DarcyErrors`.
    model : module
        The operator in training.
    sweeps : int
        Of relaxation, before and after.
    steps : int
        Age at which a solve gives way, as in `ReplayBatches`.

    Examples
    --------
    >>> from conjugo.learned.operators.residual_operator import ResidualOperator, ResidualOperatorConfig
    >>> batches = KrylovResiduals(DarcyErrors(size=17, batch=4), ResidualOperator(ResidualOperatorConfig()), steps=2)
    >>> first, second = batches(0)["f"], batches(1)["f"]
    >>> bool((first != second).any())
    True
    """

    def __init__(
        self, fresh: Callable[[int], dict[str, Tensor]], model: nn.Module, *, sweeps: int = 4, steps: int = 8
    ) -> None:
        super().__init__(fresh, model, steps=steps)
        self.sweeps = sweeps

    def operator(self, rows: dict[str, Tensor]) -> FaceLaplacian:
        """Return A of every row."""
        return FaceLaplacian(rows["across"], rows["along"])

    def propose(self, f: Tensor, A: FaceLaplacian) -> Tensor:
        """Relax, let the operator respond to what is left, and relax."""
        z = A.relax(f, self.sweeps)
        left = f - A @ z
        w = respond(self.model, left, A)
        q = A @ w
        step = line_search(w, q, left)
        return z + step * w + A.relax(left - step * q, self.sweeps)


def respond(model: nn.Module, r: Tensor, A: FaceLaplacian) -> Tensor:
    """Return the operator's response to r, scaled to unit root mean square, in float32."""
    size = r.square().mean((2, 3), keepdim=True).sqrt()
    scaled = r / torch.where(size > 0, size, 1.0)
    w: Tensor = model(torch.cat([A.seen(), scaled], dim=1))
    return w.float()


def operator_loss(sweeps: int) -> Callable[[nn.Module, Mapping[str, Tensor]], Tensor]:
    """Return the loss: the share of the energy after relaxation that the operator and one line search leave.

    Parameters
    ----------
    sweeps : int
        Of relaxation, as in `KrylovResiduals`.

    Returns
    -------
    callable
        loss(model, batch), the mean of 1 - (w.r)^2 / (w.A w e.r) with r = f - A S f, e its error, w the response to r.

    References
    ----------
    Rudikov et al. (2024), "Neural operators meet conjugate gradients: the FCG-NO method", ICML: the loss after Notay.

    Examples
    --------
    >>> from conjugo.learned.operators.residual_operator import ResidualOperator, ResidualOperatorConfig
    >>> batch = DarcyErrors(size=17, batch=2)(0)
    >>> 0 < operator_loss(4)(ResidualOperator(ResidualOperatorConfig()), batch).item() < 1
    True
    """

    def loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        A = FaceLaplacian(batch["across"], batch["along"])
        z = A.relax(batch["f"], sweeps)
        e = batch["e"] - z
        r = A @ e
        w = respond(model, r, A)
        gain = (line_search(w, A @ w, r) * w * r).flatten(1).sum(1)
        energy = (e * r).flatten(1).sum(1)
        usable = energy > torch.finfo(energy.dtype).tiny
        return (1 - torch.where(usable, gain, 0.0) / torch.where(usable, energy, 1.0)).mean()

    return loss
