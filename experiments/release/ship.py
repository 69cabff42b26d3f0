"""Put a checkpoint's weights into the package: ``python -m experiments.release.ship last.ckpt --name base``.

The card beside the weights says what they were trained on; its facts come from the checkpoint, the run's record and
the corpus's own description, so that none is written by hand. Without a checkpoint, scores, limits and graph of a
model that is shipped already are brought up to date. ``diffgmm info --model base`` shows the card.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from diffgmm.diffusion.one_step import UnsupportedModel
from diffgmm.diffusion.pretrained import PRETRAINED
from diffgmm.diffusion.saving import load_model, save_model
from diffgmm.evaluation.results import Results, ResultsError, System, read_results
from diffgmm.inference.export import write_light
from diffgmm.metrics.statistics import mean
from diffgmm.utils.errors import UsageError, UserError, exit_code
from diffgmm.utils.files import sha256_of, write_text
from diffgmm.utils.version import __version__

PACKAGE = PRETRAINED
LICENCE = "MIT (the weights; the training audio keeps its own licences, see trained_on)"
LIMITS = (
    "Speech with additive noise. Not made for music, for other voices to be taken out, or for reverberation.",
    "Works at {rate:g} kHz; what lies above {top:g} kHz in other recordings follows the gain of the band below it.",
    "Voices, languages and noises unlike those listed as trained on may fare worse than the scores say.",
)


def _trained_on(corpora: Sequence[Path]) -> dict[str, Any]:
    """What was fetched, with checksums, and of each corpus the checksum of the manifest that lists every clip."""
    for corpus in corpora:
        if not (corpus / "manifest.csv").is_file():
            raise UsageError(
                f"{corpus}: no manifest.csv there; --corpus takes the folders of the corpora trained on"
            )
    facts, *further = (
        {"corpus": corpus.name, "manifest_sha256": sha256_of(corpus / "manifest.csv")} for corpus in corpora
    )
    description = corpora[0] / "corpus.json"
    if description.is_file():
        corpus_facts = json.loads(description.read_text(encoding="utf-8"))
        facts |= {key: corpus_facts[key] for key in ("variant", "packages", "sources") if key in corpus_facts}
    return {**facts, "further": further} if further else facts


def _run(record: Path) -> dict[str, Any] | None:
    """What the run's record says that holds elsewhere too: not its machine, paths and command line."""
    if not record.is_file():
        return None
    facts = json.loads(record.read_text(encoding="utf-8"))
    return {key: facts.get(key) for key in ("versions", "git_revision", "precision", "devices")}


def scores(results: Results, name: str | None = None) -> dict[str, Any]:
    """Means over the main pairs, noisy and denoised, of the model that a benchmark has.

    Args:
        results: of ``diffgmm benchmark`` or ``evaluate``.
        name: of the system; by default the only model (or files) in it.

    Raises:
        ResultsError: no such system, or more than one model and no name.
    """
    models = [system.name for system in results.systems if system.kind in ("model", "files")]
    if name is None and len(models) != 1:
        raise ResultsError(f"{len(models)} models in these results; choose one: {models}")
    system, ids = results.system(name or models[0]), results.set.ids()
    noisy = [("noisy", other) for other in results.systems if other.kind == "noisy"]
    sides = dict([*noisy, ("denoised", system)])
    table = {}
    for metric in results.metrics:
        row = {side: _mean(of, metric.name, ids) for side, of in sides.items()}
        if row["denoised"] is not None:
            table[metric.name] = row
    settings = {key: value for key, value in system.settings.items() if key in ("nfe", "estimate")}
    about = {"set": results.set.name, "pairs": len(ids), "checksum": results.set.checksum}
    return {**about, "settings": settings, "means": table}


def _mean(system: System, metric: str, ids: tuple[str, ...]) -> float | None:
    value = mean(system.values(metric, ids))
    return round(value, 3) if math.isfinite(value) else None


def with_quality(card: dict[str, Any], args: argparse.Namespace, sample_rate: int) -> dict[str, Any]:
    """``card`` with ``scores`` (where results are given) and the ``limits`` of a model at this rate, in Hz."""
    limits = [limit.format(rate=sample_rate / 1000, top=sample_rate / 2000) for limit in LIMITS]
    quality = {"scores": scores(read_results(args.results), args.system)} if args.results else {}
    return {**card, **quality, "limits": limits}


def write_graph(stem: Path) -> None:
    """Write the light graph beside ``STEM.safetensors``, unless the model can have none."""
    weights = stem.with_name(stem.name + ".safetensors")
    with suppress(UnsupportedModel):
        write_light(load_model(weights)[0], weights, weights.with_suffix(".onnx"))


def update(args: argparse.Namespace) -> Path:
    """Bring the card of a model that is shipped already, and its graph, up to date; returns the .json's path.

    Raises:
        UsageError: there is no such model.
        ResultsError: the results can't be used.
    """
    path = (stem := PACKAGE / args.name).with_name(f"{args.name}.json")
    if not path.is_file():
        raise UsageError(f"no shipped model {args.name!r}")
    description = json.loads(path.read_text(encoding="utf-8"))
    description["card"] = with_quality(description["card"], args, description["sample_rate"])
    write_text(path, json.dumps(description, indent=2, ensure_ascii=False) + "\n")
    write_graph(stem)
    return path


def ship(args: argparse.Namespace) -> Path:
    """Write ``NAME.safetensors``, ``NAME.json`` and the graph ``NAME.onnx`` into the package; returns the .json's path.

    Raises:
        UsageError: if the model exists and ``--overwrite`` is not given, or the corpus is not one.
        diffgmm.diffusion.model.ModelError: if the checkpoint is not one.
        ResultsError, ExportError: the results can't be used, or the package onnx is missing.
    """
    stem = PACKAGE / args.name
    if stem.with_suffix(".json").exists() and not args.overwrite:
        raise UsageError(f"{stem}.json exists; --overwrite replaces it")
    model, description = load_model(args.checkpoint)
    record = args.checkpoint.parent.parent / "record.json"
    size = sum(parameter.numel() for parameter in model.parameters())
    card = {"name": args.name, "version": __version__, "licence": LICENCE, "steps": description["steps"]}
    card |= {"parameters": size, "trained_on": _trained_on(args.corpus), "losses": description.get("losses")}
    card |= {"run": _run(record), "notes": args.notes}
    if args.half:
        model = model.half()
    save_model(stem, model, with_quality(card, args, model.sample_rate), description["sampler"])
    write_graph(stem)
    return stem.with_suffix(".json")


def main() -> int:
    """Command line; 0 done, 1 not a model, 2 wrong usage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    add = parser.add_argument
    none = "without one, a shipped model's card and graph are brought up to date"
    add("checkpoint", type=Path, nargs="?", help=none)
    add("--name", required=True, help="name for `diffgmm denoise --model`")
    add("--corpus", type=Path, nargs="+", help="folders of the corpora that the checkpoint was trained on")
    add(
        "--half",
        action="store_true",
        help="store the weights as float16, half the size; they compute as float32",
    )
    add("--notes", default="", help="a sentence for the card")
    add("--results", type=Path, metavar="FILE", help="results.json of a benchmark of this model")
    add("--system", help="its name in the results (default: the only model)")
    add("--overwrite", action="store_true")
    args = parser.parse_args()
    if args.checkpoint and not args.corpus:
        parser.error("a checkpoint needs --corpus")
    try:
        print(ship(args) if args.checkpoint else update(args))
    except UserError as error:
        return exit_code(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
