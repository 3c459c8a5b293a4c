"""Threads: every range is done once, failures reach the caller, and nobody waits for ever."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from conjugo.pde import poisson
from conjugo.solvers import Multigrid
from conjugo.solvers.parallel import dot, get_threads, run_rows, run_team, set_threads, threads


@pytest.mark.parametrize(("rows", "parts"), [(1, 2), (7, 1), (7, 2), (7, 3), (2, 5)])
def test_ranges_cover_the_rows_once(rows: int, parts: int) -> None:
    seen = np.zeros(rows, dtype=int)

    def work(lo: int, hi: int) -> float:
        seen[lo:hi] += 1
        return float(hi - lo)

    assert run_rows(work, rows, parts) == rows
    assert np.all(seen == 1)


@pytest.mark.parametrize("bad", [0, 5])
def test_a_failure_in_any_range_reaches_the_caller(bad: int) -> None:
    def work(lo: int, hi: int) -> None:
        if lo == bad:
            raise ArithmeticError(f"range {lo}")

    with pytest.raises(ArithmeticError, match=f"range {bad}"):
        run_rows(work, 10, 2)
    assert run_rows(lambda lo, hi: float(hi - lo), 10, 2) == 10  # the workers are fit for the next job


def test_ranges_run_one_after_another_where_the_workers_are_in_use() -> None:
    inside, total = [], []

    def outer(lo: int, hi: int) -> float:
        inside.append(run_rows(lambda a, b: float(b - a), 10, 2))
        return 0.0

    total.append(run_rows(outer, 2, 2))
    assert inside == [10.0, 10.0]


def test_members_of_a_team_run_at_the_same_time() -> None:
    def member(rank: int, size: int, arrivals: NDArray[np.int64]) -> None:
        arrivals[8 * rank] += 1
        end = time.monotonic() + 30
        while np.any(arrivals[::8][:size] < 1):  # a barrier
            assert time.monotonic() < end
            time.sleep(0)

    run_team(member, 2)
    run_team(member, 2)


def test_a_member_that_fails_frees_the_others() -> None:
    def member(rank: int, size: int, arrivals: NDArray[np.int64]) -> None:
        if rank == 0:
            raise KeyboardInterrupt
        while arrivals[0] < 1:
            time.sleep(0)

    with pytest.raises(KeyboardInterrupt):
        run_team(member, 2)


def test_two_programs_threads_may_solve_at_once() -> None:
    problem = poisson((333, 333), seed=3)
    wanted = Multigrid(problem.A).solve(problem.b, rtol=1e-8).x
    found: list[NDArray[np.float64]] = []

    def solve() -> None:
        found.append(Multigrid(problem.A, threads=2).solve(problem.b, rtol=1e-8).x)

    several = [threading.Thread(target=solve) for _ in range(2)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join(timeout=60)
    assert len(found) == 2
    for x in found:  # equal to the float32 rounding of the cycles, both within the tolerance
        assert np.linalg.norm(problem.b - problem.A @ x) <= 1e-8 * np.linalg.norm(problem.b)
        np.testing.assert_allclose(x, wanted, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_workers_of_its_own() -> None:
    run_rows(lambda lo, hi: None, 2, 2)
    child = os.fork()
    if child == 0:
        os._exit(0 if run_rows(lambda lo, hi: float(hi - lo), 8, 2) == 8 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_number_of_threads_is_checked_and_restored() -> None:
    before = get_threads()
    with threads(before + 1):
        assert get_threads() == before + 1
    assert get_threads() == before
    with pytest.raises(ValueError, match="threads = 0: expected at least 1"):
        set_threads(0)


@pytest.mark.parametrize("n", [10, 50_000])
def test_dot_agrees_with_an_exact_sum(n: int) -> None:
    u, v = np.random.default_rng(n).standard_normal((2, n))
    assert dot(u, v) == pytest.approx(sum(map(float, u * v)), rel=1e-9, abs=1e-9)
