"""The Kuramoto-Sivashinsky equation u_t = -u u_x - u_xx - u_xxxx on a periodic interval, by ETDRK4 in Fourier space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from conjugo.pde.evolution.etdrk4 import ETDRK4
from conjugo.pde.evolution.sequence import checked_count
from conjugo.pde.trajectories import Trajectories

type Values = NDArray[np.float64]
type Modes = NDArray[Any]


def kuramoto_sivashinsky(
    count: int,
    steps: int,
    *,
    length: float = 22.0,
    points: int = 64,
    dt_out: float = 1.0,
    h: float = 0.05,
    discard: float = 200.0,
    seed: int = 0,
    first: int = 0,
) -> Trajectories:
    """Make trajectories on the attractor, from random initial states.

    Parameters
    ----------
    count : int
        Number of trajectories.
    steps : int
        Snapshots after the first one.
    length : float
        Length of the interval. At 22 the flow is chaotic, with a Lyapunov time of about 21. At 8 pi it is not: only its
        transients are.
    points : int
        Grid points, even, x_j = j length / points.
    dt_out : float
        Time between snapshots.
    h : float
        Longest time step; the longest one up to it that divides dt_out is taken.
    discard : float
        Time that passes before the first snapshot.
    seed, first : int
        Trajectory i of the result is number first + i of this seed, whatever the count.

    Returns
    -------
    Trajectories
        u: (count, steps + 1, points); t: (steps + 1,), from 0.

    Raises
    ------
    ValueError
        For counts and numbers that make no sense.

    Notes
    -----
    The initial states are random combinations of the linearly unstable modes, those with wave numbers up to 1 (at
    least of the first one), with mean square 1 on average; the mean stays zero.

    References
    ----------
    A.-K. Kassam and L. N. Trefethen, SIAM J. Sci. Comput. 26 (2005), section 4; P. Cvitanovic, R. Davidchack, E.
    Siminos, SIAM J. Appl. Dyn. Syst. 9 (2010) (the interval of length 22).

    Examples
    --------
    >>> data = kuramoto_sivashinsky(2, 3, discard=20.0)
    >>> data.u.shape, bool(abs(data.u.mean()) < 1e-12)
    ((2, 4, 64), True)
    """
    count, first = checked_count("count", count), checked_count("first", first, 0)
    _check(points, length, dt_out, h)
    if not (np.isfinite(discard) and discard >= 0):
        raise ValueError(f"discard = {discard}: expected a time of at least 0")
    u = np.stack([_initial([seed, first + i], length, points) for i in range(count)])
    if discard > 0:
        u = evolve(u, 1, length=length, dt_out=discard, h=h).u[:, -1]
    return evolve(u, steps, length=length, dt_out=dt_out, h=h)


def evolve(u0: Values, steps: int, *, length: float = 22.0, dt_out: float = 1.0, h: float = 0.05) -> Trajectories:
    """Follow given states of the Kuramoto-Sivashinsky equation.

    Parameters
    ----------
    u0 : (N, points) array
        States at time 0, on an even number of points; with or without a mean.
    steps : int
        Snapshots after the first one.
    length, dt_out, h : float
        As for `kuramoto_sivashinsky`.

    Returns
    -------
    Trajectories
        u: (N, steps + 1, points), u[:, 0] as given; t: (steps + 1,), from 0.

    Raises
    ------
    ValueError
        If u0 is not a finite (N, points) array, or the numbers make no sense.
    FloatingPointError
        If the states overflow: h was too long for them.

    Notes
    -----
    u u_x = (u^2)_x / 2 is computed on the grid and cut at two thirds of the modes, so that it has no aliases.

    Examples
    --------
    The mode of wave number q grows as exp((q^2 - q^4) t) while it is small:

    >>> x = 2 * np.pi / 22 * np.arange(64) * 22 / 64
    >>> u = evolve(1e-6 * np.cos(x)[None], 1, dt_out=5.0).u
    >>> q = 2 * np.pi / 22
    >>> bool(abs(u[0, 1, 0] / u[0, 0, 0] / np.exp(5 * (q**2 - q**4)) - 1) < 1e-5)
    True
    """
    u0 = _checked_states(u0, length, dt_out, h)
    steps = checked_count("steps", steps)
    points = u0.shape[1]
    substeps = int(np.ceil(dt_out / h - 1e-9))
    q = _wave_numbers(points, length)
    method, nonlinear = ETDRK4(q**2 - q**4, dt_out / substeps), _convection(points, q)
    u = np.empty((len(u0), steps + 1, points))
    u[:, 0] = u0
    v = scipy.fft.rfft(u0)
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(1, steps + 1):
            for _ in range(substeps):
                v = method.step(v, nonlinear)
            u[:, k] = scipy.fft.irfft(v, points)
    if not np.all(np.isfinite(u)):
        raise FloatingPointError(f"the states overflow with h = {h}: take a shorter step")
    return Trajectories(u, dt_out * np.arange(steps + 1, dtype=np.float64), name="kuramoto-sivashinsky")


def largest_exponent(
    u0: Values, time: float, *, length: float = 22.0, h: float = 0.05, every: float = 1.0, settle: float = 50.0
) -> Values:
    """Return the largest Lyapunov exponent along the trajectories of given states (1 / time), one a state.

    Parameters
    ----------
    u0 : (N, points) array
        States on the attractor.
    time : float
        Time over which the growth is averaged; the error falls as one over the square root of N time.
    length, h : float
        As for `kuramoto_sivashinsky`.
    every : float
        Time between two normalisations of the tangents.
    settle : float
        Time before the average begins, in which a random tangent turns into the fastest growing one.

    Returns
    -------
    (N,) array
        Exponents over this time, among tangents with mean zero; their mean estimates that of the attractor.

    Raises
    ------
    ValueError
        As for `evolve`.

    Notes
    -----
    Benettin's method, on the derivative of the time step itself: ETDRK4 is applied to u and its tangent w together,
    w_t = -(u w)_x - w_xx - w_xxxx, and w has its length taken out, and summed up as a logarithm, in every period.

    References
    ----------
    G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn, Meccanica 15 (1980).

    Examples
    --------
    On a short interval every state decays to zero as its first mode does:

    >>> q = 2 * np.pi / 5
    >>> u = 1e-8 * np.cos(2 * np.pi * np.arange(16) / 16)[None]
    >>> bool(np.allclose(largest_exponent(u, 20.0, length=5.0), q**2 - q**4))
    True
    """
    u0 = _checked_states(u0, length, every, h)
    if not (time > 0 and settle >= 0):
        raise ValueError(f"time = {time} and settle = {settle}: expected a positive time, and one of at least 0")
    points = u0.shape[1]
    q = _wave_numbers(points, length)
    substeps, skip = int(np.ceil(every / h - 1e-9)), int(np.ceil(settle / every - 1e-9))
    periods = int(np.ceil(time / every - 1e-9))
    method, nonlinear = ETDRK4(q**2 - q**4, every / substeps), _convection(points, q, tangent=True)
    start = np.random.default_rng(0).standard_normal(u0.shape)
    v = scipy.fft.rfft(np.stack([u0, start - start.mean(axis=1, keepdims=True)]))
    growth: Values = np.zeros(len(u0))
    for period in range(skip + periods):
        v[1, :, 0] = 0.0  # a boost neither grows nor decays
        v[1] /= np.linalg.norm(v[1], axis=1, keepdims=True)
        for _ in range(substeps):
            v = method.step(v, nonlinear)
        if period >= skip:
            growth += np.log(np.linalg.norm(v[1], axis=1))
    return growth / (periods * every)


def _wave_numbers(points: int, length: float) -> Values:
    return 2 * np.pi / length * np.arange(points // 2 + 1, dtype=np.float64)


def _convection(points: int, q: Values, *, tangent: bool = False) -> Callable[[Modes], Modes]:
    """Return -(u^2)_x / 2 of modes; with `tangent`, of the pair (u, w), followed by -(u w)_x."""
    factor = -0.5j * q * (np.arange(q.size) <= (points - 1) // 3)  # 2/3 rule
    pair = np.array([1.0, 2.0])[:, None, None]

    def of_state(v: Modes) -> Modes:
        u = scipy.fft.irfft(v, points)
        u *= u
        convection: Modes = factor * scipy.fft.rfft(u, overwrite_x=True)
        return convection

    def of_pair(v: Modes) -> Modes:
        u = scipy.fft.irfft(v, points)
        convection: Modes = pair * factor * scipy.fft.rfft(u[:1] * u, overwrite_x=True)
        return convection

    return of_pair if tangent else of_state


def _initial(key: list[int], length: float, points: int) -> Values:
    modes = min(max(1, int(length / (2 * np.pi))), (points - 1) // 3)
    a, b = np.random.default_rng(key).standard_normal((modes, 2)).T
    phase = 2 * np.pi / points * np.outer(np.arange(points), np.arange(1, modes + 1))
    field: Values = (np.cos(phase) @ a + np.sin(phase) @ b) / np.sqrt(modes)
    return field


def _check(points: int, length: float, dt_out: float, h: float) -> None:
    if not isinstance(points, int | np.integer) or points < 8 or points % 2:
        raise ValueError(f"points = {points!r}: expected an even number of at least 8")
    for name, value in (("length", length), ("dt_out", dt_out), ("h", h)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} = {value}: expected a positive number")


def _checked_states(u0: Values, length: float, dt_out: float, h: float) -> Values:
    states = np.array(u0, dtype=np.float64)
    if states.ndim != 2 or not np.all(np.isfinite(states)):
        raise ValueError(f"u0 has shape {states.shape}: expected (N, points) finite numbers")
    _check(states.shape[1], length, dt_out, h)
    return states
