"""`conjugo train diffusion`: it ends with weights that load, a card and scores, and goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("deepinv")

from conjugo.cases.diffusion_recipes import SETTINGS, images_of
from conjugo.cases.train_diffusion import Config, main, network, settled
from conjugo.learned.diffusion.imaging.unet import UNetDenoiser
from conjugo.learned.training import load_model
from conjugo.pde.random_fields import matern_field


def test_a_fast_run_leaves_weights_a_card_and_scores(tmp_path: Path) -> None:
    folder = main(Config(problem="source", fast=True, folder=tmp_path, out=tmp_path / "out"))
    names = {"weights.safetensors", "weights.md", "history.csv", "result.json", "plot.png", "config.json"}
    assert names <= {path.name for path in folder.iterdir()}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "diffusion_source.safetensors",
        "diffusion_source.md",
    }
    rows = json.loads((folder / "result.json").read_text())["scores"]
    assert all(row["network, test"] > row["exact, test"] for row in rows)  # nothing beats the exact denoiser
    assert [row["exact, test"] for row in rows] == sorted(row["exact, test"] for row in rows)
    model = load_model(folder / "weights.safetensors")
    assert isinstance(model, UNetDenoiser)
    with torch.no_grad():
        assert model(torch.zeros(1, 1, 16, 16), 1.0).shape == (1, 1, 16, 16)


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    whole = main(Config(problem="source", fast=True, folder=tmp_path, checkpoint=tmp_path / "a.ckpt"))
    cut = Config(problem="source", fast=True, folder=tmp_path, checkpoint=tmp_path / "b.ckpt")
    stopped = main(Config(**{**vars(cut), "time_limit": 1e-9}))
    assert json.loads((stopped / "result.json").read_text())["interrupted"]
    resumed = main(cut)
    assert (resumed / "weights.md").is_file()
    one, other = (load_model(folder / "weights.safetensors").state_dict() for folder in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_source_fields_are_those_of_the_generator() -> None:
    images = images_of("source", size=16, batch=2, seed=3)
    assert torch.equal(images.clean(4), images.clean(4))
    assert not torch.equal(images.clean(4), images.clean(5))
    assert float(images.linear.spectrum.mean()) == pytest.approx(1)
    fields = matern_field((16, 16), 400, alpha=2.0, tau=3.0, seed=9)
    measured = np.mean(np.asarray(images.linear.basis.forward(fields)) ** 2, axis=0)
    ratio = measured / images.linear.spectrum[0]
    assert np.allclose(ratio / ratio.mean(), 1, atol=6 * (2 / 400) ** 0.5)


def test_the_full_configuration_is_the_default() -> None:
    config = settled(Config())
    assert (config.size, config.width, config.batch, config.steps, config.precision) == (
        128,
        64,
        64,
        10_000,
        "bfloat16",
    )
    reduced = settled(Config(reduced=True, steps=7))
    assert (reduced.size, reduced.steps, reduced.patch) == (SETTINGS["reduced"]["size"], 7, 2)
    assert config.ema == 0.999


@pytest.mark.slow
def test_the_full_network_takes_a_step() -> None:
    images = images_of("source", size=128, batch=2)
    model = UNetDenoiser(network(settled(Config(problem="source")), images))
    assert 5e6 < sum(p.numel() for p in model.parameters()) < 6e6
    folder_batch = images.clean(0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = (model(folder_batch, 0.5) - folder_batch).square().mean()
    loss.backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters())


@pytest.mark.slow
def test_mri_runs_on_the_volume_that_nilearn_ships(tmp_path: Path) -> None:
    pytest.importorskip("nilearn")
    folder = main(Config(problem="mri", fast=True, folder=tmp_path))
    facts = json.loads((folder / "result.json").read_text())
    assert facts["images"] == "MNI152: other slices of the same head"


def test_missing_volumes_are_named() -> None:
    with pytest.raises(ValueError, match=r"CT needs --volume: an InVesalius project, say Cranium\.inv3"):
        images_of("ct", size=16, batch=2)
    with pytest.raises(ValueError, match="leave out --volume and --phantoms"):
        images_of("source", size=16, batch=2, phantoms=True)
    with pytest.raises(FileNotFoundError, match="mricron-data"):
        images_of("mri", size=16, batch=2, volume=Path("absent.nii.gz"))
