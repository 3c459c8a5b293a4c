"""Finite elements: observed orders, the two routes out without a copy, and wrong input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import cg, splu

pytest.importorskip("mpi4py.MPI", reason="needs the extra fem", exc_type=ImportError)  # loads libmpi for the next
pytest.importorskip("dolfinx", reason="needs the extra fem", exc_type=ImportError)

from conjugo.pde import fem


def solve(case: fem.FemProblem) -> Any:
    """Solve by SuperLU, or by SciPy's CG where factors would fill the memory."""
    A, b = case.problem.A, case.problem.b
    if case.problem.n < 12000:
        return splu(sp.csc_array(A)).solve(b)
    x, info = cg(A, b, rtol=1e-11, maxiter=3000, M=sp.diags_array(1 / A.diagonal()))
    assert info == 0
    return x


def observed(domain: str, sizes: tuple[int, ...], **options: Any) -> float:
    """Order of the last two meshes."""
    errors = []
    for n in sizes:
        case = fem.poisson(domain, n, **options)
        errors.append(case.error(solve(case)))
    return float(np.log(errors[-2] / errors[-1]) / np.log(sizes[-1] / sizes[-2]))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("domain", ["square", "disc"])
def test_order_is_one_above_the_degree(domain: str, order: int) -> None:
    """On the disc with edges of the elements' degree (isoparametric)."""
    sizes = (12, 24, 48) if order == 1 else (8, 16, 32)
    assert observed(domain, sizes, order=order) == pytest.approx(order + 1, abs=0.1)


@pytest.mark.parametrize("order", [2, 3])
def test_polygon_limits_the_disc_to_second_order(order: int) -> None:
    """u = 0 on a polygon that is O(h^2) away from the circle."""
    assert observed("disc", (4, 8, 16), order=order, geometry_order=1) == pytest.approx(2, abs=0.1)


def test_corner_limits_the_l_shape() -> None:
    """u ~ r^(2/3) is in H^(5/3): by Aubin-Nitsche twice 2/3 in L2 on uniform meshes."""
    assert observed("l_shape", (16, 32, 64), order=1) == pytest.approx(4 / 3, abs=0.1)


@pytest.mark.parametrize("order", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_cube(order: int) -> None:
    sizes = {1: (6, 12, 24), 2: (3, 6, 12), 3: (3, 6, 12)}[order]
    assert observed("cube", sizes, order=order) == pytest.approx(order + 1, abs=0.1)


@pytest.mark.parametrize("order", [1, 2])
def test_variable_coefficient_and_data_on_the_walls(order: int) -> None:
    import ufl

    found = observed(
        "square",
        (8, 16, 32),
        order=order,
        coefficient=lambda x: 1 + x[0] * x[1],
        exact=lambda x: ufl.cos(x[0] + 2 * x[1]),
    )
    assert found == pytest.approx(order + 1, abs=0.1)


def test_polynomials_are_reproduced() -> None:
    """A quadratic solution lies in the space of degree 2: exact to rounding, on a mesh of one's own too."""
    case = fem.poisson(fem.disc(4), order=2, exact=lambda x: 1 + x[0] ** 2 - x[0] * x[1])
    assert case.error(solve(case)) < 1e-12
    assert case.problem.error(solve(case)) < 1e-12


def test_system() -> None:
    case = fem.poisson("l_shape", 6, order=2)
    A = case.problem.A
    assert isinstance(A, sp.csr_array)
    assert abs(A - A.T).max() < 1e-14
    assert np.linalg.eigvalsh(A.toarray()).min() > 0
    assert case.problem.exact is not None
    assert case.problem.exact.shape == case.problem.b.shape


def test_scipy_and_petsc_share_the_memory_of_dolfinx() -> None:
    case = fem.poisson("square", 6, order=2)
    A, mat = case.problem.A, case.petsc_matrix()
    assert isinstance(A, sp.csr_array)
    assert np.shares_memory(A.data, case.matrix.data)
    assert np.shares_memory(A.indices, case.matrix.indices)
    assert np.shares_memory(case.problem.b, case.vector.array)
    x, y = mat.createVecs()
    x.array[:] = np.random.default_rng(0).standard_normal(case.problem.n)
    mat.mult(x, y)
    np.testing.assert_allclose(y.array, A @ x.array, rtol=1e-12, atol=1e-13)
    A.data *= 2.0  # seen by PETSc: the values are the same ones
    mat.mult(x, y)
    np.testing.assert_allclose(y.array, A @ x.array, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(case.petsc_vector().array_r, case.problem.b)


def test_petsc_solves_it() -> None:
    case = fem.poisson("disc", 8, order=2)
    from petsc4py import PETSc

    ksp = PETSc.KSP().create(case.V.mesh.comm)
    ksp.setOperators(case.petsc_matrix())
    ksp.setType("preonly")
    ksp.getPC().setType("cholesky")
    x = case.petsc_vector().duplicate()
    ksp.solve(case.petsc_vector(), x)
    assert case.error(x) == pytest.approx(case.error(solve(case)), rel=1e-6)


def test_meshes() -> None:
    """Areas, and counts of cells."""
    import ufl
    from dolfinx.fem import Constant, assemble_scalar, form

    def area(mesh: Any) -> float:
        return float(np.real(assemble_scalar(form(Constant(mesh, 1.0) * ufl.dx))))

    assert area(fem.l_shape(3)) == pytest.approx(3)
    assert area(fem.disc(6)) == pytest.approx(18 * np.sin(np.pi / 18))  # half of 36 sin(2 pi / 36)
    assert area(fem.disc(6, geometry_order=2)) == pytest.approx(np.pi, rel=1e-5)
    assert area(fem.disc(6, geometry_order=3)) == pytest.approx(np.pi, rel=1e-6)
    for mesh, cells in ((fem.square(3), 18), (fem.cube(2), 48), (fem.l_shape(3), 54), (fem.disc(3), 54)):
        assert mesh.topology.index_map(mesh.topology.dim).size_global == cells


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domain": "donut"}, "expected one of square, cube, l_shape, disc, or a dolfinx mesh"),
        ({"order": 4}, "order = 4: expected 1, 2 or 3"),
        ({"n": 0}, "n = 0: expected at least 1"),
        ({"coefficient": -1.0}, "coefficient = -1.0"),
        ({"source": 1.0}, "pass exact=None"),
        ({"exact": "best"}, "exact = 'best'"),
        ({"geometry_order": 2}, "only 'disc' is curved"),
        ({"domain": "disc", "geometry_order": 5}, "expected 1, 2 or 3"),
    ],
)
def test_messages(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fem.poisson(**options)


def test_without_exact_solution() -> None:
    """-laplace u = 1 on the disc has the solution (1 - r^2) / 4."""
    case = fem.poisson("disc", 8, exact=None, source=1.0)
    x = solve(case)
    assert x.max() == pytest.approx(0.25, rel=0.01)
    with pytest.raises(ValueError, match="no exact solution"):
        case.error(x)
    with pytest.raises(ValueError, match=r"expected \(217,\)"):
        case.function(x[1:])


PARALLEL = """
from mpi4py import MPI
from petsc4py import PETSc
from conjugo.pde import fem
for domain in ("square", "disc", "l_shape"):
    case = fem.poisson(domain, 12, order=2)
    ksp = PETSc.KSP().create(case.V.mesh.comm)
    ksp.setOperators(case.petsc_matrix())
    ksp.setType("cg")
    ksp.setTolerances(rtol=1e-13, max_it=2000)
    x = case.petsc_vector().duplicate()
    ksp.solve(case.petsc_vector(), x)
    norm, error, size = x.norm(), case.error(x), MPI.COMM_WORLD.size
    if MPI.COMM_WORLD.rank == 0:
        print(size, norm, error)
try:
    case.problem
except ValueError as error:
    assert "petsc_matrix()" in str(error)
"""


@pytest.mark.mpi
def test_two_processes_give_the_serial_answer() -> None:
    """Norms of the solution and of its error agree to 1e-10."""

    def values(command: list[str]) -> Any:
        script = [*command, sys.executable, "-c", PARALLEL]
        done = subprocess.run(script, capture_output=True, text=True, timeout=300, check=True)
        return np.array([line.split() for line in done.stdout.splitlines()], dtype=float)

    beside = Path(sys.executable).with_name("mpiexec")  # the wheel's, where the environment is not activated
    serial, parallel = values([]), values([str(beside) if beside.exists() else "mpiexec", "-n", "2"])
    assert np.all(parallel[:, 0] == 2)
    np.testing.assert_allclose(parallel[:, 1:], serial[:, 1:], rtol=1e-10)
