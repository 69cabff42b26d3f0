"""Extension of mkdocstrings: ``>>>`` examples are code, wherever they stand in a docstring."""

from __future__ import annotations

from typing import Any

import griffe


class Doctests(griffe.Extension):
    """Puts fences around the examples of every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    r"""``text`` with each block of ``>>>`` lines and their output in a fence.

    >>> fenced("One:\n\n>>> 1\n1\n\nTwo.").splitlines()[2:6]
    ['```pycon', '>>> 1', '1', '```']
    """
    lines: list[str] = []
    margin: str | None = None
    for line in [*text.split("\n"), ""]:
        if margin is None and line.lstrip().startswith(">>> "):
            margin = line[: len(line) - len(line.lstrip())]
            lines.append(f"{margin}```pycon")
        elif margin is not None and not line.strip():
            lines.append(f"{margin}```")
            margin = None
        lines.append(line)
    return "\n".join(lines[:-1])
