"""Compile the kernels once: Numba keeps them on disk, so that later processes load them in seconds.

conjugo warmup
"""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from matplotlib.figure import Figure
from tqdm import tqdm

import conjugo.solvers.kernels
from conjugo.cases import plotting
from conjugo.cases.launch import interruptible, launch
from conjugo.cases.runs import Run
from conjugo.cases.table import seconds


@dataclass(frozen=True)
class Config:
    """Compile the kernels, so that later runs start at once."""

    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Do not time a second process."""


def main(config: Config) -> Path:
    """Import every module of kernels and return the folder of the record."""
    run = Run("warmup", config, config.folder)
    names = kernel_modules()
    spent: dict[str, float] = {}
    with interruptible() as stop, tqdm(names, desc="compile", unit="module", leave=False, disable=None) as bar:
        for name in bar:
            bar.set_postfix_str(name.rsplit(".", 1)[1])
            try:
                spent[name] = compile_module(name)
            except KeyboardInterrupt:
                break
    total = sum(spent.values())
    print(f"{len(spent)} modules of kernels ready after {seconds(total)}", end="")
    again = None if config.fast or stop.happened else second_process(names)
    print("" if again is None else f"; a second process loads them in {seconds(again)}")
    run.history(["module", "seconds"], spent.items())
    run.result({"converged": len(spent) == len(names), "interrupted": stop.happened, "seconds": total, "again": again})
    figure = Figure(figsize=(7.0, 0.8 + 0.32 * max(4, len(spent))), layout="constrained")
    short = [name.rsplit(".", 1)[1] for name in spent]
    plotting.bars(short, [max(value, 1e-4) for value in spent.values()], figure.subplots(), label="seconds to be ready")
    print(f"plot: {run.plot(figure)}")
    return run.folder


def kernel_modules() -> list[str]:
    """Names of the modules whose import compiles kernels."""
    package = conjugo.solvers.kernels
    names = sorted(f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__))
    return [*names, "conjugo.pde.evolution.advection_kernels"]


def compile_module(name: str) -> float:
    """Import a module and return the seconds that took."""
    start = time.perf_counter()
    import_module(name)
    return time.perf_counter() - start


def second_process(names: list[str]) -> float | None:
    """Seconds that a fresh process spends on loading the compiled kernels, its start and Numba's import left out."""
    code = (
        "import time, numba, importlib; start = time.perf_counter(); "
        f"[importlib.import_module(name) for name in {names!r}]; print(time.perf_counter() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else None


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
