"""The Krylov step is deepinv's `prox_l2` with as many iterations of conjugate gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from conjugo.learned.diffusion.krylov_step import KrylovStep
from conjugo.pde.inverse.operator import ImageOperator, check_measurement


class Wrapped(ImageOperator):
    """A deepinv physics on images (2, h, w), complex data as pairs."""

    def __init__(self, physics: Any, shape: tuple[int, ...], data_shape: tuple[int, ...]) -> None:
        super().__init__(shape, torch.Size(data_shape).numel())
        self.physics, self.data_shape = physics, data_shape

    def measure(self, images: Tensor) -> Tensor:
        return self.physics.A(images).reshape(len(images), -1)  # type: ignore[no-any-return]

    def scatter(self, data: Tensor) -> Tensor:
        return self.physics.A_adjoint(data.reshape(-1, *self.data_shape))  # type: ignore[no-any-return]


@pytest.mark.parametrize("gamma", [0.95, 30.0])
def test_five_iterations_are_those_of_prox_l2(gamma: float) -> None:
    """On multi-coil MRI, batch 3, single precision, to 1e-6 of the image's size."""
    deepinv = pytest.importorskip("deepinv")
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 4, 24, 20, dtype=torch.complex64, generator=generator) / 2
    mask = (torch.rand(1, 1, 1, 20, generator=generator) < 0.4).float().expand(1, 1, 24, 20)
    physics = deepinv.physics.MultiCoilMRI(mask=mask, coil_maps=maps, img_size=(2, 24, 20))
    z = torch.randn(3, 2, 24, 20, generator=generator)
    y = physics.A(torch.randn(3, 2, 24, 20, generator=generator))
    before = physics.max_iter
    theirs = physics.prox_l2(z, y, gamma, solver="CG", max_iter=5, tol=0.0)
    physics.max_iter = before  # prox_l2 overwrites it for good
    A = Wrapped(physics, (2, 24, 20), tuple(y.shape[1:]))
    check_measurement(A, like=z)
    step = KrylovStep(A, gamma=gamma, iterations=5)
    ours = step(z, y.reshape(3, -1), 1.0)
    assert step.applications.total == 3 * 12
    assert float((ours - theirs).abs().max()) < 1e-6 * float(theirs.abs().max())
    one_more = KrylovStep(A, gamma=gamma, iterations=6)(z, y.reshape(3, -1), 1.0)
    assert float((one_more - theirs).abs().max()) > 1e-5 * float(theirs.abs().max())  # the test can tell
