"""Solve a Poisson problem on several processes: the answer equals the serial one, and the work scales.

conjugo mpi                     starts mpiexec for each number of ranks and compares
mpiexec -n 2 conjugo mpi        joins the processes that are there
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tqdm import tqdm

from conjugo.cases import plotting
from conjugo.cases.launch import interruptible, launch
from conjugo.cases.runs import Run
from conjugo.cases.table import Table, scientific, seconds

AGREEMENT = 1e-10
"""Largest relative difference to the serial answer."""


@dataclass(frozen=True)
class Config:
    """Distributed Poisson solves by PETSc's structured grid and by dolfinx."""

    ranks: tuple[int, ...] = (1, 2)
    """Numbers of processes to try."""
    cells: int = 256
    """Squares along each side of the problem that is compared with the serial answer."""
    per_rank: int = 512
    """Squares along each side, for each rank, of the problem that grows with the ranks."""
    rtol: float = 1e-12
    """Relative tolerance of the true residual: tight, because whole answers are compared."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Small problems that end in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if not config.ranks or min(config.ranks) < 1:
        raise ValueError(f"ranks = {config.ranks}: expected numbers of processes, such as --ranks 1 2")
    if config.cells < 4 or config.per_rank < 4:
        raise ValueError(f"cells = {config.cells}, per_rank = {config.per_rank}: expected at least 4; try 64")
    if inside_mpi() > 1:
        return _join(config)
    run = Run("poisson_mpi", config, config.folder)
    checks: list[dict[str, Any]] = []
    scaling: list[dict[str, Any]] = []
    with interruptible() as stop, tqdm(config.ranks, desc="mpi", unit="run", leave=False, disable=None) as bar:
        for ranks in bar:
            command = _command(config, ranks)
            bar.write(f"$ {shlex.join(['mpiexec', *command[1:]])}")
            try:
                facts = _start(command)
            except KeyboardInterrupt:
                break
            checks += facts["checks"]
            scaling += facts["scaling"]
    return _report(run, checks, scaling, interrupted=stop.happened)


def inside_mpi() -> int:
    """Return how many processes mpiexec started together with this one: 1 without mpiexec."""
    return max(int(os.environ.get(name, "1")) for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"))


def find_mpiexec() -> str:
    """Path of the mpiexec that belongs to this Python, else of any.

    Raises
    ------
    ImportError
        If there is none; `pip install conjugo[fem]` brings one.
    """
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise ImportError("no mpiexec on this machine: pip install conjugo[fem] brings MPICH, PETSc and dolfinx")
    return found


def _command(config: Config, ranks: int) -> list[str]:
    cells, per_rank = _sizes(config)
    numbers = ["--cells", str(cells), "--per-rank", str(per_rank), "--rtol", str(config.rtol)]
    return [find_mpiexec(), "-n", str(ranks), sys.executable, "-m", "conjugo.cases.mpi_solves", *numbers]


def _sizes(config: Config) -> tuple[int, int]:
    return (min(config.cells, 32), min(config.per_rank, 32)) if config.fast else (config.cells, config.per_rank)


def _start(command: list[str]) -> dict[str, Any]:
    """Run mpiexec and read the line of JSON that rank 0 prints last."""
    # one thread a rank: otherwise the ranks' BLAS threads fight for the cores
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise OSError(f"mpiexec ended with code {done.returncode}: {reason}")
    facts: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return facts


def _join(config: Config) -> Path:
    """Work as one of mpiexec's processes; rank 0 compares and reports."""
    from mpi4py import MPI

    from conjugo.cases.mpi_solves import SOLVES, compare_with_serial, weak_step

    comm = MPI.COMM_WORLD
    cells, per_rank = _sizes(config)
    checks = [compare_with_serial(comm, name, cells, config.rtol) for name in SOLVES]
    scaling = [weak_step(comm, name, per_rank, config.rtol) for name in SOLVES]
    folder = None
    if comm.rank == 0:
        folder = _report(Run("poisson_mpi", config, config.folder), checks, scaling, interrupted=False)
    return Path(comm.bcast(folder, root=0))


def _report(run: Run, checks: list[dict[str, Any]], scaling: list[dict[str, Any]], *, interrupted: bool) -> Path:
    """Print both tables and write the run's files."""
    agree = Table(["problem", "ranks", "unknowns", "iterations", "serial", "largest difference", ""])
    for row in checks:
        verdict = "equal" if row["difference"] <= AGREEMENT else "DIFFERS"
        agree.add(row["problem"], str(row["ranks"]), str(row["unknowns"]), str(row["iterations"]),
                  str(row["serial_iterations"]), scientific(row["difference"]), verdict)  # fmt: skip
    print(f"\nThe distributed answer against the serial one (at most {AGREEMENT:.0e}, relative):\n\n{agree.text()}")
    first = {row["problem"]: row for row in reversed(scaling)}
    weak = Table(["problem", "ranks", "unknowns", "iterations", "set-up", "solve", "efficiency"])
    for row in scaling:
        base = first[row["problem"]]
        row["efficiency"] = (base["setup_seconds"] + base["seconds"]) / (row["setup_seconds"] + row["seconds"])
        weak.add(row["problem"], str(row["ranks"]), str(row["unknowns"]), str(row["iterations"]),
                 seconds(row["setup_seconds"]), seconds(row["seconds"]), f"{row['efficiency']:.0%}")  # fmt: skip
    print(f"\nWeak scaling, the same work for each rank:\n\n{weak.text()}")
    columns = ["problem", "ranks", "unknowns", "iterations", "setup_seconds", "seconds", "efficiency"]
    run.history(columns, [[row[name] for name in columns] for row in scaling])
    passed = all(row["converged"] for row in checks + scaling) and all(r["difference"] <= AGREEMENT for r in checks)
    complete = bool(checks) and passed
    run.result({"converged": complete, "interrupted": interrupted, "checks": checks, "scaling": scaling})
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    plotting.weak_scaling(scaling, figure.subplots())
    print(f"\nplot: {run.plot(figure)}")
    return run.folder


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
