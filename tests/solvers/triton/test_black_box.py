"""The black-box cycle on the device against the compiled one on the CPU, from the same tables."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from conjugo.pde.poisson.assemble import poisson
from conjugo.solvers import cg
from conjugo.solvers.multigrid.black_box import BlackBoxHierarchy

torch = pytest.importorskip("torch")
if find_spec("triton") is None:
    pytest.skip("triton is not installed", allow_module_level=True)

from conjugo.solvers.triton.black_box import CudaBlackBox  # noqa: E402
from conjugo.solvers.triton.language import tl  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu" and type(tl.sum).__name__ == "JITFunction":
    pytest.skip("triton was imported without its interpreter before these tests", allow_module_level=True)

CASES = [
    ((37, 41), "dirichlet", "V", {}),
    ((44, 36), "periodic", "W", {}),
    ((9, 12, 10), "neumann", "V", {}),
    ((40, 40), "dirichlet", "W", {"mask": "flower"}),
]


def hierarchy_of(shape: tuple[int, ...], bc: Any, cycle: str, more: dict[str, Any], **options: Any) -> tuple[Any, Any]:
    """A jumpy problem and its hierarchy."""
    problem = poisson(shape, coefficient="inclusions", contrast=1e3, bc=bc, **more)
    return problem, BlackBoxHierarchy(problem.A, cycle=cycle, symmetric=True, **options)


def on_cpu(hierarchy: BlackBoxHierarchy, r: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One cycle of the compiled code."""
    z = np.empty_like(r)
    hierarchy.cycle(r, z)
    return z


@pytest.mark.parametrize(
    ("precision", "shape", "bc", "cycle", "more"), [(np.float32, *CASES[2]), *((np.float64, *case) for case in CASES)]
)
def test_cycle_equals_the_compiled_one(precision: Any, shape: Any, bc: Any, cycle: str, more: dict[str, Any]) -> None:
    problem, hierarchy = hierarchy_of(shape, bc, cycle, more, dtype=precision)
    M = CudaBlackBox(hierarchy, device=DEVICE)
    rng = np.random.default_rng(0)
    r = np.stack([problem.b, rng.standard_normal(problem.b.size)], axis=1)
    if bc != "dirichlet":
        r -= r.mean(axis=0)
    got = (M @ torch.as_tensor(r, device=DEVICE)).cpu().numpy()
    bound = 2e-5 if precision == np.float32 else 1e-11
    for column in range(2):
        expected = on_cpu(hierarchy, np.ascontiguousarray(r[:, column]))
        assert np.linalg.norm(got[:, column] - expected) < bound * np.linalg.norm(expected)


def test_relaxation_factors_and_other_transfer_weights() -> None:
    problem, hierarchy = hierarchy_of((33, 30), "dirichlet", "V", {}, dtype=np.float64)
    M = CudaBlackBox(hierarchy, device=DEVICE)
    r = torch.as_tensor(problem.b, device=DEVICE)
    plain = M @ r
    for level in hierarchy.levels:
        level.omega = np.ones(level.x.shape)
        level.transfer = level.w.copy()
    assert torch.allclose(CudaBlackBox(hierarchy, device=DEVICE) @ r, plain, rtol=1e-12, atol=0)
    rng = np.random.default_rng(1)
    for level in hierarchy.levels:
        level.omega = rng.uniform(0.5, 1.5, level.x.shape)
        level.transfer = 0.5 * level.w
    M = CudaBlackBox(hierarchy, device=DEVICE)
    other = M @ r
    assert not torch.allclose(other, plain, rtol=1e-3)
    level = M.levels[0]
    level.load(r[None])
    level.x.normal_()
    level.x[0][level.dinv == 0] = 0
    before, b = level.x[0].cpu().numpy().copy(), level.b[0].cpu().numpy()
    source, omega = hierarchy.levels[0], hierarchy.levels[0].omega
    kind, variant, members, _ = level.pre[0][0]
    level.run(level.pre[0][:1])
    assert (kind, variant) == (0, 0)
    lo, hi = source.grid.range
    for s in members.tolist():
        t = b[s, lo:hi].copy()
        for m, n, f, g in source.steps[0, s]:
            t -= source.k[m, s, lo:hi] * before[n, lo + f : hi + f]
            t -= source.k[m, n, lo + g : hi + g] * before[n, lo + g : hi + g]
        w = omega[s, lo:hi]
        expected = (1 - w) * before[s, lo:hi] + w * t * source.dinv[s, lo:hi]
        np.testing.assert_allclose(level.x[0, s, lo:hi].cpu().numpy(), expected, rtol=1e-12, atol=1e-14)


def test_cg_takes_as_many_iterations_as_with_the_compiled_cycle() -> None:
    problem, hierarchy = hierarchy_of((33, 30), "dirichlet", "V", {})
    M = CudaBlackBox(hierarchy, device=DEVICE)

    class OnCpu:
        shape = problem.A.shape

        def __matmul__(self, r: Any) -> Any:
            return on_cpu(hierarchy, r)

    there = cg(problem.A, torch.as_tensor(problem.b, device=DEVICE), M=M, rtol=1e-5)
    here = cg(problem.A, problem.b, M=OnCpu(), rtol=1e-5)
    assert there.converged
    assert there.iterations == here.iterations


def test_wrong_input_is_refused() -> None:
    _, hierarchy = hierarchy_of((33, 30), "dirichlet", "V", {})
    M = CudaBlackBox(hierarchy, device=DEVICE)
    with pytest.raises(ValueError, match=r"r has shape \(3,\)"):
        M @ torch.zeros(3, device=DEVICE)
    with pytest.raises(ValueError, match="expected a real tensor"):
        M @ np.zeros(990)  # type: ignore[operator]
    if DEVICE == "cpu":
        with pytest.raises(ValueError, match="no CUDA device is there"):
            CudaBlackBox(hierarchy)
