"""Identities of results: short hashes of weights, code and tools."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffgmm.utils.files import sha256_of


def key_of(identity: Mapping[str, Any]) -> str:
    """A short name for plain data: the same data, the same name."""
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def files_sha256(arguments: Sequence[str]) -> dict[str, str]:
    """SHA-256 of every argument of a command that is a program or an existing file."""
    checksums = {}
    for i, argument in enumerate(arguments):
        path = Path(shutil.which(argument) or "") if i == 0 else Path(argument)
        if str(path) != "." and path.is_file():
            checksums[argument] = sha256_of(path)
    return checksums
