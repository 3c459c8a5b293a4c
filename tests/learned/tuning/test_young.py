"""The model prior against dense linear algebra: facts 1, 2, 3, 5, 7 and 10."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from tests.learned.tuning.tables import ARMS, sor_counts, sor_table

from conjugo.learned.tuning.young import (
    Family,
    SORPrior,
    SSORPrior,
    beta_from_sor,
    least_from_cg,
    sor_factor,
    sor_radius,
    ssor_factor,
)
from conjugo.pde.evolution import ShiftedLaplacians

BETA = np.cos(np.pi / 11)


def _laplacian(side: int = 10, shift: float = 0.0) -> np.ndarray:
    """delsq(numgrid('S', side + 2)) + shift I, from scratch."""
    line = 2 * np.eye(side) - np.eye(side, k=1) - np.eye(side, k=-1)
    return np.kron(line, np.eye(side)) + np.kron(np.eye(side), line) + shift * np.eye(side * side)


def _iteration(omega: float, shift: float = 0.0) -> np.ndarray:
    """C = I - A W^-1, W = D / omega + L: what multiplies the residual."""
    A = _laplacian(shift=shift)
    W = np.diag(np.diag(A)) / omega + np.tril(A, -1)
    return np.eye(len(A)) - np.linalg.solve(W.T, A.T).T


def test_fact_1_the_spectrum_of_the_model_problem() -> None:
    A = ShiftedLaplacians(10, steps=1).operator(0.0).tocsr().toarray()
    np.testing.assert_array_equal(A, _laplacian())
    values = np.linalg.eigvalsh(A)
    assert values[0] == pytest.approx(0.1620281055, abs=1e-9)
    assert values[-1] / values[0] == pytest.approx(48.37415, abs=1e-5)
    beta = np.abs(np.linalg.eigvalsh(np.eye(100) - A / 4)).max()
    assert beta == pytest.approx(0.9594929736, abs=1e-9)
    assert sor_factor(beta) == pytest.approx(1.5603879213, abs=1e-9)


@pytest.mark.parametrize(
    ("omega", "radius"), [(1.0, 0.92062677), (1.2, 0.88026150), (1.4, 0.80589027), (1.5, 0.72800687), (1.8, 0.8)]
)
def test_fact_2_the_spectral_radius_of_sor(omega: float, radius: float) -> None:
    assert sor_radius(omega, BETA) == pytest.approx(radius, abs=1e-7)
    assert np.abs(np.linalg.eigvals(_iteration(omega))).max() == pytest.approx(radius, abs=1e-7)


def test_fact_2_at_the_best_factor() -> None:
    assert sor_radius(sor_factor(BETA), BETA) == pytest.approx(0.56038792, abs=1e-7)


@pytest.mark.parametrize(
    ("shift", "factor"), [(-0.15, 1.85359), (-0.1, 1.69831), (0.1, 1.47955), (0.2, 1.42232), (0.45, 1.32792)]
)
def test_fact_3_the_best_factor_of_a_shifted_system(shift: float, factor: float) -> None:
    beta = np.abs(np.linalg.eigvalsh(np.eye(100) - _laplacian(shift=shift) / (4 + shift))).max()
    assert sor_factor(beta) == pytest.approx(factor, abs=1e-5)
    family = Family("shift", 4.0)
    family.observe(0.0, 1 - BETA)
    assert SORPrior(ARMS, family).factor(shift) == pytest.approx(factor, abs=1e-5)


@pytest.fixture(scope="module")
def unshifted() -> np.ndarray:
    """60 right-hand sides (60, 100)."""
    sequence = ShiftedLaplacians(10, steps=60, seed=5)
    return np.stack(list(sequence.right_hand_sides()))


def _counts(b: np.ndarray, omega: float) -> np.ndarray:
    return sor_counts(b, np.zeros(len(b)), np.full(len(b), omega))


@pytest.mark.parametrize(("omega", "count"), [(1.5, 57), (1.6, 41), (1.8, 86), (1.9, 178)])
def test_fact_4_iterations_at_shift_zero(unshifted: np.ndarray, omega: float, count: int) -> None:
    """Of right-hand sides that take 201 +- 2 iterations at omega = 1: with little of the lowest mode it is fewer."""
    alike = unshifted[np.abs(_counts(unshifted, 1.0) - 201) <= 2]
    assert len(alike) >= 5
    assert _counts(alike, omega).mean() == pytest.approx(count, rel=0.05)


def test_fact_4_the_least_iterations_are_near_the_best_factor(unshifted: np.ndarray) -> None:
    omegas = np.arange(1.5, 1.66, 0.01)
    means = [_counts(unshifted, omega).mean() for omega in omegas]
    assert min(means) == pytest.approx(38, rel=0.05)
    assert omegas[int(np.argmin(means))] == pytest.approx(1.57, abs=0.021)


def test_the_counts_are_those_of_the_solver(unshifted: np.ndarray) -> None:
    """The table's kernel against the iteration matrix."""
    for omega in (1.0, 1.55, 1.9):
        C, r, k = _iteration(omega, 0.2), unshifted[0], 0
        while np.linalg.norm(r) > 1e-8 * np.linalg.norm(unshifted[0]):
            r, k = C @ r, k + 1
        assert sor_counts(unshifted[:1], np.full(1, 0.2), np.full(1, omega))[0] == k


def test_fact_5_the_bound_lies_above_and_the_asymptotic_rate_does_not(unshifted: np.ndarray) -> None:
    """tau is the largest over omega of what ||C^k|| = (rho + tau (1 - rho))^k needs at the last iteration before."""
    omegas = np.sort(np.append(np.arange(1.0, 1.995, 0.01), sor_factor(BETA)))
    counts = np.array([_counts(unshifted[:1], omega)[0] for omega in omegas])
    rho = np.array([sor_radius(omega, BETA) for omega in omegas])
    norms = np.array([
        np.linalg.norm(np.linalg.matrix_power(_iteration(omega), int(k) - 1), 2) ** (1 / (k - 1))
        for omega, k in zip(omegas, counts, strict=True)
    ])  # fmt: skip
    tau = np.max((norms - rho) / (1 - rho))
    assert 0.15 < tau < 0.21
    bound = 1 + np.log(1e-8) / np.log(rho + tau * (1 - rho))
    assert np.all(bound >= counts)
    below = int(np.sum(np.log(1e-8) / np.log(rho) < counts))
    assert len(omegas) == 101
    assert 40 <= below <= 60  # 49 with another right-hand side
    family = Family("shift", 4.0)
    family.observe(0.0, 1 - BETA)
    predicted = SORPrior(omegas, family, tau=float(tau))(0.0)
    assert predicted is not None
    np.testing.assert_allclose(predicted, bound, rtol=1e-9)


@pytest.mark.parametrize(("variance", "gain"), [("high", 45.7), ("low", 29.5)])
def test_fact_7_the_policy_of_the_closed_form(variance: str, gain: float) -> None:
    """% below the best fixed arm, +-1 point, with beta from one ordinary solve by Gauss and Seidel."""
    contexts, b, table = sor_table(variance)
    residuals, r, C = [np.linalg.norm(b[0])], b[0], _iteration(1.0, contexts[0])
    while residuals[-1] > 1e-8 * residuals[0]:
        r = C @ r
        residuals.append(np.linalg.norm(r))
    prior = SORPrior(ARMS, Family("shift", 4.0))
    prior.observe(float(contexts[0]), residuals, 1.0)
    omegas = np.array([prior.factor(c) for c in contexts.tolist()])
    policy = sor_counts(b, contexts, omegas).mean()
    assert 100 * (1 - policy / table.mean(axis=0).min()) == pytest.approx(gain, abs=1.0)


@pytest.mark.parametrize(("omega", "tolerance"), [(1.0, 1e-7), (1.3, 1e-4)])
def test_beta_comes_from_the_residuals_of_a_solve(unshifted: np.ndarray, omega: float, tolerance: float) -> None:
    C, r, residuals = _iteration(omega), unshifted[0], [np.linalg.norm(unshifted[0])]
    while residuals[-1] > 1e-8 * residuals[0]:
        r = C @ r
        residuals.append(np.linalg.norm(r))
    assert beta_from_sor(residuals, omega) == pytest.approx(BETA, abs=tolerance)
    assert beta_from_sor(residuals[:1], omega) is None


def test_beta_is_not_read_beyond_the_best_factor(unshifted: np.ndarray) -> None:
    C, r, residuals = _iteration(1.8), unshifted[0], [np.linalg.norm(unshifted[0])]
    for _ in range(60):
        r = C @ r
        residuals.append(np.linalg.norm(r))
    estimate = beta_from_sor(residuals, 1.8)
    assert estimate is None or 0 <= estimate < 1


@pytest.mark.parametrize(("side", "mu", "nu", "factor"), [(10, 24.69, -0.0035, 1.558), (30, 194.91, -0.0004, 1.816)])
def test_fact_10_the_bound_of_ssor_cg(side: int, mu: float, nu: float, factor: float) -> None:
    A = _laplacian(side)
    lower, diagonal = np.tril(A, -1), np.diag(np.diag(A))
    inverse = np.linalg.inv(A)
    largest = scipy.linalg.eigh(diagonal, A, eigvals_only=True)[-1]
    skew = lower @ np.linalg.solve(diagonal, lower.T) - diagonal / 4
    measured = np.max(np.linalg.eigvals(skew @ inverse).real)
    assert largest == pytest.approx(mu, abs=0.005)
    assert measured == pytest.approx(nu, abs=5e-5)
    assert 2 / (1 + np.sqrt(2 * (1 + 2 * measured) / largest)) == pytest.approx(factor, abs=5e-4)
    assert ssor_factor(largest) == pytest.approx(factor, abs=2e-3)  # what is used: nu = 0


def _cg(A: np.ndarray, b: np.ndarray, M: np.ndarray) -> tuple[list[float], list[float]]:
    """Coefficients r.T z and p.T A p of conjugate gradients."""
    rhos, curvatures = [], []
    r, p = b.copy(), np.zeros_like(b)
    while np.linalg.norm(r) > 1e-10 * np.linalg.norm(b):
        z = M @ r
        rhos.append(float(r @ z))
        p = z + (rhos[-1] / rhos[-2] if len(rhos) > 1 else 0.0) * p
        q = A @ p
        curvatures.append(float(p @ q))
        r = r - rhos[-1] / curvatures[-1] * q
    return rhos, curvatures


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_lambda_comes_from_the_coefficients_of_cg(shift: float) -> None:
    A, b = _laplacian(shift=shift), np.random.default_rng(0).standard_normal(100)
    exact = np.linalg.eigvalsh(A)[0] / (4 + shift)
    assert least_from_cg(*_cg(A, b, np.eye(100)), diagonal=4 + shift) == pytest.approx(exact, rel=1e-6)
    for omega in (1.0, 1.3, 1.6):
        D, L = (4 + shift) * np.eye(100), np.tril(A, -1)
        M = np.linalg.inv((D + omega * L.T) @ np.linalg.inv(D) @ (D + omega * L) / (omega * (2 - omega)))
        estimate = least_from_cg(*_cg(A, b, M), omega=omega)
        assert estimate is not None
        assert estimate >= exact * (1 - 1e-6)  # never below: the family keeps the least
        if omega == 1.0:
            assert ssor_factor(1 / estimate) == pytest.approx(ssor_factor(1 / exact), abs=0.05)
    assert least_from_cg([], []) is None


@pytest.mark.parametrize("kind", ["shift", "scale"])
def test_one_observation_gives_lambda_at_every_context(kind: str) -> None:
    def least(c: float) -> tuple[float, float]:
        A = _laplacian(shift=c) if kind == "shift" else np.eye(100) + c * _laplacian()
        return float(np.linalg.eigvalsh(A)[0] / A[0, 0]), float(A[0, 0])

    family = Family(kind, least(2.0)[1], at=2.0)  # type: ignore[arg-type]
    assert family.least(1.0) is None
    family.observe(2.0, 1.01 * least(2.0)[0])
    family.observe(2.0, least(2.0)[0])  # the lower one is nearer
    for c in (0.5, 1.0, 5.0):
        assert family.least(c) == pytest.approx(least(c)[0], rel=1e-10)
    other = Family(kind, least(2.0)[1], at=2.0)  # type: ignore[arg-type]
    other.restore(family.state())
    assert other.least(1.0) == family.least(1.0)


def test_the_cg_prior_has_its_least_at_the_closed_form() -> None:
    omegas = np.linspace(1.0, 1.99, 500)
    prior = SSORPrior(omegas, Family("shift", 4.0))
    assert prior(0.0) is None
    prior.observe(0.0, None)
    prior.observe(0.0, 1 / 200.0)
    costs = prior(0.0)
    assert costs is not None
    assert omegas[int(costs.argmin())] == pytest.approx(ssor_factor(200.0), abs=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sor_factor(1.0), "beta = 1.0"),
        (lambda: ssor_factor(0.5), "mu = 0.5"),
        (lambda: Family("other", 4.0), "kind = 'other'"),  # type: ignore[arg-type]
        (lambda: Family("shift", -4.0), "diagonal = -4.0"),
        (lambda: Family("scale", 2.0), "above 1 at a positive context"),
        (lambda: SORPrior([2.0], Family("shift", 4.0)), "between 0 and 2"),
        (lambda: SORPrior([1.0], Family("shift", 4.0), rtol=0.0), "rtol = 0.0"),
    ],
)
def test_bad_arguments_are_refused(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=message):
        call()
