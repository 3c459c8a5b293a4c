"""First guesses for a sequence of systems A x_t = b_t: the last solution, extrapolation, Fischer's projection.

guess = Fischer(20)
for b in right_hand_sides:
    result = cg(A, b, guess(A, b), M=M)
    guess.update(A, result.x, b)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from conjugo.solvers.gated import Gated, Guess, Verdict, checked, copied, dot, norm_of, same_size
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator

__all__ = ["Extrapolation", "Fischer", "Gated", "Guess", "Previous", "Verdict"]

DEPENDENT = 1e-10
"""A vector whose part outside the basis has less than this share of its energy norm adds nothing but rounding."""


class Extrapolation(Gated):
    """The polynomial in time through the last solutions, at equal steps.

    Parameters
    ----------
    order : int
        Degree, 1 to 3; 0 is `Previous`. With fewer solutions the degree is lower.
    gate : bool
        Whether a proposal worse than zero is replaced by zero (one product).

    Notes
    -----
    x0 = sum_j (-1)^j C(order + 1, j + 1) x_(n-j): 2 x_n - x_(n-1), 3 x_n - 3 x_(n-1) + x_(n-2),
    4 x_n - 6 x_(n-1) + 4 x_(n-2) - x_(n-3). Exact where the solution is a polynomial of the degree in time. The
    solver's own error in the solutions is amplified by up to sum_j C(order + 1, j + 1) = 2^(order + 1) - 1.
    Memory: order + 1 vectors.

    Examples
    --------
    >>> import numpy as np
    >>> guess, A = Extrapolation(2), np.eye(1)
    >>> for t in range(3):
    ...     guess.update(A, np.array([t**2 + 1.0]), np.array([t**2 + 1.0]))
    >>> guess(A, np.array([10.0]))
    array([10.])
    """

    def __init__(self, order: int = 2, *, gate: bool = True) -> None:
        super().__init__(gate)
        if order not in (0, 1, 2, 3):
            raise ValueError(f"order = {order!r}: expected 0 (the last solution) to 3; higher orders amplify errors")
        self.order = int(order)
        self._history: list[Array] = []

    def update(self, A: LinearOperator, x: Array, b: Array) -> None:
        """Take the solution x of the last system, (n,)."""
        same_size(x, self._history[-1] if self._history else x)
        self._history = [*self._history, copied(x)][-self.order - 1 :]

    def reset(self) -> None:
        """Forget every solution."""
        self._history = []

    def _propose(self, A: LinearOperator, b: Array) -> Array | None:
        if not self._history:
            return None
        same_size(b, self._history[0])
        points = len(self._history)
        terms = [(-1) ** j * math.comb(points, j + 1) * x for j, x in enumerate(reversed(self._history))]
        return sum(terms[1:], terms[0])


class Previous(Extrapolation):
    """The last solution.

    Parameters
    ----------
    gate : bool
        Whether it is replaced by zero where that is better (one product).

    Examples
    --------
    >>> import numpy as np
    >>> guess, A = Previous(), np.eye(2)
    >>> guess.update(A, np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    >>> guess(A, np.array([1.0, 2.5])), guess(A, np.array([-1.0, 0.0])), guess.verdict.accepted
    (array([1., 2.]), array([0., 0.]), False)
    """

    def __init__(self, *, gate: bool = True) -> None:
        super().__init__(0, gate=gate)


class Fischer(Gated):
    """The best guess, in the energy norm, in the span of the last solutions and of any further vectors.

    Parameters
    ----------
    depth : int
        Most solutions that are kept.
    restart : bool
        Start the basis afresh with the newest solution when it is full, as the paper does; default: drop the oldest
        solution exactly, so that the span is always that of the last `depth` ones.
    gate : bool
        Whether a proposal worse than zero in the residual is replaced by zero. In the energy none is worse.

    Attributes
    ----------
    verdict : Verdict
        On the last proposal.
    size : int
        Solutions in the basis.

    Notes
    -----
    With W^T A W = I, x0 = W W^T b minimises E(x) = x^T A x / 2 - b^T x, and so the energy norm of the error, over
    the span of W, for symmetric positive definite A. Products with A: one an update and none a guess, as A W is kept;
    one for each extra vector; `size` of them when another object A comes, for which the basis is made anew. (An A that
    is changed in place cannot be seen: call `reset`, or `rebase(A)`.) Memory: 2 depth vectors. To drop the oldest
    solution, X = W R loses its first column and R's QR decomposition turns the basis: 2 n depth^2 operations, no
    product with A.

    An extra vector, such as a forecast of the solution, joins the basis for this guess alone. It can only lower the
    energy; it is left out where it would raise the residual.

    References
    ----------
    P. F. Fischer, *Projection techniques for iterative solution of Ax = b with successive right-hand sides*,
    Comput. Methods Appl. Mech. Engrg. 163 (1998) 193-204, method 2.

    Examples
    --------
    >>> import numpy as np
    >>> A, guess = np.diag([1.0, 2.0, 3.0]), Fischer(2)
    >>> guess.update(A, np.array([1.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0]))
    >>> guess.update(A, np.array([1.0, 1.0, 0.0]), np.array([1.0, 2.0, 0.0]))
    >>> guess(A, np.array([5.0, 4.0, 0.0]))
    array([5., 2., 0.])
    >>> guess(A, np.array([5.0, 4.0, 3.0]), extra=[np.array([0.0, 0.0, 7.0])]).round(12)
    array([5., 2., 1.])
    """

    def __init__(self, depth: int = 20, *, restart: bool = False, gate: bool = True) -> None:
        super().__init__(gate)
        if not isinstance(depth, int | np.integer) or isinstance(depth, bool) or depth < 1:
            raise ValueError(f"depth = {depth!r}: expected an integer of at least 1, the solutions to keep")
        self.depth, self.restart = int(depth), restart
        self.reset()

    @property
    def size(self) -> int:
        """Solutions in the basis."""
        return len(self._R)

    def reset(self) -> None:
        """Forget every solution."""
        self._A: LinearOperator | None = None
        self._W: Any = None
        self._AW: Any = None
        self._R = np.zeros((0, 0))

    def __call__(self, A: LinearOperator, b: Array, extra: Sequence[Array] = ()) -> Array:
        """First guess for A x = b.

        Parameters
        ----------
        A : (n, n) operator
            Symmetric (Hermitian) positive (semi-)definite.
        b : (n,) array
            Right-hand side, NumPy or torch, real.
        extra : sequence of (n,) arrays
            Further basis vectors for this guess.

        Returns
        -------
        (n,) array
            A new array; zero without a history, or where the residual of the best guess exceeds that of zero.

        Raises
        ------
        ValueError
            If b or an extra vector is not a finite vector of A's size.
        """
        operator = checked(A, b)
        if self.size:
            same_size(b, self._W[0])
            if A is not self._A:
                self.rebase(A)
        x, r = self._project(b) if self.size else (None, b)
        joined: list[tuple[Array, Array]] = []
        for v in extra:
            checked(operator, v, "an extra vector")
            w, Aw, norm, _ = self._orthogonalised(operator, v, joined)
            if norm == 0:
                continue
            w, Aw = w / norm, Aw / norm
            step = dot(w, r)
            if norm_of(r - step * Aw) <= norm_of(r):
                x, r = (step * w if x is None else x + step * w), r - step * Aw
                joined.append((w, Aw))
        return self._decide(b, x, r if self.gate else None, len(joined))

    def update(self, A: LinearOperator, x: Array, b: Array) -> None:
        """Take the solution x of the last system, (n,), into the basis: one product with A.

        Raises
        ------
        ValueError
            If x is not a finite vector of A's size.
        """
        operator = checked(A, x, "x")
        if self._W is None:
            xp = array_namespace(x)
            self._W, self._AW = (xp.zeros((self.depth, x.shape[0]), dtype=x.dtype, device=device(x)) for _ in "wa")
        same_size(x, self._W[0])
        if self.size and A is not self._A:
            self.rebase(A)
        self._A = A
        if self.size == self.depth:
            self._R = np.zeros((0, 0)) if self.restart else self._drop_oldest()
        self._append(operator, x)

    def rebase(self, A: LinearOperator) -> None:
        """Make the basis orthonormal for another A: as many products as it has vectors."""
        operator, R = as_operator(A), self._R
        old = copied(self._W[: self.size])
        self._A, self._R = A, np.zeros((0, 0))
        for column in range(len(R)):
            x = sum(float(R[i, column]) * old[i] for i in range(column + 1))
            self._append(operator, x)

    def _propose(self, A: LinearOperator, b: Array) -> Array | None:
        return self._project(b)[0] if self.size else None

    def _project(self, b: Array) -> tuple[Array, Array]:
        """W W^T b and its residual; twice, so that rounding in W^T b is corrected."""
        W, AW = self._W[: self.size], self._AW[: self.size]
        c = W @ b
        r = b - c @ AW
        again = W @ r
        return (c + again) @ W, r - again @ AW

    def _append(self, A: LinearOperator, x: Array) -> None:
        """Extend X = W R by a column, unless x depends on the others: one product with A."""
        w, Aw, norm, coefficients = self._orthogonalised(A, x)
        if norm == 0:
            return
        k = self.size
        self._W[k], self._AW[k] = w / norm, Aw / norm
        R = np.zeros((k + 1, k + 1))
        R[:k, :k], R[:k, k], R[k, k] = self._R, coefficients, norm
        self._R = R

    def _orthogonalised(
        self, A: LinearOperator, v: Array, joined: Sequence[tuple[Array, Array]] = ()
    ) -> tuple[Array, Array, float, Any]:
        """w, v without its part in the basis; A w; w's energy norm, 0 where nothing is left; v's coefficients.

        The product is w's, not v's: A v less the basis' part of it would lose the digits that v and w share.
        """
        coefficients = np.zeros(self.size + len(joined))
        for _ in range(2):  # twice is enough
            found = []
            if self.size:
                c = self._AW[: self.size] @ v
                v = v - c @ self._W[: self.size]
                found = c.tolist()
            for w, Aw in joined:
                found.append(dot(Aw, v))
                v = v - found[-1] * w
            coefficients += np.asarray(found)
        product = A @ v
        norm = math.sqrt(max(dot(v, product), 0.0))
        whole = math.hypot(norm, float(np.linalg.norm(coefficients)))
        return v, product, norm if norm > DEPENDENT * whole else 0.0, coefficients[: self.size]

    def _drop_oldest(self) -> Any:
        """Turn the basis so that its first vectors span all solutions but the oldest; return the new R."""
        Q, R = np.linalg.qr(self._R[:, 1:])
        xp = array_namespace(self._W)
        turn = xp.asarray(Q.T.copy(), dtype=self._W.dtype, device=device(self._W))
        k = self.size
        self._W[: k - 1], self._AW[: k - 1] = turn @ self._W[:k], turn @ self._AW[:k]
        return R
