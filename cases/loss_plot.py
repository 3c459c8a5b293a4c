"""The picture of a training: the loss by step."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from conjugo.cases.plotting import COLOURS
from conjugo.cases.table import seconds
from conjugo.learned.training.fit import History


def loss_curve(history: History, *, label: str, title: str) -> Figure:
    """Draw the loss of every step, and its running mean; `label` is the loss' name."""
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    ax = figure.subplots()
    ax.semilogy(history.steps, history.losses, color="0.75", linewidth=0.8, label="a step")
    width = max(1, min(100, len(history.losses) // 5))
    if len(history.losses) >= width:
        mean = np.convolve(history.losses, np.full(width, 1 / width), mode="valid")
        ax.semilogy(history.steps[width - 1 :], mean, color=COLOURS["Krylov"], label=f"mean of {width}")
    ax.set_xlabel("step")
    ax.set_ylabel(label)
    ax.legend(frameon=False)
    ax.set_title(f"{title}, {seconds(history.seconds)}", fontsize=10)
    return figure
