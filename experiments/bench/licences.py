"""Prints the licences of everything that an installation of diffgmm brings, as its packages state them.

python -m experiments.bench.licences
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageMetadata, PackageNotFoundError, distribution, requires

from diffgmm.utils.text_table import aligned


def installed(name: str = "diffgmm") -> dict[str, tuple[str, str]]:
    """Version and licence by package, of what a package needs in this environment, without its extras."""
    found: dict[str, tuple[str, str]] = {}
    waiting = [name]
    while waiting:
        one = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if one in found:
            continue
        try:
            told = distribution(one)
        except PackageNotFoundError:
            continue  # of another system or version of Python
        found[one] = told.version, licence(told.metadata)
        waiting += [re.split(r"[^\w.-]", need)[0] for need in requires(one) or () if "extra ==" not in need]
    return dict(sorted(found.items()))


def licence(told: PackageMetadata) -> str:
    """A package's licence in a few words: its SPDX expression, else its classifiers, else its text's first line."""
    if expression := told.get_all("License-Expression"):
        return str(expression[0])
    classifiers = [one.split(" :: ") for one in told.get_all("Classifier") or ()]
    named = [one[-1] for one in classifiers if one[0] == "License" and len(one) > 2]
    text = "".join(told.get_all("License") or ()).strip()
    return ", ".join(named) or text.partition("\n")[0][:60] or "not stated"


def main() -> int:
    """Print the list."""
    rows = [[name, version, text] for name, (version, text) in installed().items()]
    print("\n".join(aligned([["package", "version", "licence"], *rows], {0, 1, 2}, rule=True)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
