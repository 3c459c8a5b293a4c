"""Gaussian fields against known covariances, and against the spectrum asked for, mode by mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conjugo.pde import matern_field

COUNT = 4000


def _covariance(fields: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = fields.reshape(len(fields), -1)
    return np.asarray(flat.T @ flat / len(flat))


def _within(found: NDArray[np.float64], exact: NDArray[np.float64], cut: float) -> None:
    """Entries within six standard errors, and `cut` for the modes beyond the grid."""
    deviation = np.sqrt((np.outer(np.diag(exact), np.diag(exact)) + exact**2) / COUNT)
    assert np.all(np.abs(found - exact) < 6 * deviation + cut)


def test_dirichlet_without_tau_is_a_brownian_bridge() -> None:
    n = 31
    x = np.arange(1, n + 1) / (n + 1)
    exact = np.minimum.outer(x, x) - np.outer(x, x)
    found = _covariance(matern_field(n, COUNT, alpha=1.0, tau=0.0, boundary="dirichlet", centring="vertex"))
    _within(found, exact, cut=2 / (np.pi**2 * n))


@pytest.mark.parametrize("centring", ["cell", "vertex"])
def test_neumann_is_the_green_function(centring: Any) -> None:
    n, tau, length, sigma = 24, 2.0, 1.5, 3.0
    x = length * ((np.arange(n) + 0.5) / n if centring == "cell" else np.linspace(0, 1, n))
    low, high = np.minimum.outer(x, x), np.maximum.outer(x, x)
    exact = sigma**2 * np.cosh(tau * low) * np.cosh(tau * (length - high)) / (tau * np.sinh(tau * length))
    found = _covariance(
        matern_field(n, COUNT, alpha=1.0, tau=tau, sigma=sigma, centring=centring, lengths=[length], seed=5)
    )
    _within(found, exact, cut=2 * sigma**2 * length / (np.pi**2 * n))


def test_periodic_is_the_green_function_on_a_circle() -> None:
    n, tau = 24, 4.0
    distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / n
    exact = np.cosh(tau * (0.5 - distance)) / (2 * tau * np.sinh(tau / 2))
    found = _covariance(matern_field(n, COUNT, alpha=1.0, tau=tau, boundary="periodic", seed=2))
    _within(found, exact, cut=2 / (np.pi**2 * n))


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet", "periodic"])
@pytest.mark.parametrize("centring", ["cell", "vertex"])
def test_the_variance_of_every_mode(boundary: Any, centring: Any) -> None:
    """Projections on the eigenfunctions, written out, over 400 fields: each a chi-squared variable with 400 degrees."""
    shape, lengths, count = (9, 12), (1.0, 2.0), 400
    fields = matern_field(shape, count, alpha=2.0, tau=3.0, sigma=0.7, boundary=boundary, centring=centring,
                          lengths=lengths, seed=1)  # fmt: skip
    bases, squares = [], []
    for n, length in zip(shape, lengths, strict=True):
        if boundary == "periodic":
            k = np.r_[0, np.repeat(np.arange(1, (n + 1) // 2), 2), [n // 2] * (n % 2 == 0)]
            x = np.arange(n) / n
            pair = [np.cos if i % 2 else np.sin for i in range(n)]
            pair[-1] = np.cos if n % 2 == 0 else pair[-1]
            modes = np.stack([g(2 * np.pi * j * x) * 2**0.5 for g, j in zip(pair, k, strict=True)])
            modes[0] = 1.0
            if n % 2 == 0:
                modes[-1] = np.cos(np.pi * np.arange(n))
            squares.append((2 * np.pi * k / length) ** 2)
        else:
            k = np.arange(n) + (boundary == "dirichlet")
            inside = (np.arange(n) + 1) / (n + 1) if boundary == "dirichlet" else np.linspace(0, 1, n)
            x = (np.arange(n) + 0.5) / n if centring == "cell" else inside
            modes = 2**0.5 * (np.sin if boundary == "dirichlet" else np.cos)(np.pi * np.outer(k, x))
            if boundary == "neumann":
                modes[0] = 1.0
            squares.append((np.pi * k / length) ** 2)
        bases.append(modes / length**0.5)
    coefficients = np.einsum("nij,ik,jl->nkl", fields, *(np.linalg.inv(basis) for basis in bases))
    exact = 0.49 * (squares[0][:, None] + squares[1] + 9.0) ** -2.0
    ratio = np.mean(coefficients**2, axis=0) / exact
    assert np.all(np.abs(ratio - 1) < 5 * (2 / count) ** 0.5), ratio
    assert abs(ratio.mean() - 1) < 5 * (2 / count / ratio.size) ** 0.5


def test_neumann_fields_do_not_know_where_they_are_looked_at() -> None:
    options: dict[str, Any] = {"alpha": 3.0, "tau": 3.0, "zero_mean": True, "seed": 4}
    nodes, centres = (matern_field(65, 3, centring=centring, **options) for centring in ("vertex", "cell"))
    from_nodes = np.stack([np.interp((np.arange(65) + 0.5) / 65, np.linspace(0, 1, 65), field) for field in nodes])
    assert np.abs(from_nodes - centres).max() < 0.02 * np.abs(centres).max()
    assert np.abs(centres.mean(axis=1)).max() < 1e-12


def test_fields_depend_on_seed_and_number_alone() -> None:
    options: dict[str, Any] = {"alpha": 2.0, "tau": 1.0}
    together = matern_field((8, 9), 5, seed=3, **options)
    np.testing.assert_array_equal(together[3:], matern_field((8, 9), 2, seed=3, first=3, **options))
    assert not np.allclose(together[0], matern_field((8, 9), seed=4, **options)[0])
    assert matern_field((8, 9), 0, **options).shape == (0, 8, 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 0.0}, "infinite variance"),
        ({"tau": -1.0}, "tau = -1.0"),
        ({"alpha": np.nan}, "expected finite numbers"),
        ({"boundary": "open"}, "boundary = 'open'"),
        ({"centring": "face"}, "centring = 'face'"),
        ({"lengths": [1.0]}, "expected 2 positive side lengths"),
        ({"first": -1}, "first = -1"),
        ({"shape": (1, 4)}, "at least 2 points"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        matern_field(**({"shape": (4, 4), "alpha": 2.0, "tau": 1.0} | options))
