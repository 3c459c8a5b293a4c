"""The optional packages behind the finite elements."""

from __future__ import annotations

from typing import Any


def require_dolfinx() -> Any:
    """Import MPI, then dolfinx (which finds libmpi only in this order), and return the module `MPI`.

    Returns
    -------
    module
        `mpi4py.MPI`.

    Raises
    ------
    ImportError
        If one of them is missing, with the command that installs both.

    Examples
    --------
    >>> MPI = require_dolfinx()
    >>> MPI.COMM_WORLD.size
    1
    """
    try:
        from mpi4py import MPI

        import dolfinx.fem
        import dolfinx.mesh  # noqa: F401
    except ImportError as error:
        raise ImportError(f"finite elements need dolfinx and mpi4py ({error}): pip install conjugo[fem]") from error
    return MPI
