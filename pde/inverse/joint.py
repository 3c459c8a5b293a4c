"""Source and field as one image of two channels, and measurements after other linear maps."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from conjugo.pde.inverse.operator import ImageOperator
from conjugo.solvers.operators.protocol import Array


class SourceAndField(ImageOperator):
    """J f = (f, factor G f): the joint image (2, h, w), flattened, of a source and its field.

    Parameters
    ----------
    G : ImageOperator
        Square, source to field: `Green` or `VariableGreen`.
    factor : float
        Unit of the field, such as one over its standard deviation.

    Raises
    ------
    ValueError
        For a G that is not square, or a factor that is not finite.

    Notes
    -----
    A Gaussian f with covariance C makes the joint image Gaussian, N(J mean, J C J^H), of rank n on 2 n unknowns: so
    the posterior of the joint image is J applied to that of f, whichever channel is observed.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde.inverse.joint import SourceAndField
    >>> from conjugo.pde.inverse.source import Green
    >>> G, f = Green((8, 8)), np.ones(64)
    >>> both = (SourceAndField(G, 10.0) @ f).reshape(2, 64)
    >>> bool(np.all(both[0] == f) and np.allclose(both[1], 10 * (G @ f)))
    True
    """

    def __init__(self, G: ImageOperator, factor: float = 1.0) -> None:
        m, n = G.shape
        if m != n or not math.isfinite(factor):
            raise ValueError(f"G has shape {G.shape} and factor = {factor}: expected a square G and a finite number")
        super().__init__(G.image_shape, 2 * n)
        self.G, self.factor = G, float(factor)

    def measure(self, images: Array) -> Array:
        """Source and field, flattened: (k, 2 n)."""
        f = images.reshape(-1, self.shape[1])
        return array_namespace(f).concat([f, self.G.measure(images) * self.factor], axis=1)

    def scatter(self, data: Array) -> Array:
        """First channel plus factor G^H of the second, (k, *image_shape)."""
        n = self.shape[1]
        return data[:, :n].reshape(-1, *self.image_shape) + self.G.scatter(data[:, n:]) * self.factor


class Composed(ImageOperator):
    """The measurement S B: B first, and S on its data.

    Parameters
    ----------
    S : ImageOperator
        On as many numbers as B returns, such as `Sensors` on the joint images of `SourceAndField`.
    B : ImageOperator
        First map.

    Raises
    ------
    ValueError
        Where the two do not fit.

    Examples
    --------
    >>> from conjugo.pde.inverse.joint import Composed, SourceAndField
    >>> from conjugo.pde.inverse.sensors import Sensors
    >>> from conjugo.pde.inverse.source import Green
    >>> both = Composed(Sensors((2, 8, 8), [3, 30], channels=[0, 1]), SourceAndField(Green((8, 8))))
    >>> both.shape, both.image_shape
    ((4, 64), (8, 8))
    """

    def __init__(self, S: ImageOperator, B: ImageOperator) -> None:
        if S.shape[1] != B.shape[0]:
            raise ValueError(f"S has shape {S.shape} and B {B.shape}: expected as many columns of S as rows of B")
        super().__init__(B.image_shape, S.shape[0])
        self.S, self.B = S, B

    def measure(self, images: Array) -> Array:
        """S of B's data, (k, m)."""
        return self.S.measure(self.B.measure(images).reshape(-1, *self.S.image_shape))

    def scatter(self, data: Array) -> Array:
        """B^H S^H, (k, *image_shape)."""
        return self.B.scatter(self.S.scatter(data).reshape(-1, self.S.shape[1]))
