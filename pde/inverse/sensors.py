"""Sparse sensors: an image seen at some of its cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import ArrayLike, NDArray

from conjugo.pde.inverse.operator import ImageOperator
from conjugo.solvers.operators.protocol import Array


class Sensors(ImageOperator):
    """The restriction S of an image to nodes: (S x)_i = x at node i.

    Parameters
    ----------
    image_shape : sequence of int
        (h, w), any number of axes, or (channels, h, w) with `channels`.
    nodes : (s,) int
        Distinct flat indices, in C order, into the image; into one channel of it where `channels` is given.
    channels : sequence of int, optional
        Channels that the sensors see, each at the same nodes: [1] is u of a joint field (a, u), [0, 1] is both. The
        data come channel by channel.

    Raises
    ------
    ValueError
        Where there is no node, or one is outside or occurs twice.

    Notes
    -----
    S S^T = I, and S^T S is the mask of the sensors, a projector.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde.inverse.sensors import Sensors
    >>> joint = np.arange(8.0)  # a is 0, 1, 2, 3 and u is 4, 5, 6, 7
    >>> (Sensors((2, 2, 2), [0, 3], channels=[1]) @ joint).tolist()
    [4.0, 7.0]
    >>> (Sensors((2, 2, 2), [0, 3], channels=[1]).H @ np.ones(2)).tolist()
    [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    """

    def __init__(self, image_shape: Sequence[int], nodes: ArrayLike, *, channels: Sequence[int] | None = None) -> None:
        chosen = np.asarray(nodes)
        if channels is not None:
            if len(image_shape) < 2 or not all(0 <= c < image_shape[0] for c in channels) or not len(channels):
                raise ValueError(f"channels = {list(channels)} for images {tuple(image_shape)}: expected numbers of "
                                 "channels, counted from 0, and images (channels, h, w)")  # fmt: skip
            cells = math.prod(image_shape[1:])
            _check_nodes(chosen, cells)
            chosen = (np.asarray(channels)[:, None] * cells + chosen).reshape(-1)
        _check_nodes(chosen, math.prod(image_shape))
        super().__init__(image_shape, chosen.size)
        self.nodes: NDArray[np.int64] = chosen.astype(np.int64)
        self._indices: dict[Any, Array] = {}

    @classmethod
    def random(
        cls, image_shape: Sequence[int], count: int, *, channels: Sequence[int] | None = None, seed: int = 0
    ) -> Sensors:
        """Put `count` sensors at random, each node as likely, none twice."""
        cells = math.prod(image_shape if channels is None else image_shape[1:])
        if not 0 < count <= cells:
            raise ValueError(f"count = {count}: expected 1 to {cells} sensors for images {tuple(image_shape)}")
        nodes = np.random.default_rng([seed, count]).choice(cells, count, replace=False)
        return cls(image_shape, np.sort(nodes), channels=channels)

    def measure(self, images: Array) -> Array:
        """Values at the nodes, (k, m)."""
        return images.reshape(-1, self.shape[1])[:, self._index(images)]

    def scatter(self, data: Array) -> Array:
        """Zero images with the data at the nodes, (k, *image_shape)."""
        xp = array_namespace(data)
        images = xp.zeros((data.shape[0], self.shape[1]), dtype=data.dtype, device=device(data))
        images[:, self._index(data)] = data
        return images.reshape(-1, *self.image_shape)

    def _index(self, like: Array) -> Array:
        """The nodes in the library of the data and on its device, kept for the next product."""
        if isinstance(like, np.ndarray):
            return self.nodes
        where = device(like)
        if where not in self._indices:
            self._indices[where] = array_namespace(like).asarray(self.nodes, device=where)
        return self._indices[where]


def _check_nodes(nodes: NDArray[Any], cells: int) -> None:
    if nodes.ndim != 1 or not nodes.size or nodes.dtype.kind not in "iu":
        raise ValueError(
            f"nodes have shape {nodes.shape} and dtype {nodes.dtype}: expected (s,) integers, s at least 1"
        )
    if nodes.min() < 0 or nodes.max() >= cells:
        raise ValueError(f"nodes run from {nodes.min()} to {nodes.max()}: expected flat indices from 0 to {cells - 1}")
    if np.unique(nodes).size != nodes.size:
        raise ValueError("nodes occur twice: expected distinct ones; average repeated data and lower their sigma")
