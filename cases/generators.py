"""What `conjugo generate` can make: each generator by its place, and the options that it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Literal

import numpy as np

from conjugo.pde import FieldPairs, Trajectories

type Samples = FieldPairs | Trajectories

type Equation = Literal["darcy", "navier-stokes", "burgers", "kuramoto-sivashinsky", "duffing", "pipe"]


@dataclass(frozen=True, slots=True)
class Generator:
    """A generator of samples.

    Parameters
    ----------
    place : str
        "module:function"; it is imported when it is asked for.
    options : mapping
        Options of the command, and the parameters that they set.
    fast : mapping
        Parameters under --fast.
    """

    place: str
    options: Mapping[str, str]
    fast: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Callable[..., Samples]:
        """Import the function."""
        module, name = self.place.split(":")
        function: Callable[..., Samples] = getattr(import_module(module), name)
        return function


GENERATORS: dict[str, Generator] = {
    "darcy": Generator(
        "conjugo.pde.darcy.pairs:darcy", {"size": "size", "variant": "variant", "rtol": "rtol"}, {"size": 41}
    ),
    "navier-stokes": Generator(
        "conjugo.pde.evolution.navier_stokes:navier_stokes",
        {"size": "size", "keep": "keep", "viscosity": "viscosity", "dt": "dt"},
        {"size": 32, "keep": 16, "times": [0.5, 1.0]},
    ),
    "burgers": Generator(
        "conjugo.pde.evolution.burgers:burgers", {"size": "size", "viscosity": "viscosity", "dt": "dt"}, {"size": 256}
    ),
    "kuramoto-sivashinsky": Generator(
        "conjugo.pde.evolution.kuramoto_sivashinsky:kuramoto_sivashinsky",
        {"size": "points", "steps": "steps", "length": "length", "interval": "dt_out", "dt": "h"},
        {"steps": 40, "discard": 20.0},
    ),
    "duffing": Generator("conjugo.pde.evolution.duffing:duffing", {"steps": "steps", "interval": "dt"}, {"steps": 20}),
    "pipe": Generator("conjugo.pde.fem.pipe:pipe", {"size": "size", "viscosity": "viscosity"}, {"size": 17}),
}
"""By the name that the command takes."""

NOT_KEPT = ("count", "first", "xp", "device", "progress", "dtype")
"""Parameters that do not say which samples are made."""


def parameters(equation: str, given: Mapping[str, Any], *, fast: bool) -> dict[str, Any]:
    """Settle the parameters of a generator: what is given, what --fast says, and its own defaults.

    Parameters
    ----------
    equation : str
        Name in `GENERATORS`.
    given : mapping
        Options of the command; None where an option was not given.
    fast : bool
        Whether small defaults are wanted.

    Returns
    -------
    dict
        By the generator's own names, as JSON knows them.

    Raises
    ------
    ValueError
        For an option that the generator does not take, or one that it needs.

    Examples
    --------
    >>> parameters("darcy", {"size": 21, "seed": 3}, fast=False)["size"]
    21
    """
    generator = GENERATORS[equation]
    known = inspect.signature(generator.load()).parameters
    settled = {
        name: _plain(parameter.default)
        for name, parameter in known.items()
        if name not in NOT_KEPT and parameter.default is not inspect.Parameter.empty
    }
    settled |= generator.fast if fast else {}
    for option, value in given.items():
        name = "seed" if option == "seed" else generator.options.get(option)
        if value is None:
            continue
        if name is None:
            taken = ", ".join(f"--{known_option}" for known_option in generator.options)
            raise ValueError(f"--{option} {value} means nothing to {equation}: it takes {taken} and --seed")
        settled[name] = value
    missing = [option for option, name in generator.options.items() if name not in settled]
    if missing:
        raise ValueError(f"{equation} needs --{' and --'.join(missing)}: how long to follow it, for instance")
    return settled


def sampler(equation: str, settled: Mapping[str, Any], *, dtype: str, device: str) -> Callable[[int, int], Samples]:
    """Return sample(first, count) for the store.

    Parameters
    ----------
    equation : str
        Name in `GENERATORS`.
    settled : mapping
        As from `parameters`.
    dtype : {"float32", "float64"}
        What the samples are rounded to when they are done.
    device : str
        "numpy", or a device of torch.

    Raises
    ------
    ValueError
        For a device, where the generator knows NumPy only.

    Examples
    --------
    >>> sampler("darcy", {"size": 9}, dtype="float32", device="numpy")(0, 2).u.dtype
    dtype('float32')
    """
    function = GENERATORS[equation].load()
    options = dict(settled)
    if device != "numpy":
        if "device" not in inspect.signature(function).parameters:
            raise ValueError(f"--device {device}: {equation} runs on NumPy only; leave the option out")
        options |= {"xp": "torch", "device": device}

    def sample(first: int, count: int) -> Samples:
        made = function(count, first=first, **options)
        if isinstance(made, Trajectories):
            return replace(made, u=_rounded(made.u, dtype))
        points = None if made.coordinates is None else _rounded(made.coordinates, dtype)
        return replace(made, a=_rounded(made.a, dtype), u=_rounded(made.u, dtype), coordinates=points)

    return sample


def _rounded(values: Any, dtype: str) -> Any:
    """Bring an array to the host, rounded."""
    return np.asarray(values.cpu() if hasattr(values, "cpu") else values, dtype=dtype)


def _plain(value: Any) -> Any:
    """What JSON knows of a default."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value
