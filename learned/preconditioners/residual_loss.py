"""How good a proposed direction is: the residual, or the error, that one exact line search along it leaves."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from conjugo.learned.preconditioners.grid_laplacian import GridLaplacian


def residual_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Mean of ||f - A z||^2 / ||f||^2, z = d (d.f) / (d.A d), d = model(f).

    Parameters
    ----------
    model : module
        Maps (batch, 1, *grid), and the geometry, to directions.
    batch : mapping
        `f`, `active` and `diag`, each (batch, 1, *grid), as `Batches` of this folder make them.

    Returns
    -------
    tensor
        A scalar. It depends neither on the scale of d nor on that of f.

    Notes
    -----
    Directions are masked first. Everything but the model is in float32: under autocast its output is widened.

    References
    ----------
    Kaneda et al. (2023), "A deep conjugate direction method for iteratively solving linear systems", section 4.

    Examples
    --------
    >>> from conjugo.learned.preconditioners.grid_laplacian import box_laplacian
    >>> A = box_laplacian((4, 4), wall=1.0)
    >>> f = torch.randn(2, 1, 4, 4)
    >>> ones = torch.ones_like(f)
    >>> batch = {"f": f, "active": ones, "diag": A.diag * ones}
    >>> 0 < float(residual_loss(Echo(), batch)) < 1  # one step of steepest descent
    True
    """
    f = batch["f"]
    A = GridLaplacian(batch["active"], batch["diag"])
    d = direction(model, f, A)
    q = A @ d
    left = f - line_search(d, q, f) * q
    return (left.flatten(1).square().sum(1) / f.flatten(1).square().sum(1)).mean()


def energy_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Mean of ||e - z||_A^2 / ||e||_A^2 with A e = f and z as for `residual_loss`: what flexible CG minimises.

    Parameters
    ----------
    model, batch
        As for `residual_loss`; the batch holds `e` as well.

    Returns
    -------
    tensor
        The mean of 1 - (d.f)^2 / (d.A d e.f), a scalar.

    Raises
    ------
    ValueError
        If the batch has no errors.

    Notes
    -----
    The residual's 2-norm hardly sees the long waves, which decide how many iterations a solve takes.

    References
    ----------
    Rudikov et al. (2024), "Neural operators meet conjugate gradients: the FCG-NO method for efficient PDE solving",
    ICML: the loss after Notay.
    """
    if "e" not in batch:
        raise ValueError("this batch holds no errors e, which energy_loss needs: use residual_loss, or kind='error'")
    f = batch["f"]
    A = GridLaplacian(batch["active"], batch["diag"])
    d = direction(model, f, A)
    gain = (line_search(d, A @ d, f) * d * f).flatten(1).sum(1)
    energy = (batch["e"] * f).flatten(1).sum(1)
    usable = energy > torch.finfo(energy.dtype).tiny
    return (1 - torch.where(usable, gain, 0.0) / torch.where(usable, energy, 1.0)).mean()


def direction(model: nn.Module, f: Tensor, A: GridLaplacian) -> Tensor:
    """Return the model's direction for residuals f of unit root mean square, masked, in float32."""
    d: Tensor = model(f, A.geometry())
    return d.float() * A.active


def line_search(d: Tensor, q: Tensor, f: Tensor) -> Tensor:
    """Return the step d.f / d.q of each sample, (batch, 1, ...), for q = A d; zero where d has no energy."""
    axes = tuple(range(1, d.ndim))
    along, energy = (d * f).sum(axes, keepdim=True), (d * q).sum(axes, keepdim=True)
    usable = energy > torch.finfo(energy.dtype).tiny
    return torch.where(usable, along, 0.0) / torch.where(usable, energy, 1.0)


class Echo(nn.Module):
    """Propose the residual itself: steepest descent."""

    def forward(self, residual: Tensor, geometry: Tensor | None = None) -> Tensor:
        """Return the residual."""
        return residual
