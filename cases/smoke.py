"""A plume of smoke among solids: every method on the same pressure solves, and a picture of the smoke.

conjugo smoke
conjugo smoke --shape 96 64 64 --steps 40 --methods cg "cg + mic" "cg + multigrid"
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from conjugo.cases.launch import Interrupt, interruptible, launch
from conjugo.cases.methods import Method, choose
from conjugo.cases.runs import Run
from conjugo.cases.smoke_picture import Frame, draw, seen_from_the_front
from conjugo.cases.smoke_race import Race, in_order, usual
from conjugo.cases.table import Table, scientific, seconds
from conjugo.pde.evolution import Ball, Block, Smoke

FRAMES = 5
"""Pictures of the plume."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """A plume of smoke among solids: every method on the same pressure solves."""

    shape: tuple[int, ...] = (192, 128)
    """Cells along each axis, the height first: two or three numbers."""
    steps: int = 280
    """Time steps."""
    scene: Literal["ball", "blocks", "porous", "empty"] = "ball"
    """Solids: one ball off the middle, three staggered blocks, many balls that overlap, or none."""
    top: Literal["open", "closed"] = "open"
    """Whether smoke leaves through the top; closed, the pressure problem is singular."""
    sides: Literal["wall", "periodic"] = "wall"
    """What the other sides do."""
    strength: float = 0.1
    """Of vorticity confinement."""
    scheme: Literal["maccormack", "semi-lagrangian"] = "maccormack"
    """How smoke and velocity are transported."""
    methods: tuple[str, ...] = ()
    """Methods or families of methods; default CG, MIC-CG, multigrid-CG, PyAMG, and the learned ones that exist."""
    reference: str = "cg + multigrid"
    """The method whose answers advance the plume; the others solve the same systems."""
    guess: Literal["previous", "zero"] = "previous"
    """First guess of every method: the pressure of the step before, or zero."""
    rtol: float = 1e-6
    """Relative tolerance of the true residual."""
    budget: float = 20.0
    """Seconds that one solve may take; a method that takes longer leaves the race."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """A small grid and few steps, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, shape=small_shape(config.shape), steps=min(config.steps, 6))
    if config.steps < 1:
        raise ValueError(f"steps = {config.steps}: expected at least 1")
    if not (0 < config.rtol < 1 and config.budget > 0):
        raise ValueError(f"rtol = {config.rtol}, budget = {config.budget}: expected 0 < rtol < 1 and budget > 0")
    plume, small = build(config, config.shape), build(config, small_shape(config.shape))
    names = config.methods or tuple(usual(plume.problem))
    methods = in_order(names, choose(names, plume.problem))
    race = Race(plume.problem, small.problem, reference(config.reference), rtol=config.rtol, budget=config.budget)
    run = Run("smoke", config, config.folder)
    frames: list[Frame] = []
    spent: list[float] = []
    with interruptible() as stop:
        with suppress(KeyboardInterrupt):  # what was reached is reported below
            with stop.hold():
                enter(race, methods)
            if not race.entrants:
                raise ValueError("no method is left: " + "; ".join(f"{k}: {v}" for k, v in race.refused.items()))
            advance(config, plume, race, stop, frames, spent)
    if stop.happened:
        race.forget_stopped()
    report(run, config, plume, race, frames, spent, interrupted=stop.happened)
    return run.folder


def small_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return about 1500 cells in the same proportions.

    Examples
    --------
    >>> small_shape((192, 128))
    (48, 32)
    """
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"shape = {tuple(shape)}: expected 2 or 3 numbers of cells, the height first")
    factor = min(1.0, (1536 / math.prod(shape)) ** (1 / len(shape)))
    return tuple(max(8, round(n * factor)) if n > 8 else n for n in shape)


def build(config: Config, shape: Sequence[int]) -> Smoke:
    """Make the plume of a scene on a grid."""
    d, up = len(shape), shape[0] / shape[-1]
    solids: list[Any] = []
    if config.scene == "ball":
        solids = [Ball((0.5 * up, 0.44, *[0.5] * (d - 2)), 0.14)]
    elif config.scene == "blocks":
        whole = [(-9.0, 9.0)] * (d - 2)
        for low, a, b in ((0.3, 0.45, 1.1), (0.5, -0.1, 0.55), (0.7, 0.4, 0.6)):
            sides = [(low * up, (low + 0.05) * up), (a, b), *whole]
            solids.append(Block(*zip(*sides, strict=True)))
    cells = scattered(shape) if config.scene == "porous" else None
    return Smoke(shape, cells=cells, solids=solids, top=config.top, sides=config.sides, strength=config.strength,
                 scheme=config.scheme)  # fmt: skip


def scattered(shape: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int8]]:
    """Cells of the porous scene: balls above the lowest quarter, which the source needs."""
    from conjugo.pde.poisson.masks import porous

    cells = porous(shape, count=24, density=0.3, seed=3)
    cells[: max(1, shape[0] // 4)] = 0
    return cells


def reference(name: str) -> Method:
    """Return the method of this name.

    Raises
    ------
    ValueError
        Where the name is a family's, or nobody's.
    """
    from conjugo.cases.methods import METHODS

    found = [method for method in METHODS if method.name == name]
    if not found:
        raise ValueError(f"reference = {name!r}: expected one method, such as 'cg + multigrid'")
    return found[0]


def enter(race: Race, methods: Sequence[Method]) -> None:
    """Set every method up."""
    with tqdm(methods, desc="set-up", unit="method", leave=False, disable=None) as bar:
        for method in bar:
            bar.set_postfix_str(method.name)
            race.enter(method)


def advance(config: Config, plume: Smoke, race: Race, stop: Interrupt, frames: list[Frame], spent: list[float]) -> None:
    """Run the plume, and keep some frames and the seconds that each step spent outside the pressure solves."""
    wanted = {round(config.steps * (i + 1) / FRAMES) for i in range(FRAMES)} | {config.steps}
    zero = np.zeros(plume.problem.n)
    solving = 0.0

    def solve(A: Any, b: Any, x0: Any) -> Any:
        nonlocal solving
        start = time.perf_counter()
        answer = race(A, b, x0 if config.guess == "previous" else zero)
        solving = time.perf_counter() - start
        return answer

    states = plume.run(solve, steps=config.steps)
    with tqdm(total=config.steps, desc="smoke", unit="step", leave=False, disable=None) as bar:
        for _ in range(config.steps):
            start = time.perf_counter()
            state = next(states)
            if stop.happened:
                break
            spent.append(time.perf_counter() - start - solving)
            bar.update()
            if state.step in wanted:
                frames.append(Frame(state.step, state.time, seen_from_the_front(state.density)))


def table(race: Race) -> Table:
    """Tabulate the methods, the quickest first."""
    head = ["method", "status", "set-up", "a step", "a step, set-up in", "iterations", "most", "largest residual"]
    result = Table(head, left=2)
    for entrant in sorted(race.entrants, key=lambda e: e.median_seconds):
        f = entrant.facts()
        result.add(f["method"], f["status"], seconds(f["setup_seconds"]), seconds(f["median_seconds"]),
                   seconds(f["seconds_with_setup"]), f"{f['median_iterations']:.0f}", str(f["most_iterations"]),
                   scientific(f["largest_residual"]))  # fmt: skip
    for name in race.refused:
        result.add(name, "refused", *["-"] * (len(head) - 2))
    return result


def report(
    run: Run, config: Config, plume: Smoke, race: Race, frames: Sequence[Frame], spent: Sequence[float], *,
    interrupted: bool,
) -> None:  # fmt: skip
    """Print the table and write the run's files."""
    size = "x".join(str(n) for n in config.shape)
    fluid = int(plume.staggered.fluid.sum())
    first = "the last pressure" if config.guess == "previous" else "zero"
    print(f"smoke {size}: {fluid} fluid cells, {len(spent)} steps advanced by {config.reference}; every method solves "
          f"the same systems to a relative residual of {config.rtol:.0e} from {first}")  # fmt: skip
    rest = float(np.median(spent)) if spent else float("nan")
    print(f"transport and forces: {seconds(rest)} a step (median)\n\n{table(race).text()}\n")
    for name, why in race.refused.items():
        print(f"{name}: {why}")
    laps = [lap for entrant in race.entrants for lap in entrant.laps]
    columns = ["method", "step", "iterations", "seconds", "residual", "status"]
    run.history(columns, ([getattr(lap, name) for name in columns] for lap in laps))
    failed = [lap.step for lap in race.reference_laps if not lap.converged]
    if failed and not interrupted:
        print(
            f"the reference did not reach the tolerance in the steps {failed[:10]}: the plume is not free of divergence"
        )
    run.result(
        {
            "converged": bool(race.reference_laps) and not failed,
            "interrupted": interrupted,
            "fluid_cells": fluid,
            "dt": plume.dt,
            "steps": len(spent),
            "reference": config.reference,
            "median_seconds_outside_pressure": rest,
            "refused": race.refused,
            "methods": [entrant.facts() for entrant in race.entrants],
        }
    )
    title = f"Smoke on {size} cells: pressure solves to {config.rtol:.0e}, the same for all methods"
    figure = draw(frames, plume.staggered.solid, plume.grid, race.entrants, title)
    print(f"plot: {run.plot(figure)}")


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
