"""Row operations on separable grids whose rows are stored as two halves: even columns, then odd columns.

In a red-black sweep every read and write of a half row has unit stride, which a masked or strided row has not.
"""

from __future__ import annotations

from numba import njit

FAST = {"reassoc", "contract", "nsz", "arcp"}  # fastmath=True would drop NaN
GHOST = 16  # places before and after a half row in the ring buffers; one is used, the rest keeps rows aligned


@njit(fastmath=FAST)
def split(row, even, odd):
    """Even and odd columns of a row."""
    half = row.size // 2
    for k in range(half):
        even[k] = row[2 * k]
        odd[k] = row[2 * k + 1]
    if row.size > 2 * half:
        even[half] = row[2 * half]


@njit(fastmath=FAST)
def join(row, even, odd):
    """Interleave even and odd columns into a row."""
    half = row.size // 2
    for k in range(half):
        row[2 * k] = even[k]
        row[2 * k + 1] = odd[k]
    if row.size > 2 * half:
        row[2 * half] = even[half]


@njit(fastmath=FAST)
def star7(out, b, left, right, north, south, front, back, inv, a, c):
    """out = inv (b - a (left + right) - c0 north - c1 south - c2 front - c3 back)."""
    a, c0, c1, c2, c3 = a * inv, c[0] * inv, c[1] * inv, c[2] * inv, c[3] * inv
    for k in range(out.size):
        near = inv * b[k] - a * (left[k] + right[k])
        out[k] = near - c0 * north[k] - c1 * south[k] - c2 * front[k] - c3 * back[k]


@njit(fastmath=FAST)
def star5(out, b, left, right, north, south, inv, a, c0, c1):
    """out = inv (b - a (left + right) - c0 north - c1 south)."""
    a, c0, c1 = a * inv, c0 * inv, c1 * inv
    for k in range(out.size):
        out[k] = inv * b[k] - a * (left[k] + right[k]) - c0 * north[k] - c1 * south[k]


@njit(fastmath=FAST)
def minus_star7(out, left, right, north, south, front, back, a, c):
    """out = -(a (left + right) + c0 north + c1 south + c2 front + c3 back)."""
    c0, c1, c2, c3 = c
    for k in range(out.size):
        out[k] = -a * (left[k] + right[k]) - c0 * north[k] - c1 * south[k] - c2 * front[k] - c3 * back[k]


@njit(fastmath=FAST)
def minus_star5(out, left, right, north, south, a, c0, c1):
    """out = -(a (left + right) + c0 north + c1 south)."""
    for k in range(out.size):
        out[k] = -a * (left[k] + right[k]) - c0 * north[k] - c1 * south[k]


@njit(fastmath=FAST)
def along(out, left, right, lower, upper):
    """out -= lower left + upper right, the couplings varying along the row."""
    for k in range(out.size):
        out[k] -= lower[k] * left[k] + upper[k] * right[k]


@njit(fastmath=FAST)
def divide(out, diagonal, more):
    """out /= diagonal + more."""
    for k in range(out.size):
        out[k] /= diagonal[k] + more


@njit(fastmath=FAST)
def scale(out, x, a):
    """out = a x."""
    for k in range(out.size):
        out[k] = a * x[k]


@njit(fastmath=FAST)
def combine2(out, x, y, a, b):
    """out = a x + b y."""
    for k in range(out.size):
        out[k] = a * x[k] + b * y[k]


@njit(fastmath=FAST)
def combine4(out, x, y, u, v, a, b, c, d):
    """out = a x + b y + c u + d v."""
    for k in range(out.size):
        out[k] = a * x[k] + b * y[k] + c * u[k] + d * v[k]


@njit(fastmath=FAST)
def add(out, x):
    """out += x."""
    for k in range(out.size):
        out[k] += x[k]


@njit(fastmath=FAST)
def add_scaled(out, x, a):
    """out += a x."""
    for k in range(out.size):
        out[k] += a * x[k]


@njit(fastmath=FAST)
def weigh3(out, x, y, z, a, b, c):
    """out = a x + b y + c z, all of them rows."""
    for k in range(out.size):
        out[k] = a[k] * x[k] + b[k] * y[k] + c[k] * z[k]


@njit(fastmath=FAST)
def interpolate(out, x, left, right, a, b):
    """out = x + a left + b right, all of them rows."""
    for k in range(out.size):
        out[k] = x[k] + a[k] * left[k] + b[k] * right[k]


@njit(fastmath=FAST)
def plus(out, x, y):
    """out = x + y."""
    for k in range(out.size):
        out[k] = x[k] + y[k]
