"""Judge a plan's trained models on a benchmark set whose voices and noises no training hears, overall and by SNR."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_modules.errors import DataError
from diffgmm import audio
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.saving import load_model
from diffgmm.evaluation.results import PairInfo
from diffgmm.metrics import METRICS, score
from diffgmm.utils.code_version import code_version, key_of
from diffgmm.utils.files import sha256_of, write_text
from diffgmm.utils.random import keyed_generator
from diffgmm.utils.text_table import NONE, markdown, number
from experiments.ablations.judging import first_pairs
from experiments.ablations.plan import CHECKPOINT, HERE, RESULT, Variant, own_name, settings_of
from experiments.ablations.table import differences, spread

RANGES = {"at most 0 dB": (-math.inf, 2.5), "5 and 10 dB": (2.5, 12.5), "at least 15 dB": (12.5, math.inf)}
"""Of the pairs' SNR, from and to below."""
Scores = Mapping[str, Mapping[str, Sequence[float]]]
"""By call and metric, pair by pair; NaN for none."""


def measure(
    variants: Sequence[Variant],
    home: Path,
    calls: Mapping[str, Any],
    names: Sequence[str],
    *,
    set_name: str,
    pairs: int,
    corpus: str | None = None,
) -> tuple[list[float | None], dict[str, list[Scores]]]:
    """Scores of every finished run, which keeps them beside its weights, and of the noisy pairs (``noisy``).

    Args:
        variants, home: which runs, and where they are.
        calls: of :func:`experiments.ablations.plan.settings_of`.
        names: of metrics.
        set_name, corpus: as :func:`diffgmm.cli.benchmark.open_pairs` takes them.
        pairs: the first so many of the set's main pairs.

    Returns:
        The pairs' SNR in dB, and the scores of every seed by variant.

    Raises:
        DataError: no run is finished, or no such set or metric.
    """
    info, chosen = first_pairs(set_name, corpus, pairs, names)
    known = [info.checksum, len(chosen), list(names)]
    found: dict[str, list[Scores]] = {}
    for variant in variants:
        for result in sorted((home / variant.name).glob(f"seed-*/{RESULT}")):
            weights = result.parent / CHECKPOINT
            key = key_of([*known, sha256_of(weights), calls, code_version("diffgmm.diffusion.model")])
            scores = _kept(result.parent / "elsewhere" / key, chosen, names, calls, weights)
            found.setdefault(variant.name, []).append(scores)
    if not found:
        raise DataError(f"{home}: no finished run there; `python -m experiments.ablations run` makes them")
    found["noisy"] = [_kept(home / "elsewhere" / key_of(known), chosen, names)]
    return [pair.snr for pair in chosen], found


@torch.no_grad()
def _kept(
    stem: Path,
    pairs: Sequence[PairInfo],
    names: Sequence[str],
    calls: Mapping[str, Any] | None = None,
    weights: Path | None = None,
) -> Scores:
    """Scores from a file, which is written first if it is missing; of the noisy pairs themselves without weights."""
    file = stem.with_suffix(".json")
    if not file.is_file():
        model = load_model(weights)[0] if weights else None
        rows: dict[str, list[dict[str, float]]] = {call: [] for call in calls or ["noisy"]}
        for place, pair in enumerate(pairs):
            rate = model.sample_rate if model else pair.sample_rate
            noisy, clean = (audio.read(str(path), rate, mono=True)[0] for path in (pair.noisy, pair.clean))
            heard = {"noisy": noisy[0]}
            if model and calls:
                heard = {call: _answer(model, noisy, place, each["options"]) for call, each in calls.items()}
            for call, x in heard.items():
                rows[call].append(score(x, clean[0], rate, names))
        text = {
            call: {
                name: [row[name] if math.isfinite(row[name]) else None for row in scored] for name in names
            }
            for call, scored in rows.items()
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(text))
        print(f"{file.parent.parent}: judged", flush=True)
    told = json.loads(file.read_text(encoding="utf-8"))
    return {
        call: {name: [math.nan if value is None else value for value in by_name[name]] for name in names}
        for call, by_name in told.items()
    }


def _answer(model: MixtureDenoiser, noisy: np.ndarray, place: int, options: dict[str, Any]) -> np.ndarray:
    generator = keyed_generator(torch.device("cpu"), place)
    enhanced = model.enhance(torch.from_numpy(noisy)[None], generator=generator, **options)
    return enhanced.waveform[0, 0].numpy()


def render(
    snrs: Sequence[float | None],
    found: Mapping[str, Sequence[Scores]],
    variants: Sequence[Variant],
    names: Sequence[str],
    calls: Mapping[str, Any],
    set_name: str,
    folder: Path = HERE,
    page: str = "",
) -> str:
    """Markdown: a table a call and metric, the variants down; against the control overall and by SNR."""
    rows = [variant for variant in variants if variant.name in found]
    control = next((variant.name for variant in rows if not variant.changes), None)
    name_of_plan = own_name(folder)
    plan = f" --plan experiments/ablations/{name_of_plan}" if name_of_plan else ""
    command = (
        f"python -m experiments.ablations elsewhere{plan} --set {set_name} --pairs {len(snrs)} "
        f"--calls {' '.join(calls)} --metrics {','.join(names)} --markdown experiments/{page}"
    )
    place = "ablations/" + (f"{name_of_plan}/" if name_of_plan else "")
    parts = [
        f"# Ablations, {name_of_plan}: {set_name}" if name_of_plan else f"# Ablations: {set_name}",
        f"<!-- Made by `{command}`; edit nothing here, make it anew. -->",
        f"The runs of [variants.yaml]({place}variants.yaml) on {len(snrs)} pairs of {set_name}, whose voices and "
        "noises no training hears. Mean ± standard deviation over seeds. Differences from the control, the variant "
        "without changes, pair by pair (each the mean over seeds), better ones positive, with 95 % intervals and "
        "Wilcoxon's p after Holm's correction over the rows; by SNR the differences alone.",
    ]
    for call, setting in calls.items():
        for name in names:
            higher, digits = METRICS[name].higher_is_better, {"si_sdr": 1, "estoi": 3, "stoi": 3}.get(name, 2)
            by_pair = {row.name: _by_pair(found[row.name], call, name) for row in rows}
            others = {row.name: by_pair[row.name] for row in rows if control and row.changes}
            compared = differences(others, by_pair[control] if control else [], digits + 1, higher)
            lines = [["variant", "seeds", name, "against the control", "p", *RANGES]]
            noisy = statistics.fmean(found["noisy"][0]["noisy"][name])
            lines.append(["noisy", "", number(noisy, digits), *[""] * (2 + len(RANGES))])
            for row in rows:
                means = [statistics.fmean(seed[call][name]) for seed in found[row.name]]
                cells = [row.says, str(len(means)), spread(means, digits)]
                if row.name in compared:
                    pair = by_pair[row.name], by_pair[str(control)]
                    cells += compared[row.name] + _by_snr(snrs, pair, higher, digits + 1)
                lines.append(cells + [""] * (len(lines[0]) - len(cells)))
            unit = " in dB" if name in ("si_sdr", "lsd") else ""
            parts += [f"## {name}{unit}, {setting['heading']}", "\n".join(markdown(lines))]
    return "\n\n".join(parts) + "\n"


def _by_pair(seeds: Sequence[Scores], call: str, name: str) -> list[float]:
    """Pair by pair the mean over the seeds."""
    return [statistics.fmean(values) for values in zip(*(seed[call][name] for seed in seeds), strict=True)]


def _by_snr(
    snrs: Sequence[float | None], pair: tuple[Sequence[float], Sequence[float]], higher: bool, digits: int
) -> list[str]:
    """The mean difference within every range of SNR, better ones positive."""
    sign = 1.0 if higher else -1.0
    cells = []
    for low, high in RANGES.values():
        gains = [
            sign * (a - b)
            for snr, a, b in zip(snrs, *pair, strict=True)
            if snr is not None and low <= snr < high and math.isfinite(a - b)
        ]
        cells.append(number(statistics.fmean(gains), digits) if gains else NONE)
    return cells


def calls_of(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """These calls of a plan's settings.

    Raises:
        DataError: there is no such call.
    """
    known = settings_of(folder)["calls"]
    if unknown := [name for name in names if name not in known]:
        raise DataError(f"no call {unknown[0]!r}; the plan has {', '.join(known)}")
    return {name: known[name] for name in names}
