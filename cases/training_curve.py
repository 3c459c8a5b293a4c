"""The picture of a training: the loss of every step, its running mean, and the validation where there is one."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from conjugo.cases.table import seconds
from conjugo.learned.training.history import History

WIDEST = 50
"""Steps of the running mean, where there are five times as many."""


def training_curve(history: History, *, ylabel: str, title: str, validation: bool = False) -> Figure:
    """Draw losses on a log scale against steps.

    Parameters
    ----------
    history : History
        As from `fit`.
    ylabel : str
        What the loss is.
    title : str
        What was trained; the time it took is added.
    validation : bool
        Whether the validation is drawn: where it measures the same as the loss.
    """
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    ax = figure.subplots()
    ax.semilogy(history.steps, history.losses, color="0.75", linewidth=0.8, label="a step")
    width = max(1, min(WIDEST, len(history.losses) // 5))
    if len(history.losses) >= width:
        mean = np.convolve(history.losses, np.full(width, 1 / width), mode="valid")
        ax.semilogy(history.steps[width - 1 :], mean, color="#0072B2", label=f"mean of {width}")
    if validation and len(history.validation):
        ax.semilogy(*history.validation.T, "o-", color="#D55E00", markersize=4, label="validation")
    ax.set_xlabel("step")
    ax.set_ylabel(ylabel)
    ax.legend(frameon=False)
    ax.set_title(f"{title}, {seconds(history.seconds)}", fontsize=10)
    return figure
