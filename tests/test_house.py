"""The house itself: names of dependencies, import layers, what stays unimported, what the wheel holds."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import conjugo

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

CONDA = {
    "dolfinx-solver-real": {"fenics-dolfinx", "petsc4py", "slepc4py"},  # one wheel on PyPI carries all three
    "torch": {"pytorch"},
    "mkdocstrings": {"mkdocstrings", "mkdocstrings-python"},  # the extra [python] is a package of its own
}
"""Names on conda-forge that differ from PyPI's."""


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None, requirement
    return found.group(0).lower()


def test_environment_yml_names_what_pyproject_names() -> None:
    project = PROJECT["project"]
    lists = [
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *PROJECT["dependency-groups"].values(),
    ]
    wanted = {name for group in lists for item in group for name in CONDA.get(_name(item), {_name(item)})}
    lines = re.findall(r"^  - ([^:\n]+)$", (ROOT / "environment.yml").read_text(), re.MULTILINE)
    listed = {_name(line) for line in lines} - {"conda-forge", "python", "pip"}
    assert listed == wanted


def test_versions_agree() -> None:
    assert conjugo.__version__ == PROJECT["project"]["version"]
    assert f"version: {conjugo.__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"[{conjugo.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    assert (ROOT / ".python-version").read_text().strip() in PROJECT["project"]["requires-python"]


@pytest.mark.parametrize("module", ["conjugo", "conjugo.solvers", "conjugo.pde", "conjugo.pde.fem", "conjugo.cli"])
def test_an_import_brings_neither_torch_nor_an_extra(module: str) -> None:
    heavy = ("torch", "petsc4py", "mpi4py", "dolfinx", "pyamg")
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_bare_command_is_quick() -> None:
    code = "import sys, conjugo.cli as cli; cli.main([]); print('numpy' in sys.modules, 'tyro' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"


def test_every_exported_name_of_solvers_exists() -> None:
    from conjugo import solvers

    for name in solvers.__all__:
        assert getattr(solvers, name) is not None


@pytest.mark.parametrize("folder", ["solvers", "pde", "learned", "cases"])
def test_the_links_lead_to_the_folders(folder: str) -> None:
    link = ROOT / "src" / "conjugo" / folder
    assert link.is_symlink()
    assert not Path(link.readlink()).is_absolute()
    assert link.resolve() == ROOT / folder


def test_files_and_functions_stay_short() -> None:
    import ast

    for folder in ("solvers", "pde", "learned", "cases", "src/conjugo"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            assert len(text.splitlines()) <= 400, path
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef):
                    body = node.body[1:] if ast.get_docstring(node) else node.body
                    lines = body[-1].end_lineno - body[0].lineno + 1 if body and body[-1].end_lineno else 0
                    assert lines <= 60, f"{path}:{node.lineno} {node.name} has {lines} lines"


def test_no_relative_import_and_no_link_is_followed_twice() -> None:
    for folder in ("solvers", "pde", "learned", "cases"):
        for path in (ROOT / folder).rglob("*.py"):
            for line in path.read_text().splitlines():
                assert not re.match(
                    r"\s*(from \.|import (solvers|pde|learned|cases)\b|from (solvers|pde|learned|cases)\b)", line
                )


@pytest.mark.slow
def test_the_wheel_holds_every_module(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from setuptools import build_meta; import sys; build_meta.build_wheel(sys.argv[1])",
    ]
    subprocess.run([*command, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("solvers", "pde", "learned", "cases"):
        for path in (ROOT / folder).rglob("*.py"):
            assert f"conjugo/{path.relative_to(ROOT)}" in names
    assert "conjugo/py.typed" in names
    assert {name.split("/")[0] for name in names} == {"conjugo", f"conjugo-{conjugo.__version__}.dist-info"}
