"""Models on disk: safetensors whose metadata name the class and its configuration. Nothing is unpickled.

A model class is built by `Class(config)` from a dataclass that JSON can hold, and keeps it as `model.config`.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import conjugo
from conjugo.learned.training.devices import find_device
from conjugo.learned.training.files import write_whole

MODELS: dict[str, str] = {
    "LRAN": "conjugo.learned.dynamics.lran:LRAN",
    "DirectionNet": "conjugo.learned.preconditioners.dcdm:DirectionNet",
    "MultilevelNet": "conjugo.learned.preconditioners.multilevel:MultilevelNet",
    "ResidualOperator": "conjugo.learned.operators.residual_operator:ResidualOperator",
    "block_net": "conjugo.learned.preconditioners.block_net:BlockNet",
    "darcy_residual": "conjugo.learned.operators.darcy_residual:DarcyResidual",
    "fno": "conjugo.learned.operators.baselines:FNOOperator",
    "geometry_lsm": "conjugo.learned.operators.geometry:GeometryLSM",
    "lsm": "conjugo.learned.operators.lsm:LSM",
    "stencil_net": "conjugo.learned.preconditioners.stencil_net:StencilNet",
    "unet_denoiser": "conjugo.learned.diffusion.imaging.unet:UNetDenoiser",
    "uno": "conjugo.learned.operators.baselines:UNOOperator",
    "vorticity_attention": "conjugo.learned.operators.vorticity_attention:VorticityAttention",
}
"""Name in a file: "module:Class", imported when such a file is loaded. The only classes that a file can call."""

KEY = "conjugo"
"""The one entry of the metadata: JSON, so that equal models give equal files."""


def save_model(model: nn.Module, path: Path | str, *, storage: torch.dtype | None = None, **facts: Any) -> Path:
    """Write a model's weights and configuration, whole or not at all.

    Parameters
    ----------
    model : nn.Module
        Of a class in `MODELS`, with its configuration as `model.config`.
    path : Path or str
        The file, by custom `*.safetensors`.
    storage : torch.dtype, optional
        Type of the parameters in the file, say float16 for a file of half the size; the loaded model has its own type
        again, with the rounded values. Buffers are stored as they are.
    **facts
        What else the file shall say: seed, scores, anything that JSON can hold.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the class is not in `MODELS`, or a configuration or fact is nothing for JSON.
    """
    path = Path(path)
    here = f"{type(model).__module__}:{type(model).__qualname__}"
    names = [name for name, place in MODELS.items() if place == here]
    if not names:
        raise ValueError(f"{here} is not in conjugo.learned.training.MODELS ({_known()}): add a line for it there")
    record = {"model": names[0], "config": _config_of(model), "facts": facts, "version": conjugo.__version__}
    try:
        text = json.dumps(record, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the configuration or a fact of {names[0]} is nothing for JSON: {error}") from error
    rounded = set() if storage is None else {name for name, p in model.named_parameters() if p.is_floating_point()}
    tensors = {
        name: value.detach().to("cpu", storage if name in rounded else value.dtype).contiguous()
        for name, value in model.state_dict().items()
    }
    write_whole(path, lambda beside: save_file(tensors, beside, {KEY: text}))
    return path


def load_model(path: Path | str, device: str | torch.device = "cpu") -> nn.Module:
    """Build a model from a file.

    Parameters
    ----------
    path : Path or str
        A file from `save_model`.
    device : str or torch.device
        Where the model goes.

    Returns
    -------
    nn.Module
        The model, in eval().

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no model of conjugo, of a class or configuration unknown here, or the device is missing.
    """
    path, where = Path(path), find_device(device)
    record = read_facts(path)
    name = record["model"]
    if name not in MODELS:
        raise ValueError(
            f"{path} holds a {name!r}, which this version does not know ({_known()}); was it made by a newer one?"
        )
    module, _, qualname = MODELS[name].partition(":")
    kind = getattr(import_module(module), qualname)
    wanted = typing.get_type_hints(kind.__init__)["config"]
    try:
        config = _build(wanted, record["config"])
    except TypeError as error:
        fields = ", ".join(field.name for field in dataclasses.fields(wanted))
        raise ValueError(
            f"{path} has the configuration {_show(record['config'])} but {name} here takes {fields}: "
            "it was made by another version"
        ) from error
    model: nn.Module = kind(config)
    _fill(model, path, name)
    return model.to(where).eval()


def load_weights(model: nn.Module, path: Path | str) -> None:
    """Load a file into a model that exists; both must agree in class and configuration.

    Parameters
    ----------
    model : nn.Module
        With its configuration as `model.config`.
    path : Path or str
        A file from `save_model`.

    Raises
    ------
    ValueError
        If the file is of another class, configuration or dimension: the message names both.
    """
    path = Path(path)
    record = read_facts(path)
    name, theirs, mine = record["model"], record["config"], json.loads(json.dumps(_config_of(model)))
    place = f"{type(model).__module__}:{type(model).__qualname__}"
    if MODELS.get(name) != place:
        raise ValueError(f"{path} holds a {name} ({MODELS.get(name, 'unknown here')}) but the model is a {place}")
    if theirs != mine:
        differing = ", ".join(
            f"{key} = {theirs.get(key, 'unset')!r} against {mine.get(key, 'unset')!r}"
            for key in {**theirs, **mine}
            if theirs.get(key) != mine.get(key)
        )
        raise ValueError(
            f"{path} holds {name}({_show(theirs)}) but the model is {name}({_show(mine)}): they differ in {differing}"
        )
    _fill(model, path, name)


def read_facts(path: Path | str) -> dict[str, Any]:
    """Return what a file says of itself: "model", "config", "facts" and "version".

    Parameters
    ----------
    path : Path or str
        A file from `save_model`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no model of conjugo.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no model of conjugo: it is no safetensors file, or is damaged") from error
    if text is None:
        raise ValueError(f"{path} is no model of conjugo: its metadata have no entry {KEY!r}; save_model writes it")
    try:
        record: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no model of conjugo: its metadata are damaged") from error
    return record


def weights_path(name: str) -> Path:
    """Path of a model that conjugo ships.

    Parameters
    ----------
    name : str
        Name of the file in `learned/weights/`, without `.safetensors`.

    Raises
    ------
    ValueError
        If there is no such file; the message lists those that exist.
    """
    folder = Path(str(resources.files("conjugo.learned"))) / "weights"
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        shipped = sorted(file.stem for file in folder.glob("*.safetensors"))
        raise ValueError(f"conjugo ships no weights {name!r}; these exist: {', '.join(shipped) or 'none'}")
    return path


def _fill(model: nn.Module, path: Path, name: str) -> None:
    theirs = load_file(path)  # read_facts has opened it: the header and the length are right
    mine = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    shapes = {key: tuple(value.shape) for key, value in theirs.items()}
    wrong = [key for key in {**mine, **shapes} if mine.get(key) != shapes.get(key)]
    if wrong:
        key = wrong[0]
        raise ValueError(
            f"{path}: the tensors do not fit its own configuration of {name}: {key} is {shapes.get(key, 'missing')} in "
            f"the file and {mine.get(key, 'missing')} in the model; the file is damaged or of another version"
        )
    model.load_state_dict(theirs)


def _config_of(model: nn.Module) -> dict[str, Any]:
    config: Any = getattr(model, "config", None)
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise ValueError(
            f"{type(model).__qualname__}.config is {config!r}: a dataclass is needed, from which the class is built"
        )
    return dataclasses.asdict(config)


def _build(kind: Any, values: dict[str, Any]) -> Any:
    """Build a dataclass from JSON: lists become tuples, dicts the dataclasses of their fields."""
    hints = typing.get_type_hints(kind)
    made = {}
    for name, value in values.items():
        hint = hints.get(name)
        made[name] = (
            _build(hint, value) if dataclasses.is_dataclass(hint) and isinstance(value, dict) else _tuples(value)
        )
    return kind(**made)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _show(config: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in config.items())


def _known() -> str:
    return f"these are: {', '.join(sorted(MODELS))}" if MODELS else "it is empty"
