"""Trained operators as a case needs them: loaded with their facts, applied in chunks, timed, grouped over seeds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from conjugo.learned.training.models import load_model, read_facts, weights_path

type Map = Callable[[Tensor], Tensor]
"""Fields to fields, (B, C, *grid) to (B, C', *grid), in physical units."""


KNOWN, WANTED = 10, 10
"""Frames at t = 1 .. 10 of a vorticity are known, those at t = 11 .. 20 wanted (Li et al. 2021)."""

TEST_FIRST = 1_000_000
"""Samples from this index on are not trained on."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A model with what its file says of its training."""

    label: str
    seed: int
    size: int
    model: Map
    parameters: int
    train_seconds: float
    trained_on: str


def shipped(problem: str) -> list[Path]:
    """Return the files of `learned/weights` for a problem."""
    folder = weights_path("dcdm_2d").parent
    return sorted(folder.glob(f"operator_{problem}_*.safetensors"))


def load(paths: Sequence[Path], problem: str, device: torch.device) -> list[Trained]:
    """Load models; a folder stands for all files in it.

    Raises
    ------
    ValueError
        If a file holds no operator for this problem.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.safetensors")) if path.is_dir() else [path])]
    if paths and not files:
        raise ValueError(f"no *.safetensors in {', '.join(map(str, paths))}: `conjugo train operator` writes them")
    found = []
    for file in files or shipped(problem):
        facts = read_facts(file)["facts"]
        if facts.get("problem") != problem:
            raise ValueError(
                f"{file} was made for the problem {facts.get('problem')!r}, not {problem!r}: "
                f"train one with `conjugo train operator --problem {problem}`"
            )
        model = load_model(file, device=device)
        count = sum(p.numel() for p in model.parameters() if p.requires_grad)
        size = facts.get("size", 0)
        spent, where = facts["train_seconds"], facts["trained_on"]
        found.append(Trained(facts["label"], facts["seed"], size, model, count, spent, where))
    return sorted(found, key=lambda item: (item.label, item.seed))


@torch.no_grad()
def apply(call: Map, fields: Tensor, *, batch: int = 20, device: torch.device, label: str = "") -> Tensor:
    """Apply a map in chunks of samples; fields and result stay on the host."""
    parts = []
    with tqdm(total=len(fields), desc=label, leave=False, unit="sample", disable=not label) as bar:
        for start in range(0, len(fields), batch):
            chunk = fields[start : start + batch]
            parts.append(call(chunk.to(device)).float().cpu())
            bar.update(len(chunk))
    return torch.cat(parts)


@torch.no_grad()
def milliseconds(call: Map, fields: Tensor, *, device: torch.device, repeats: int = 5) -> float:
    """Median time of one call on `fields`, over its samples, in milliseconds a sample, after one call to warm up."""
    fields = fields.to(device)
    times = []
    for _ in range(repeats + 1):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        call(fields)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[1:]) / len(fields)


def relative(prediction: NDArray[np.floating] | Tensor, truth: NDArray[np.floating] | Tensor) -> NDArray[np.float64]:
    """Relative L2 error of every sample, (N,): ||p - u|| / ||u|| over all other axes."""
    p, u = np.asarray(prediction, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    axes = tuple(range(1, u.ndim))
    error: NDArray[np.float64] = np.sqrt(((p - u) ** 2).sum(axis=axes) / (u**2).sum(axis=axes))
    return error


def by_label(models: Sequence[Trained]) -> dict[str, list[Trained]]:
    """Group the seeds of each label."""
    groups: dict[str, list[Trained]] = {}
    for item in models:
        groups.setdefault(item.label, []).append(item)
    return groups


def spread(values: Sequence[float]) -> str:
    """Show the mean of some seeds' errors, and their range where there are several.

    Examples
    --------
    >>> spread([0.00651]), spread([0.0064, 0.0068])
    ('.00651', '.00660 (.00640-.00680)')
    """
    shown = [
        f"{value:.{5 if value < 0.1 else 4}f}".removeprefix("0")
        for value in (statistics.fmean(values), min(values), max(values))
    ]
    return shown[0] if len(values) == 1 else f"{shown[0]} ({shown[1]}-{shown[2]})"
