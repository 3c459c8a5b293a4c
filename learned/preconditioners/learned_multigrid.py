"""Black-box multigrid whose transfer weights and relaxation factors come from a network, at set-up only."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from conjugo.learned.preconditioners.stencil_net import StencilNet, reweigh
from conjugo.learned.training.models import load_model, weights_path
from conjugo.solvers.multigrid.black_box import BlackBoxHierarchy
from conjugo.solvers.multigrid.multigrid import Hierarchy, Multigrid, Precision
from conjugo.solvers.multigrid.parity import Parity
from conjugo.solvers.multigrid.schedule import Cycle
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil

type Floats = NDArray[np.float64]

SHIPPED = {2: "stencil2d", 3: "stencil3d"}
"""Names of the weights in `learned/weights/`, by dimension."""


class LearnedMultigrid(Multigrid):
    """Symmetric black-box multigrid with learned transfer weights and relaxation factors, a preconditioner for `cg`.

    Parameters
    ----------
    A : VariableStencil or CompactStencil
        Symmetric, on a grid of two or three axes.
    model : StencilNet, Path or str, optional
        The network, a file of weights, or the name of shipped ones. Default: the shipped ones of A's dimension.
    cycle : {"V", "W"}
        As for `Multigrid`. The network was trained for V.
    precision : {"float32", "float64"}
        Precision of the cycle.
    threads : int, optional
        As for `Multigrid`.

    Attributes
    ----------
    network_seconds : float
        Part of `setup_seconds` that the network took, without loading it.

    Raises
    ------
    ValueError
        If A is no such stencil or not symmetric, the model is no `StencilNet` or of another dimension, or there are no
        such weights.

    Notes
    -----
    The network runs once a level in the set-up (no gradients, its own precision) and not in the cycle, which costs
    what the classical one costs but for a factor in each relaxation. For any weights M is symmetric positive definite
    with the eigenvalues of M A in (0, 1] (V; in exact arithmetic): the coarse operators are P^T A P, and Gauss-Seidel
    by colours with factors in (0, 2) contracts the energy. Levels on which the grid has lost an axis, or with a
    periodic axis, stay classical.

    References
    ----------
    D. Greenfeld, M. Galun, R. Kimmel, I. Yavneh, R. Basri, Learning to optimize multigrid PDE solvers, ICML 2019,
    section 4 (learned prolongation, Galerkin coarsening).

    Examples
    --------
    The untrained network is the classical cycle:

    >>> from conjugo.learned.preconditioners.learned_multigrid import LearnedMultigrid
    >>> from conjugo.learned.preconditioners.stencil_net import StencilNet, StencilNetConfig
    >>> from conjugo.pde import poisson
    >>> from conjugo.solvers import Multigrid
    >>> problem = poisson((40, 40), coefficient="inclusions", contrast=100.0)
    >>> M = LearnedMultigrid(problem.A, StencilNet(StencilNetConfig(width=8)))
    >>> bool((M @ problem.b == Multigrid(problem.A, cycle="V", symmetric=True) @ problem.b).all())
    True
    """

    def __init__(
        self,
        A: VariableStencil | CompactStencil,
        model: StencilNet | Path | str | None = None,
        *,
        cycle: Cycle = "V",
        precision: Precision = "float32",
        threads: int | None = None,
    ) -> None:
        _check(A)
        if cycle == "F":
            raise ValueError("cycle = 'F': an F-cycle is not symmetric; expected 'V' or 'W'")
        net = model if isinstance(model, torch.nn.Module) else _load(model, len(A.grid_shape))
        if not isinstance(net, StencilNet):
            raise ValueError(f"model is a {type(net).__name__}: expected a StencilNet, a file of one, or a name")
        if net.config.dimension != len(A.grid_shape):
            raise ValueError(
                f"the network is for {net.config.dimension}-D grids but A has the grid {A.grid_shape}: "
                f"use weights of dimension {len(A.grid_shape)}"
            )
        self._net = net
        self.network_seconds = 0.0
        super().__init__(A, cycle=cycle, symmetric=True, precision=precision, threads=threads)
        self._name = f"learned {self._name}"

    def _make(self, **options: object) -> Hierarchy:
        assert isinstance(self._A, VariableStencil | CompactStencil)
        return BlackBoxHierarchy(self._A, weigh=self._weigh, **options)  # type: ignore[arg-type]

    @torch.no_grad()
    def _weigh(self, grid: Parity, a: Floats, p: Floats) -> tuple[Floats, Floats | None]:
        """Pass one level through the network."""
        if grid.dimensions != self._net.config.dimension or any(grid.periodic):
            return p, None
        started = time.perf_counter()
        device = self._net.read.weight.device
        entries, weights = torch.from_numpy(a)[None].to(device), torch.from_numpy(p)[None].to(device)
        logits, omega = self._net(grid, entries, weights)
        if not (bool(torch.isfinite(logits).all()) and bool(torch.isfinite(omega).all())):
            raise ValueError(f"the network returned NaN or infinity on the grid {grid.shape}: its weights are damaged")
        weights = reweigh(grid, weights, logits)
        factors = None if bool((omega == 1).all()) else omega[0].cpu().numpy()
        self.network_seconds += time.perf_counter() - started
        return np.ascontiguousarray(weights[0].cpu().numpy()), factors


def _check(A: object) -> None:
    """Refuse what is no stencil with varying coefficients in two or three dimensions."""
    if isinstance(A, SeparableStencil):
        raise ValueError("A is a SeparableStencil: Multigrid(A) solves these in a few cycles, nothing is to be learned")
    if not isinstance(A, VariableStencil | CompactStencil):
        raise ValueError(f"A is a {type(A).__name__}: expected a VariableStencil or a CompactStencil")
    if len(A.grid_shape) not in (2, 3):
        raise ValueError(f"A has the grid {A.grid_shape}: expected two or three axes; Multigrid(A) takes one")


def _load(model: Path | str | None, dimension: int) -> torch.nn.Module:
    """Load a file, or shipped weights by name."""
    if model is None:
        model = SHIPPED[dimension]
    if isinstance(model, str) and not model.endswith(".safetensors"):
        return load_model(weights_path(model))
    if not isinstance(model, str | Path):
        raise ValueError(f"model is a {type(model).__name__}: expected a StencilNet, a file of one, or a name")
    return load_model(model)
