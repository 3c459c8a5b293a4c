"""Weights with which a MultilevelNet is a classical multigrid V-cycle: where its training starts."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

type Place = tuple[int, ...]


def places(d: int) -> list[Place]:
    """Return the positions of the 2^d grid points in a cell of twice the width: the order of the channels."""
    return list(product((0, 1), repeat=d))


def stencil(d: int) -> Tensor:
    """Return the Laplacian (2 d, -1) between the points of neighbouring cells, (2^d, 2^d, 3, ...): to, from, offset.

    Examples
    --------
    >>> stencil(2)[0, :, 1, 1]  # the first point of a cell reads itself and two others of the same cell
    tensor([ 4., -1., -1.,  0.])
    """
    K = 2**d
    S = torch.zeros(K, K, *[3] * d)
    for (i, a), (j, b), o in product(enumerate(places(d)), enumerate(places(d)), product((-1, 0, 1), repeat=d)):
        apart = [abs(2 * o[k] + b[k] - a[k]) for k in range(d)]
        centre = tuple(k + 1 for k in o)
        if sum(apart) == 0:
            S[(i, j, *centre)] = 2.0 * d
        elif sum(apart) == 1:
            S[(i, j, *centre)] = -1.0
    return S


def smoother(d: int) -> tuple[float, float]:
    """Return c0, c1 of Chebyshev's smoother of degree 2 on the upper three quarters of the spectrum.

    1 - s (c0 + c1 s) = T_2((theta - s) / delta) / T_2(theta / delta) on [d, 4 d].
    """
    theta, delta = 2.5 * d, 1.5 * d
    top = 2 * (theta / delta) ** 2 - 1
    return 4 * theta / (delta**2 * top), -2 / (delta**2 * top)


def first_convolution(weight: Tensor, d: int) -> None:
    """Fill W1 of a block: fields 0 to K - 1 become f - S x, and K to 2 K - 1 become x."""
    K, centre = 2**d, (1,) * d
    for k in range(K):
        weight[(k, k, *centre)] += 1.0
        weight[(K + k, K + k, *centre)] += 1.0
    weight[:K, K : 2 * K] -= stencil(d)


def second_convolution(weight: Tensor, d: int) -> None:
    """Fill W2 of a block: x += (c0 + c1 S) (f - S x - e x), the last term from the gated fields."""
    K, centre = 2**d, (1,) * d
    c0, c1 = smoother(d)
    step = c1 * stencil(d)
    for k in range(K):
        step[(k, k, *centre)] += c0
    weight[K : 2 * K, :K] += step
    weight[K : 2 * K, K : 2 * K] -= step


def down_convolution(weight: Tensor, d: int) -> None:
    """Fill the 4-wide convolution: f of the coarse grid is 4 times the mean of f - S x over each cell."""
    K = 2**d
    scale = 4 / K
    cells = stencil(d).sum(0)  # what a cell's sum reads of its neighbours' points
    for i, c in enumerate(places(d)):
        for k in range(K):
            weight[(i, k, *(t + 1 for t in c))] += scale
        for o in product((-1, 0, 1), repeat=d):
            at = tuple(t + 1 + s for t, s in zip(c, o, strict=True))
            for k in range(K):
                weight[(i, K + k, *at)] -= scale * cells[(k, *(s + 1 for s in o))]


def up_convolution(weight: Tensor, d: int) -> None:
    """Fill the 4-wide transposed convolution: x gains the linear interpolation of the coarse x."""
    K = 2**d
    for (i, c), (k, a), o in product(enumerate(places(d)), enumerate(places(d)), product((-1, 0, 1), repeat=d)):
        share = 1.0
        for point, step in zip(a, o, strict=True):
            share *= 0.75 if step == 0 else 0.25 if step == 1 - 2 * point else 0.0
        weight[(K + i, K + k, *(t + 1 + s for t, s in zip(c, o, strict=True)))] += share


def enter_convolution(weight: Tensor, d: int) -> None:
    """Fill the 2-wide convolution from the residual to the points of each cell."""
    for k, a in enumerate(places(d)):
        weight[(k, 0, *a)] += 1.0


def leave_convolution(weight: Tensor, d: int) -> None:
    """Fill the 2-wide transposed convolution from x to the full grid."""
    for k, a in enumerate(places(d)):
        weight[(2**d + k, 0, *a)] += 1.0
