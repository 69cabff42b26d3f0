"""Quality and limits on a shipped model's card, and the graph beside its weights.

``python -m experiments.release.card base --results results.json`` brings both up to date for a model that is
shipped already;
``experiments.release.ship`` does it for a new one. ``diffgmm info --model base`` shows the card.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from diffgmm.diffusion.one_step import UnsupportedModel
from diffgmm.diffusion.pretrained import PRETRAINED
from diffgmm.diffusion.saving import load_model
from diffgmm.evaluation.results import Results, ResultsError, System, read_results
from diffgmm.inference.export.onnx import write_light
from diffgmm.metrics.statistics import mean
from diffgmm.utils.errors import UsageError, UserError, exit_code
from diffgmm.utils.files import write_text

LIMITS = (
    "Speech with additive noise. Not made for music, for other voices to be taken out, or for reverberation.",
    "Works at 16 kHz; what lies above 8 kHz in other recordings follows the gain of the band below it.",
    "Voices, languages and noises unlike those listed as trained on may fare worse than the scores say.",
)


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
    return {
        "set": results.set.name,
        "pairs": len(ids),
        "checksum": results.set.checksum,
        "settings": {key: value for key, value in system.settings.items() if key in ("nfe", "estimate")},
        "means": table,
    }


def _mean(system: System, metric: str, ids: tuple[str, ...]) -> float | None:
    value = mean(system.values(metric, ids))
    return round(value, 3) if math.isfinite(value) else None


def with_quality(card: dict[str, Any], results: Path | None, system: str | None = None) -> dict[str, Any]:
    """``card`` with ``scores`` (where results are given) and ``limits``."""
    quality = {} if results is None else {"scores": scores(read_results(results), system)}
    return {**card, **quality, "limits": list(LIMITS)}


def write_graph(stem: Path) -> Path | None:
    """The light graph beside ``STEM.safetensors``; ``None`` for a model that has none."""
    weights = stem.with_name(stem.name + ".safetensors")
    try:
        write_light(load_model(weights)[0], weights, graph := weights.with_suffix(".onnx"))
    except UnsupportedModel:
        return None
    return graph


def main(argv: list[str] | None = None) -> int:
    """Command line; 0 done, 1 a file can't be used, 2 wrong usage."""
    parser = argparse.ArgumentParser(description="Bring card and graph of a shipped model up to date.")
    parser.add_argument("name", help="of the model")
    parser.add_argument("--results", type=Path, metavar="FILE", help="results.json of a benchmark of it")
    parser.add_argument("--system", help="its name in the results (default: the only model)")
    args = parser.parse_args(argv)
    stem = PRETRAINED / args.name
    path = stem.with_name(stem.name + ".json")
    try:
        if not path.is_file():
            raise UsageError(f"no shipped model {args.name!r}")
        description = json.loads(path.read_text(encoding="utf-8"))
        description["card"] = with_quality(description["card"], args.results, args.system)
        write_text(path, json.dumps(description, indent=2, ensure_ascii=False) + "\n")
        print(path, write_graph(stem) or "(no graph)")
    except UserError as error:
        return exit_code(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
