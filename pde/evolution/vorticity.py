"""The vorticity equation on the periodic unit square: Fourier-Galerkin, and Runge-Kutta with an integrating factor."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from array_api_compat import array_namespace, is_numpy_array
from array_api_compat import device as device_of
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import Array


class VorticityFlow:
    """w_t + v . grad w = viscosity laplace w + f with v = (psi_y, -psi_x), -laplace psi = w, at a fixed time step.

    Parameters
    ----------
    force : (size, size) real array
        f on the nodes (i / size, j / size); its library, dtype and device are those of all that follows.
    viscosity : float
        At least 0 (length^2 / time).
    dt : float
        Time step.

    Attributes
    ----------
    size : int
        Nodes along a side.
    cutoff : int
        Largest wave number kept along each axis, (size - 1) // 3.

    Raises
    ------
    ValueError
        If the force is not a square real array of at least 8 x 8, or a number makes no sense.

    Notes
    -----
    Products are formed on the nodes, and all modes above two thirds of the largest are dropped, from the state too.
    What is left is the Galerkin method, without aliases, which keeps energy and enstrophy where force and viscosity are
    zero. The convection is taken as v . grad w = (d_xx - d_yy)(v_1 v_2) + d_xy (v_2^2 - v_1^2), which needs two
    transforms each way, where the gradient of w would need four and one. With E = exp(viscosity dt laplace / 2), the
    classical Runge-Kutta method is applied to exp(-viscosity t laplace) w: viscosity is exact, and what limits dt is
    convection alone (`longest_step`). Nothing in the loop waits for a device.

    The state is not a field but its modes: on NumPy only the columns up to the cutoff, elsewhere all of them, since
    there the two-dimensional transform of the library is faster than two passes over fewer columns.

    References
    ----------
    C. Basdevant, J. Comput. Phys. 50 (1983) (the form of the convection); C. Canuto, M. Hussaini, A. Quarteroni, T.
    Zang, *Spectral Methods: Fundamentals in Single Domains* (2006), sections 3.4 and D.3.

    Examples
    --------
    Vorticity whose modes have one wavelength decays as exp(-viscosity |k|^2 t) and does nothing else:

    >>> x = 2 * np.pi * np.arange(16) / 16
    >>> w = (np.cos(x)[:, None] * np.cos(x))[None]
    >>> flow = VorticityFlow(np.zeros((16, 16)), viscosity=0.01, dt=0.1)
    >>> later = flow.field(flow.advance(flow.modes(w), 10))
    >>> bool(np.allclose(later, np.exp(-0.01 * 8 * np.pi**2) * w, atol=1e-14))
    True
    """

    def __init__(self, force: Array, *, viscosity: float, dt: float) -> None:
        self.size, self._xp = _checked_force(force), array_namespace(force)
        if not (np.isfinite(viscosity) and viscosity >= 0):
            raise ValueError(f"viscosity = {viscosity}: expected a number of at least 0")
        if not (np.isfinite(dt) and dt > 0):
            raise ValueError(f"dt = {dt}: expected a positive time step")
        self.viscosity, self.dt, self.cutoff = float(viscosity), float(dt), (self.size - 1) // 3
        self._pruned = is_numpy_array(force)
        self._columns = self.cutoff + 1 if self._pruned else self.size // 2 + 1
        kx, ky = self._wave_numbers()
        square = kx**2 + ky**2
        kept = (np.abs(kx) < 2 * np.pi * (self.cutoff + 0.5)) & (ky < 2 * np.pi * (self.cutoff + 0.5))
        inverse = kept / np.where(square > 0, square, 1.0)
        single = force.dtype == self._xp.float32
        real_type, complex_type = (np.float32, np.complex64) if single else (np.float64, np.complex128)
        self._kept = self._like(force, kept.astype(real_type))
        self._decay = self._like(force, np.exp(-0.5 * self.dt * self.viscosity * square).astype(real_type))
        self._velocity = self._like(
            force, np.stack([1j * ky * inverse, -1j * kx * inverse]).astype(complex_type)[:, None]
        )
        flux = dt * kept * np.stack([square - 2 * ky**2, kx * ky])
        self._flux = self._like(force, flux.astype(real_type)[:, None])
        self._force = self.dt * self.modes(force)

    def _wave_numbers(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        kx = 2 * np.pi * scipy.fft.fftfreq(self.size, 1 / self.size)
        return kx[:, None], 2 * np.pi * np.arange(self._columns, dtype=np.float64)

    def _like(self, array: Array, values: NDArray[Any]) -> Array:
        return self._xp.asarray(values, device=device_of(array))

    def modes(self, w: Array) -> Array:
        """Return the modes of fields, (N, size, columns) complex, those above the cutoff dropped.

        Parameters
        ----------
        w : (N, size, size) array
            Vorticity.
        """
        modes: Array = self._transform(w)
        modes *= self._kept
        return modes

    def field(self, modes: Array) -> Array:
        """Return the fields of modes, (N, size, size)."""
        return self._inverse(modes + 0.0)

    def advance(self, modes: Array, steps: int) -> Array:
        """Return the modes after some time steps.

        Parameters
        ----------
        modes : (N, size, columns) array
            As `modes` makes them; they are not changed.
        steps : int
            Number of steps of length dt.

        Returns
        -------
        array
            New modes. Where dt is too long they overflow to NaN, without a warning.
        """
        state = modes + 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(steps):
                state = self._step(state)
        return state

    def _step(self, w: Array) -> Array:
        """One step, in place; the increments k are those of the time step, dt times the rate."""
        k = self._increment(w)
        stage = 0.5 * k
        stage += w
        stage *= self._decay
        k *= self._decay
        total = k
        w *= self._decay
        k = self._increment(stage)
        stage = 0.5 * k
        stage += w
        k *= 2.0
        total += k
        k = self._increment(stage)
        stage = k + w
        stage *= self._decay
        k *= 2.0
        total += k
        total *= self._decay
        total += self._increment(stage)
        total *= 1.0 / 6.0
        w *= self._decay
        w += total
        return w

    def _increment(self, w: Array) -> Array:
        """dt (f - v . grad w) of modes (N, size, columns)."""
        velocity = self._inverse(self._velocity * w)
        u, v = velocity[0], velocity[1]
        product = u * v
        velocity *= velocity
        v -= u  # v^2 - u^2
        u[...] = product
        flux = self._transform(velocity)
        flux *= self._flux  # minus signs of two derivatives and of the right-hand side cancel in each term
        total = flux[0]
        total += flux[1]
        total += self._force
        return total

    def _transform(self, values: Array) -> Array:
        if self._pruned:
            half = scipy.fft.rfft(values, axis=-1)[..., : self._columns]
            return scipy.fft.fft(half, axis=-2, overwrite_x=True)
        return self._xp.fft.rfftn(values, axes=(-2, -1))

    def _inverse(self, modes: Array) -> Array:
        """The field; modes is overwritten."""
        if self._pruned:
            half = scipy.fft.ifft(modes, axis=-2, overwrite_x=True)
            return scipy.fft.irfft(half, self.size, axis=-1, overwrite_x=True)
        return self._xp.fft.irfftn(modes, s=(self.size, self.size), axes=(-2, -1))

    def longest_step(self, modes: Array) -> float:
        """Return the time step up to which the method is stable by the linear estimate, 2 sqrt(2) / max(k . v).

        Parameters
        ----------
        modes : (N, size, columns) array
            The present state. Velocities that grow later need shorter steps.

        Returns
        -------
        float
            For the fastest of the fields; infinite at rest.
        """
        speed = self._xp.abs(self._inverse(self._velocity * modes))
        fastest = float(self._xp.max(speed[0] + speed[1]))
        return 8**0.5 / (2 * np.pi * self.cutoff * fastest) if fastest > 0 else np.inf


def _checked_force(force: Array) -> int:
    xp, shape = array_namespace(force), tuple(force.shape)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 8:
        raise ValueError(f"force has shape {shape}: expected (size, size), size at least 8")
    if force.dtype not in (xp.float32, xp.float64):
        raise ValueError(f"force has dtype {force.dtype}: expected float32 or float64")
    return int(shape[0])
