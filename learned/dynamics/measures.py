"""How good a forecast, and an eigenvalue, is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def nrmse(
    prediction: NDArray[np.float64], truth: NDArray[np.float64], steps: int | Sequence[int]
) -> NDArray[np.float64]:
    """Pooled, normalised root mean square error after some steps.

    Parameters
    ----------
    prediction, truth : (N, horizon + 1, ...) arrays
        Forecasts and what happened; index 0 of the second axis is the initial state.
    steps : int or sequence of int
        Steps after the initial state.

    Returns
    -------
    array shaped like `steps`
        Not finite where a forecast is not.

    Raises
    ------
    ValueError
        For different shapes, and steps beyond the horizon.

    Notes
    -----
    sqrt(sum |x^ - x|^2 / sum |x|^2), both sums over all trajectories: zero is perfect, and the forecast x^ = 0 gets 1.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.ones((3, 5, 2))
    >>> nrmse(1.1 * truth, truth, [1, 4]).round(3).tolist()
    [0.1, 0.1]
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction has shape {prediction.shape}: expected {truth.shape}, as the truth")
    places = np.asarray(steps)
    horizon = truth.shape[1] - 1
    if places.size and (places.min() < 0 or places.max() > horizon):
        raise ValueError(f"steps = {steps}: expected steps between 0 and {horizon}")
    pooled = (0, *range(2, truth.ndim))
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.sum((prediction - truth) ** 2, axis=pooled)
        result: NDArray[np.float64] = np.sqrt(errors / np.sum(truth**2, axis=pooled))
    return result[places]


def wrong_basin(prediction: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Share of trajectories whose last first component has the wrong sign: the Duffing equation's wrong basin.

    Parameters
    ----------
    prediction, truth : (N, horizon + 1, n) arrays
        Forecasts and what happened, long enough that every trajectory has settled in one well.

    Returns
    -------
    float
        Between 0 and 1; a forecast that is not finite counts as wrong.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array([[[0.1, 0.0], [1.0, 0.0]], [[0.2, 0.0], [-1.0, 0.0]]])
    >>> wrong_basin(np.abs(truth), truth)
    0.5
    """
    return float(np.mean(np.sign(prediction[:, -1, 0]) != np.sign(truth[:, -1, 0])))


def nearest(values: NDArray[np.complex128], target: complex) -> int:
    """Index of the value nearest to a known one.

    Parameters
    ----------
    values : (d,) array of complex
        Eigenvalues or exponents of a model.
    target : complex
        What theory says.

    Returns
    -------
    int
        Its index. A large model has many eigenvalues, so one of them is near by chance: read its residual too
        (`resdmd_residuals`).

    Examples
    --------
    >>> import numpy as np
    >>> nearest(np.array([0.0, -0.2 + 1.4j, -0.2 - 1.4j]), -0.25 + 1.392j)
    1
    """
    return int(np.argmin(np.abs(values - target)))
