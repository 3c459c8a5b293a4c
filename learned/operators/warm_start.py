"""A learned first guess for any Krylov method: tested before it is used, and mended or refused where it fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from array_api_compat import array_namespace, device
from torch import Tensor, nn

from conjugo.learned.operators.guess_test import Guess, Relaxation, judge, relaxation
from conjugo.learned.operators.regrid import Regrid
from conjugo.learned.preconditioners.forward import home
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator

type Inputs = Callable[[Any], Array]


class WarmStart:
    """Ask a model for x0, and accept it only where it lowers both the residual and the energy.

    Parameters
    ----------
    model : module or callable
        Maps (batch, channels, *size) to (batch, 1, *size), float32, physical fields to physical fields.
    size : int or sequence of int, optional
        Nodes an axis on which the model works: it is served every k-th node of the input, and its answer is
        interpolated by cubic splines. Default `model.config.grid` where there is one, else the input's own nodes.
    inputs : callable, optional
        inputs(problem) is what the model sees: (*shape), (channels, *shape), or (k, channels, *shape) for a block of k
        right-hand sides, on the unknowns or on the nodes with the walls. Default `problem.coefficient`.
    sweeps : int
        Chebyshev-Jacobi sweeps of the mending, a product with A each; 0 mends with M only.
    hold : bool
        Set the answer to zero on the walls, where the input includes them: right for u = 0 there.
    inset : float
        Distance of the model's outermost nodes from the walls, over the length of the axis (see `Regrid`): 0 where its
        training data had nodes on the walls, 1 / (2 n) where every k-th of n cell centres.

    Raises
    ------
    ValueError
        For a size or a number of sweeps that makes no sense.

    Notes
    -----
    With phi(x) = x^T A x / 2 - b^T x, whose minimum is the solution, a guess passes where ||b - A x|| < ||b|| and
    phi(x) < 0, the values of the zero guess. Tried are, in this order: the answer x ("accepted"); alpha x with
    alpha = b^T x / x^T A x, the multiple of least energy ("scaled"); x after one application of M, or `sweeps` of
    Chebyshev's method on the upper part of the spectrum, at its best multiple ("smoothed"). Where none passes, or the
    answer is not finite, the guess is zero ("refused"). Each column of a block is judged by itself.

    Where A says that it is not symmetric, or x^T A x <= 0 shows that it is not definite, the energy means nothing: then
    the residual alone is tested, alpha is the multiple of least residual, and only M can mend.

    A guess cannot make an answer wrong: the solvers stop on ||b - A x|| <= max(rtol ||b||, atol), never on the first
    residual. It can cost time: `inference_seconds` and `test_seconds` say how much.

    Examples
    --------
    >>> from conjugo.pde import poisson
    >>> from conjugo.solvers import cg
    >>> problem = poisson((31, 31), rhs="discrete")
    >>> exact = torch.as_tensor(problem.exact, dtype=torch.float32).reshape(1, 1, 31, 31)
    >>> warm = WarmStart(lambda field: 3 * exact, inputs=lambda problem: problem.b.reshape(31, 31))
    >>> guess = warm(problem)
    >>> guess.outcome, round(guess.scale, 2)
    ('scaled', 0.33)
    >>> cg(problem.A, problem.b, x0=guess.x0, rtol=1e-3).iterations
    0
    """

    def __init__(
        self,
        model: nn.Module | Callable[[Tensor], Tensor],
        *,
        size: int | Sequence[int] | None = None,
        inputs: Inputs | None = None,
        sweeps: int = 8,
        hold: bool = True,
        inset: float = 0.0,
    ) -> None:
        if sweeps < 0:
            raise ValueError(f"sweeps = {sweeps}: expected 0 or more, such as 8")
        if size is None:
            size = getattr(getattr(model, "config", None), "grid", None)
        self._size = (size,) if isinstance(size, int) else None if size is None else tuple(size)
        if self._size is not None and any(not isinstance(n, int) or n < 4 for n in self._size):
            raise ValueError(f"size = {size}: expected 4 or more nodes an axis, such as 85")
        self.model, self.sweeps = model, sweeps
        self._inputs, self._hold, self._inset = inputs, hold, inset
        self._known: tuple[Any, Relaxation | None] | None = None

    def __repr__(self) -> str:
        size = "the input's nodes" if self._size is None else " x ".join(map(str, self._size))
        return f"WarmStart({type(self.model).__name__}, {size}, {self.sweeps} sweeps)"

    def __call__(self, problem: Any, *, fields: Array | None = None, M: LinearOperator | None = None) -> Guess:
        """Make and test a guess.

        Parameters
        ----------
        problem : LinearProblem
            With a grid; A and b may be NumPy or torch, b (n,) or (n, k).
        fields : array, optional
            What the model sees, in place of `inputs(problem)`.
        M : operator, optional
            A linear preconditioner whose one application mends, say a multigrid cycle that the solve uses anyway.

        Returns
        -------
        Guess
            `x0` for the solver, `outcome`, residuals, energies and seconds.

        Raises
        ------
        ValueError
            Without a grid or input, for fields that are not finite or do not fit, and for a complex b.
        """
        A, b = as_operator(problem.A), problem.b
        if array_namespace(b).isdtype(b.dtype, "complex floating"):
            raise ValueError(f"b has dtype {b.dtype}: expected real numbers; solve for real and imaginary parts apart")
        started = time.perf_counter()
        x = self.answer(problem, fields=fields)
        _wait(b)
        answered = time.perf_counter()
        guess = judge(A, b, x, self._relaxation(A, M), active=getattr(A, "active", None))
        _wait(b)
        ended = time.perf_counter()
        return guess.timed(answered - started, ended - answered)

    def answer(self, problem: Any, *, fields: Array | None = None) -> Array:
        """Return the model's answer at the unknowns, shaped like b, without any test."""
        return self._answer(problem, problem.b, self._see(problem, fields))

    def _see(self, problem: Any, fields: Array | None) -> Array:
        """Return the model's input, (batch, channels, *shape)."""
        if problem.grid is None:
            raise ValueError(f"problem {problem.name!r} has no grid: a model of fields needs one")
        if fields is None:
            fields = self._inputs(problem) if self._inputs is not None else getattr(problem, "coefficient", None)
        if fields is None:
            raise ValueError(
                f"problem {problem.name!r} carries no coefficient: pass fields=, or WarmStart(..., inputs=function)"
            )
        d = len(problem.grid.shape)
        if not d <= fields.ndim <= d + 2:
            raise ValueError(
                f"the fields have shape {tuple(fields.shape)}: expected (*shape), (channels, *shape) or (k, channels, "
                f"*shape) for {d} axes"
            )
        fields = fields[(None,) * (d + 2 - fields.ndim)]
        xp = array_namespace(fields)
        if not bool(xp.all(xp.isfinite(fields))):
            raise ValueError("the fields hold NaN or infinity: expected finite values; look at how they were computed")
        count = 1 if problem.b.ndim == 1 else problem.b.shape[1]
        if fields.shape[0] not in (1, count):
            raise ValueError(
                f"the fields are {fields.shape[0]} samples for {count} right-hand sides: pass 1 or {count}"
            )
        return fields

    def _answer(self, problem: Any, b: Array, fields: Array) -> Array:
        """Return what the model says at the unknowns, shaped like b."""
        grid = problem.grid
        shape = tuple(fields.shape[2:])
        size = self._size if self._size is None or len(self._size) > 1 else self._size * len(shape)
        if size is not None and any(m > n for m, n in zip(size, shape, strict=False)):
            size = shape  # a problem coarser than the model's own grid
        regrid = Regrid(grid, shape, size, hold=self._hold, inset=self._inset)
        u = self._infer(regrid.down(fields), regrid.size)
        xp = array_namespace(b)
        if isinstance(b, Tensor):
            u = u.to(device=b.device)
        else:
            u = xp.asarray(u.cpu().numpy(), device=device(b))
        x = regrid.up(xp.astype(u, b.dtype)).reshape(u.shape[0], grid.size)
        if b.ndim == 1:
            return x[0]
        return xp.asarray(xp.broadcast_to(x.T, tuple(b.shape)), copy=True)

    def _infer(self, fields: Array, size: tuple[int, ...]) -> Tensor:
        """Run the model in eval(), (batch, channels, *size) to (batch, *size)."""
        where = home(self.model) if isinstance(self.model, nn.Module) else torch.device("cpu")
        given = fields if isinstance(fields, Tensor) else torch.from_numpy(np.array(fields, dtype=np.float32))
        training = isinstance(self.model, nn.Module) and self.model.training
        if isinstance(self.model, nn.Module):
            self.model.eval()
        try:
            with torch.no_grad():
                u = self.model(given.to(device=where, dtype=torch.float32))
        finally:
            if isinstance(self.model, nn.Module):
                self.model.train(training)
        expected = (fields.shape[0], 1, *size)
        if tuple(u.shape) != expected:
            raise ValueError(f"the model gave {tuple(u.shape)}: expected {expected}, one field a sample")
        return u[:, 0].float()

    def _relaxation(self, A: LinearOperator, M: LinearOperator | None) -> Relaxation | None:
        """Return what mends; that of the last A is kept."""
        if M is not None:
            return Relaxation(as_operator(M), products=1)
        if self._known is None or self._known[0] is not A:
            self._known = (A, relaxation(A, self.sweeps))
        return self._known[1]


def _wait(b: Array) -> None:
    """Let a CUDA device finish, so that the clock tells the truth."""
    if isinstance(b, Tensor) and b.device.type == "cuda":
        torch.cuda.synchronize(b.device)
