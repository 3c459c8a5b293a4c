"""The case of first guesses, and the forecasts it feeds to them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

pytest.importorskip("h5py", reason="needs the extra learned")

from conjugo import cli
from conjugo.cases.forecasts import Informed, RefittedDMD
from conjugo.cases.initial_guess import GUESSES, replay
from conjugo.pde import poisson
from conjugo.solvers.guess import Fischer, Guess
from conjugo.solvers.preconditioners.jacobi import jacobi


def sequence(steps: int = 90) -> tuple[sp.csr_array, np.ndarray]:
    """A Poisson matrix, and right-hand sides of two travelling waves."""
    A = poisson((15, 15)).A.tocsr()
    i, t = np.arange(225), np.arange(steps)[:, None]
    return A, np.sin(0.05 * i + 0.2 * t) + np.cos(0.11 * i - 0.31 * t)


def test_dmd_forecasts_a_travelling_wave_to_rounding() -> None:
    """Two waves are four modes."""
    _, b = sequence(40)
    model = RefittedDMD(20, 4)
    for x in b[:30]:
        model.update(None, x, x)
    forecast = model.forecast()
    assert forecast is not None
    assert np.allclose(forecast, b[30], atol=1e-8)


def test_every_guess_is_replayed_to_the_tolerance() -> None:
    """And the informed ones beat those that are not: on waves the forecast is nearly exact."""
    A, b = sequence()
    rows = {name: replay(A, b, jacobi(A), make(), (name, "jacobi", 1), 1e-6) for name, make in GUESSES.items()}
    assert all(row.converged for row in rows.values())
    assert rows["zero"].residual == 1.0
    assert rows["Fischer 8"].iterations < rows["quadratic"].iterations < rows["zero"].iterations
    assert rows["Fischer 8 + DMD"].iterations <= rows["Fischer 8"].iterations + 1


def test_informed_guesses_follow_the_protocol_and_forget() -> None:
    guess = Informed(Fischer(2), RefittedDMD(4, 2))
    assert isinstance(guess, Guess)
    A = np.eye(3)
    for t in range(5):
        x = np.array([np.cos(t), np.sin(t), 0.0])
        guess.update(A, x, x)
    guess.reset()
    assert not np.any(guess(A, np.ones(3)))
    assert guess.model.forecast() is None


@pytest.mark.parametrize(("window", "rank"), [(2, 1), (5, 5), (5, 0)])
def test_wrong_windows_are_named(window: int, rank: int) -> None:
    with pytest.raises(ValueError, match=f"window = {window}, rank = {rank}"):
        RefittedDMD(window, rank)


@pytest.mark.slow
def test_the_command_writes_its_files_and_reads_its_cache(tmp_path: Path) -> None:
    pytest.importorskip("mpi4py.MPI", reason="needs the extra fem", exc_type=ImportError)
    pytest.importorskip("dolfinx", reason="needs the extra fem", exc_type=ImportError)
    args = ["initial-guess", "--fast", "--folder", str(tmp_path / "runs"), "--cache", str(tmp_path / "data")]
    assert cli.main(args) == 0
    (stored,) = (tmp_path / "data").iterdir()
    made = stored.stat().st_mtime_ns
    assert cli.main(args) == 0
    assert stored.stat().st_mtime_ns == made
    for folder in (tmp_path / "runs" / "initial_guess").iterdir():
        assert {path.name for path in folder.iterdir()} >= {"config.json", "history.csv", "result.json", "plot.png"}
        rows = json.loads((folder / "result.json").read_text())["rows"]
        assert len(rows) == 2 * len(GUESSES)


def test_the_plume_is_the_other_source(tmp_path: Path) -> None:
    """A small one; its systems are regular and the same for all."""
    from conjugo.cases.initial_guess import Config, recorded

    A, b = recorded(Config(source="smoke", resolution=2, settle=0.5, systems=5, cache=tmp_path))
    assert b.shape == (5, A.shape[0])
    assert abs(A - A.T).max() < 1e-12
    assert np.isfinite(b).all()


def test_bad_options_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["initial-guess", "--strides", "0", "--folder", str(tmp_path)]) == 2
    assert "strides = (0,)" in capsys.readouterr().err
