"""Set-up networks with random weights, and small problems, for the tests of the learned V-cycle."""

from __future__ import annotations

import torch

from conjugo.learned.preconditioners.stencil_net import StencilNet, StencilNetConfig
from conjugo.learned.preconditioners.stencil_problems import ROTATED, Stencil, draw

PROBLEMS: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "2-D": (("packed", "noise"), (27, 30)),
    "2-D masked": (("solids",), (26, 31)),
    "2-D compact": (ROTATED, (28, 25)),
    "3-D": (("packed", "noise"), (9, 10, 11)),
    "3-D masked": (("slabs",), (10, 9, 12)),
    "3-D compact": (ROTATED, (9, 8, 10)),
}
"""Families and grids."""


def problem(name: str, seed: int = 5) -> Stencil:
    """Draw a problem by name."""
    return draw(*PROBLEMS[name], seed)


def random_net(dimension: int, scale: float = 1.0, width: int = 8) -> StencilNet:
    """Return a float64 network whose last layer is not zero."""
    torch.manual_seed(1)
    net = StencilNet(StencilNetConfig(dimension=dimension, width=width)).double()
    with torch.no_grad():
        for parameter in net.write.parameters():
            parameter.normal_(0.0, scale)
    return net.eval()
