"""The case of the wake's Koopman models: its basis, its pictures, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

pytest.importorskip("h5py", reason="needs the extra learned")

from conjugo import cli
from conjugo.cases.wake_modes import Basis, draw_mode, mirrored
from conjugo.pde.grid import Grid
from conjugo.pde.trajectories import Trajectories


def snapshots() -> np.ndarray:
    """Two trajectories of four fixed patterns with coefficients that decay and turn."""
    rng = np.random.default_rng(0)
    patterns, t = rng.standard_normal((4, 3, 6, 5)), np.arange(30.0)
    weights = np.stack([0.9**t, 0.5 * np.cos(0.4 * t), 0.5 * np.sin(0.4 * t), 0.1 * 0.8**t], axis=-1)
    return np.stack([np.tensordot(scale * weights, patterns, axes=1) for scale in (1.0, 0.7)])


def test_the_basis_is_orthonormal_and_carries_the_vorticity() -> None:
    """The coefficients times the modes give velocity and vorticity back."""
    u, steady = snapshots(), np.zeros((3, 6, 5))
    basis = Basis.of(u, steady, 4)
    assert np.allclose(basis.velocity @ basis.velocity.T, np.eye(4), atol=1e-9)
    assert basis.held == pytest.approx(1.0)
    trajectories = Trajectories(u, np.arange(30.0))
    a = basis.coefficients(trajectories).u * basis.unit
    assert np.allclose((a @ basis.velocity).reshape(2, 30, 2, 6, 5), u[:, :, :2], atol=1e-9)
    assert np.allclose(np.tensordot(a, basis.vorticity, axes=1), u[:, :, 2], atol=1e-7)
    assert basis.lost(trajectories) < 1e-6
    assert Basis.of(u, steady, 1).lost(trajectories) > 0.1


def test_reflection_is_its_own_inverse() -> None:
    u = snapshots()
    assert np.array_equal(mirrored(mirrored(u)), u)


def test_more_modes_than_snapshots_are_refused() -> None:
    with pytest.raises(ValueError, match="rank = 99"):
        Basis.of(snapshots(), np.zeros((3, 6, 5)), 99)


def test_a_mode_is_drawn_about_zero() -> None:
    ax = Figure().subplots()
    draw_mode(ax, np.outer(np.arange(-2.0, 4.0), np.ones(5)), Grid((6, 5), (0.5, 0.5), (-1.0, -1.0)), "mode")
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert list(ax.images[0].get_extent()) == [-1.0, 1.5, -1.0, 1.0]


@pytest.mark.slow
def test_the_command_writes_its_files(tmp_path: Path) -> None:
    pytest.importorskip("mpi4py.MPI", reason="needs the extra fem", exc_type=ImportError)
    pytest.importorskip("dolfinx", reason="needs the extra fem", exc_type=ImportError)
    args = ["koopman-wake", "--fast", "--folder", str(tmp_path / "runs"), "--cache", str(tmp_path / "data")]
    assert cli.main(args) == 0
    (folder,) = (tmp_path / "runs" / "koopman_wake").iterdir()
    assert {path.name for path in folder.iterdir()} >= {"plot.png", "modes.png", "result.json", "history.csv"}
    models = json.loads((folder / "result.json").read_text())["models"]
    assert models[0]["model"] == "persistence"
    assert all(len(row["errors"]) == 9 for row in models)
