"""Incompressible flow: exact flows, observed orders, mass, forces, and the meshes under them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("mpi4py.MPI", reason="needs the extra fem", exc_type=ImportError)  # loads libmpi for the next
pytest.importorskip("dolfinx", reason="needs the extra fem", exc_type=ImportError)

from conjugo.pde import fem
from conjugo.pde.fem.cylinder import dfg_cylinder, open_cylinder
from conjugo.pde.fem.pipe import pipe, pipe_flow, pipe_nodes
from conjugo.pde.fem.projection import Projection
from conjugo.pde.fem.quadratic import around_cylinder, block, join, spread
from conjugo.pde.fem.steady import steady
from conjugo.pde.fem.taylor_hood import TaylorHood
from conjugo.pde.fem.wake import Forces, advance, fitting_step, pressure_systems, sampler, strouhal, wake


def ring(n: int) -> TaylorHood:
    """A square of side 4 less the unit disc's half-radius circle, with n elements a side."""
    lines = np.linspace(-2.0, 2.0, n + 1)
    return TaylorHood(around_cylinder(lines, lines, (-2.0, 2.0, -2.0, 2.0), (0.0, 0.0), 0.5))


def test_the_area_round_the_cylinder_converges_with_fourth_order() -> None:
    """Quadratic edges miss a circle's area by O(h^4); a polygon would by O(h^2)."""
    errors = [abs(float(ring(n).weights.sum()) - (16 - np.pi / 4)) for n in (4, 8, 16)]
    assert np.log2(errors[1] / errors[2]) == pytest.approx(4, abs=0.1)


def test_matrices_are_those_of_the_forms() -> None:
    """Against dolfinx's own assembly, on straight triangles and up to the unknowns' order (it is the same)."""
    import ufl
    from dolfinx.fem import assemble_matrix, form

    mesh = fem.square(3)
    space = TaylorHood(mesh)
    V, Q = space._spaces
    u, v, p, q = ufl.TrialFunction(V), ufl.TestFunction(V), ufl.TrialFunction(Q), ufl.TestFunction(Q)
    pairs = [
        (space.mass, u * v), (space.stiffness, ufl.inner(ufl.grad(u), ufl.grad(v))),
        (space.laplacian, ufl.inner(ufl.grad(p), ufl.grad(q))), (space.divergence[1], u.dx(1) * q),
    ]  # fmt: skip
    for found, expected in pairs:
        assert abs(found - assemble_matrix(form(expected * ufl.dx)).to_scipy()).max() < 1e-13


def test_convection_and_its_derivative() -> None:
    """((u . grad) u, 1) of a quadratic field by hand; the Jacobian by a difference, which is exact for a quadratic."""
    space = TaylorHood(fem.square(4))
    x, y = space.nodes.T
    u = np.stack([x * y, x**2], axis=1)  # (u . grad) u = (x y^2 + x^3, 2 x^2 y)
    assert space.convection(u).sum(axis=0) == pytest.approx([1 / 6 + 1 / 4, 1 / 3])
    w = np.random.default_rng(0).standard_normal(u.shape)
    R, C = space.reaction_matrices(u), space.convection_matrix(u)
    derivative = np.stack([R[i][0] @ w[:, 0] + R[i][1] @ w[:, 1] + C @ w[:, i] for i in (0, 1)], axis=1)
    difference = (space.convection(u + w) - space.convection(u - w)) / 2
    assert np.allclose(derivative, difference, atol=1e-12)


def test_evaluation_at_points() -> None:
    """Quadratics and their derivatives to rounding; nothing inside the cylinder."""
    lines = np.linspace(-2.0, 2.0, 9)
    space = TaylorHood(fem.square(5))
    points = np.random.default_rng(0).uniform(0, 1, (50, 2))
    x, y = space.nodes.T
    at, inside = space.at(points)
    assert inside.all()
    assert np.allclose(at.value @ (x * y + x**2), points[:, 0] * points.sum(axis=1))
    assert np.allclose(at.dy @ (x * y + y**2), points[:, 0] + 2 * points[:, 1])
    space = TaylorHood(around_cylinder(lines, lines, (-1.0, 1.0, -1.0, 1.0), (0.0, 0.0), 0.5))
    at, inside = space.at(np.array([[0.0, 0.0], [0.3, 0.4 - 1e-3], [0.6, 0.0], [1.9, -1.9]]))
    assert inside.tolist() == [False, False, True, True]
    assert np.allclose(at.value @ np.ones(len(space.nodes)), inside)
    assert np.allclose((at.value @ space.nodes)[2:], [[0.6, 0.0], [1.9, -1.9]])


def test_straight_pipe_gives_poiseuille_flow_exactly() -> None:
    """u = 1 - 4 s^2 and p = 8 nu (10 - x) lie in the spaces."""
    pairs = pipe(1, 17, bend=0.0)
    s = pairs.a[0, 1]
    assert np.allclose(pairs.u[0], 1 - 4 * s**2, atol=1e-12)
    flow, _ = pipe_flow(pipe_nodes(np.zeros(5), 9))
    assert flow.p.max() == pytest.approx(8 * 0.005 * 10)
    assert len(flow.residuals) <= 2  # the Stokes flow is the answer


def test_bent_pipe_conserves_mass() -> None:
    """Every section carries 2/3: weakly in each pressure function, so the sections' error falls quickly."""
    worst = []
    for size in (33, 65):
        pairs = pipe(1, size, bend=0.5, seed=3)
        weights = np.full(size, 2.0)
        weights[1::2], weights[0], weights[-1] = 4.0, 1.0, 1.0
        flux = pairs.u[0] @ weights / (3 * (size - 1))  # Simpson's rule is exact on each element's parabola
        worst.append(float(np.abs(flux - 2 / 3).max()))
    assert worst[1] < 2e-3
    assert worst[1] < worst[0] / 3


def test_a_pipe_depends_on_seed_and_number_alone() -> None:
    a, b = pipe(3, 9, seed=2, bend=0.3), pipe(1, 9, seed=2, first=2, bend=0.3)
    assert np.array_equal(a.u[2:], b.u)
    assert np.array_equal(a.a[2:], b.a)
    assert not np.array_equal(a.u[0], a.u[1])


def test_steady_flow_converges_quadratically() -> None:
    flow, _ = pipe_flow(pipe_nodes(np.array([0.0, 0.5, -0.5, 0.5, 0.0]), 17))
    logs = np.log10(flow.residuals)
    assert flow.status == "converged"
    assert logs[-2] < 1.6 * logs[-3] or logs[-1] < -13


def kovasznay(space: TaylorHood, viscosity: float) -> tuple[Any, Any]:
    """Kovasznay's exact flow behind a grid: velocity and pressure at the unknowns."""
    decay = 1 / (2 * viscosity) - np.sqrt(1 / (4 * viscosity**2) + 4 * np.pi**2)
    x, y = space.nodes.T
    u = np.stack([1 - np.exp(decay * x) * np.cos(2 * np.pi * y),
                  decay / (2 * np.pi) * np.exp(decay * x) * np.sin(2 * np.pi * y)], axis=1)  # fmt: skip
    return u, (1 - np.exp(2 * decay * space.vertices[:, 0])) / 2


def test_steady_flow_is_of_third_order() -> None:
    """Kovasznay's flow at Re 40, given on the whole edge: the pressure's constant is pinned by the last unknowns'."""
    errors = []
    for n in (8, 16):
        x = np.stack(np.meshgrid(np.linspace(-0.5, 1.0, 2 * n + 1), np.linspace(-0.5, 0.5, 2 * n + 1),
                                 indexing="ij"), axis=-1)  # fmt: skip
        space = TaylorHood(join(block(x)))
        u, _ = kovasznay(space, 1 / 40)
        edge = space.boundary()
        open_node = edge[np.argmin(np.hypot(space.nodes[edge, 0] - 1.0, space.nodes[edge, 1] - 0.5 / n))]
        fixed = np.setdiff1d(edge, [open_node])  # one free unknown fixes the constant and lets mass balance
        found = steady(space, 1 / 40, fixed, u[fixed])
        assert found.status == "converged"
        weights = np.asarray(space.mass.sum(axis=1))
        errors.append(float(np.sqrt(np.sum(weights[:, None] * (found.u - u) ** 2))))
    assert np.log2(errors[0] / errors[1]) > 2.7


def test_projection_is_of_second_order_in_time() -> None:
    """The velocity of a channel whose inflow swings, against one with an eighth of the step."""
    x = np.stack(np.meshgrid(np.linspace(0, 2, 17), np.linspace(0, 1, 9), indexing="ij"), axis=-1)
    space = TaylorHood(join(block(x)))
    X, y = space.nodes.T
    fixed = np.flatnonzero((X < 1e-9) | (y < 1e-9) | (y > 1 - 1e-9))
    profile = np.stack([np.where(X < 1e-9, y * (1 - y), 0.0), 0 * y], axis=1)[fixed]
    found = []

    def swing(t: float) -> float:
        return float(np.sin(2 * t) ** 2)

    for steps in (40, 80, 640):
        flow = Projection(space, viscosity=0.1, dt=0.5 / steps, fixed=fixed, profile=profile,
                          outlet=np.flatnonzero(space.vertices[:, 0] > 2 - 1e-9), ramp=swing)  # fmt: skip
        for _ in range(steps):
            flow.step()
        found.append(flow.u)
    errors = [np.sqrt(float(np.mean((u - found[2]) ** 2))) for u in found[:2]]
    assert np.log2(errors[0] / errors[1]) > 1.8


def test_force_balances_the_channel() -> None:
    """In a steady state the drag is what the walls and the pressure give: compared with the steady flow's reaction."""
    case = open_cylinder(20.0, 8, upstream=6.0, side=6.0, downstream=8.0)
    base = case.steady()
    assert base.status == "converged"
    flow = case.flow(start=(base.u, base.p))
    forces = advance(case, flow, 20 * flow.dt)
    momentum = case.space.convection(base.u) + case.space.stiffness @ base.u / 20
    momentum -= np.stack([D.T @ base.p for D in case.space.divergence], axis=1)
    exact = case.coefficients(-momentum[case.body].sum(axis=0))
    assert np.abs(flow.u - base.u).max() < 1e-4  # the projection keeps the steady flow, up to its splitting
    assert forces.drag[-1] == pytest.approx(exact[0], rel=1e-3)
    assert abs(forces.lift[-1]) < 1e-3
    assert 1.9 < exact[0] < 2.5  # 2.05 unbounded (Dennis and Chang 1970); the sides are near


@pytest.mark.slow
def test_dfg_benchmark() -> None:
    """Published bounds of DFG 2D-2, case 2D-2 of Schaefer and Turek."""
    case = dfg_cylinder(16)
    flow = case.flow()
    forces = advance(case, flow, 6.5).after(5.4)
    assert 3.22 < forces.drag.max() < 3.24
    assert 0.99 < forces.lift.max() < 1.01
    assert 0.295 < strouhal(forces, case) < 0.305


def test_wakes_are_recorded_on_a_grid() -> None:
    """From the steady flow and the disturbance asked for."""
    found = wake(1, reynolds=60.0, resolution=8, time=0.5, dt=0.25, window=(-2.0, 6.0, -2.0, 2.0), spacing=0.5,
                 amplitude=0.1, extent=(4.0, 4.0, 8.0))  # fmt: skip
    u = found.trajectories.u
    assert u.shape == (1, 3, 3, 17, 9)
    assert np.isfinite(found.drag).all()
    assert np.abs(u[0, 0, :2] - found.steady[:2]).max() == pytest.approx(0.1, abs=0.03)
    assert np.all(u[0, :, :, 4, 4] == 0)  # the centre of the cylinder
    u, v, _ = found.steady[:, 8:]  # from x = 2 on: the steady flow is symmetric, the mesh is not
    assert np.abs(u - u[:, ::-1]).mean() < 0.01
    assert np.abs(v + v[:, ::-1]).mean() < 0.01


def test_disturbances_are_free_of_divergence_and_reproducible() -> None:
    case = open_cylinder(60.0, 12, downstream=8.0)
    u = case.disturbance(0.1, seed=1, index=2)
    assert np.array_equal(u, case.disturbance(0.1, seed=1, index=2))
    assert np.linalg.norm(u, axis=1).max() == pytest.approx(0.1)
    sampled, sample = sampler(case, (1.5, 3.5, -1.5, 1.5), 0.25)
    velocity = sample(u)
    dx, dy = np.gradient(velocity[0], 0.25, axis=0), np.gradient(velocity[1], 0.25, axis=1)
    inner = (slice(1, -1), slice(1, -1))
    assert np.abs((dx + dy)[inner]).max() < 0.1 * np.abs(np.gradient(velocity[0], 0.25, axis=1)).max()
    assert sampled.shape == velocity.shape[1:]


def test_pressure_systems_are_those_of_the_steps() -> None:
    case = dfg_cylinder(8)
    flow = case.flow()
    before = flow.p.copy()
    A, b = pressure_systems(case, flow, 3)
    assert b.shape == (3, A.shape[0])
    assert abs(A - A.T).max() < 1e-12
    other = case.flow()
    other.step()
    increment = (other.p - before)[other.pressure_free]
    assert np.allclose(A @ increment, b[0], atol=1e-8 * np.abs(b[0]).max())


def test_strouhal_number_of_too_short_a_record_is_unknown() -> None:
    t = np.linspace(0, 1, 50)
    assert np.isnan(strouhal(Forces(t, t, np.sin(t), t), open_cylinder(60.0, 8, downstream=8.0)))


def test_a_blow_up_is_an_error_with_the_remedy() -> None:
    case = dfg_cylinder(8)
    flow = case.flow(0.05)
    with pytest.raises(FloatingPointError, match="take dt below"), np.errstate(all="ignore"):
        advance(case, flow, 5.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dfg_cylinder(4), "resolution = 4: expected an integer of at least 8"),
        (lambda: open_cylinder(-1.0), r"reynolds = -1.0: expected a positive number"),
        (lambda: open_cylinder(100.0, side=2.0), "side = 2.0: expected more than 3"),
        (lambda: pipe(1, 16), "an odd size of at least 9"),
        (lambda: pipe(1, 17, bend=3.0), "bend = 3.0"),
        (lambda: spread(0.0, 1.0, -1.0, 1.0), "spacings > 0"),
        (lambda: around_cylinder(np.arange(5.0), np.arange(5.0), (0.5, 3, 1, 3), (2, 2), 0.1), "expected lines"),
        (lambda: around_cylinder(np.arange(5.0), np.arange(5.0), (1, 3, 1, 3), (2, 2), 1.5), "radius = 1.5"),
        (lambda: wake(0), "count = 0"),
        (lambda: steady(TaylorHood(fem.square(2)), 0.0, np.arange(1), np.zeros((1, 2))), "viscosity = 0.0"),
    ],
)
def test_wrong_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_time_steps_fit_the_snapshots() -> None:
    assert 0.25 / fitting_step(0.25, 0.01) == pytest.approx(25)
    assert fitting_step(0.25, 0.3) == 0.25
    case = dfg_cylinder(8)
    with pytest.raises(ValueError, match="whole number of steps"):
        advance(case, case.flow(1e-3), 1e-2, every=2.5e-3)
