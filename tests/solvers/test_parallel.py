"""Threads: the ranges cover every row once, and the setting is scoped."""

from __future__ import annotations

import pytest

from conjugo.solvers.parallel import get_threads, run_rows, set_threads, split_rows, threads


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [0, 1, 2, 5, 64])
def test_ranges_cover_every_row_once(rows: int, parts: int) -> None:
    seen: list[int] = []

    def work(lo: int, hi: int) -> float:
        seen.extend(range(lo, hi))
        return float(sum(range(lo, hi)))

    assert run_rows(work, rows, parts) == sum(range(rows))
    assert sorted(seen) == list(range(rows))
    assert split_rows(rows, parts)[0] == 0
    assert split_rows(rows, parts)[-1] == rows


def test_work_without_a_sum_counts_as_zero() -> None:
    assert run_rows(lambda lo, hi: None, 8, 2) == 0.0


def test_errors_of_any_range_arrive() -> None:
    def work(lo: int, hi: int) -> None:
        if hi == 8:
            raise RuntimeError("last range")

    with pytest.raises(RuntimeError, match="last range"):
        run_rows(work, 8, 2)


def test_setting_is_scoped_and_checked() -> None:
    before = get_threads()
    seen = []

    def fail() -> None:
        with threads(before + 1):
            seen.append(get_threads())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert seen == [before + 1]
    assert get_threads() == before
    with pytest.raises(ValueError, match="threads = 0"):
        set_threads(0)
