"""Figures behind the races: bandwidth, the cost of a CG iteration, full multigrid, grid sizes, threads, compilation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse.linalg as spla
from tqdm import tqdm

from conjugo import solvers
from conjugo.cases.bars import Verdict, at_least, at_most, reported
from conjugo.cases.peers import sine_transform
from conjugo.cases.race import interleaved_medians
from conjugo.cases.spec import ProblemSpec, build
from conjugo.cases.stream import bandwidth
from conjugo.cases.warmup import compile_module, kernel_modules, second_process
from conjugo.pde.problem import LinearProblem


@dataclass(frozen=True, slots=True)
class KernelSizes:
    """How large the measured problems are."""

    repeats: int = 5
    stream: int = 2**24
    plane: int = 1023
    box: int = 127
    iterations: int = 50
    planes: tuple[int, ...] = (256, 1000, 1023)
    boxes: tuple[int, ...] = (64, 100, 127, 256)

    @staticmethod
    def small() -> KernelSizes:
        """Sizes that end in a second or two."""
        return KernelSizes(1, 2**16, 63, 15, 5, (32, 50, 63), (16, 25))


def measure_kernels(sizes: KernelSizes) -> list[Verdict]:
    """Measure everything and return the figures beside their bars."""
    parts: list[Callable[[KernelSizes], Iterator[Verdict]]] = [
        cg_iteration, full_multigrid, iterations_by_size, two_threads, compilation,
    ]  # fmt: skip
    verdicts: list[Verdict] = []
    with tqdm(parts, desc="kernels", unit="part", leave=False, disable=None) as bar:
        for part in bar:
            bar.set_postfix_str(part.__name__)
            verdicts += part(sizes)
    return verdicts


def cg_iteration(sizes: KernelSizes) -> Iterator[Verdict]:
    """Cost of an iteration of our fused CG beside SciPy's on the CSR matrix, and the bandwidth it reaches."""
    stream = bandwidth(sizes.stream, max(3, sizes.repeats))
    yield reported("STREAM triad, GB/s", stream.triad / 1e9)
    yield reported("axpy, GB/s", stream.axpy / 1e9)
    for name, shape in (("2-D", (sizes.plane,) * 2), ("3-D", (sizes.box,) * 3)):
        problem = build(ProblemSpec(shape=shape, rhs="white"))
        count = sizes.iterations
        fused, scipy = interleaved_medians(_both_cg(problem, count), sizes.repeats)
        yield reported(f"{name}: fused CG, ns an unknown and iteration", 1e9 * fused / count / problem.n)
        yield at_least(f"{name}: SciPy's CG over fused CG, an iteration", scipy / fused, 3.5)
        yield at_least(f"{name}: fused CG's bandwidth over axpy's", 64 * problem.n * count / fused / stream.axpy, 0.6)


def _both_cg(problem: LinearProblem, count: int) -> list[Callable[[], object]]:
    """Our CG on the stencil and SciPy's on the CSR matrix, both for `count` iterations."""
    csr = problem.compress().A
    return [
        lambda: solvers.cg(problem.A, problem.b, rtol=0.0, maxiter=count),
        lambda: spla.cg(csr, problem.b, rtol=0.0, atol=0.0, maxiter=count),
    ]


def full_multigrid(sizes: KernelSizes) -> Iterator[Verdict]:
    """Full multigrid to the discretisation's accuracy beside the direct solve by sine transforms."""
    spec = ProblemSpec(shape=(sizes.plane,) * 2, rhs="charges")
    problem = build(spec)
    best = problem.error(sine_transform(problem)(problem.b, 0.0)[0])
    fmg, dst = interleaved_medians(
        [lambda: solvers.full_multigrid(problem.A, problem.b), lambda: sine_transform(problem)(problem.b, 0.0)],
        sizes.repeats,
    )
    ratio = problem.error(solvers.full_multigrid(problem.A, problem.b).x) / best
    yield at_most("full multigrid: error over discretisation error", ratio, 1.1)
    yield at_most("full multigrid over the DST solve, set-up + solve", fmg / dst, 1.0)


def iterations_by_size(sizes: KernelSizes) -> Iterator[Verdict]:
    """Iterations of multigrid on sizes that do and do not halve."""
    for dimensions, sides, expected in ((2, sizes.planes, 8), (3, sizes.boxes, 10)):
        counts = []
        for n in sides:
            problem = build(ProblemSpec(shape=(n,) * dimensions, rhs="white"))
            counts.append(solvers.Multigrid(problem.A).solve(problem.b, rtol=1e-8).iterations)
        what = ", ".join(f"{n}: {count}" for n, count in zip(sides, counts, strict=True))
        distance = max(abs(count - expected) for count in counts)
        yield at_most(f"multigrid {dimensions}-D: iterations off {expected} ({what})", distance, 1)


def two_threads(sizes: KernelSizes) -> Iterator[Verdict]:
    """Speed-up of multigrid by a second thread."""
    for name, shape in (("2-D", (sizes.plane,) * 2), ("3-D", (sizes.box,) * 3)):
        problem = build(ProblemSpec(shape=shape, rhs="white"))
        cycle = solvers.Multigrid(problem.A)

        def work(number: int, cycle: Any = cycle, b: Any = problem.b) -> None:
            with solvers.threads(number):
                cycle.solve(b, rtol=1e-8)

        one, two = interleaved_medians([lambda: work(1), lambda: work(2)], sizes.repeats)
        yield at_least(f"{name}: multigrid with one thread over two, seconds", one / two, 1.5)


def compilation(sizes: KernelSizes) -> Iterator[Verdict]:
    """Seconds that a second process spends on loading compiled kernels."""
    for name in kernel_modules():  # the first process compiles what nobody has compiled yet
        compile_module(name)
    spent = second_process(kernel_modules())
    if spent is not None and np.isfinite(spent):
        yield at_most("seconds that a second process spends on loading kernels", spent, 2.0)
