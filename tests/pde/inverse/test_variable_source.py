"""Sources in varying media: against direct solves, symmetric to the tolerance that is stated, or to rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg

from conjugo.pde import poisson
from conjugo.pde.inverse.bayes import GaussianPosterior
from conjugo.pde.inverse.operator import adjoint_mismatch, check_measurement
from conjugo.pde.inverse.problem import source_problem
from conjugo.pde.inverse.source import Green, SourceToSensors
from conjugo.pde.inverse.variable_source import VariableGreen
from conjugo.solvers.result import ConvergenceError

torch = pytest.importorskip("torch")

SHAPE = (20, 24)
MEDIA: list[tuple[str, float | None]] = [("lognormal", None), ("inclusions", 1e3), ("channels", 1e4)]
NODES = list(range(5, 480, 43))


@pytest.mark.parametrize(("medium", "contrast"), MEDIA)
def test_the_field_is_that_of_a_direct_solve(medium: str, contrast: float | None) -> None:
    G = VariableGreen(SHAPE, medium, contrast=contrast, seed=3)
    problem = poisson(SHAPE, coefficient=medium, contrast=contrast, seed=3, centring="cell")
    f = np.random.default_rng(0).standard_normal((480, 3))
    exact = scipy.sparse.linalg.splu(problem.A.tocsr().tocsc()).solve(f)
    assert np.linalg.norm(G @ f - exact) < 1e-8 * np.linalg.norm(exact)
    assert np.linalg.norm(G.A @ (G @ f) - f) < 1.1e-10 * np.linalg.norm(f)
    assert np.allclose(G @ f[:, 0], (G @ f)[:, 0], rtol=0, atol=1e-9 * np.abs(exact).max())


def test_a_constant_medium_gives_the_transforms() -> None:
    f = np.random.default_rng(1).standard_normal(480)
    expected = Green(SHAPE) @ f
    assert np.allclose(VariableGreen(SHAPE, 2.0) @ f, expected / 2, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize(("medium", "contrast"), MEDIA)
@pytest.mark.parametrize("rtol", [1e-6, 1e-10])
def test_the_adjoint_holds_to_the_tolerance_of_the_solves(medium: str, contrast: float | None, rtol: float) -> None:
    A = SourceToSensors(SHAPE, NODES, G=VariableGreen(SHAPE, medium, contrast=contrast, rtol=rtol))
    assert adjoint_mismatch(A) < rtol
    check_measurement(A, rtol=10 * rtol)


@pytest.mark.parametrize(("medium", "contrast"), MEDIA)
@pytest.mark.parametrize("cycles", [1, 4])
def test_the_adjoint_of_fixed_cycles_holds_to_rounding(medium: str, contrast: float | None, cycles: int) -> None:
    A = SourceToSensors(SHAPE, NODES, G=VariableGreen(SHAPE, medium, contrast=contrast, cycles=cycles))
    assert adjoint_mismatch(A) < 1e-12
    assert adjoint_mismatch(A, like=torch.zeros(1, dtype=torch.float64)) < 1e-12
    check_measurement(A, rtol=1e-11)
    dense = A.G @ np.eye(480)
    assert np.abs(dense - dense.T).max() < 1e-12 * np.abs(dense).max()
    assert np.linalg.eigvalsh((dense + dense.T) / 2).min() > 0


def test_more_cycles_come_closer_by_the_contraction() -> None:
    f = np.random.default_rng(0).standard_normal(480)
    exact = VariableGreen(SHAPE, "lognormal", rtol=1e-12) @ f
    errors = [np.linalg.norm(VariableGreen(SHAPE, "lognormal", cycles=c) @ f - exact) for c in (1, 3, 5)]
    assert errors[2] < 0.2 * errors[1] < 0.04 * errors[0]


def test_tensors_and_precisions_are_those_of_the_source() -> None:
    G = VariableGreen(SHAPE, "inclusions", contrast=100.0)
    f = np.random.default_rng(0).standard_normal((480, 2))
    expected = G @ f
    assert np.allclose((G @ torch.asarray(f)).numpy(), expected, rtol=0, atol=1e-14)
    for x in (f.astype(np.float32), torch.asarray(f, dtype=torch.float32)):
        single = G @ x
        assert str(single.dtype).endswith("float32")
        assert np.allclose(np.asarray(single), expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_solves_and_iterations_are_counted() -> None:
    G = VariableGreen(SHAPE, "lognormal", cycles=3)
    _ = G @ np.ones((480, 4))
    _ = G @ np.ones(480)
    assert (G.solves, G.iterations) == (5, 15)
    H = VariableGreen(SHAPE, "lognormal")
    _ = H @ np.ones(480)
    assert 3 < H.iterations < 15


def test_bayes_through_multigrid_equals_bayes_through_a_direct_solve() -> None:
    """The posterior of a small problem, with G replaced by the dense inverse."""
    problem = source_problem(20, 30, coefficient="inclusions", contrast=100.0, count=2)
    posterior = problem.posterior()
    n = 400
    A = poisson((20, 20), coefficient="inclusions", contrast=100.0, centring="cell").A.tocsr().toarray()
    inner: Any = problem.A
    dense = inner.factor * np.linalg.inv(A)[inner.A.sensors.nodes]
    phi = problem.basis.inverse(np.eye(n).reshape(-1, 20, 20)).reshape(n, n)
    C = phi.T @ (problem.spectrum.reshape(-1, 1) * phi)
    gain = C @ dense.T @ np.linalg.inv(dense @ C @ dense.T + problem.sigma**2 * np.eye(30))
    assert np.allclose(posterior.mean, gain @ problem.y, rtol=0, atol=1e-6)
    expected = np.sqrt(1 - np.trace(gain @ dense @ C) / np.trace(C))
    assert np.isclose(posterior.relative_error(), expected, rtol=1e-7)


def test_the_posterior_hardly_sees_fixed_cycles() -> None:
    exact, cycled = (
        source_problem(20, 30, 0.05, coefficient="lognormal", **kind) for kind in ({"rtol": 1e-10}, {"cycles": 8})
    )
    means = [GaussianPosterior(p.A, exact.y, 0.05, 0.0, p.spectrum, p.basis).mean for p in (exact, cycled)]
    assert np.linalg.norm(means[1] - means[0]) < 1e-3 * np.linalg.norm(means[0])


def test_what_is_not_finite_passes_as_through_a_matrix() -> None:
    f = np.ones(480)
    f[3] = np.nan
    assert np.all(np.isnan(VariableGreen(SHAPE, "lognormal") @ f))


def test_bad_input_is_refused() -> None:
    for call, words in (
        (lambda: VariableGreen(SHAPE, rtol=0.1), "rtol = 0.1"),
        (lambda: VariableGreen(SHAPE, cycles=0), "cycles = 0"),
        (lambda: VariableGreen(SHAPE, "porridge"), "coefficient = 'porridge'"),
        (lambda: VariableGreen(SHAPE) @ torch.ones(480, requires_grad=True), "use f.detach"),
        (
            lambda: source_problem(16, 20, wavenumber=1.0, coefficient="lognormal"),
            "wavenumber = 1.0 with a coefficient",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(ConvergenceError):
        _ = VariableGreen(SHAPE, "channels", contrast=1e9, rtol=1e-16) @ np.random.default_rng(0).standard_normal(480)
