"""Tables as text."""

from __future__ import annotations

from collections.abc import Container, Sequence

BOLD, PLAIN = "\033[1m", "\033[0m"


def _width(cell: str) -> int:
    """Characters that a terminal shows of a cell."""
    return len(cell.replace(BOLD, "").replace(PLAIN, ""))


def aligned(rows: Sequence[Sequence[str]], left: Container[int], rule: bool = False) -> list[str]:
    """Lines with the cells under one another.

    Args:
        rows: cells, the head first; they may hold :data:`BOLD` and :data:`PLAIN`.
        left: columns that are flush left; the others are flush right.
        rule: draw a line below the head.
    """
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - _width(cell))
            cells.append(cell + blank if number in left else blank + cell)
        lines.append("  ".join(cells).rstrip())
    if rule:
        lines.insert(1, "-" * max(map(_width, lines)))
    return lines
