"""Put a checkpoint's weights into the package: ``python -m experiments.release.ship last.ckpt --name base``.

The card beside the weights says what they were trained on; its facts come from the checkpoint, the run's record and
the corpus's own description, so that none is written by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from diffgmm.diffusion.pretrained import PRETRAINED
from diffgmm.diffusion.saving import load_model, save_model
from diffgmm.utils.errors import UsageError, UserError, exit_code
from diffgmm.utils.files import sha256_of
from diffgmm.utils.version import __version__
from experiments.release.card import with_quality, write_graph

PACKAGE = PRETRAINED
LICENCE = "MIT (the weights; the training audio keeps its own licences, see trained_on)"


def _trained_on(corpus: Path) -> dict[str, Any]:
    """What was fetched, with checksums, and the checksum of the manifest that lists every clip."""
    manifest = corpus / "manifest.csv"
    if not manifest.is_file():
        raise UsageError(f"{corpus}: no manifest.csv there; --corpus is the folder of the corpus trained on")
    facts: dict[str, Any] = {"corpus": corpus.name, "manifest_sha256": sha256_of(manifest)}
    description = corpus / "corpus.json"
    if description.is_file():
        corpus_facts = json.loads(description.read_text(encoding="utf-8"))
        facts |= {key: corpus_facts[key] for key in ("variant", "packages", "sources") if key in corpus_facts}
    return facts


def _run(record: Path) -> dict[str, Any] | None:
    """What the run's record says that holds elsewhere too: not its machine, paths and command line."""
    if not record.is_file():
        return None
    facts = json.loads(record.read_text(encoding="utf-8"))
    return {key: facts.get(key) for key in ("versions", "git_revision", "precision", "devices")}


def ship(
    checkpoint: Path,
    name: str,
    corpus: Path,
    notes: str,
    overwrite: bool,
    results: Path | None = None,
    system: str | None = None,
) -> Path:
    """Write ``NAME.safetensors``, ``NAME.json`` and the graph ``NAME.onnx`` into the package; returns the .json's path.

    ``results`` of a benchmark give the card its scores, those of ``system`` if they have more than one model.

    Raises:
        UsageError: if the model exists and ``overwrite`` is not set, or the corpus is not one.
        diffgmm.diffusion.model.ModelError: if the checkpoint is not one.
        ResultsError, ExportError: the results can't be used, or the package onnx is missing.
    """
    stem = PACKAGE / name
    if stem.with_suffix(".json").exists() and not overwrite:
        raise UsageError(f"{stem}.json exists; --overwrite replaces it")
    model, description = load_model(checkpoint)
    record = checkpoint.parent.parent / "record.json"
    card = {
        "name": name,
        "version": __version__,
        "licence": LICENCE,
        "steps": description["steps"],
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_on": _trained_on(corpus),
        "losses": description.get("losses"),
        "run": _run(record),
        "notes": notes,
    }
    save_model(stem, model, with_quality(card, results, system), description["sampler"])
    write_graph(stem)
    return stem.with_suffix(".json")


def main() -> int:
    """Command line; 0 done, 1 not a model, 2 wrong usage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    add = parser.add_argument
    add("checkpoint", type=Path)
    add("--name", required=True, help="name for `diffgmm denoise --model`")
    add("--corpus", type=Path, required=True, help="folder of the corpus it was trained on")
    add("--notes", default="", help="a sentence for the card")
    add("--results", type=Path, metavar="FILE", help="results.json of a benchmark of this model")
    add("--system", help="its name in the results (default: the only model)")
    add("--overwrite", action="store_true")
    try:
        print(ship(**vars(parser.parse_args())))
    except UserError as error:
        return exit_code(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
