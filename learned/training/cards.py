"""Model cards: a page beside the weights that says what they are, how they were made, and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

import conjugo
from conjugo.learned.training.files import write_whole

Score = float | int | str


def write_card(
    path: Path | str,
    *,
    summary: str,
    data: str,
    command: str,
    seed: int,
    seconds: float,
    device: str,
    parameters: int,
    scores: Mapping[str, Score] | Sequence[Mapping[str, Score]],
    limits: Sequence[str],
    torch_version: str | None = None,
) -> Path:
    """Write a model card.

    Parameters
    ----------
    path : Path or str
        The weights, or the card; the card is the same name with `.md`.
    summary : str
        What the model does, in a sentence or two.
    data : str
        What it was trained on, and what it was validated on.
    command : str
        The command that trains it again.
    seed : int
        Seed of the run.
    seconds : float
        Time trained.
    device : str
        What it was trained on, in words.
    parameters : int
        Number of trained parameters.
    scores : mapping, or sequence of mappings
        One score a name, or one row a mapping; all rows have the keys of the first.
    limits : sequence of str
        Where it fails, and what was not tried.
    torch_version : str, optional
        Default: the version at hand.

    Returns
    -------
    Path
        The card.

    Raises
    ------
    ValueError
        If there is no score or no limit, or rows differ in their keys.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     card = write_card(
    ...         f"{folder}/tiny.safetensors", summary="A line.", data="16 points.", command="conjugo train tiny",
    ...         seed=0, seconds=1.5, device="CPU, 1 thread", parameters=2, scores={"loss": 0.125},
    ...         limits=["Points beyond 1."],
    ...     )
    ...     print(card.name, "|", card.read_text().splitlines()[0])
    tiny.md | # tiny
    """
    card = Path(path).with_suffix(".md")
    if not limits:
        raise ValueError("limits is empty: say at least where the model was not tried")
    facts: dict[str, Score] = {
        "parameters": f"{parameters:,}",
        "seed": seed,
        "training time": f"{seconds:.0f} s on {device}",
        "versions": f"conjugo {conjugo.__version__}, torch {torch_version or torch.__version__}",
    }
    lines = [f"# {card.stem}", "", summary, "", *_table([{"fact": k, "value": v} for k, v in facts.items()])]
    lines += ["", "## Data", "", data, "", "## Train it again", "", f"    {command}", "", "## Scores", ""]
    rows = (
        [{"score": key, "value": value} for key, value in scores.items()]
        if isinstance(scores, Mapping)
        else list(scores)
    )
    lines += [*_table(rows), "", "## Limits", "", *(f"- {limit}" for limit in limits)]
    write_whole(card, lambda beside: beside.write_text("\n".join(lines) + "\n"))
    return card


def _table(rows: Sequence[Mapping[str, Score]]) -> list[str]:
    if not rows:
        raise ValueError("scores is empty: a card without a score says nothing")
    columns = list(rows[0])
    for row in rows:
        if list(row) != columns:
            raise ValueError(f"the rows of scores differ in their keys: {columns} and {list(row)}")
    body = ["| " + " | ".join(_cell(row[column]) for column in columns) + " |" for row in rows]
    return ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |", *body]


def _cell(value: Score) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
