"""PETSc: options, statuses, our M inside a KSP, and distributed matrices."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

pytest.importorskip("petsc4py")

from conjugo.solvers.adapters.petsc import PetscSolver, petsc
from conjugo.solvers.adapters.petsc_objects import load_petsc, parse_options
from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.result import Status


def poisson(n: int = 20) -> sp.csr_array:
    one = sp.diags_array([-np.ones(n - 1), np.full(n, 2.0), -np.ones(n - 1)], offsets=[-1, 0, 1])
    matrix = sp.csr_array(sp.kronsum(one, one))
    matrix.sort_indices()
    return matrix


def right_hand_side(n: int = 400) -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal(n)


@pytest.mark.parametrize(
    "options",
    [
        "-ksp_type cg -pc_type gamg",
        "-ksp_type cg -pc_type icc",
        {"ksp_type": "gmres", "-pc_type": "ilu"},
        "-ksp_type minres -pc_type jacobi",
        "-ksp_type bcgs -pc_type sor",
        "-ksp_type richardson -pc_type gamg",
        "-ksp_type cg -pc_type gamg -ksp_norm_type preconditioned",
        "-ksp_type preonly -pc_type lu",
        "-ksp_type preonly -pc_type cholesky -pc_factor_mat_solver_type mumps",
        "-ksp_type fgmres -pc_type bjacobi -sub_pc_type icc",
    ],
)
def test_any_options_reach_the_true_tolerance_and_leave_the_database(options: Any) -> None:
    base = load_petsc().Options()
    before = set(base.getAll())
    A, b = poisson(), right_hand_side()
    result = petsc(A, b, rtol=1e-10, options=options).check()
    assert np.linalg.norm(b - A @ result.x) <= 1e-10 * np.linalg.norm(b)
    assert result.residuals[-1] == pytest.approx(np.linalg.norm(b - A @ result.x), rel=1e-3)
    assert set(base.getAll()) == before


def test_iterations_are_those_of_cg() -> None:
    A, b = poisson(), right_hand_side()
    theirs = petsc(A, b, rtol=1e-8, options="-ksp_type cg -pc_type none")
    ours = cg(A, b, rtol=1e-8)
    assert theirs.iterations == ours.iterations
    np.testing.assert_allclose(theirs.residuals[:30], ours.residuals[:30], rtol=1e-6)


def test_our_preconditioner_inside_a_ksp() -> None:
    A, b, calls = poisson(), right_hand_side(), [0]
    scale = np.linspace(0.3, 0.7, 400)

    class M:
        shape = A.shape

        def __matmul__(self, r: Any) -> Any:
            calls[0] += 1
            return scale * r

    result = petsc(A, b, rtol=1e-8, M=M(), options="-ksp_type cg").check()
    assert result.iterations == cg(A, b, rtol=1e-8, M=sp.diags_array(scale).tocsr()).iterations
    assert calls[0] >= result.iterations


def test_matrix_free_operator() -> None:
    A, b = poisson(), right_hand_side()

    class Free:
        shape = A.shape

        def __matmul__(self, x: Any) -> Any:
            return A @ x

    assert petsc(Free(), b, rtol=1e-8, options="-ksp_type cg -pc_type none").converged
    assert petsc(A, b, rtol=1e-8, options="-ksp_type cg -pc_type none", matrix_free=True).converged
    with pytest.raises(ValueError, match="PETSc refuses the options"):
        petsc(Free(), b, options="-ksp_type cg -pc_type ilu")


def test_arrays_of_a_csr_matrix_are_shared() -> None:
    A = poisson()
    A.indices, A.indptr = A.indices.astype(np.int32), A.indptr.astype(np.int32)
    solver = PetscSolver(A, "-ksp_type cg -pc_type jacobi")
    A.data *= 2.0  # seen by PETSc: no copy was made
    b = right_hand_side()
    np.testing.assert_allclose(solver.mat.getValuesCSR()[2], A.data, rtol=0)
    solver.destroy()
    assert petsc(A, b, rtol=1e-8).converged


def test_solver_is_set_up_once_and_is_a_preconditioner() -> None:
    A, rng = poisson(), np.random.default_rng(1)
    solver = PetscSolver(A, "-ksp_type cg -pc_type gamg")
    assert solver.symmetric
    u, v = rng.standard_normal((2, 400))
    assert u @ (solver @ v) == pytest.approx(v @ (solver @ u), rel=1e-10)
    assert cg(A, u, M=solver, rtol=1e-8).check().iterations < 15
    for b in (u, v, np.stack([u, v], axis=1)):
        result = solver.solve(b, rtol=1e-8).check()
        assert result.details["setup_seconds"] == solver.setup_seconds
        assert result.method == "petsc(cg+gamg)"
    solver.destroy()


def test_null_space_is_attached() -> None:
    n = 20
    diag = np.full(n, 2.0)
    diag[[0, -1]] = 1.0
    one = sp.diags_array([-np.ones(n - 1), diag, -np.ones(n - 1)], offsets=[-1, 0, 1])
    matrix = sp.csr_array(sp.kronsum(one, one))

    class Neumann:
        shape, nullspace = matrix.shape, np.full((n * n, 1), 1 / n)

        def __matmul__(self, x: Any) -> Any:
            return matrix @ x

        def tocsr(self) -> Any:
            return matrix

    b = right_hand_side()
    result = petsc(Neumann(), b - b.mean(), rtol=1e-10).check()
    assert abs(result.x.mean()) < 1e-10


def test_a_petsc_mat_and_vec_pass_unchanged() -> None:
    PETSc = load_petsc()
    A, b = poisson(), right_hand_side()
    mat = PETSc.Mat().createAIJ(A.shape, csr=(A.indptr.astype(np.int32), A.indices.astype(np.int32), A.data))
    mat.assemble()
    vector = mat.createVecLeft()
    vector.setArray(b)
    result = petsc(mat, vector, rtol=1e-8).check()
    assert isinstance(result.x, PETSc.Vec)
    np.testing.assert_allclose(A @ result.x.getArray(), b, atol=1e-6)
    np.testing.assert_allclose(A @ petsc(mat, b, rtol=1e-8).check().x, b, atol=1e-6)


def test_single_precision_goes_in_and_comes_out() -> None:
    A, b = poisson().astype(np.float32), right_hand_side().astype(np.float32)
    result = petsc(A, b, rtol=1e-5).check()
    assert result.x.dtype == np.float32
    assert np.linalg.norm(b.astype(float) - A.astype(float) @ result.x.astype(float)) <= 1e-5 * np.linalg.norm(b)


def test_statuses_say_what_petsc_says() -> None:
    A, b = poisson(), right_hand_side()
    shifted = sp.csr_array(A - 3.0 * sp.eye_array(400))
    result = petsc(shifted, b, options="-ksp_type cg -pc_type none", rtol=1e-8)
    assert result.status is Status.INDEFINITE
    assert "DIVERGED_INDEFINITE_MAT" in result.message
    assert petsc(A, b, maxiter=2, rtol=1e-10).status is Status.MAX_ITERATIONS


def test_wrong_input_is_refused() -> None:
    A, b = poisson(), right_hand_side()
    with pytest.raises(ValueError, match=r"PETSc refuses the options .*ksp_type"):
        petsc(A, b, options="-ksp_type nosuch")
    with pytest.raises(ValueError, match="expected '-name value' pairs"):
        parse_options("cg -pc_type gamg")
    with pytest.raises(ValueError, match="built for real numbers"):
        petsc(A, b + 1j)
    with pytest.raises(ValueError, match="rtol = -1"):
        petsc(A, b, rtol=-1.0)


def test_misspelt_options_are_named(caplog: pytest.LogCaptureFixture) -> None:
    result = petsc(poisson(), right_hand_side(), options="-ksp_type cg -pc_type gamg -pc_gmag_threshold 0.1")
    assert result.details["unused_options"] == ["pc_gmag_threshold"]
    assert "pc_gmag_threshold" in caplog.text
    good = petsc(poisson(), right_hand_side(), options="-ksp_type cg -pc_type gamg -pc_gamg_threshold 0.02")
    assert "unused_options" not in good.details


def test_missing_extra_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "petsc4py", None)
    with pytest.raises(ImportError, match=r"pip install conjugo\[fem\]"):
        petsc(poisson(), right_hand_side())


DISTRIBUTED = """
from mpi4py import MPI
import numpy as np
from conjugo.solvers.adapters.petsc import petsc
from conjugo.solvers.adapters.petsc_objects import load_petsc
PETSc = load_petsc()
comm, n = MPI.COMM_WORLD, 24
da = PETSc.DMDA().create([n, n], stencil_width=1, comm=comm)
mat = da.createMatrix()
(x0, x1), (y0, y1) = da.getRanges()
row, col = PETSc.Mat.Stencil(), PETSc.Mat.Stencil()
for j in range(y0, y1):
    for i in range(x0, x1):
        row.index = (i, j)
        for k, l, v in ((i, j, 4.0), (i - 1, j, -1.0), (i + 1, j, -1.0), (i, j - 1, -1.0), (i, j + 1, -1.0)):
            if 0 <= k < n and 0 <= l < n:
                col.index = (k, l)
                mat.setValueStencil(row, col, v)
mat.assemble()
b = mat.createVecLeft()
lo, hi = b.getOwnershipRange()
index = da.getAO().petsc2app(np.arange(lo, hi, dtype=np.int32))
b.setArray(np.sin(1.0 + index))
seen = []
result = petsc(mat, b, rtol=1e-12, callback=lambda x: seen.append(len(x))).check()
assert set(seen) == {hi - lo}
local = petsc(mat, b.getArray(), rtol=1e-12).check()
assert np.array_equal(local.x, result.x.getArray())
parts = comm.gather((index, result.x.getArray().copy()))
if comm.rank == 0:
    x = np.zeros(n * n)
    for where, values in parts:
        x[where] = values
    import scipy.sparse as sp, scipy.sparse.linalg as spla
    one = sp.diags_array([-np.ones(n - 1), np.full(n, 2.0), -np.ones(n - 1)], offsets=[-1, 0, 1])
    exact = spla.spsolve(sp.csc_array(sp.kronsum(one, one)), np.sin(1.0 + np.arange(n * n)))
    assert np.linalg.norm(x - exact) <= 1e-10 * np.linalg.norm(exact)
    print("same answer on", comm.size)
"""


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 2])
def test_distributed_answer_is_the_serial_one(ranks: int, tmp_path: Path) -> None:
    script = tmp_path / "distributed.py"
    script.write_text(DISTRIBUTED)
    mpiexec = Path(sys.executable).parent / "mpiexec"
    command = [str(mpiexec), "-n", str(ranks), sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert f"same answer on {ranks}" in done.stdout
