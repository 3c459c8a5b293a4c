"""SSOR, incomplete Cholesky and its modification against the dense facts that define them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from tests.solvers.stationary.model_problems import NONSYMMETRIC, STENCILS, neumann, poisson, variable

from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.preconditioners.chebyshev import chebyshev_preconditioner
from conjugo.solvers.preconditioners.incomplete import ic0, mic
from conjugo.solvers.preconditioners.incomplete_lu import incomplete_lu
from conjugo.solvers.preconditioners.jacobi import jacobi
from conjugo.solvers.preconditioners.ssor import ssor

FACTORIES: dict[str, Any] = {
    "jacobi": jacobi,
    "ssor": ssor,
    "ic0": ic0,
    "mic": mic,
    "chebyshev": chebyshev_preconditioner,
}


def forms(A: Any) -> list[Any]:
    """The same matrix as a stencil, sparse and dense."""
    return [A, A.tocsr(), A.tocsr().toarray()]


def factored(M: Any) -> Any:
    """The matrix whose inverse M applies."""
    return np.linalg.inv(M @ np.eye(M.shape[0]))


def random_spd(n: int = 40, seed: int = 0) -> Any:
    """A diagonally dominant sparse matrix with triangles in its graph, where fill meets the pattern."""
    B = sp.random_array((n, n), density=0.1, rng=np.random.default_rng(seed))
    S = abs(B) + abs(B).T
    return sp.csr_array(sp.diags_array(np.asarray(S.sum(axis=1)).ravel() + 0.5) - S)


@pytest.mark.parametrize("name", STENCILS)
@pytest.mark.parametrize("kind", FACTORIES)
def test_symmetric_positive_and_alike_on_blocks(name: str, kind: str) -> None:
    for operator in forms(STENCILS[name]):
        M = FACTORIES[kind](operator)
        n = operator.shape[0]
        assert M.shape == (n, n)
        assert M.linear
        assert M.symmetric
        assert M.setup_seconds >= 0
        assert M.nbytes > 0
        inverse = M @ np.eye(n)
        np.testing.assert_allclose(inverse, inverse.T, rtol=0, atol=1e-13 * abs(inverse).max())
        assert scipy.linalg.eigvalsh(inverse)[0] > 0
        r = np.random.default_rng(0).standard_normal((n, 3))
        kept = r.copy()
        block = M @ r
        assert np.array_equal(r, kept)
        for column in range(3):
            np.testing.assert_allclose(block[:, column], M @ r[:, column], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", STENCILS)
@pytest.mark.parametrize("omega", [0.7, 1.0, 1.8])
def test_ssor_is_its_formula(name: str, omega: float) -> None:
    dense = STENCILS[name].tocsr().toarray()
    D, L = np.diag(dense.diagonal()) / omega, np.tril(dense, -1)
    expected = (D + L) @ np.linalg.inv(D) @ (D + L.T) / (2 - omega)
    for operator in forms(STENCILS[name]):
        np.testing.assert_allclose(factored(ssor(operator, omega)), expected, rtol=0, atol=1e-11 * abs(expected).max())


@pytest.mark.parametrize("name", [*STENCILS, "random"])
def test_ic0_equals_a_on_its_pattern(name: str) -> None:
    operators = [random_spd()] if name == "random" else forms(STENCILS[name])
    for operator in operators:
        M = ic0(operator)
        assert M.shift == 0
        dense = operators[0].tocsr().toarray() if name != "random" else operators[0].toarray()
        gap = np.abs(factored(M) - dense)
        assert gap[dense != 0].max() < 1e-12 * abs(dense).max()


@pytest.mark.parametrize("name", [*STENCILS, "random"])
def test_mic_keeps_the_row_sums(name: str) -> None:
    operators = [random_spd()] if name == "random" else forms(STENCILS[name])
    for operator in operators:
        M = mic(operator, relaxation=1.0)
        dense = operators[0].toarray() if name == "random" else operators[0].tocsr().toarray()
        assert M.shift == 0
        product = factored(M)
        np.testing.assert_allclose(product.sum(axis=1), dense.sum(axis=1), rtol=0, atol=1e-11 * abs(dense).max())
        outside = (dense != 0) & ~np.eye(len(dense), dtype=bool)
        assert np.abs(product - dense)[outside].max(initial=0.0) < 1e-11 * abs(dense).max()


def test_mic_without_relaxation_is_ic0() -> None:
    A = STENCILS["variable 2d periodic"]
    r = np.random.default_rng(0).standard_normal(A.shape[0])
    np.testing.assert_allclose(mic(A, relaxation=0.0) @ r, ic0(A) @ r, rtol=1e-14)


def test_ic0_is_petscs() -> None:
    pytest.importorskip("petsc4py")
    from mpi4py import MPI  # noqa: F401  (loads libmpi)

    from petsc4py import PETSc

    matrix = random_spd(60, seed=3)
    A = PETSc.Mat().createAIJ(matrix.shape, csr=(matrix.indptr, matrix.indices, matrix.data))
    pc = PETSc.PC().create()
    pc.setOperators(A)
    pc.setType("icc")
    pc.setFactorLevels(0)
    pc.setFactorOrdering("natural")
    pc.setUp()
    r: Any = np.random.default_rng(0).standard_normal(60)
    x, y = PETSc.Vec().createWithArray(r), PETSc.Vec().createSeq(60)
    pc.apply(x, y)
    np.testing.assert_allclose(ic0(matrix) @ r, y.getArray(), rtol=1e-10)


@pytest.mark.parametrize("kind", ["ssor", "ic0", "mic"])
def test_fewer_iterations(kind: str) -> None:
    for A in (poisson(40), variable((40, 40), (False, False), contrast=1e3), poisson(12, dimension=3)):
        b = np.random.default_rng(0).standard_normal(A.shape[0])
        plain, better = cg(A, b, rtol=1e-8), cg(A, b, rtol=1e-8, M=FACTORIES[kind](A))
        assert better.converged
        assert better.iterations < 0.7 * plain.iterations


def test_gustafssons_growth() -> None:
    """cg with MIC takes O(h^-1/2) iterations, with IC(0) O(h^-1)."""
    growth = {}
    for factory in (ic0, lambda A: mic(A, relaxation=1.0)):
        counts = []
        for n in (31, 63, 127):
            A = poisson(n)
            counts.append(cg(A, np.random.default_rng(0).standard_normal(n * n), rtol=1e-8, M=factory(A)).iterations)
        growth[factory] = np.log2(counts[2] / counts[0]) / 2
    slow, fast = growth.values()
    assert 0.8 < slow < 1.05  # superlinear convergence of cg takes a little off the exponents of the bounds
    assert 0.35 < fast < 0.65


@pytest.mark.parametrize("kind", ["jacobi", "ssor", "ic0", "mic"])
def test_single_precision_is_kept(kind: str) -> None:
    for A in (STENCILS["variable 3d"], STENCILS["2d periodic"], STENCILS["2d short periodic"]):
        single = A.astype(np.float32)
        r = np.random.default_rng(0).standard_normal(A.shape[0])
        M = FACTORIES[kind](single)
        assert M.dtype == np.float32
        z = M @ r.astype(np.float32)
        assert z.dtype == np.float32
        np.testing.assert_allclose(z, FACTORIES[kind](A) @ r, rtol=0, atol=1e-5 * abs(z).max())
        assert (M @ r).dtype == np.float64


def test_a_stencil_keeps_one_vector() -> None:
    A = poisson(30)
    assert ic0(A).nbytes == ssor(A).nbytes == A.shape[0] * 8


def test_manteuffels_shift_for_a_matrix_without_the_factorisation() -> None:
    # Kershaw's matrix: positive definite, yet IC(0) meets a negative pivot
    A = np.array([[3.0, -2.0, 0.0, 2.0], [-2.0, 3.0, -2.0, 0.0], [0.0, -2.0, 3.0, -2.0], [2.0, 0.0, -2.0, 3.0]])
    M = ic0(A)
    assert M.shift > 0
    assert np.linalg.eigvalsh(M @ np.eye(4))[0] > 0
    shifted = A + M.shift * np.diag(A.diagonal())
    assert np.abs(factored(M) - shifted)[A != 0].max() < 1e-12


def test_singular_stencils_are_factored() -> None:
    n = 12
    A = SeparableStencil([neumann(n), neumann(n)], nullspace=np.full((n * n, 1), 1 / n))
    b = np.random.default_rng(0).standard_normal(n * n)
    b -= b.mean()
    for factory in (ic0, mic, ssor):
        assert cg(A, b, rtol=1e-8, M=factory(A)).converged
    line = SeparableStencil([neumann(9)])
    assert mic(line).shift > 0  # the last pivot is zero: without fill the factorisation is exact, and A is singular


def test_chebyshev_polynomial_equioscillates() -> None:
    n, degree = 24, 4
    A = poisson(n)
    rho = np.cos(np.pi / (n + 1))
    M = chebyshev_preconditioner(A, degree, bounds=(1 - rho, 1 + rho))
    values = np.linalg.eigvals((M @ np.eye(n * n)) @ A.tocsr().toarray()).real
    ripple = 1 / np.cosh(degree * np.arccosh(1 / rho))
    assert values.min() == pytest.approx(1 - ripple, rel=1e-6)
    assert values.max() == pytest.approx(1 + ripple, rel=1e-3)


def test_chebyshev_polynomial_on_torch() -> None:
    torch = pytest.importorskip("torch")
    A = poisson(6).tocsr().toarray()
    r = np.random.default_rng(0).standard_normal((36, 2))
    ours = chebyshev_preconditioner(torch.tensor(A), 3, bounds=(0.05, 2.0)) @ torch.tensor(r)
    np.testing.assert_allclose(ours.numpy(), chebyshev_preconditioner(A, 3, bounds=(0.05, 2.0)) @ r, rtol=1e-12)


def test_incomplete_lu_of_a_nonsymmetric_stencil() -> None:
    A = NONSYMMETRIC["3d"]
    M = incomplete_lu(A, drop_tol=0.0, fill_factor=100)
    x = np.random.default_rng(0).standard_normal(A.shape[0])
    np.testing.assert_allclose(M @ (A @ x), x, rtol=1e-8)  # nothing dropped: exact
    assert not M.symmetric


@pytest.mark.parametrize("kind", ["ssor", "ic0", "mic"])
def test_refusals(kind: str) -> None:
    factory = FACTORIES[kind]
    with pytest.raises(ValueError, match="A is not symmetric"):
        factory(NONSYMMETRIC["1d"])
    with pytest.raises(ValueError, match="A is not symmetric"):
        factory(np.array([[2.0, 1.0], [0.0, 2.0]]))
    with pytest.raises(ValueError, match=r"diagonal of A is -1\.0 in row 1"):
        factory(np.diag([1.0, -1.0]))
    with pytest.raises(ValueError, match=r"diagonal of A is 0\.0 in row 1"):
        factory(np.diag([1.0, 0.0]))
    with pytest.raises(ValueError, match="offers only products"):
        factory(spla.aslinearoperator(np.eye(3)))
    M = factory(np.eye(3))
    with pytest.raises(ValueError, match=r"r has shape \(2,\)"):
        M @ np.ones(2)
    with pytest.raises(ValueError, match="real NumPy arrays"):
        M @ np.ones(3, dtype=complex)


def test_more_refusals() -> None:
    A = poisson(3)
    with pytest.raises(ValueError, match="expected 0 < omega < 2"):
        ssor(A, 2.5)
    with pytest.raises(ValueError, match=r"relaxation = 1\.5"):
        mic(A, relaxation=1.5)
    with pytest.raises(ValueError, match="degree = 0"):
        chebyshev_preconditioner(A, 0)
    with pytest.raises(ValueError, match="expected 0 < smallest < largest"):
        chebyshev_preconditioner(A, bounds=(1.0, 0.5))
    with pytest.raises(ValueError, match="broke down"):
        ic0(np.array([[1.0, 9.0], [9.0, 1.0]]))
    with pytest.raises(ValueError, match="zero pivot"):
        incomplete_lu(sp.csr_array((3, 3)))


def test_inactive_nodes_are_left_alone() -> None:
    A = variable((6, 6), (False, False))
    assert isinstance(A, VariableStencil)
    assert A.active is not None
    r = np.zeros(36)
    r[0] = 3.0
    np.testing.assert_allclose(ic0(A) @ r, r)  # the row of the identity
