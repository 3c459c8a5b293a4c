"""DarcyResidual: finite differences on the nodes that are given, and a network for what they cannot see."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conjugo.learned.operators.face_solve import Faces, node_faces, solve_faces
from conjugo.learned.operators.fields import check_fields, check_finite
from conjugo.learned.operators.finite_difference import fitted_scale
from conjugo.learned.operators.residual_unet import ResidualUNet

Form = Literal["correction", "faces"]

CHUNK = 64
"""Samples that are solved for at a time."""


@dataclass(frozen=True, kw_only=True)
class DarcyResidualConfig:
    """What the network does, and its size.

    Parameters
    ----------
    form : {"correction", "faces"}
        What the network gives: a field that is added to the coarse solution; or a factor for the coefficient on each
        face, with which the coarse system is then solved.
    widths : tuple of int
        Channels on each grid of the U-Net, multiples of 8.
    depth : int
        Residual blocks a grid, on the way down and on the way up.
    steps : int
        Conjugate gradient steps of a solve; 16 suit contrasts up to 10 (see `solve_faces`).
    walls : bool
        Whether u is zero on the walls; False where data keep other values there ("correction" only).

    Raises
    ------
    ValueError
        If a number is out of range, or "faces" is asked for values on the walls.
    """

    form: Form = "correction"
    widths: tuple[int, ...] = (32, 64, 96, 128)
    depth: int = 1
    steps: int = 16
    walls: bool = True

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise ValueError(f"form = {self.form!r}: choose one of {', '.join(map(repr, get_args(Form)))}")
        if self.steps < 1 or self.depth < 1 or not self.widths:
            raise ValueError(f"steps = {self.steps}, depth = {self.depth}, widths = {self.widths}: at least 1 of each")
        if self.form == "faces" and not self.walls:
            raise ValueError('walls = False: form = "faces" solves with zero walls; use form = "correction"')


class DarcyResidual(nn.Module):
    """Map a permeability to the pressure, (batch, 1, n, n) to the same: a hybrid, by numerics and a learned residual.

    Parameters
    ----------
    config : DarcyResidualConfig
        Form and size.

    Raises
    ------
    ValueError
        By `forward`, for fields of another shape.

    Notes
    -----
    With u_h, u_g the finite-difference solutions by harmonic and geometric face means of the same input, "correction"
    is u = s u_g + c net(log a, u_g, u_h - u_g, sin pi x sin pi y), "faces" is u = A(exp(net(log a, ...)) a_g /
    s)^{-1} 1 with the means of the network's two fields on the two kinds of faces. The scalar s and the deviations
    are measured on training data (`measure`) and kept as buffers. A new model is s u_g, the finite-difference
    baseline, and training starts there. With `measure` undone, s = 1. The network is not equivariant under the
    square's eight symmetries: it learns from moved samples (`darcy_batches`), and `group_average(model, a,
    square_symmetries(n))` makes it so exactly. In the form "faces" every output solves a discrete elliptic system: it
    is positive, and has its maximum inside.

    References
    ----------
    P. Concus, G. H. Golub, SIAM J. Numer. Anal. 10 (1973), 1103-1120, for the solves. The residual form is ours; what
    was measured is in docs/darcy_operator.md.

    Examples
    --------
    >>> model = DarcyResidual(DarcyResidualConfig(widths=(8, 16)))
    >>> a = torch.full((1, 1, 17, 17), 3.0)
    >>> round(3 * float(model(a).detach().max()), 4)  # the torsion of a square: 0.0737
    0.0734
    """

    scale: Tensor
    deviation: Tensor
    level: Tensor
    contrast: Tensor
    log_mean: Tensor
    log_deviation: Tensor

    def __init__(self, config: DarcyResidualConfig) -> None:
        super().__init__()
        self.config = config
        for name in ("scale", "deviation", "level", "contrast", "log_deviation"):
            self.register_buffer(name, torch.tensor(1.0))
        self.register_buffer("log_mean", torch.tensor(0.0))
        self.net = ResidualUNet(4, 1 if config.form == "correction" else 2, config.widths, config.depth)

    def forward(self, a: Tensor, solutions: Tensor | None = None) -> Tensor:
        """Predict the pressure.

        Parameters
        ----------
        a : (B, 1, n, n) tensor
            Permeability, positive, walls included.
        solutions : (B, 2, n, n) tensor, optional
            `coarse_solutions(a)`, where they are at hand; by default they are computed, without gradient.
        """
        check_fields(a, 1, 2, smallest=3)
        if a.shape[2] != a.shape[3] or (solutions is not None and solutions.shape != (len(a), 2, *a.shape[2:])):
            given = None if solutions is None else tuple(solutions.shape)
            raise ValueError(f"a has shape {tuple(a.shape)} and solutions {given}: expected (B, 1, n, n), (B, 2, n, n)")
        if solutions is None:
            solutions = coarse_solutions(a, steps=self.config.steps)
        harmonic, geometric = solutions[:, :1], solutions[:, 1:]
        fields = [
            (a.log() - self.log_mean) / self.log_deviation,
            geometric / self.level,
            (harmonic - geometric) / self.contrast,
            wall_profile(a).expand_as(a),
        ]
        y = self.net(torch.cat(fields, dim=1)).to(a.dtype)
        if self.config.form == "faces":
            return self._solved(a[:, 0], y)
        if self.config.walls:
            y = nn.functional.pad(y[:, :, 1:-1, 1:-1], (1, 1, 1, 1))
        found: Tensor = self.scale * geometric + self.deviation * y
        return found

    @torch.no_grad()
    def measure(self, a: NDArray[Any] | Tensor, u: NDArray[Any] | Tensor) -> DarcyResidual:
        """Fit the scalar and the deviations to training data.

        Parameters
        ----------
        a, u : (N, n, n) or (N, 1, n, n) array or tensor
            Training pairs, never the test data.

        Returns
        -------
        DarcyResidual
            Itself.

        Raises
        ------
        ValueError
            If a value is not finite, or a is not positive; then nothing has changed.
        """
        fields, truth = _one_channel(a), _one_channel(u)
        check_finite(fields, "a")
        check_finite(truth, "u")
        if not bool((fields > 0).all()):
            raise ValueError(f"a has the minimum {float(fields.min())}: a permeability is positive")
        solutions = coarse_solutions(fields, steps=self.config.steps)
        harmonic, geometric = solutions[:, :1], solutions[:, 1:]
        s = fitted_scale(geometric, truth)
        found = {
            "scale": s,
            "deviation": _size(truth - s * geometric),
            "level": _size(geometric),
            "contrast": _size(harmonic - geometric),
            "log_mean": float(fields.log().mean()),
            "log_deviation": float(fields.log().std(correction=0)),
        }
        for name, value in found.items():
            getattr(self, name).fill_(value if value or name == "log_mean" else 1.0)
        return self

    def _solved(self, a: Tensor, y: Tensor) -> Tensor:
        """Solve with the coefficients that the network proposes."""
        across, along, _ = node_faces(a)
        across = across * (0.5 * (y[:, 0, 1:] + y[:, 0, :-1])).exp() / self.scale
        along = along * (0.5 * (y[:, 1, :, 1:] + y[:, 1, :, :-1])).exp() / self.scale
        return solve_faces(Faces(across, along), torch.ones_like(a[:, 1:-1, 1:-1]), steps=self.config.steps)[:, None]


@torch.no_grad()
def coarse_solutions(a: Tensor, *, steps: int = 16) -> Tensor:
    """Solve -div(a grad u) = 1 on the nodes of a by two face means.

    Parameters
    ----------
    a : (B, 1, n, n) tensor
        Permeability, positive, walls included.
    steps : int
        Conjugate gradient steps.

    Returns
    -------
    (B, 2, n, n) tensor
        The solution by harmonic means, then that by geometric means; on the device of a.

    Examples
    --------
    >>> coarse_solutions(torch.ones(2, 1, 9, 9)).shape
    torch.Size([2, 2, 9, 9])
    """
    found = []
    for part in torch.split(a[:, 0], CHUNK):
        f = torch.ones_like(part[:, 1:-1, 1:-1])
        found.append(torch.stack([solve_faces(node_faces(part, power=p), f, steps=steps) for p in (-1.0, 0.0)], dim=1))
    return torch.cat(found)


def wall_profile(a: Tensor) -> Tensor:
    """Return sin pi x sin pi y on the nodes, (n, n): it tells the network where the walls are."""
    x = torch.linspace(0, math.pi, a.shape[-1], device=a.device, dtype=a.dtype).sin()
    return x[:, None] * x


def _one_channel(x: NDArray[Any] | Tensor) -> Tensor:
    fields = torch.as_tensor(x).to(torch.float32)
    return fields[:, None] if fields.ndim == 3 else fields


def _size(x: Tensor) -> float:
    return float(x.double().square().mean().sqrt())
