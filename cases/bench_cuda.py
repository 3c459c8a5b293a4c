"""Time the CUDA kernels, the V-cycle and the solves beside a device copy: python -m conjugo.cases.bench_cuda."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from conjugo.pde.poisson.assemble import poisson

type Rhs = Literal["white", "smooth"]
type Row = tuple[str, float, float, float]


def milliseconds(work: Callable[[], Any], repeats: int = 15, batch: int = 5) -> float:
    """Median time of one call, by events around batches of calls."""
    import torch

    for _ in range(3):
        work()
    times = []
    for _ in range(repeats):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(batch):
            work()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / batch)
    return float(np.median(times))


def copy_bandwidth(gigabytes: float = 2.0) -> float:
    """GB/s of a device-to-device copy, bytes read and written."""
    import torch

    n = int(gigabytes * 1e9) // 4
    source, target = torch.randn(n, device="cuda"), torch.empty(n, device="cuda")
    return 8 * n / milliseconds(lambda: target.copy_(source)) / 1e6


def passes(M: Any) -> list[tuple[str, Callable[[], Any], float]]:
    """Every kernel of the finest level with its minimal bytes for an unknown."""
    top, below = M.levels[0], M.levels[1]
    share = math.prod(below.shape) / math.prod(top.shape)
    return [
        ("smooth from zero (2 steps)", top.smooth_zero, 8),
        ("residual + restriction", lambda: top.restrict(below.b), 8 + 4 * share),
        ("prolongation + correction", lambda: top.prolong(below.x), 8 + 4 * share),
        ("smooth", lambda: top.smooth(top.y, top.x, top.omegas[0]), 12),
        ("smooth + dot", lambda: top.smooth(top.x, top.y, top.omegas[1], M._partial), 12),
        ("direction: p = z + beta p, p.Ap", lambda: M.direction(M._p[0], M._p[1]), 12),
        ("update: x, r, low, r.r", lambda: M.update(M._p[0]), 40),
        ("sum of the shares", lambda: M.add_up(4), 0),
    ]


def kernel_table(n: int, copy: float) -> list[Row]:
    """Rows (name, ms, GB/s, share of the copy bandwidth) at n^3."""
    import torch

    from conjugo.solvers.triton.multigrid import CudaMultigrid

    problem = poisson((n, n, n))
    M = CudaMultigrid(problem.A)
    torch.manual_seed(0)
    for level in M.levels:
        for v in (level.b, level.x, level.y):
            v.normal_()
    for v in (*M._p, M._x, M._r):
        v.normal_()
    M._scalars.copy_(torch.tensor([1.0, 0.5, 1.0, 1e-30, 1.0, 1.0], dtype=torch.float64))
    rows = []
    for name, work, minimal in passes(M):
        ms = milliseconds(work)
        speed = minimal * n**3 / ms / 1e6
        rows.append((f"{n}^3 {name}", ms, speed, speed / copy))
    M._cycle()
    rows.append((f"{n}^3 V-cycle (graph)", milliseconds(M._cycle), math.nan, math.nan))
    M._take(torch.randn(n**3, dtype=torch.float64, device="cuda"), 1.0)
    M._steps[0]()
    rows.append((f"{n}^3 iteration (graph)", milliseconds(M._steps[0]), math.nan, math.nan))
    return rows


def solve_rows(n: int, rhs: Rhs = "white", repeats: int = 5) -> list[tuple[str, float, int, float]]:
    """Rows (name, ms, iterations, true relative residual by the CPU's operator) at n^3."""
    import torch

    from conjugo.solvers.triton.multigrid import CudaMultigrid

    problem = poisson((n, n, n), seed=1, rhs=rhs)
    M = CudaMultigrid(problem.A)
    b = torch.as_tensor(problem.b, device="cuda")
    rows = []
    for rtol in (1e-6, 1e-10):
        M.solve(b, rtol=rtol)
        times = []
        for _ in range(repeats):
            torch.cuda.synchronize()
            started = time.perf_counter()
            result = M.solve(b, rtol=rtol)
            torch.cuda.synchronize()
            times.append(1e3 * (time.perf_counter() - started))
        x = result.x.cpu().numpy()
        true = float(np.linalg.norm(problem.b - problem.A @ x) / np.linalg.norm(problem.b))
        rows.append(
            (
                f"{n}^3 {rhs} rhs: solve to {rtol:.0e} ({result.status})",
                float(np.median(times)),
                result.iterations,
                true,
            )
        )
    return rows


def black_box_rows(shape: tuple[int, ...], columns: int, cycle: str) -> list[tuple[str, float, int, float]]:
    """Time of the black-box cycle on the device, CG with it, and its distance from the CPU's cycle."""
    import torch

    from conjugo.solvers import cg
    from conjugo.solvers.multigrid.black_box import BlackBoxHierarchy
    from conjugo.solvers.triton.black_box import CudaBlackBox

    problem = poisson(shape, coefficient="inclusions", contrast=1e3)
    hierarchy = BlackBoxHierarchy(problem.A, cycle=cycle, symmetric=True)
    M = CudaBlackBox(hierarchy)
    r = torch.as_tensor(np.random.default_rng(0).standard_normal((problem.b.size, columns)), device="cuda")
    z = (M @ r)[:, 0].cpu().numpy()
    expected = np.empty_like(z)
    hierarchy.cycle(np.ascontiguousarray(r[:, 0].cpu().numpy()), expected)
    error = float(np.linalg.norm(z - expected) / np.linalg.norm(expected))
    name = f"{'x'.join(map(str, shape))} black box {cycle}, {columns} rhs"
    M @ r
    rows = [(f"{name}: @", milliseconds(lambda: M @ r), 1, error)]
    rows.append((f"{name}: cycle alone", milliseconds(M._replay), 1, error))
    if columns == 1:
        b = torch.as_tensor(problem.b, device="cuda")
        cg(problem.A, b, M=M, rtol=1e-6)
        torch.cuda.synchronize()
        started = time.perf_counter()
        result = cg(problem.A, b, M=M, rtol=1e-6)
        torch.cuda.synchronize()
        ms = 1e3 * (time.perf_counter() - started)
        x = result.x.cpu().numpy()
        true = float(np.linalg.norm(problem.b - problem.A @ x) / np.linalg.norm(problem.b))
        rows.append((f"{name}: cg to 1e-6 ({result.status})", ms, result.iterations, true))
    return rows


def main(sizes: tuple[int, ...] = (128, 256), folder: str | None = None) -> Path:
    """Run everything and print the tables; the figures go to a JSON file."""
    import torch

    if not torch.cuda.is_available():
        raise ValueError("no CUDA device is there: this benchmark times CUDA kernels")
    copy = copy_bandwidth()
    figures: dict[str, Any] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "copy": copy}
    kernels: list[Row] = []
    solves: list[tuple[str, float, int, float]] = []
    for n in sizes:
        kernels += kernel_table(n, copy)
        solves += solve_rows(n)
    for shape, columns, cycle in (((1024, 1024), 1, "V"), ((1024, 1024), 8, "V"), ((128,) * 3, 1, "V")):
        solves += black_box_rows(shape, columns, cycle)
    print(f"{figures['device']}, torch {figures['torch']}: copy {copy:.0f} GB/s")
    for name, ms, speed, ratio in kernels:
        print(f"{name:48s} {ms:8.4f} ms" + ("" if math.isnan(speed) else f" {speed:7.0f} GB/s {ratio:5.2f} of copy"))
    for name, ms, iterations, error in solves:
        print(f"{name:64s} {ms:8.3f} ms {iterations:4d} its {error:.2e}")
    path = Path(folder or os.environ.get("OUT", "runs/bench_cuda")) / "bench_cuda.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**figures, "kernels": kernels, "solves": solves}, indent=1))
    return path


if __name__ == "__main__":
    main(tuple(int(n) for n in sys.argv[1:]) or (128, 256))
