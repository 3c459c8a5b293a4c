"""Tune PETSc inside a dolfinx time loop: only the making of the solver changes.

conjugo tune-fem
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from conjugo.cases import tuning_plots as draw
from conjugo.cases.bars import Verdict, at_most
from conjugo.cases.bars import table as verdict_table
from conjugo.cases.launch import interruptible, launch
from conjugo.cases.runs import Run
from conjugo.cases.tuning_race import Race, facts, race, table, warm_up
from conjugo.learned.tuning import Candidate, TunedSolver, petsc_sweep
from conjugo.pde import fem
from conjugo.pde.evolution.sequence import System
from conjugo.pde.fem.backend import require_dolfinx

TUNED, GAMG = "TunedSolver", "gamg"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Tune PETSc inside a dolfinx time loop."""

    elements: int = 48
    """Elements along a side of the square."""
    order: int = 1
    """Degree of the elements, 1 to 3."""
    steps: int = 1500
    """Implicit steps."""
    petsc_default: str = "-ksp_type cg -pc_type gamg"
    """What would be used without tuning."""
    clock: Literal["wall", "cpu"] = "wall"
    """Seconds of the wall, or of this thread where other programs disturb the machine."""
    seed: int = 0
    """Of the first state, of the lengths of the steps, and of the draws."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """A small mesh and few steps, so that it ends in seconds."""


class Diffusion:
    """Implicit diffusion on the unit square by finite elements, with steps of all lengths.

    (M + s_t K) u_{t+1} = M u_t + s_t M f, K with a coefficient that jumps by 100, s_t between 1e-6 and 1e-1 as an
    adaptive time step would have it. The context is log10 s_t. Dirichlet rows are those of the identity.

    Parameters
    ----------
    elements, order : int
        Of the mesh and the space.
    steps : int
        Number of steps.
    seed : int
        Of the first state, and of the phases in which the lengths of the steps begin.
    """

    low, high = -6.0, -1.0

    def __init__(self, elements: int, order: int, steps: int, seed: int = 0) -> None:
        require_dolfinx()
        import scipy.sparse as sp
        import ufl
        from dolfinx.fem import assemble_matrix, form

        def jumps(x: Any) -> Any:
            return ufl.conditional(ufl.lt(ufl.sin(12 * x[0]) * ufl.sin(12 * x[1]), 0.0), 1.0, 100.0)

        case = fem.poisson("square", elements, order=order, coefficient=jumps, exact=None)
        K = case.problem.A
        u, v = ufl.TrialFunction(case.V), ufl.TestFunction(case.V)
        mass = assemble_matrix(form(u * v * ufl.dx), bcs=case.bcs)
        mass.scatter_reverse()
        view = mass.to_scipy()
        M = sp.csr_array((view.data.copy(), view.indices, view.indptr), shape=view.shape)
        walls = np.zeros(K.shape[0], dtype=bool)
        walls[case.bcs[0].dof_indices()[0]] = True
        inside = sp.diags_array((~walls).astype(float))
        self.M, self.K = sp.csr_array(inside @ M @ inside), sp.csr_array(inside @ K @ inside)
        self._walls, self._edge = sp.csr_array(sp.diags_array(walls.astype(float))), walls
        self.steps, self.n, self.seed = steps, int(K.shape[0]), seed
        self._phases = np.random.default_rng([seed, 1]).uniform(0.0, 2 * np.pi, 2)
        self.restart()

    def restart(self) -> None:
        """Go back to the first step."""
        self.u: NDArray[np.float64] = np.where(self._edge, 0.0, np.random.default_rng(self.seed).random(self.n))
        self.step = 0

    def length(self, step: int) -> float:
        """log10 of s_t: slow waves and a faster one."""
        slow, fast = 2 * np.pi * step / np.array([500.0, 61.0]) + self._phases
        wave = 0.7 * np.sin(slow) + 0.3 * np.sin(fast)
        return float(-3.5 + 2.5 * wave)

    def system(self) -> System:
        """Return the system of the current step."""
        context = self.length(self.step)
        s = 10.0**context
        A = self.M + s * self.K + self._walls
        b = self.M @ (self.u + s * (1.0 + np.sin(0.1 * self.step)))
        A.sort_indices()
        return System(A, b, context)

    def advance(self, u: NDArray[np.float64]) -> None:
        """Take a solution as the new state."""
        self.u = np.array(u)
        self.step += 1

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[System]:
        self.restart()
        while self.step < self.steps:
            yield self.system()


def candidates(default: str) -> list[Candidate]:
    """What is chosen from; the default first."""
    return [
        *petsc_sweep("untuned", default),
        *petsc_sweep("gamg", "-ksp_type cg -pc_type gamg -pc_gamg_type agg", pc_gamg_threshold=[0.0, 0.05],
                     every=[1, 20]),
        *petsc_sweep("sor", "-ksp_type cg -pc_type sor -pc_sor_symmetric", pc_sor_omega=[1.0, 1.3, 1.6]),
        *petsc_sweep("icc", "-ksp_type cg -pc_type icc", pc_factor_levels=[0, 1]),
        *petsc_sweep("jacobi", "-ksp_type cg -pc_type jacobi"),
    ]  # fmt: skip


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, elements=10, steps=80)
    if config.elements < 4 or config.steps < 10 or config.order not in (1, 2, 3):
        raise ValueError(f"elements = {config.elements}, steps = {config.steps}, order = {config.order}: expected at "
                         "least 4, at least 10, and 1 to 3")  # fmt: skip
    sequence = Diffusion(config.elements, config.order, config.steps, config.seed)
    run = Run("tune_fem", config, config.folder)
    clock = time.perf_counter if config.clock == "wall" else time.thread_time
    fixed = candidates(config.petsc_default)
    tuned = TunedSolver(candidates(config.petsc_default), context=(sequence.low, sequence.high), clock=clock,
                        seed=config.seed)  # fmt: skip
    print(f"implicit diffusion, degree {config.order}: {sequence.n} unknowns, {config.steps} steps of 1e-6 to 1e-1")
    warm_up(sequence, [*fixed, *tuned.candidates])
    with interruptible() as stop:
        result = race(f"dolfinx n={sequence.n}", sequence, fixed, {TUNED: tuned}, clock=clock, stop=stop)
    report(run, config, result, tuned, interrupted=stop.happened)
    return run.folder


def verdicts(r: Race) -> list[Verdict]:
    """The bars of the dolfinx loop."""
    total = r.total(TUNED)
    return [
        at_most("tuned over the untuned default (PETSc CG + GAMG), seconds", total / r.total(r.labels[0]), 1.05),
        at_most(
            "tuned over the best fixed setting in hindsight, seconds", total / float(r.seconds[:, r.best].sum()), 1
        ),
    ]


def report(run: Run, config: Config, r: Race, tuned: TunedSolver, *, interrupted: bool) -> None:
    """Print the tables and write the run's files."""
    judged = verdicts(r)
    pages = [table([r]), verdict_table(judged)]
    print(f"\n{tuned.report()}\n\n{pages[0].text()}\n\n{pages[1].text()}")
    every = sorted(facts(r)["seconds"].items(), key=lambda item: item[1])
    print("\nseconds of every fixed setting: " + ", ".join(f"{label} {total:.3g}" for label, total in every))
    run.page("\n\n".join(page.markdown() for page in pages))
    run.history(
        ["step", "context", "solver", "seconds", "iterations"],
        ((t, r.contexts[t], label, r.seconds[t, k], r.iterations[t, k])
         for k, label in enumerate(r.labels) for t in range(len(r.contexts))),
    )  # fmt: skip
    bars = [{"what": v.what, "value": v.value, "bound": v.bound, "passed": v.passed} for v in judged]
    run.result({"converged": True, "interrupted": interrupted, "race": facts(r), "bars": bars})
    print(f"plot: {run.plot(picture(r))}")


def picture(r: Race) -> Figure:
    """Draw seconds so far, choices against the context, and regret."""
    figure = Figure(figsize=(15.0, 4.8), layout="constrained")
    a, b, c = figure.subplots(1, 3)
    curves = {f"default: {r.labels[0]}": r.seconds[:, 0], f"best fixed: {r.labels[r.best]}": r.seconds[:, r.best],
              TUNED: r.seconds[:, r.labels.index(TUNED)], "per-step oracle": r.oracle}  # fmt: skip
    draw.running(curves, a, label="seconds")
    a.set_title(f"{r.name}: seconds so far", fontsize=10)
    a.legend(frameon=False, fontsize=8)
    _choices(r, b)
    best = r.seconds[:, r.best]
    regrets = {k: np.maximum(v - r.oracle, 0.0) for k, v in curves.items() if k != "per-step oracle"}
    draw.regret({k: 1e3 * v for k, v in regrets.items()}, c, slopes=((2 / 3, "$T^{2/3}$"), (1.0, "$T$")))
    c.set_ylabel("regret against the oracle of every step, ms")
    c.set_title(f"regret; the best fixed setting takes {best.sum():.3g} s in all", fontsize=10)
    c.legend(frameon=False, fontsize=8)
    return figure


def _choices(r: Race, ax: Any) -> None:
    """What was chosen, a row for each candidate, against the context."""
    chosen: Sequence[str] = r.choices[TUNED]
    rows = list(dict.fromkeys(sorted(chosen, key=lambda label: -chosen.count(label))))
    late = np.linspace(0.15, 0.8, len(chosen))
    heights = np.array([rows.index(label) for label in chosen]) + np.random.default_rng(0).uniform(
        -0.2, 0.2, len(chosen)
    )
    colour = np.zeros((len(chosen), 4))
    colour[:, :3], colour[:, 3] = (0.0, 0.447, 0.698), late
    ax.scatter(r.contexts[: len(chosen)], heights, s=7, c=colour, linewidths=0)
    ax.set_yticks(range(len(rows)), rows, fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel("log10 of the time step")
    ax.set_title("what was chosen (dark: late)", fontsize=10)
    draw.quiet(ax)


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
