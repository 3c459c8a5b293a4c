"""The linearly recurrent autoencoder: an encoder, one matrix that steps, and a decoder."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from conjugo.learned.dynamics.stable_blocks import StableBlocks

type Kernel = Literal["none", "gaussian", "thin_plate", "multiquadric"]
"""Radial functions of the encoder's skip, as in `Radial`; "none" is a skip of the state alone."""


@dataclass(frozen=True, kw_only=True)
class LRANConfig:
    """Sizes of a linearly recurrent autoencoder.

    Parameters
    ----------
    state, latent : int
        Dimensions n of a state and d of its code.
    encoder, decoder : tuple of int
        Widths of the hidden layers.
    kernel : {"none", "gaussian", "thin_plate", "multiquadric"}
        Functions of the encoder's skip: the state alone, or those of the dictionary `Radial`: 1, the state, and radial
        functions about the centres.
    centres : int
        Their number; 0 without a kernel.
    width : float
        Of the radial functions, in units of the state.
    stable : bool
        Whether K consists of rotations that shrink, so that no forecast can grow.
    reals : int
        Real eigenvalues of a stable K; d - reals must be even.

    Raises
    ------
    ValueError
        If the sizes do not fit together.
    """

    state: int
    latent: int
    encoder: tuple[int, ...] = (128, 128)
    decoder: tuple[int, ...] = (128, 128)
    kernel: Kernel = "none"
    centres: int = 0
    width: float = 1.0
    stable: bool = False
    reals: int = 0

    def __post_init__(self) -> None:
        for name in ("state", "latent"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: at least 1 is needed")
        for name in ("encoder", "decoder"):
            if any(width < 1 for width in getattr(self, name)):
                raise ValueError(f"{name} = {getattr(self, name)}: widths of at least 1 are needed")
        if self.kernel not in get_args(Kernel.__value__):
            raise ValueError(f"kernel = {self.kernel!r}: choose one of {', '.join(get_args(Kernel.__value__))}")
        if (self.kernel == "none") != (self.centres == 0) or self.centres < 0:
            raise ValueError(f"centres = {self.centres} with kernel = {self.kernel!r}: only a kernel has centres")
        if not self.width > 0:
            raise ValueError(f"width = {self.width}: a positive number is needed")
        if self.stable and (not 0 <= self.reals <= self.latent or (self.latent - self.reals) % 2):
            raise ValueError(
                f"reals = {self.reals} with latent = {self.latent}: a stable K has 2 x 2 blocks beside its real "
                "eigenvalues, so latent - reals must be even and not negative"
            )


class LRAN(nn.Module):
    """Map states to codes that step linearly, and codes back to states.

    Parameters
    ----------
    config : LRANConfig
        The sizes.

    Raises
    ------
    ValueError
        By `forward`, `encode` and `decode` for another dimension than the configuration's.

    Notes
    -----
    With s = (x - mean) / scale, and the skip z_0 = s W + b, or (1, x, k(x, c_1), ..., k(x, c_q)) W with a kernel,

        z = Psi(x) = z_0 + spread * N_e(s, z_0 / spread),      z_{t+1} = z_t K,
        x = mean + scale * (y C + c + N_d(y)),   y = z / spread.

    N_e and N_d are fully connected ELU networks whose last layers start at zero: a fresh model *is* the linear one of
    its skips, to which `start` gives DMD or balanced EDMD. N_e sees the skip's code z_0 only where there is a
    kernel. The kernel skip is fixed and computed in float64, for its coefficients are large and cancel; all else is
    trained, K too, as the step of y: balanced codes differ in size by powers of ten, and so would K's entries. Rows are
    codes, so that K here is the transpose of the paper's.

    References
    ----------
    S. E. Otto, C. W. Rowley, "Linearly recurrent autoencoder networks for learning dynamics", SIAM J. Appl. Dyn. Syst.
    18 (2019), 558-593: the architecture and eq. 25. The skips are ours.

    Examples
    --------
    >>> model = LRAN(LRANConfig(state=2, latent=3, encoder=(8,), decoder=(8,)))
    >>> states, codes, targets = model(torch.zeros(5, 4, 2))
    >>> states.shape, codes.shape, targets.shape
    (torch.Size([5, 4, 2]), torch.Size([5, 4, 3]), torch.Size([5, 4, 3]))
    """

    mean: Tensor
    scale: Tensor
    spread: Tensor
    centres: Tensor
    kernel_weights: Tensor

    def __init__(self, config: LRANConfig) -> None:
        super().__init__()
        self.config = config
        n, d = config.state, config.latent
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("spread", torch.ones(d))
        if config.kernel == "none":
            self.skip_in = nn.Linear(n, d)
        else:
            self.register_buffer("centres", torch.zeros(config.centres, n, dtype=torch.float64))
            self.register_buffer("kernel_weights", torch.zeros(1 + n + config.centres, d, dtype=torch.float64))
        self.encoder = _network(n if config.kernel == "none" else n + d, config.encoder, d)
        self.skip_out = nn.Linear(d, n)
        self.decoder = _network(d, config.decoder, n)
        if config.stable:
            self.blocks = StableBlocks(d, config.reals)
        else:
            self.matrix = nn.Parameter(torch.eye(d))

    @property
    def K(self) -> Tensor:  # noqa: N802
        """The (d, d) matrix of one step, for codes as rows."""
        return self.blocks() if self.config.stable else self.matrix * (self.spread / self.spread[:, None])

    @torch.no_grad()
    def set_step(self, K: Tensor) -> None:
        """Set a K that does not consist of blocks."""
        self.matrix.copy_(K * (self.spread[:, None] / self.spread).to(K))

    def fix_step(self) -> None:
        """Take K out of the training."""
        (self.blocks if self.config.stable else self.matrix).requires_grad_(False)

    def encode(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """Return the codes (..., d) of states (..., n); `skip` may give what `kernel_code(x)` would compute."""
        self._check(x, self.config.state, "states")
        s = (x - self.mean) / self.scale
        if self.config.kernel == "none":
            return cast(Tensor, self.skip_in(s) + self.spread * self.encoder(s))
        z = self.kernel_code(x) if skip is None else skip
        return z + self.spread * cast(Tensor, self.encoder(torch.cat([s, z / self.spread], -1)))

    def decode(self, z: Tensor) -> Tensor:
        """Return the states (..., n) of codes (..., d)."""
        self._check(z, self.config.latent, "codes")
        return self.mean + self.scale * cast(Tensor, self.skip_out(z / self.spread) + self.decoder(z / self.spread))

    def advance(self, z: Tensor, steps: int) -> Tensor:
        """Return the codes (..., steps + 1, d) of a forecast from codes (..., d), the given ones first."""
        K = self.K
        codes = [z]
        for _ in range(steps):
            codes.append(codes[-1] @ K)
        return torch.stack(codes, -2)

    def forward(self, windows: Tensor, skip: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Forecast windows (B, T, n) from their first states.

        Returns
        -------
        states, codes, targets : tensors
            Forecast states (B, T, n), their codes (B, T, d), and the codes of the true states, (B, T, d).
        """
        if windows.ndim != 3:
            raise ValueError(f"windows have shape {tuple(windows.shape)}: expected (batch, times, state)")
        targets = self.encode(windows, skip)
        codes = self.advance(targets[:, 0], windows.shape[1] - 1)
        return self.decode(codes), codes, targets

    @torch.no_grad()
    def kernel_code(self, x: Tensor) -> Tensor:
        """Return the skip's codes z_0 (..., d), in the states' type; computed in float64."""
        x64 = x.double()
        square = x64.square().sum(-1, keepdim=True) + self.centres.square().sum(-1) - 2 * x64 @ self.centres.mT
        kernels = radial(square.clamp_min(0), self.config.kernel, self.config.width)
        features = torch.cat([torch.ones_like(x64[..., :1]), x64, kernels], -1)
        return (features @ self.kernel_weights).to(x.dtype)

    def _check(self, x: Tensor, size: int, what: str) -> None:
        if x.shape[-1] != size:
            raise ValueError(f"{what} have {x.shape[-1]} components on their last axis but the model's are {size}")


def radial(square: Tensor, kernel: Kernel, width: float) -> Tensor:
    """Radial functions of squared distances: the twin for tensors of `conjugo.learned.dynamics.radial.radial`."""
    s = square / width**2
    if kernel == "gaussian":
        return torch.exp(-0.5 * s)
    return 0.5 * torch.xlogy(s, s) if kernel == "thin_plate" else torch.sqrt(1 + s)


def _network(inputs: int, widths: tuple[int, ...], outputs: int) -> nn.Sequential:
    """A fully connected ELU network whose last layer is zero."""
    sizes = (inputs, *widths)
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ELU()]
    last = nn.Linear(sizes[-1], outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)
