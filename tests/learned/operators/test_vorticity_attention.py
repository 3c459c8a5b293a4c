"""VorticityAttention: equivariance on the torus, its bases, rollout and batches, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conjugo.learned.operators.periodic_attention import PeriodicBlock, PeriodicRotary
from conjugo.learned.operators.rollout import rollout
from conjugo.learned.operators.spectral_base import coarse_step, refined
from conjugo.learned.operators.symmetries import group_average, vorticity_symmetries
from conjugo.learned.operators.vorticity_attention import VorticityAttention, VorticityAttentionConfig
from conjugo.learned.operators.vorticity_batches import rollout_loss, vorticity_batches, vorticity_windows
from conjugo.learned.training.fit import FitConfig, fit
from conjugo.learned.training.models import load_model, save_model
from conjugo.pde import Trajectories
from conjugo.pde.evolution.navier_stokes import advance


def model(base: Any = "persistence", **sizes: Any) -> VorticityAttention:
    torch.manual_seed(0)
    small = {"frames": 3, "width": 32, "heads": 2, "blocks": 2, "stem": 16, "waves": 8, **sizes}
    return VorticityAttention(VorticityAttentionConfig(base=base, **small))


def woken(base: Any = "persistence") -> VorticityAttention:
    """A model whose zeroed maps are not zero any more, in double precision."""
    made = model(base)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.double()


def smooth(*shape: int, size: int = 16, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random fields without the waves above a third of the grid, which the coarse solver drops."""
    waves = torch.fft.rfft2(torch.randn(*shape, size, size, dtype=torch.float64))
    k = torch.fft.fftfreq(size, 1 / size)
    waves *= (k.abs()[:, None] <= (size - 1) // 3) & (k.abs()[: size // 2 + 1] <= (size - 1) // 3)
    fields: Tensor = torch.fft.irfft2(waves, s=(size, size)).to(dtype)
    return fields


def waves(count: int = 16, times: int = 8, size: int = 16) -> Trajectories:
    """Waves that travel: the next frame follows from two."""
    rng = np.random.default_rng(0)
    x = 2 * np.pi * np.arange(size) / size
    u = np.zeros((count, times, size, size))
    for i in range(count):
        for kx, ky in ((1, 0), (0, 1), (1, 1), (2, 1)):
            phase, speed, height = rng.uniform(0, 6.28), 0.8, rng.standard_normal()
            t = np.arange(times)[:, None, None]
            u[i] += height * np.sin(kx * x[:, None] + ky * x + speed * t + phase)
    return Trajectories(u, np.arange(float(times)))


@pytest.mark.parametrize("base", ["persistence", "spectral"])
def test_shifts_by_whole_patches_that_keep_the_forcing_commute_with_it(base: Any) -> None:
    made, w = woken(base), smooth(2, 3)
    plain = made(w)
    shifted = made(w.roll((4, -4), (2, 3)))
    torch.testing.assert_close(shifted, plain.roll((4, -4), (2, 3)), rtol=0, atol=1e-6)  # angles are in float32
    off = made(w.roll((1, 0), (2, 3)))  # this one moves the forcing, and cuts other patches
    assert (off - plain.roll((1, 0), (2, 3))).abs().max() > 1e-3


def test_numerics_commutes_with_all_256_symmetries_and_the_average_makes_the_network_do_so() -> None:
    group = vorticity_symmetries(64)
    w = smooth(1, size=64)
    later = advance(w, 0.1, dt=0.05)
    everyone = torch.arange(256)
    moved, expected = (group.apply(everyone, field.expand(256, *field.shape[1:])) for field in (w, later))
    torch.testing.assert_close(advance(moved, 0.1, dt=0.05), expected, rtol=0, atol=1e-12)
    small, made = vorticity_symmetries(16), woken()
    w = smooth(1, 3)
    for g in (1, 17, 40):
        average = group_average(made, small.apply(g, w), small)
        torch.testing.assert_close(average, small.apply(g, group_average(made, w, small)), rtol=0, atol=1e-6)


def test_attention_sees_relative_places_only() -> None:
    rotary, block = PeriodicRotary(8, 4), PeriodicBlock(16, 2, 2)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    x, turn = torch.randn(2, 16, 8, 8), rotary((8, 8))
    moved = block(x.roll((3, 5), (2, 3)), turn)
    torch.testing.assert_close(moved, block(x, turn).roll((3, 5), (2, 3)), rtol=1e-4, atol=1e-5)
    assert (block(x.flip(3), turn) - block(x, turn).flip(3)).abs().max() > 1e-3  # and places do matter


def test_the_size_asked_for_has_about_five_million_parameters() -> None:
    count = sum(p.numel() for p in VorticityAttention(VorticityAttentionConfig()).parameters())
    assert 4.9e6 < count < 5.9e6


def test_a_new_model_is_its_base() -> None:
    w = smooth(2, 3, dtype=torch.float32)
    assert torch.equal(model()(w), w[:, -1:])
    found = model("spectral", dt=0.1, interval=0.5)(w)
    torch.testing.assert_close(found, advance(w[:, -1:], 0.5, dt=0.1), rtol=0, atol=1e-6)


def test_the_refined_step_is_that_of_the_finer_grid() -> None:
    w = smooth(1, 1)
    found = coarse_step(w, 0.2, viscosity=1e-3, dt=0.05, refine=2)
    fine = advance(refined(w, 2), 0.2, viscosity=1e-3, dt=0.05)
    assert torch.equal(found, fine[..., ::2, ::2])
    torch.testing.assert_close(refined(w, 2)[..., ::2, ::2], w)


def test_the_rollout_is_the_model_again_and_again_and_the_loss_follows_it() -> None:
    made, w = woken(), smooth(2, 3)
    with torch.no_grad():
        found = rollout(made, w, 3)
        first = made(w)
        second = made(torch.cat([w[:, 1:], first], dim=1))
        assert torch.equal(found[:, :2], torch.cat([first, second], dim=1))
        truth = torch.randn_like(found)
        expected = ((found - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)).mean()
        torch.testing.assert_close(rollout_loss(made, {"past": w, "future": truth}), expected)


def test_measure_takes_the_deviations_of_the_data() -> None:
    data = waves()
    made = model().measure(data.u, chunk=5)
    assert float(made.spread) == pytest.approx(np.sqrt(np.mean(data.u**2)), rel=1e-2)
    assert float(made.increment) == pytest.approx(np.sqrt(np.mean(np.diff(data.u, axis=1) ** 2)), rel=1e-5)


@pytest.mark.parametrize("base", ["persistence", "spectral"])
def test_sixteen_trajectories_are_learned(base: Any) -> None:
    data = waves()
    made = model(base, dt=0.25).measure(data.u)
    windows = vorticity_windows(data, frames=3, count=1)
    start = rollout_loss(made, windows[0]).item()
    settings = FitConfig(steps=60, learning_rate=5e-3, warmup=5)
    fit(made, rollout_loss, lambda step: windows[0], config=settings, progress=False)
    assert start > 0.3
    assert rollout_loss(made, windows[0]).item() < 0.1


def test_batches_are_true_windows_and_functions_of_seed_and_step() -> None:
    data = waves()
    batches = vorticity_batches(data, 6, 5, frames=3, unroll=((0, 1), (4, 3)), augment=False)
    assert all(torch.equal(batches(4)[name], batches(4)[name]) for name in ("past", "future"))
    assert not torch.equal(batches(4)["past"], batches(5)["past"])
    assert (batches(3)["future"].shape[1], batches(4)["future"].shape[1]) == (1, 3)
    known = {tuple(np.float32(window).ravel()[:50]) for window in data.windows(3)}
    assert all(
        tuple(past.flatten()[:50].tolist()) in {tuple(map(float, k)) for k in known} for past in batches(0)["past"]
    )
    noisy = vorticity_batches(data, 64, 5, frames=3, noise=0.1, augment=False)(0)["past"]
    clean = vorticity_batches(data, 64, 5, frames=3, augment=False)(0)["past"]
    assert float((noisy - clean).std()) == pytest.approx(0.1 * np.sqrt(np.mean(data.u**2)), rel=0.02)
    other = vorticity_batches(data, 64, 6, frames=3, augment=False)(0)["past"]
    assert not torch.equal(other, clean)
    moved = vorticity_batches(data, 64, 5, frames=3)(0)["past"]
    torch.testing.assert_close(moved.flatten(1).norm(dim=1), clean.flatten(1).norm(dim=1))
    assert not torch.allclose(moved, clean)


def test_saved_and_loaded_it_gives_the_same_bits(tmp_path: Path) -> None:
    made = woken().float().eval()
    made.increment.fill_(0.3)
    loaded = load_model(save_model(made, tmp_path / "m.safetensors"))
    w = smooth(1, 3, dtype=torch.float32)
    assert torch.equal(loaded(w), made(w))


def test_bfloat16_changes_little() -> None:
    made, w = woken().float(), smooth(1, 3, dtype=torch.float32)
    with torch.no_grad():
        full = made(w) - w[:, -1:]
        with torch.autocast("cpu", torch.bfloat16):
            half = made(w) - w[:, -1:]
    assert half.dtype == torch.float32
    assert 0 < float((half - full).norm() / full.norm()) < 0.05  # 8 bits of mantissa


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: VorticityAttentionConfig(base="other"), "base = 'other'"),  # type: ignore[arg-type]
        (lambda: VorticityAttentionConfig(blocks=0), "blocks = 0"),
        (lambda: VorticityAttentionConfig(dt=0.0), "dt = 0.0"),
        (lambda: model(heads=3), "a multiple of 4"),
        (lambda: model()(torch.zeros(1, 4, 8, 8)), "expected \\(batch, 3, n, n\\)"),
        (lambda: model()(torch.zeros(1, 3, 9, 9)), "multiple of 2"),
        (lambda: model().measure(np.zeros((2, 1, 8, 8))), "at least 2 times"),
        (lambda: model().measure(np.full((2, 3, 8, 8), np.nan)), "not finite"),
        (lambda: vorticity_batches(waves(), 4, frames=8), "9 times for 8 past frames"),
        (lambda: vorticity_batches(waves(), 4, frames=3, unroll=((1, 1),)), "begin at step 0"),
        (lambda: vorticity_windows(waves(), frames=8), "times"),
        (lambda: coarse_step(torch.zeros(1, 1, 9, 9), 1.0, viscosity=1e-5, dt=0.1, refine=2), "refine = 2"),
    ],
)
def test_wrong_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
