"""The public names, and the function `poisson` that shares its name with a folder. In fresh interpreters."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPTS = {
    "folder first": """
import conjugo.pde.poisson.masks
from conjugo.pde import poisson
assert callable(poisson)
""",
    "function first": """
import sys
from conjugo.pde import Grid, LinearProblem, convection_diffusion, helmholtz, load_matrix, poisson, pressure
import conjugo.pde.poisson.masks, conjugo.pde, conjugo.pde.fem
from conjugo.pde.poisson import COEFFICIENTS, MASKS, coefficients, masks
assert conjugo.pde.poisson is poisson and callable(poisson)
assert masks.MASKS is MASKS and coefficients.COEFFICIENTS is COEFFICIENTS
poisson((4, 4))
assert not {"torch", "dolfinx", "petsc4py", "mpi4py", "pyamg"} & set(sys.modules)
""",
    "missing fem": """
import sys
sys.modules["dolfinx"] = None
from conjugo.pde import fem
try:
    fem.square(2)
except ImportError as error:
    assert "pip install conjugo[fem]" in str(error)
else:
    raise AssertionError
""",
}


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_import(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPTS[name]], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
