"""Tables for people: aligned text for the terminal, Markdown for the documentation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

MISSING = "-"


@dataclass(slots=True)
class Table:
    """Rows of short strings under headers; the first column is aligned left, the others right.

    Examples
    --------
    >>> table = Table(["method", "seconds"])
    >>> table.add("cg", "1.5")
    >>> print(table.text())
    method  seconds
    ------  -------
    cg          1.5
    """

    headers: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    left: int = 1

    def add(self, *cells: str) -> None:
        """Append a row.

        Raises
        ------
        ValueError
            If it has not one cell for each header.
        """
        if len(cells) != len(self.headers):
            raise ValueError(f"{len(cells)} cells for {len(self.headers)} headers: pass one each")
        self.rows.append(list(cells))

    def text(self) -> str:
        """Render for a terminal."""
        widths = [max(len(row[i]) for row in [list(self.headers), *self.rows]) for i in range(len(self.headers))]
        lines = [list(self.headers), ["-" * width for width in widths], *self.rows]
        return "\n".join("  ".join(self._pad(row, widths)).rstrip() for row in lines)

    def markdown(self) -> str:
        """Render for a page."""
        rule = ["---" if i < self.left else "---:" for i in range(len(self.headers))]
        return "\n".join(f"| {' | '.join(row)} |" for row in [list(self.headers), rule, *self.rows])

    def _pad(self, row: Sequence[str], widths: Sequence[int]) -> list[str]:
        pairs = zip(row, widths, strict=True)
        return [cell.ljust(width) if i < self.left else cell.rjust(width) for i, (cell, width) in enumerate(pairs)]


def seconds(value: float | None) -> str:
    """Three significant digits of seconds, or of milliseconds below one tenth.

    Examples
    --------
    >>> seconds(0.00123), seconds(12.345), seconds(None)
    ('1.23 ms', '12.3 s', '-')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if value < 1e-3:
        return f"{1e3 * value:.2f} ms"
    if value < 0.1:
        return f"{significant(1e3 * value)} ms"
    return f"{significant(value)} s"


def significant(value: float | None, digits: int = 3) -> str:
    """Show `digits` significant digits without an exponent.

    Examples
    --------
    >>> significant(0.01234), significant(1234.5), significant(8.0)
    ('0.0123', '1234', '8.00')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, 9)}f}"


def scientific(value: float | None) -> str:
    """Two significant digits with an exponent: 1.2e-08."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:.1e}"
