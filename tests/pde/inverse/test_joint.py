"""Source and field together: adjoints, and the posterior of the joint image against the dense joint Gaussian."""

from __future__ import annotations

import numpy as np
import pytest

from conjugo.pde.inverse.bases import CosineBasis
from conjugo.pde.inverse.bayes import GaussianPosterior
from conjugo.pde.inverse.joint import Composed, SourceAndField
from conjugo.pde.inverse.operator import adjoint_mismatch
from conjugo.pde.inverse.problem import field_spectrum, joint_problem
from conjugo.pde.inverse.sensors import Sensors
from conjugo.pde.inverse.source import Green, SourceToSensors

torch = pytest.importorskip("torch")
SHAPE, NODES = (7, 8), [3, 20, 33, 50]


@pytest.mark.parametrize("channels", [[0], [1], [0, 1]])
def test_the_joint_posterior_is_the_map_of_the_sources(channels: list[int]) -> None:
    """Conditioning the dense joint law of (f, u) on sensors of either channel, or both, gives J E[f | y]."""
    basis, J = CosineBasis(SHAPE), SourceAndField(Green(SHAPE, 1.0), 5.0)
    S = Sensors((2, *SHAPE), NODES, channels=channels)
    A, c = Composed(S, J), field_spectrum(basis)
    assert adjoint_mismatch(J) < 1e-12
    assert adjoint_mismatch(A) < 1e-12
    assert adjoint_mismatch(A, like=torch.zeros(1, dtype=torch.float64)) < 1e-12

    n = 56
    phi = basis.inverse(np.eye(n).reshape(-1, *SHAPE)).reshape(n, n)
    dense = J @ np.eye(n)
    joint = dense @ phi.T @ (c.reshape(-1, 1) * phi) @ dense.T
    y = np.random.default_rng(0).standard_normal(len(S.nodes))
    K = joint[np.ix_(S.nodes, S.nodes)] + 0.1**2 * np.eye(len(y))
    expected = joint[:, S.nodes] @ np.linalg.solve(K, y)
    mean = GaussianPosterior(A, y, 0.1, 0.0, c, basis).mean
    assert np.allclose(J @ mean, expected, rtol=0, atol=1e-10)


def test_one_channel_alone_is_the_plain_measurement() -> None:
    J, x = SourceAndField(Green(SHAPE)), np.random.default_rng(0).standard_normal((56, 2))
    assert np.allclose(Composed(Sensors((2, *SHAPE), NODES, channels=[0]), J) @ x, Sensors(SHAPE, NODES) @ x)
    assert np.allclose(Composed(Sensors((2, *SHAPE), NODES, channels=[1]), J) @ x, SourceToSensors(SHAPE, NODES) @ x)


def test_both_channels_tell_more_than_either() -> None:
    errors = {d: joint_problem("poisson", d, 24, 40, 0.01).posterior().relative_error() for d in ("both", "inverse")}
    seen = joint_problem("poisson", "forward", 24, 40, 0.01).posterior()
    assert errors["both"] < 0.9 * min(errors["inverse"], seen.relative_error())


def test_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="expected as many columns of S as rows of B"):
        Composed(Sensors(SHAPE, NODES), SourceAndField(Green(SHAPE)))
    with pytest.raises(ValueError, match="expected a square G"):
        SourceAndField(SourceToSensors(SHAPE, NODES))
