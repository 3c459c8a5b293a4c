"""Curves in TensorBoard, through `on_step`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from conjugo.learned.training.history import StepRecord


def tensorboard(folder: Path | str, every: int = 1) -> Callable[[StepRecord], None]:
    """Return an `on_step` that writes loss, validation, learning rate and gradient norm for TensorBoard.

    Parameters
    ----------
    folder : Path or str
        Log folder, for `tensorboard --logdir`.
    every : int
        Steps between points; validations are all written.

    Returns
    -------
    callable
        To give to `fit(..., on_step=...)`.

    Raises
    ------
    ImportError
        If the package tensorboard is missing.
    ValueError
        If `every` is less than 1.
    """
    if every < 1:
        raise ValueError(f"every = {every}: at least 1 is needed")
    try:
        writer = import_module("torch.utils.tensorboard").SummaryWriter(str(folder))
    except ImportError as error:
        raise ImportError("tensorboard() needs the package tensorboard: pip install tensorboard") from error

    def on_step(record: StepRecord) -> None:
        if record.step % every == 0:
            writer.add_scalar("loss", record.loss, record.step)
            writer.add_scalar("learning rate", record.learning_rate, record.step)
            writer.add_scalar("gradient norm", record.gradient_norm, record.step)
        if record.validation is not None:
            writer.add_scalar("validation", record.validation, record.step)
            writer.flush()

    return on_step
