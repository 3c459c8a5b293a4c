"""The linear denoiser that a set of images affords: what a trained one must beat."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.pde.inverse.bases import CosineBasis


def wiener(images: Tensor, *, centred: bool = True) -> GaussianPrior:
    """Return the exact denoiser of the Gaussian field with the images' mean and measured spectrum.

    Parameters
    ----------
    images : (N, channels, h, w) tensor
        Clean images, the more the better.
    centred : bool
        Whether their mean is taken off; not for images whose phase is uniform, whose mean is 0.

    Returns
    -------
    GaussianPrior
        Diagonal in the cosines of every channel.

    Notes
    -----
    Of all maps x -> m + Phi^T diag(g) Phi (x - m) this one has the least mean square error over the images. Unless the
    images are stationary, other linear maps have less.

    References
    ----------
    N. Wiener, Extrapolation, interpolation, and smoothing of stationary time series (1949), chapter III.

    Examples
    --------
    >>> import torch
    >>> from conjugo.learned.diffusion.imaging.wiener import wiener
    >>> images = 2 * torch.randn(200, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> bool(abs(wiener(images, centred=False).spectrum.mean() - 4) < 0.1)
    True
    """
    if images.ndim != 4 or not len(images):
        raise ValueError(f"images have shape {tuple(images.shape)}: expected (N, channels, h, w)")
    values = images.double().cpu().numpy()
    mean = values.mean(axis=0) if centred else np.zeros(values.shape[1:])
    basis = CosineBasis(values.shape[-2:])
    spectrum = np.mean(np.asarray(basis.forward(values - mean)) ** 2, axis=0)
    return GaussianPrior(spectrum, basis, mean)
