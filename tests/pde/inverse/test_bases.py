"""Cosine and sine bases: against dense matrices, on NumPy and torch."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from conjugo.pde.inverse import bases
from conjugo.pde.inverse.bases import CosineBasis, SineBasis, TrigonometricBasis

torch = pytest.importorskip("torch")
BASES = [CosineBasis, SineBasis]


def dense(kind: str, n: int) -> NDArray[np.float64]:
    """Rows are the normalised vectors, from their formula."""
    k = np.arange(n)[:, None] + (kind == "sine")
    function = np.cos if kind == "cosine" else np.sin
    rows = function(np.pi * k * (np.arange(n) + 0.5) / n)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("shape", [(2,), (3,), (8, 5), (4, 7, 6)])
@pytest.mark.parametrize("dense_up_to", [0, 128])
def test_transforms_equal_the_dense_matrices_in_both_libraries(
    kind: type[TrigonometricBasis], shape: tuple[int, ...], dense_up_to: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases, "DENSE", dense_up_to)
    basis = kind(shape)
    x = np.random.default_rng(0).standard_normal((2, *shape))
    expected = x
    for axis, n in enumerate(shape):
        expected = np.moveaxis(np.tensordot(dense(basis.kind, n), expected, (1, axis + 1)), 0, axis + 1)
    assert np.allclose(basis.forward(x), expected, rtol=0, atol=1e-13)
    assert np.allclose(basis.inverse(expected), x, rtol=0, atol=1e-13)
    t = torch.asarray(x)
    assert np.allclose(basis.forward(t).numpy(), expected, rtol=0, atol=1e-13)
    assert np.allclose(basis.inverse(torch.asarray(expected)).numpy(), x, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("dense_up_to", [0, 128])
def test_precision_and_gradients_are_kept(
    kind: type[TrigonometricBasis], dense_up_to: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases, "DENSE", dense_up_to)
    basis = kind((6, 9))
    x = torch.ones(3, 6, 9, dtype=torch.float32, requires_grad=True)
    y = basis.forward(x)
    assert y.dtype == torch.float32
    assert basis.forward(np.ones((6, 9), dtype=np.float32)).dtype == np.float32
    (y**2).sum().backward()
    assert torch.allclose(x.grad, 2 * x.detach(), atol=1e-5)  # the norm is kept


@pytest.mark.parametrize("kind", BASES)
def test_the_vectors_diagonalise_the_cell_centred_laplacian(kind: type[TrigonometricBasis]) -> None:
    n, basis = 9, kind((9,))
    end = 1.0 if basis.kind == "cosine" else 3.0
    diagonal = np.full(n, 2.0)
    diagonal[[0, -1]] = end
    L = n**2 * (np.diag(diagonal) - np.eye(n, k=1) - np.eye(n, k=-1))
    phi = basis.inverse(np.eye(n))  # one vector a row
    assert np.allclose(phi @ L @ phi.T, np.diag(basis.laplacian(exact=False)), atol=1e-10)
    # the first values tend to the continuous ones, at second order
    fine = kind((64,))
    ratio = fine.laplacian(exact=False)[1:4] / fine.laplacian()[1:4]
    assert np.all(np.abs(ratio - 1) < (np.pi * 4 / 64) ** 2 / 12 + 1e-6)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected at least 2 cells"):
        CosineBasis((4, 1))
    with pytest.raises(ValueError, match=r"images have shape \(4, 5\): expected"):
        CosineBasis((5, 4)).forward(np.ones((4, 5)))


def test_bases_are_equal_where_kind_and_shape_are() -> None:
    assert CosineBasis((4, 4)) == CosineBasis((4, 4))
    assert CosineBasis((4, 4)) != SineBasis((4, 4))
    assert len({SineBasis((3, 3)), SineBasis((3, 3)), SineBasis((3, 4))}) == 2
