"""`uncompiled`: no import of the compiler, and no compiler in the function, whatever it calls."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from conjugo.learned.operators.uncompiled import uncompiled

seen: list[bool] = []


def inner(x: Tensor) -> Tensor:
    """A function that a compiler could take."""
    seen.append(torch.compiler.is_compiling())
    return x + 1


@uncompiled
def outer(x: Tensor, *, factor: float) -> Tensor:
    """A function that it shall leave alone."""
    return factor * inner(inner(x))


def test_operators_that_call_numerics_do_not_import_the_compiler() -> None:
    names = ("darcy_residual", "vorticity_attention", "spectral_base", "face_solve")
    code = "import sys; " + "; ".join(f"import conjugo.learned.operators.{name}" for name in names)
    found = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch._dynamo' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.strip() == "False"


def test_name_and_value_stay() -> None:
    assert outer.__name__ == "outer"
    torch.testing.assert_close(outer(torch.ones(2), factor=2.0), torch.full((2,), 6.0))


@pytest.mark.slow
def test_a_compiled_caller_leaves_it_alone() -> None:
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    def model(x: Tensor) -> Tensor:
        return outer(x.sin(), factor=2.0).cos()

    compiled: Any = torch.compile(model, backend=backend)
    x = torch.linspace(0, 1, 5)
    seen.clear()
    torch.testing.assert_close(compiled(x), (2 * (x.sin() + 2)).cos())
    assert seen == [False, False]
    targets = [str(node.target) for graph in graphs for node in graph.graph.nodes if node.op.startswith("call")]
    assert targets == ["sin", "cos"]
