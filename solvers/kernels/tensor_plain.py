"""Plain passes on separable grids in natural order: residual, sweeps, transfers and the coarsest solve.

They serve what the fused passes do not: Chebyshev smoothing, several sweeps, axes that close after an odd number of
nodes, and the defect corrections of W and F cycles.
"""

from __future__ import annotations

from numba import njit

from conjugo.solvers.kernels import tensor_rows as rows
from conjugo.solvers.kernels.tensor_rows import INLINE


@njit(**INLINE)
def base_diagonal(i, r, coef, g):  # type: ignore[no-untyped-def]
    """Diagonal of row (i, r) without the part of the last axis."""
    return coef[g[19] + 2] + coef[g[16] + g[0] + i] + coef[g[17] + g[1] + r]


@njit(**INLINE)
def _neighbours(i, r, g):  # type: ignore[no-untyped-def]
    """Where the four neighbouring rows start, closed periodically (where an axis is open the coupling is zero)."""
    n0, n1, n2 = g[0], g[1], g[2]
    north, south = (i * n1 + (r - 1) % n1) * n2, (i * n1 + (r + 1) % n1) * n2
    front, back = (((i - 1) % n0) * n1 + r) * n2, (((i + 1) % n0) * n1 + r) * n2
    return north, south, front, back


@njit(**INLINE)
def _product_row(y, x, sign, b, i, r, coef, g):  # type: ignore[no-untyped-def]
    """y = b + sign A x in row (i, r), row-scaled; y may be b itself."""
    n0, n1, n2 = g[0], g[1], g[2]
    at, base = (i * n1 + r) * n2, base_diagonal(i, r, coef, g)
    low, diag, up = g[13], g[13] + n2, g[13] + 2 * n2
    north, south, front, back = _neighbours(i, r, g)
    c0, c1 = sign * coef[g[17] + r], sign * coef[g[17] + 2 * n1 + r]
    c2, c3 = sign * coef[g[16] + i], sign * coef[g[16] + 2 * n0 + i]
    rows.add4(y, at, b, x, north, south, front, back, n2, c0, c1, c2, c3)
    rows.add_tridiagonal(y, at, x, at, n2, sign, base, coef, low, diag, up)
    y[at] += sign * coef[low] * x[at + n2 - 1]
    y[at + n2 - 1] += sign * coef[up + n2 - 1] * x[at]


@njit(**INLINE)
def residual(out, b, x, coef, g):  # type: ignore[no-untyped-def]
    """out = b - A x in row-scaled form; out may be b."""
    for i in range(g[0]):
        for r in range(g[1]):
            _product_row(out, x, -coef[g[19] + 3], b, i, r, coef, g)


@njit(**INLINE)
def jacobi_step(x, d, r, a, c, coef, g):  # type: ignore[no-untyped-def]
    """d = a d + c r / diagonal; x += d."""
    n1, n2 = g[1], g[2]
    diag = coef[g[13] + n2 : g[13] + 2 * n2]
    for i in range(g[0]):
        for q in range(n1):
            at, base = (i * n1 + q) * n2, base_diagonal(i, q, coef, g)
            y, step, rest = x[at : at + n2], d[at : at + n2], r[at : at + n2]
            for k in range(n2):
                step[k] = a * step[k] + c * rest[k] / (base + diag[k])
                y[k] += step[k]


@njit(**INLINE)
def relax_colour(x, b, colour, coef, g):  # type: ignore[no-untyped-def]
    """Gauss-Seidel at the nodes of one colour, in place."""
    n0, n1, n2 = g[0], g[1], g[2]
    low, diag, up = g[13], g[13] + n2, g[13] + 2 * n2
    for i in range(n0):
        for r in range(n1):
            at, base = (i * n1 + r) * n2, base_diagonal(i, r, coef, g)
            north, south, front, back = _neighbours(i, r, g)
            line, rhs = x[at : at + n2], b[at : at + n2]
            c0, c1 = coef[g[17] + r], coef[g[17] + 2 * n1 + r]
            c2, c3 = coef[g[16] + i], coef[g[16] + 2 * n0 + i]
            for k in range((i + r + colour) % 2, n2, 2):
                value = rhs[k] - c0 * x[north + k] - c1 * x[south + k] - c2 * x[front + k] - c3 * x[back + k]
                left, right = line[k - 1 if k > 0 else n2 - 1], line[k + 1 if k < n2 - 1 else 0]
                line[k] = (value - coef[low + k] * left - coef[up + k] * right) / (base + coef[diag + k])


@njit(**INLINE)
def smooth(x, b, d, r, sweeps, kind, reverse, coef, g):  # type: ignore[no-untyped-def]
    """Smooth x: Chebyshev-Jacobi of degree 2 a sweep (kind 1), or red-black Gauss-Seidel (kind 0)."""
    if kind == 0:
        for _ in range(sweeps):
            relax_colour(x, b, 1 if reverse else 0, coef, g)
            relax_colour(x, b, 0 if reverse else 1, coef, g)
        return
    lo, hi = coef[g[19] + 5], coef[g[19] + 6]  # the interval of the spectrum of D^-1 A to damp
    half = coef[g[19] + 7]
    theta, delta = half * (hi + lo), half * (hi - lo)
    one = coef[g[19] + 3]
    rho, a, c = delta / theta, coef[g[19] + 4], one / theta
    for _ in range(2 * sweeps):
        residual(r, b, x, coef, g)
        jacobi_step(x, d, r, a, c, coef, g)
        fresh = one / ((theta + theta) / delta - rho)
        a, c = fresh * rho, (fresh + fresh) / delta
        rho = fresh


@njit(**INLINE)
def _restrict_axis(source, n, J, s, coef, start, m):  # type: ignore[no-untyped-def]
    """The fine rows of coarse row J and their weights along one outer axis."""
    if s < 0:
        return J, J, J, coef[source + 4], coef[source + 3], coef[source + 4]
    c = 2 * J + s
    return (c - 1) % n, c, (c + 1) % n, coef[start + J], coef[start + m + J], coef[start + 2 * m + J]


@njit(**INLINE)
def restrict(out, r, line, coef, g):  # type: ignore[no-untyped-def]
    """out = R r; `line` has room for a fine row."""
    n0, n1, n2, m0, m1, m2, s2 = g[0], g[1], g[2], g[3], g[4], g[5], g[8]
    start = g[25]
    for J in range(m0):
        p = _restrict_axis(g[19], n0, J, g[6], coef, g[23], m0)
        for K in range(m1):
            q = _restrict_axis(g[19], n1, K, g[7], coef, g[24], m1)
            line[:n2] = 0
            for u in range(3):
                for v in range(3):
                    weight = (p[3], p[4], p[5])[u] * (q[3], q[4], q[5])[v]
                    at = ((p[0], p[1], p[2])[u] * n1 + (q[0], q[1], q[2])[v]) * n2
                    if weight != 0:
                        rows.add_scaled(line[:n2], r[at : at + n2], weight)
            y = out[(J * m1 + K) * m2 : (J * m1 + K + 1) * m2]
            if s2 < 0:
                y[:] = line[:n2]
                continue
            for L in range(m2):
                c = 2 * L + s2
                y[L] = coef[start + L] * line[(c - 1) % n2] + coef[start + m2 + L] * line[c]
                y[L] += coef[start + 2 * m2 + L] * line[(c + 1) % n2]


@njit(**INLINE)
def prolong_add(z, e, line, coef, g):  # type: ignore[no-untyped-def]
    """z += P e; `line` has room for a coarse row."""
    n0, n1, n2, m0, m1, m2, s2 = g[0], g[1], g[2], g[3], g[4], g[5], g[8]
    p, q = g[22], g[22] + n2 - m2
    for i in range(n0):
        J0, K0, a, b = parents(i, m0, g[6], coef, g[20], n0)
        for r in range(n1):
            J1, K1, c, d = parents(r, m1, g[7], coef, g[21], n1)
            line[:m2] = 0
            for J, u in ((J0, a), (K0, b)):
                for K, v in ((J1, c), (K1, d)):
                    at = (J * m1 + K) * m2
                    if u * v != 0:
                        rows.add_scaled(line[:m2], e[at : at + m2], u * v)
            y = z[(i * n1 + r) * n2 : (i * n1 + r + 1) * n2]
            if s2 < 0:
                rows.add(y, line[:n2])
                continue
            for L in range(m2):
                y[2 * L + s2] += line[L]
            for k in range(n2 - m2):
                left = (k - s2) % m2
                y[2 * k + 1 - s2] += coef[p + k] * line[left] + coef[q + k] * line[(left + 1) % m2]


@njit(**INLINE)
def parents(i, m, s, coef, start, n):  # type: ignore[no-untyped-def]
    """The two coarse nodes between which fine node i lies, and their weights."""
    if s < 0:
        return i, i, coef[start], coef[start + 1]
    if ((i - s) & 1) == 0:
        J = (i - s) >> 1
        return J, J, coef[start], coef[start + 1]
    J = (i - s - 1) >> 1
    # a division costs as much as ten unknowns
    return J if J >= 0 else m - 1, J + 1 if J + 1 < m else 0, coef[start + 2 + i], coef[start + 2 + n + i]


@njit(**INLINE)
def _transform(out, x, Q, outer, n, inner):  # type: ignore[no-untyped-def]
    """out[o, a, i] = sum_b Q[a, b] x[o, b, i] on flat arrays."""
    out[: outer * n * inner] = 0
    for o in range(outer):
        for a in range(n):
            to = (o * n + a) * inner
            for b in range(n):
                at = (o * n + b) * inner
                rows.add_scaled(out[to : to + inner], x[at : at + inner], Q[a * n + b])


@njit(**INLINE)
def _transform_all(z, b, t, start, coef, g):  # type: ignore[no-untyped-def]
    """t = (Q_0 x Q_1 x Q_2) b with z as room; the matrices follow each other in `coef` from `start`."""
    n0, n1, n2 = g[0], g[1], g[2]
    _transform(t, b, coef[start : start + n0 * n0], 1, n0, n1 * n2)
    start += n0 * n0
    _transform(z, t, coef[start : start + n1 * n1], n0, n1, n2)
    start += n1 * n1
    _transform(t, z, coef[start : start + n2 * n2], n0 * n1, n2, 1)


@njit(**INLINE)
def solve_coarsest(z, b, t, coef, g):  # type: ignore[no-untyped-def]
    """z = A^+ b by the eigenvectors of each axis; `t` has the size of z."""
    squares = g[0] * g[0] + g[1] * g[1] + g[2] * g[2]
    size, start = g[0] * g[1] * g[2], g[14]
    _transform_all(z, b, t, start, coef, g)
    for k in range(size):
        t[k] *= coef[start + 2 * squares + k]
    room = coef[start + 2 * squares + size : start + 2 * squares + 2 * size]
    room[:] = t[:size]
    _transform_all(z, room, t, start + squares, coef, g)
    z[:size] = t[:size]
