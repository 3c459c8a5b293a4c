"""A small operator that takes a residual: a learned Green's function in the lowest sine modes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class ResidualOperatorConfig:
    """Shape of a `ResidualOperator`.

    Parameters
    ----------
    channels : int
        Terms of the sum.
    modes : int
        Sine modes an axis that a term keeps.
    hidden : int
        Fields of the small network that makes the gates.

    Raises
    ------
    ValueError
        For numbers below 1.
    """

    channels: int = 8
    modes: int = 16
    hidden: int = 16

    def __post_init__(self) -> None:
        for name in ("channels", "modes", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: expected at least 1")


class ResidualOperator(nn.Module):
    """Map (log a, r) to a correction z, (batch, 2, n, m) to (batch, 1, n, m), by low modes alone.

    Parameters
    ----------
    config : ResidualOperatorConfig
        Its shape.

    Raises
    ------
    ValueError
        By `forward`, for fields that are not (batch, 2, n, m).

    Notes
    -----
    z = sum_c g_c S D_c S^T (g_c r), with S the first K sine modes an axis (orthonormal, zero on the walls), D_c > 0
    diagonal, and gates g = V tanh(W log a + F log a), F a spectral filter in cosine modes. So z is linear in r, and the
    operator is symmetric and positive semi-definite, for any weights: a Green's operator. It acts on what is smooth;
    relaxation has to do the rest (`OperatorPreconditioner`). The modes are those of the square, not of the grid: the
    same weights serve all sizes.

    The first weights are classical: g_1 = a^(-1/2) and D_1 the inverse of the Laplacian, K modes of a fast Poisson
    solve scaled on both sides; the other terms start small.

    References
    ----------
    Z. Li et al. (2021), "Fourier neural operator for parametric partial differential equations", ICLR (modes).
    C. Gin et al. (2021), "DeepGreen: deep learning of Green's functions", Sci. Rep. 11 (the structure of z).

    Examples
    --------
    >>> net = ResidualOperator(ResidualOperatorConfig(channels=2, modes=4))
    >>> x = torch.randn(3, 2, 15, 15)
    >>> net(x).shape, bool((x[:, 1:] * net(x) > 0).any())
    (torch.Size([3, 1, 15, 15]), True)
    """

    def __init__(self, config: ResidualOperatorConfig) -> None:
        super().__init__()
        self.config = config
        k, hidden, channels = config.modes, config.hidden, config.channels
        waves = torch.arange(1, k + 1, dtype=torch.float32).square()
        inverse = 2.0 / (waves[:, None] + waves[None, :])
        self.log_diagonal = nn.Parameter(inverse.log().repeat(channels, 1, 1))
        self.lift = nn.Conv2d(1, hidden, 1)
        self.filter = nn.Parameter(torch.randn(hidden, k, k) / k)
        self.gate = nn.Conv2d(hidden, channels, 1)
        with torch.no_grad():
            self.gate.weight.mul_(0.1)
            nn.init.zeros_(self.gate.bias)  # type: ignore[arg-type]

    def gates(self, coefficient: Tensor) -> Tensor:
        """Return g, (batch, channels, n, m), for log a, (batch, 1, n, m): once a coefficient."""
        rows, columns = (cosines(n, self.config.modes, coefficient) for n in coefficient.shape[2:])
        low = rows @ (self.filter * (rows.T @ coefficient @ columns)) @ columns.T
        learned: Tensor = self.gate(torch.tanh(self.lift(coefficient) + low))
        first = learned[:, :1] + torch.exp(-0.5 * coefficient)
        return torch.cat([first, learned[:, 1:]], dim=1)

    def respond(self, residual: Tensor, gates: Tensor) -> Tensor:
        """Return z for residuals (batch, 1, n, m) and gates of one or all of them."""
        rows, columns = (sines(n, self.config.modes, residual) for n in residual.shape[2:])
        modes = self.log_diagonal.exp()[:, : rows.shape[1], : columns.shape[1]]
        z = rows @ (modes * (rows.T @ (gates * residual) @ columns)) @ columns.T
        return (gates * z).sum(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return z for the channels log a and r.

        Parameters
        ----------
        x : (batch, 2, n, m) tensor
            The logarithm of the coefficient over its geometric mean, and the residual, at the interior nodes.

        Returns
        -------
        (batch, 1, n, m) tensor
        """
        if x.ndim != 4 or x.shape[1] != 2:
            raise ValueError(f"x has shape {tuple(x.shape)}: expected (batch, 2, n, m), the channels log a and r")
        return self.respond(x[:, 1:], self.gates(x[:, :1]))


def sines(n: int, modes: int, like: Tensor) -> Tensor:
    """Return the first sine modes on n interior nodes, (n, min(n, modes)), with orthonormal columns."""
    i = torch.arange(1, n + 1, device=like.device, dtype=torch.float64)[:, None]
    k = torch.arange(1, min(n, modes) + 1, device=like.device, dtype=torch.float64)[None, :]
    return (math.sqrt(2 / (n + 1)) * torch.sin(math.pi * i * k / (n + 1))).to(like.dtype)


def cosines(n: int, modes: int, like: Tensor) -> Tensor:
    """Return cosine modes 0 ... modes - 1 on n nodes (cell centres), (n, modes), scaled as `sines`.

    Examples
    --------
    >>> columns = cosines(8, 3, torch.zeros(()))
    >>> bool(torch.allclose(columns.T @ columns, torch.eye(3), atol=1e-6))
    True
    """
    i = torch.arange(n, device=like.device, dtype=torch.float64)[:, None] + 0.5
    k = torch.arange(modes, device=like.device, dtype=torch.float64)[None, :]
    scale = torch.where(k > 0, math.sqrt(2 / n), math.sqrt(1 / n))
    scale = torch.where(k < n, scale, 0.0)  # modes that the grid does not have
    return (scale * torch.cos(math.pi * i * k / n)).to(like.dtype)
