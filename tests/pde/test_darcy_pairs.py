"""Darcy's pairs: both variants against their definitions, and the order where the coefficient jumps."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.interpolate
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import spsolve

from conjugo.pde import darcy, darcy_coefficients, solve_darcy
from conjugo.pde.darcy.coefficients import Variant
from conjugo.solvers.parallel import threads


def _relative(p: NDArray[np.float64], u: NDArray[np.float64]) -> float:
    """Relative L2 difference, averaged over samples."""
    return float(np.mean([np.linalg.norm(x - y) / np.linalg.norm(y) for x, y in zip(p, u, strict=True)]))


def _original(a: NDArray[np.float64]) -> NDArray[np.float64]:
    """The steps of solve_gwf.m, written again with a matrix made entry by entry."""
    k = len(a)
    centres, nodes = (np.arange(k) + 0.5) / k, np.linspace(0, 1, k)

    def interpolate(x: NDArray[np.float64], v: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        for axis in (0, 1):
            v = scipy.interpolate.CubicSpline(x, v, axis=axis, bc_type="not-a-knot")(y)
        return v

    c = interpolate(centres, a, nodes)
    A = sp.lil_array(((k - 2) ** 2, (k - 2) ** 2))
    for i in range(1, k - 1):
        for j in range(1, k - 1):
            row = (i - 1) * (k - 2) + j - 1
            for p, q in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                face = (c[i, j] + c[p, q]) / 2 * (k - 1) ** 2
                A[row, row] += face
                if 0 < p < k - 1 and 0 < q < k - 1:
                    A[row, (p - 1) * (k - 2) + q - 1] = -face
    u = np.zeros((k, k))
    u[1:-1, 1:-1] = spsolve(A.tocsc(), np.ones((k - 2) ** 2)).reshape(k - 2, k - 2)
    return interpolate(nodes, u, centres)


def test_the_spline_variant_is_the_original_script() -> None:
    pairs = darcy(2, 21, seed=1, variant="spline", rtol=1e-11)
    for a, u in zip(pairs.a, pairs.u, strict=True):
        np.testing.assert_allclose(u, _original(a), atol=1e-9 * np.abs(u).max())
    assert np.abs(pairs.u[:, 0, 1:-1]).max() > 0  # half a cell from the wall
    assert pairs.grid is not None
    assert pairs.grid.centring == "cell"


def test_the_clean_variant_is_zero_on_the_walls_and_positive_inside() -> None:
    pairs = darcy(3, 43, seed=2)
    assert not np.any(pairs.u[:, 0])
    assert not np.any(pairs.u[:, :, -1])
    assert np.all(pairs.u[:, 1:-1, 1:-1] > 0)
    assert np.array_equal(np.unique(pairs.a), [3.0, 12.0])
    assert abs(np.mean(darcy_coefficients(200, 17) == 12.0) - 0.5) < 0.05  # the field is as often positive as not


def test_both_variants_show_the_same_medium() -> None:
    clean, spline = (darcy(4, 101, seed=3, variant=variant) for variant in ("clean", "spline"))
    assert 0.001 < _relative(clean.u, spline.u) < 0.04
    assert np.mean(clean.a != spline.a) < 0.03


@pytest.mark.parametrize("variant", ["clean", "spline"])
def test_samples_depend_on_seed_and_number_alone(variant: Variant) -> None:
    together = darcy(8, 33, seed=5, variant=variant)
    with threads(2):
        later = darcy(4, 33, seed=5, first=4, variant=variant)
    np.testing.assert_array_equal(later.a, together.a[4:])
    np.testing.assert_array_equal(later.u, together.u[4:])
    other = darcy(8, 33, seed=5, variant=variant, xp="torch", device="cpu")
    assert isinstance(other.u, torch.Tensor)
    np.testing.assert_array_equal(other.a.numpy(), together.a)
    np.testing.assert_allclose(other.u.numpy(), together.u, rtol=1e-6, atol=1e-9)


def test_order_two_across_a_jump_between_nodes_with_harmonic_faces_alone() -> None:
    """u = sin(2 pi x) sin(pi y) / a, a = 12 and 3 on the two halves: the flux is continuous, f is smooth."""
    orders = {}
    for faces in ("harmonic", "arithmetic"):
        errors, widths = [], []
        for n in (32, 64, 128):
            x, y = np.meshgrid(*[np.linspace(0, 1, n)] * 2, indexing="ij")
            a, wave = np.where(x < 0.5, 12.0, 3.0), np.sin(2 * np.pi * x) * np.sin(np.pi * y)
            u = solve_darcy(a, faces=faces, f=5 * np.pi**2 * wave, rtol=1e-10)  # type: ignore[arg-type]
            errors.append(np.linalg.norm(u - wave / a) / n)
            widths.append(1 / (n - 1))
        orders[faces] = np.diff(np.log(errors)) / np.diff(np.log(widths))
    assert abs(orders["harmonic"][-1] - 2) < 0.05, orders
    assert abs(orders["arithmetic"][-1] - 1) < 0.1, orders


def test_order_of_a_disc_of_another_medium_against_a_fine_solve() -> None:
    """The jump cuts cells anyhow: about first order, and never less than that on average."""

    def solved(n: int) -> NDArray[np.float64]:
        x, y = np.meshgrid(*[np.linspace(0, 1, n)] * 2, indexing="ij")
        return np.asarray(solve_darcy(np.where((x - 0.47) ** 2 + (y - 0.52) ** 2 < 0.09, 12.0, 3.0)))

    fine, sizes = solved(641), (21, 41, 81, 161)
    errors = [np.linalg.norm(solved(n) - fine[:: 640 // (n - 1), :: 640 // (n - 1)]) / n for n in sizes]
    order = np.log2(errors[0] / errors[-1]) / 3
    assert 0.8 < order < 2.0, (errors, order)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="variant = 'rough'"):
        darcy(1, 9, variant="rough")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected two positive numbers"):
        darcy(1, 9, values=(12.0, 0.0))
    with pytest.raises(ValueError, match="size = 4"):
        darcy(1, 4)
    with pytest.raises(ValueError, match="without a library"):
        darcy(1, 9, device="cuda")
