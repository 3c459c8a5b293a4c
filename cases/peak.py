"""Peak memory of every method, measured in a process of its own so that timings stay undisturbed.

The process settles its allocator for measuring (freed arrays go back to the system at once), which slows codes
with many temporary arrays; therefore it is another process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from conjugo.cases.measure import peak_bytes
from conjugo.cases.methods import METHODS
from conjugo.cases.peers import PEERS
from conjugo.cases.spec import ProblemSpec, build, small_shape
from conjugo.cases.trial import peak_of, warm_up


@dataclass(frozen=True, slots=True)
class Peaks:
    """Most bytes an unknown that each method held beyond the problem itself, and how they were measured."""

    per_unknown: dict[str, float]
    how: str


def peaks(spec: ProblemSpec, methods: Sequence[str], timeout: float = 300.0) -> Peaks:
    """Measure the set-up and a few iterations of each method.

    Parameters
    ----------
    spec : ProblemSpec
        The problem.
    methods : sequence of str
        Names of methods.
    timeout : float
        Seconds after which measuring is given up.

    Returns
    -------
    Peaks
        Empty where the other process could not measure.
    """
    command = [sys.executable, "-m", "conjugo.cases.peak", to_json(spec), *methods]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return Peaks({}, "nothing: it took too long")
    if done.returncode != 0:
        return Peaks({}, f"nothing: the process ended with code {done.returncode}")
    facts = json.loads(done.stdout.strip().splitlines()[-1])
    return Peaks(facts["per_unknown"], facts["how"])


def to_json(spec: ProblemSpec) -> str:
    """Write the options of a problem (those of a case that extends them are left out) as JSON."""
    values = {field.name: getattr(spec, field.name) for field in fields(ProblemSpec)}
    return json.dumps({name: str(value) if isinstance(value, Path) else value for name, value in values.items()})


def from_json(text: str) -> ProblemSpec:
    """Read what `to_json` wrote.

    Examples
    --------
    >>> from_json(to_json(ProblemSpec(shape=(8, 8)))).shape
    (8, 8)
    """
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in json.loads(text).items()}
    if values["matrix"] is not None:
        values["matrix"] = Path(values["matrix"])
    return ProblemSpec(**values)


def program() -> None:
    """Measure in this process and print one line of JSON."""
    parser = argparse.ArgumentParser(description="Measure the peak memory of methods; prints one line of JSON.")
    parser.add_argument("spec", type=from_json, help="a ProblemSpec as JSON")
    parser.add_argument("methods", nargs="+")
    options = parser.parse_args()
    spec: ProblemSpec = options.spec
    problem, small = build(spec), build(spec, small_shape(spec))
    per_unknown, how = {}, ""
    for method in [m for m in METHODS + PEERS if m.name in options.methods]:
        warm_up(method, small)
        used, how = peak_bytes(peak_of(method, problem))
        per_unknown[method.name] = used / problem.n
    sys.stdout.write(json.dumps({"per_unknown": per_unknown, "how": how}) + "\n")


if __name__ == "__main__":
    program()
