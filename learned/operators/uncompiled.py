"""Functions that torch.compile shall leave alone, marked without an import of the compiler, which takes seconds."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch


def uncompiled[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Keep torch.compile out of a function and of all that it calls.

    Parameters
    ----------
    function : callable
        Runs as it is, within a compiled model too; the graph breaks before and after it.

    Returns
    -------
    callable
        The same function to its callers.

    Notes
    -----
    `torch.compiler.disable`, applied only where the compiler has been imported: no model is compiled before that.

    Examples
    --------
    >>> uncompiled(torch.sin)(torch.zeros(1))
    tensor([0.])
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        plain: Any = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
        found: R = plain(*args, **kwargs)
        return found

    return call
