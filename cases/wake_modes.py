"""Snapshots of a wake as coefficients of proper orthogonal modes, and modes as pictures of vorticity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patches import Circle
from numpy.typing import NDArray

from conjugo.pde.grid import Grid
from conjugo.pde.trajectories import Trajectories

type Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """Proper orthogonal modes of velocities about the steady flow, with the vorticity that belongs to each.

    Parameters
    ----------
    velocity : (r, 2 nx ny) array
        Orthonormal modes.
    vorticity : (r, nx, ny) array
        Of the modes.
    steady : (3, nx, ny) array
        What is subtracted.
    unit : float
        Coefficients are in units of it.
    held : float
        Share of the training snapshots' energy that the modes hold.

    Examples
    --------
    >>> u = np.random.default_rng(0).standard_normal((1, 9, 3, 4, 4))
    >>> basis = Basis.of(u, np.zeros((3, 4, 4)), 9)
    >>> round(basis.held, 6), basis.coefficients(Trajectories(u, np.arange(9.0))).u.shape
    (1.0, (1, 9, 9))
    """

    velocity: Values
    vorticity: Values
    steady: Values
    unit: float
    held: float

    @classmethod
    def of(cls, u: Values, steady: Values, rank: int) -> Basis:
        """Modes of trajectories (N, T, 3, nx, ny) by the method of snapshots.

        Raises
        ------
        ValueError
            If there are fewer snapshots than modes.
        """
        x = (u - steady).reshape(-1, *steady.shape)
        if not 1 <= rank <= len(x):
            raise ValueError(f"rank = {rank}: expected 1 to {len(x)}, the number of snapshots")
        flat = x[:, :2].reshape(len(x), -1)
        energy, V = np.linalg.eigh(flat @ flat.T)
        energy, V = energy[::-1][:rank], V[:, ::-1][:, :rank]
        lift = (V / np.sqrt(np.maximum(energy, 1e-300))).T
        coefficients = flat @ (lift @ flat).T
        held = float(np.sum(energy) / np.sum(flat**2))
        modes = np.tensordot(lift, x[:, 2], axes=1)
        return cls(lift @ flat, modes, steady, float(np.sqrt(np.mean(coefficients[:, 0] ** 2))), held)

    def coefficients(self, trajectories: Trajectories) -> Trajectories:
        """Take trajectories (N, T, 3, nx, ny) to their coefficients (N, T, r)."""
        x = (trajectories.u - self.steady)[:, :, :2]
        a = x.reshape(*x.shape[:2], -1) @ self.velocity.T / self.unit
        return Trajectories(a, trajectories.t, trajectories.name)

    def lost(self, trajectories: Trajectories) -> float:
        """Relative root mean square of what trajectories (N, T, 3, nx, ny) have outside the modes."""
        x = (trajectories.u - self.steady)[:, :, :2]
        whole = float(np.sum(x**2))
        held = float(np.sum((self.coefficients(trajectories).u * self.unit) ** 2))
        return float(np.sqrt(max(whole - held, 0.0) / whole))


def mirrored(u: Values) -> Values:
    """Reflect trajectories (N, T, 3, nx, ny) at the wake's axis: y -> -y, v and the vorticity change sign.

    Examples
    --------
    >>> u = np.arange(12.0).reshape(1, 1, 3, 1, 4)
    >>> mirrored(u)[0, 0, :, 0].tolist()
    [[3.0, 2.0, 1.0, 0.0], [-7.0, -6.0, -5.0, -4.0], [-11.0, -10.0, -9.0, -8.0]]
    """
    return np.asarray(u[..., ::-1] * np.array([1.0, -1.0, -1.0])[:, None, None])


def draw_mode(ax: Axes, vorticity: Values, grid: Grid, title: str) -> None:
    """Draw a field of vorticity round the cylinder, red and blue about zero."""
    ends = [(o, o + h * (n - 1)) for o, h, n in zip(grid.origin, grid.spacing, grid.shape, strict=True)]
    limit = float(np.quantile(np.abs(vorticity), 0.995)) or 1.0
    ax.imshow(vorticity.T, origin="lower", cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="bilinear",
              extent=(*ends[0], *ends[1]), aspect="equal")  # fmt: skip
    ax.add_patch(Circle((0.0, 0.0), 0.5, facecolor="0.75", edgecolor="0.3", linewidth=0.6, zorder=3))
    ax.set_title(title, fontsize=9)
    ax.tick_params(labelsize=7)


def draw_eigenvalues(ax: Axes, values: NDArray[np.complex128], residuals: Values, title: str, figure: Any) -> None:
    """Draw discrete eigenvalues with the unit circle, coloured by their residual."""
    angle = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(angle), np.sin(angle), color="0.6", linewidth=0.8, zorder=0)
    order = np.argsort(-residuals)  # the trusted ones on top
    dots = ax.scatter(values.real[order], values.imag[order], c=np.clip(residuals[order], 1e-4, 1.0), s=16,
                      cmap="viridis_r", norm=LogNorm(1e-4, 1.0), edgecolors="0.3", linewidths=0.3)  # fmt: skip
    ax.set_aspect("equal")
    ax.set_xlim(-1.15, 1.15)
    ax.set_ylim(-1.15, 1.15)
    ax.set_title(title, fontsize=9)
    ax.tick_params(labelsize=7)
    figure.colorbar(dots, ax=ax, shrink=0.7, label="residual on the test wake")
