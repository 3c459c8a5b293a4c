"""What a sampler returns: the samples, how it ended, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from conjugo.solvers.result import Status


@dataclass(frozen=True, slots=True, eq=False)
class SamplingResult:
    """The outcome of one run of a sampler.

    Parameters
    ----------
    x : (B, *shape) Tensor
        The samples: the estimates that the last finished step made. NaN where there was none.
    status : Status
        CONVERGED where all evaluations were made, STOPPED after Ctrl-C or by the callback, NONFINITE (or INDEFINITE,
        for a step inside which conjugate gradients found no positive definite system) where numbers broke down.
    evaluations : int
        Evaluations of the denoiser, for each sample.
    applications : int
        Products with A and A^H, for each sample.
    seconds : float
        Wall-clock time, without the checks before the start.
    details : dict
        `forward` and `adjoint` (products with A and with A^H, for each sample), `denoiser_seconds`,
        `operator_seconds`, `own_seconds` (the rest), `check_applications` (in all, before the start); where a run
        broke down, `step`, counted from 0, and `note`.
    """

    x: Tensor
    status: Status
    evaluations: int
    applications: int
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)
