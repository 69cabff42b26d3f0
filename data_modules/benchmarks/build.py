"""Choose the pairs of the sets that are rendered: made once, the lists are part of the repository.

    python -m data_modules.benchmarks.build dsn-test --corpus FOLDER

Choices depend on the corpus and the seed alone; what they come to is written down in whole numbers, so that
nobody has to make them again.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np

from data_modules.benchmarks import LISTS, list_path
from data_modules.benchmarks.pairlist import (
    GENERATED,
    Layer,
    ListedPair,
    PairList,
    Part,
    Recording,
    write_list,
)
from data_modules.benchmarks.plans import PLANS, Plan, subsets
from data_modules.benchmarks.render import layer_signal, pcm_sha256, read_pcm, render, wav_bytes
from data_modules.corpora.manifest import Clip, read_manifest
from diffgmm.audio.levels import active_level, active_power, at_snr, frame_powers

RATE = 16000
LEVEL = -26.0  # of the speech, dBFS
_LOOP = 160  # overlap of a recording's end with its repetition: the length of a fade
_EVENT = round(1.5 * RATE)
ONE = 1 << 16


class Builder:
    """Draws from one split of a corpus and keeps the list of recordings used."""

    def __init__(self, corpus: Path, plan: Plan) -> None:
        self.corpus, self.plan, self.rng = corpus, plan, random.Random(plan.seed)
        self.clips: dict[str, dict[str, list[Clip]]] = {
            "speech": defaultdict(list),
            "noise": defaultdict(list),
        }
        for clip in read_manifest(corpus):
            if clip.split == plan.split and self._is_quiet_between_words(clip):
                self.clips[clip.kind][clip.group].append(clip)
        self.recordings: list[Recording] = []
        self.sounds: list[np.ndarray] = []
        self._number: dict[str, int] = {}
        self.seconds = plan.seconds[0]  # of the pair that is being chosen
        self._turns: dict[str, Iterator[Clip]] = {}

    def _is_quiet_between_words(self, clip: Clip) -> bool:
        if clip.kind != "speech" or not self.plan.range_db:
            return True
        powers = frame_powers(read_pcm(self.corpus / clip.path) / 32768.0, RATE)
        quiet = max(float(np.percentile(powers, 5)), 1e-12)
        return float(powers.max()) >= quiet * 10 ** (self.plan.range_db / 10)

    @property
    def samples(self) -> int:
        """Of the pair that is being chosen, at 16 kHz."""
        return self.seconds * RATE

    def use(self, clip: Clip) -> int:
        """Number of a recording in the list."""
        if clip.path not in self._number:
            sound = read_pcm(self.corpus / clip.path)
            self._number[clip.path] = len(self.recordings)
            self.recordings.append(Recording(clip.path, clip.sha256, pcm_sha256(sound)))
            self.sounds.append(sound)
        return self._number[clip.path]

    def next_clip(self, kind: str, group: str) -> Clip:
        """All recordings of a group take their turns, in a new order every round."""

        def turns() -> Iterator[Clip]:
            clips = sorted(self.clips[kind][group], key=lambda clip: clip.path)
            while True:
                yield from self.rng.sample(clips, len(clips))

        return next(self._turns.setdefault(f"{kind}/{group}", turns()))

    def voice(self, speaker: str, band: str) -> Layer:
        """The length of the pair of a speaker, who speaks in at least half of it, at the level of the list."""
        for _ in range(50):
            parts: list[Part] = []
            at = 0
            while at < self.samples - RATE // 2:
                number = self.use(self.next_clip("speech", speaker))
                start = self.start(number) if self.plan.anywhere else 0
                length = len(self.sounds[number]) - start
                if not parts and length < self.samples:
                    at = self.rng.randrange(RATE // 10, RATE // 3)
                keep = min(length, self.samples - at)
                parts.append(Part(number, start, keep, at))
                at += keep + self.rng.randrange(RATE // 5, RATE // 2)
            layer = Layer(ONE, tuple(parts))
            full = layer_signal(layer, self.sounds, "full", self.seconds) / 32768.0
            frames = np.square(full[: self.samples // 320 * 320]).reshape(-1, 320).mean(axis=1)
            if np.mean(frames > active_power(full, RATE) * 1e-3) >= 0.5:
                heard = layer_signal(layer, self.sounds, band, self.seconds) / 32768.0
                level = active_level(heard, rate_of(band))
                return dataclasses.replace(layer, gain=round(ONE * 10.0 ** ((LEVEL - level) / 20.0)))
        raise RuntimeError(f"{speaker}: no {self.seconds} seconds of speech found")

    def start(self, number: int) -> int:
        """First sample of one of a recording's pauses, or of its beginning, that leaves enough behind it."""
        sound = self.sounds[number] / 32768.0
        powers = frame_powers(sound, RATE)
        pauses = np.flatnonzero(powers < powers.max() * 1e-3) * round(0.02 * RATE)
        return self.rng.choice([0, *(int(at) for at in pauses if at <= len(sound) - self.samples)])

    def noise(self, name: str, *, fast: bool = False, like: int | None = None) -> tuple[Layer, int]:
        """The length of the pair of a category, and the number of the recording; at full gain.

        Args:
            name: ``CATEGORY``, ``CATEGORY/part of the file's name``, or ``alarm_clock``.
            fast: at three times the speed.
            like: this recording again.
        """
        category, _, wanted = name.partition("/")
        if name == "alarm_clock":
            number = self._generated(name)
        elif like is not None:
            number = like
        else:
            clips = (self.next_clip("noise", category) for _ in count())
            number = self.use(next(clip for clip in clips if wanted in clip.path))
        samples = self.samples * (3 if fast else 1)
        length = len(self.sounds[number])
        if length >= samples:
            starts = [self.rng.randrange(length - samples + 1) for _ in range(4)]
            powers = [
                float(np.square(self.sounds[number][s : s + samples].astype(float)).sum()) for s in starts
            ]
            return Layer(ONE, (Part(number, starts[powers.index(max(powers))], samples, 0),), fast), number
        events = length < _EVENT and category not in self.plan.steady
        at = self.rng.randrange(0, RATE // 2) if events else 0
        parts, start = [], 0 if events else self.rng.randrange(0, length // 2)
        while at < samples:
            parts.append(Part(number, start, min(length - start, samples - at), at))
            gap = self.rng.randrange(RATE // 10, RATE) if events else -_LOOP
            at, start = at + length - start + gap, 0
        return Layer(ONE, tuple(parts), fast), number

    def _generated(self, name: str) -> int:
        path = GENERATED + name
        if path not in self._number:
            from data_modules.benchmarks.integers import alarm_clock

            samples = RATE * max(self.plan.seconds)
            self._number[path] = len(self.recordings)
            self.recordings.append(Recording(path))
            self.sounds.append(alarm_clock(samples))
        return self._number[path]

    def pair(
        self, id: str, band: str, snr: float | None, speaker: str, noise: Sequence[str], subsets: Sequence[str],
        layers: Sequence[Layer],
    ) -> ListedPair:  # fmt: skip
        """Set the gains for the ratio, render, and write down the checksums."""
        voice, rate = self.voice(speaker, band), rate_of(band)
        clean = layer_signal(voice, self.sounds, band, self.seconds) * (voice.gain / ONE / 32768.0)
        single = [layer_signal(layer, self.sounds, band, self.seconds) / 32768.0 for layer in layers]
        even = [1.0 / np.sqrt(active_power(x, rate)) for x in single]
        if snr is not None:
            total = np.sum([gain * x for gain, x in zip(even, single, strict=True)], axis=0)
            one, other, _ = at_snr(clean, total, rate, snr, LEVEL)
            factor = float(np.sqrt(np.square(other).sum() / np.square(total).sum()))
            lower = float(np.sqrt(np.square(one).sum() / np.square(clean).sum()))
            voice = dataclasses.replace(voice, gain=round(voice.gain * lower))
            layers = [
                dataclasses.replace(layer, gain=max(1, round(ONE * gain * factor)))
                for layer, gain in zip(layers, even, strict=True)
            ]
        made = ListedPair(
            id, band, snr, speaker, tuple(noise), tuple(subsets), voice, tuple(layers), seconds=self.seconds
        )
        clean, noisy = render(made, self.sounds)
        if snr is not None:
            reached = active_level(clean / 1.0, rate) - active_level((noisy - clean) / 1.0, rate)
            if abs(reached - snr) > 0.1:
                raise RuntimeError(f"{id}: {reached:.2f} dB instead of {snr}")
        digests = [hashlib.sha256(wav_bytes(x, rate)).hexdigest() for x in (clean, noisy)]
        return dataclasses.replace(made, clean_sha256=digests[0], noisy_sha256=digests[1])


def rate_of(band: str) -> int:
    """Hz."""
    return {"full": 16000, "48k": 48000}.get(band, 8000)


def build(name: str, corpus: Path) -> PairList:
    """The list of that name out of a prepared corpus."""
    plan = PLANS[name]
    make = Builder(corpus, plan)
    speakers, categories = sorted(make.clips["speech"]), sorted(make.clips["noise"])
    turns = plan.noises or tuple(categories)
    if plan.noises:
        categories = sorted(set(plan.noises))
    about = subsets(plan)
    narrow = next(kind for kind in ("alarm_8k", "narrow_8k") if kind in about)
    voices = (speakers[(i + i // len(categories)) % len(speakers)] for i in count())
    numbers = count()
    pairs: list[ListedPair] = []

    def add(kind: str, band: str, snr: float | None, noise: Sequence[str], layers: Sequence[Layer]) -> None:
        speaker, number = next(voices), next(numbers)
        what = "-".join(entry.partition("/")[0] for entry in dict.fromkeys(noise)) or "clean"
        ratio = "" if snr is None else f"-snr{snr:g}"
        kinds = [kind] + ([f"snr{snr:g}"] if kind == "main" else [])
        found = tuple(dict.fromkeys(entry.partition("/")[0] for entry in noise))
        id = f"{number:03d}-{speaker}-{what}{ratio}"
        pairs.append(make.pair(id, band, snr, speaker, found, kinds, layers))

    def noises(names: Sequence[str]) -> list[Layer]:
        return [make.noise(name)[0] for name in names]

    def next_length() -> None:
        make.seconds = plan.seconds[len(pairs) % len(plan.seconds)]

    rounds, rest = divmod(plan.main, len(turns))
    most = sorted(categories, key=lambda group: (-len(make.clips["noise"][group]), group))[:rest]
    for i, category in enumerate([*turns * rounds, *most]):
        next_length()
        snr = plan.snrs[(i + i // len(turns)) % len(plan.snrs)]
        add("main", "full", snr, [category], noises([category]))
    for i in range(plan.several):
        next_length()
        group = make.rng.sample(categories, 2 + i % 2)
        add("several_loud", "full", plan.loud[i // 2 % 2], group, noises(group))
    for i in range(plan.narrow):
        next_length()
        name_ = plan.narrow_noises[i % len(plan.narrow_noises)]
        band = ("8k", "telephone")[(i + i // len(plan.narrow_noises)) % 2]
        add(narrow, band, plan.snrs[i % 4], [name_], noises([name_]))
    for i, category in enumerate(make.rng.sample(categories, plan.wide)):
        next_length()
        slow, number = make.noise(category)
        fast, _ = make.noise(category, fast=True, like=number)
        add("noise_48k", "48k", plan.snrs[i % len(plan.snrs)], [category], [slow, fast])
    for _ in range(plan.clean):
        next_length()
        add("clean", "full", None, [], [])
    recordings, pairs = without_unused(make.recordings, pairs)
    return PairList(name, LISTS[name], plan.corpus, tuple(recordings), tuple(pairs), about)


def without_unused(
    recordings: Sequence[Recording], pairs: Sequence[ListedPair]
) -> tuple[list[Recording], list[ListedPair]]:
    """Drop the recordings that were drawn but not taken, and number the others anew."""
    used = sorted({part.recording for pair in pairs for x in (pair.speech, *pair.noises) for part in x.parts})
    number = {old: new for new, old in enumerate(used)}

    def renumbered(layer: Layer) -> Layer:
        parts = (dataclasses.replace(part, recording=number[part.recording]) for part in layer.parts)
        return dataclasses.replace(layer, parts=tuple(parts))

    return [recordings[old] for old in used], [
        dataclasses.replace(pair, speech=renumbered(pair.speech), noises=tuple(map(renumbered, pair.noises)))
        for pair in pairs
    ]


def main() -> None:
    """Write a list into the package."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=sorted(PLANS))
    parser.add_argument("--corpus", required=True, type=Path, help="folder of the prepared corpus, whole")
    args = parser.parse_args()
    made = build(args.name, args.corpus)
    write_list(list_path(args.name), made)
    print(f"{args.name}: {len(made.pairs)} pairs of {len(made.recordings)} recordings, {made.checksum}")


if __name__ == "__main__":
    main()
