"""Every measurement: its adjoint to rounding in both libraries, blocks equal to vectors, torch equal to NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conjugo.pde.inverse.blur import GaussianBlur, KernelBlur
from conjugo.pde.inverse.heat import BackwardHeat
from conjugo.pde.inverse.operator import adjoint_mismatch, check_measurement
from conjugo.pde.inverse.sensors import Sensors
from conjugo.pde.inverse.source import Green, SourceToSensors

torch = pytest.importorskip("torch")

NODES = [0, 7, 31, 100, 149]
KERNEL = np.random.default_rng(0).random((3, 4))
OPERATORS: dict[str, Callable[[], Any]] = {
    "sensors": lambda: Sensors((10, 15), NODES),
    "channels": lambda: Sensors((2, 10, 15), NODES, channels=[0, 1]),
    "one of two channels": lambda: Sensors((2, 10, 15), NODES, channels=[1]),
    "green": lambda: Green((10, 15)),
    "source": lambda: SourceToSensors((10, 15), NODES),
    "helmholtz": lambda: SourceToSensors((10, 15), NODES, wavenumber=9.0),
    "heat": lambda: BackwardHeat((10, 15), 1e-3),
    "heat in 3-D": lambda: BackwardHeat((4, 5, 6), 1e-2),
    "gaussian blur": lambda: GaussianBlur((10, 15), 1.2),
    "kernel blur": lambda: KernelBlur((10, 15), KERNEL),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_adjoints_pass_the_dot_test_to_rounding(name: str) -> None:
    A = OPERATORS[name]()
    assert adjoint_mismatch(A) < 1e-12
    assert adjoint_mismatch(A, like=torch.zeros(1, dtype=torch.float64)) < 1e-12
    check_measurement(A)
    check_measurement(A, like=torch.zeros(1, dtype=torch.float32))


@pytest.mark.parametrize("name", OPERATORS)
def test_libraries_precisions_blocks_and_the_adjoint_agree(name: str) -> None:
    A = OPERATORS[name]()
    m, n = A.shape
    rng = np.random.default_rng(1)
    for B, x in ((A, rng.standard_normal((n, 3))), (A.H, rng.standard_normal((m, 3)))):
        block = B @ x
        assert block.shape == (B.shape[0], 3)
        assert np.allclose(B @ x[:, 1], block[:, 1], rtol=0, atol=1e-13 * np.abs(block).max())
        tensor = B @ torch.asarray(x)
        assert tensor.dtype == torch.float64
        assert np.allclose(tensor.numpy(), block, rtol=0, atol=1e-12 * np.abs(block).max())
        single = B @ torch.asarray(x, dtype=torch.float32)
        assert single.dtype == torch.float32
        assert np.allclose(single.numpy(), block, rtol=0, atol=1e-5 * np.abs(block).max())
        assert (B @ x.astype(np.float32)).dtype == np.float32
        before = x.copy()
        _ = B @ x
        assert np.array_equal(x, before)


@pytest.mark.parametrize("name", ["green", "heat", "gaussian blur"])
def test_the_declared_diagonal_is_the_operator(name: str) -> None:
    A = OPERATORS[name]()
    basis, values = A.diagonal.basis, A.diagonal.values
    x = np.random.default_rng(2).standard_normal(A.image_shape)
    expected = basis.inverse(values * basis.forward(x)).reshape(-1)
    assert np.allclose(A @ x.reshape(-1), expected, rtol=0, atol=1e-14)


def test_gradients_pass_through_the_operators() -> None:
    for name in ("source", "kernel blur", "channels"):
        A = OPERATORS[name]()
        x = torch.randn(A.shape[1], dtype=torch.float64, requires_grad=True)
        y = torch.randn(A.shape[0], dtype=torch.float64)
        ((A @ x) * y).sum().backward()
        assert torch.allclose(x.grad, A.H @ y, rtol=1e-10, atol=1e-12)
