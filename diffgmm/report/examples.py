"""Examples to listen to: which pairs, and for each the sounds of all systems with their pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from diffgmm.audio import AudioError
from diffgmm.evaluation.results import MetricInfo, Results, System
from diffgmm.report import audio
from diffgmm.report.audio import Sound
from diffgmm.report.collect import ResultsRun, TrainingRun
from diffgmm.report.groups import digits_of, main_metrics, number

CLEAN = "clean"
Maps = Callable[[Sound], Mapping[str, tuple[str, float]]]
"""Gives for a noisy sound pictures of uncertainty by name of the model, and up to what kHz they go."""


@dataclass(frozen=True)
class Track:
    """One sound of an example; ``kind`` is that of the system, ``clean``, or ``map`` for a picture alone."""

    name: str
    kind: str
    label: str
    scores: str
    picture: str
    khz: float
    sound: Sound | None
    uri: str = ""


@dataclass(frozen=True)
class Example:
    """What there is to hear of one pair."""

    id: str
    why: str
    about: str
    seconds: float
    cut: bool
    tracks: tuple[Track, ...]
    problems: tuple[str, ...] = ()


def judged_by(results: Results) -> tuple[System, System | None, MetricInfo] | None:
    """Whose improvement chooses the examples: the first model or other system, the input, the first metric."""
    order = {"model": 0, "files": 1, "command": 2, "baseline": 3}
    rivals = sorted((s for s in results.systems if s.kind != "noisy"), key=lambda s: order[s.kind])
    noisy = next((s for s in results.systems if s.kind == "noisy"), None)
    metrics = main_metrics(results, 1)
    return (rivals[0], noisy, metrics[0]) if rivals and metrics else None


def choose(results: Results, count: int) -> list[tuple[str, str]]:
    """Ids and why each was chosen: from the least to the greatest improvement in equal steps of rank."""
    judge = judged_by(results)
    if judge is None or count < 1:
        return []
    system, noisy, metric = judge
    ids = results.set.ids()
    sign = 1.0 if metric.higher_is_better else -1.0
    before = noisy.values(metric.name, ids) if noisy else [0.0] * len(ids)
    gains = [sign * (b - a) for a, b in zip(before, system.values(metric.name, ids), strict=True)]
    ranked = sorted((gain, id) for gain, id in zip(gains, ids, strict=True) if math.isfinite(gain))
    count = min(count, len(ranked))
    last = len(ranked) - 1
    places = [last // 2] if count == 1 else [round(k * last / (count - 1)) for k in range(count)]
    what = "improvement" if noisy else "value"
    chosen = []
    for place in dict.fromkeys(places):
        gain, id = ranked[place]
        share = place / last if last else 0.5
        rank = {0.0: "least", 1.0: "greatest"}.get(
            share, "median" if place == last // 2 else f"{share:.0%} rank"
        )
        text = number(gain, digits_of(metric))
        plus = "+" if gain > 0 and noisy else ""
        unit = f" {metric.unit}" if metric.unit and metric.unit != "MOS" else ""
        chosen.append((id, f"{rank} {what} by {system.name}: {plus}{text}{unit} {metric.name}"))
    return chosen


def examples(run: ResultsRun, count: int, maps: Maps | None = None) -> list[Example]:
    """The chosen pairs that have audio.

    Args:
        run: file of results.
        count: how many.
        maps: see :data:`Maps`.
    """
    results, shown = run.results, []
    metrics = main_metrics(results, 3)
    by_id = {pair.id: pair for pair in results.set.pairs}
    for id, why in choose(results, count):
        pair, problems = by_id[id], list[str]()
        wanted: list[tuple[str, str, str, str, str | None]] = []
        for i, system in enumerate(results.systems):
            file = next((file for file in system.files if file.id == id), None)
            name = file.audio if file else None
            if name is None:
                name = (
                    pair.noisy
                    if system.kind == "noisy"
                    else f"{system.audio_dir}/{id}.wav"
                    if system.audio_dir
                    else None
                )
            scores = [
                f"{metric.name} {number(file.scores.get(metric.name) if file else None, digits_of(metric))}"
                for metric in metrics
            ]
            wanted.append((f"s{i}", system.kind, system.name, ", ".join(scores), name))
        wanted.sort(key=lambda track: track[1] != "noisy")
        wanted.append((CLEAN, CLEAN, "clean", "reference", pair.clean))
        sounds: dict[str, Sound] = {}
        for name, _, label, _, file_name in wanted:
            path = run.find(file_name)
            if path is None:
                problems.append(
                    f"{label}: no audio was kept" if not file_name else f"{label}: {file_name} is missing"
                )
                continue
            try:
                sounds[name] = audio.load(path)
            except AudioError as error:
                problems.append(str(error))
        about = [] if pair.snr is None else [f"{number(pair.snr, 1)} dB SNR"]
        about += [pair.speaker] * bool(pair.speaker) + [", ".join(pair.noise)] * bool(pair.noise)
        tracks = _tracks([track[:4] for track in wanted], sounds)
        noisy = next((sounds[name] for name, kind, *_ in wanted if kind == "noisy" and name in sounds), None)
        if maps is not None and noisy is not None:
            tracks += [
                Track("map", "map", name, "", uri, khz, None) for name, (uri, khz) in maps(noisy).items()
            ]
        if sounds:
            shown.append(_example(id, why, " · ".join(about), sounds, tracks, problems))
    return shown


def training_examples(run: TrainingRun, count: int) -> list[Example]:
    """The first examples of the last epoch that the callback has written."""
    root = run.folder / "examples"
    epochs = sorted(path for path in root.glob("epoch_*") if path.is_dir()) if root.is_dir() else []
    shown = []
    for file in sorted(epochs[-1].glob("*.wav"))[:count] if epochs else []:
        wanted = [
            ("noisy", "noisy", "noisy", "", root / "reference" / f"{file.stem}.noisy.wav"),
            ("denoised", "model", "denoised", "", file),
            (CLEAN, CLEAN, "clean", "reference", root / "reference" / f"{file.stem}.clean.wav"),
        ]
        sounds, problems = {}, []
        for name, _, _, _, path in wanted:
            try:
                sounds[name] = audio.load(path)
            except (OSError, AudioError) as error:
                problems.append(str(error))
        tracks = _tracks([track[:4] for track in wanted], sounds)
        if sounds:
            shown.append(_example(file.stem, f"validation, {epochs[-1].name}", "", sounds, tracks, problems))
    return shown


def _tracks(wanted: Sequence[tuple[str, str, str, str]], sounds: Mapping[str, Sound]) -> list[Track]:
    pictures = audio.spectrogram_uris(sounds)
    return [
        Track(name, kind, label, scores, pictures[name], sounds[name].sample_rate / 2000, sounds[name])
        for name, kind, label, scores in wanted
        if name in sounds
    ]


def _example(
    id: str,
    why: str,
    about: str,
    sounds: Mapping[str, Sound],
    tracks: Sequence[Track],
    problems: Sequence[str],
) -> Example:
    seconds = max(sound.seconds for sound in sounds.values())
    cut = any(sound.cut for sound in sounds.values())
    return Example(id, why, about, seconds, cut, tuple(tracks), tuple(problems))


BUDGET = 6_000_000
"""Bytes of all sounds in a report up to which they stay lossless."""


def encoded(
    examples_by_run: Sequence[Sequence[Example]], codec: str = "auto"
) -> tuple[list[list[Example]], str]:
    """The examples with their sounds as addresses, and the codec.

    Args:
        found: lists of examples.
        codec: of :data:`diffgmm.report.audio.CODECS`, or ``auto``: lossless if all sounds stay within the budget.
    """
    kind = "flac" if codec == "auto" else codec

    def all_in(kind: str) -> list[list[Example]]:
        return [
            [
                replace(
                    example,
                    tracks=tuple(
                        replace(t, uri=audio.sound_uri(t.sound, kind)) if t.sound else t
                        for t in example.tracks
                    ),
                )
                for example in examples
            ]
            for examples in examples_by_run
        ]

    done = all_in(kind)
    if codec == "auto" and sum(len(t.uri) for es in done for e in es for t in e.tracks) > BUDGET:
        kind = "ogg"
        done = all_in(kind)
    return done, kind
