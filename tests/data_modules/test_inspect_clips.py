"""Splits that share a speaker or a recording are found, in any format and at any level; others are left in peace."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data_modules.inspect.clips import Leak, Measured, find_leaks, measure
from data_modules.pools.sources import Item, corpus_items
from diffgmm import audio

RATE = 16000


def check(items: Sequence[Item]) -> list[Leak]:
    measured = [(item, measure(item)) for item in items]
    return find_leaks((item, facts) for item, facts in measured if isinstance(facts, Measured))


PLANTS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, int, str]]] = {
    "other-format": lambda x: (x, RATE, "wav"),
    "quieter": lambda x: (0.2 * x, RATE, "flac"),
    "telephone": lambda x: (audio.resample(x, RATE, 8000), 8000, "wav"),
    "turned-over": lambda x: (-x, RATE, "flac"),
}


def put(root: Path, place: str, x: np.ndarray, rate: int = RATE, name: str = "a.flac") -> Path:
    path = root / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, x[None], rate)
    return path


def test_planted_copies_are_found_and_nothing_else(tmp_path: Path, mini: Path) -> None:
    expected = set()
    for kind in ("speech", "noise"):
        for path in sorted((mini / "test" / kind).rglob("*.flac"))[:12]:
            put(tmp_path, f"test/{kind}/{path.parent.name}", audio.read(path)[0][0], name=path.name)
        originals = sorted((mini / "train" / kind).rglob("*.flac"))[:24]
        for path in originals:
            shutil.copy(path, put(tmp_path, f"train/{kind}/a", np.zeros(1, np.float32), name=path.name))
        for original, (name, change) in zip(originals, PLANTS.items(), strict=False):
            x, rate, suffix = change(audio.read(original)[0][0])
            copy = put(tmp_path, f"test/{kind}/other_{name}", x, rate, f"{name}.{suffix}")
            expected.add(("samples" if name == "other-format" else "recording", original.name, copy.name))
    leaks = check(corpus_items(tmp_path))
    assert {
        (leak.what, Path(leak.first.path).name, Path(leak.second.path).name) for leak in leaks
    } == expected
    assert {(leak.first.split, leak.second.split) for leak in leaks} == {("train", "test")}


def test_the_same_file_is_named_as_such(tmp_path: Path, speech: np.ndarray) -> None:
    first = put(tmp_path, "train/speech/a", speech)
    second = tmp_path / "test/speech/b/b.flac"
    second.parent.mkdir(parents=True)
    shutil.copy(first, second)
    assert [leak.what for leak in check(corpus_items(tmp_path))] == ["file"]


def test_a_speaker_in_two_splits(tmp_path: Path, speech: np.ndarray, noise: np.ndarray) -> None:
    put(tmp_path, "train/speech/anna", speech[:RATE])
    put(tmp_path, "valid/speech/anna", speech[2 * RATE :])
    put(tmp_path, "train/noise/rain", noise[:RATE])  # a category may be in two splits
    put(tmp_path, "valid/noise/rain", noise[2 * RATE :])
    (leak,) = check(corpus_items(tmp_path))
    assert (leak.what, leak.first.group) == ("speaker", "anna")
    assert (leak.first.split, leak.second.split) == ("train", "valid")
    unknown = [
        Item("train", "speech", "unknown", leak.first.path),
        Item("valid", "speech", "unknown", leak.second.path),
    ]
    assert check(unknown) == []


def test_sounds_of_one_shape_raise_no_alarm(tmp_path: Path) -> None:
    """Equally long, the loudest sample in one place, and otherwise different; and silence, which is always the same."""
    for number, split in enumerate(("train", "valid", "test")):
        x = 0.1 * np.random.default_rng(number).standard_normal(2 * RATE).astype(np.float32)
        x[1000:1200] = 0.9
        put(tmp_path, f"{split}/noise/white", np.clip(x, -0.9, 0.9), name=f"{number}.wav")
        put(tmp_path, f"{split}/noise/silence", np.zeros(RATE, np.float32))
    assert check(corpus_items(tmp_path)) == []


def test_the_mini_corpus_has_none(mini: Path) -> None:
    assert check(corpus_items(mini)) == []
