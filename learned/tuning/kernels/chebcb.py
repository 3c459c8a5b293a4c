"""Least squares of ChebCB, one an arm, from Gram sums that grow by one outer product a round."""

from __future__ import annotations

from numba import njit

from conjugo.learned.tuning.kernels.tsallis_inf import draw

SWEEPS = 100
"""Most sweeps of coordinate descent where a constraint is active; some ten are usual, from the last coefficients."""


@njit("void(f8,f8[::1])", cache=True, nogil=True)
def chebyshev(z, features):  # type: ignore[no-untyped-def]
    """Set features[j] = T_j(z)."""
    m = features.size
    features[0] = 1.0
    if m > 1:
        features[1] = z
    for j in range(2, m):
        features[j] = 2.0 * z * features[j - 1] - features[j - 2]


@njit("i8(f8,f8[:,::1],f8,f8,f8[::1],f8[::1],f8[::1])", cache=True, nogil=True)
def choose(z, theta, eta, uniform, features, predictions, p):  # type: ignore[no-untyped-def]
    """Set the predictions and p_i = 1 / (arms + eta (y_i - min y)), the rest to the best, and draw an arm."""
    arms, m = theta.shape
    chebyshev(z, features)
    best = 0
    for i in range(arms):
        y = 0.0
        for j in range(m):
            y += theta[i, j] * features[j]
        predictions[i] = y
        if y < predictions[best]:
            best = i
    rest = 1.0
    for i in range(arms):
        p[i] = 1.0 / (arms + eta * (predictions[i] - predictions[best]))
        rest -= p[i]
    p[best] += rest
    return draw(p, uniform)


@njit("f8(f8[:,::1],f8[::1],f8,f8[::1],f8)", cache=True, nogil=True)
def squares(gram, moment, power, theta, ridge):  # type: ignore[no-untyped-def]
    """Return sum (y - theta . features)^2, without the ridge."""
    total = power
    for j in range(theta.size):
        product = 0.0
        for k in range(theta.size):
            product += gram[j, k] * theta[k]
        total += theta[j] * (product - ridge * theta[j] - 2.0 * moment[j])
    return max(total, 0.0)


@njit("void(f8[:,::1],f8[::1],f8[::1],f8)", cache=True, nogil=True)
def descend(gram, moment, theta, bound):  # type: ignore[no-untyped-def]
    """Minimise the sum of squares subject to |theta_0| <= bound, |theta_j| <= 2 bound / j by coordinate descent."""
    m = theta.size
    for _ in range(SWEEPS):
        change = 0.0
        for j in range(m):
            gradient = -moment[j]
            for k in range(m):
                gradient += gram[j, k] * theta[k]
            limit = bound if j == 0 else 2.0 * bound / j
            value = min(limit, max(-limit, theta[j] - gradient / gram[j, j]))
            change = max(change, abs(value - theta[j]))
            theta[j] = value
        if change <= 1e-6 * bound:
            break


@njit("void(f8[:,::1],f8[:,::1],f8[::1],f8[::1],f8[::1],f8)", cache=True, nogil=True)
def fit(gram, inverse, moment, theta, work, bound):  # type: ignore[no-untyped-def]
    """Set theta to the least-squares coefficients; where these leave the box, go on in it from the last ones."""
    m = theta.size
    inside = True
    for j in range(m):
        value = 0.0
        for k in range(m):
            value += inverse[j, k] * moment[k]
        work[j] = value
        inside = inside and abs(value) <= (bound if j == 0 else 2.0 * bound / j)
    if inside:
        theta[:] = work
    else:
        descend(gram, moment, theta, bound)


@njit("void(f8[:,::1],f8[:,::1],f8[::1],f8[::1],f8[::1],f8)", cache=True, nogil=True)
def learn(gram, inverse, moment, work, features, cost):  # type: ignore[no-untyped-def]
    """Add one observation to an arm's sums, and to the inverse of its Gram matrix (Sherman and Morrison)."""
    m = features.size
    scale = 1.0
    for j in range(m):
        value = 0.0
        for k in range(m):
            gram[j, k] += features[j] * features[k]
            value += inverse[j, k] * features[k]
        moment[j] += cost * features[j]
        work[j] = value
        scale += value * features[j]
    for j in range(m):
        for k in range(m):
            inverse[j, k] -= work[j] * work[k] / scale
