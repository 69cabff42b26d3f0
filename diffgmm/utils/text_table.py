"""Tables as text and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence

NONE = "–"
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


def number(value: float | None, digits: int) -> str:
    """A number for readers, with a true minus; :data:`NONE` for one that does not exist.

    >>> number(-1.234, 2), number(None, 2)
    ('−1.23', '–')
    """
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:.{digits}f}"
    return (text if float(text) else text.removeprefix("-")).replace("-", "−")


def markdown(rows: Sequence[Sequence[str]], left: Container[int] = (0,)) -> list[str]:
    """Lines of a Markdown table.

    Args:
        rows: cells as they are to stand there, the head first.
        left: columns that are flush left; the others are flush right.
    """
    head, *body = rows
    rule = ["---" if number in left else "---:" for number in range(len(head))]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *body)]
