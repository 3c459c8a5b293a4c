"""The loop that all variants of DDS share: denoise, correct by the data, go to the next noise level."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from conjugo.learned.diffusion.counting import Applications, Stopwatch
from conjugo.learned.diffusion.data_step import StepError, all_finite
from conjugo.learned.diffusion.result import SamplingResult
from conjugo.learned.diffusion.schedule import Schedule, Split
from conjugo.learned.diffusion.streams import NoiseStreams
from conjugo.learned.training.interrupt import Stop
from conjugo.solvers.result import Status

type Denoiser = Callable[[Tensor, float], Tensor]
type Correct = Callable[[Tensor, float], Tensor]
type Callback = Callable[[Tensor], Any]
type Noise = Literal["unconditional", "conditional"]


@dataclass(frozen=True, slots=True)
class Options:
    """How a sampler goes from one noise level to the next, and whom it tells."""

    schedule: Schedule
    evaluations: int
    eta: float
    split: Split
    noise: Noise
    chunk: int | None
    callback: Callback | None
    progress: bool

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta = {self.eta}: expected 0 (no fresh noise) to 1, such as 0.85")
        if self.split not in ("paper", "ddim"):
            raise ValueError(f'split = {self.split!r}: expected "paper" or "ddim"')
        if self.noise not in ("unconditional", "conditional"):
            raise ValueError(f'noise = {self.noise!r}: expected "unconditional" or "conditional"')
        if self.chunk is not None and self.chunk < 1:
            raise ValueError(f"chunk = {self.chunk}: expected 1 or more samples, or None for all at once")


class March:
    """One run, from noise to samples.

    Parameters
    ----------
    denoiser : callable
        E[x_0 | x_0 + sigma n = x] for x (k, *shape) and a float sigma.
    correct : callable
        From all denoised images and their noise level to corrected ones; may raise `StepError`.
    x : (B, *shape) Tensor
        Zeros that the state may take the place of.
    streams : NoiseStreams
        Of the samples.
    applications : Applications
        Of the data step.
    options : Options
        How to go on.

    Notes
    -----
    Beside the state there are at most three more arrays of its size; the denoiser sees `chunk` samples at a time.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        correct: Correct,
        x: Tensor,
        streams: NoiseStreams,
        applications: Applications,
        options: Options,
    ) -> None:
        self.denoiser, self.correct, self.streams = denoiser, correct, streams
        self.x, self.options = x, options
        self.reached = torch.full_like(x, torch.nan)
        self.watch = Stopwatch()
        self.applications = applications
        self.before = (applications.forward, applications.adjoint, applications.seconds)
        self.evaluations = 0
        self.details: dict[str, Any] = {}

    def run(self) -> SamplingResult:
        """Make all steps, or as many as can be made."""
        options, schedule = self.options, self.options.schedule
        times = schedule.times(options.evaluations)
        self._wait()
        started = time.perf_counter()
        self.streams.add_to(self.x, schedule.start(times[0]))
        status: Status | None = None
        with (
            torch.no_grad(),
            evaluating(self.denoiser),
            Stop(None) as stop,
            tqdm(total=options.evaluations, desc="sampling", unit="step", disable=not options.progress) as bar,
        ):
            for t, t_next in pairwise(times):
                status = self._step(t, t_next, last=self.evaluations == options.evaluations - 1)
                bar.update()
                if status is None and (stop.wanted or self._stopped_by_callback()):
                    status = Status.STOPPED
                if status is not None:
                    break
        self._wait()
        if status is None or (status is Status.STOPPED and self.evaluations == options.evaluations):
            status = Status.CONVERGED
        return self._result(status, time.perf_counter() - started)

    def _step(self, t: float, t_next: float, *, last: bool) -> Status | None:
        """Go from time t to t_next; say why not, if not."""
        schedule, options, x = self.options.schedule, self.options, self.x
        signal, noise = schedule.signal(t), schedule.noise(t)
        sigma = noise / signal
        x_hat = self._denoise(signal, sigma)
        self.evaluations += 1
        if not all_finite(x_hat):
            return self._fail(Status.NONFINITE, sigma, "the denoiser gave NaN or infinity")
        try:
            corrected = self.correct(x_hat, sigma)
        except StepError as failure:
            return self._fail(failure.status, sigma, str(failure))
        if not all_finite(corrected):
            return self._fail(Status.NONFINITE, sigma, "the data step gave NaN or infinity")
        self.reached = corrected
        if last:
            return None
        predicted, fresh = schedule.split(t, t_next, options.eta, options.split)
        base = x_hat if options.noise == "unconditional" else corrected
        x.sub_(base, alpha=signal).mul_(predicted / noise).add_(corrected, alpha=schedule.signal(t_next))
        if fresh > 0:
            self.streams.add_to(x, fresh)
        return None

    def _denoise(self, signal: float, sigma: float) -> Tensor:
        """Denoised images, made chunk by chunk."""
        x_hat = torch.empty_like(self.x)
        for part in parts(len(self.x), self.options.chunk):
            seen = self.x[part] if signal == 1 else self.x[part] / signal
            with self.watch(seen.device):
                answer = self.denoiser(seen, sigma)
            if answer.shape != seen.shape:
                raise ValueError(f"the denoiser gave {tuple(answer.shape)} for {tuple(seen.shape)}: expected the same")
            x_hat[part] = answer
        return x_hat

    def _wait(self) -> None:
        """Let a CUDA device finish, so that the clock tells the truth."""
        if self.x.device.type == "cuda":
            torch.cuda.synchronize(self.x.device)

    def _fail(self, status: Status, sigma: float, note: str) -> Status:
        step = self.evaluations - 1
        self.details.update(step=step, note=f"step {step}, sigma = {sigma:.3g}: {note}")
        return status

    def _stopped_by_callback(self) -> bool:
        if self.options.callback is None:
            return False
        try:
            return self.options.callback(self.reached) is True
        except StopIteration:
            return True

    def _result(self, status: Status, seconds: float) -> SamplingResult:
        count, now = max(1, len(self.x)), self.applications
        forward, adjoint = (now.forward - self.before[0]) // count, (now.adjoint - self.before[1]) // count
        operator, denoiser = now.seconds - self.before[2], self.watch.seconds
        details = {
            "forward": forward,
            "adjoint": adjoint,
            "denoiser_seconds": denoiser,
            "operator_seconds": operator,
            "own_seconds": seconds - denoiser - operator,
            **self.details,
        }
        return SamplingResult(self.reached, status, self.evaluations, forward + adjoint, seconds, details)


@contextmanager
def evaluating(denoiser: Denoiser) -> Iterator[None]:
    """Hold a network in eval(), without dropout, and give it back as it was."""
    training = {m: m.training for m in denoiser.modules()} if isinstance(denoiser, nn.Module) else {}
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module, before in training.items():
            module.training = before


def parts(count: int, chunk: int | None) -> Iterator[slice]:
    """Slices that cover 0 ... count - 1, `chunk` at a time."""
    size = count if chunk is None else chunk
    for first in range(0, count, max(1, size)):
        yield slice(first, first + size)
