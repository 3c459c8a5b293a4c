"""Multigrid-preconditioned conjugate gradients on one CUDA device, for constant coefficients."""

from __future__ import annotations

import math
import time
from functools import partial

import numpy as np
import torch

from conjugo.solvers.monitor import Callback, Monitor
from conjugo.solvers.multigrid.coarsest import DENSE, CoarsestSolve
from conjugo.solvers.multigrid.transfers import Transfer, coarsen, strength
from conjugo.solvers.operators.separable import Axis, SeparableStencil
from conjugo.solvers.result import SolveResult, Status
from conjugo.solvers.triton import cg_kernels, cycle_kernels
from conjugo.solvers.triton.cg_kernels import ALPHA, BETA, CURVATURE, RHO, SCALE, SQUARE
from conjugo.solvers.triton.graph import Recorded
from conjugo.solvers.triton.language import check_device, divide_up
from conjugo.solvers.triton.separable_level import WARPS, Axes, SeparableLevel, Transfers, entries, three_axes

_ALIKE = 2.0
"""Axes are coarsened whose coupling is within this factor of the strongest, as on the CPU."""
_SUM_BLOCK = 4096


def _coarser(axes: Axes) -> tuple[Axes, Transfers] | None:
    """Coarsen the axes that are coupled most strongly, or None where the grid is small enough."""
    couplings = [strength(axis) for axis in axes]
    if math.prod(len(axis) for axis in axes) <= DENSE or max(couplings) == 0:
        return None
    pairs: list[tuple[Axis, Transfer | None]] = [
        coarsen(axis) if coupling * _ALIKE >= max(couplings) else (axis, None)
        for axis, coupling in zip(axes, couplings, strict=True)
    ]
    first, second, third = pairs
    return (first[0], second[0], third[0]), (first[1], second[1], third[1])


class CudaMultigrid:
    """Multigrid-CG for a separable operator, all on one CUDA device: `solve`, and `@` as a preconditioner.

    Parameters
    ----------
    A : SeparableStencil
        Symmetric, positive (semi-)definite: constant coefficients on a box, any end conditions, any size.
    device : str or torch.device
        Where; tensors must be there.

    Attributes
    ----------
    shape, linear, symmetric
        What Krylov methods ask of a preconditioner. `@` is symmetric positive definite to float32 rounding.
    setup_seconds : float
        Wall-clock time of the set-up. Kernels compile at the first use of each.
    nbytes : int
        Bytes on the device.

    Raises
    ------
    ValueError
        Where A is no SeparableStencil, not symmetric, indefinite or cannot be coarsened; where the device is missing.

    Notes
    -----
    x and r are float64; the cycle and the direction p are float32. One iteration is a V-cycle with two Chebyshev-Jacobi
    steps before and after each correction, then p = z + beta p with p . A p, then x += alpha p and r -= alpha A p with
    r . r: 25 float32 passes over the finest grid. alpha and beta never leave the device; an iteration is one CUDA
    graph, and the host only reads three scalars after it. Coarse grids and transfers are those of `TensorHierarchy`.

    The smoother's two damped Jacobi steps have omega = 1 / (c + h cos(pi / 4)), 1 / (c + h cos(3 pi / 4)), where
    c and h are centre and half width of the part [0.9 / d, 2] of the spectrum of D^-1 T: together they are the
    Chebyshev polynomial of degree 2.

    References
    ----------
    .. [1] M. Adams, M. Brezina, J. Hu, R. Tuminaro, Parallel multigrid smoothing: polynomial versus Gauss-Seidel,
       J. Comput. Phys. 188 (2003) 593-610, section 3.
    .. [2] S. F. McCormick, J. Benzaken, R. Tamstorf, Algebraic error analysis for mixed-precision multigrid solvers,
       SIAM J. Sci. Comput. 43 (2021), S392-S419.

    Examples
    --------
    On a machine with a CUDA device::

        A = poisson((256, 256, 256), ...).A
        M = CudaMultigrid(A)
        x, info = M.solve(torch.as_tensor(b, device="cuda"), rtol=1e-10)
        x, info = cg(A, b_on_the_device, M=M)  # the generic loop, for comparison
    """

    linear = True
    symmetric = True

    def __init__(self, A: SeparableStencil, *, device: str | torch.device = "cuda") -> None:
        started = time.perf_counter()
        self.device = check_device(device)
        if not isinstance(A, SeparableStencil):
            raise ValueError(f"A is a {type(A).__name__}: expected a SeparableStencil; see CudaBlackBox for others")
        if not A.symmetric:
            raise ValueError("A is not symmetric: expected weight * upper = weight * lower on every axis; use fgmres")
        lowest = A.shift + sum(float(axis.diag.min()) for axis in A.axes)
        if not lowest > 0:
            raise ValueError(f"A / weight has the diagonal entry {lowest:.3g}: expected positive ones; use minres")
        self.A, self.shape = A, A.shape
        self._build(three_axes(A.axes), A.shift)
        finest, n = self.levels[0], A.shape[0]
        self._coef = torch.tensor(entries(three_axes(A.axes), A.shift), device=self.device)
        self._partial = torch.zeros(finest.programs, dtype=torch.float64, device=self.device)
        self._scalars = torch.zeros(6, dtype=torch.float64, device=self.device)
        self._pinned = torch.zeros(6, dtype=torch.float64, pin_memory=self.device.type == "cuda")
        self._x, self._r = (torch.zeros(n, dtype=torch.float64, device=self.device) for _ in range(2))
        self._p = [torch.zeros(n, dtype=torch.float32, device=self.device) for _ in range(2)]
        self._inverse_weight: torch.Tensor | None = None
        if any(np.any(axis.weight != 1) for axis in A.axes):
            weights = torch.tensor(1.0 / A.weights().ravel(), dtype=torch.float32, device=self.device)
            self._inverse_weight = weights
        self._cycle = Recorded(self.run_cycle, self.device)
        self._steps = [Recorded(partial(self._iteration, at), self.device) for at in range(2)]
        self.setup_seconds = time.perf_counter() - started

    def _build(self, axes: Axes, shift: float) -> None:
        """Levels, and the inverse of the coarsest operator."""
        self.levels: list[SeparableLevel] = []
        interval = (0.9 / max(1, sum(len(axis) > 1 for axis in axes)), 2.0)
        while (coarser := _coarser(axes)) is not None:
            self.levels.append(SeparableLevel(axes, shift, coarser[1], self.device, interval))
            axes = coarser[0]
        self.levels.append(SeparableLevel(axes, shift, None, self.device, interval))
        last = SeparableStencil(axes, shift)
        solve = CoarsestSolve(last.tocsr(), 1e-10)
        if solve.inverse is None:
            raise ValueError(
                f"the coarsest grid has the shape {last.grid_shape}: an odd periodic axis stops coarsening; use sizes "
                "with more factors of two, or Multigrid(A) on the CPU"
            )
        values = np.asarray(solve.inverse * last.weights().ravel())
        self._inverse = torch.tensor(values, dtype=torch.float32, device=self.device)

    @property
    def grid_shapes(self) -> list[tuple[int, ...]]:
        """Shape of every level, finest first, always with three axes."""
        return [level.shape for level in self.levels]

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        own = (self._coef, self._partial, self._x, self._r, *self._p, self._inverse)
        return sum(t.nbytes for t in own) + sum(level.nbytes for level in self.levels)

    def run_cycle(self) -> None:
        """One V-cycle from the finest level's b to its x, and the shares of x . W b; nothing is synchronised."""
        for fine, coarse in zip(self.levels[:-1], self.levels[1:], strict=True):
            fine.smooth_zero()
            fine.restrict(coarse.b)
        last, n = self.levels[-1], len(self._inverse)
        cycle_kernels.coarsest[(divide_up(n, 16),)](last.x, last.b, self._inverse, n, B=16, C=128)
        for at in range(len(self.levels) - 2, -1, -1):
            self.levels[at].ascend(self.levels[at + 1].x, None if at else self._partial)
        if len(self.levels) == 1:
            torch.sum(last.x.double() * last.b.double() * self._volumes(), (0, 1, 2), out=self._partial[0])
            self._partial[1:] = 0

    def _volumes(self) -> torch.Tensor:
        """Product of the axes' weights, of the finest level."""
        n = self.levels[0].shape
        a, b, c = torch.split(self.levels[0].weight, list(n))
        return a[:, None, None] * b[None, :, None] * c[None, None, :]

    def direction(self, new: torch.Tensor, old: torch.Tensor) -> None:
        """First pass of an iteration: new = z + beta old, and the shares of new . A new."""
        top = self.levels[0]
        cg_kernels.direction[top.marched(top.shape[0])](
            new, old, top.x, self._coef, top.weight, self._scalars, self._partial, *top.shape, top.chunk, *top.active,
            BETA, *top.block, num_warps=WARPS,
        )  # fmt: skip

    def update(self, p: torch.Tensor) -> None:
        """Second pass: x += alpha p, r -= alpha A p, the finest level's b, and the shares of r . r."""
        top = self.levels[0]
        cg_kernels.update[top.grid(top.shape, top.tile)](
            self._x, self._r, top.b, p, self._coef, top.weight, self._scalars, self._partial, *top.shape, *top.active,
            ALPHA, SCALE, *top.tile, num_warps=WARPS,
        )  # fmt: skip

    def add_up(self, which: int) -> None:
        """Sum the shares into one of the scalars on the device."""
        top = self.levels[0]
        programs = math.prod(top.grid(top.shape, top.tile) if which == SQUARE else top.marched(top.shape[0]))
        cg_kernels.add_up[(1,)](self._scalars, self._partial, programs, WHICH=which, BLOCK=_SUM_BLOCK, num_warps=8)

    def _iteration(self, at: int) -> None:
        """One iteration of conjugate gradients; the directions alternate between two arrays."""
        self.run_cycle()
        self.add_up(RHO)
        self.direction(self._p[at], self._p[1 - at])
        self.add_up(CURVATURE)
        self.update(self._p[at])
        self.add_up(SQUARE)
        self._pinned.copy_(self._scalars, non_blocking=True)

    def _take(self, r: torch.Tensor, scale: float | torch.Tensor = 1.0) -> None:
        """Finest level's b = scale W^-1 r."""
        low = self.levels[0].b.view(-1)
        torch.mul(r, scale, out=low)
        if self._inverse_weight is not None:
            low.mul_(self._inverse_weight)

    def _check(self, name: str, v: torch.Tensor) -> None:
        """Refuse what is no floating tensor on this device."""
        if not isinstance(v, torch.Tensor) or v.device != self.device or not v.dtype.is_floating_point:
            where = f"{v.dtype} on {v.device}" if isinstance(v, torch.Tensor) else type(v).__name__
            raise ValueError(f"{name} is {where}: expected a real tensor on {self.device}; convert it with .to(...)")

    def __matmul__(self, r: torch.Tensor) -> torch.Tensor:
        self._check("r", r)
        if r.ndim not in (1, 2) or r.shape[0] != self.shape[0]:
            raise ValueError(f"r has shape {tuple(r.shape)}: expected ({self.shape[0]},) or ({self.shape[0]}, k)")
        out = torch.empty_like(r)
        pairs = [(r, out)] if r.ndim == 1 else [(r[:, c], out[:, c]) for c in range(r.shape[1])]
        for source, target in pairs:
            self._take(source)
            self._cycle()
            target.copy_(self.levels[0].x.view(-1))
        return out

    def solve(
        self,
        b: torch.Tensor,
        x0: torch.Tensor | None = None,
        *,
        rtol: float = 1e-5,
        atol: float = 0.0,
        maxiter: int = 200,
        callback: Callback | None = None,
    ) -> SolveResult:
        """Solve A x = b by conjugate gradients with the V-cycle as preconditioner.

        Parameters
        ----------
        b : (n,) float64 tensor on the device
            Right-hand side; not changed.
        x0 : tensor like b, optional
            First guess, zero by default.
        rtol, atol : float
            Stop when ||b - A x||_2 <= max(rtol ||b||_2, atol); the residual is recomputed before that is claimed.
        maxiter : int
            Iterations at most.
        callback : callable, optional
            Called with x after each iteration.

        Returns
        -------
        SolveResult
            As of `cg`.

        Raises
        ------
        ValueError
            For another device, dtype or shape, or NaN.
        """
        self._check("b", b)
        if b.dtype != torch.float64 or b.ndim != 1:
            raise ValueError(f"b is {b.dtype} with {b.ndim} axes: expected one float64 vector; convert with b.double()")
        monitor = Monitor("cuda multigrid-cg", self.A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback)
        size = float(monitor.bnorm)
        scale = 1.0 / size if size > 0 else 1.0
        self._start(monitor, b, scale)
        turn, exact = 0, monitor.from_zero
        rnorm = size if exact else None
        with monitor:
            while monitor.proceed(self._x, self._r, rnorm=rnorm, exact=exact):
                if monitor.replaced:
                    self._restart(monitor.r, scale)
                self._steps[turn]()
                turn = 1 - turn
                rho, curvature, square = self._read()
                if rho <= 0 or curvature <= 0:
                    monitor.fail(Status.INDEFINITE if rho or curvature else Status.BREAKDOWN)
                    break
                rnorm, exact = (math.sqrt(square) if square >= 0 else math.nan), False
                if rnorm <= monitor.tolerance and (true := self._residual(b)) <= monitor.tolerance:
                    rnorm, exact = true, True
        return monitor.result(self._x.clone(), setup_seconds=self.setup_seconds, bytes=self.nbytes)

    def _read(self) -> tuple[float, float, float]:
        """Wait for the iteration and return rho, the curvature and r . r."""
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()
        rho, curvature, square = self._pinned[[RHO, CURVATURE, SQUARE]].tolist()
        return rho, curvature, square

    def _residual(self, b: torch.Tensor) -> float:
        """Norm of r = b - A x, formed anew in place of the recurrence's."""
        top = self.levels[0]
        cg_kernels.product[top.grid(top.shape, top.tile)](
            self._r, self._x, b, self._coef, top.weight, self._partial, *top.shape, *top.active, True, *top.tile,
            num_warps=WARPS,
        )  # fmt: skip
        self.add_up(SQUARE)
        return math.sqrt(float(self._scalars[SQUARE]))

    def _start(self, monitor: Monitor, b: torch.Tensor, scale: float) -> None:
        """First guess and residual."""
        if monitor.from_zero:
            self._x.zero_()
        else:
            self._x.copy_(monitor.x)
        self._restart(b if monitor.from_zero and self.A.nullspace is None else monitor.r, scale)

    def _restart(self, r: torch.Tensor, scale: float) -> None:
        """Go on from the residual r with a fresh direction."""
        self._r.copy_(r)
        self._take(r, scale)
        for p in self._p:  # multiplied by beta = 0, so it must be finite
            p.zero_()
        self._scalars.copy_(torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, scale], dtype=torch.float64))
