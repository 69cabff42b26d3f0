"""The embedded mini corpus is what it says: whole, small, disjoint, audible and credited."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from data_corpus import read_manifest

from data_modules.corpora.build.finish import Clip
from data_modules.mini import mini_corpus
from data_modules.pools.sources import SPLITS

CORPUS = mini_corpus()
CLIPS = read_manifest(CORPUS)
REDISTRIBUTABLE = {
    "festvox-ru",
    "asterisk-core-sounds-en-g722",
    "asterisk-core-sounds-fr-g722",
    "asterisk-core-sounds-it-g722",
    "asterisk-core-sounds-ru-g722",
    "0ad-data",
    "openttd-opensfx",
}


def of(split: str, kind: str) -> list[Clip]:
    return [clip for clip in CLIPS if (clip.split, clip.kind) == (split, kind)]


def test_is_small():
    audio = sum(path.stat().st_size for path in CORPUS.rglob("*.flac"))
    assert 8e6 < audio < 12e6
    everything = sum(
        path.stat().st_size for path in CORPUS.rglob("*") if path.suffix in {".flac", ".csv", ".md"}
    )
    assert everything < 12e6


def test_manifest_lists_exactly_the_files():
    on_disk = {path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*.flac")}
    assert on_disk == {clip.path for clip in CLIPS}
    assert len(on_disk) == len(CLIPS)


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.path)
def test_clip(clip: Clip):
    path = CORPUS / clip.path
    assert hashlib.sha256(path.read_bytes()).hexdigest() == clip.sha256
    assert path.parent == CORPUS / clip.split / clip.kind / clip.group
    x, rate = soundfile.read(path, dtype="float32", always_2d=True)
    info = soundfile.info(path)
    assert (rate, x.shape[1], info.format, info.subtype) == (16000, 1, "FLAC", "PCM_16")
    assert len(x) / rate == pytest.approx(clip.seconds, abs=1e-3)
    assert np.sqrt(np.mean(x**2)) > 10 ** (-45 / 20), "silent"
    assert np.mean(np.abs(x) >= 0.999) == 0, "clipped"
    assert clip.licence and clip.source and clip.member


def test_enough_of_everything():
    speech = {split: of(split, "speech") for split in SPLITS}
    minutes = {split: sum(clip.seconds for clip in clips) / 60 for split, clips in speech.items()}
    assert minutes["train"] > 4.5 and minutes["valid"] > 0.75 and minutes["test"] > 1.5
    assert len({clip.group for clip in CLIPS if clip.kind == "speech"}) >= 3
    assert len({clip.group for clip in speech["train"]}) >= 3
    assert len({clip.group for clip in of("train", "noise")}) >= 8
    assert len({clip.group for clip in of("test", "noise")}) >= 8
    assert len({clip.group for clip in of("valid", "noise")}) >= 8
    assert len(speech["test"]) >= 24
    assert all(2.5 <= clip.seconds <= 6 for clip in speech["test"])


def test_splits_share_no_speaker_language_or_noise_clip():
    for column in ("group", "language"):
        seen: dict[str, set[str]] = defaultdict(set)
        for clip in CLIPS:
            if clip.kind == "speech":
                seen[getattr(clip, column)].add(clip.split)
        assert all(len(splits) == 1 for splits in seen.values()), seen
    origin: dict[tuple[str, str], set[str]] = defaultdict(set)
    for clip in CLIPS:
        origin[(clip.source, clip.member)].add(clip.split)
    assert all(len(splits) == 1 for splits in origin.values())
    assert len(origin) == len(CLIPS)
    assert len({clip.sha256 for clip in CLIPS}) == len(CLIPS)
    test_noise = {clip.source for clip in of("test", "noise")}
    assert test_noise.isdisjoint(clip.source for clip in [*of("train", "noise"), *of("valid", "noise")])


def test_only_redistributable_sources_all_credited():
    assert {clip.source.split(" ")[0] for clip in CLIPS} == REDISTRIBUTABLE
    assert all("GPL" not in clip.licence and clip.licence != "unstated" for clip in CLIPS)
    text = (CORPUS / "CREDITS.md").read_text(encoding="utf-8")
    for clip in CLIPS:
        assert f"## {clip.source}\n" in text
    for clip in of("test", "noise"):  # a collection of many authors: each clip has its own line
        assert clip.path in text and clip.member.partition(" ")[2] in text
    assert "All files are modified" in text and "resampled to 16 kHz" in " ".join(text.split())


def test_choice_names_every_clip():
    with (CORPUS / "choice.csv").open(encoding="utf-8", newline="") as file:
        choices = {(row["split"], Path(row["path"]).name) for row in csv.DictReader(file)}
    assert choices == {(clip.split, Path(clip.path).name) for clip in CLIPS}
