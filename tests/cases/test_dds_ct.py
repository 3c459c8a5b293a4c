"""conjugo dds-ct: it ends, its linear row is the exact posterior mean; choices, duels and coverage are right."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("deepinv")

from torch import Tensor  # noqa: E402

from conjugo.cases.dds_ct import Config, main  # noqa: E402
from conjugo.cases.imaging_methods import brief, linear_bayes, methods, squared_norm  # noqa: E402
from conjugo.cases.imaging_quality import sample_slices  # noqa: E402
from conjugo.cases.imaging_race import Judge, Row, duels, verdicts  # noqa: E402
from conjugo.cases.imaging_scene import Scene, build, phantom_images  # noqa: E402
from conjugo.cases.imaging_tuning import Choice, Tuner, read, tune, write  # noqa: E402
from conjugo.cases.imaging_volume import volume_table  # noqa: E402
from conjugo.learned.diffusion.imaging.peers import Method, Reconstruction  # noqa: E402
from conjugo.learned.diffusion.imaging.physics import tomography  # noqa: E402
from conjugo.pde.inverse.bases import CosineBasis  # noqa: E402
from conjugo.pde.inverse.bayes import GaussianPosterior  # noqa: E402


@pytest.fixture(scope="module")
def scene() -> Scene:
    A = tomography(12, views=4)

    def transposed(y: Tensor) -> Tensor:
        scattered: Tensor = A.H @ y.T.contiguous()
        return scattered.T.reshape(len(y), 1, 12, 12)

    return build(A, phantom_images("ct", 12, 0), None, transposed, "adjoint", noise=0.05, relative=True, slices=(2, 3),
                 seed=0, device=torch.device("cpu"))  # fmt: skip


def test_the_case_ends_and_its_settings_can_be_used_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = main(Config(fast=True, folder=tmp_path))
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "history.csv", "result.json", "plot.png", "costs.png", "samples.png", "tables.md",
            "tuning.json", "spectrum.npz"} == names  # fmt: skip
    facts = json.loads((folder / "result.json").read_text())
    assert facts["converged"]
    rows = {(row["method"], row["steps"]): row for row in facts["rows"]}
    assert {name for name, _ in rows} == {
        "FBP", "TV", "linear Bayes", "DPS", "DiffPIR", "PiGDM", "MomentMatching", "DDNM", "DDS", "DDS+", "calibrated",
        "ours",
    }  # fmt: skip
    assert rows["DDS", 4]["evaluations"] == rows["ours", 4]["evaluations"] == rows["PiGDM", 4]["backward"] == 4
    # the prior is Gaussian and so is the noise: no method beats the linear one by much
    best = max(row["psnr"] for row in facts["rows"])
    assert rows["linear Bayes", 0]["psnr"] > best - 0.5
    printed = capsys.readouterr().out
    assert "Kill test" in printed
    assert (folder / "tables.md").read_text().strip() in printed
    record = json.loads((folder / "tuning.json").read_text())
    assert record["facts"]["case"] == "dds_ct"
    with pytest.raises(ValueError, match="leave out --tuning"):
        main(Config(fast=True, folder=tmp_path, noise=0.2, tuning=folder / "tuning.json"))


def test_the_linear_row_is_the_exact_posterior_mean(scene: Scene) -> None:
    found = linear_bayes(scene).run(scene.test.y, steps=0, seed=0).x
    prior = scene.linear
    exact = GaussianPosterior(scene.A, scene.test.y.double().numpy().T, scene.sigma, prior.mean.reshape(-1),
                              prior.spectrum, CosineBasis((12, 12))).mean  # fmt: skip
    np.testing.assert_allclose(found.reshape(len(found), -1).numpy(), exact.T, atol=2e-4)
    dense = np.stack([scene.A @ unit for unit in np.eye(144)], axis=1)
    assert squared_norm(scene) == pytest.approx(np.linalg.norm(dense, 2) ** 2, rel=1e-3)


def test_the_tuner_finds_the_best_and_remembers(scene: Scene, tmp_path: Path) -> None:
    calls: list[tuple[Any, ...]] = []

    def run(y: Tensor, *, steps: int, seed: int, a: float, b: str) -> Reconstruction:
        calls.append((steps, a, b))
        value = -((a - 3) ** 2) - (b != "z") - (a == 5 and b == "z") * 10 + 0 * steps
        return Reconstruction(torch.full((1,), value), 1, 0, 1, 0.0)

    method = Method("toy", run, (19, 49, 99), {"a": (1.0, 3.0, 5.0), "b": ("x", "y", "z")})
    tuner = Tuner(scene.validation, lambda x, truth: float(x))
    choices = tune([method], tuner)
    assert choices["toy", 19].settings == choices["toy", 99].settings == {"a": 3.0, "b": "z"}
    assert len(calls) == len(set(calls)) == choices["toy", 19].tried + choices["toy", 49].tried
    assert choices["toy", 99].tried == 0
    path = tmp_path / "tuning.json"
    write(choices, path, {"case": "toy", "shape": (1, 2)})
    assert read(path, [method], {"case": "toy", "shape": (1, 2)}) == choices
    with pytest.raises(ValueError, match="was tuned for"):
        read(path, [method], {"case": "other"})
    other = replace(method, name="other")  # the file misses it, and it is tuned
    calls.clear()
    again = tune([method, other], Tuner(scene.validation, lambda x, truth: float(x)), read(
        path, [method, other], {"case": "toy", "shape": (1, 2)}))  # fmt: skip
    assert again["other", 19].settings == choices["toy", 19].settings
    assert len(calls) == again["other", 19].tried + again["other", 49].tried
    with pytest.raises(ValueError, match="holds no tuned settings"):
        read(tmp_path / "absent.json", [method], {})
    broken = Method(
        "broken", lambda y, **_: Reconstruction(torch.full((1,), torch.nan), 1, 0, 1, 0.0), (1,), {"a": (1,)}
    )
    assert tuner(broken, 1).score == -np.inf


def row(method: str, steps: int, psnr: list[float], seconds: float, family: str = "deepinv") -> Row:
    count = len(psnr)
    return Row(method, family, steps, {}, torch.zeros(count), np.array(psnr), np.ones(count), np.full(count, seconds),
               steps, 0, 1, 0.0)  # fmt: skip


def test_verdicts_follow_from_the_table() -> None:
    rows = [
        row("linear Bayes", 0, [25.0, 25.0], 0.01, "numerics"),
        row("ours", 4, [30.0, 31.0], 1.0, "ours"),
        row("ours", 9, [33.0, 34.0], 2.0, "ours"),
        row("DDS", 19, [31.0, 31.5], 1.5),
        row("DDS", 49, [32.0, 32.0], 2.5),
        row("PiGDM", 19, [20.0, 20.0], 0.5),
        row("MomentMatching", 9, [29.0, 29.0], 1.0),
    ]
    found = {duel.rival: duel for duel in duels(rows)}
    assert found["DDS 19"].ours == "ours 4"
    assert found["DDS 19"].gain == pytest.approx(-0.75)
    assert found["DDS 19"].error == pytest.approx(0.25)
    assert not found["DDS 19"].won
    assert found["DDS 49"].ours == "ours 9"
    assert found["DDS 49"].won
    assert not found["PiGDM 19"].ours
    text = "\n".join(verdicts(rows))
    assert "PSNR of DDS at equal seconds: NO; it loses to DDS 19 (-0.75 dB)." in text
    assert "no run of ours is as fast as PiGDM 19" in text
    assert "PSNR of MomentMatching at equal seconds: yes" in text
    assert "FAILED" in text
    text = "\n".join(verdicts([*rows[:3], *rows[4:5], *rows[6:]]))
    assert "passed" in text


def test_the_quiet_start_is_one_choice_and_not_the_published_one(scene: Scene) -> None:
    """Without fresh noise it needs no seed; it comes closer than noise does where one estimate is wanted."""
    found = {method.name: method for method in methods(scene)}
    assert "quiet" not in found["DDS"].grid["eta"]
    assert "quiet" in found["DDS+"].grid["eta"]
    ours = found["ours"]
    settings = {**ours.defaults(), "noise": "conditional"}
    quiet = [ours.run(scene.test.y, steps=4, seed=seed, **{**settings, "eta": "quiet"}).x for seed in (0, 1)]
    noisy = ours.run(scene.test.y, steps=4, seed=0, **{**settings, "eta": 0.85}).x
    assert torch.equal(*quiet)
    assert (quiet[0] - scene.test.truth).norm() < (noisy - scene.test.truth).norm()


def test_spread_and_coverage_of_exact_samples_are_calibrated(scene: Scene) -> None:
    """Samples of the very law that the truth is from: spread as large as the error, intervals as wide as they say."""
    many = replace(scene, test=replace(scene.test, truth=scene.linear.sample(24, seed=5), y=torch.zeros(24, 3)))

    def run(y: Tensor, *, steps: int, seed: int) -> Reconstruction:
        return Reconstruction(scene.linear.sample(len(y), seed=100 + seed), 1, 0, 1, 0.0)

    found = sample_slices(many, Method("exact", run), 1, {}, slices=range(24), count=19, seed=0, label="")
    assert found.ratio == pytest.approx(1.0, abs=0.08)
    np.testing.assert_allclose(found.coverage, [0.5, 0.8, 0.9], atol=0.06)
    few = sample_slices(many, Method("exact", run), 1, {}, slices=range(2), count=4, seed=0, label="")
    assert np.isnan(few.coverage).tolist() == [False, True, True]  # four samples know no such interval


@pytest.fixture
def stack() -> tuple[Tensor, Tensor]:
    """Slices that change slowly: a phantom that fades into another."""
    images = phantom_images("ct", 12, 1).test
    share = torch.linspace(0, 1, 8)[:, None, None, None]
    return images[:6] * 0 + images[2], images[0] * (1 - share) + images[1] * share


def test_a_stack_is_reconstructed_across_and_slice_by_slice(scene: Scene, stack: tuple[Tensor, Tensor]) -> None:
    chosen = [brief(method) for method in methods(scene, fast=True) if method.name in ("DDS", "ours")]
    choices = {(m.name, steps): Choice(m.defaults(), 0.0) for m in chosen for steps in m.budgets}
    text, rows = volume_table(scene, *stack, chosen, choices, Judge(scene), steps=4, depth=8, seed=0)
    assert [entry["method"] for entry in rows] == [
        "DDS, TV across slices",
        "DDS, slice by slice",
        "ours, slice by slice",
    ]
    assert "8 neighbouring test slices" in text
    # neighbours are alike: what couples them beats the same sampler that does not
    assert rows[0]["psnr"] > rows[1]["psnr"]


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pass --volume"):
        main(Config(folder=tmp_path))
    with pytest.raises(FileNotFoundError, match=r"there is no file absent\.inv3"):
        main(Config(volume=Path("absent.inv3"), prior="gaussian", folder=tmp_path))
    with pytest.raises(ValueError, match="no neighbours"):
        main(Config(phantoms=True, volume_tv=True, folder=tmp_path))
    with pytest.raises(ValueError, match="there are no weights"):
        main(Config(phantoms=True, weights=tmp_path / "absent.safetensors", folder=tmp_path))
    with pytest.raises(ValueError, match="expected a positive standard deviation"):
        main(Config(phantoms=True, prior="gaussian", size=16, noise=-1.0, folder=tmp_path))
    with pytest.raises(ValueError, match="99 slices asked for"):
        main(Config(phantoms=True, prior="gaussian", size=16, test=99, folder=tmp_path))
