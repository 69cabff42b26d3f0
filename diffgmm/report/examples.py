"""Examples to listen to: which pairs, and for each the sounds of all systems with their pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffgmm.audio import AudioError, resample
from diffgmm.evaluation.results import Results
from diffgmm.report import audio
from diffgmm.report.audio import Sound
from diffgmm.report.collect import ResultsRun, TrainingRun
from diffgmm.report.groups import digits_of, main_metrics
from diffgmm.utils.errors import UserError
from diffgmm.utils.files import sha256_of
from diffgmm.utils.text_table import number

CLEAN = "clean"
BUDGET = 6_000_000
"""Bytes of all sounds in a report up to which they stay lossless."""
Maps = Callable[[Sound], Mapping[str, tuple[str, float]]]
"""Gives for a noisy sound pictures of uncertainty by name of the model, and up to what kHz they go."""
Wanted = tuple[str, str, str, Path | None]
"""Kind, label, scores and file of a track."""


@dataclass
class Track:
    """One sound of an example; ``kind`` is that of the system, ``clean``, or ``map`` for a picture alone."""

    kind: str
    label: str
    scores: str
    sound: Sound | None
    khz: float
    picture: str = ""
    uri: str = ""


@dataclass(frozen=True)
class Example:
    """What there is to hear of one pair."""

    id: str
    why: str
    about: str
    seconds: float
    cut: bool
    tracks: Sequence[Track]
    problems: Sequence[str] = ()


def choose(results: Results, count: int) -> list[tuple[str, str]]:
    """Ids and why each was chosen: from the least to the greatest improvement in equal steps of rank.

    What counts is the first metric, of the first model or else of another system.
    """
    order = ("model", "files", "command", "baseline")
    rivals = sorted((s for s in results.systems if s.kind in order), key=lambda s: order.index(s.kind))
    noisy = next((s for s in results.systems if s.kind == "noisy"), None)
    metrics = main_metrics(results, 1)
    if not rivals or not metrics or count < 1:
        return []
    system, metric, ids = rivals[0], metrics[0], results.set.ids()
    sign = 1.0 if metric.higher_is_better else -1.0
    before = noisy.values(metric.name, ids) if noisy else [0.0] * len(ids)
    gains = [sign * (b - a) for a, b in zip(before, system.values(metric.name, ids), strict=True)]
    ranked = sorted((gain, id) for gain, id in zip(gains, ids, strict=True) if math.isfinite(gain))
    count, last = min(count, len(ranked)), len(ranked) - 1
    places = [last // 2] if count == 1 else [round(k * last / (count - 1)) for k in range(count)]
    names = {last // 2: "median", last: "greatest", 0: "least"}
    unit = f" {metric.unit}" if metric.unit and metric.unit != "MOS" else ""
    chosen = []
    for place in dict.fromkeys(places):
        gain, id = ranked[place]
        rank = "median" if not last else names.get(place, f"{place / max(last, 1):.0%} rank")
        plus = "+" if gain > 0 and noisy else ""
        text = f"{plus}{number(gain, digits_of(metric))}{unit} {metric.name}"
        chosen.append((id, f"{rank} {'improvement' if noisy else 'value'} by {system.name}: {text}"))
    return chosen


def examples(run: ResultsRun, count: int, maps: Maps | None = None) -> list[Example]:
    """The chosen pairs that have audio.

    Args:
        run: file of results.
        count: how many.
        maps: see :data:`Maps`.
    """
    results, metrics = run.results, main_metrics(run.results, 3)
    pairs = {pair.id: pair for pair in results.set.pairs}
    shown = []
    for id, why in choose(results, count):
        pair = pairs[id]
        wanted: list[Wanted] = []
        for system in sorted(results.systems, key=lambda system: system.kind != "noisy"):
            file = next((file for file in system.files if file.id == id), None)
            name = file.audio if file else None
            if name is None and system.kind == "noisy":
                name = pair.noisy
            elif name is None and system.audio_dir:
                name = f"{system.audio_dir}/{id}.wav"
            scores = [
                f"{metric.name} {number(file.scores.get(metric.name) if file else None, digits_of(metric))}"
                for metric in metrics
            ]
            wanted.append((system.kind, system.name, ", ".join(scores), run.place(name)))
        wanted.append((CLEAN, CLEAN, "reference", run.place(pair.clean)))
        snr = "" if pair.snr is None else f"{number(pair.snr, 1)} dB SNR"
        about = " · ".join(filter(None, (snr, pair.speaker, ", ".join(pair.noise))))
        shown.append(_example(id, why, about, wanted, maps))
    return [example for example in shown if example.tracks]


def training_examples(run: TrainingRun, count: int) -> list[Example]:
    """The first examples of the last epoch that the callback has written."""
    root = run.folder / "examples"
    epochs = sorted(path for path in root.glob("epoch_*") if path.is_dir())
    shown = []
    for file in sorted(epochs[-1].glob("*.wav"))[:count] if epochs else []:
        reference = root / "reference"
        wanted: list[Wanted] = [
            ("noisy", "noisy", "", reference / f"{file.stem}.noisy.wav"),
            ("model", "denoised", "", file),
            (CLEAN, CLEAN, "reference", reference / f"{file.stem}.clean.wav"),
        ]
        shown.append(_example(file.stem, f"validation, {epochs[-1].name}", "", wanted))
    return [example for example in shown if example.tracks]


def _example(id: str, why: str, about: str, wanted: Iterable[Wanted], maps: Maps | None = None) -> Example:
    tracks: list[Track] = []
    sounds: list[Sound] = []
    problems = []
    for kind, label, scores, path in wanted:
        if path is None or not path.is_file():
            problems.append(f"{label}: {f'{path.name} is missing' if path else 'no audio was kept'}")
            continue
        try:
            sounds.append(audio.load(path))
        except AudioError as error:
            problems.append(str(error))
            continue
        tracks.append(Track(kind, label, scores, sounds[-1], sounds[-1].sample_rate / 2000))
    for track, picture in zip(tracks, audio.spectrogram_uris(sounds), strict=True):
        track.picture = picture
    noisy = next((track.sound for track in tracks if track.kind == "noisy"), None)
    if maps is not None and noisy is not None:
        tracks += [Track("map", name, "", None, khz, uri) for name, (uri, khz) in maps(noisy).items()]
    seconds = max((sound.seconds for sound in sounds), default=0.0)
    return Example(id, why, about, seconds, any(sound.cut for sound in sounds), tracks, problems)


def encode(shown: Iterable[Example], codec: str = "auto") -> str:
    """Give the sounds of examples their addresses; returns the codec.

    Args:
        shown: the examples of a page.
        codec: of :data:`diffgmm.report.audio.CODECS`, or ``auto``: lossless if all sounds stay within the budget.
    """
    tracks = [track for example in shown for track in example.tracks]
    for kind in ("flac", "ogg") if codec == "auto" else (codec,):
        for track in tracks:
            track.uri = audio.sound_uri(track.sound, kind) if track.sound else ""
        if sum(len(track.uri) for track in tracks) <= BUDGET:
            break
    return kind


def maps_for(results: Results, model: str | None = None) -> Maps | None:
    """A function that makes maps of uncertainty, or None where no model is at hand.

    Args:
        results: their models are looked for among the shipped ones and those that their configuration names; they
            count only if the checksum of the weights is the same.
        model: instead, this shipped model or file.

    Raises:
        ModelError: ``model`` can't be used.
    """
    from diffgmm.inference import Denoiser

    if model is not None:
        chosen = {Path(model).stem: model}
    else:
        wanted = {system.settings.get("weights") for system in results.systems if system.kind == "model"}
        chosen = _known(results.config.get("models"), wanted - {None})
    if not chosen:
        return None
    denoisers = {name: Denoiser.from_pretrained(path) for name, path in chosen.items()}
    return lambda noisy: {name: _map(denoiser, noisy) for name, denoiser in denoisers.items()}


def _known(given: Any, wanted: set[Any]) -> dict[str, str]:
    """Models by name, shipped or given as to ``--models``, whose weights have one of the checksums."""
    from diffgmm.diffusion.pretrained import available_models, model_path

    entries = given.split(",") if isinstance(given, str) else list(given or ())
    paths: dict[str, str] = {}
    for entry in (*filter(None, entries), *available_models()) if wanted else ():
        label, _, name = entry.rpartition("=")
        try:
            path = model_path(name)
            digest = sha256_of(path.with_suffix(".safetensors") if path.suffix == ".json" else path)
        except (OSError, UserError):
            continue  # it was elsewhere when the results were made
        if digest in wanted:
            wanted = wanted - {digest}
            paths[label or path.stem] = name
    return paths


def _map(denoiser: Any, noisy: Sound) -> tuple[str, float]:
    """Standard deviation per bin in the model's representation as a picture (bright is unsure), and its upper kHz."""
    import torch

    x = resample(noisy.x, noisy.sample_rate, denoiser.sample_rate)
    with torch.inference_mode():
        enhanced = denoiser.model.enhance(torch.from_numpy(np.ascontiguousarray(x))[None, None])
    values = enhanced.uncertainty[0].float().cpu().numpy()
    if values.shape[0] == 1:  # the waveform domain: one value a sample
        values = np.repeat(values, 2, axis=0)
    uri = audio.picture_uri(values, "viridis", 0.0, float(np.percentile(values, 99.5)))
    return uri, denoiser.sample_rate / 2000
