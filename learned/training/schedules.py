"""Learning rates as a function of the step alone, so that a resumed run needs no state for them."""

from __future__ import annotations

import math

from conjugo.learned.training.config import FitConfig

ONECYCLE_RISE = 0.3
"""Part of a one-cycle run that rises, where no warm-up is given."""

ONECYCLE_START, ONECYCLE_END = 1 / 25, 1e-4 / 25
"""First and last rate of one cycle, as parts of the largest."""

STEP_DROPS = (0.5, 0.75)
"""Where, in parts of the run after warm-up, "step" divides the rate by ten."""


def learning_rate(config: FitConfig, step: int) -> float:
    """Learning rate of a step.

    Parameters
    ----------
    config : FitConfig
        Gives the schedule, the largest rate, the warm-up and the number of steps.
    step : int
        From 0 to steps - 1.

    Returns
    -------
    float
        The rate.

    Notes
    -----
    With the progress t = (step - warmup) / (steps - warmup) in [0, 1), the rate is learning_rate times

    - "constant": 1,
    - "cosine": (1 + cos(pi t)) / 2,
    - "step": 1, then 1/10 from t = 1/2, then 1/100 from t = 3/4,
    - "onecycle": from 1/25 up to 1 and down to 4e-6, both along a cosine; the rise takes `warmup` steps, or 30 %
      of the run.

    In the warm-up of the first three it is (step + 1) / (warmup + 1).

    References
    ----------
    L. N. Smith, N. Topin, "Super-convergence", 2019, section 2 (one cycle).
    I. Loshchilov, F. Hutter, "SGDR", 2017, eq. 5 (cosine, without restarts).

    Examples
    --------
    >>> config = FitConfig(steps=100, learning_rate=1.0, schedule="cosine")
    >>> [round(learning_rate(config, step), 3) for step in (0, 25, 50, 99)]
    [1.0, 0.854, 0.5, 0.0]
    """
    rise = config.warmup
    if config.schedule == "onecycle":
        rise = rise or max(1, round(ONECYCLE_RISE * config.steps))
        if step < rise:
            return config.learning_rate * _cosine(ONECYCLE_START, 1.0, step / rise)
    elif step < rise:
        return config.learning_rate * (step + 1) / (rise + 1)
    t = (step - rise) / max(1, config.steps - rise)
    if config.schedule == "onecycle":
        last = max(1, config.steps - 1 - rise)
        return config.learning_rate * _cosine(1.0, ONECYCLE_END, (step - rise) / last)
    if config.schedule == "cosine":
        return config.learning_rate * _cosine(1.0, 0.0, t)
    if config.schedule == "step":
        return config.learning_rate * 0.1 ** sum(t >= drop for drop in STEP_DROPS)
    return config.learning_rate


def _cosine(start: float, end: float, t: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * t)) / 2
