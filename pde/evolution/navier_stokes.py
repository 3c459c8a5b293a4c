"""Two-dimensional Navier-Stokes flow on the periodic unit square, as vorticity: the benchmark of operator learning."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, is_numpy_namespace
from array_api_compat import device as device_of
from numpy.typing import NDArray
from tqdm import tqdm

from conjugo.pde.evolution.sequence import checked_count
from conjugo.pde.evolution.vorticity import VorticityFlow
from conjugo.pde.random_fields import matern_field
from conjugo.pde.trajectories import Trajectories
from conjugo.solvers.operators.protocol import Array

TIMES = tuple(float(t) for t in range(1, 21))
"""Times of the benchmark's snapshots."""

DT = 6.25e-3
"""Time step of the data: on 256^2, the fastest flows need one below .008 at time 20."""

NODES = {True: 2**17, False: 2**23}
"""Nodes that are advanced at once, on NumPy (whose arrays then stay in the cache) and elsewhere."""


def forcing(size: int) -> NDArray[np.float64]:
    """Return the benchmark's force on the vorticity, f = 0.1 (sin 2 pi (x + y) + cos 2 pi (x + y)), (size, size).

    Examples
    --------
    >>> f = forcing(8)
    >>> f.shape, round(float(f[0, 0]), 12), bool(abs(f.mean()) < 1e-16)
    ((8, 8), 0.1, True)
    """
    x = 2 * np.pi * np.arange(size) / size
    phase = x[:, None] + x
    field: NDArray[np.float64] = 0.1 * (np.sin(phase) + np.cos(phase))
    return field


def initial_vorticity(count: int, size: int, *, seed: int = 0, first: int = 0) -> NDArray[np.float64]:
    """Draw initial fields of the benchmark, N(0, 2 7^3 (-laplace + 49)^-2.5) without the mean.

    Parameters
    ----------
    count : int
        Number of fields.
    size : int
        Nodes along a side.
    seed, first : int
        Field i is made from (seed, first + i) alone.

    Returns
    -------
    (count, size, size) float64
        Fields of standard deviation .262 over many samples.

    Notes
    -----
    The factor 2 is that of the data of 2020, whose code drew real and imaginary parts each with variance 1 and kept the
    real part of the field. Its port to complex tensors draws them with variance 1 together: the fields are then smaller
    by sqrt(2) (standard deviation .185), and data from the two programs must not be mixed.

    References
    ----------
    Z. Li et al., Fourier neural operator for parametric partial differential equations, ICLR (2021), appendix A.3.3.

    Examples
    --------
    >>> w = initial_vorticity(100, 32)
    >>> bool(abs(w.std() / 0.262 - 1) < 0.1), bool(abs(w.mean()) < 1e-14)
    (True, True)
    """
    return matern_field(
        (size, size), count, alpha=2.5, tau=7.0, sigma=(2 * 7.0**3) ** 0.5,
        boundary="periodic", zero_mean=True, seed=seed, first=first,
    )  # fmt: skip


def navier_stokes(
    count: int,
    *,
    size: int = 256,
    keep: int = 64,
    viscosity: float = 1e-5,
    times: Sequence[float] | NDArray[np.float64] = TIMES,
    dt: float = DT,
    seed: int = 0,
    first: int = 0,
    dtype: Literal["float32", "float64"] = "float64",
    xp: Any = None,
    device: Any = None,
    progress: bool = False,
) -> Trajectories:
    """Make trajectories of the benchmark: random initial vorticity, the force `forcing`, snapshots at given times.

    Parameters
    ----------
    count : int
        Number of trajectories.
    size : int
        Nodes along a side where the equation is solved.
    keep : int
        Nodes along a side of the snapshots, a divisor of size: every size / keep-th node is taken.
    viscosity : float
        At least 0.
    times : sequence of float
        Times of the snapshots, increasing multiples of dt; 0 is the initial field.
    dt : float
        Time step.
    seed, first : int
        Trajectory i is made from (seed, first + i) alone.
    dtype : {"float32", "float64"}
        Of the computation and of the result. float32 is good to 1e-5 at time 2, 5e-4 at time 20.
    xp : namespace or "torch", optional
        Array library of the computation and of the result; NumPy by default.
    device : optional
        Where the library computes, for instance "cuda".
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Trajectories
        u: (count, len(times), keep, keep) vorticity; t: times.

    Raises
    ------
    ValueError
        For numbers that make no sense, and for a device without a library.
    FloatingPointError
        If dt was too long, so that a trajectory overflowed.

    Warns
    -----
    RuntimeWarning
        If dt is longer than the linear limit of stability at one of the snapshots.

    Notes
    -----
    The published data were made by Crank-Nicolson and Euler steps of 1e-4. `VorticityFlow` has fourth order, and to
    time 10, steps of 1e-2 are good to 1e-6. But the force feeds the flow, whose vorticity is seven times as large at
    time 20, and on 256^2 steps of 1e-2 get unstable after time 14; hence the default. The snapshots hold what the
    Galerkin method keeps, modes up to (size - 1) // 3. Random numbers come from NumPy, so that every library computes
    the same trajectories.

    References
    ----------
    Z. Li et al., Fourier neural operator for parametric partial differential equations, ICLR (2021), section 5.3.

    Examples
    --------
    >>> data = navier_stokes(2, size=32, keep=16, times=[0.5, 1.0], dt=0.05)
    >>> data.u.shape, data.dt
    ((2, 2, 16, 16), 0.5)
    """
    count, first = checked_count("count", count), checked_count("first", first, 0)
    size, keep = checked_count("size", size, 8), checked_count("keep", keep)
    if size % keep:
        raise ValueError(f"keep = {keep}: expected a divisor of size = {size}")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype = {dtype!r}: expected 'float32' or 'float64'")
    if xp is None and device is not None:
        raise ValueError(f"device = {device!r} without a library: pass xp='torch' too")
    t, steps = _steps_between(times, dt)
    xp = import_module("array_api_compat.torch" if xp == "torch" else "array_api_compat.numpy") if (
        xp is None or xp == "torch") else xp  # fmt: skip
    real = getattr(xp, dtype)
    flow = VorticityFlow(xp.asarray(forcing(size), dtype=real, device=device), viscosity=viscosity, dt=dt)
    u, limit = xp.empty((count, len(t), keep, keep), dtype=real, device=device), np.inf
    with tqdm(total=count * len(t), desc="navier-stokes", unit="field", disable=not progress) as bar:
        for part in _parts(count, size, xp):
            w0 = initial_vorticity(part.stop - part.start, size, seed=seed, first=first + part.start)
            modes = flow.modes(xp.asarray(w0, dtype=real, device=device))
            for k, n in enumerate(steps):
                modes = flow.advance(modes, n)
                u[part, k] = flow.field(modes)[:, :: size // keep, :: size // keep]
                limit = min(limit, flow.longest_step(modes))
                bar.update(part.stop - part.start)
            if not bool(xp.all(xp.isfinite(u[part]))):
                raise FloatingPointError(f"a trajectory overflows with dt = {dt}: take a shorter step")
    if limit < dt:
        warnings.warn(f"dt = {dt} is longer than {limit:.3g}, the limit of stability of the fastest flow: shorten it",
                      RuntimeWarning, stacklevel=2)  # fmt: skip
    return Trajectories(u, t, name="navier-stokes")


def advance(
    w: Array, time: float, *, viscosity: float = 1e-5, dt: float = DT, force: Array | float | None = None
) -> Array:
    """Follow given vorticity for some time: numerics at any grid and time step, to compare learned models with.

    Parameters
    ----------
    w : (..., size, size) array
        Vorticity on the nodes (i / size, j / size), NumPy or torch, float32 or float64. No gradient is followed.
    time : float
        How far to go.
    viscosity : float
        At least 0.
    dt : float
        Longest time step; the longest one up to it that divides `time` is taken. `VorticityFlow.longest_step` estimates
        what is stable.
    force : (size, size) array or float, optional
        f, from NumPy or of w's library; by default `forcing(size)`. 0 for none.

    Returns
    -------
    (..., size, size) array
        Vorticity at the end, of w's library, dtype and device, without the modes above (size - 1) // 3. NaN where the
        time step was too long.

    Raises
    ------
    ValueError
        If w is not an array of square real fields, or a number makes no sense.

    Examples
    --------
    >>> w = initial_vorticity(1, 32)
    >>> halves = advance(advance(w, 0.5), 0.5)
    >>> bool(np.allclose(halves, advance(w, 1.0), atol=1e-13))
    True
    """
    xp, shape = array_namespace(w), tuple(w.shape)
    if len(shape) < 2 or shape[-1] != shape[-2] or w.dtype not in (xp.float32, xp.float64):
        raise ValueError(f"w has shape {shape} and dtype {w.dtype}: expected (..., size, size), float32 or float64")
    if not (np.isfinite(time) and time > 0):
        raise ValueError(f"time = {time}: expected a positive time")
    if not (np.isfinite(dt) and dt > 0):
        raise ValueError(f"dt = {dt}: expected a positive time step")
    size, steps = shape[-1], max(1, int(np.ceil(time / dt - 1e-9)))
    f = xp.asarray(forcing(size) if force is None else force, dtype=w.dtype, device=device_of(w))
    if tuple(f.shape) not in ((), (size, size)):
        raise ValueError(f"force has shape {tuple(f.shape)}: expected a number or {(size, size)}, as the fields have")
    flow = VorticityFlow(xp.broadcast_to(f, (size, size)), viscosity=viscosity, dt=time / steps)
    batch = w.reshape((-1, size, size))
    parts = [flow.field(flow.advance(flow.modes(batch[part]), steps)) for part in _parts(len(batch), size, xp)]
    return xp.concat(parts, axis=0).reshape(shape)


def _parts(count: int, size: int, xp: Any) -> Iterator[slice]:
    """Consecutive slices of as many fields as are advanced at once."""
    chunk = max(1, NODES[is_numpy_namespace(xp)] // size**2)
    return (slice(low, min(low + chunk, count)) for low in range(0, count, chunk))


def _steps_between(times: Sequence[float] | NDArray[np.float64], dt: float) -> tuple[NDArray[np.float64], list[int]]:
    """Return the times as an array, and the time steps before each."""
    t = np.asarray(times, dtype=np.float64)
    if not (np.isfinite(dt) and dt > 0):
        raise ValueError(f"dt = {dt}: expected a positive time step")
    if t.ndim != 1 or len(t) == 0 or not np.all(np.isfinite(t)) or t[0] < 0 or np.any(np.diff(t) <= 0):
        raise ValueError(f"times = {times}: expected increasing times of at least 0")
    steps = np.rint(t / dt)
    if np.any(np.abs(t / dt - steps) > 1e-6):
        raise ValueError(f"dt = {dt} does not divide the times {times}: take snapshots at multiples of the time step")
    return t, [int(n) for n in np.diff(steps, prepend=0.0)]
