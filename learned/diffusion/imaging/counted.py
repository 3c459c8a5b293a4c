"""A measurement and a denoiser as deepinv's methods want them, in units of choice, with every call counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

type Denoise = Callable[[Tensor, float], Tensor]
"""E[x0 | x0 + sigma n = x] for x of shape (B, *shape) and a standard deviation sigma."""


@dataclass(slots=True)
class Counts:
    """Calls since the start: passes of the network, passes back through it, and products with A or its adjoint."""

    evaluations: int = 0
    backward: int = 0
    forward_products: int = 0
    adjoint_products: int = 0

    @property
    def applications(self) -> int:
        """Products with A and with its adjoint."""
        return self.forward_products + self.adjoint_products


class CountedProblem:
    """y = A x + noise with a denoiser, as deepinv has it, in units u with x = offset + scale u.

    Parameters
    ----------
    A : measurement
        Linear and real, with `shape`, `image_shape`, `@` on (n, k) blocks and the adjoint `H`.
    denoiser : callable, optional
        (x (B, *image_shape), sigma) to the conditional mean; None for methods without a network.
    sigma : float
        Standard deviation of the noise in y.
    offset, scale : float
        Units: deepinv's samplers suppose images of about unit variance, or images in [0, 1].

    Attributes
    ----------
    physics : deepinv.physics.LinearPhysics
        Images (B, C, h, w) to measurements (B, m), with `GaussianNoise` of the standard deviation in these units.
    counts : Counts
        What was called since this object was made, by the batch.

    Raises
    ------
    ImportError
        Without deepinv.

    Notes
    -----
    deepinv keeps what `prox_l2` was given last (`max_iter`, `tol`, `solver`) in the physics: here each run makes a
    physics of its own. Derivatives of A are taken by its adjoint, so A need not be differentiable itself.
    """

    def __init__(
        self, A: Any, denoiser: Denoise | None, sigma: float, *, offset: float = 0.0, scale: float = 1.0
    ) -> None:
        self.A, self.inner, self.sigma = A, denoiser, sigma
        self.offset, self.scale = offset, scale
        self.counts = Counts()
        shape = tuple(A.image_shape)
        self.image_shape = shape if len(shape) == 3 else (1, *shape)
        dinv = import_module("deepinv.physics")
        self.physics = dinv.LinearPhysics(
            A=self._forward, A_adjoint=self._adjoint, noise_model=dinv.GaussianNoise(sigma / scale)
        )

    def data(self, y: Tensor) -> Tensor:
        """Take measurements (B, m) to these units."""
        if self.offset == 0.0:
            return y / self.scale
        constant = torch.full((self.A.shape[1], 1), self.offset, dtype=y.dtype, device=y.device)
        self.counts.forward_products += 1
        shift: Tensor = self.A @ constant
        return (y - shift.T) / self.scale

    def image(self, u: Tensor) -> Tensor:
        """Take an image from these units back, to the measurement's own shape."""
        return (self.offset + self.scale * u).reshape(len(u), *self.A.image_shape)

    def denoiser(self, u: Tensor, sigma: Tensor | float, *args: Any, **kwargs: Any) -> Tensor:
        """Denoise an image (B, C, h, w) in these units; all of the batch have one sigma."""
        if self.inner is None:
            raise ValueError("no denoiser was given: this method needs one")
        level = float(sigma.flatten()[0]) if isinstance(sigma, Tensor) else float(sigma)
        self.counts.evaluations += 1
        x = self.offset + self.scale * _Tap.apply(u, self.counts)
        found: Tensor = self.inner(x.reshape(len(u), *self.A.image_shape), self.scale * level)
        return ((found - self.offset) / self.scale).reshape(u.shape)

    def _forward(self, u: Tensor, **kwargs: Any) -> Tensor:
        product: Tensor = _Product.apply(u.reshape(len(u), -1), self.A, self.counts, False)
        return product

    def _adjoint(self, v: Tensor, **kwargs: Any) -> Tensor:
        product: Tensor = _Product.apply(v, self.A, self.counts, True)
        return product.reshape(len(v), *self.image_shape)


class _Product(torch.autograd.Function):
    """Rows of x times A, or times its adjoint; the derivative is the other of the two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, A: Any, counts: Counts, adjoint: bool) -> Tensor:
        ctx.A, ctx.counts, ctx.adjoint = A, counts, adjoint
        return _multiply(x, A, counts, adjoint)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return _multiply(grads[0], ctx.A, ctx.counts, not ctx.adjoint), None, None, None


class _Tap(torch.autograd.Function):
    """The identity, which counts the passes back through it."""

    @staticmethod
    def forward(x: Tensor, counts: Counts) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Counts], output: Tensor) -> None:
        ctx.counts = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        ctx.counts.backward += 1
        return grads[0], None


def _multiply(x: Tensor, A: Any, counts: Counts, adjoint: bool) -> Tensor:
    if adjoint:
        counts.adjoint_products += 1
    else:
        counts.forward_products += 1
    operator = A.H if adjoint else A
    product: Tensor = operator @ x.T.contiguous()
    return product.T
