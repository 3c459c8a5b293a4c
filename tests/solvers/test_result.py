"""The result object and its SciPy face."""

from __future__ import annotations

import numpy as np
import pytest

from conjugo.solvers.result import ConvergenceError, SolveResult, Status


def make(status: Status, **details: object) -> SolveResult:
    """A result after three iterations."""
    return SolveResult(np.zeros(2), status, np.array([1.0, 0.5, 0.25, 0.125]), 0.1, "cg", dict(details))


@pytest.mark.parametrize(
    ("status", "info"),
    [
        (Status.CONVERGED, 0),
        (Status.MAX_ITERATIONS, 3),
        (Status.STAGNATED, 3),
        (Status.STOPPED, 3),
        (Status.BREAKDOWN, -1),
        (Status.INDEFINITE, -1),
        (Status.NONFINITE, -1),
    ],
)
def test_unpacks_as_scipy_pair(status: Status, info: int) -> None:
    result = make(status)
    x, code = result
    assert code == info
    assert x is result.x
    assert result.iterations == 3
    assert result.converged is (info == 0)


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.CONVERGED])
def test_check_raises_with_advice(status: Status) -> None:
    with pytest.raises(ConvergenceError, match=f"cg: {status.value} after 3 iterations.*1.250e-01: .+") as caught:
        make(status).check()
    assert caught.value.result.status is status


def test_check_returns_itself_and_note_wins() -> None:
    result = make(Status.CONVERGED)
    assert result.check() is result
    assert make(Status.STOPPED, note="the note").message.endswith("the note")


def test_no_success_before_the_first_iteration() -> None:
    result = SolveResult(np.zeros(1), Status.MAX_ITERATIONS, np.array([1.0]), 0.0, "cg")
    assert result.info == 1
