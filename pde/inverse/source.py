"""Source inversion: the sources whose field sparse sensors see, with constant coefficients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from conjugo.pde.inverse.bases import SineBasis
from conjugo.pde.inverse.operator import ImageOperator
from conjugo.pde.inverse.sensors import Sensors
from conjugo.pde.inverse.spectral import SpectralOperator
from conjugo.solvers.operators.protocol import Array


class Green(SpectralOperator):
    """G = (-Laplacian_h - k^2)^-1 on the unit box with Dirichlet walls, cell-centred: source to field.

    Parameters
    ----------
    image_shape : sequence of int
        Cells along each axis.
    wavenumber : float
        k in radians over length; 0 is Poisson's equation.

    Raises
    ------
    ValueError
        Where k^2 is an eigenvalue of the discrete Laplacian to nine digits, so that the cavity resonates.

    Notes
    -----
    Symmetric; the five-point stencil with walls half a cell outside, as `poisson(..., centring="cell")`. Diagonal in
    the sine basis, with values 1 / (lambda - k^2): positive where k^2 is under the first eigenvalue, about 2 pi^2 on
    the unit square.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde.inverse.source import Green
    >>> from conjugo.pde import poisson
    >>> problem = poisson((16, 16), centring="cell", seed=1)
    >>> u = Green((16, 16)) @ problem.b
    >>> bool(np.allclose(problem.A @ u, problem.b))
    True
    """

    def __init__(self, image_shape: Sequence[int], wavenumber: float = 0.0) -> None:
        if not math.isfinite(wavenumber):
            raise ValueError(f"wavenumber = {wavenumber}: expected a finite number")
        basis = SineBasis(image_shape)
        values = basis.laplacian(exact=False)
        gaps = values - wavenumber**2
        nearest = values.flat[int(np.argmin(np.abs(gaps)))]
        if np.min(np.abs(gaps)) <= 1e-9 * nearest:
            raise ValueError(f"wavenumber = {wavenumber}: its square is {nearest:.6g}, an eigenvalue of the Laplacian: "
                             "expected no resonance; change k a little")  # fmt: skip
        super().__init__(basis, 1 / gaps)
        self.wavenumber = float(wavenumber)


class SourceToSensors(ImageOperator):
    """A = S G: the source's field, seen at sensors.

    Parameters
    ----------
    image_shape : sequence of int
        Cells along each axis.
    nodes : (s,) int
        Distinct flat indices of the sensors' cells.
    wavenumber : float
        k in G = (-Laplacian_h - k^2)^-1.
    G : square measurement, optional
        Another symmetric solution operator on the same images, such as `VariableGreen`; `wavenumber` is then ignored.

    Raises
    ------
    ValueError
        For nodes as in `Sensors`, a resonance, or a G of other images.

    Notes
    -----
    A^H = G S^T: the data become point sources at the sensors, and one more solve spreads them. A smooths by two orders.

    Examples
    --------
    >>> from conjugo.pde.inverse.operator import adjoint_mismatch
    >>> from conjugo.pde.inverse.source import SourceToSensors
    >>> A = SourceToSensors((32, 32), [5, 300, 900])
    >>> A.shape, adjoint_mismatch(A) < 1e-13
    ((3, 1024), True)
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        nodes: ArrayLike,
        *,
        wavenumber: float = 0.0,
        G: ImageOperator | None = None,
    ) -> None:
        self.sensors = Sensors(image_shape, nodes)
        self.G = Green(image_shape, wavenumber) if G is None else G
        if self.G.image_shape != self.sensors.image_shape or self.G.shape[0] != self.G.shape[1]:
            raise ValueError(f"G has shape {self.G.shape} and images {self.G.image_shape}: expected a square operator "
                             f"on images {self.sensors.image_shape}")  # fmt: skip
        super().__init__(image_shape, self.sensors.shape[0])

    def measure(self, images: Array) -> Array:
        """The field at the sensors, (k, m)."""
        return self.sensors.measure(self.G.measure(images))

    def scatter(self, data: Array) -> Array:
        """The field of point sources at the sensors, (k, *image_shape)."""
        return self.G.scatter(self.sensors.scatter(data).reshape(-1, self.shape[1]))
