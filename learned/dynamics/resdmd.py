"""Residual dynamic mode decomposition: which eigenvalues of a learned model are to be believed."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from conjugo.learned.dynamics.model import LinearModel, Model
from conjugo.learned.dynamics.regression import moments
from conjugo.learned.dynamics.snapshots import blocks, checked_states
from conjugo.pde.trajectories import Trajectories


def resdmd_residuals(model: Model, trajectories: Trajectories) -> NDArray[np.float64]:
    """Return how well each eigenpair of a model holds on trajectories.

    Parameters
    ----------
    model : Model
        A fitted model; any that has `eigenvalues` and `eigenfunctions`.
    trajectories : Trajectories
        Held-out ones. On the training data an over-specified model has residual zero whatever its eigenvalues are: it
        interpolates. There only a ridge, or more pairs than features, makes the figure mean something.

    Returns
    -------
    (d,) array
        In the order of `model.eigenvalues`; inf where an eigenfunction vanishes on the data.

    Raises
    ------
    ValueError
        For bad trajectories (see `checked_states`), and another time step than the model's.

    Notes
    -----
    res(lambda, phi)^2 = mean |phi(y) - lambda phi(x)|^2 / mean |phi(x)|^2 over the pairs (x, y). With phi = psi v this
    is v* (L - lambda A* - conj(lambda) A + |lambda|^2 G) v / v* G v of [1]_, L = mean psi(y)^T psi(y); the sum here
    takes the differences first, so that a true pair reaches rounding. A residual eps means that lambda lies in the
    eps-pseudospectrum of the Koopman operator, as far as the data tell. The constant function is a true eigenfunction
    of every system; and small residuals of many eigenfunctions of one system (products of true ones) are all true.

    References
    ----------
    .. [1] M. J. Colbrook, A. Townsend, Rigorous data-driven computation of spectral properties of Koopman operators for
       dynamical systems, Commun. Pure Appl. Math. 77 (2024), equation 3.6 and algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.learned.dynamics import EDMD, Polynomials, resdmd_residuals
    >>> from conjugo.pde import Trajectories
    >>> x0 = np.random.default_rng(0).uniform(-1, 1, (40, 1))
    >>> data = Trajectories((x0 * 0.5 ** np.arange(4))[:, :, None], np.arange(4.0))
    >>> model = EDMD(Polynomials(2)).fit(data[:20])
    >>> model.eigenvalues.real.round(3).tolist(), bool(resdmd_residuals(model, data[20:]).max() < 1e-6)
    ([1.0, 0.5, 0.25], True)
    """
    u, _ = _checked(model, trajectories)
    values = model.eigenvalues
    errors, squares = np.zeros(len(values)), np.zeros(len(values))
    for block in blocks(u):
        n = block.shape[-1]
        phi = model.eigenfunctions(block.reshape(-1, n)).reshape(*block.shape[:2], -1)
        errors += np.sum(np.abs(phi[:, 1:] - values * phi[:, :-1]) ** 2, axis=(0, 1))
        squares += np.sum(np.abs(phi[:, :-1]) ** 2, axis=(0, 1))
    return np.sqrt(np.divide(errors, squares, out=np.full(len(values), np.inf), where=squares > 0))


def pseudospectrum(
    model: LinearModel, trajectories: Trajectories, points: NDArray[np.complex128]
) -> NDArray[np.float64]:
    """Return the least residual that any latent function has at points of the complex plane.

    Parameters
    ----------
    model : LinearModel
        A fitted model.
    trajectories : Trajectories
        Held-out ones.
    points : array of complex
        Where to look.

    Returns
    -------
    array shaped like `points`
        min over v of the residual of (lambda, psi v); contours at eps bound the eps-pseudospectrum from inside.

    Raises
    ------
    ValueError
        As `resdmd_residuals`.

    Notes
    -----
    The square root of the smallest eigenvalue of L - lambda A* - conj(lambda) A + |lambda|^2 G relative to G, in the
    numerical range of G; from squared moments, so nothing below about 1e-8 is resolved. O(d^3) a point.

    References
    ----------
    .. [1] M. J. Colbrook, A. Townsend, Rigorous data-driven computation of spectral properties of Koopman operators for
       dynamical systems, Commun. Pure Appl. Math. 77 (2024), algorithm 3.
    """
    u, _ = _checked(model, trajectories)
    found = moments(model.encode, blocks(u))
    then = moments(model.encode, (block[:, ::-1] for block in blocks(u)))  # G of the reversed pairs is L
    values, vectors = scipy.linalg.eigh(found.G)
    keep = values > len(values) * np.finfo(np.float64).eps * values[-1]
    whiten = vectors[:, keep] / np.sqrt(values[keep])
    A, L = whiten.T @ found.A @ whiten, whiten.T @ then.G @ whiten
    places = np.asarray(points, dtype=np.complex128)
    least = np.empty(places.size)
    for i, place in enumerate(places.ravel()):
        H = L - place * A.T - place.conj() * A + abs(place) ** 2 * np.eye(len(A))
        least[i] = scipy.linalg.eigvalsh(H, subset_by_index=[0, 0])[0]
    return np.sqrt(np.maximum(least, 0.0)).reshape(places.shape)


def _checked(model: Model, trajectories: Trajectories) -> tuple[NDArray[np.float64], float]:
    """States and time step, which is the model's."""
    u, dt = checked_states(trajectories)
    if abs(dt - model.dt) > 1e-6 * model.dt:
        raise ValueError(f"dt = {dt}: expected the model's, {model.dt}")
    return u, dt
