"""Windows of flows to train on, as functions of the step; and the loss of a rollout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from conjugo.learned.operators.batches import seeded
from conjugo.learned.operators.losses import relative_l2
from conjugo.learned.operators.rollout import rollout
from conjugo.learned.operators.symmetries import vorticity_symmetries
from conjugo.pde import Trajectories

type Batch = dict[str, Tensor]


def vorticity_batches(
    trajectories: Trajectories,
    batch: int,
    seed: int = 0,
    *,
    frames: int = 10,
    unroll: int | Sequence[tuple[int, int]] = 1,
    noise: float = 0.0,
    augment: bool = True,
    base: Callable[[Tensor], Tensor] | None = None,
    device: str | torch.device = "cpu",
) -> Callable[[int], Batch]:
    """Make training batches of past frames and of those that follow.

    Parameters
    ----------
    trajectories : Trajectories
        Vorticity, (N, times, n, n); kept on `device`.
    batch : int
        Windows a step, drawn with replacement among all trajectories and times.
    seed : int
        With the step it fixes the batch, on any device.
    frames : int
        Past frames of a window.
    unroll : int or sequence of (step, count)
        Following frames of a window, which the loss predicts in sequence: one number, or from which step on how many,
        for example ((0, 1), (4000, 2), (6000, 4)).
    noise : float
        Deviation of white noise on the past over that of the data: what the model's own errors will look like to it.
    augment : bool
        Whether each window is moved by a random element of `vorticity_symmetries`.
    base : callable, optional
        What the model corrects, (N, 1, n, n) to the same: applied to every frame here, once, it saves the model from
        doing so in every step. Only for one following frame, without noise, and for a map that has the symmetries.
    device : str or torch.device
        Where the data lie and the batches are made.

    Returns
    -------
    callable
        batches(step) -> {"past": (batch, frames, n, n), "future": (batch, count, n, n)}, float32; with `base` also
        "base": (batch, 1, n, n), that of the last past frame.

    Raises
    ------
    ValueError
        If the trajectories are too short for frames + the largest count, or a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> flows = Trajectories(np.random.default_rng(0).standard_normal((3, 14, 8, 8)), np.arange(14.0))
    >>> batches = vorticity_batches(flows, 5, unroll=((0, 1), (10, 4)), noise=0.01)
    >>> batches(0)["past"].shape, batches(10)["future"].shape
    (torch.Size([5, 10, 8, 8]), torch.Size([5, 4, 8, 8]))
    """
    plan = [(0, unroll)] if isinstance(unroll, int) else [(int(step), int(count)) for step, count in unroll]
    starts, counts = [step for step, _ in plan], [count for _, count in plan]
    if not plan or starts[0] != 0 or starts != sorted(set(starts)) or min(counts) < 1:
        raise ValueError(f"unroll = {unroll}: expected a positive number, or pairs (step, count) that begin at step 0")
    times, longest = trajectories.u.shape[1], frames + max(counts)
    if batch < 1 or frames < 1 or not 0 <= noise < 1:
        raise ValueError(f"batch = {batch}, frames = {frames}, noise = {noise}: expected 1, 1 and 0 to 1 at least")
    if times < longest or not len(trajectories):
        raise ValueError(
            f"{len(trajectories)} trajectories of {times} times: one at least is needed, with {longest} times for "
            f"{frames} past frames and {max(counts)} that follow"
        )
    if base is not None and (noise > 0 or max(counts) > 1):
        raise ValueError(
            f"noise = {noise}, unroll = {unroll}: base is known beforehand for noise = 0 and unroll = 1 only"
        )
    data = torch.as_tensor(trajectories.u).to(device, torch.float32)
    known = None if base is None else _applied(base, data)
    spread = noise * float(data.double().square().mean().sqrt())
    group = vorticity_symmetries(data.shape[-1]) if augment else None

    def batches(step: int) -> Batch:
        generator = seeded(seed, step)
        count = next(count for start, count in reversed(plan) if step >= start)
        which = torch.randint(len(data), (batch,), generator=generator)
        first = torch.randint(times - frames - count + 1, (batch,), generator=generator)
        index = first[:, None] + torch.arange(frames + count)
        windows = data[which[:, None].to(data.device), index.to(data.device)]
        if known is not None:
            last = known[which.to(data.device), (first + frames - 1).to(data.device)]
            windows = torch.cat([windows, last[:, None]], dim=1)
        if group is not None:
            windows = group.apply(group.draw(batch, generator), windows)
        past, future = windows[:, :frames], windows[:, frames : frames + count]
        if known is not None:
            return {"past": past, "future": future, "base": windows[:, -1:]}
        if spread > 0:
            past = past + spread * torch.randn(past.shape, generator=generator).to(past.device)
        return {"past": past, "future": future}

    return batches


@torch.no_grad()
def _applied(base: Callable[[Tensor], Tensor], data: Tensor, chunk: int = 256) -> Tensor:
    """Apply a map to every frame of (N, times, n, n)."""
    frames = data.flatten(0, 1)[:, None]
    return torch.cat([base(part) for part in torch.split(frames, chunk)]).reshape(data.shape)


def vorticity_windows(
    trajectories: Trajectories, *, frames: int = 10, count: int = 1, batch: int = 32, first: int = 0
) -> list[Batch]:
    """Cut one window from each trajectory, in order: for validation and test.

    Parameters
    ----------
    trajectories : Trajectories
        Vorticity, (N, times, n, n).
    frames, count : int
        Past frames and those that follow.
    batch : int
        Windows a batch; the last one may have fewer.
    first : int
        Time index of the first past frame.

    Returns
    -------
    list of dict
        As from `vorticity_batches`.

    Raises
    ------
    ValueError
        If the trajectories are too short.

    Examples
    --------
    >>> import numpy as np
    >>> flows = Trajectories(np.zeros((3, 12, 8, 8)), np.arange(12.0))
    >>> [len(part["past"]) for part in vorticity_windows(flows, batch=2)]
    [2, 1]
    """
    times = trajectories.u.shape[1]
    if first < 0 or times < first + frames + count:
        raise ValueError(
            f"the trajectories have {times} times: {first + frames + count} are needed for {frames} past frames from "
            f"index {first} and {count} that follow"
        )
    u = torch.as_tensor(trajectories.u)[:, first : first + frames + count].to(torch.float32)
    return [{"past": part[:, :frames], "future": part[:, frames:]} for part in torch.split(u, batch)]


def rollout_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean relative L2 error of the frames that follow, each predicted from the model's own predictions.

    Parameters
    ----------
    model : module
        (B, frames, n, n) -> (B, 1, n, n); where the batch has a "base", it takes that too.
    batch : dict
        "past" and "future", as from `vorticity_batches`.

    Returns
    -------
    tensor
        A scalar; all frames of a sample count together, as in the test.

    Notes
    -----
    The gradient runs through all steps.

    Examples
    --------
    >>> class Same(nn.Module):
    ...     def forward(self, w):
    ...         return w[:, -1:]
    >>> past = torch.ones(2, 10, 4, 4)
    >>> float(rollout_loss(Same(), {"past": past, "future": 2 * past[:, :3]}))
    0.5
    """
    known = [batch["base"]] if "base" in batch else []

    def step(w: Tensor) -> Tensor:
        following: Tensor = model(w, known.pop()) if known else model(w)
        return following.to(w.dtype)

    return relative_l2(rollout(step, batch["past"], batch["future"].shape[1]), batch["future"])
