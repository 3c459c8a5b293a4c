"""A tuned solver saves, stays safe, loses nothing, and goes on where it stopped."""

from __future__ import annotations

import json
import logging
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from conjugo.learned.tuning import Candidate, RelaxationModel, TsallisINF, TunedKSP, TunedSolver, petsc_sweep, sweep
from conjugo.learned.tuning.ledger import Ledger
from conjugo.learned.tuning.rates import Rates
from conjugo.pde import poisson
from conjugo.pde.evolution import HeatSequence
from conjugo.pde.evolution.heat import DT
from conjugo.solvers import cg, mic, small_cg, ssor_cg
from conjugo.solvers.result import SolveResult, Status

OMEGAS = np.linspace(1.0, 1.95, 20)
LOW, HIGH = math.log(1e-3), math.log(10.0)


def _context(kappa: float) -> float:
    return math.log(max(kappa, 1e-3))


def _walk(solver: TunedSolver, heat: HeatSequence, *, first: int = 0, last: int | None = None) -> list[tuple[str, int]]:
    """Step the heat equation; return who solved each step, and in how many iterations."""
    done = []
    for A, b, kappa in heat:
        if heat.step >= first:
            result = solver.solve(A, b, heat.u, context=_context(kappa), rtol=1e-8)
            assert result.converged
            done.append((result.details["candidate"], result.iterations))
            heat.advance(result.x)
        else:
            heat.advance(small_cg(A, b, heat.u, rtol=1e-8).x)
        if last is not None and heat.step > last:
            break
    return done


def _by_iterations(seed: int = 0, **options: Any) -> TunedSolver:
    arms = sweep("ssor", ssor_cg, omega=OMEGAS)
    model = RelaxationModel("scale", math.exp)
    return TunedSolver(arms, default=10, context=(LOW, HIGH), cost="iterations", model=model, seed=seed, **options)


def test_it_saves_iterations_on_the_heat_equation() -> None:
    heat, solver = HeatSequence(25, steps=700), _by_iterations()
    _walk(solver, heat)
    report = solver.report()
    assert report.systems == 700
    assert report.saved > 0.1 * report.default
    assert "saved" in str(report)
    assert report.learned[0][1] != report.learned[-1][1]  # the best factor depends on the diffusivity
    factor = solver.model.factor(_context(10.0)) if solver.model else None
    A = heat.operator(10.0)
    mu = float(A.diagonal()[0]) / (1 + 0.5 * 10 * DT * 25**2 * (4 - 4 * math.cos(math.pi / 25)))
    assert factor == pytest.approx(2 / (1 + math.sqrt(2 / mu)), abs=0.01)


@pytest.mark.slow
def test_ship_bar_in_closed_loop() -> None:
    """The first 1000 steps at n = 9801: ChebCB takes 11,430 iterations, the closed form, which is told mu, 10,097."""
    total = []
    for seed in range(2):
        solver = _by_iterations(seed, allowance=math.inf)
        total.append(sum(count for _, count in _walk(solver, HeatSequence(100, steps=1000))))
    assert max(total) < 11_430


def test_killed_and_resumed_it_ends_identical(tmp_path: Path) -> None:
    whole = _by_iterations()
    expected = _walk(whole, HeatSequence(16, steps=240))
    first, heat = _by_iterations(), HeatSequence(16, steps=240)
    done = []
    for A, b, kappa in heat:
        if heat.step == 101:
            first.save(tmp_path / "tuner.json")
            first = _by_iterations(seed=99)
            first.load(tmp_path / "tuner.json")
        result = first.solve(A, b, heat.u, context=_context(kappa), rtol=1e-8)
        done.append((result.details["candidate"], result.iterations))
        heat.advance(result.x)
    assert done == expected
    one, other = whole.state(), first.state()
    for key in ("overhead",):
        one.pop(key), other.pop(key)
    one["rates"] = other["rates"] = None
    assert json.dumps(one) == json.dumps(other)
    with pytest.raises(ValueError, match="the state has the candidates"):
        TunedSolver(sweep("cg", cg)).load(tmp_path / "tuner.json")


def test_a_failed_attempt_counts_and_the_default_solves() -> None:
    def hopeless(A: Any, b: Any, x0: Any = None, **options: Any) -> SolveResult:
        return SolveResult(np.zeros_like(b), Status.MAX_ITERATIONS, np.ones(8), 0.0, "hopeless")

    def broken(A: Any, b: Any, x0: Any = None, **options: Any) -> SolveResult:
        raise ValueError("no")

    problem = poisson((12, 12))
    for bad in (hopeless, broken):
        solver = TunedSolver([*sweep("cg", cg), *sweep("bad", bad)], cost="iterations", allowance=math.inf)
        results = [solver.solve(problem.A, problem.b, rtol=1e-8) for _ in range(60)]
        assert all(result.converged for result in results)
        failed = [result for result in results if "failed" in result.details]
        assert len(failed) == solver.failures[1] >= 1
        assert solver.plays.sum() + solver.asleep == 60
        assert solver.plays[1] < 12  # it learns
        assert solver.ledger.spent >= sum(result.iterations for result in results)


def test_slower_candidates_cost_almost_nothing() -> None:
    """Everything but the default takes four times as long: the loss stays below the bar of 5 %."""

    def made(seconds: float) -> Any:
        def method(A: Any, b: Any, x0: Any = None, **options: Any) -> SolveResult:
            clock[0] += seconds
            return SolveResult(b, Status.CONVERGED, np.array([1.0, 0.0]), seconds, "made")

        return method

    clock = [0.0]
    arms = [*sweep("a", made(1e-3)), *sweep("b", made(4e-3)), *sweep("c", made(4e-3))]
    solver = TunedSolver(arms, clock=lambda: clock[0])
    for _ in range(2000):
        solver.solve(np.eye(2), np.ones(2))
    assert clock[0] < 1.05 * 2.0
    faster = TunedSolver([*sweep("a", made(4e-3)), *sweep("b", made(1e-3))], clock=lambda: clock[0])
    clock[0] = 0.0
    for _ in range(2000):
        faster.solve(np.eye(2), np.ones(2))
    assert clock[0] < 0.32 * 8.0
    assert faster.report().saved > 5.0


def test_a_preconditioner_serves_several_systems() -> None:
    made = []

    def factory(A: Any, relaxation: float) -> Any:
        made.append(relaxation)
        return mic(A, relaxation)

    problem = poisson((20, 20))
    arms = sweep("cg + mic", cg, factory=factory, relaxation=[1.0], every=10)
    solver = TunedSolver(arms)
    for _ in range(50):
        assert solver.solve(problem.A, problem.b, rtol=1e-8).converged
    assert len(made) == 5


def test_scipy_methods_are_judged_by_the_true_residual() -> None:
    problem = poisson((16, 16))
    A = sp.csr_array(problem.A.tocsr())
    arms = [*sweep("scipy cg", spla.cg), *sweep("scipy bicgstab", spla.bicgstab)]
    solver = TunedSolver(arms)
    for _ in range(20):
        result = solver.solve(A, problem.b, rtol=1e-8)
        assert np.linalg.norm(problem.b - A @ result.x) <= 1.01e-8 * np.linalg.norm(problem.b)


def test_petsc_in_a_loop_by_changing_only_the_solver() -> None:
    pytest.importorskip("mpi4py.MPI")
    PETSc = pytest.importorskip("petsc4py.PETSc")
    matrix = sp.csr_array(poisson((20, 20)).A.tocsr())
    arrays = matrix.indptr.astype(PETSc.IntType), matrix.indices.astype(PETSc.IntType), matrix.data
    A = PETSc.Mat().createAIJWithArrays(matrix.shape, arrays)
    x, b = A.createVecs()
    arms = petsc_sweep("gamg", "-ksp_type cg -pc_type gamg", pc_gamg_threshold=[-1.0, 0.02, 0.08], every=[1, 10])
    arms += petsc_sweep("sor", "-ksp_type cg -pc_type sor", pc_sor_omega=[1.0, 1.5])
    ksp = TunedKSP(A, arms)
    for step in range(40):
        matrix.data *= 1.01  # in place, as dolfinx assembles
        A.assemble()
        b.setArray(np.random.default_rng(step).standard_normal(400))
        ksp.solve(b, x)
        assert ksp.getConvergedReason() > 0
        r = b.getArray() - matrix @ x.getArray()
        assert np.linalg.norm(r) <= 1.01e-8 * b.norm()
    assert ksp.tuner.ledger.steps == 40
    assert len(ksp.tuner.report().played) >= 2


def test_another_learner_and_no_context() -> None:
    problem = poisson((12, 12))
    arms = sweep("ssor", ssor_cg, omega=[1.0, 1.7])
    solver = TunedSolver(arms, learner=TsallisINF(2), cost="iterations")
    for _ in range(100):
        solver.solve(problem.A, problem.b, rtol=1e-8)
    assert solver.best().parameters["omega"] == 1.7


def test_a_context_outside_the_range_is_clipped_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    problem = poisson((8, 8))
    solver = TunedSolver(sweep("ssor", ssor_cg, omega=[1.0, 1.5]), context=(0.0, 1.0), cost="iterations")
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            solver.solve(problem.A, problem.b, context=3.0)
    assert len([r for r in caplog.records if "outside the range" in r.getMessage()]) == 1


def test_bad_input_is_named() -> None:
    arms = sweep("ssor", ssor_cg, omega=[1.0, 1.5])
    problem = poisson((8, 8))
    with pytest.raises(ValueError, match="candidates is empty"):
        TunedSolver([])
    with pytest.raises(ValueError, match=r"default = 'cg': expected one of ssor omega=1, ssor omega=1\.5"):
        TunedSolver(arms, default="cg")
    with pytest.raises(ValueError, match="default = 2: expected an index"):
        TunedSolver(arms, default=2)
    with pytest.raises(ValueError, match="cost = 'energy'"):
        TunedSolver(arms, cost="energy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cap = 1"):
        TunedSolver(arms, cap=1.0)
    with pytest.raises(ValueError, match="learner has 3 arms: expected 2"):
        TunedSolver(arms, learner=TsallisINF(3))
    with pytest.raises(ValueError, match="allowance = -1"):
        TunedSolver(arms, allowance=-1.0)
    solver = TunedSolver(arms, context=(0.0, 1.0))
    with pytest.raises(ValueError, match="context is missing"):
        solver.solve(problem.A, problem.b)
    with pytest.raises(ValueError, match=r"context = \[1.0, 2.0\]: expected 1 finite"):
        solver.solve(problem.A, problem.b, context=[1.0, 2.0])
    with pytest.raises(ValueError, match="context = nan: expected 1 finite"):
        solver.solve(problem.A, problem.b, context=math.nan)
    with pytest.raises(ValueError, match="omega has no values"):
        sweep("ssor", ssor_cg, omega=[])
    with pytest.raises(ValueError, match="every = 0"):
        sweep("ssor", ssor_cg, every=0)
    with pytest.raises(ValueError, match="no candidate is an ssor_cg"):
        TunedSolver(sweep("cg", cg), model=RelaxationModel("scale"))
    with pytest.raises(ValueError, match="kind = 'twist'"):
        RelaxationModel("twist")  # type: ignore[arg-type]


def test_memory_does_not_grow() -> None:
    arms = [Candidate("a", lambda A, b, x0, **o: SolveResult(b, Status.CONVERGED, np.array([1.0, 0.0]), 1e-4, "a"))]
    arms += sweep("b", lambda A, b, x0, **o: SolveResult(b, Status.CONVERGED, np.ones(4), 1e-4, "b"))
    solver = TunedSolver(arms, cost="iterations", context=(0.0, 1.0))
    rng = np.random.default_rng(0)
    sizes = []
    for step in range(900):
        solver.solve(np.eye(2), np.ones(2), context=float(rng.random()))
        if step % 450 == 449:
            sizes.append(len(json.dumps(solver.state())))
    assert sizes[1] < 1.1 * sizes[0]


def test_the_ledger_lets_risk_only_what_it_can_pay() -> None:
    ledger = Ledger(0.05)
    for _ in range(100):
        ledger.record(1.0, 1.0, was_default=True)
    assert ledger.affords(7.0)  # 5 % of 100, and 3 for a start
    assert not ledger.affords(9.0)
    ledger.record(1.0, 20.0)
    assert ledger.left > 0
    assert not ledger.affords(0.0)


@pytest.mark.slow
def test_overhead_where_nothing_is_weighed() -> None:
    """Passing through a tuned solver that sleeps takes some microseconds."""
    done = SolveResult(np.ones(2), Status.CONVERGED, np.array([1.0, 0.0]), 1e-3, "a")
    solver = TunedSolver([*sweep("a", lambda A, b, x0, **o: done), *sweep("b", lambda A, b, x0, **o: done)])
    solver.ledger._lie_down(1e9)
    solver.ledger._quiet = 1.0
    solver._weighed.add(())
    A, b = np.eye(2), np.ones(2)
    started = time.thread_time()
    for _ in range(10_000):
        solver.solve(A, b)
    assert (time.thread_time() - started) / 10_000 < 4e-6
    assert solver.report().systems == 10_000


def test_a_trial_is_given_up_and_its_work_is_not_lost() -> None:
    """A candidate that needs too long is stopped; the next one goes on from where it came."""
    starts: list[float] = []
    clock = [0.0]

    def slow(A: Any, b: Any, x0: Any = None, *, maxiter: int | None = None, **options: Any) -> SolveResult:
        done = min(100, 100 if maxiter is None else maxiter)
        clock[0] += 1e-3 * done
        status = Status.CONVERGED if done == 100 else Status.MAX_ITERATIONS
        return SolveResult(b * done / 100, status, np.geomspace(1.0, 10.0 ** (-0.08 * done), done + 1), 0.0, "slow")

    def quick(A: Any, b: Any, x0: Any = None, **options: Any) -> SolveResult:
        starts.append(0.0 if x0 is None else float(x0[0]))
        clock[0] += 1e-2
        return SolveResult(b, Status.CONVERGED, np.geomspace(1.0, 1e-9, 11), 1e-2, "quick")

    solver = TunedSolver([*sweep("quick", quick), *sweep("slow", slow)], clock=lambda: clock[0])
    for _ in range(200):
        assert solver.solve(np.eye(2), np.ones(2), rtol=1e-8).converged
    assert max(starts) > 0
    assert clock[0] < 1.05 * 200 * 1e-2
    assert solver.failures[1] == solver.plays[1] <= 4


def test_it_wakes_where_the_context_is_new() -> None:
    def made(pace: float) -> Any:
        def method(A: Any, b: Any, x0: Any = None, **options: Any) -> SolveResult:
            clock[0] += pace
            return SolveResult(b, Status.CONVERGED, np.geomspace(1.0, 1e-9, 11), pace, "made")

        return method

    clock = [0.0]
    solver = TunedSolver([*sweep("a", made(1e-3)), *sweep("b", made(2e-3))], context=(0.0, 1.0), clock=lambda: clock[0])
    for step in range(400):
        solver.solve(np.eye(2), np.ones(2), context=0.01 * (step % 5))
    asleep, weighed = solver.report(), int(solver.plays.sum())
    assert asleep.systems == 400
    assert solver.asleep > 200
    solver.solve(np.eye(2), np.ones(2), context=0.9)
    assert int(solver.plays.sum()) == weighed + 1
    with pytest.raises(ValueError, match="context = nan"):
        solver.solve(np.eye(2), np.ones(2), context=math.nan)


def test_rates_part_the_fixed_cost_from_the_pace() -> None:
    rates, rng = Rates([0, 0], [1, 5]), np.random.default_rng(0)
    for _ in range(60):
        work = float(rng.integers(5, 80))
        disturbed = 20.0 if rng.random() < 0.1 else 1.0
        rates.note(0, work, disturbed * (1e-3 + 1e-4 * work))
    rates.note_setup(0, 0.01)
    assert rates.seconds(np.array([10.0, 10.0])) == pytest.approx([0.012, 0.004], rel=0.15)
    other = Rates([0, 0], [1, 5])
    other.restore(json.loads(json.dumps(rates.state())))
    assert other.seconds(np.array([10.0, 10.0])).tolist() == rates.seconds(np.array([10.0, 10.0])).tolist()


def test_a_trial_is_charged_its_whole_set_up() -> None:
    """A set-up that serves twenty systems is hardly made again where the solves do not earn it."""
    clock, made = [0.0], [0]

    def method(A: Any, b: Any, x0: Any = None, *, seconds: float = 1e-3, M: Any = None, **options: Any) -> SolveResult:
        pace = 0.85e-3 if M is not None else seconds
        clock[0] += pace
        return SolveResult(b, Status.CONVERGED, np.geomspace(1.0, 1e-9, 11), pace, "made")

    def factory(A: Any, level: float) -> Any:
        clock[0] += 4e-3
        made[0] += 1
        return np.eye(2)

    slow, quick = partial(method, seconds=4e-3), partial(method, seconds=1e-3)
    arms = [
        *sweep("a", slow),
        *sweep("c", quick),
        *sweep("b", method, factory=factory, every=20, level=[0.0, 0.5, 1.0]),
    ]
    solver = TunedSolver(arms, context=(0.0, 1.0), clock=lambda: clock[0])
    rng = np.random.default_rng(0)
    for _ in range(600):
        solver.solve(np.eye(2), np.ones(2), context=float(rng.random()))
    assert made[0] <= 4
    assert clock[0] < 1.06 * 600 * 1e-3
