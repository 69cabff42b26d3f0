"""Short names for what results depend on: plain data, and what modules do (not their layout or comments)."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

OURS = ("diffgmm", "data_modules")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def key_of(data: Any) -> str:
    """A short name for plain data: the same data, the same name."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def code_version(*modules: str, ours: Sequence[str] = OURS) -> str:
    """SHA-256 over modules of this project and all of its modules that they import, in turn.

    Comments, docstrings and layout do not count; a training of a day should not be void for a better sentence.

    Args:
        modules: names, dotted.
        ours: packages whose modules count.
    """
    pending, seen = list(modules), dict[str, bytes]()
    while pending:
        name = pending.pop()
        if name in seen or name.split(".")[0] not in ours:
            continue
        path = _file(name)
        if path is None:
            continue
        tree = ast.parse(path.read_bytes())
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        pending += _imported(tree, package)
        seen[name] = ast.dump(_bare(tree)).encode()
    digest = hashlib.sha256()
    for name in sorted(seen):
        digest.update(name.encode() + b"\0" + seen[name] + b"\0")
    return digest.hexdigest()


@cache
def _file(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):  # a name in a module, not a module
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin)


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Names that may be modules: what is imported, and what is imported from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _bare(tree: ast.AST) -> ast.AST:
    """Without docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree
