"""conjugo dds-mri: it ends, its scores are those of magnitudes, and every method sees the same data."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("deepinv")

from torch import Tensor  # noqa: E402

from conjugo.cases.dds_mri import Config, main  # noqa: E402
from conjugo.cases.imaging_methods import methods, metric  # noqa: E402
from conjugo.cases.imaging_race import Judge, race  # noqa: E402
from conjugo.cases.imaging_scene import Scene, build, network, phantom_images  # noqa: E402
from conjugo.cases.imaging_tuning import Choice  # noqa: E402
from conjugo.learned.diffusion.imaging.physics import mri  # noqa: E402


@pytest.fixture(scope="module")
def scene() -> Scene:
    A = mri(12, coils=2, acceleration=2.0)

    def zero_filled(y: Tensor) -> Tensor:
        scattered: Tensor = A.H @ y.T.contiguous()
        return scattered.T.reshape(len(y), 2, 12, 12)

    return build(A, phantom_images("mri", 12, 0), None, zero_filled, "zero-filled", noise=0.02, relative=False,
                 slices=(1, 2), seed=0, device=torch.device("cpu"))  # fmt: skip


@pytest.mark.slow
def test_the_case_ends(tmp_path: Path) -> None:
    folder = main(Config(fast=True, folder=tmp_path))
    facts = json.loads((folder / "result.json").read_text())
    assert facts["converged"]
    assert {"zero-filled", "CG-SENSE", "DDS", "ours"} <= {row["method"] for row in facts["rows"]}
    assert {"plot.png", "costs.png", "samples.png", "tuning.json"} <= {path.name for path in folder.iterdir()}


def test_scores_are_of_magnitudes_and_costs_of_one_slice(scene: Scene) -> None:
    chosen = [method for method in methods(scene, fast=True) if method.name in ("zero-filled", "DDS", "ours")]
    choices = {(m.name, steps): Choice(m.defaults(), 0.0) for m in chosen for steps in m.budgets}
    rows = race(scene, chosen, choices, Judge(scene), seed=0)
    assert [row.label for row in rows] == ["zero-filled", "DDS 4", "ours 2", "ours 4"]
    truth = scene.test.truth.numpy()
    for row in rows:
        x = row.x.numpy()
        seen, wanted = np.hypot(x[:, 0], x[:, 1]), np.hypot(truth[:, 0], truth[:, 1])
        error = ((seen - wanted) ** 2).mean(axis=(1, 2))
        np.testing.assert_allclose(row.psnr, -10 * np.log10(error), rtol=1e-4)
        assert row.ssim.shape == (2,)
        assert bool(np.all(row.ssim <= 1.0))
    assert rows[1].applications == 4 * (2 + 2 * 5)  # a residual, and five steps of conjugate gradients
    phase = torch.polar(torch.ones(()), torch.tensor(0.3))
    turned = torch.view_as_real(torch.view_as_complex(scene.test.truth.movedim(1, -1).contiguous()) * phase).movedim(
        -1, 1
    )
    assert float(Judge(scene).psnr(turned, scene.test.truth).min()) > 60  # a phase is no error of the magnitude
    assert math.isnan(Judge(scene).mean_psnr(torch.full_like(turned, torch.nan), scene.test.truth))


def test_with_the_exact_prior_ours_needs_two_evaluations(scene: Scene) -> None:
    """The Gaussian prior's own spectrum makes the step exact: two evaluations reach the linear answer."""
    ours = metric(scene, (2,), dense=True)
    linear = next(method for method in methods(scene, fast=True) if method.name == "linear Bayes")
    x = ours.run(scene.test.y, steps=2, seed=0, eta=0.0, split="paper", noise="conditional").x
    mean = linear.run(scene.test.y, steps=0, seed=0).x
    error = ((mean - scene.test.truth) ** 2).mean()
    assert ((x - mean) ** 2).mean() < 0.2 * error


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train diffusion --problem mri --reduced.*--prior gaussian"):
        network("mri", tmp_path / "absent.safetensors")
