"""Solve Poisson's equation by finite elements on unstructured meshes, and watch the error fall with refinement.

conjugo fem --domain disc --order 2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation
from tqdm import tqdm

from conjugo.cases import plotting
from conjugo.cases.launch import interruptible, launch
from conjugo.cases.methods import choose
from conjugo.cases.runs import Run
from conjugo.cases.table import MISSING, Table, scientific, seconds
from conjugo.cases.trial import Outcome, run_trial

type Domain = Literal["square", "l_shape", "disc", "cube"]

LIMITS = {"l_shape": 4.0 / 3.0}
"""Orders in L2 that a domain's corners allow; elsewhere order p elements give p + 1."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Finite elements on an unstructured mesh, refined twice (extra fem)."""

    domain: Domain = "disc"
    """Where: the unit square or cube, the L-shape with its corner, the unit disc."""
    order: int = 1
    """Degree of the elements: 1, 2 or 3."""
    n: int = 32
    """Elements along a side (rings of the disc) of the coarsest mesh."""
    refinements: int = 2
    """How often the mesh is refined to half its size."""
    method: str = "smoothed aggregation"
    """A method that takes an assembled matrix."""
    rtol: float = 1e-10
    """Relative tolerance of the true residual, below the discretisation error."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Coarse meshes, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    from conjugo.pde import fem

    start = min(config.n, 3 if config.domain == "cube" else 6) if config.fast else config.n
    run = Run("poisson_fem", config, config.folder)
    rows: list[dict[str, Any]] = []
    outcome: Outcome | None = None
    case: Any = None
    with (
        interruptible() as stop,
        tqdm(range(config.refinements + 1), desc="fem", unit="mesh", leave=False, disable=None) as bar,
    ):
        for level in bar:
            try:
                case = fem.poisson(config.domain, start * 2**level, order=config.order)
                (method,) = choose([config.method], case.problem)
                outcome = run_trial(method, case.problem, rtol=config.rtol, budget=120.0)
            except KeyboardInterrupt:
                break
            if outcome.x is None:
                raise ValueError(outcome.note)
            rows.append(_row(case, outcome, start * 2**level, rows))
            if stop.happened:
                break
    report(run, config, rows, case, outcome, interrupted=stop.happened)
    return run.folder


def _row(case: Any, outcome: Outcome, n: int, before: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Facts of one mesh, with the order observed since the mesh before."""
    error = case.error(outcome.x)
    order = None if not before else float(np.log(before[-1]["l2_error"] / error) / np.log(n / before[-1]["n"]))
    return {"n": n, "unknowns": case.problem.n, "l2_error": error, "order": order, **outcome.facts()}


def report(
    run: Run, config: Config, rows: Sequence[dict[str, Any]], case: Any, outcome: Outcome | None, *, interrupted: bool
) -> None:
    """Print the table and write the run's files."""
    theory = LIMITS.get(config.domain, config.order + 1.0)
    table = Table(["n", "unknowns", "status", "set-up", "solve", "iterations", "L2 error", f"order ({theory:.3g})"])
    for row in rows:
        order = MISSING if row["order"] is None else f"{row['order']:.2f}"
        table.add(str(row["n"]), str(row["unknowns"]), row["status"], seconds(row["setup_seconds"]),
                  seconds(row["seconds"]), str(row["iterations"]), scientific(row["l2_error"]), order)  # fmt: skip
    print(f"\n{config.domain}, elements of order {config.order}, {config.method}:\n\n{table.text()}\n")
    columns = ["n", "unknowns", "l2_error", "order", "iterations", "setup_seconds", "seconds"]
    run.history(columns, [[row[name] for name in columns] for row in rows])
    converged = bool(rows) and all(row["status"] == "converged" for row in rows)
    run.result({"converged": converged, "interrupted": interrupted, "theory": theory, "meshes": list(rows)})
    figure = Figure(figsize=(11.0, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    if outcome is not None and outcome.x is not None:
        _draw(case, outcome.x, left)
    plotting.refinement([row["n"] for row in rows], [row["l2_error"] for row in rows], theory, right)
    figure.suptitle(f"Poisson's equation on the {config.domain}, elements of order {config.order}", fontsize=12)
    print(f"plot: {run.plot(figure)}")


def _draw(case: Any, x: Any, ax: Axes) -> None:
    """Draw the solution by its values at the unknowns; in three dimensions those near the middle plane."""
    places = case.V.tabulate_dof_coordinates()
    if case.V.mesh.topology.dim == 3:
        near = np.abs(places[:, 2] - 0.5) < 1e-6
        places, x = (places[near], x[near]) if near.sum() >= 4 else (places, x)
    mesh = Triangulation(places[:, 0], places[:, 1])
    centres = np.stack([places[mesh.triangles, a].mean(axis=1) for a in (0, 1)])
    if case.name.startswith("l_shape") or "l_shape" in case.name:  # the triangulation fills the missing quadrant
        mesh.set_mask((centres[0] > 0) & (centres[1] < 0))
    image = ax.tripcolor(mesh, x, shading="gouraud", cmap="viridis")
    ax.figure.colorbar(image, ax=ax, shrink=0.85)
    ax.set_aspect("equal")
    ax.set_xlabel("x")
    ax.set_ylabel("y")
    ax.set_title(f"solution, {len(case.problem.b):,} unknowns", fontsize=10)


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
