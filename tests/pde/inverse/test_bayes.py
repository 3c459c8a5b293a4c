"""The exact posterior: against dense formulas, limits, and its own samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats

from conjugo.pde.inverse.bases import CosineBasis, SineBasis, TrigonometricBasis
from conjugo.pde.inverse.bayes import GaussianPosterior
from conjugo.pde.inverse.heat import BackwardHeat
from conjugo.pde.inverse.operator import ImageOperator
from conjugo.pde.inverse.sensors import Sensors
from conjugo.pde.inverse.source import Green, SourceToSensors

SHAPE = (6, 5)


class Hidden(ImageOperator):
    """An operator whose `diagonal` nobody sees, so that the dense path is taken."""

    def __init__(self, A: ImageOperator) -> None:
        super().__init__(A.image_shape, A.shape[0])
        self.A = A

    def measure(self, images: Any) -> Any:
        return self.A.measure(images)

    def scatter(self, data: Any) -> Any:
        return self.A.scatter(data)


def spectrum(basis: TrigonometricBasis) -> Any:
    return (basis.laplacian() + 9.0) ** -2 * 1e3


def covariance(basis: TrigonometricBasis, c: Any) -> Any:
    phi = basis.inverse(np.eye(c.size).reshape(-1, *c.shape)).reshape(c.size, -1)
    return phi.T @ (c.reshape(-1, 1) * phi)


OPERATORS: dict[str, Callable[[], Any]] = {
    "sensors": lambda: Sensors(SHAPE, [1, 8, 20, 29]),
    "source": lambda: SourceToSensors(SHAPE, [1, 8, 20, 29]),
    "heat": lambda: BackwardHeat(SHAPE, 0.01),
    "heat, dense": lambda: Hidden(BackwardHeat(SHAPE, 0.01)),
}


@pytest.mark.parametrize(("name", "sigma"), [*((name, 0.05) for name in OPERATORS), ("sensors", 1e-7)])
@pytest.mark.parametrize("kind", [CosineBasis, SineBasis])
def test_everything_equals_the_dense_formulas(name: str, sigma: float, kind: type[TrigonometricBasis]) -> None:
    A = OPERATORS[name]()
    basis = kind(SHAPE)
    c = spectrum(basis)
    rng = np.random.default_rng(0)
    mu = rng.standard_normal(30)
    y = rng.standard_normal((A.shape[0], 2))
    posterior = GaussianPosterior(A, y, sigma, mu, c, basis)

    C, dense = covariance(basis, c), A @ np.eye(30)
    K = dense @ C @ dense.T + sigma**2 * np.eye(len(dense))
    gain = C @ dense.T @ np.linalg.inv(K)
    post = C - gain @ dense @ C
    assert np.allclose(posterior.mean, mu[:, None] + gain @ (y - (dense @ mu)[:, None]), rtol=0, atol=1e-8)
    assert np.allclose(posterior.standard_deviation**2, np.diag(post), rtol=1e-8, atol=1e-10)
    assert np.isclose(posterior.relative_error(), np.sqrt(np.trace(post) / np.trace(C)), rtol=1e-8)
    evidence = scipy.stats.multivariate_normal(dense @ mu, K).logpdf(y.T)
    assert np.allclose(posterior.log_evidence, evidence, rtol=1e-8)

    G = Green(SHAPE)
    L = G @ np.eye(30)
    expected = np.sqrt(np.trace(L @ post @ L) / np.trace(L @ C @ L))
    assert np.isclose(posterior.relative_error(G), expected, rtol=1e-8)

    single = GaussianPosterior(A, y[:, 0], sigma, mu, c, basis)
    assert np.allclose(single.mean, posterior.mean[:, 0], atol=1e-12)
    assert single.log_evidence.shape == ()


@pytest.mark.parametrize("name", ["source", "heat"])
def test_samples_have_the_mean_and_covariance_of_the_posterior(name: str) -> None:
    """4000 samples: means within 5 standard errors, covariances within 10 % of the largest variance."""
    A, basis, count = OPERATORS[name](), CosineBasis(SHAPE), 4000
    posterior = GaussianPosterior(A, np.ones((A.shape[0], 2)), 0.05, 0.3, spectrum(basis), basis)
    drawn = posterior.samples(count, seed=1)
    assert drawn.shape == (count, 30, 2)
    deviation = posterior.standard_deviation
    assert np.all(np.abs(drawn.mean(axis=0) - posterior.mean) < 5 * deviation[:, None] / np.sqrt(count) + 1e-12)
    dense = A @ np.eye(30)
    C = covariance(basis, posterior.spectrum)
    post = C - C @ dense.T @ np.linalg.solve(dense @ C @ dense.T + 0.05**2 * np.eye(len(dense)), dense @ C)
    assert np.abs(np.cov(drawn[:, :, 0].T) - post).max() < 0.1 * deviation.max() ** 2
    # a sample's error is sqrt(2) times the mean's, in expectation over truths that are samples themselves
    gap = np.mean(np.sum((drawn[::2, :, 0] - drawn[1::2, :, 0]) ** 2, axis=1))
    assert np.isclose(gap, 2 * np.sum(deviation**2), rtol=0.1)


def test_a_sample_follows_from_its_own_seed() -> None:
    A, basis = OPERATORS["source"](), CosineBasis(SHAPE)
    posterior = GaussianPosterior(A, np.ones(4), 0.05, 0.0, spectrum(basis), basis)
    all_of_them = posterior.samples(40, seed=2)
    assert np.allclose(all_of_them[35:], posterior.samples(5, seed=2, first=35), rtol=0, atol=1e-13)
    assert posterior.samples(0).shape == (0, 30)


def test_without_noise_the_mean_fits_the_data_and_is_the_limit() -> None:
    basis = CosineBasis(SHAPE)
    for name in ("sensors", "source"):
        A = OPERATORS[name]()
        y = A @ np.random.default_rng(0).standard_normal(30)
        exact = GaussianPosterior(A, y, 0.0, 0.0, spectrum(basis), basis)
        assert np.allclose(A @ exact.mean, y, rtol=1e-9)
        near = GaussianPosterior(A, y, 1e-6, 0.0, spectrum(basis), basis)
        assert np.allclose(near.mean, exact.mean, rtol=0, atol=1e-3)
    heat = GaussianPosterior(BackwardHeat(SHAPE, 1e-3), np.ones(30), 0.0, 0.0, spectrum(basis), basis)
    assert heat.relative_error() < 1e-7


def test_data_that_tell_nothing_leave_the_prior() -> None:
    basis = CosineBasis(SHAPE)
    posterior = GaussianPosterior(OPERATORS["source"](), np.ones(4), 1e9, 2.0, spectrum(basis), basis)
    assert np.allclose(posterior.mean, 2.0, atol=1e-9)
    assert np.isclose(posterior.relative_error(), 1.0, rtol=1e-9)


def test_a_prior_without_a_constant_leaves_the_closed_form_finite() -> None:
    basis = CosineBasis(SHAPE)
    c = spectrum(basis)
    c[0, 0] = 0.0
    for sigma in (0.0, 0.1):
        posterior = GaussianPosterior(BackwardHeat(SHAPE, 0.01), np.ones(30), sigma, 0.0, c, basis)
        assert np.allclose(posterior.mean, 0.0, atol=1e-12)
        assert np.all(np.isfinite(posterior.samples(2)))
        assert np.isfinite(posterior.log_evidence)


def test_channels_are_independent() -> None:
    basis = CosineBasis(SHAPE)
    both = Sensors((2, *SHAPE), [3, 17], channels=[0, 1])
    c = np.stack([spectrum(basis), 2 * spectrum(basis)])
    y = np.array([1.0, 2.0, 3.0, 4.0])
    joint = GaussianPosterior(both, y, 0.1, 0.0, c, basis)
    for channel in (0, 1):
        alone = GaussianPosterior(
            Sensors(SHAPE, [3, 17]), y[2 * channel : 2 * channel + 2], 0.1, 0.0, c[channel], basis
        )
        assert np.allclose(joint.mean.reshape(2, 30)[channel], alone.mean, atol=1e-12)
        assert np.allclose(joint.standard_deviation.reshape(2, 30)[channel], alone.standard_deviation, atol=1e-12)


def test_power_is_the_diagonal_of_the_transformed_covariance() -> None:
    basis, other = CosineBasis(SHAPE), SineBasis(SHAPE)
    c = spectrum(basis)
    C = covariance(basis, c)
    psi = other.forward(np.eye(30).reshape(-1, *SHAPE)).reshape(30, 30).T
    assert np.allclose(basis.power(c).ravel(), np.diag(C), rtol=1e-12)
    assert np.allclose(basis.power(c, other).ravel(), np.diag(psi @ C @ psi.T), rtol=1e-12)
    assert np.allclose(basis.power(np.stack([c, c]))[1], basis.power(c))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y": np.ones(5)}, r"y has shape \(5,\)"),
        ({"y": np.array([1.0, np.nan, 0, 0])}, "NaN"),
        ({"sigma": -1.0}, "sigma = -1.0"),
        ({"covariance_spectrum": np.ones((5, 6))}, r"covariance_spectrum has shape \(5, 6\)"),
        ({"covariance_spectrum": -np.ones(SHAPE)}, "0 or more"),
        ({"covariance_spectrum": np.zeros(SHAPE)}, "not all 0"),
        ({"mean": np.inf}, "mean holds NaN"),
    ],
)
def test_wrong_input_is_refused(changes: dict[str, Any], words: str) -> None:
    basis = CosineBasis(SHAPE)
    arguments: dict[str, Any] = {
        "A": Sensors(SHAPE, [1, 8, 20, 29]),
        "y": np.ones(4),
        "sigma": 0.1,
        "mean": 0.0,
        "covariance_spectrum": spectrum(basis),
        "basis": basis,
    }
    with pytest.raises(ValueError, match=words):
        GaussianPosterior(**(arguments | changes))


def test_other_refusals() -> None:
    basis = CosineBasis(SHAPE)
    posterior = GaussianPosterior(Sensors(SHAPE, [1]), np.ones(1), 0.1, 0.0, spectrum(basis), basis)
    with pytest.raises(ValueError, match="target has no `diagonal`"):
        posterior.relative_error(Sensors(SHAPE, [1]))
    with pytest.raises(ValueError, match="count = -1"):
        posterior.samples(-1)
    wide = CosineBasis((512, 512))
    with pytest.raises(ValueError, match="use fewer data"):
        GaussianPosterior(Hidden(BackwardHeat((512, 512), 0.1)), np.ones(512**2), 0.1, 0.0, np.ones((512, 512)), wide)
