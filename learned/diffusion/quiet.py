"""A schedule whose samplers start without noise, at the middle of all the states that they could start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from conjugo.learned.diffusion.schedule import Schedule, Split


@dataclass(frozen=True, slots=True)
class Quiet:
    """Another schedule with the start 0 in place of noise.

    Parameters
    ----------
    schedule : Schedule
        Everything else.

    Notes
    -----
    With `eta=0` and `noise="conditional"` a sampler then follows the probability flow of the posterior from its centre.
    For a Gaussian posterior the flow is affine, so the centre ends at the posterior mean: this is an estimate of the
    mean, with no spread at all, and not a sample. The prior's mean should be near 0, as data for networks are scaled.

    References
    ----------
    Y. Song et al., Score-based generative modeling through stochastic differential equations, ICLR (2021), section 4.3.

    Examples
    --------
    >>> from conjugo.learned.diffusion.schedule import VESchedule
    >>> Quiet(VESchedule()).start(1.0), Quiet(VESchedule()).times(2)
    (0.0, (1.0, 0.5, 0.0))
    """

    schedule: Schedule

    def times(self, evaluations: int) -> Sequence[float]:
        """Times of the evaluations, and the end."""
        return self.schedule.times(evaluations)

    def start(self, t: float) -> float:
        """0, at every time."""
        return 0.0

    def signal(self, t: float) -> float:
        """Factor of the image."""
        return self.schedule.signal(t)

    def noise(self, t: float) -> float:
        """Factor of the noise."""
        return self.schedule.noise(t)

    def split(self, t: float, t_next: float, eta: float, split: Split) -> tuple[float, float]:
        """Factors of the predicted and of the fresh noise."""
        return self.schedule.split(t, t_next, eta, split)
