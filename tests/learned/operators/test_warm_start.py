"""WarmStart: each outcome on a guess made for it, against plain NumPy; any library, block, grid; bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conjugo.learned.operators.guess_test import relaxation
from conjugo.learned.operators.warm_start import WarmStart
from conjugo.pde import LinearProblem, poisson
from conjugo.solvers import Multigrid, cg, solve, splu

N = 31
X, Y = np.meshgrid(np.linspace(0, 1, N + 2), np.linspace(0, 1, N + 2), indexing="ij")
MEDIUM = np.where(np.sin(5 * X) * np.cos(4 * Y) > 0, 12.0, 3.0)


def darcy() -> LinearProblem:
    """-div(a grad u) = 1 with a two-valued a; the coefficient is on the nodes with the walls."""
    problem = poisson((N, N), coefficient=MEDIUM[1:-1, 1:-1], rhs=np.ones((N, N)))
    return LinearProblem(problem.A, problem.b, grid=problem.grid, name="darcy", coefficient=MEDIUM)


def solution(problem: LinearProblem) -> NDArray[np.float64]:
    return np.asarray(splu(problem.A) @ problem.b)


def says(x: NDArray[Any]) -> Callable[[Tensor], Tensor]:
    """A model that answers x on the nodes with walls, whatever it sees."""
    field = torch.zeros(1, 1, N + 2, N + 2)
    field[0, 0, 1:-1, 1:-1] = torch.as_tensor(x.reshape(N, N))
    return lambda seen: field.expand(seen.shape[0], -1, -1, -1)


def energy(problem: LinearProblem, x: NDArray[Any]) -> float:
    return float(x @ (problem.A @ x) / 2 - problem.b @ x)


def roughness(n: int = N) -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal(n * n)


def guesses() -> dict[str, NDArray[np.float64]]:
    problem = darcy()
    x = solution(problem)
    noise = roughness()
    small = np.linalg.norm(x) / np.linalg.norm(noise)
    return {
        "accepted": x * (1 + 1e-3 * np.sin(3 * X[1:-1, 1:-1].ravel())),
        "scaled": 3.0 * x,
        "smoothed": x + 0.02 * small * noise,
        "refused": noise * np.nan,
    }


@pytest.mark.parametrize("wanted", ["accepted", "scaled", "smoothed", "refused"])
def test_each_outcome_and_its_numbers(wanted: str) -> None:
    problem = darcy()
    x = guesses()[wanted]
    guess = WarmStart(says(x))(problem)
    assert guess.outcome == wanted
    if wanted == "refused":
        assert guess.x0 is None
        assert "not finite" in guess.reason
        assert (guess.residual_after, guess.energy_after) == (1.0, 0.0)
        return
    bnorm = np.linalg.norm(problem.b)
    assert guess.residual_before == pytest.approx(np.linalg.norm(problem.b - problem.A @ x) / bnorm, rel=1e-3)
    assert guess.energy_before == pytest.approx(energy(problem, x), rel=1e-4)
    assert guess.residual_after == pytest.approx(np.linalg.norm(problem.b - problem.A @ guess.x0) / bnorm)
    assert guess.energy_after == pytest.approx(energy(problem, guess.x0))
    assert guess.residual_after < 1
    assert isinstance(guess.energy_after, float)
    assert guess.energy_after < 0
    assert guess.seconds == guess.inference_seconds + guess.test_seconds > 0
    if wanted == "scaled":
        assert guess.scale == pytest.approx(1 / 3, rel=1e-5)


@pytest.mark.parametrize("wanted", ["accepted", "scaled", "smoothed", "refused"])
def test_the_answer_is_right_whatever_the_guess(wanted: str) -> None:
    problem = darcy()
    warm = WarmStart(says(guesses()[wanted]))
    result = solve(problem, method="cg", rtol=1e-9, guess=warm)
    assert result.converged
    assert np.linalg.norm(problem.b - problem.A @ result.x) <= 1e-9 * np.linalg.norm(problem.b)
    assert result.details["guess"]["outcome"] == wanted
    plain = cg(problem.A, problem.b, rtol=1e-9)
    if wanted == "refused":
        np.testing.assert_array_equal(result.x, plain.x)
    else:
        assert result.iterations <= plain.iterations


def test_the_tolerance_is_on_b_not_on_the_first_residual() -> None:
    problem = darcy()
    guess = WarmStart(says(solution(problem)))(problem)
    assert cg(problem.A, problem.b, x0=guess.x0, rtol=1e-3).iterations == 0  # float32 rounding is far below
    result = cg(problem.A, problem.b, x0=guess.x0, rtol=1e-10)
    assert result.residuals[-1] <= 1e-10 * np.linalg.norm(problem.b)
    assert result.residuals[-1] > 1e-10 * result.residuals[0]


def test_without_smoothing_a_rough_guess_is_refused_and_multigrid_mends_it() -> None:
    problem = darcy()
    model = says(guesses()["smoothed"])
    refused = WarmStart(model, sweeps=0)(problem)
    assert refused.outcome == "refused"
    assert "no multiple passes, and nothing smooths" in refused.reason
    mended = WarmStart(model, sweeps=0)(problem, M=Multigrid(problem.A, symmetric=True))
    assert mended.outcome == "smoothed"
    assert mended.products == 3


def test_what_is_smooth_in_a_rough_guess_is_kept() -> None:
    problem = darcy()
    x = solution(problem)
    rough = 0.05 * np.linalg.norm(x) / np.linalg.norm(roughness()) * roughness()
    guess = WarmStart(says(x + rough))(problem)
    assert guess.outcome == "smoothed"
    assert guess.scale < 0.99  # the multiple of least energy is far from 1, for the roughness alone
    least = energy(problem, x)
    assert energy(problem, guess.x0) - least < 0.1 * (energy(problem, guess.scale * (x + rough)) - least)


def test_relaxation_never_adds_energy_and_damps_what_is_rough() -> None:
    problem = darcy()
    S = relaxation(problem.A, 8)
    assert S is not None
    matrix = problem.A.tocsr().toarray()
    iteration = np.eye(problem.n) - np.column_stack([S.operator @ column for column in matrix.T])
    root = np.sqrt(problem.A.diagonal())
    values = np.linalg.eigvalsh((root[:, None] * iteration / root[None, :] + (root[:, None] * iteration / root).T) / 2)
    assert np.abs(values).max() < 1.0
    smooth = np.linalg.eigvalsh(matrix / np.outer(root, root))
    assert np.sum(np.abs(values) < 0.05) >= np.sum(smooth > smooth.max() / 8)


def test_blocks_are_judged_column_by_column() -> None:
    problem = darcy()
    cases = guesses()
    columns = np.stack([cases["accepted"], cases["scaled"], cases["smoothed"], cases["refused"], cases["accepted"]])
    field = torch.zeros(5, 1, N + 2, N + 2)
    field[:, 0, 1:-1, 1:-1] = torch.as_tensor(columns.reshape(5, N, N))
    B = np.repeat(problem.b[:, None], 5, axis=1)
    B[:, 4] = 0.0
    block = LinearProblem(problem.A, B, grid=problem.grid, coefficient=np.repeat(MEDIUM[None, None], 5, axis=0))
    guess = WarmStart(lambda seen: field)(block)
    assert guess.outcome == ("accepted", "scaled", "smoothed", "refused", "refused")
    for j, name in enumerate(guess.outcome[:3]):
        alone = WarmStart(says(columns[j]))(problem)
        assert alone.outcome == name
        np.testing.assert_allclose(guess.x0[:, j], alone.x0, rtol=1e-10, atol=1e-14)
    assert not guess.x0[:, 3:].any()
    result = cg(problem.A, B, x0=guess.x0, rtol=1e-9).check()
    assert not result.x[:, 4].any()


@pytest.mark.parametrize("order", ["C", "F"])
def test_cg_takes_a_block_of_guesses_in_either_order(order: Any) -> None:
    problem = darcy()
    rng = np.random.default_rng(4)
    B, x0 = rng.standard_normal((2, problem.n, 3))
    result = cg(problem.A, np.asarray(B, order=order), x0=np.ascontiguousarray(x0), rtol=1e-9).check()
    np.testing.assert_allclose(result.x, splu(problem.A) @ B, rtol=1e-6, atol=1e-9)


def test_one_answer_serves_a_block_and_each_column_finds_its_scale() -> None:
    problem = darcy()
    B = problem.b[:, None] * [1.0, 10.0, -4.0]
    block = LinearProblem(problem.A, B, grid=problem.grid, coefficient=MEDIUM)
    guess = WarmStart(says(solution(problem)))(block)
    np.testing.assert_allclose(guess.scale, [1.0, 10.0, -4.0], rtol=1e-5)
    assert guess.outcome == ("accepted", "accepted", "scaled")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_torch_gives_what_numpy_gives(dtype: torch.dtype) -> None:
    problem = darcy()
    b = torch.as_tensor(problem.b, dtype=dtype)
    other = LinearProblem(problem.A, b, grid=problem.grid, coefficient=torch.as_tensor(MEDIUM))
    for wanted, x in guesses().items():
        ours, theirs = WarmStart(says(x))(other), WarmStart(says(x))(problem)
        assert ours.outcome == theirs.outcome == wanted
        if theirs.x0 is not None:
            assert ours.x0.dtype == dtype
            np.testing.assert_allclose(ours.x0.numpy(), theirs.x0, rtol=2e-4, atol=1e-6 * np.abs(theirs.x0).max())


def test_assembled_matrices_do_as_well_and_torch_ones_go_unsmoothed() -> None:
    problem = darcy()
    rough = says(guesses()["smoothed"])
    csr = LinearProblem(problem.A.tocsr(), problem.b, grid=problem.grid, coefficient=MEDIUM)
    assert WarmStart(rough)(csr).outcome == "smoothed"
    dense = torch.as_tensor(problem.A.tocsr().toarray())
    tensors = LinearProblem(dense, torch.as_tensor(problem.b), grid=problem.grid, coefficient=MEDIUM)
    assert WarmStart(rough)(tensors).outcome == "refused"
    assert WarmStart(says(guesses()["scaled"]))(tensors).outcome == "scaled"


def test_unsymmetric_and_indefinite_operators_are_tested_by_the_residual_alone() -> None:
    problem = poisson((N, N), shift=-300.0)
    x = solution(problem)
    b = problem.b
    guess = WarmStart(says(x))(LinearProblem(problem.A, b, grid=problem.grid, coefficient=MEDIUM))
    assert guess.outcome == "accepted"
    lowest = np.sin(np.pi * X) * np.sin(np.pi * Y)  # its Rayleigh quotient is 2 pi^2 - 300
    b = problem.A @ lowest[1:-1, 1:-1].ravel()
    indefinite = LinearProblem(problem.A, b, grid=problem.grid, coefficient=MEDIUM)
    guess = WarmStart(says(3 * lowest[1:-1, 1:-1].ravel()))(indefinite)
    assert guess.outcome == "scaled"
    assert guess.scale == pytest.approx(1 / 3, rel=1e-5)
    assert np.isnan(guess.energy_after)
    assert "residual only" in guess.reason
    unsymmetric = sp.csr_array(sp.diags_array([np.full(N * N, 2.0), np.full(N * N - 1, -0.5)], offsets=[0, 1]))
    unsymmetric.symmetric = False
    y = roughness()
    stated = LinearProblem(unsymmetric, unsymmetric @ y, grid=problem.grid, coefficient=MEDIUM)
    guess = WarmStart(says(-y))(stated)
    assert guess.outcome == "scaled"
    assert guess.scale == pytest.approx(-1, rel=1e-5)


def test_a_coarse_model_serves_a_fine_problem() -> None:
    size, coarse = 121, 41
    x = np.linspace(0, 1, size)
    u = np.sin(np.pi * x)[:, None] * np.sin(2 * np.pi * x)[None, :]
    problem = poisson((size - 2, size - 2), rhs=np.zeros((size - 2, size - 2)))
    b = problem.A @ u[1:-1, 1:-1].ravel()
    seen: list[Tensor] = []

    def model(a: Tensor) -> Tensor:
        seen.append(a)
        return torch.as_tensor(u[::3, ::3], dtype=torch.float32)[None, None] + 0.1 * (a == 7)

    a = np.arange(size * size, dtype=np.float64).reshape(size, size)
    guess = WarmStart(model, size=coarse)(LinearProblem(problem.A, b, grid=problem.grid, coefficient=a))
    np.testing.assert_array_equal(seen[0][0, 0].numpy(), a[::3, ::3].astype(np.float32))
    assert guess.outcome == "accepted"
    np.testing.assert_allclose(guess.x0, u[1:-1, 1:-1].ravel(), atol=2e-5)  # h^4 of the coarse grid, and float32


def test_masked_unknowns_start_from_b() -> None:
    problem = poisson((N, N), mask="disc", rhs="smooth")
    exact = np.asarray(cg(problem.A, problem.b, rtol=1e-10).x)
    active = problem.active
    assert active is not None
    nonsense = np.where(active, exact, 1e6)
    guess = WarmStart(says(nonsense), inputs=lambda problem: MEDIUM)(problem)
    assert guess.outcome == "accepted"
    np.testing.assert_array_equal(guess.x0[~active], problem.b[~active])


def test_a_model_keeps_its_mode_and_gets_no_gradients() -> None:
    class Doubtful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.drop = nn.Dropout(0.5)

        def forward(self, a: Tensor) -> Tensor:
            answer: Tensor = self.scale * self.drop(a)
            return answer

    model = Doubtful().train()
    first, second = (WarmStart(model)(darcy()) for _ in range(2))
    assert model.training
    assert first.residual_before == second.residual_before
    assert model.scale.grad is None


def test_the_config_of_a_model_names_its_grid() -> None:
    class Config:
        grid = (17, 17)

    class Coarse(nn.Module):
        config = Config()

        def forward(self, a: Tensor) -> Tensor:
            assert a.shape[-2:] == (17, 17)
            return 0 * a

    guess = WarmStart(Coarse())(darcy())
    assert guess.outcome == "refused"


def test_smooth_errors_save_iterations_and_white_ones_are_mended() -> None:
    problem = darcy()
    x = solution(problem)
    modes = np.zeros((N, N))
    modes[:4, :4] = np.random.default_rng(2).standard_normal((4, 4))
    smooth = scipy.fft.idstn(modes, type=1).ravel()
    zero = cg(problem.A, problem.b, rtol=1e-4).iterations
    for error in (smooth, roughness()):
        error = 0.0065 * np.linalg.norm(x) / np.linalg.norm(error) * error
        guess = WarmStart(says(x + error))(problem)
        assert guess.outcome != "refused"
        assert cg(problem.A, problem.b, x0=guess.x0, rtol=1e-4).iterations + guess.products < zero


def test_bad_input_is_named() -> None:
    problem = darcy()
    model = says(roughness())
    bare = poisson((N, N))
    with pytest.raises(ValueError, match="carries no coefficient: pass fields="):
        WarmStart(model)(bare)
    with pytest.raises(ValueError, match="has no grid"):
        WarmStart(model)(LinearProblem(problem.A, problem.b, coefficient=MEDIUM))
    with pytest.raises(ValueError, match=r"the fields have shape \(20, 20\): expected \(33, 33\)"):
        WarmStart(model)(problem, fields=np.ones((20, 20)))
    with pytest.raises(ValueError, match=r"the fields have shape \(33,\): expected \(\*shape\)"):
        WarmStart(model)(problem, fields=np.ones(33))
    with pytest.raises(ValueError, match="the fields hold NaN"):
        WarmStart(model)(problem, fields=MEDIUM * np.nan)
    with pytest.raises(ValueError, match="2 samples for 1 right-hand sides"):
        WarmStart(model)(problem, fields=np.ones((2, 1, N, N)))
    with pytest.raises(ValueError, match=r"the model gave \(1, 2, 33, 33\): expected \(1, 1, 33, 33\)"):
        WarmStart(lambda a: a.expand(-1, 2, -1, -1))(problem)
    with pytest.raises(ValueError, match="b has dtype complex128"):
        WarmStart(model)(LinearProblem(problem.A, problem.b * 1j, grid=problem.grid, coefficient=MEDIUM))
    with pytest.raises(ValueError, match="sweeps = -1"):
        WarmStart(model, sweeps=-1)
    with pytest.raises(ValueError, match="size = 2: expected 4 or more"):
        WarmStart(model, size=2)
    with pytest.raises(ValueError, match="expected 2 numbers of nodes"):
        WarmStart(model, size=(9, 9, 9))(problem)
    with pytest.raises(ValueError, match="guess makes x0 from a problem"):
        solve(problem.A, problem.b, guess=WarmStart(model))


def test_inputs_stay_as_they_were() -> None:
    problem = darcy()
    b, a = problem.b.copy(), MEDIUM.copy()
    answer = torch.ones(1, 1, N + 2, N + 2)
    WarmStart(lambda seen: answer)(problem)
    np.testing.assert_array_equal(problem.b, b)
    np.testing.assert_array_equal(MEDIUM, a)
    assert bool((answer == 1).all())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_what_the_cpu_gives() -> None:
    problem = darcy()
    b = torch.as_tensor(problem.b, device="cuda")
    there = LinearProblem(problem.A, b, grid=problem.grid, coefficient=torch.as_tensor(MEDIUM, device="cuda"))
    for wanted, x in guesses().items():
        ours, theirs = WarmStart(says(x))(there), WarmStart(says(x))(problem)
        assert ours.outcome == wanted
        if theirs.x0 is not None:
            assert ours.x0.device.type == "cuda"
            np.testing.assert_allclose(ours.x0.cpu().numpy(), theirs.x0, rtol=1e-6, atol=1e-9)
