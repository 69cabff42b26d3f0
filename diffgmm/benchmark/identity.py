"""What makes a result the same result: content of weights, of code, of tools; hashed to short names."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from diffgmm.audio import sha256_of


def key_of(identity: Mapping[str, Any]) -> str:
    """A short name for plain data: the same data, the same name."""
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def code_sha256(module: str) -> str:
    """SHA-256 over the source of a module of diffgmm and of all modules of diffgmm that it imports, in turn."""
    pending, seen = [module], dict[str, bytes]()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        source = Path(spec.origin).read_bytes()
        seen[name] = source
        package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
        pending += _imports(source, package)
    digest = hashlib.sha256()
    for name in sorted(seen):
        digest.update(name.encode() + b"\0" + seen[name] + b"\0")
    return digest.hexdigest()


def _imports(source: bytes, package: str) -> Iterable[str]:
    """Names of diffgmm's modules that a source imports; names imported from a package may be modules."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(
                    [*package.split(".")[: len(package.split(".")) - node.level + 1], base]
                ).strip(".")
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] == "diffgmm" and _is_module(name):
                yield name


@cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, AttributeError, ValueError):  # the parent is a module, not a package
        return False


def files_sha256(arguments: Sequence[str]) -> dict[str, str]:
    """SHA-256 of every argument of a command that is a program or an existing file."""
    found = {}
    for i, argument in enumerate(arguments):
        path = Path(shutil.which(argument) or "") if i == 0 else Path(argument)
        if str(path) != "." and path.is_file():
            found[argument] = sha256_of(path)
    return found


def interpreter_sha256(python: str | None) -> str:
    """Of an interpreter's own program, for what runs in another one."""
    return sha256_of(Path(python or sys.executable).resolve())
