"""DDS with an exact Gaussian denoiser: the whole chain is affine, and is compared with its recursion in NumPy."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from conjugo.learned.diffusion import march
from conjugo.learned.diffusion.dds import dds
from conjugo.learned.diffusion.krylov_step import KrylovStep
from conjugo.learned.diffusion.schedule import Schedule, Split, VESchedule, VPSchedule
from conjugo.learned.diffusion.streams import NoiseStreams
from conjugo.learned.operators.batches import seeded
from conjugo.pde.inverse.sensors import Sensors
from conjugo.solvers.result import Status

type Matrix = NDArray[np.float64]

N, M = 6, 3
RNG = np.random.default_rng(7)
MEAN, C = RNG.standard_normal(N), np.cov(RNG.standard_normal((N, 40)))
A = RNG.standard_normal((M, N))
Y = RNG.standard_normal(M)
GAMMA = 2.0


def denoiser(x: Tensor, sigma: float) -> Tensor:
    """E[x_0 | x_0 + sigma n] for N(MEAN, C)."""
    return torch.as_tensor(MEAN) + (x - torch.as_tensor(MEAN)) @ torch.as_tensor(gain(sigma)).T


def gain(sigma: float) -> Matrix:
    return np.asarray(C @ np.linalg.inv(C + sigma**2 * np.eye(N)))


def run(count: int = 1, **options: Any) -> Any:
    """Sample with the exact data step: conjugate gradients solved out."""
    y = torch.as_tensor(np.tile(Y, (count, 1)))
    return dds(denoiser, KrylovStep(torch.as_tensor(A), gamma=GAMMA, iterations=30), y, shape=(N,), **options)


def draw(stream: torch.Generator) -> Matrix:
    """The next numbers of a stream, as the sampler draws them."""
    return np.asarray(torch.randn(N, generator=stream).double().numpy())


class Recursion:
    """The chain as x <- P x + q + c z, step by step."""

    def __init__(
        self, schedule: Schedule, evaluations: int, eta: float, split: Split, noise: str, gamma: float = GAMMA
    ) -> None:
        times = schedule.times(evaluations)
        data = np.linalg.inv(np.eye(N) + gamma * A.T @ A)
        self.start = schedule.start(times[0])
        self.steps: list[tuple[Matrix, Matrix, float]] = []
        for t, t_next in pairwise(times):
            s, n = schedule.signal(t), schedule.noise(t)
            hat = gain(n / s) / s, MEAN - gain(n / s) @ MEAN
            corrected = data @ hat[0], data @ (hat[1] + gamma * A.T @ Y)
            base = hat if noise == "unconditional" else corrected
            c2, c1 = schedule.split(t, t_next, eta, split)
            eps = (np.eye(N) - s * base[0]) / n, -s * base[1] / n
            after = schedule.signal(t_next)
            self.steps.append((after * corrected[0] + c2 * eps[0], after * corrected[1] + c2 * eps[1], c1))
        self.steps[-1] = (*corrected, 0.0)

    def follow(self, draw: Callable[[], Matrix]) -> Matrix:
        """The chain for these random numbers, in the sampler's order."""
        x = self.start * draw()
        for P, q, c in self.steps:
            x = P @ x + q + (c * draw() if c > 0 else 0.0)
        return np.asarray(x)

    def moments(self) -> tuple[Matrix, Matrix]:
        """Mean and covariance of the answer."""
        mean, cov = np.zeros(N), self.start**2 * np.eye(N)
        for P, q, c in self.steps:
            mean, cov = P @ mean + q, P @ cov @ P.T + c**2 * np.eye(N)
        return mean, cov


SETTINGS: list[tuple[Schedule, int, float, Split, str]] = [
    (VPSchedule(), 19, 0.85, "paper", "unconditional"),
    (VPSchedule(), 19, 0.85, "ddim", "unconditional"),
    (VPSchedule(), 9, 0.0, "paper", "unconditional"),
    (VPSchedule(), 9, 0.5, "paper", "conditional"),
    (VESchedule(0.05, 20.0), 15, 0.85, "paper", "unconditional"),
    (VESchedule(0.05, 20.0), 15, 0.85, "ddim", "conditional"),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_chain_is_the_affine_recursion(setting: tuple[Schedule, int, float, Split, str]) -> None:
    """Number for number, for two samples of the same run."""
    schedule, evaluations, eta, split, noise = setting
    x = run(2, schedule=schedule, evaluations=evaluations, eta=eta, split=split, noise=noise, seed=5).x.numpy()
    for i in range(2):
        stream = seeded(5, i)
        expected = Recursion(*setting).follow(partial(draw, stream))
        assert np.allclose(x[i], expected, atol=1e-9)


@pytest.mark.parametrize("setting", SETTINGS[:5:2], ids=str)
def test_mean_without_random_numbers(
    setting: tuple[Schedule, int, float, Split, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, evaluations, eta, split, noise = setting
    monkeypatch.setattr(NoiseStreams, "add_to", lambda *_: None)
    x = run(schedule=schedule, evaluations=evaluations, eta=eta, split=split, noise=noise).x[0].numpy()
    assert np.allclose(x, Recursion(*setting).moments()[0], atol=1e-10)


@pytest.mark.parametrize("setting", SETTINGS[:2] + SETTINGS[4:5], ids=str)
def test_mean_and_covariance_of_the_samples(setting: tuple[Schedule, int, float, Split, str]) -> None:
    schedule, evaluations, eta, split, noise = setting
    count = 2000
    x = run(count, schedule=schedule, evaluations=evaluations, eta=eta, split=split, noise=noise).x.numpy()
    mean, cov = Recursion(*setting).moments()
    L = np.linalg.cholesky(cov)
    white = np.linalg.solve(L, (x - mean).T)  # standard normal if the sampler is right
    assert np.all(np.abs(white.mean(axis=1)) < 4.5 / math.sqrt(count))
    assert np.all(np.abs(white @ white.T / count - np.eye(N)) < 4.5 * math.sqrt(2 / count))


def test_without_data_ancestral_sampling_finds_the_prior() -> None:
    """gamma = 0: small steps of the exact score lead from noise to N(MEAN, C), at first order in their size."""
    errors = []
    for evaluations in (124, 249, 499):
        mean, cov = Recursion(VPSchedule(), evaluations, 1.0, "ddim", "unconditional", gamma=0.0).moments()
        errors.append(np.linalg.norm(cov - C) / np.linalg.norm(C) + np.linalg.norm(mean - MEAN))
    assert errors[-1] < 0.02
    assert all(1.8 < a / b < 2.1 for a, b in pairwise(errors))


@pytest.mark.parametrize("evaluations", [4, 19, 49, 99])
def test_counts(evaluations: int) -> None:
    calls: list[float] = []

    def counting(x: Tensor, sigma: float) -> Tensor:
        calls.append(sigma)
        return denoiser(x, sigma)

    step = KrylovStep(torch.as_tensor(A), iterations=2)
    step(torch.zeros(1, N, dtype=torch.float64), torch.as_tensor(Y)[None], 1.0)  # earlier products do not count
    result = dds(counting, step, torch.as_tensor(np.tile(Y, (3, 1))), shape=(N,), evaluations=evaluations)
    assert result.status is Status.CONVERGED
    assert result.evaluations == len(calls) == evaluations
    assert result.applications == result.details["forward"] + result.details["adjoint"] == 6 * evaluations
    schedule = VPSchedule()
    assert calls == [schedule.sigma(t) for t in schedule.times(evaluations)[:-1]]
    assert calls[-1] > schedule.sigma(0)  # none is made at t = 0
    parts = [result.details[name] for name in ("denoiser_seconds", "operator_seconds", "own_seconds")]
    assert min(parts) > 0
    assert math.isclose(sum(parts), result.seconds)


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_chunks_and_batches_change_no_sample(chunk: int) -> None:
    sizes: list[int] = []

    def counting(x: Tensor, sigma: float) -> Tensor:
        sizes.append(len(x))
        return denoiser(x, sigma)

    y = torch.as_tensor(np.random.default_rng(0).standard_normal((5, M)))
    step = KrylovStep(torch.as_tensor(A), gamma=GAMMA, iterations=2)
    whole = dds(denoiser, step, y, shape=(N,), seed=1)
    blocks: list[int] = []

    class Noting(KrylovStep):
        def __call__(self, x_hat: Tensor, y: Tensor, sigma_t: float) -> Tensor:
            blocks.append(len(x_hat))
            return super().__call__(x_hat, y, sigma_t)

    noting = Noting(torch.as_tensor(A), gamma=GAMMA, iterations=2)
    chunked = dds(counting, noting, y, shape=(N,), seed=1, chunk=chunk)
    assert max(sizes) == max(blocks) == chunk
    assert torch.allclose(chunked.x, whole.x, atol=1e-10)
    assert chunked.applications == whole.applications
    alone = dds(denoiser, step, y[3:4], shape=(N,), seed=1, first=3)
    assert torch.allclose(alone.x[0], whole.x[3], atol=1e-10)
    assert not torch.allclose(dds(denoiser, step, y, shape=(N,), seed=2).x, whole.x)


def test_both_precisions_see_the_same_noise() -> None:
    single = dds(
        lambda x, sigma: denoiser(x.double(), sigma).float(), KrylovStep(torch.as_tensor(A).float(), gamma=GAMMA),
        Y, shape=(N,), seed=3, dtype=torch.float32,
    )  # fmt: skip
    double = dds(denoiser, KrylovStep(torch.as_tensor(A), gamma=GAMMA), Y, shape=(N,), seed=3, dtype=torch.float64)
    assert single.x.dtype is torch.float32
    assert torch.allclose(single.x.double(), double.x, atol=1e-4)


def test_ctrl_c_keeps_what_was_reached() -> None:
    def interrupted(x: Tensor, sigma: float) -> Tensor:
        if sigma < 5:
            os.kill(os.getpid(), signal.SIGINT)
        return denoiser(x, sigma)

    before = signal.getsignal(signal.SIGINT)
    result = dds(interrupted, KrylovStep(torch.as_tensor(A)), torch.as_tensor(Y), shape=(N,))
    assert result.status is Status.STOPPED
    assert 1 < result.evaluations < 19
    assert torch.isfinite(result.x).all()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("by", ["value", "exception"])
def test_the_callback_sees_each_estimate_and_may_stop(by: str) -> None:
    seen: list[Tensor] = []

    def callback(x: Tensor) -> bool:
        seen.append(x.clone())
        if len(seen) == 5 and by == "exception":
            raise StopIteration
        return len(seen) == 5

    result = run(2, callback=callback)
    assert result.status is Status.STOPPED
    assert result.evaluations == len(seen) == 5
    assert torch.equal(result.x, seen[-1])
    complete: list[Tensor] = []
    assert run(2, callback=complete.append).status is Status.CONVERGED
    assert len(complete) == 19
    assert torch.equal(complete[4], seen[4])


def test_numbers_that_break_down_are_told_with_their_step() -> None:
    def breaks(x: Tensor, sigma: float) -> Tensor:
        return denoiser(x, sigma) * (torch.nan if sigma < 5 else 1.0)

    result = dds(breaks, KrylovStep(torch.as_tensor(A)), torch.as_tensor(Y), shape=(N,))
    expected = sum(VPSchedule().sigma(t) >= 5 for t in VPSchedule().times(19)[:-1])
    assert result.status is Status.NONFINITE
    assert result.details["step"] == expected == result.evaluations - 1
    assert "the denoiser gave NaN" in result.details["note"]
    assert torch.isfinite(result.x).all()  # the last estimate before

    class Bad(KrylovStep):
        def __call__(self, x_hat: Tensor, y: Tensor, sigma_t: float) -> Tensor:
            return super().__call__(x_hat, y, sigma_t) / (0.0 if sigma_t < 5 else 1.0)

    result = dds(denoiser, Bad(torch.as_tensor(A)), torch.as_tensor(Y), shape=(N,))
    assert result.details["step"] == expected
    assert "the data step gave NaN" in result.details["note"]
    at_once = dds(lambda x, sigma: x * torch.inf, KrylovStep(torch.as_tensor(A)), torch.as_tensor(Y), shape=(N,))
    assert at_once.details["step"] == 0
    assert torch.isnan(at_once.x).all()
    overflow = dds(denoiser, KrylovStep(torch.as_tensor(A), gamma=1e308), torch.as_tensor(Y), shape=(N,))
    assert overflow.status is Status.NONFINITE
    assert "A^H (y - A x)" in overflow.details["note"]


class Affine(Sensors):
    """Not linear."""

    def measure(self, images: Any) -> Any:
        return super().measure(images) + 1.0


class Skew(Sensors):
    """Whose adjoint is wrong."""

    def scatter(self, data: Any) -> Any:
        return super().scatter(data) * 1.1


def test_bad_operators_are_refused_before_the_start() -> None:
    for bad, words in ((Affine, "not linear"), (Skew, "not the adjoint")):
        step = KrylovStep(bad((6,), [0, 2, 3]))
        with pytest.raises(ValueError, match=words):
            dds(denoiser, step, torch.as_tensor(Y), shape=(N,))
        assert step.applications.total == 0
    skipped = dds(denoiser, KrylovStep(Skew((6,), [0, 2, 3])), torch.as_tensor(Y), shape=(N,), check=False)
    assert (skipped.evaluations, skipped.details["check_applications"]) == (19, 0)


class Negative(Sensors):
    """Whose adjoint has the wrong sign, which makes the system indefinite."""

    def scatter(self, data: Any) -> Any:
        return -super().scatter(data)


def test_an_indefinite_system_ends_the_run() -> None:
    step = KrylovStep(Negative((6,), [0, 2, 3]), gamma=9.0)
    result = dds(denoiser, step, torch.as_tensor(Y), shape=(N,), check=False)
    assert (result.status, result.details["step"]) == (Status.INDEFINITE, 0)
    assert "not positive definite" in result.details["note"]


def test_a_network_is_held_in_eval_and_given_back() -> None:
    modes: list[bool] = []

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen = torch.nn.Dropout(0.5).eval()

        def forward(self, x: Tensor, sigma: float) -> Tensor:
            modes.append(self.training)
            return denoiser(x, sigma)

    net = Net()
    assert dds(net, KrylovStep(torch.as_tensor(A)), torch.as_tensor(Y), shape=(N,)).status is Status.CONVERGED
    assert modes == [False] * 19
    assert (net.training, net.frozen.training) == (True, False)
    good = dds(denoiser, KrylovStep(Sensors((6,), [0, 2, 3])), torch.as_tensor(Y), shape=(N,))
    assert good.details["check_applications"] == 9
    assert good.applications == 4 * 19  # the check is not among them


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y": torch.zeros(2, M, dtype=torch.complex64)}, "y is torch.complex64: expected real data"),
        ({"y": torch.full((M,), torch.nan)}, "y holds NaN or infinity"),
        ({"y": torch.zeros(2, M + 1)}, r"y has shape \(2, 4\) and A has 3 rows"),
        ({"y": torch.zeros(2, 1, M)}, r"expected \(m,\) or \(B, m\)"),
        ({"y": torch.zeros(0, M)}, r"y has shape \(0, 3\): expected"),
        ({"shape": (N, 2)}, r"shape = \(6, 2\) has 12 numbers, but A has 6 columns"),
        ({"eta": 1.5}, r"eta = 1\.5: expected 0"),
        ({"eta": float("nan")}, "eta = nan"),
        ({"split": "other"}, 'split = \'other\': expected "paper" or "ddim"'),
        ({"noise": "other"}, "noise = 'other'"),
        ({"seed": -1}, "seed = -1, first = 0: expected numbers >= 0"),
        ({"chunk": 0}, "chunk = 0: expected 1 or more"),
        ({"evaluations": 1000}, "evaluations = 1000: expected 1 to 999"),
        ({"dtype": torch.float16}, "dtype = torch.float16"),
        ({"denoiser": lambda x, sigma: x[:, :2]}, r"the denoiser gave \(1, 2\) for \(1, 6\)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_input(changes: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"denoiser": denoiser, "y": torch.as_tensor(Y), "shape": (N,), **changes}
    with pytest.raises(ValueError, match=words):
        dds(given.pop("denoiser"), KrylovStep(torch.as_tensor(A)), given.pop("y"), **given)


@pytest.mark.gpu
def test_cuda_follows_the_same_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NoiseStreams, "add_to", lambda *_: None)
    dense, y = torch.as_tensor(A).cuda(), torch.as_tensor(Y).cuda()

    def on_cuda(x: Tensor, sigma: float) -> Tensor:
        return denoiser(x.cpu(), sigma).cuda()

    result = dds(on_cuda, KrylovStep(dense, gamma=GAMMA, iterations=30), y, shape=(N,))
    assert result.x.is_cuda
    mean = Recursion(VPSchedule(), 19, 0.85, "paper", "unconditional").moments()[0]
    assert np.allclose(result.x[0].cpu().numpy(), mean, atol=1e-9)
    assert result.details["operator_seconds"] > 0


@pytest.mark.gpu
def test_cuda_streams_do_not_depend_on_the_batch() -> None:
    device = torch.device("cuda")
    together, alone = torch.zeros(3, 50, device=device), torch.zeros(1, 50, device=device)
    NoiseStreams(1, 0, 3, device).add_to(together, 1.0)
    NoiseStreams(1, 2, 1, device).add_to(alone, 1.0)
    assert torch.equal(together[2], alone[0])


def test_progress_is_shown_where_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    run(evaluations=4)
    assert capsys.readouterr().err == ""
    run(evaluations=4, progress=True)
    assert "4/4" in capsys.readouterr().err


def test_parts_cover_the_batch() -> None:
    assert [list(range(7))[part] for part in march.parts(7, 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(march.parts(4, None)) == [slice(0, 4)]
