"""Models on disk: the same bits, the same file, and one clear line for each thing that can be wrong; cards."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.learned.training.toy import Toy, ToyConfig, batch, toy
from torch import nn

from conjugo.learned.training import MODELS, load_model, load_weights, save_model, weights_path, write_card
from conjugo.learned.training.models import KEY, read_facts


@dataclass(frozen=True)
class NestedConfig:
    """A configuration inside another."""

    inner: ToyConfig
    names: tuple[tuple[str, int], ...]


class Nested(nn.Module):
    """A model with a nested configuration."""

    def __init__(self, config: NestedConfig) -> None:
        super().__init__()
        self.config = config
        self.inner = Toy(config.inner)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "toy", f"{Toy.__module__}:Toy")
    monkeypatch.setitem(MODELS, "nested", f"{__name__}:Nested")


def rewrite(path: Path, **changes: object) -> None:
    """Change what a file says of itself."""
    record = {**read_facts(path), **changes}
    save_file(load_file(path), path, {KEY: json.dumps(record)})


def test_a_model_comes_back_with_the_same_bits(tmp_path: Path) -> None:
    model = toy(3, widths=(5, 4))
    path = save_model(model, tmp_path / "new" / "toy.safetensors", seed=3, score=0.25)
    again = load_model(path)
    assert isinstance(again, Toy)
    assert again.config == model.config == ToyConfig(2, (5, 4))
    assert not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    x, _ = batch(0)
    assert torch.equal(model.eval()(x), again(x))
    assert read_facts(path)["facts"] == {"seed": 3, "score": 0.25}
    assert save_model(again, tmp_path / "b.safetensors", score=0.25, seed=3).read_bytes() == path.read_bytes()


def test_a_nested_configuration_comes_back_as_it_was(tmp_path: Path) -> None:
    model = Nested(NestedConfig(ToyConfig(3, (2,)), (("a", 1), ("b", 2))))
    again = load_model(save_model(model, tmp_path / "nested.safetensors"))
    assert again.config == model.config


def test_half_precision_weights_keep_their_type(tmp_path: Path) -> None:
    path = save_model(toy().bfloat16(), tmp_path / "toy.safetensors")
    assert load_file(path)["layers.0.weight"].dtype == torch.bfloat16
    model = toy(5)
    load_weights(model, path)
    assert torch.equal(model.weight, toy().bfloat16().float().weight)


def test_storage_rounds_parameters_only_and_the_loaded_model_has_its_own_type(tmp_path: Path) -> None:
    model = toy(5, widths=(64, 64))
    model.calls.fill_(1 / 3)
    whole = save_model(model, tmp_path / "whole.safetensors")
    half = save_model(model, tmp_path / "half.safetensors", storage=torch.float16)
    stored = load_file(half)
    assert stored["layers.0.weight"].dtype == torch.float16
    assert stored["calls"].dtype == torch.float32
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    again = load_model(half)
    for (name, mine), theirs in zip(model.named_parameters(), again.parameters(), strict=True):
        assert theirs.dtype == torch.float32, name
        assert torch.equal(theirs, mine.half().float())
    assert torch.equal(dict(again.named_buffers())["calls"], model.calls)
    assert model.weight.dtype == torch.float32
    assert not torch.equal(model.weight, model.weight.half().float())  # the one in memory is left alone


def test_other_files_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(FileNotFoundError, match=r"there is no file .*x.safetensors"):
        load_model(path)
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="no model of conjugo: it is no safetensors file, or is damaged"):
        load_model(path)
    save_file({"w": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="no model of conjugo: its metadata have no entry 'conjugo'"):
        load_model(path)
    save_file({"w": torch.zeros(2)}, path, {KEY: "[1"})
    with pytest.raises(ValueError, match="no model of conjugo: its metadata are damaged"):
        load_model(path)


def test_a_truncated_file_is_noticed(tmp_path: Path) -> None:
    path = save_model(toy(), tmp_path / "toy.safetensors")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="damaged"):
        load_model(path)


def test_an_unknown_name_lists_the_known(tmp_path: Path) -> None:
    path = save_model(toy(), tmp_path / "toy.safetensors")
    rewrite(path, model="os:system")
    with pytest.raises(ValueError, match=r"holds a 'os:system', which this version does not know \(.*toy"):
        load_model(path)


def test_a_class_that_is_not_in_the_table_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"linear:Linear is not in conjugo.learned.training.MODELS .*add a line"):
        save_model(nn.Linear(1, 1), tmp_path / "x.safetensors")


def test_facts_that_are_nothing_for_json_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a fact of toy is nothing for JSON"):
        save_model(toy(), tmp_path / "x.safetensors", where=object())
    assert not list(tmp_path.iterdir())


def test_weights_of_another_configuration_name_both(tmp_path: Path) -> None:
    path = save_model(toy(), tmp_path / "toy.safetensors")
    words = (
        r"holds toy\(dimension=2, .*\) but the model is toy\(dimension=3, .*\): they differ in dimension = 2 against 3"
    )
    with pytest.raises(ValueError, match=words):
        load_weights(toy(dimension=3), path)
    with pytest.raises(ValueError, match=r"holds a toy \(.*:Toy\) but the model is a .*:Nested"):
        load_weights(Nested(NestedConfig(ToyConfig(), ())), path)
    model = toy(4)
    load_weights(model, path)
    assert torch.equal(model.weight, toy().weight)


def test_a_configuration_of_another_version_names_both(tmp_path: Path) -> None:
    path = save_model(toy(), tmp_path / "toy.safetensors")
    rewrite(path, config={"dimension": 2, "depth": 7})
    with pytest.raises(
        ValueError, match="configuration dimension=2, depth=7 but toy here takes dimension, widths, dropout"
    ):
        load_model(path)


def test_tensors_that_do_not_fit_their_own_configuration_are_noticed(tmp_path: Path) -> None:
    path = save_model(toy(), tmp_path / "toy.safetensors")
    rewrite(path, config={"dimension": 3, "widths": [8]})
    with pytest.raises(ValueError, match=r"layers.0.weight is \(8, 2\) in the file and \(8, 3\) in the model"):
        load_model(path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_a_missing_device_is_named(tmp_path: Path) -> None:
    path = save_model(toy(), tmp_path / "toy.safetensors")
    with pytest.raises(ValueError, match='device="cuda" but torch finds no CUDA device here; use device="cpu"'):
        load_model(path, device="cuda")


def test_every_model_in_the_table_exists() -> None:
    from importlib import import_module

    for place in MODELS.values():
        module, _, name = place.partition(":")
        assert issubclass(getattr(import_module(module), name), nn.Module)


def test_shipped_weights_load_have_a_card_and_are_small() -> None:
    folder = Path(__file__).resolve().parents[3] / "learned" / "weights"
    for path in folder.glob("*.safetensors"):
        assert weights_path(path.stem).samefile(path)
        assert path.with_suffix(".md").is_file()
        assert path.stat().st_size <= 16 * 2**20
        load_model(path)


def test_weights_that_are_not_shipped_are_named() -> None:
    with pytest.raises(ValueError, match="conjugo ships no weights 'nothing'; these exist: "):
        weights_path("nothing")


def test_a_card_holds_the_facts(tmp_path: Path) -> None:
    facts = {"summary": "S.", "data": "D.", "command": "conjugo train toy", "device": "CPU", "limits": ["L."]}
    scores: list[dict[str, str | float]] = [{"class": "box", "iterations": 7}, {"class": "solids", "iterations": 9.5}]
    card = write_card(
        tmp_path / "toy.safetensors",
        seed=4,
        seconds=61.4,
        parameters=97457,
        scores=scores,
        **facts,  # type: ignore[arg-type]
    )
    text = card.read_text()
    for words in ("# toy", "S.", "D.", "    conjugo train toy", "61 s on CPU", "97,457", "| solids | 9.5 |", "- L."):
        assert words in text
    assert torch.__version__ in text
    with pytest.raises(ValueError, match="limits is empty"):
        write_card(tmp_path / "x", seed=0, seconds=1, parameters=1, scores={"a": 1}, **{**facts, "limits": []})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scores is empty"):
        write_card(tmp_path / "x", seed=0, seconds=1, parameters=1, scores={}, **facts)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="differ in their keys"):
        write_card(tmp_path / "x", seed=0, seconds=1, parameters=1, scores=[{"a": 1}, {"b": 1}], **facts)  # type: ignore[arg-type]


def test_importing_learned_does_not_import_torch() -> None:
    code = (
        "import sys, conjugo.learned; print('torch' in sys.modules); conjugo.learned.fit; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
