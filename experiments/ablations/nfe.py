"""Effect of additional network calls: every sampler at 1 to 16 calls, from the weights of one model."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_modules import benchmarks
from data_modules.errors import DataError
from diffgmm import audio
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.sampler_options import SamplerConfig
from diffgmm.diffusion.samplers import sample
from diffgmm.diffusion.saving import load_model
from diffgmm.evaluation.benchmark.pairset import load_set
from diffgmm.evaluation.results import PairInfo
from diffgmm.inference.denoiser import model_path
from diffgmm.metrics import METRICS, score
from diffgmm.metrics.statistics import mean
from diffgmm.utils.code_version import code_version
from diffgmm.utils.files import replacing, sha256_of
from diffgmm.utils.random import keyed_generator

CALLS = (1, 2, 4, 8, 16)
_COMMAND = "python -m experiments.ablations nfe --markdown experiments/NFE.md"


@dataclass(frozen=True)
class Setting:
    """A row: how the process is walked back; ``most`` bounds the network calls that are tried."""

    says: str
    config: SamplerConfig
    most: int = 16


def _setting(says: str, most: int = 16, step_noise: bool = False, **options: Any) -> Setting:
    return Setting(says, SamplerConfig(step_noise=step_noise, **options), most)


SETTINGS = {
    "mean": _setting("mean, no noise between steps"),
    "mean_noise": _setting("mean, with the bridge's noise", step_noise=True),
    "sample": _setting("sample", estimate="sample", step_noise=True),
    "mode": _setting("mode", estimate="mode"),
    "sample_x4": _setting("mean of 4 samples", 8, True, estimate="sample", samples=4),
    "sample_x8": _setting("mean of 8 samples", 4, True, estimate="sample", samples=8),
    "flow": _setting("flow", solver="flow"),
    "transport": _setting("flow, mixture carried over 8 sub-steps", solver="flow", substeps=8),
    "heun": _setting("flow, second order (Heun)", solver="heun"),
}


@torch.no_grad()
def denoised(model: MixtureDenoiser, noisy: Tensor, setting: Setting, nfe: int, seed: int) -> Tensor:
    """Clean speech ``[1, 1, T]`` from ``noisy`` ``[1, 1, T]``; samples are walked as one batch, then averaged."""
    representation = model.representation
    context = representation.context(noisy)
    encoded = representation.encode(noisy, context)
    config = setting.config.changed(nfe=nfe)
    runs = sample(
        model.posterior,
        encoded.expand(config.samples, *encoded.shape[1:]),
        model.process,
        config,
        generator=keyed_generator(noisy.device, seed),
    )
    clean = runs.mean(0, keepdim=True)
    if representation.rule is not None:
        clean = representation.remove(encoded, encoded - clean)
    return representation.decode(clean, context)


def score_pair(model: MixtureDenoiser, pair: PairInfo, seed: int, names: Sequence[str]) -> dict[str, Any]:
    """Scores of one pair, ``{"noisy": {...}, "mean": {"1": {...}, ...}, ...}``; equal results are scored once."""
    rate = model.sample_rate
    noisy, clean = (audio.read(str(path), rate, mono=True)[0] for path in (pair.noisy, pair.clean))
    known: dict[bytes, dict[str, float | None]] = {}

    def scored(x: np.ndarray) -> dict[str, float | None]:
        key = hashlib.sha256(x.tobytes()).digest()
        if key not in known:
            values = score(x, clean[0], rate, names)
            known[key] = {name: value if math.isfinite(value) else None for name, value in values.items()}
        return known[key]

    scores: dict[str, Any] = {"noisy": scored(noisy[0])}
    for name, setting in SETTINGS.items():
        scores[name] = {
            str(nfe): scored(denoised(model, torch.from_numpy(noisy)[None], setting, nfe, seed)[0, 0].numpy())
            for nfe in CALLS
            if nfe <= setting.most
        }
    return scores


def measure(
    model: str,
    names: Sequence[str],
    home: Path,
    *,
    set_name: str = "dsn-valid",
    pairs: int = 40,
    corpus: str | None = None,
    seconds: float = math.inf,
    say: Callable[[str], object] = print,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Score pairs that are not scored yet, and give all that are.

    Args:
        model: name or file.
        names: of metrics.
        home: folder that keeps the scores of every pair.
        set_name: of a benchmark set, whose main pairs are taken in order, or a folder with ``clean`` and ``noisy``.
        pairs: how many.
        corpus: folder of the set's corpus.
        seconds: stop after so long; the same call goes on later.
        say: takes a line after each pair.

    Returns:
        Facts about model and pairs, and the scores by pair.

    Raises:
        DataError: no such set or metric.
        diffgmm.diffusion.model.ModelError: no such model.
    """
    if unknown := [name for name in names if name not in METRICS]:
        raise DataError(f"unknown metric {unknown[0]!r}; choose from {', '.join(METRICS)}")
    place = benchmarks.open_set(set_name, corpus) if set_name in benchmarks.NAMES else Path(set_name)
    info = load_set(place).info
    path = model_path(model)
    loaded, description = load_model(path)
    weights = path if path.suffix == ".ckpt" else path.with_suffix(".safetensors")
    facts = {
        "model": path.stem,
        "weights": sha256_of(weights),
        "parameters": sum(parameter.numel() for parameter in loaded.parameters()),
        "set": info.name,
    }
    identity = [
        facts["weights"],
        info.checksum,
        list(names),
        code_version("diffgmm.diffusion.model"),
        repr(SETTINGS),
        CALLS,
    ]
    folder = home / "nfe" / hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    by_id = {pair.id: pair for pair in info.pairs}
    chosen = info.ids()[:pairs]
    began, scores = time.monotonic(), []
    for seed, id in enumerate(chosen):
        file = folder / f"{id}.json"
        if not file.is_file():
            if time.monotonic() - began > seconds:
                continue
            pair_scores = score_pair(loaded, by_id[id], seed, names)
            with replacing(file) as part:
                part.write_text(json.dumps(pair_scores), encoding="utf-8")
            say(f"{id}: scored after {time.monotonic() - began:.0f} s")
        scores.append(json.loads(file.read_text(encoding="utf-8")))
    return {**facts, "pairs": len(scores), "wanted": len(chosen), "description": description}, scores


def render(facts: dict[str, Any], scores: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Markdown: a table a metric, settings down and network calls across, the best of each in bold."""
    text = [
        "# Network calls",
        "",
        f"<!-- Made by `{_COMMAND}`; edit nothing here, make it anew. -->",
        "",
        f"Means over {facts['pairs']} pairs of {facts['set']} (one noise each, −5 to 15 dB in turn), model "
        f"`{facts['model']}` with {facts['parameters']:,} parameters (weights {facts['weights'][:12]}). Columns: "
        "network calls (NFE) of one walk back; several samples take that many walks. **Bold**: the best.",
    ]
    for name in names:
        digits = {"si_sdr": 1, "estoi": 3, "stoi": 3}.get(name, 2)
        better = max if METRICS[name].higher_is_better else min
        cells = {
            setting: {
                nfe: mean([_number(pair[setting].get(str(nfe), {}).get(name)) for pair in scores])
                for nfe in CALLS
            }
            for setting in SETTINGS
        }
        there = [value for row in cells.values() for value in row.values() if math.isfinite(value)]
        best = _shown(better(there), digits) if there else ""
        before = mean([_number(pair["noisy"].get(name)) for pair in scores])
        text += ["", f"## {name}{' in dB' if name == 'si_sdr' else ''} (noisy: {_shown(before, digits)})", ""]
        text += [
            "| | " + " | ".join(f"NFE {nfe}" for nfe in CALLS) + " |",
            "| --- |" + " ---: |" * len(CALLS),
        ]
        for setting, row in cells.items():
            shown = [_shown(row[nfe], digits) for nfe in CALLS]
            shown = [f"**{cell}**" if cell == best else cell for cell in shown]
            text.append(f"| {SETTINGS[setting].says} | " + " | ".join(shown) + " |")
    return "\n".join(text) + "\n"


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _shown(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−") if math.isfinite(value) else "–"
