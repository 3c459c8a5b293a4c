"""How good samples of a posterior are: not only near the truth, but as far from it as they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Values = NDArray[np.float64]

LEVELS = (0.5, 0.8, 0.95)
"""Central intervals that are looked at."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What `summary` found; errors and spread are root mean squares over all values.

    Parameters
    ----------
    mean_error : float
        Of the mean of the samples.
    sample_error : float
        Of one sample.
    spread : float
        Standard deviation of the samples.
    spread_error : float
        Spread over error of the mean, 1 for a right posterior.
    coverage : dict
        Share of values inside the samples' central interval, for each of its levels.
    mean_map_error, deviation_map_error : float or None
        Relative distance of the samples' mean and standard deviation from exact ones, where these were given.
    """

    mean_error: float
    sample_error: float
    spread: float
    spread_error: float
    coverage: dict[float, float]
    mean_map_error: float | None = None
    deviation_map_error: float | None = None


def coverage(samples: ArrayLike, truth: ArrayLike, levels: Sequence[float] = LEVELS) -> dict[float, float]:
    """Return the share of true values inside the central intervals of the samples.

    Parameters
    ----------
    samples : (K, ...) array
        K >= 2 samples.
    truth : (...) array
        What they should surround.
    levels : sequence of float
        Probabilities of the intervals, in (0, 1).

    Returns
    -------
    dict
        level: share. A right posterior has shares equal to the levels.

    Raises
    ------
    ValueError
        For shapes that do not fit, or levels outside (0, 1).

    Notes
    -----
    If truth and samples have one law, the truth's rank among K samples is uniform: it lies between the j-th smallest
    and the j-th largest with probability 1 - 2 j / (K + 1). Quantiles are taken accordingly, so no K is favoured;
    between the extremes of K samples lie 1 - 2 / (K + 1), and no wider interval is known: 95 % take 39 samples.

    References
    ----------
    S. Talts et al., Validating Bayesian inference algorithms with simulation-based calibration, arXiv:1804.06788
    (2018), theorem 1.

    Examples
    --------
    >>> coverage(np.linspace(-1, 1, 39)[:, None], np.array([0.0]), levels=[0.5])
    {0.5: 1.0}
    """
    drawn, true = _checked(samples, truth)
    if not all(0 < level < 1 for level in levels):
        raise ValueError(f"levels = {list(levels)}: expected probabilities between 0 and 1")
    inside = {}
    for level in levels:
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
        inside[float(level)] = float(np.mean((low <= true) & (true <= high)))
    return inside


def spread_error(samples: ArrayLike, truth: ArrayLike) -> float:
    """Return the samples' standard deviation over the error of their mean: 1 for a right posterior, 0 for one point.

    Notes
    -----
    sqrt((1 + 1/K) mean variance) / ||mean - truth||_rms, variances with K - 1: numerator and denominator have equal
    squares in expectation where truth and samples have one law.

    References
    ----------
    V. Fortin et al., Why should ensemble spread match the RMSE of the ensemble mean?, J. Hydrometeorology 15 (2014),
    1708-1713.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> round(spread_error(rng.standard_normal((20, 1000)), rng.standard_normal(1000)), 1)
    1.0
    """
    drawn, true = _checked(samples, truth)
    K = len(drawn)
    error = _rms(drawn.mean(axis=0) - true)
    spread = math.sqrt((1 + 1 / K) * float(drawn.var(axis=0, ddof=1).mean()))
    return spread / error if error > 0 else math.inf


def summary(
    samples: ArrayLike, truth: ArrayLike, *, mean: ArrayLike | None = None, deviation: ArrayLike | None = None,
    levels: Sequence[float] = LEVELS,
) -> Quality:  # fmt: skip
    """Judge samples by the truth and, where they are known, by the exact mean and standard deviation.

    Parameters
    ----------
    samples : (K, ...) array
        K >= 2 samples.
    truth : (...) array
    mean, deviation : (...) array, optional
        Of the exact posterior.
    levels : sequence of float
        As for `coverage`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = summary(rng.standard_normal((50, 1000)), rng.standard_normal(1000), mean=np.zeros(1000), deviation=1.0)
    >>> round(found.sample_error / found.mean_error, 1), found.deviation_map_error < 0.2
    (1.4, True)
    """
    drawn, true = _checked(samples, truth)
    centre, spread = drawn.mean(axis=0), drawn.std(axis=0, ddof=1)
    gaps: list[float | None] = []
    for found, exact in ((centre, mean), (spread, deviation)):
        if exact is None:
            gaps.append(None)
            continue
        known = np.broadcast_to(np.asarray(exact, dtype=np.float64), true.shape)
        size = _rms(known)
        gaps.append(_rms(found - known) / size if size else math.nan)
    return Quality(
        mean_error=_rms(centre - true),
        sample_error=_rms(drawn - true),
        spread=_rms(spread),
        spread_error=spread_error(drawn, true),
        coverage=coverage(drawn, true, levels),
        mean_map_error=gaps[0],
        deviation_map_error=gaps[1],
    )


def _rms(x: Values) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def _checked(samples: ArrayLike, truth: ArrayLike) -> tuple[Values, Values]:
    drawn, true = np.asarray(samples, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if drawn.ndim < 1 or drawn.shape[1:] != true.shape or len(drawn) < 2:
        raise ValueError(f"samples and truth have shapes {drawn.shape} and {true.shape}: expected (K, ...) and (...), "
                         "K at least 2")  # fmt: skip
    return drawn, true
