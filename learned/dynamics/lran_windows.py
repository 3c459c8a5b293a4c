"""Windows of trajectories as training batches: their curriculum of lengths, and the symmetries that multiply them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

type Symmetry = Literal["none", "sign", "shift and reflect"]


@dataclass(frozen=True)
class Curriculum:
    """Length of the windows as a function of the step alone, so that a resumed run needs no state for it.

    Parameters
    ----------
    lengths : sequence of int
        States T of a window, stage by stage.
    starts : sequence of int
        Step at which each stage begins; the first is 0.

    Raises
    ------
    ValueError
        If a length is below 2, or the stages are not in order.

    Examples
    --------
    >>> curriculum = Curriculum.even((5, 10, 20), steps=300)
    >>> [curriculum(step) for step in (0, 74, 75, 150)]
    [5, 5, 10, 20]
    """

    lengths: Sequence[int]
    starts: Sequence[int]

    def __post_init__(self) -> None:
        if len(self.lengths) != len(self.starts) or not self.lengths or self.starts[0] != 0:
            raise ValueError(f"{len(self.lengths)} lengths and starts {tuple(self.starts)}: one each, the first 0")
        if any(later <= earlier for earlier, later in pairwise(self.starts)):
            raise ValueError(f"starts = {tuple(self.starts)}: they must increase")
        if min(self.lengths) < 2:
            raise ValueError(f"lengths = {tuple(self.lengths)}: a window has at least 2 states")

    @classmethod
    def even(cls, lengths: Sequence[int], steps: int, longest: float = 0.5) -> Curriculum:
        """Stages of the same number of steps, but the last, which gets at least the share `longest` of them all."""
        stages = len(lengths)
        before = 0.0 if stages == 1 else min((1 - longest), (stages - 1) / stages) / (stages - 1)
        return cls(tuple(lengths), tuple(max(stage, round(stage * before * steps)) for stage in range(stages)))

    def __call__(self, step: int) -> int:
        """Return the length at a step."""
        return [length for length, start in zip(self.lengths, self.starts, strict=True) if start <= step][-1]


class WindowBatches:
    """Random windows of trajectories, a function of the seed and the step.

    Parameters
    ----------
    states : (N, times, n) tensor
        Trajectories, on the device of training.
    batch : int
        Windows a step.
    curriculum : Curriculum
        Their length.
    symmetry : {"none", "sign", "shift and reflect"}
        Applied to each window at random: x -> -x; or, for periodic fields, a shift and u(x) -> -u(-x).
    codes : (N, times, d) tensor, optional
        What `LRAN.kernel_code` gives for the states, computed once; only without a symmetry.
    seed : int
        Of the draws.

    Raises
    ------
    ValueError
        If the longest window is longer than the trajectories, or the states are not finite.

    Examples
    --------
    >>> batches = WindowBatches(torch.zeros(2, 9, 3), batch=4, curriculum=Curriculum((5, 9), (0, 10)))
    >>> batches(0).shape, batches(10).shape
    (torch.Size([4, 5, 3]), torch.Size([4, 9, 3]))
    """

    def __init__(
        self,
        states: Tensor,
        *,
        batch: int,
        curriculum: Curriculum,
        symmetry: Symmetry = "none",
        codes: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        if states.ndim != 3 or not bool(torch.isfinite(states).all()):
            raise ValueError(f"states have shape {tuple(states.shape)}: expected finite (trajectories, times, state)")
        if max(curriculum.lengths) > states.shape[1]:
            raise ValueError(f"windows of {max(curriculum.lengths)} states, trajectories of {states.shape[1]}: "
                             "shorten the curriculum or lengthen the trajectories")  # fmt: skip
        if batch < 1:
            raise ValueError(f"batch = {batch}: at least 1 is needed")
        if codes is not None and (symmetry != "none" or codes.shape[:2] != states.shape[:2]):
            raise ValueError(f"codes {tuple(codes.shape)} of states {tuple(states.shape)}, symmetry = {symmetry!r}: "
                             "codes that were computed before need one each, and no symmetry drawn later")  # fmt: skip
        self.states, self.batch, self.curriculum, self.seed = states, batch, curriculum, seed
        self.codes = codes
        self.transform = SYMMETRIES[symmetry]

    def __call__(self, step: int) -> Tensor | tuple[Tensor, Tensor]:
        """Return the windows (batch, T, n) of a step, and their codes where there are some."""
        rng = np.random.default_rng([self.seed, step])
        length = self.curriculum(step)
        which = rng.integers(self.states.shape[0], size=self.batch)
        first = rng.integers(self.states.shape[1] - length + 1, size=self.batch)
        times = torch.as_tensor(first[:, None] + np.arange(length), device=self.states.device)
        rows = torch.as_tensor(which, device=self.states.device)[:, None]
        windows = self.states[rows, times]
        if self.codes is not None:
            return windows, self.codes[rows, times]
        return self.transform(windows, rng)


def flip(windows: Tensor, rng: np.random.Generator) -> Tensor:
    """Give each window (B, T, n) the sign + or - at random: x -> -x, a symmetry of odd systems."""
    signs = torch.as_tensor(rng.choice([-1.0, 1.0], size=len(windows)), dtype=windows.dtype, device=windows.device)
    return windows * signs[:, None, None]


def shift_and_reflect(windows: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift each window of periodic fields (B, T, n) by whole points at random; turn half of them to -u(-x).

    These are the symmetries of the Kuramoto-Sivashinsky equation on a uniform grid.
    """
    points = windows.shape[-1]
    shifts = rng.integers(points, size=len(windows))[:, None]
    turned = rng.integers(2, size=len(windows))[:, None] == 1
    index = torch.as_tensor((np.where(turned, -1, 1) * np.arange(points) + shifts) % points, device=windows.device)
    signs = torch.as_tensor(np.where(turned, -1.0, 1.0), dtype=windows.dtype, device=windows.device)
    return windows.gather(-1, index[:, None, :].expand_as(windows)) * signs[:, :, None]


def _unchanged(windows: Tensor, rng: np.random.Generator) -> Tensor:
    return windows


SYMMETRIES: dict[Symmetry, Callable[[Tensor, np.random.Generator], Tensor]] = {
    "none": _unchanged,
    "sign": flip,
    "shift and reflect": shift_and_reflect,
}
"""What may be done to a window without leaving the system's trajectories."""
