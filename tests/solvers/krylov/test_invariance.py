"""What must not matter: the scale of the system, the order of the unknowns, the starting point's origin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conjugo.solvers.krylov.deflated import deflated_cg
from conjugo.solvers.krylov.fcg import fcg
from conjugo.solvers.krylov.fgmres import fgmres
from conjugo.solvers.krylov.minres import minres
from conjugo.solvers.result import SolveResult

N = 24

METHODS: dict[str, Callable[..., SolveResult]] = {
    "fcg": fcg,
    "minres": minres,
    "fgmres": fgmres,
    "deflated_cg": lambda A, b, *args, **rule: deflated_cg(A, b, *args, W=np.ones((N, 1)), **rule),
}
every = pytest.mark.parametrize("name", list(METHODS))
few = settings(max_examples=15, derandomize=True, deadline=None)


def system(seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((N, N))
    return B @ B.T / N + 0.3 * np.eye(N), rng.standard_normal(N)


@every
@few
@given(seed=st.integers(0, 1000), exponent=st.integers(-60, 60))
def test_powers_of_two_change_nothing(name: str, seed: int, exponent: int) -> None:
    A, b = system(seed)
    scale = 2.0**exponent
    plain, scaled = METHODS[name](A, b, rtol=1e-8), METHODS[name](scale * A, b, rtol=1e-8)
    assert abs(plain.iterations - scaled.iterations) <= (name == "deflated_cg")  # W is scaled by a square root
    np.testing.assert_allclose(scale * scaled.x, plain.x, rtol=1e-6)


@every
@few
@given(seed=st.integers(0, 1000))
def test_order_of_the_unknowns_does_not_matter(name: str, seed: int) -> None:
    A, b = system(seed)
    order = np.random.default_rng(seed).permutation(N)
    plain, permuted = METHODS[name](A, b, rtol=1e-10), METHODS[name](A[np.ix_(order, order)], b[order], rtol=1e-10)
    np.testing.assert_allclose(permuted.x, plain.x[order], atol=1e-7)


@every
@few
@given(seed=st.integers(0, 1000))
def test_a_first_guess_shifts_the_problem(name: str, seed: int) -> None:
    A, b = system(seed)
    x0 = np.random.default_rng(seed + 1).standard_normal(N)
    tolerance = 1e-9 * float(np.linalg.norm(b))
    guessed = METHODS[name](A, b, x0, rtol=0.0, atol=tolerance)
    shifted = METHODS[name](A, b - A @ x0, rtol=0.0, atol=tolerance)
    assert abs(guessed.iterations - shifted.iterations) <= 1
    np.testing.assert_allclose(guessed.x, x0 + shifted.x, atol=1e-7)
