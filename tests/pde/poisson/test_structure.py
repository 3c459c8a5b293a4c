"""What the assembled operators are: symmetric, M-matrices, equal in both storages, singular where they say so."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from conjugo.pde import convection_diffusion, poisson
from conjugo.pde.poisson.boundary import make_grid, parse_boundary
from conjugo.pde.poisson.coefficients import COEFFICIENTS
from conjugo.pde.poisson.masks import MASKS
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil

KINDS: list[Any] = ["dirichlet", "neumann", "periodic", ("dirichlet", "neumann"), ("neumann", "dirichlet")]
SHAPES = [(9,), (7, 6), (5, 4, 6)]


def asymmetry(A: sp.csr_array) -> float:
    """Largest entry of A - A.T over the largest of A."""
    return float(abs(A - A.T).max() / abs(A).max())


@pytest.mark.parametrize("centring", ["vertex", "cell"])
@pytest.mark.parametrize("bc", list(product(KINDS, repeat=2)))
def test_both_stencils_agree_for_constant_coefficients(centring: Any, bc: Any) -> None:
    options: dict[str, Any] = {"bc": bc, "centring": centring, "anisotropy": (1.0, 3.0), "shift": 0.5, "rhs": "smooth"}
    constant = poisson((7, 6), coefficient=2.0, **options)
    variable = poisson((7, 6), coefficient=np.full((7, 6), 2.0), **options)
    assert isinstance(constant.A, SeparableStencil)
    assert isinstance(variable.A, VariableStencil)
    difference = constant.A.tocsr() - variable.A.tocsr()
    assert abs(difference).max() < 1e-12 * abs(constant.A.tocsr()).max()
    np.testing.assert_array_equal(constant.b, variable.b)
    assert constant.A.symmetric
    assert variable.A.symmetric
    assert asymmetry(constant.A.tocsr()) < 1e-15


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("centring", ["vertex", "cell"])
@pytest.mark.parametrize("name", sorted(COEFFICIENTS))
def test_operators_are_symmetric_m_matrices(name: str, centring: Any, shape: tuple[int, ...]) -> None:
    bc: Any = ["dirichlet", "neumann", "neumann"][: len(shape)]
    problem = poisson(shape, coefficient=name, contrast=1e8, centring=centring, bc=bc)
    A = problem.compress().A
    assert asymmetry(A) < 1e-15
    off = A - sp.diags_array(A.diagonal())
    assert off.max() <= 0
    assert np.all(A.sum(axis=1) >= -1e-12 * A.diagonal())
    if name != "constant" or len(shape) > 1:
        assert np.all(A.diagonal() > 0)


def test_dense_reference_in_one_dimension() -> None:
    """Half a cell to a Dirichlet wall, half a control volume at a Neumann vertex."""
    cell = poisson(3, centring="cell").A.tocsr().toarray()
    np.testing.assert_allclose(cell, 9 * np.array([[3, -1, 0], [-1, 2, -1], [0, -1, 3]]))
    vertex = poisson(3, bc=("neumann", "neumann")).A.tocsr().toarray()
    np.testing.assert_allclose(vertex, 4 * np.array([[1, -1, 0], [-1, 2, -1], [0, -1, 1]]))
    loop = poisson(3, bc="periodic").A.tocsr().toarray()
    np.testing.assert_allclose(loop, 9 * np.array([[2, -1, -1], [-1, 2, -1], [-1, -1, 2]]))
    k = poisson(3, coefficient=np.array([1.0, 1.0, 3.0])).A.tocsr().toarray()
    np.testing.assert_allclose(k, 16 * np.array([[2, -1, 0], [-1, 2.5, -1.5], [0, -1.5, 4.5]]))


@pytest.mark.parametrize("d", [1, 2, 3])
def test_eigenvalues_of_the_model_problem(d: int) -> None:
    """lambda = 4 / h^2 sum sin^2(pi j h / 2), the classical formula."""
    problem = poisson((5,) * d)
    h = 1 / 6
    one = 4 / h**2 * np.sin(np.pi * np.arange(1, 6) * h / 2) ** 2
    expected = np.sort(sum(np.ix_(*[one] * d)).ravel())  # type: ignore[union-attr]
    found = np.linalg.eigvalsh(problem.compress().A.toarray())
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("rhs", ["white", "smooth", "exact", "discrete", "array"])
@pytest.mark.parametrize("bc", ["neumann", "periodic", ("neumann", "periodic")])
@pytest.mark.parametrize("centring", ["vertex", "cell"])
@pytest.mark.parametrize("coefficient", ["constant", "smooth"])
def test_singular_problems_declare_their_null_space(coefficient: str, centring: Any, bc: Any, rhs: Any) -> None:
    values: Any = np.arange(56.0).reshape(7, 8) if rhs == "array" else rhs
    problem = poisson((7, 8), bc=bc, centring=centring, coefficient=coefficient, rhs=values)
    N = problem.nullspace
    assert N is not None
    np.testing.assert_allclose(N.T @ N, np.eye(1), atol=1e-14)
    A = problem.compress().A
    assert abs(A @ N).max() < 1e-13 * abs(A).max()
    assert abs(N.T @ problem.b).max() < 1e-13 * np.linalg.norm(problem.b)
    assert problem.compress().nullspace is N
    assert np.linalg.matrix_rank(A.toarray()) == problem.n - 1


def test_regular_problems_declare_none() -> None:
    assert poisson((5, 5)).nullspace is None
    assert poisson((5, 5), bc=[("neumann", "dirichlet"), "periodic"], coefficient="smooth").nullspace is None
    assert poisson((5, 5), bc="neumann", shift=1.0).nullspace is None


def test_error_on_a_singular_problem_ignores_the_constant() -> None:
    problem = poisson((8, 8), bc="periodic", rhs="discrete")
    assert problem.exact is not None
    assert problem.error(problem.exact + 7.0) < 1e-12


@pytest.mark.parametrize("mask_bc", ["dirichlet", "neumann"])
@pytest.mark.parametrize("centring", ["vertex", "cell"])
@pytest.mark.parametrize("name", sorted(MASKS))
def test_masked_problems(name: str, centring: Any, mask_bc: Any) -> None:
    problem = poisson((24, 20), mask=name, mask_bc=mask_bc, centring=centring, coefficient="lognormal")
    A, active = problem.A, problem.active
    assert isinstance(A, VariableStencil)
    assert active is not None
    assert 0 < active.sum() < problem.n
    full = A.tocsr()
    outside = full[~active]
    assert outside.nnz == (~active).sum()
    assert np.all(outside.data == 1)
    assert np.all(problem.b[~active] == 0)
    assert asymmetry(full) < 1e-15
    small = problem.compress()
    assert small.n == active.sum()
    x = np.arange(1.0, small.n + 1)
    np.testing.assert_array_equal(problem.expand(x)[active], x)
    np.testing.assert_allclose((full @ problem.expand(x))[active], small.A @ x)


def test_enclosed_regions_have_one_null_vector_each() -> None:
    mask = np.zeros((9, 10), dtype=bool)
    mask[1:4, 1:4] = mask[5:8, 2:9] = True
    problem = poisson((9, 10), mask=mask, mask_bc="neumann", centring="cell", coefficient="two_phase")
    N = problem.nullspace
    assert N is not None
    assert N.shape == (90, 2)
    np.testing.assert_allclose(N.T @ N, np.eye(2), atol=1e-14)
    assert abs(problem.compress().A @ problem.compress().nullspace).max() < 1e-8


def test_compress_keeps_a_csr_and_masks_the_error() -> None:
    problem = poisson((8, 8), mask="disc", rhs="discrete")
    assert problem.exact is not None
    assert problem.active is not None
    small = problem.compress()
    assert small.compress() is small
    wrong = problem.exact + ~problem.active  # only inactive nodes differ
    assert problem.error(wrong) == 0
    assert small.error(np.asarray(small.exact) + 1) == pytest.approx(problem.error(problem.exact + 1))


@pytest.mark.parametrize("coefficient", ["two_phase", "channels", "smooth"])
def test_discrete_right_hand_side_has_a_known_solution(coefficient: str) -> None:
    problem = poisson((9, 9), coefficient=coefficient, contrast=1e6, rhs="discrete")
    assert problem.exact is not None
    np.testing.assert_allclose(problem.compress().A @ problem.exact, problem.b, rtol=1e-12)


def test_seeds() -> None:
    first, again, other = (poisson((6, 6), coefficient="lognormal", seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.b, again.b)
    np.testing.assert_array_equal(first.A.diagonal(), again.A.diagonal())
    assert not np.array_equal(first.b, other.b)
    assert not np.array_equal(first.A.diagonal(), other.A.diagonal())


def test_inputs_are_not_changed() -> None:
    k, f = np.full((6, 6), 2.0), np.ones((6, 6))
    mask = np.ones((6, 6), dtype=bool)
    mask[0, 0] = False
    before = k.copy(), f.copy(), mask.copy()
    poisson((6, 6), coefficient=k, rhs=f, mask=mask, bc="neumann", boundary_flux=1.0)
    for now, then in zip((k, f, mask), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_walls_of_a_laplace_problem() -> None:
    """u = 1 on all walls and f = 0 has the solution 1, masked or not."""
    for options in ({}, {"mask": "flower"}, {"centring": "cell", "mask": "disc", "coefficient": "channels"}):
        problem = poisson((12, 12), rhs=np.zeros((12, 12)), boundary_value=1.0, **options)  # type: ignore[arg-type]
        small = problem.compress()
        np.testing.assert_allclose(small.A @ np.ones(small.n), small.b, atol=1e-9 * abs(small.A).max())


def test_grid_places_the_unknowns() -> None:
    grid, lines = make_grid((4, 4, 3), bc=["dirichlet", ("neumann", "dirichlet"), "periodic"], lengths=(1.0, 2.0, 3.0))
    assert grid.spacing == (0.2, 0.5, 1.0)
    assert grid.origin == (0.2, 0.0, 0.0)
    assert [line.reach for line in lines] == [(0.2, 0.2), (0.0, 0.5), (1.0, 1.0)]
    assert parse_boundary(("dirichlet", "neumann"), 1) == (("dirichlet", "neumann"),)


@pytest.mark.parametrize("scheme", ["upwind", "central"])
@pytest.mark.parametrize("centring", ["vertex", "cell"])
@pytest.mark.parametrize("bc", ["dirichlet", ("dirichlet", "periodic"), (("dirichlet", "neumann"), "neumann")])
def test_convection_stencils_agree(scheme: Any, centring: Any, bc: Any) -> None:
    options: dict[str, Any] = {"scheme": scheme, "bc": bc, "centring": centring, "diffusion": 0.1, "rhs": "smooth"}
    constant = convection_diffusion((7, 6), velocity=(1.0, -2.0), **options)
    variable = convection_diffusion((7, 6), velocity=lambda x, y: (1.0, -2.0), **options)
    assert isinstance(constant.A, SeparableStencil)
    assert isinstance(variable.A, VariableStencil)
    assert not constant.A.symmetric
    assert not variable.A.symmetric
    a, b = constant.A.tocsr(), variable.A.tocsr()
    assert abs(a - b).max() < 1e-12 * abs(a).max()


def test_upwind_is_an_m_matrix_where_central_is_not() -> None:
    upwind = convection_diffusion((15, 15), diffusion=1e-4, velocity="recirculating").compress().A
    central = convection_diffusion((15, 15), diffusion=1e-4, velocity="recirculating", scheme="central").compress().A
    off = [A - sp.diags_array(A.diagonal()) for A in (upwind, central)]
    assert off[0].max() <= 0
    assert off[1].max() > 0
    assert np.all(upwind.sum(axis=1) >= -1e-12)


@pytest.mark.parametrize("coefficient", ["constant", "variable"])
@pytest.mark.parametrize("mask_bc", ["dirichlet", "neumann", None])
@pytest.mark.parametrize("centring", ["vertex", "cell"])
def test_a_neumann_wall_is_a_mirror(centring: Any, mask_bc: Any, coefficient: str) -> None:
    """Half the box with a Neumann wall gives, to rounding, half the solution of the mirrored box."""
    rng, n, m = np.random.default_rng(0), 6, 7
    half_k, half_f, half_mask = 1 + rng.random((n, m)), rng.random((n, m)), np.ones((n, m), dtype=bool)
    half_mask[0, 3] = half_mask[4, 0] = half_mask[2:4, 4] = False  # the first touches the mirror

    def mirrored(a: Any) -> Any:
        return np.concatenate([a[:0:-1] if centring == "vertex" else a[::-1], a])

    def solution(half: bool) -> Any:
        arrays = [a if half else mirrored(a) for a in (half_k, half_f, half_mask)]
        options: dict[str, Any] = {"centring": centring, "rhs": arrays[1], "anisotropy": (1.0, 3.0)}
        if coefficient == "variable":
            options["coefficient"] = arrays[0]
        if mask_bc is not None:
            options |= {"mask": arrays[2], "mask_bc": mask_bc, "boundary_value": 0.3}
        if half:
            problem = poisson((n, m), bc=[("neumann", "dirichlet"), "dirichlet"], **options)
        else:
            problem = poisson(arrays[0].shape, lengths=(2.0, 1.0), **options)
        small = problem.compress()
        return problem.expand(spsolve(small.A, small.b)).reshape(arrays[0].shape)

    np.testing.assert_allclose(solution(True), solution(False)[-n:], rtol=1e-11, atol=1e-13)
