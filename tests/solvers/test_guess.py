"""First guesses: what each reproduces exactly, what Fischer's projection minimises, and what the gate refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from conjugo.solvers import cg
from conjugo.solvers.guess import Extrapolation, Fischer, Guess, Previous

type Values = NDArray[np.float64]


def definite(n: int = 30, seed: int = 0, spread: float = 3.0) -> Values:
    """A symmetric positive definite matrix with condition 10^spread."""
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    A = (Q * np.logspace(0, spread, n)) @ Q.T
    return (A + A.T) / 2


def history(A: Values, guess: Guess, count: int, seed: int = 1) -> list[Values]:
    """Random solutions, given to the guess."""
    rng = np.random.default_rng(seed)
    solutions = [rng.standard_normal(len(A)) for _ in range(count)]
    for x in solutions:
        guess.update(A, x, A @ x)
    return solutions


def energy(A: Values, x: Values, b: Values) -> float:
    return float(x @ A @ x / 2 - b @ x)


def best_in_span(A: Values, b: Values, span: list[Values]) -> Values:
    """Minimiser of the energy, by a least-squares solve with A's Cholesky factor."""
    L = np.linalg.cholesky(A)
    V = np.stack(span, axis=1)
    return np.asarray(V @ np.linalg.lstsq(L.T @ V, np.linalg.solve(L, b), rcond=1e-12)[0])


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_extrapolation_is_exact_for_polynomials_in_time(order: int) -> None:
    rng = np.random.default_rng(order)
    A, coefficients = definite(), rng.standard_normal((order + 1, 30))
    guess: Guess = Previous(gate=False) if order == 0 else Extrapolation(order, gate=False)
    x = [sum(c * t**k for k, c in enumerate(coefficients)) for t in np.arange(8.0)]
    for t in range(7):
        guess.update(A, x[t], A @ x[t])
    assert np.allclose(guess(A, A @ x[7]), x[7], atol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_extrapolation_error_falls_with_the_order(order: int) -> None:
    """Of sin(t): the next difference, h^(order + 1), halved steps divide it by 2^(order + 1)."""
    errors = []
    for h in (0.02, 0.01):
        guess = Extrapolation(order, gate=False)
        for t in range(6):
            guess.update(np.eye(1), np.sin([1 + h * (t - 6)]), np.zeros(1))
        errors.append(abs(float(guess(np.eye(1), np.ones(1))[0]) - np.sin(1.0)))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.1)


@pytest.mark.parametrize("count", [1, 4, 9])
@pytest.mark.parametrize("restart", [False, True])
def test_fischer_minimises_the_energy_over_the_span(count: int, restart: bool) -> None:
    """Against a dense least-squares solve; beyond the depth of 5, over the last 5, or those since the restart."""
    A = definite()
    guess = Fischer(5, restart=restart, gate=False)
    solutions = history(A, guess, count)
    kept = (count - 1) % 5 + 1 if restart else min(count, 5)
    b = np.random.default_rng(7).standard_normal(30)
    assert guess.size == kept
    assert np.allclose(guess(A, b), best_in_span(A, b, solutions[-kept:]), atol=1e-10)


def test_fischer_is_exact_where_the_solution_lies_in_the_span() -> None:
    """Also long after the oldest solutions were dropped: the basis stays orthonormal."""
    A = definite(spread=6)
    guess = Fischer(6)
    solutions = history(A, guess, 200)
    x = sum((i - 2.5) * v for i, v in enumerate(solutions[-6:]))
    W = guess._W
    assert np.allclose(W @ A @ W.T, np.eye(6), atol=1e-9)
    assert np.allclose(guess(A, A @ x), x, rtol=1e-8)
    assert guess.verdict.accepted
    assert guess.verdict.residual < 1e-9


def test_fischer_needs_no_product_a_guess_and_one_an_update() -> None:
    A = definite()

    class Counted:
        shape, products = A.shape, 0

        def __matmul__(self, x: Any) -> Any:
            Counted.products += 1
            return A @ x

    counted, guess = Counted(), Fischer(3)
    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal(30)
        guess.update(counted, x, A @ x)
    assert Counted.products == 5
    guess(counted, np.ones(30))
    assert Counted.products == 5
    guess(counted, np.ones(30), extra=[np.arange(30.0)])
    assert Counted.products == 6


def test_fischer_follows_another_matrix() -> None:
    """The span stays, the energy is the new one's."""
    A, other = definite(), definite(seed=5)
    guess = Fischer(4, gate=False)
    solutions = history(A, guess, 7)
    b = np.random.default_rng(3).standard_normal(30)
    assert np.allclose(guess(other, b), best_in_span(other, b, solutions[-4:]), atol=1e-9)


def test_dependent_solutions_do_not_spoil_the_basis() -> None:
    A, guess = definite(), Fischer(4, gate=False)
    x, y = np.random.default_rng(0).standard_normal((2, 30))
    for v in (x, 2 * x, x, y, x + y, np.zeros(30)):
        guess.update(A, v, A @ v)
    assert guess.size == 2
    assert np.allclose(guess(A, A @ (3 * x - y)), 3 * x - y)


def test_nearly_dependent_solutions_keep_the_basis_accurate() -> None:
    """A slow sequence: each solution adds 1e-8 of itself to the span. The stored A W must stay that of W."""
    A, guess = definite(spread=5), Fischer(20)
    rng = np.random.default_rng(0)
    smooth, rough = rng.standard_normal((2, 30)), rng.standard_normal((400, 30))
    for t in range(400):
        guess.update(A, smooth[0] + 0.01 * t * smooth[1] + 1e-8 * rough[t], np.zeros(30))
    W, AW = guess._W[: guess.size], guess._AW[: guess.size]
    assert np.allclose(W @ A, AW, rtol=0, atol=1e-9 * float(np.abs(AW).max()))
    x = smooth[0] + 5 * smooth[1]
    assert np.linalg.norm(guess(A, A @ x) - x) < 1e-6 * np.linalg.norm(x)
    assert guess.verdict.accepted


def test_extra_vectors_join_for_one_guess() -> None:
    A, guess = definite(), Fischer(3, gate=False)
    solutions = history(A, guess, 3)
    rng = np.random.default_rng(11)
    v = rng.standard_normal(30)
    x = solutions[1] + 0.3 * v
    assert np.allclose(guess(A, A @ x, extra=[v]), x)
    assert guess.verdict.extra == 1
    assert not np.allclose(guess(A, A @ x), x)
    assert np.allclose(Fischer(3)(A, A @ v, extra=[2 * v]), v)


def test_an_extra_vector_that_raises_the_residual_is_left_out() -> None:
    """Its part of the energy is small, its residual large: a rough vector."""
    A = np.diag([1.0, 1e6])
    guess = Fischer(2)
    guess.update(A, np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    b, rough = np.array([1.0, 0.01]), np.array([0.3, 1e-3])
    found = guess(A, b, extra=[rough])
    assert guess.verdict.extra == 1  # after the basis has taken its first component, it is exact
    assert np.allclose(found, b / A.diagonal())
    other = Fischer(2)
    x = other(A, b, extra=[rough])  # alone its step lowers the energy, and the residual is 275 times that of zero
    assert other.verdict.extra == 0
    assert not np.any(x)


def test_two_extra_vectors_are_minimised_over_together() -> None:
    A, guess = definite(spread=0.5), Fischer(3)
    solutions = history(A, guess, 3)
    b, *extra = np.random.default_rng(2).standard_normal((3, 30))
    x = guess(A, b, extra=extra)
    assert guess.verdict.extra == 2
    assert np.allclose(x, best_in_span(A, b, [*solutions, *extra]), atol=1e-10)


@pytest.mark.parametrize("guess", [Previous(), Extrapolation(3), Fischer(4), Fischer(4, restart=True)])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), spread=st.floats(0, 8))
def test_never_worse_than_zero(guess: Guess, seed: int, spread: float) -> None:
    """For random solutions and right-hand sides that have nothing to do with each other."""
    A = definite(12, seed, spread)
    guess.reset()
    history(A, guess, 5, seed)
    b = np.random.default_rng(seed + 1).standard_normal(12)
    x = guess(A, b)
    assert np.linalg.norm(b - A @ x) <= np.linalg.norm(b) * (1 + 1e-9)
    assert energy(A, x, b) <= 1e-12 * float(np.linalg.norm(b)) * float(np.linalg.norm(x))


def test_without_a_history_the_guess_is_zero() -> None:
    for guess in (Previous(), Extrapolation(1), Fischer()):
        assert not np.any(guess(np.eye(3), np.ones(3)))
        assert not guess.verdict.accepted


def test_cg_takes_fewer_iterations_on_a_smooth_sequence() -> None:
    """The use: in a closed loop, with the solver's own inexact history, Fischer < quadratic < previous < zero."""
    from conjugo.pde import poisson

    A = poisson((31, 31)).A.tocsr()
    i = np.arange(961)
    means = []
    for guess in (None, Previous(), Extrapolation(2), Fischer(8)):
        spent = []
        for t in np.arange(0, 3, 0.05):
            b = np.sin(0.01 * i + t) + np.cos(0.02 * i - 2 * t)
            result = cg(A, b, None if guess is None else guess(A, b), rtol=1e-6)
            if guess is not None:
                guess.update(A, result.x, b)
            spent.append(result.iterations)
        means.append(np.mean(spent[10:]))
    assert means == sorted(means, reverse=True)
    assert means[3] < 0.2 * means[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_gives_what_numpy_gives(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    A = definite(spread=1)
    for guess, other in ((Fischer(3), Fischer(3)), (Extrapolation(2), Extrapolation(2))):
        rng = np.random.default_rng(0)
        B = torch.asarray(A.astype(dtype))
        for _ in range(6):
            x = rng.standard_normal(30).astype(dtype)
            guess.update(A.astype(dtype), x, x)
            other.update(B, torch.asarray(x), torch.asarray(x))
        b = rng.standard_normal(30).astype(dtype)
        found = other(B, torch.asarray(b))
        assert found.dtype == getattr(torch, dtype)
        assert np.allclose(found.numpy(), guess(A.astype(dtype), b), atol=1e-4 if dtype == "float32" else 1e-12)


def test_the_history_is_bounded_and_copied() -> None:
    guess, x = Extrapolation(2, gate=False), np.zeros(3)
    for t in range(10):
        x[:] = t
        guess.update(np.eye(3), x, x)
    assert len(guess._history) == 3
    assert np.allclose(guess(np.eye(3), x), 10.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Extrapolation(4), "order = 4: expected 0"),
        (lambda: Fischer(0), "depth = 0: expected an integer of at least 1"),
        (lambda: Fischer(2)(np.eye(3), np.ones((3, 2))), "expected a vector"),
        (lambda: Fischer(2)(np.eye(3), np.ones(4)), "b has 4 rows but A is 3 x 3"),
        (lambda: Fischer(2)(np.eye(3), np.array([1.0, np.nan, 0.0])), "NaN or infinity"),
        (lambda: Fischer(2)(np.eye(3), np.ones(3), extra=[np.ones(2)]), "an extra vector"),
        (lambda: Fischer(2).update(np.eye(3), np.full(3, np.inf), np.ones(3)), "NaN or infinity"),
    ],
)
def test_wrong_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_another_size_asks_for_a_reset() -> None:
    for guess in (Previous(), Fischer(2)):
        guess.update(np.eye(3), np.ones(3), np.ones(3))
        with pytest.raises(ValueError, match=r"reset\(\)"):
            guess(np.eye(4), np.ones(4))
