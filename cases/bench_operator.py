"""Time a training step of the Latent Spectral Model, one way of running it after the other, in one process.

conjugo bench-lsm
python -m conjugo.cases.bench_operator
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from conjugo.cases.published_lsm import as_published
from conjugo.cases.runs import Run, write
from conjugo.cases.table import Table, significant
from conjugo.learned.operators.losses import relative_l2
from conjugo.learned.operators.lsm import LSM, LSMConfig
from conjugo.learned.training.devices import find_device

type Step = Callable[[], Tensor]
SAMPLES = 1000
"""Samples of an epoch."""


@dataclass(frozen=True)
class Config:
    """Time a training step (forward, backward, Adam) of the LSM: layouts, precisions, compilation, CUDA graphs."""

    width: int = 64
    """Channels of the finest grid; 64 is the paper's."""
    size: int = 85
    """Nodes along each axis."""
    batch: int = 20
    """Samples of a step."""
    steps: int = 30
    """Timed steps of each way."""
    warmup: int = 10
    """Steps before them."""
    device: str = "auto"
    """"cpu", "cuda", or "auto" for CUDA where it is."""
    compile: bool = True
    """Whether to time compiled ways too."""
    ways: tuple[str, ...] = ()
    """Names of the ways to time; default all."""
    seed: int = 0
    """Of the fields and weights."""
    profile: bool = False
    """Whether to write profile.txt, the operations of the last way that is not compiled, by time."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """A small model, two steps."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of running a step."""

    name: str
    published: bool = False
    """Published order of operations and channels-first memory."""
    tf32: bool = False
    """TF32 products and convolutions."""
    bfloat16: bool = False
    """Autocast to bfloat16."""
    compiled: bool = False
    """The model through torch.compile."""
    graph: bool = False
    """The whole step, optimiser included, replayed as one CUDA graph."""


WAYS = (
    Way("eager fp32, as published", published=True),
    Way("eager TF32, as published", published=True, tf32=True),
    Way("eager fp32"),
    Way("eager TF32", tf32=True),
    Way("eager bf16", tf32=True, bfloat16=True),
    Way("CUDA graph TF32", tf32=True, graph=True),
    Way("CUDA graph bf16", tf32=True, bfloat16=True, graph=True),
    Way("compiled TF32", tf32=True, compiled=True),
    Way("compiled bf16", tf32=True, bfloat16=True, compiled=True),
    Way("compiled bf16 + CUDA graph", tf32=True, bfloat16=True, compiled=True, graph=True),
)


@dataclass(frozen=True, slots=True)
class Timing:
    """What was measured of a way."""

    name: str
    ms: float
    """Median of a step."""
    spread: float
    """Difference of the quartiles in milliseconds."""
    gigabytes: float | None
    """Peak memory that torch held on the device, pools of CUDA graphs included."""
    loss: float
    """Loss of the last step; every way starts alike and sees the same data."""
    setup: float
    """Seconds of the first steps: compilation, capture, choice of algorithms."""


def main(config: Config) -> Path:
    """Time every way, print the table and return the folder of the record."""
    config = shrunk(config)
    device = find_device("cuda" if config.device == "auto" and torch.cuda.is_available() else plain(config.device))
    run = Run("bench_operator", config, config.folder)
    ways = [w for w in WAYS if (config.compile or not w.compiled) and (device.type == "cuda" or runs_on_cpu(w))]
    if unknown := set(config.ways) - {way.name for way in WAYS}:
        raise ValueError(f"ways = {sorted(unknown)}: expected some of {', '.join(way.name for way in WAYS)}")
    ways = [way for way in ways if not config.ways or way.name in config.ways]
    timings: list[Timing] = []
    notes: list[str] = []
    with tqdm(ways, desc="ways", unit="way", leave=False, disable=None) as bar:
        for way in bar:
            bar.set_postfix_str(way.name)
            try:
                timings.append(measure(way, config, device))
            except RuntimeError as error:  # no memory, no compiler: the other ways still count
                notes.append(f"{way.name}: {str(error).splitlines()[0]}")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}: LSM of width {config.width}, {config.size}^2, batch {config.batch}")
    print(tabulate(timings, config.batch).text())
    print("\n".join(notes))
    if config.profile:
        text = profiled([w for w in ways if not (w.compiled or w.graph)][-1], config, device)
        write(run.folder / "profile.txt", lambda path: path.write_text(text))
    rows = [(t.name, t.ms, t.spread, t.gigabytes, t.loss, t.setup) for t in timings]
    run.history(["way", "ms", "quartiles_ms", "gigabytes", "loss", "setup_seconds"], rows)
    run.result({"device": name, "timings": timings, "left_out": notes, "converged": bool(timings)})
    return run.folder


def shrunk(config: Config) -> Config:
    """Return the configuration that --fast asks for."""
    if not config.fast:
        return config
    return Config(width=8, size=32, batch=2, steps=2, warmup=1, device="cpu", compile=False, folder=config.folder)


def plain(device: str) -> str:
    """Return the host for "auto", else what was asked for."""
    return "cpu" if device == "auto" else device


def runs_on_cpu(way: Way) -> bool:
    """Whether a way means something without CUDA."""
    return not (way.graph or (way.tf32 and not way.bfloat16))


def tabulate(timings: list[Timing], batch: int) -> Table:
    """Times of a step and an epoch, memory, and how many times faster than the two baselines."""
    headers = "way|steps/s|ms/step|+-|s/epoch|GB held|x published|x fp32|loss|set-up s".split("|")
    table = Table(headers)
    bases = {t.name: t.ms for t in timings}
    first, own = bases.get(WAYS[0].name), bases.get(WAYS[2].name)
    for t in timings:
        ratios = [significant(None if base is None else base / t.ms) for base in (first, own)]
        epoch = t.ms * SAMPLES / batch / 1e3
        table.add(
            t.name, significant(1e3 / t.ms), significant(t.ms), significant(t.spread, 2), significant(epoch),
            significant(t.gigabytes), *ratios, significant(t.loss, 4), significant(t.setup, 2),
        )  # fmt: skip
    return table


def measure(way: Way, config: Config, device: torch.device) -> Timing:
    """Median time of a step, after a warm-up, each step ended by a wait for the device."""
    with precision(way):
        clean(device)
        started = time.perf_counter()
        step = make_step(way, config, device)
        for _ in range(config.warmup):
            step()
        wait(device)
        setup = time.perf_counter() - started
        times = []
        for _ in range(config.steps):
            begin = time.perf_counter()
            loss = step()
            wait(device)
            times.append(1e3 * (time.perf_counter() - begin))
        low, middle, high = np.percentile(times, [25, 50, 75]).tolist()
        memory = torch.cuda.max_memory_reserved(device) / 2**30 if device.type == "cuda" else None
        return Timing(way.name, middle, high - low, memory, float(loss.detach()), setup)


def make_step(way: Way, config: Config, device: torch.device) -> Step:
    """Return a function that does one optimiser step on fixed data and returns its loss."""
    torch.manual_seed(config.seed)
    model = LSM(LSMConfig(width=config.width, grid=(config.size,) * 2))
    a = torch.where(torch.randn(config.batch, 1, config.size, config.size) > 0, 12.0, 3.0)
    u = torch.randn(config.batch, 1, config.size, config.size).cumsum(2).cumsum(3)
    model.scaling.measure(a, u)
    model = (as_published(model) if way.published else model.to(memory_format=torch.channels_last)).to(device)
    a, u = a.to(device), u.to(device)
    model.train()
    cuda = device.type == "cuda"
    fused, capturable = cuda and not way.published, cuda and way.graph
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused, capturable=capturable)
    called: Any = torch.compile(model) if way.compiled else model

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=way.bfloat16):
            loss = relative_l2(called(a), u)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss

    return captured(step) if way.graph else step


def captured(step: Step) -> Step:
    """Record a step as a CUDA graph; what the device does is then started once a step, not once an operation."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay() -> Tensor:
        graph.replay()
        return loss

    return replay


@contextmanager
def precision(way: Way) -> Iterator[None]:
    """Allow or forbid TF32 in products and convolutions; let cuDNN choose its algorithms by trial."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    matmul.allow_tf32 = cudnn.allow_tf32 = way.tf32
    cudnn.benchmark = True
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


def clean(device: torch.device) -> None:
    """Forget what the way before compiled and held."""
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def wait(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def profiled(way: Way, config: Config, device: torch.device) -> str:
    """Operations of three steps by time."""
    from torch.profiler import ProfilerActivity, profile

    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with precision(way):
        step = make_step(way, config, device)
        for _ in range(config.warmup):
            step()
        wait(device)
        with profile(activities=kinds) as record:
            for _ in range(3):
                step()
            wait(device)
    order = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    return f"{way.name}\n{record.key_averages().table(sort_by=order, row_limit=40)}\n"


if __name__ == "__main__":
    from conjugo.cases.launch import launch

    raise SystemExit(launch(Config, main))
