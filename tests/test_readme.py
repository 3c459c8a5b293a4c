"""The README's Python runs as printed, its commands exist, and its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from conjugo import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_readme_has_its_blocks() -> None:
    assert len(BLOCKS) >= 7


@pytest.mark.parametrize("block", BLOCKS, ids=[str(i + 1) for i in range(len(BLOCKS))])
def test_a_block_runs_as_printed(block: str) -> None:
    needs = re.match(r"# needs: (\w+)", block)
    if needs and find_spec(needs.group(1)) is None:
        pytest.skip(f"extra with {needs.group(1)} is not installed")
    if needs:  # MPI and PETSc stay out of the tests' own process
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout
    else:
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


def test_commands_that_the_readme_names_exist() -> None:
    named = set(re.findall(r"\bconjugo ([a-z]+)\b(?= |$|`)", "\n".join(re.findall(r"^    .*$", README, re.MULTILINE))))
    assert named
    assert named <= set(cli.COMMANDS)


def test_make_targets_that_the_documents_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    text = README + (ROOT / "CONTRIBUTING.md").read_text()
    for target in re.findall(r"\bmake ([a-z-]+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_links_lead_somewhere() -> None:
    for path in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / path).exists(), path
