"""Starts of a linearly recurrent autoencoder: it begins as a classical model, and training goes on from there."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from conjugo.learned.dynamics.balanced import Reduced
from conjugo.learned.dynamics.dictionaries import Radial
from conjugo.learned.dynamics.dmd import DMD
from conjugo.learned.dynamics.edmd import EDMD
from conjugo.learned.dynamics.lran import LRAN, Kernel, LRANConfig
from conjugo.learned.dynamics.model import LinearModel
from conjugo.learned.dynamics.snapshots import checked_states
from conjugo.pde.trajectories import Trajectories

type Widths = tuple[int, ...]

DEFECTIVE = 1e10
"""Condition of K's eigenvectors above which a change to their basis would cost all digits of float32."""


def start(
    model: LinearModel,
    trajectories: Trajectories,
    *,
    encoder: Widths = (128, 128),
    decoder: Widths = (128, 128),
    stable: bool = False,
    seed: int = 0,
) -> LRAN:
    """Make the network that is a fitted classical model, to rounding.

    Parameters
    ----------
    model : LinearModel
        A fitted `DMD`, or a `Reduced` model of an `EDMD` with the dictionary `Radial`: balanced ones are meant.
    trajectories : Trajectories
        The data, for the scales of states and codes.
    encoder, decoder : tuple of int
        Widths of the hidden layers of the networks that begin as zero.
    stable : bool
        Whether K is made of blocks that cannot grow. Eigenvalues on or outside the unit circle are then moved into it:
        the network is the model to rounding only where there are none.
    seed : int
        Of the hidden layers' weights.

    Returns
    -------
    LRAN
        On the CPU, in float32, with its kernel skip in float64.

    Raises
    ------
    ValueError
        If the model is of another kind, or a stable K is asked for and K has too few eigenvectors.

    Notes
    -----
    POD and DMD, z = (x - mean) Phi, is the start that the literature uses. The balanced pair E, D of over-specified
    EDMD, z = psi(x) E, keeps of a thousand observables the few that the state's forecasts need.

    References
    ----------
    S. Pan, K. Duraisamy, SIAM J. Appl. Dyn. Syst. 19 (2020), section 4 (the start from DMD).

    Examples
    --------
    >>> u = np.random.default_rng(0).standard_normal((30, 1, 2)) * 0.9 ** np.arange(8.0)[:, None]
    >>> data = Trajectories(u, np.arange(8.0))
    >>> network = start(DMD().fit(data), data)
    >>> z = network.encode(torch.as_tensor(u[:, 0], dtype=torch.float32))
    >>> bool(torch.allclose(network.decode(z @ network.K).double(), torch.as_tensor(u[:, 1]), atol=1e-5))
    True
    """
    u, _ = checked_states(trajectories)
    K, C = model.K, model.C
    V: NDArray[np.float64] | None = None
    reals = 0
    if stable:
        V, values, reals = _real_eigenbasis(K)
        C = np.linalg.solve(V, C)
    dictionary = _dictionary(model)
    kernel: Kernel = "none" if dictionary is None else dictionary.kind
    count, width = (0, 1.0) if dictionary is None else (len(dictionary._centres), dictionary._width)
    config = LRANConfig(
        state=u.shape[2], latent=len(K), encoder=encoder, decoder=decoder,
        kernel=kernel, centres=count, width=width, stable=stable, reals=reals,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = LRAN(config)
    x = u.reshape(-1, u.shape[2])
    codes = np.concatenate([model.encode(part) for part in np.array_split(x, max(1, len(x) // 4096))])
    codes = codes if V is None else codes @ V
    with torch.no_grad():
        network.mean.copy_(torch.as_tensor(x.mean(axis=0)))
        network.scale.fill_(float(x.std()))
        size = np.sqrt(np.mean(codes**2, axis=0))
        spread = np.maximum(size, 1e-6 * size.max())
        network.spread.copy_(torch.as_tensor(spread))
        if dictionary is None:
            _linear_skip(network, model, V)
        else:
            E = cast(Reduced, model)._E
            network.centres.copy_(torch.as_tensor(dictionary._centres))
            network.kernel_weights.copy_(torch.as_tensor(E if V is None else E @ V))
        mean = network.mean.double().numpy()
        scale = float(network.scale)
        network.skip_out.weight.copy_(torch.as_tensor((C * spread[:, None]).T / scale))
        network.skip_out.bias.copy_(torch.as_tensor(-mean / scale))  # these models decode as z C
        if stable:
            network.blocks.set(torch.as_tensor(values))
        else:
            network.set_step(torch.as_tensor(K))
    return network


def _dictionary(model: LinearModel) -> Radial | None:
    """The radial dictionary of a reduced model, or None for DMD."""
    if isinstance(model, DMD):
        return None
    inner = model.model if isinstance(model, Reduced) else None
    features = inner._features if isinstance(inner, EDMD) else None
    if not isinstance(features, Radial):
        kind = type(model).__name__
        raise ValueError(f"a network cannot start as this {kind}: expected DMD, or Reduced(EDMD(Radial(...)))")
    return features


def _linear_skip(network: LRAN, model: LinearModel, V: NDArray[np.float64] | None) -> None:
    """Set z = s W + b, s = (x - mean) / scale, to the code of a model that is linear in x."""
    E = model.encode(np.eye(network.config.state))
    E = E if V is None else E @ V
    network.skip_in.weight.copy_(torch.as_tensor(E.T * float(network.scale)))
    network.skip_in.bias.copy_(torch.as_tensor(network.mean.double().numpy() @ E))


def _real_eigenbasis(K: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.complex128], int]:
    """V with K V = V B and B block-diagonal, its eigenvalues in the order of the blocks, and how many are real."""
    values, vectors = np.linalg.eig(K)
    real = np.flatnonzero(values.imag == 0)
    upper = np.flatnonzero(values.imag > 0)
    columns = [vectors[:, i].real for i in real]
    ordered = [complex(values[i]) for i in real]
    for i in upper:
        columns += [vectors[:, i].real, vectors[:, i].imag]
        ordered += [complex(values[i]), complex(values[i].conj())]
    V = np.stack(columns, axis=1)
    if np.linalg.cond(V) > DEFECTIVE:
        raise ValueError(f"the eigenvectors of K have the condition {np.linalg.cond(V):.1e}: blocks cannot hold it; "
                         "take stable=False, or a smaller rank")  # fmt: skip
    return V, np.array(ordered), len(real)
