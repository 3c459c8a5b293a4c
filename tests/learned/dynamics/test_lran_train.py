"""Training: better forecasts than the start's, exact resume, closed-form steps, and models on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conjugo.learned.dynamics import DMD, nrmse, resdmd_residuals
from conjugo.learned.dynamics.closed_form import closed_form_step
from conjugo.learned.dynamics.lran import LRAN, LRANConfig
from conjugo.learned.dynamics.lran_model import LRANModel
from conjugo.learned.dynamics.lran_start import start
from conjugo.learned.dynamics.lran_train import LRANTraining, classical_start, train_lran
from conjugo.learned.training.models import save_model
from conjugo.pde import Trajectories
from conjugo.pde.evolution.duffing import duffing

SMALL = LRANTraining(latent=6, centres=60, horizon=15, lengths=(5, 16), encoder=(16,), decoder=(16,), symmetry="sign",
                     steps=8, batch=8, state_floor=1.0)  # fmt: skip


@pytest.fixture(scope="module")
def data() -> Trajectories:
    return duffing(60, 20)


def untrained(data: Trajectories, training: LRANTraining = SMALL) -> LRAN:
    return start(classical_start(data, training), data, encoder=training.encoder, decoder=training.decoder)


@pytest.mark.slow
def test_trained_network_beats_dmd_on_unseen_trajectories() -> None:
    data, test = duffing(400, 20), duffing(300, 15, seed=1)
    training = replace(
        SMALL, start="random", steps=600, batch=128, learning_rate=3e-3, lengths=(5, 16), encoder=(32, 32)
    )
    learned = LRANModel(training).fit(data).predict(test.u[:, 0], 15)
    linear = DMD().fit(data).predict(test.u[:, 0], 15)
    steps = range(1, 16)
    assert nrmse(learned, test.u, steps).mean() < 0.6 * nrmse(linear, test.u, steps).mean()


@pytest.mark.parametrize("step", ["trained", "fixed", "refit"])
def test_resumed_run_has_the_same_bits(data: Trajectories, step: str, tmp_path: Path) -> None:
    training = replace(SMALL, step=step, refit_every=3)  # type: ignore[arg-type]
    whole, stopped = untrained(data), untrained(data)
    train_lran(whole, data, training, checkpoint=tmp_path / "whole.pt", progress=False)

    class KilledError(Exception): ...

    def kill(record: object) -> None:
        if getattr(record, "step", 0) == 5:
            raise KilledError

    with pytest.raises(KilledError):
        train_lran(stopped, data, training, checkpoint=tmp_path / "run.pt", on_step=kill, progress=False)
    again = untrained(data)
    train_lran(again, data, training, checkpoint=tmp_path / "run.pt", progress=False)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_fixed_step_does_not_move(data: Trajectories) -> None:
    network = untrained(data)
    before = network.K.detach().clone()
    train_lran(network, data, replace(SMALL, step="fixed"), progress=False)
    assert torch.equal(network.K, before)


def test_closed_form_step_is_least_squares(data: Trajectories) -> None:
    network = untrained(data)
    states = torch.as_tensor(data.u, dtype=torch.float32)
    with torch.no_grad():
        z = network.encode(states).double()
    oracle = np.linalg.lstsq(z[:, :-1].reshape(-1, 6).numpy(), z[:, 1:].reshape(-1, 6).numpy(), rcond=None)[0]
    assert np.allclose(closed_form_step(network, states, ridge=0.0).numpy(), oracle, atol=1e-8)


def test_refits_need_a_free_step(data: Trajectories) -> None:
    network = LRAN(LRANConfig(state=2, latent=4, stable=True))
    with pytest.raises(ValueError, match="free K"):
        train_lran(network, data, replace(SMALL, step="refit"), progress=False)


def test_overfits_one_window() -> None:
    data = Trajectories(np.random.default_rng(0).standard_normal((1, 4, 2)), np.arange(4.0))
    torch.manual_seed(0)
    network = LRAN(LRANConfig(state=2, latent=4, encoder=(32,), decoder=(32,)))
    training = LRANTraining(latent=4, lengths=(4,), steps=300, batch=1, learning_rate=1e-2)
    history = train_lran(network, data, training, progress=False)
    assert history.losses[-1] < 0.1 * history.losses[0]


def test_saved_model_forecasts_the_same(data: Trajectories, tmp_path: Path) -> None:
    model = LRANModel(SMALL).fit(data)
    save_model(model.network, tmp_path / "lran.safetensors")
    again = LRANModel.load(tmp_path / "lran.safetensors", data)
    x = data.u[:, 0]
    assert np.array_equal(again.predict(x, 10, reencode=4), model.predict(x, 10, reencode=4))
    assert np.array_equal(again.eigenvalues, model.eigenvalues)


def test_spectrum_has_residuals(data: Trajectories) -> None:
    model = LRANModel(SMALL).fit(data)
    residuals = resdmd_residuals(model, duffing(30, 20, seed=2))
    assert residuals.shape == (6,)
    assert residuals.min() < 0.2  # at least one function is carried along
    shuffled = np.random.default_rng(0).permutation(data.u.reshape(-1, 2)).reshape(data.u.shape)
    without_order = Trajectories(shuffled, data.t)  # no dynamics to find
    assert (resdmd_residuals(model, without_order) > residuals).all()
    assert np.allclose(model.eigenfunctions(data.u[:, 0]), model.encode(data.u[:, 0]) @ model.eigenvectors)


def test_other_states_are_refused(data: Trajectories) -> None:
    network = LRAN(LRANConfig(state=3, latent=2))
    with pytest.raises(ValueError, match="states of 2 numbers"):
        LRANModel().adopt(network, data)
    with pytest.raises(ValueError, match="2 components"):
        network(torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match="latent - reals must be even"):
        LRANConfig(state=2, latent=5, stable=True)
    with pytest.raises(ValueError, match="only a kernel has centres"):
        LRANConfig(state=2, latent=5, kernel="gaussian")
    with pytest.raises(ValueError, match="choose one of"):
        LRANConfig(state=2, latent=5, kernel="cubic", centres=3)  # type: ignore[arg-type]
