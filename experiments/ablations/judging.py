"""Judge a trained model on the fixed validation pairs: its likelihood, its calibration, and how it sounds."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from data_modules.errors import DataError
from data_modules.noisy_speech import NoisySpeech
from diffgmm.cli.benchmark import open_pairs
from diffgmm.diffusion.saving import load_model
from diffgmm.evaluation.results import PairInfo, SetInfo
from diffgmm.metrics import METRICS, score
from diffgmm.metrics.statistics import mean
from diffgmm.training.callbacks.diagnostics import summary, tally
from diffgmm.utils.random import keyed_generator


def pairs_of(init_args: dict[str, Any]) -> NoisySpeech:
    """The data module of a run, for its validation pairs alone."""
    names = "corpus sample_rate window valid_pairs valid_seconds valid_snrs pairs_seed cache"
    wanted = {name: init_args[name] for name in names.split() if name in init_args}
    data = NoisySpeech(**wanted, valid_batch_size=1)
    data.setup("validate")
    return data


def first_pairs(
    set_name: str, corpus: str | None, most: int, names: Sequence[str]
) -> tuple[SetInfo, list[PairInfo]]:
    """A benchmark set, and the first so many of its main pairs.

    Args:
        set_name, corpus: as :func:`diffgmm.cli.benchmark.open_pairs` takes them.
        most: how many pairs.
        names: of the metrics that they are for.

    Raises:
        DataError: no such set or metric.
    """
    if unknown := [name for name in names if name not in METRICS]:
        raise DataError(f"unknown metric {unknown[0]!r}; choose from {', '.join(METRICS)}")
    info = open_pairs(set_name, corpus).info
    by_id = {pair.id: pair for pair in info.pairs}
    return info, [by_id[id] for id in info.ids()[:most]]


@torch.no_grad()
def judge(checkpoint: Path, init_args: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Everything that the table shows of one run.

    Args:
        checkpoint: of :class:`diffgmm.training.module.DiffGMM`.
        init_args: of the data module.
        settings: of the plan (:func:`experiments.ablations.plan.settings_of`).

    Returns:
        ``mixture``: NLL (nats per real dimension), CRPS, coverage and components in use, of the answer at t = 1;
        ``quality``: mean scores by setting, with those of the noisy signal as ``noisy``; ``by_pair``: the same, pair by
        pair; ``steps``, ``parameters``.
    """
    model, description = load_model(checkpoint)
    began = time.monotonic()
    loader = pairs_of(init_args).val_dataloader()
    metrics = settings["metrics"]
    scores: dict[str, list[dict[str, float]]] = {name: [] for name in ("noisy", *settings["calls"])}
    sums = None
    for place, batch in enumerate(loader):
        counted = tally(*model.posterior_and_target(batch["noisy"], batch["clean"]))
        sums = counted if sums is None else sums + counted
        clean = batch["clean"][0, 0].numpy()
        scores["noisy"].append(score(batch["noisy"][0, 0].numpy(), clean, model.sample_rate, metrics))
        for name, setting in settings["calls"].items():
            generator = keyed_generator(torch.device("cpu"), place)
            enhanced = model.enhance(batch["noisy"], generator=generator, **setting["options"])
            scores[name].append(score(enhanced.waveform[0, 0].numpy(), clean, model.sample_rate, metrics))
    assert sums is not None
    size = sum(parameter.numel() for parameter in model.parameters())
    result = {"steps": description["steps"], "parameters": size, "losses": description["losses"]}
    result |= {"pairs": len(scores["noisy"]), "judged_in_s": round(time.monotonic() - began, 1)}
    result["mixture"] = {name: _plain(value) for name, value in summary(sums).items()}
    result["quality"] = {
        setting: {name: _plain(mean([row[name] for row in rows])) for name in metrics}
        for setting, rows in scores.items()
    }
    result["by_pair"] = {
        setting: {name: [_plain(row[name]) for row in rows] for name in metrics}
        for setting, rows in scores.items()
    }
    return result


def _plain(value: float) -> float | None:
    """JSON has no NaN."""
    return round(float(value), 6) if math.isfinite(value) else None
