"""Sources in a medium that varies: the solution operator by multigrid, symmetric to a stated tolerance or exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from conjugo.pde.inverse.operator import ImageOperator
from conjugo.pde.poisson.assemble import poisson
from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.multigrid.multigrid import Multigrid
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.operators.separable import SeparableStencil


class VariableGreen(ImageOperator):
    """G = A^-1 with A u = -div(a grad u) on the unit box, Dirichlet walls, cell-centred: source to field by multigrid.

    Parameters
    ----------
    image_shape : sequence of int
        Cells along each axis.
    coefficient : str, Coefficient or grid-shaped array
        a > 0, as for `poisson`: a name such as "lognormal", "inclusions" or "channels", or values in the cells.
    contrast : float, optional
        max a / min a of a named coefficient.
    seed : int
        Of a named coefficient.
    rtol : float
        Each solve ends where ||f - A u||_2 <= rtol ||f||_2, by conjugate gradients with a symmetric cycle in front.
    cycles : int, optional
        Instead: this many symmetric cycles, x <- x + B (f - A x) from zero, and no test.

    Attributes
    ----------
    A : operator
        The discrete -div(a grad).
    solves, iterations : int
        Right-hand sides solved so far, and the iterations or cycles of all of them.

    Raises
    ------
    ValueError
        For an rtol outside (0, 1e-3], fewer than one cycle, or what `poisson` refuses.
    ConvergenceError
        By a product whose solve does not reach rtol.

    Notes
    -----
    G is symmetric, so that one operator serves A and A^H of a measurement. Solves to rtol meet the dot test to about
    rtol, and are linear to about that: with an rtol above 1e-9 tell `check_measurement` so. A fixed number of cycles is
    another operator, sum_j (I - B A)^j B with j < cycles, as close to G as the contraction to that power, but linear
    and, B being symmetric, its own adjoint to rounding. Blocks are solved together. NumPy, torch on the CPU (through
    NumPy) and CUDA (multigrid there too) are accepted; arithmetic is float64 and the result has the precision of the
    source. Gradients do not pass.

    References
    ----------
    W. Hackbusch, Iterative Solution of Large Sparse Systems of Equations, 2nd ed. (2016), section 11.4 (symmetric
    cycles).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde.inverse.variable_source import VariableGreen
    >>> G = VariableGreen((16, 16), "inclusions", contrast=100.0)
    >>> f = np.ones(256)
    >>> bool(np.linalg.norm(G.A @ (G @ f) - f) < 1e-9)
    True
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        coefficient: Any = "lognormal",
        *,
        contrast: float | None = None,
        seed: int = 0,
        rtol: float = 1e-10,
        cycles: int | None = None,
    ) -> None:
        if not 0 < rtol <= 1e-3:
            raise ValueError(f"rtol = {rtol}: expected a tolerance in (0, 1e-3], or the adjoint is none")
        if cycles is not None and cycles < 1:
            raise ValueError(f"cycles = {cycles}: expected at least 1, or None to solve to rtol")
        shape = tuple(int(n) for n in image_shape)
        super().__init__(shape, math.prod(shape))
        self.A: Any = poisson(shape, coefficient=coefficient, contrast=contrast, centring="cell", seed=seed).A
        self.rtol, self.cycles = rtol, cycles
        # a cycle in front of cg may be float32; one that is iterated as it is must be symmetric to float64
        self._cycle = Multigrid(self.A, symmetric=True, precision="float32" if cycles is None else "float64")
        self._elsewhere: dict[Any, LinearOperator] = {}
        self.solves = self.iterations = 0

    def measure(self, images: Array) -> Array:
        """The fields of the sources, flattened: (k, n)."""
        return self._fields(images.reshape(-1, self.shape[1]))

    def scatter(self, data: Array) -> Array:
        """The same as `measure`, on flattened sources."""
        return self._fields(data).reshape(-1, *self.image_shape)

    def _fields(self, f: Array) -> Array:
        """Solve for sources (k, n), in float64 and where they are."""
        if getattr(f, "requires_grad", False):
            raise ValueError("the source asks for gradients, which do not pass through the solver: use f.detach()")
        xp = array_namespace(f)
        if isinstance(f, np.ndarray):
            return self._solved(f.astype(np.float64, copy=False).T, self._cycle).T.astype(f.dtype, copy=False)
        if str(device(f)) == "cpu":
            return xp.asarray(self._fields(np.asarray(f)))
        solved = self._solved(xp.astype(f, xp.float64).T, self._cycle_on(device(f)))
        return xp.astype(solved.T, f.dtype)

    def _solved(self, f: Array, M: LinearOperator) -> Array:
        """Solve the block (n, k)."""
        k = int(f.shape[1])
        self.solves += k
        if not k or not bool(array_namespace(f).all(array_namespace(f).isfinite(f))):
            return f * math.nan  # as any matrix would, where the caller looks for it
        if self.cycles is None:
            result = cg(self.A, f, rtol=self.rtol, maxiter=500, M=M).check()
            self.iterations += result.iterations * k
            return result.x
        u = M @ f
        for _ in range(self.cycles - 1):
            u = u + M @ (f - self.A @ u)
        self.iterations += self.cycles * k
        return u

    def _cycle_on(self, where: Any) -> LinearOperator:
        """The cycle for tensors of a CUDA device, moved there once."""
        if where not in self._elsewhere:
            self._elsewhere[where] = _cuda_cycle(self.A, self.cycles is None, where)
        return self._elsewhere[where]


def _cuda_cycle(A: Any, single: bool, where: Any) -> LinearOperator:
    """Return a symmetric cycle on a CUDA device."""
    if isinstance(A, SeparableStencil):
        from conjugo.solvers.triton.multigrid import CudaMultigrid

        return CudaMultigrid(A, device=where)
    from conjugo.solvers.multigrid.black_box import BlackBoxHierarchy
    from conjugo.solvers.triton.black_box import CudaBlackBox

    hierarchy = BlackBoxHierarchy(A, cycle="W", symmetric=True, dtype=np.float32 if single else np.float64)
    return CudaBlackBox(hierarchy, device=where)
