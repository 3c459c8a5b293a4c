"""What a training run did, step by step."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.training.files import write_whole


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One optimiser step, as `on_step` sees it.

    Attributes
    ----------
    step : int
        Steps done, from 1.
    loss : float
        Loss of the whole batch, over all processes, before the step.
    learning_rate, gradient_norm : float
        The rate used, and the norm of the gradient before clipping.
    seconds : float
        Time trained so far, resumed parts included.
    validation : float or None
        Mean validation loss after this step, where one was due.
    """

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    seconds: float
    validation: float | None = None


@dataclass(frozen=True, eq=False)
class History:
    """A training run.

    Attributes
    ----------
    steps : (n,) int64 array
        Steps done, from 1.
    losses, learning_rates, gradient_norms : (n,) float64 arrays
        As in `StepRecord`.
    validation : (k, 2) float64 array
        Step and mean validation loss; the first row is step 0, the untrained model.
    seconds : float
        Time trained, resumed parts included.
    best_step : int
        Step whose weights the model holds now: the best of validation, without validation the last.
    interrupted : bool
        Whether Ctrl-C or `time_limit` ended the run before its last step.

    Examples
    --------
    >>> records = [StepRecord(1, 0.5, 1e-3, 2.0, 0.1), StepRecord(2, 0.25, 1e-3, 1.0, 0.2, 0.4)]
    >>> history = History.of(records, [(0, 0.6), (2, 0.4)], seconds=0.2, best_step=2, interrupted=False)
    >>> history.losses.tolist(), history.validation.tolist()
    ([0.5, 0.25], [[0.0, 0.6], [2.0, 0.4]])
    """

    steps: NDArray[np.int64]
    losses: NDArray[np.float64]
    learning_rates: NDArray[np.float64]
    gradient_norms: NDArray[np.float64]
    times: NDArray[np.float64]
    validation: NDArray[np.float64]
    seconds: float
    best_step: int
    interrupted: bool

    @classmethod
    def of(
        cls,
        records: list[StepRecord],
        validation: list[tuple[int, float]],
        *,
        seconds: float,
        best_step: int,
        interrupted: bool,
    ) -> History:
        """Build a history from the records of its steps."""
        rows = np.array([[r.step, r.loss, r.learning_rate, r.gradient_norm, r.seconds] for r in records], dtype=float)
        columns = rows.reshape(-1, 5).T
        return cls(
            steps=columns[0].astype(np.int64),
            losses=columns[1],
            learning_rates=columns[2],
            gradient_norms=columns[3],
            times=columns[4],
            validation=np.array(validation, dtype=float).reshape(-1, 2),
            seconds=seconds,
            best_step=best_step,
            interrupted=interrupted,
        )

    def save_csv(self, path: Path | str) -> None:
        """Write a row for every step, with an empty cell where nothing was measured; whole or not at all.

        Parameters
        ----------
        path : Path or str
            The file, columns step, loss, learning_rate, gradient_norm, seconds and validation.
        """
        scores = {int(step): score for step, score in self.validation}
        rows: list[list[object]] = [[0, "", "", "", "", scores[0]]] if 0 in scores else []
        columns = (self.losses, self.learning_rates, self.gradient_norms, self.times)
        for step, *values in zip(self.steps, *columns, strict=True):
            rows.append([int(step), *map(float, values), scores.get(int(step), "")])

        def save(beside: Path) -> None:
            with beside.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["step", "loss", "learning_rate", "gradient_norm", "seconds", "validation"])
                writer.writerows(rows)

        write_whole(Path(path), save)
