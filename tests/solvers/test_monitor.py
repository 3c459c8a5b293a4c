"""The stopping rule and every way a solve ends, driven by a loop of our own: x += z, r = b - A x."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conjugo.solvers.monitor import Monitor, norm
from conjugo.solvers.result import SolveResult, Status

HALF = 0.5 * np.eye(4)


def richardson(A: Any, b: Any, x0: Any = None, *, lie: float = 1.0, window: int | None = None, **options: Any) -> Any:
    """x += r; the loop claims a residual `lie` times the true one."""
    monitor = Monitor("richardson", A, b, x0, **options)
    monitor.window = window or monitor.window
    x, r = monitor.x, monitor.r
    with monitor:
        while monitor.proceed(x, r if lie == 1.0 else r * lie):
            if monitor.replaced:
                r = monitor.r
            x = x + r
            r = monitor.b - monitor.A @ x
    return monitor.result(x)


def test_converges_on_the_unpreconditioned_residual() -> None:
    b = np.arange(1.0, 5.0)
    result = richardson(HALF, b, rtol=1e-6)
    assert result.status is Status.CONVERGED
    assert result.residuals[-1] <= 1e-6 * np.linalg.norm(b) < result.residuals[-2]
    np.testing.assert_allclose(result.residuals, np.linalg.norm(b) * 0.5 ** np.arange(result.iterations + 1))


def test_atol_is_the_other_bound() -> None:
    assert richardson(HALF, np.ones(4), rtol=0.0, atol=1.1).iterations == 1
    assert richardson(HALF, np.ones(4), rtol=0.0, atol=2.0).iterations == 0


def test_zero_right_hand_side_needs_no_product() -> None:
    class Never:
        shape = (3, 3)

        def __matmul__(self, x: Any) -> Any:
            raise AssertionError("a product was formed")

    for x0 in (None, np.ones(3)):
        if x0 is None:
            result = richardson(Never(), np.zeros(3), x0)
        else:
            result = richardson(np.eye(3), np.zeros(3), x0)
        assert result.status is Status.CONVERGED
        assert result.iterations == 0
        assert not np.any(result.x)


def test_exact_guess_takes_no_iteration_and_is_not_returned_itself() -> None:
    x0 = np.full(4, 2.0)
    result = richardson(HALF, np.ones(4), x0)
    assert result.iterations == 0
    assert result.x is not x0


@pytest.mark.parametrize("lie", [1e-30, 0.0])
def test_success_is_never_claimed_on_a_recurrence_alone(lie: float) -> None:
    result = richardson(1e-9 * np.eye(4), np.ones(4), rtol=1e-3, lie=lie)
    assert result.status is Status.STAGNATED
    assert "after 3 restarts" in result.message
    assert "attainable with eps = 2.2e-16" in result.message
    assert result.iterations == 3
    assert result.residuals[-1] == pytest.approx(2.0)


def test_maxiter_and_default() -> None:
    assert richardson(1e-9 * np.eye(4), np.ones(4), maxiter=7).status is Status.MAX_ITERATIONS
    assert richardson(1e-9 * np.eye(4), np.ones(4), maxiter=0).iterations == 0
    assert richardson(1e-9 * np.eye(4), np.ones(4)).iterations == 40


def test_last_residual_is_recomputed_and_may_show_success() -> None:
    result = richardson(np.eye(4), np.ones(4), maxiter=1, lie=1e3)
    assert result.status is Status.CONVERGED
    assert result.residuals[-1] == 0.0


def test_stagnation_window() -> None:
    result = richardson(1e-9 * np.eye(4), np.ones(4), maxiter=1000, window=20)
    assert result.status is Status.STAGNATED
    assert result.iterations == 20
    assert "1 % in 20 iterations" in result.message


def test_divergence_is_a_breakdown() -> None:
    result = richardson(-9 * np.eye(4), np.ones(4), maxiter=1000)
    assert result.status is Status.BREAKDOWN
    assert "diverges" in result.message
    assert result.iterations == 11


def test_nan_from_the_operator() -> None:
    result = richardson(np.array([[np.nan]]), np.ones(1))
    assert result.status is Status.NONFINITE
    assert result.iterations == 1
    assert "iteration 1" in result.message


def stop(_: Any) -> Any:
    raise StopIteration


@pytest.mark.parametrize("callback", [stop, lambda x: True])
def test_callback_stops(callback: Callable[[Any], Any]) -> None:
    result = richardson(HALF, np.ones(4), callback=callback)
    assert result.status is Status.STOPPED
    assert result.iterations == 1
    np.testing.assert_allclose(result.x, 1.0)


def test_callback_sees_each_iterate_and_may_return_anything_else() -> None:
    seen: list[float] = []

    def watch(x: Any) -> Any:
        seen.append(float(x[0]))
        return np.ones(3)

    result = richardson(HALF, np.ones(4), callback=watch)
    assert len(seen) == result.iterations
    assert seen[:2] == [1.0, 1.5]


def test_interrupt_keeps_what_was_reached() -> None:
    def interrupt(x: Any) -> None:
        if x[0] > 1.6:
            raise KeyboardInterrupt

    result = richardson(HALF, np.ones(4), callback=interrupt)
    assert result.status is Status.STOPPED
    assert "interrupted" in result.message
    np.testing.assert_allclose(result.x, 1.75)
    assert result.residuals[-1] == pytest.approx(0.25)


def test_other_errors_pass_through() -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        richardson(HALF, np.ones(4), callback=fail)


def test_block_columns_meet_their_own_tolerances() -> None:
    b = np.stack([np.ones(4), np.zeros(4), 1e6 * np.ones(4)], axis=1)
    result = richardson(HALF, b, np.ones((4, 3)), rtol=1e-6)
    assert result.status is Status.CONVERGED
    assert result.residuals.shape == (result.iterations + 1, 3)
    assert np.all(result.residuals[-1] <= 1e-6 * np.linalg.norm(b, axis=0))


SINGULAR = np.array([[1.0, -1.0], [-1.0, 1.0]]) / 2


class Declared:
    """A singular matrix with its null space declared."""

    shape = (2, 2)
    nullspace = np.full((2, 1), 0.5**0.5)

    def __matmul__(self, x: Any) -> Any:
        return SINGULAR @ x


def test_inconsistent_system_ends_at_once() -> None:
    result = richardson(Declared(), np.array([1.0, 0.0]))
    assert result.status is Status.STAGNATED
    assert result.iterations == 0
    assert "inconsistent" in result.message
    assert "7.1e-01 ||b||" in result.message
    assert "b - N @ (N.T @ b)" in result.message


def test_consistent_singular_system_and_projection() -> None:
    result = richardson(Declared(), np.array([1.0, -1.0]))
    assert result.status is Status.CONVERGED
    monitor = Monitor("cg", Declared(), np.array([1.0, -1.0]))
    np.testing.assert_allclose(monitor.project(np.array([3.0, 1.0])), [1.0, -1.0])
    plain = Monitor("cg", SINGULAR, np.array([1.0, -1.0]))
    assert plain.project(plain.b) is plain.b


def bad(**changes: Any) -> dict[str, Any]:
    return {"A": np.eye(3), "b": np.ones(3), **changes}


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("expected a square matrix", bad(A=np.ones((3, 2)))),
        ("b has 4 rows but A is 3 x 3", bad(b=np.ones(4))),
        ("b has 3 dimensions", bad(b=np.ones((3, 1, 1)))),
        ("b has dtype object", bad(b=np.array([None] * 3))),
        ("b holds NaN or infinity", bad(b=np.array([1.0, np.nan, 1.0]))),
        ("x0 holds NaN or infinity", bad(x0=np.array([1.0, np.inf, 1.0]))),
        (r"x0 has shape \(2,\) but b has \(3,\)", bad(x0=np.ones(2))),
        ("x0 has dtype complex128", bad(x0=np.ones(3, complex))),
        ("rtol = -1", bad(rtol=-1.0)),
        ("atol = nan", bad(atol=float("nan"))),
        ("maxiter = -1", bad(maxiter=-1)),
    ],
)
def test_wrong_input_is_named_before_the_first_product(message: str, arguments: dict[str, Any]) -> None:
    A, b = arguments.pop("A"), arguments.pop("b")
    with pytest.raises(ValueError, match=message):
        Monitor("cg", A, b, **arguments)


def test_lists_integers_and_matrices_become_floats() -> None:
    A: Any = [[2, 0], [0, 2]]
    for b in ([2, 4], np.array([2, 4]), np.array([True, False]) * 2):
        monitor = Monitor("cg", A, b)
        assert monitor.b.dtype == np.float64
    assert Monitor("cg", np.eye(2, dtype=np.float32), np.ones(2, np.float32)).b.dtype == np.float32
    assert Monitor("cg", np.eye(2), np.ones(2, np.float32)).b.dtype == np.float64
    assert Monitor("cg", 1j * np.eye(2), np.ones(2)).b.dtype == np.complex128


@pytest.mark.parametrize("size", [1e-200, 1e-160, 1.0, 1e160, 1e200])
def test_norm_neither_overflows_nor_underflows(size: float) -> None:
    assert float(norm(np.array([3.0, 4.0]) * size)) == pytest.approx(5 * size)
    block = np.array([[3.0, 0.0], [4.0, 1.0]]) * size
    np.testing.assert_allclose(norm(block), np.array([5.0, 1.0]) * size)
    assert float(norm(np.zeros(3))) == 0.0
    assert np.isnan(norm(np.array([np.nan, 1.0])))
    assert norm(np.array([np.inf, 1.0])) == np.inf


def test_float32_norm_uses_its_own_range() -> None:
    assert float(norm(np.array([3e-25, 4e-25], np.float32))) == pytest.approx(5e-25)
    assert float(norm(np.array([3e25, 4e25], np.float32))) == pytest.approx(5e25)


def test_inputs_are_not_changed() -> None:
    b, x0 = np.ones(4), np.full(4, 0.3)
    result: SolveResult = richardson(HALF, b, x0)
    assert result.converged
    np.testing.assert_array_equal(b, np.ones(4))
    np.testing.assert_array_equal(x0, np.full(4, 0.3))


def test_without_verification_the_recurrence_is_trusted_and_no_product_is_spent_on_it() -> None:
    class Counting:
        shape, products = (4, 4), 0

        def __matmul__(self, x: Any) -> Any:
            Counting.products += 1
            return 0.5 * x

    trusted = richardson(Counting(), np.ones(4), rtol=1e-3, lie=1e-9, verify=False)
    assert (trusted.status, trusted.iterations, Counting.products) == (Status.CONVERGED, 0, 0)
    few = richardson(Counting(), np.ones(4), rtol=0.0, maxiter=3, verify=False)
    assert (few.status, Counting.products) == (Status.MAX_ITERATIONS, 3)
    assert richardson(Counting(), np.ones(4), rtol=0.0, maxiter=3).status is Status.MAX_ITERATIONS
    assert Counting.products == 7
