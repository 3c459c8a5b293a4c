"""The heat equation: the paper's constants, order in time, a direct solve as oracle (fact 15), and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from conjugo.pde.evolution import HeatSequence, Sequence, VariableHeatSequence
from conjugo.pde.evolution.heat import DT, bump, diffusivity
from conjugo.pde.poisson import COEFFICIENTS
from conjugo.solvers.direct.fast_poisson import FastPoisson
from conjugo.solvers.krylov.split_cg import ssor_cg


def _direct(heat: HeatSequence) -> np.ndarray:
    for A, b, _ in heat:
        heat.advance(FastPoisson(A) @ b)
    return heat.u


def test_the_constants_of_the_paper() -> None:
    assert DT == 1e-3
    assert diffusivity(0.25) == pytest.approx(0.1)
    assert diffusivity(0.75) == pytest.approx(10.0)
    assert diffusivity(0.6) == pytest.approx(10 * np.sin(0.2 * np.pi))
    heat = HeatSequence(16)
    assert len(heat) == 5000
    assert heat.n == 225
    x = np.linspace(0, 1, 17)[1:-1]
    centre = np.argmin(np.abs(x - 0.5))
    u = heat.u.reshape(15, 15)
    assert u[centre, centre] == 1.0
    assert u[centre, 10] == pytest.approx(np.exp(1 - 1 / (1 - ((x[10] - 0.5) / 0.25) ** 2)))
    assert np.all(u[x <= 0.25] == 0)
    f = heat.source(0.0).reshape(15, 15)
    assert f[np.argmin(np.abs(x - 0.75)), centre] == pytest.approx(32.0)  # the source starts at (3/4, 1/2)
    assert heat.source(1 / 32).reshape(15, 15)[centre, np.argmin(np.abs(x - 0.75))] == pytest.approx(32.0)
    assert bump(np.array([2.0]), np.array([0.0]), (0.0, 0.0), 1.0)[0] == 0.0


@pytest.mark.parametrize("t", [0.0, 0.123, 0.7])
def test_a_step_is_crank_nicolson(t: float) -> None:
    """A and b against matrices assembled from scratch, both at the middle of the step; the context at its beginning."""
    heat = HeatSequence(9)
    heat.step, heat.u = round(t / DT), np.random.default_rng(0).standard_normal(64)
    A, b, context = heat.system()
    line = sp.diags_array([np.ones(7), -2 * np.ones(8), np.ones(7)], offsets=[-1, 0, 1]) * 81.0
    L = (sp.kron(line, sp.eye_array(8)) + sp.kron(sp.eye_array(8), line)).toarray()
    half = 0.5 * DT * diffusivity(t + 0.5 * DT) * L
    np.testing.assert_allclose(A.tocsr().toarray(), np.eye(64) - half, atol=1e-13)
    np.testing.assert_allclose(b, (np.eye(64) + half) @ heat.u + DT * heat.source(t + 0.5 * DT), atol=1e-13)
    assert context == diffusivity(t)


def test_fact_15_ssor_cg_agrees_with_the_sine_transform() -> None:
    """Relative difference at most 1e-12 on steps with small and large diffusivity."""
    heat = HeatSequence(50)
    for step in (0, 250, 600, 750):
        heat.step = step
        A, b, _ = heat.system()
        x = ssor_cg(A, b, heat.u, omega=1.6, rtol=1e-13).check().x
        exact = FastPoisson(A) @ b
        assert np.linalg.norm(x - exact) <= 1e-12 * np.linalg.norm(exact)


def test_energy_falls_without_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without f, every mode decays as ((1 - z) / (1 + z))^k: checked on the first one, over a period's fast half."""
    heat = HeatSequence(16, steps=40)
    monkeypatch.setattr(heat, "source", lambda t: np.zeros(heat.n))
    x = np.linspace(0, 1, 17)[1:-1]
    mode = np.outer(np.sin(np.pi * x), np.sin(np.pi * x)).ravel()
    heat.step, heat.u = 700, mode.copy()
    eigenvalue = 2 * 16**2 * (2 - 2 * np.cos(np.pi / 16))
    expected = 1.0
    for _ in range(20):
        A, b, _ = heat.system()
        z = 0.5 * DT * diffusivity(heat.time + 0.5 * DT) * eigenvalue
        expected *= (1 - z) / (1 + z)
        heat.advance(FastPoisson(A) @ b)
    np.testing.assert_allclose(heat.u, expected * mode, atol=1e-13)


def test_iterating_again_starts_over() -> None:
    heat = HeatSequence(12, steps=5)
    assert isinstance(heat, Sequence)
    first = _direct(heat).copy()
    assert heat.time == pytest.approx(5 * DT)
    np.testing.assert_array_equal(_direct(heat), first)


def test_the_state_is_a_copy() -> None:
    heat = HeatSequence(8, steps=2)
    u = np.ones(49)
    next(iter(heat))
    heat.advance(u)
    u[:] = 7.0
    assert heat.u.max() == 1.0


@pytest.mark.parametrize("make", [HeatSequence, VariableHeatSequence])
def test_a_time_loop_asks_for_its_solution(make: Any) -> None:
    steps = iter(make(8, steps=3))
    next(steps)
    with pytest.raises(RuntimeError, match=r"step 0 has no solution yet: call advance\(u\)"):
        next(steps)


@pytest.mark.parametrize("u", [np.ones(3), np.full(49, np.nan)])
def test_bad_states_are_refused(u: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected 49 finite numbers"):
        HeatSequence(8).advance(u)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HeatSequence(1), "nx = 1"),
        (lambda: HeatSequence(8, steps=0), "steps = 0"),
        (lambda: HeatSequence(8.0), "nx = 8.0"),  # type: ignore[arg-type]
        (lambda: VariableHeatSequence(8, coefficient="constant"), "HeatSequence has the constant one"),
        (lambda: VariableHeatSequence(8, coefficient="wood"), "coefficient = 'wood'"),
        (lambda: VariableHeatSequence(8, coefficient=np.float64(2.0)), "expected values at the unknowns"),  # type: ignore[arg-type]
        (lambda: VariableHeatSequence(8, coefficient=np.ones((3, 3))), "shape"),
    ],
)
def test_bad_arguments_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_medium_of_ones_is_the_heat_equation() -> None:
    plain, variable = HeatSequence(10, steps=3), VariableHeatSequence(10, steps=3, coefficient=np.ones((9, 9)))
    for one, other in zip(plain, variable, strict=True):
        np.testing.assert_allclose(other.A.tocsr().toarray(), one.A.tocsr().toarray(), rtol=1e-12)
        np.testing.assert_allclose(other.b, one.b, rtol=1e-12)
        x = FastPoisson(one.A) @ one.b
        plain.advance(x)
        variable.advance(x)


@pytest.mark.parametrize("coefficient", [name for name in COEFFICIENTS if name != "constant"])
def test_a_variable_medium_gives_definite_systems(coefficient: str) -> None:
    heat = VariableHeatSequence(12, steps=2, coefficient=coefficient, contrast=1e3)
    for A, b, _ in heat:
        dense = A.tocsr().toarray()
        np.testing.assert_array_equal(dense, dense.T)
        assert np.linalg.eigvalsh(dense)[0] >= 1.0 - 1e-12
        heat.advance(np.linalg.solve(dense, b))


def test_crank_nicolson_is_of_second_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Halving the step quarters the error against a fine one, at the same time and on the same grid."""
    x = np.linspace(0, 1, 13)[1:-1]
    results = []
    for parts in (1, 2, 16):
        monkeypatch.setattr("conjugo.pde.evolution.heat.DT", 0.0005 / parts)
        heat = HeatSequence(12)
        heat.step = 200 * parts  # t = 0.1, where the diffusivity is small and no mode is stiff
        heat.u = np.outer(np.sin(np.pi * x), np.sin(2 * np.pi * x)).ravel()
        for _ in range(10 * parts):
            A, b, _ = heat.system()
            heat.advance(FastPoisson(A) @ b)
        results.append(heat.u)
    errors = [np.linalg.norm(u - results[-1]) for u in results[:-1]]
    # against sixteenths of a step, second order has the ratio (1 - 1/256) / (1/4 - 1/256) = 4.05
    assert errors[0] / errors[1] == pytest.approx(4.05, abs=0.3)
