"""Every claim of docs/method.md names a test, and that test exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")


def test_every_named_test_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
    assert len(named) > 30 and len(set(named)) == len(named)
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (
            f"{file}::{name}"
        )


def test_every_claim_of_a_table_names_its_test() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| claim")]
    assert rows
    for row in rows:
        assert re.fullmatch(r"\| [^|`]+ \| `tests/[\w/]+\.py::test_\w+` \|", row), row


def test_the_text_names_options_that_exist() -> None:
    from diffgmm.diffusion.head import MEANS, SCALES
    from diffgmm.diffusion.sampler_options import SOLVERS
    from diffgmm.training.losses import LOSSES

    for name in (*SOLVERS, "nll", "elbo", "noise_l1", "noise_huber", "balance", *MEANS, *SCALES):
        assert f"`{name}`" in TEXT or f"**{name}.**" in TEXT, name
    assert {"nll", "elbo", "noise_l1", "noise_huber", "balance"} <= set(LOSSES)
