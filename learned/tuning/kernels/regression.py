"""Bayesian linear regression that grows by one observation a round: O(m^2) time, O(m^2) memory for ever."""

from __future__ import annotations

from math import cos, pi, sqrt

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
    """Solve R out = z; R is upper triangular, its transpose's columns are the rows of `factor`."""
    m = z.size
    for j in range(m):
        out[j] = z[j]
    for j in range(m - 1, -1, -1):
        total = out[j]
        for k in range(j + 1, m):
            total -= factor[j, k] * out[k]
        out[j] = total / factor[j, j]


@njit("void(f8[:,::1],f8[::1],f8[::1])", cache=True, nogil=True, fastmath={"reassoc", "contract"})
def solve_lower(factor, b, out):  # type: ignore[no-untyped-def]
    """Solve R.T out = b with R upper triangular."""
    m = b.size
    for j in range(m):
        out[j] = b[j]
    for j in range(m):
        out[j] /= factor[j, j]
        value = out[j]
        for k in range(j + 1, m):
            out[k] -= factor[j, k] * value


@njit("void(f8[:,::1],f8[::1])", cache=True, nogil=True, fastmath={"reassoc", "contract"})
def grow(factor, v):  # type: ignore[no-untyped-def]
    """Turn the factor of R.T R into that of R.T R + v v.T by Givens rotations; v is used up."""
    m = v.size
    for j in range(m):
        r = sqrt(factor[j, j] * factor[j, j] + v[j] * v[j])
        c, s = factor[j, j] / r, v[j] / r
        factor[j, j] = r
        for k in range(j + 1, m):
            old = factor[j, k]
            factor[j, k] = c * old + s * v[k]
            v[k] = c * v[k] - s * old


@njit("void(f8[:,::1],f8[::1],f8[::1],f8[::1],f8,f8[::1],f8[::1])", cache=True, nogil=True)
def sample(factor, mean, normal, features, scale, work, weights):  # type: ignore[no-untyped-def]
    """Set weights = features * (mean + scale R^-1 normal): a draw of the posterior, ready for any arm's row."""
    solve_upper(factor, normal, work)
    for j in range(mean.size):
        weights[j] = features[j] * (mean[j] + scale * work[j])


@njit("i8(f8[:,::1],f8[::1],f8[::1],f8[::1])", cache=True, nogil=True)
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


@njit("f8(f8[:,::1],f8[::1],f8[::1],f8[::1],f8[::1],f8,f8[::1])", cache=True, nogil=True)
def learn(factor, mean, row, features, work, y, noise):  # type: ignore[no-untyped-def]
    """Add an observation y at the features row * features; return its squared error over its relative variance.

    `noise` holds the degrees of freedom and the sum of squares of the noise variance's inverse gamma law; `work` is
    room for 3 m numbers.
    """
    m = mean.size
    v, z, gain = work[:m], work[m : 2 * m], work[2 * m :]
    error = y
    for j in range(m):
        v[j] = row[j] * features[j]
        error -= v[j] * mean[j]
    solve_lower(factor, v, z)
    spread = 1.0
    for j in range(m):
        spread += z[j] * z[j]
    solve_upper(factor, z, gain)
    for j in range(m):
        mean[j] += gain[j] * error / spread
    grow(factor, v)
    square = error * error / spread
    noise[0] += 1.0
    noise[1] += square
    return square
