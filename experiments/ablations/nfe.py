"""Effect of additional network calls: every sampler at 1 to 16 calls, from the weights of one model."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml

from diffgmm import audio
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.pretrained import model_path
from diffgmm.diffusion.sampler_options import SamplerConfig
from diffgmm.diffusion.saving import load_model
from diffgmm.evaluation.results import PairInfo
from diffgmm.metrics import METRICS, score
from diffgmm.metrics.statistics import compare, holm, mean
from diffgmm.utils.code_version import code_version, key_of
from diffgmm.utils.files import sha256_of, write_text
from diffgmm.utils.random import keyed_generator
from diffgmm.utils.text_table import markdown, number
from experiments.ablations.judging import first_pairs

CALLS = (1, 2, 4, 8, 16)
_COMMAND = "python -m experiments.ablations nfe --model {model} --set {set} --pairs {pairs} --markdown FILE"


class Setting(NamedTuple):
    """A row: how the process is walked back; ``most`` bounds the network calls that are tried."""

    label: str
    options: dict[str, Any]
    most: int = 16


_TABLE = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
SETTINGS = {name: Setting(**entry) for name, entry in _TABLE.items()}


@torch.no_grad()
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
        scores[name] = {}
        for nfe in (nfe for nfe in CALLS if nfe <= setting.most):
            generator = keyed_generator(torch.device("cpu"), seed)
            config = SamplerConfig(nfe=nfe, **setting.options).resolved(("experiments",))
            enhanced = model.enhance(torch.from_numpy(noisy)[None], generator=generator, sampler=config)
            scores[name][str(nfe)] = scored(enhanced.waveform[0, 0].numpy())
    return scores


def measure(
    model: str,
    names: Sequence[str],
    home: Path,
    *,
    set_name: str = "cross-valid",
    pairs: int = 40,
    corpus: str | None = None,
    seconds: float = math.inf,
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

    Returns:
        Facts about model and pairs, and the scores by pair.

    Raises:
        DataError: no such set or metric.
        diffgmm.diffusion.model.ModelError: no such model.
    """
    info, chosen = first_pairs(set_name, corpus, pairs, names)
    path = model_path(model)
    loaded, _ = load_model(path)
    weights = sha256_of(path if path.suffix == ".ckpt" else path.with_suffix(".safetensors"))
    code = code_version("diffgmm.diffusion.model")
    identity = [weights, info.checksum, list(names), code, repr(SETTINGS), CALLS]
    folder = home / "nfe" / key_of(identity)
    folder.mkdir(parents=True, exist_ok=True)
    began, scores = time.monotonic(), []
    for seed, pair in enumerate(chosen):
        file = folder / f"{pair.id}.json"
        if not file.is_file():
            if time.monotonic() - began > seconds:
                continue
            pair_scores = score_pair(loaded, pair, seed, names)
            write_text(file, json.dumps(pair_scores))
            print(f"{pair.id}: scored after {time.monotonic() - began:.0f} s", flush=True)
        scores.append(json.loads(file.read_text(encoding="utf-8")))
    size = sum(parameter.numel() for parameter in loaded.parameters())
    facts = {"model": path.stem, "weights": weights, "parameters": size}
    return {**facts, "set": info.name, "pairs": len(scores), "wanted": len(chosen)}, scores


def render(facts: dict[str, Any], scores: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Markdown: a table a metric, settings down and network calls across, the best of each in bold."""
    parts = [
        "# Network calls",
        f"<!-- Made by `{_COMMAND.format(**facts)}`; edit nothing here, make it anew. -->",
        f"Means over the first {facts['pairs']} pairs of {facts['set']}, model `{facts['model']}` with "
        f"{facts['parameters']:,} parameters (weights {facts['weights'][:12]}). Columns: network calls "
        "(NFE) of one walk back; several samples take that many walks. **Bold**: the best. Last columns: two calls (of "
        "single draws one) against the mean of one, pair by pair, with a 95 % interval, and Wilcoxon's p after Holm's "
        "correction over the rows.",
    ]

    def values(name: str, setting: str, *nfe: str) -> list[float]:
        entries = [pair[setting].get(nfe[0], {}) if nfe else pair[setting] for pair in scores]
        return [math.nan if (value := entry.get(name)) is None else value for entry in entries]

    def mean_of(name: str, setting: str, *nfe: str) -> float:
        return mean(values(name, setting, *nfe))

    for name in names:
        digits = {"si_sdr": 1, "estoi": 3, "stoi": 3}.get(name, 2)
        means = {key: [mean_of(name, key, str(nfe)) for nfe in CALLS] for key in SETTINGS}
        known = [value for row in means.values() for value in row if math.isfinite(value)]
        best = (max if METRICS[name].higher_is_better else min)(known, default=math.nan)
        rows = [["", *(f"NFE {nfe}" for nfe in CALLS), "against one call", "p"]]
        compared = {
            key: compare(
                values(name, key, str(min(2, setting.most))),
                values(name, "mean", "1"),
                METRICS[name].higher_is_better,
            )
            for key, setting in SETTINGS.items()
        }
        adjusted = holm([comparison.p for comparison in compared.values()])
        for (key, row), p in zip(means.items(), adjusted, strict=True):
            cells = [number(value, digits) for value in row]
            bold = [f"**{cell}**" if known and cell == number(best, digits) else cell for cell in cells]
            difference, low, high = (number(x, digits) for x in compared[key][:3])
            rows.append([SETTINGS[key].label, *bold, f"{difference} ({low} … {high})", number(p, 3)])
        before = number(mean_of(name, "noisy"), digits)
        unit = " in dB" if name == "si_sdr" else ""
        parts += [f"## {name}{unit} (noisy: {before})", "\n".join(markdown(rows))]
    return "\n\n".join(parts) + "\n"
