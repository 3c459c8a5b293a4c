"""The loss of the learned V-cycle: its derivatives, its pool of problems, and its guards."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import torch
from tests.learned.preconditioners.nets import PROBLEMS, problem, random_net

from conjugo.learned.preconditioners.cycle_tables import level_tables
from conjugo.learned.preconditioners.differentiable_cycle import DifferentiableCycle, interpolation
from conjugo.learned.preconditioners.grid_symmetry import turned
from conjugo.learned.preconditioners.stencil_net import LARGEST_LOGIT, reweigh, strength
from conjugo.learned.preconditioners.stencil_problems import ROTATED, draw
from conjugo.learned.preconditioners.term_products import term_products
from conjugo.learned.preconditioners.worst_modes import Bucket, WorstModes, mode_cost, ritz
from conjugo.learned.training.fit import FitConfig, fit
from conjugo.solvers.multigrid.black_box import deal, finest
from conjugo.solvers.operators.compact import CompactStencil


def small_pool(**options: Any) -> WorstModes:
    buckets = [Bucket((13, 14), False, ("packed", "solids")), Bucket((12, 11), True, ROTATED)]
    return WorstModes(buckets, **{"size": 4, "batch": 2, "vectors": 3, "fresh": 1, **options})


def test_term_products_have_right_derivatives() -> None:
    tables = level_tables((4, 5), False, "cpu")
    _, rows_a, rows_p = tables.galerkin.rows
    torch.manual_seed(0)
    a = torch.randn(2, rows_a, tables.grid.size, dtype=torch.float64, requires_grad=True)
    p = torch.randn(2, rows_p, tables.grid.size, dtype=torch.float64, requires_grad=True)
    # fast mode: the whole Jacobian has thousands of entries
    assert torch.autograd.gradcheck(lambda x, y: term_products(x, y, tables.galerkin), (a, p), fast_mode=True)


@pytest.mark.parametrize("name", ["2-D", "3-D compact"])
def test_the_loss_has_the_right_derivative(name: str) -> None:
    A = draw(PROBLEMS[name][0], (9, 8) if name == "2-D" else (6, 5, 5), 3)
    grid, rows = finest(A)
    a = torch.from_numpy(deal(grid, rows))[None]
    net = random_net(len(A.grid_shape), scale=0.3, width=3)
    e = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 2, A.diag.size)))
    none = torch.zeros(1, A.diag.size, dtype=torch.int64)
    # two levels: coarser ones read the operator without its derivative
    weight = net.write.weight

    def loss() -> torch.Tensor:
        cycle = DifferentiableCycle(a, A.grid_shape, isinstance(A, CompactStencil), net)
        return mode_cost(ritz(cycle, e, none)[0], 1e-3).mean()

    (gradient,) = torch.autograd.grad(loss(), [weight])
    direction = torch.randn_like(weight)
    h = 1e-5
    with torch.no_grad():
        weight += h * direction
        above = loss()
        weight -= 2 * h * direction
        below = loss()
    assert float((gradient * direction).sum()) == pytest.approx(float(above - below) / (2 * h), rel=1e-5, abs=1e-10)


def test_reweighing_keeps_sums_signs_and_walls_and_stays_finite() -> None:
    tables = level_tables((9, 8), False, "cpu")
    A = draw(("noise",), (9, 8), 1)
    grid, rows = finest(A)
    p = interpolation(tables, torch.from_numpy(deal(grid, rows))[None])
    p[:, 2] *= 1e-300  # as where a coupling is rounding noise
    p[:, 3] *= -1.0
    logits = torch.full((1, len(grid.weights), grid.size), 1e6, dtype=torch.float64)
    logits[:, ::2] = -1e6
    logits.requires_grad_()
    v = reweigh(tables.grid, p, logits)
    v.square().sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())
    assert bool((v.sign() == p.sign())[:, 2:-1].all())
    for kind in grid.kinds:
        mine = [2 + grid.weights[c] for c in grid.corners(kind)]
        torch.testing.assert_close(v[:, mine].sum(1), p[:, mine].sum(1))
    assert torch.equal(reweigh(tables.grid, p, torch.zeros_like(logits))[:, 2:-1], p[:, 2:-1])
    assert LARGEST_LOGIT < 700 / 2


def test_strength_is_logarithmic() -> None:
    r = torch.tensor([1.0, -1e-3, 1e-6, 0.0, 5.0])
    torch.testing.assert_close(strength(r), torch.tensor([1.0, -0.5, 0.0, 0.0, 1.0]), atol=1e-6, rtol=0.0)


@pytest.mark.parametrize("name", PROBLEMS)
def test_ritz_values_lie_between_0_and_1_even_for_dependent_errors(name: str) -> None:
    A = problem(name)
    grid, rows = finest(A)
    a = torch.from_numpy(deal(grid, rows))[None]
    e = torch.randn(1, 3, A.diag.size, dtype=torch.float64)
    e[:, 2] = e[:, 0]
    none = torch.zeros(1, A.diag.size, dtype=torch.int64)
    with torch.no_grad():
        cycle = DifferentiableCycle(a, A.grid_shape, isinstance(A, CompactStencil), random_net(len(A.grid_shape)))
        mu, after = ritz(cycle, e, none)
    assert bool((mu > 0).all())
    assert float(mu.max()) <= 1 + 1e-9
    assert float(mu[0, -1]) == pytest.approx(1.0)
    assert int(torch.linalg.matrix_rank(after[0])) == 3


def test_constants_do_not_grow() -> None:
    modes = WorstModes([Bucket((12, 13), False, ("solids",))], size=2, batch=2, vectors=3, fresh=0)
    batch = modes(0)
    assert int(batch["parts"].max()) > 0  # a singular problem
    net = random_net(2, scale=0.1).train()
    losses = [float(modes.loss(net, modes(0)).detach()) for _ in range(60)]
    assert float(modes(0)["e"].abs().max()) < 1e6
    assert losses[-1] == pytest.approx(losses[-10], rel=0.2)


def test_training_reduces_the_loss_on_a_fixed_pool() -> None:
    modes = small_pool(fresh=0, size=2, turns=4)
    net = random_net(2, scale=1e-3).float()
    config = FitConfig(steps=60, learning_rate=1e-2, schedule="constant")
    before = np.mean([float(modes.loss(net, batch).detach()) for batch in (modes(0), modes(1))])
    history = fit(net, modes.loss, modes, config=config, progress=False)
    after = np.mean([float(modes.loss(net, batch).detach()) for batch in (modes(0), modes(1))])
    assert np.isfinite(history.gradient_norms).all()
    assert after < 0.9 * before


def test_the_pool_is_restored_bit_for_bit() -> None:
    net, modes = random_net(2, scale=0.1).train(), small_pool()
    for step in range(9):
        modes.loss(net, modes(step))
    saved = modes.state_dict()
    other = small_pool()
    other.load_state_dict(saved)
    torch.manual_seed(0)
    mine = [modes(step) for step in range(9, 12)]
    torch.manual_seed(0)
    theirs = [other(step) for step in range(9, 12)]
    for x, y in zip(mine, theirs, strict=True):
        assert all(torch.equal(x[key], y[key]) for key in x)


def test_every_slot_of_the_pool_is_renewed() -> None:
    modes = WorstModes([Bucket((8, 8), False, ("noise",))], size=4, batch=2, vectors=2, fresh=1)
    first = modes(0)["a"], modes(1)["a"]
    for step in range(2, 8):
        modes(step)
    now = modes._pools[0][0]
    assert not any(torch.equal(a, b) for a, b in zip(torch.cat(first), now, strict=True))


def test_a_problem_that_is_not_finite_does_not_spoil_the_step() -> None:
    modes = small_pool()
    net = random_net(2, scale=0.1).train()
    batch = modes(0)
    batch["a"] = batch["a"].clone()
    batch["a"][0, 5:7, 10:12] = torch.inf
    loss = modes.loss(net, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    assert bool(torch.isfinite(loss))
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in net.parameters())
    assert bool(torch.isfinite(modes(0)["e"]).all())


@pytest.mark.parametrize("name", ["2-D", "2-D compact", "3-D", "3-D compact"])
def test_turning_a_stencil_permutes_its_unknowns(name: str) -> None:
    A = draw(PROBLEMS[name][0], (4, 3) if name.startswith("2") else (3, 4, 2), 2)
    shape, x = A.grid_shape, np.random.default_rng(0).standard_normal(A.diag.size)

    def moved(v: Any, axes: Sequence[int], flips: Sequence[int]) -> Any:
        return np.flip(np.transpose(v.reshape(shape), axes), tuple(flips)).ravel()

    for axes in permutations(range(len(shape))):
        for bits in product((0, 1), repeat=len(shape)):
            flips = [axis for axis, bit in enumerate(bits) if bit]
            B = turned(A, axes, flips)
            np.testing.assert_allclose(B @ moved(x, axes, flips), moved(A @ x, axes, flips), rtol=1e-12, atol=1e-9)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="batch = 9"):
        small_pool(batch=9)
    with pytest.raises(ValueError, match=r"families \['nois'\]"):
        WorstModes([Bucket((8, 8), False, ("nois",))])
    with pytest.raises(ValueError, match="on their own"):
        WorstModes([Bucket((8, 8), False, ("noise", "rotated"))])
    with pytest.raises(ValueError, match="set compact = True"):
        WorstModes([Bucket((8, 8), False, ("rotated",))], size=1, batch=1)(0)
    tables = level_tables((4, 5), False, "cpu")
    with pytest.raises(ValueError, match="expected float64"):
        term_products(torch.zeros(1, 1, 3), torch.zeros(1, 1, 3), tables.galerkin)
    with pytest.raises(ValueError, match="expected a permutation"):
        turned(draw(("noise",), (8, 8), 0), (0, 0), ())
