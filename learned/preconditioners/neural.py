"""A network as a preconditioner: it proposes a direction, and flexible CG decides how far to go along it."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from conjugo.learned.preconditioners.forward import Forward, Precision
from conjugo.learned.preconditioners.geometry import Domain
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator

logger = logging.getLogger(__name__)

LEAST_COSINE = 1e-3
"""|cos(d, r)| at or below which a direction is useless."""


class NeuralPreconditioner:
    """M for `fcg(A, b, M=NeuralPreconditioner(model, problem), window=2)`: the deep conjugate direction method.

    Parameters
    ----------
    model : module
        `DirectionNet`, `MultilevelNet`, or anything that maps (batch, 1, *grid) and the geometry to a direction.
    problem : LinearProblem or stencil
        What is solved: the grid, the mask, the null space and, for networks that look, the geometry. A matrix needs
        a problem with a grid around it.
    precision : {"float32", "bfloat16", "float64"}
        Of the network; float64 is for tests. Everything else keeps the precision of the residual.
    fallback : operator, optional
        A classical preconditioner whose direction takes the place of a useless one; default the residual.
    device : device, optional
        Where the network runs; default where the model is.
    compile : bool
        Pass the network through `torch.compile`.
    graph : bool
        On CUDA, replay a CUDA graph.
    geometry : (1, c, *grid) tensor, optional
        What the network sees beside the residual; default `Domain.geometry()`, where the walls and solids are.

    Attributes
    ----------
    applications, rejected : int
        Calls of `@`, and how many of them met a useless direction.
    setup_seconds : float
        What the making took.

    Raises
    ------
    ValueError
        For a grid of another dimension than the network's or too small to coarsen, a problem without a grid or without
        any active unknown, an unknown precision, a device that is not there, and residuals of a wrong shape.

    Notes
    -----
    z = mask N(r / s) s with s the root mean square of r over the active unknowns, less its mean on each connected
    component of a singular problem (the columns of `A.nullspace`). The scale makes the network's input independent of
    resolution, and M (c r) = c M r for c > 0. Grids whose sides are not multiples of the network's coarsening are
    padded with zeros at the high ends, and the direction is cropped.

    A direction that is not finite, or with |cos(z, r)| <= 1e-3, is replaced by `fallback @ r`, column by column, with
    one logged warning. The sign of z does not matter to flexible CG.

    References
    ----------
    Kaneda et al. (2023), "A deep conjugate direction method for iteratively solving linear systems", ICML, Algorithm 1.

    Examples
    --------
    >>> from conjugo.learned.preconditioners.multilevel import MultilevelNet, MultilevelNetConfig
    >>> from conjugo.pde import poisson
    >>> from conjugo.solvers import fcg
    >>> problem = poisson((15, 15))
    >>> M = NeuralPreconditioner(MultilevelNet(MultilevelNetConfig(dimension=2)), problem)
    >>> fcg(problem.A, problem.b, M=M, window=2, rtol=1e-8).status
    <Status.CONVERGED: 'converged'>
    """

    linear = False
    symmetric = False

    def __init__(
        self,
        model: nn.Module,
        problem: Any,
        *,
        precision: Precision = "float32",
        fallback: LinearOperator | None = None,
        device: torch.device | str | None = None,
        compile: bool = False,
        graph: bool = True,
        geometry: Tensor | None = None,
    ) -> None:
        started = time.perf_counter()
        self._domain = domain = Domain.of(problem)
        if geometry is None and not domain.even:
            logger.warning(
                "the couplings of A differ (spacings, or a coefficient that varies): the shipped networks know equal "
                "cells only, so expect many iterations; Multigrid takes few"
            )
        coarsening = getattr(model, "coarsening", None)
        multiple = 1 if coarsening is None else int(coarsening(domain.shape))
        padded = tuple(-(-n // multiple) * multiple for n in domain.shape)
        pairs = [(0, big - n) for n, big in zip(domain.shape, padded, strict=True)]
        self._pad = [edge for pair in reversed(pairs) for edge in pair]  # pad() starts with the last axis
        seen = nn.functional.pad(domain.geometry() if geometry is None else geometry, self._pad)
        self._forward = Forward(model, seen, precision=precision, device=device, compile=compile, graph=graph)
        self._fallback = None if fallback is None else as_operator(fallback)
        self._moved: dict[tuple[torch.device, torch.dtype], tuple[Tensor | None, Tensor | None]] = {}
        self.shape = (domain.size, domain.size)
        self.applications = 0
        self.rejected = 0
        self.setup_seconds = time.perf_counter() - started

    def __repr__(self) -> str:
        grid = " x ".join(map(str, self._domain.shape))
        return f"NeuralPreconditioner({grid} grid, {self._forward.dtype}, {self._forward.device})"

    def __matmul__(self, r: Array) -> Array:
        n = self.shape[0]
        if getattr(r, "ndim", 0) not in (1, 2) or r.shape[0] != n:
            raise ValueError(f"r has shape {tuple(np.shape(r))}: expected ({n},) or ({n}, k); flatten grids")
        if isinstance(r, np.ndarray):
            if r.dtype.kind != "f":
                raise ValueError(f"r has dtype {r.dtype}: expected a real floating type; a network knows no other")
            return self._apply(torch.from_numpy(np.array(r, order="C"))).numpy()
        if not r.is_floating_point():
            raise ValueError(f"r has dtype {r.dtype}: expected a real floating type; a network knows no other")
        return self._apply(r)

    @torch.no_grad()
    def _apply(self, r: Tensor) -> Tensor:
        """Propose a direction for each column, and replace useless ones."""
        self.applications += 1
        columns = r.reshape(r.shape[0], -1)
        z = self._propose(columns)
        sizes = columns.square().sum(0) * z.square().sum(0)
        cosine = (columns * z).sum(0).abs() / torch.where(sizes > 0, sizes, 1.0).sqrt()
        zero = (columns == 0).all(0)  # a frozen column of a block: nothing to propose
        useful = (cosine > LEAST_COSINE) & torch.isfinite(sizes) | zero
        if not bool(useful.all()):
            self._reject()
            z = torch.where(useful, z, self._classical(columns))
        return z.reshape(r.shape)

    def _propose(self, columns: Tensor) -> Tensor:
        """Run the network on columns of unit root mean square, (n, k) to (n, k)."""
        domain = self._domain
        mask, nullspace = self._on(columns)
        inside = columns if mask is None else columns * mask
        scale = inside.square().sum(0).sqrt() / math.sqrt(domain.count)
        scale = torch.where(scale > 0, scale, 1.0)
        fields = (inside / scale).T.reshape(-1, 1, *domain.shape)
        fields = nn.functional.pad(fields.to(self._forward.dtype), self._pad)
        out = self._forward(fields)
        for axis, n in enumerate(domain.shape):
            out = out.narrow(2 + axis, 0, n)
        z = out.reshape(columns.shape[1], -1).T.to(device=columns.device, dtype=columns.dtype) * scale
        z = z if mask is None else z * mask
        return z if nullspace is None else z - nullspace @ (nullspace.T @ z)

    def _classical(self, columns: Tensor) -> Tensor:
        """Return the direction that needs no network."""
        if self._fallback is None:
            return columns
        if columns.device.type != "cpu":
            z: Tensor = self._fallback @ columns
            return z
        return torch.from_numpy(np.ascontiguousarray(self._fallback @ columns.numpy()))  # classical ones read NumPy

    def _reject(self) -> None:
        """Count a useless direction, and warn of the first."""
        self.rejected += 1
        if self.rejected == 1:
            instead = "the residual" if self._fallback is None else type(self._fallback).__name__
            logger.warning(
                "the network's direction in application %d is not finite or orthogonal to the residual: "
                "%s takes its place, here and wherever that happens again",
                self.applications,
                instead,
            )

    def _on(self, columns: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the mask (n, 1) and the null space (n, c) in the residual's precision and on its device."""
        key = (columns.device, columns.dtype)
        if key not in self._moved:
            pair = (self._domain.active, self._domain.nullspace)
            mask, nullspace = (None if v is None else torch.as_tensor(v).to(columns) for v in pair)
            self._moved[key] = (None if mask is None else mask.reshape(-1, 1), nullspace)
        return self._moved[key]
