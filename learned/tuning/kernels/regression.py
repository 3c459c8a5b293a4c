"""Bayesian linear regression that grows by one observation a round: O(m^2) time, O(m^2) memory for ever.

The posterior of the weights has the mean R^-1 target and the covariance (R.T R)^-1 in units of the noise's variance, R
an upper triangle in the array `factor`.
"""

from __future__ import annotations

from math import cos, inf, log, pi, sqrt

from numba import njit


@njit("void(f8[:,::1],f8[::1],f8[::1])", cache=True, nogil=True)
def cosines(frequencies, x, out):  # type: ignore[no-untyped-def]
    """Set out[j] = prod_i cos(pi frequencies[j, i] x_i)."""
    for j in range(out.size):
        value = 1.0
        for i in range(x.size):
            if frequencies[j, i] != 0.0:
                value *= cos(pi * frequencies[j, i] * x[i])
        out[j] = value


@njit("void(f8[:,::1],f8[::1],f8[::1])", cache=True, nogil=True, fastmath={"reassoc", "contract"})
def solve_upper(factor, z, out):  # type: ignore[no-untyped-def]
    """Solve R out = z."""
    m = z.size
    for j in range(m):
        out[j] = z[j]
    for j in range(m - 1, -1, -1):
        total = out[j]
        for k in range(j + 1, m):
            total -= factor[j, k] * out[k]
        out[j] = total / factor[j, j]


@njit("void(f8[:,::1],f8[::1],f8[::1],f8[::1],f8,f8[::1],f8[::1])", cache=True, nogil=True)
def sample(factor, target, normal, features, scale, work, weights):  # type: ignore[no-untyped-def]
    """Set weights = features * R^-1 (target + scale normal): a draw of the posterior, ready for any arm's row."""
    m = target.size
    for j in range(m):
        weights[j] = target[j] + scale * normal[j]
    solve_upper(factor, weights, work)
    for j in range(m):
        weights[j] = features[j] * work[j]


@njit("i8(f8[::1],i8[::1],f8[::1])", cache=True, nogil=True)
def logarithms(costs, members, out):  # type: ignore[no-untyped-def]
    """Set out = log(costs[members]) and return 0; 1 where one is NaN, 2 where one is not positive and finite."""
    for i in range(out.size):
        cost = costs[members[i]]
        if cost != cost:
            return 1
        if not (cost > 0.0 and cost < inf):
            return 2
        out[i] = log(cost)
    return 0


@njit("i8(f8[:,::1],f8[::1],f8[::1],f8[::1])", cache=True, nogil=True, fastmath={"reassoc", "contract"})
def cheapest(table, weights, offsets, values):  # type: ignore[no-untyped-def]
    """Set values = offsets + table @ weights and return the index of the least."""
    best = 0
    for i in range(values.size):
        y = offsets[i]
        for j in range(weights.size):
            y += table[i, j] * weights[j]
        values[i] = y
        if y < values[best]:
            best = i
    return best


@njit(
    "f8(f8[:,::1],f8[::1],f8[:,::1],i8,f8[::1],f8[::1],f8,f8[::1])",
    cache=True,
    nogil=True,
    fastmath={"reassoc", "contract"},
)
def learn(factor, target, table, arm, features, v, y, noise):  # type: ignore[no-untyped-def]
    """Add an observation y at the features table[arm] * features; return its squared error over its relative variance.

    Givens rotations turn [R target; v y] into a new [R target; 0 rest]: rest^2 is the squared error of the prediction,
    divided by 1 + v.T (R.T R)^-1 v. `noise` holds the degrees of freedom and the sum of squares of the noise variance's
    inverse gamma law; `v` is room for m numbers.
    """
    m = target.size
    for j in range(m):
        v[j] = table[arm, j] * features[j]
    for j in range(m):
        r = sqrt(factor[j, j] * factor[j, j] + v[j] * v[j])
        inverse = 1.0 / r
        c, s = factor[j, j] * inverse, v[j] * inverse
        factor[j, j] = r
        for k in range(j + 1, m):
            old = factor[j, k]
            factor[j, k] = c * old + s * v[k]
            v[k] = c * v[k] - s * old
        old = target[j]
        target[j] = c * old + s * y
        y = c * y - s * old
    square = y * y
    noise[0] += 1.0
    noise[1] += square
    return square
