"""The installed command `conjugo`."""

from __future__ import annotations


def main() -> None:
    """Run a case."""
