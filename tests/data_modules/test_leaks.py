"""Splits that share a speaker or a recording are found, whatever was done to it; others are left in peace."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_modules.inspect.alignment import align
from data_modules.inspect.fingerprint import HOP, SILENT, WEAKEST, fingerprint
from data_modules.inspect.leaks import Checked, Index, Leak, check
from data_modules.pools.sources import Item, corpus_items
from diffgmm import audio

RATE = 16000
SLOW = 8000


def coded(x: np.ndarray, form: str, subtype: str) -> np.ndarray:
    """Through a codec at poor quality, and back."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", RATE, 1, subtype, format=form, compression_level=0.7) as file:
        file.write(x)
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32")[0]


def cut(x: np.ndarray) -> np.ndarray:
    return x[2197 : len(x) - 1501]


PLANTS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, int, str]]] = {
    "other-format": lambda x: (x, RATE, "wav"),
    "quieter": lambda x: (0.2 * x, RATE, "flac"),
    "cut": lambda x: (cut(x), RATE, "flac"),
    "vorbis": lambda x: (coded(0.5 * x, "OGG", "VORBIS"), RATE, "flac"),
    "mp3": lambda x: (coded(0.5 * x, "MP3", "MPEG_LAYER_III"), RATE, "flac"),
    "telephone": lambda x: (audio.resample(x, RATE, SLOW), SLOW, "wav"),
    "turned-over": lambda x: (-x, RATE, "flac"),
    "all-of-it": lambda x: (coded(0.3 * cut(x), "OGG", "VORBIS"), RATE, "flac"),
}


def put(root: Path, place: str, x: np.ndarray, rate: int = RATE, name: str = "a.flac") -> Path:
    path = root / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, x[None], rate)
    return path


@pytest.fixture(scope="module")
def planted(
    tmp_path_factory: pytest.TempPathFactory, mini: Path
) -> tuple[Path, dict[str, Path], dict[str, Path]]:
    """A corpus of real voices and noises with a copy of one training clip for each plant in its test split."""
    root = tmp_path_factory.mktemp("planted")
    for kind in ("speech", "noise"):
        for path in sorted((mini / "train" / kind).rglob("*.flac"))[:24]:
            target = root / "train" / kind / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        for path in sorted((mini / "test" / kind).rglob("*.flac"))[:12]:
            put(root, f"test/{kind}/{path.parent.name}", audio.read(path, mono=True)[0][0], name=path.name)
    copies: dict[str, Path] = {}
    originals: dict[str, Path] = {}
    speech = sorted((root / "train" / "speech").rglob("*.flac"))
    noise = sorted((root / "train" / "noise").rglob("*.flac"))
    for number, (name, change) in enumerate(PLANTS.items()):
        for kind, files in (("speech", speech), ("noise", noise)):
            original = files[2 * number + 1]
            x, rate, suffix = change(audio.read(original, mono=True)[0][0])
            copies[f"{name}-{kind}"] = put(root, f"test/{kind}/other_{name}", x, rate, f"{name}.{suffix}")
            originals[f"{name}-{kind}"] = original
    return root, originals, copies


@pytest.fixture(scope="module")
def found(planted: tuple[Path, dict[str, Path], dict[str, Path]]) -> Checked:
    return check(corpus_items(planted[0]), workers=1)


@pytest.mark.parametrize("kind", ["speech", "noise"])
@pytest.mark.parametrize("name", list(PLANTS))
def test_a_planted_copy_is_found(
    name: str, kind: str, found: Checked, planted: tuple[Path, dict[str, Path], dict[str, Path]]
) -> None:
    _, originals, copies = planted
    pair = (str(originals[f"{name}-{kind}"]), str(copies[f"{name}-{kind}"]))
    leak = next(one for one in found.leaks if (one.first.path, one.second.path) == pair)
    assert (leak.first.split, leak.second.split) == ("train", "test")
    assert leak.what == ("samples" if name == "other-format" else "recording")
    assert leak.similarity > 0.5
    assert leak.offset == pytest.approx(2197 / RATE if name in ("cut", "all-of-it") else 0.0, abs=0.002)
    length = audio.probe(pair[1]).seconds
    assert 0.3 * length < leak.seconds <= length + 0.01


def test_nothing_but_what_was_planted(
    found: Checked, planted: tuple[Path, dict[str, Path], dict[str, Path]]
) -> None:
    assert len(found.leaks) == 2 * len(PLANTS) and not found.unreadable
    assert {one.second.path for one in found.leaks} == {str(path) for path in planted[2].values()}


def test_the_same_file_is_named_as_such_and_a_part_of_a_file_is_not(
    tmp_path: Path, speech: np.ndarray
) -> None:
    first = put(tmp_path, "train/speech/a", speech)
    second = tmp_path / "test/speech/b/b.flac"
    second.parent.mkdir(parents=True)
    shutil.copy(first, second)
    assert [one.what for one in check(corpus_items(tmp_path)).leaks] == ["file"]
    halves = [
        Item("train", "speech", "a", str(first), 0.0, 1.4),
        Item("test", "speech", "b", str(first), 1.5, 1.4),
    ]
    assert check(halves).leaks == []
    overlapping = [halves[0], Item("test", "speech", "b", str(first), 0.7, 1.4)]
    (leak,) = check(overlapping).leaks
    assert leak.offset == pytest.approx(0.7, abs=0.002) and leak.seconds == pytest.approx(0.7, abs=0.15)


def test_a_speaker_in_two_splits(tmp_path: Path, speech: np.ndarray, noise: np.ndarray) -> None:
    put(tmp_path, "train/speech/anna", speech[:RATE])
    put(tmp_path, "valid/speech/anna", speech[2 * RATE :])
    put(tmp_path, "train/noise/rain", noise[:RATE])  # a category may be in two splits
    put(tmp_path, "valid/noise/rain", noise[2 * RATE :])
    (leak,) = check(corpus_items(tmp_path)).leaks
    assert (leak.what, leak.first.group, leak.first.split, leak.second.split) == (
        "speaker",
        "anna",
        "train",
        "valid",
    )
    unknown = [
        Item("train", "speech", "unknown", leak.first.path),
        Item("valid", "speech", "unknown", leak.second.path),
    ]
    assert check(unknown).leaks == []


def hum(seed: int, seconds: float = 3.0, floor: float = 5e-3) -> np.ndarray:
    """Harmonics of the mains with a little noise: only the noise tells two apart."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * 50 * k * time + rng.uniform(0, 6)) / k for k in range(1, 40))
    return (0.1 * tones + floor * rng.standard_normal(len(time))).astype(np.float32)


def beep(seed: int, pitch: float = 1000.0) -> np.ndarray:
    """A tone of one pitch, longer or shorter, faded in and out faster or slower."""
    rng = np.random.default_rng(seed)
    length, start = (int(rng.integers(RATE // 4, RATE)) for _ in range(2))
    fade = np.hanning(2 * int(rng.integers(80, 800)))
    tone = np.sin(2 * np.pi * pitch * np.arange(length) / RATE + rng.uniform(0, 6))
    tone[: len(fade) // 2] *= fade[: len(fade) // 2]
    tone[-len(fade) // 2 :] *= fade[len(fade) // 2 :]
    out = np.zeros(2 * RATE, np.float32)
    out[start : start + length] = 0.4 * tone
    return out


def click(seed: int) -> np.ndarray:
    """Two seconds of digital silence with a short burst of noise somewhere."""
    rng = np.random.default_rng(seed)
    out = np.zeros(2 * RATE, np.float32)
    start = int(rng.integers(RATE))
    out[start : start + 800] = 0.3 * rng.standard_normal(800) * np.exp(-np.arange(800) / 200.0)
    return out


def white(seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(4 * RATE)).astype(np.float32)


def siren(seed: int) -> np.ndarray:
    """One sweep, under different noise and at different times."""
    rng = np.random.default_rng(seed)
    time = np.arange(3 * RATE) / RATE + rng.uniform(0, 3)
    phase = 2 * np.pi * np.cumsum(900 + 300 * np.sin(2 * np.pi * 0.4 * time)) / RATE
    return (0.2 * np.sin(phase) + 0.01 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.mark.parametrize("sound", [hum, beep, click, white, siren])
def test_sounds_that_are_merely_alike_raise_no_alarm(
    sound: Callable[[int], np.ndarray], tmp_path: Path
) -> None:
    for number in range(12):
        split = ("train", "valid", "test")[number % 3]
        put(tmp_path, f"{split}/noise/{sound.__name__}", sound(number), name=f"{number}.wav")
    put(tmp_path, "train/noise/silence", np.zeros(RATE, np.float32))
    put(tmp_path, "test/noise/silence", np.zeros(RATE, np.float32), name="b.flac")
    assert check(corpus_items(tmp_path), workers=1).leaks == []


@pytest.mark.parametrize("sound", [hum, white, click])
def test_a_cut_copy_of_such_a_sound_is_found_all_the_same(
    sound: Callable[[int], np.ndarray], tmp_path: Path
) -> None:
    for number in range(6):
        put(tmp_path, "train/noise/a", sound(number), name=f"{number}.wav")
    put(tmp_path, "test/noise/b", 0.5 * sound(3)[1000:])
    (leak,) = check(corpus_items(tmp_path), workers=1).leaks
    assert Path(leak.first.path).name == "3.wav" and leak.offset == pytest.approx(1000 / RATE, abs=0.002)


def test_very_short_clips_are_compared_by_their_shape(tmp_path: Path) -> None:
    short = white(1)[: RATE // 5] * np.hanning(RATE // 5).astype(np.float32)
    put(tmp_path, "train/noise/a", short)
    put(tmp_path, "test/noise/b", 0.3 * short)
    put(tmp_path, "test/noise/c", white(2)[: RATE // 5] * np.hanning(RATE // 5).astype(np.float32))
    (leak,) = check(corpus_items(tmp_path)).leaks
    assert Path(leak.second.path).parent.name == "b"


def test_an_event_that_occurs_in_two_recordings_is_found(
    tmp_path: Path, speech: np.ndarray, noise: np.ndarray
) -> None:
    one, other = noise[: 2 * RATE].copy(), 0.5 * noise[::-1][: 2 * RATE].copy()
    one[5000:17000] = other[15000:27000] = speech[20000:32000]
    put(tmp_path, "train/noise/a", one)
    put(tmp_path, "test/noise/b", other)
    (leak,) = check(corpus_items(tmp_path)).leaks
    assert leak.offset == pytest.approx(-10000 / RATE, abs=0.002)
    assert leak.seconds == pytest.approx(0.75, abs=0.3)


def test_processes_change_nothing(
    planted: tuple[Path, dict[str, Path], dict[str, Path]], found: Checked
) -> None:
    again = check(corpus_items(planted[0]), workers=2)

    def facts(leaks: list[Leak]) -> list[tuple[str, str, str, float]]:
        return sorted((one.what, one.first.path, one.second.path, round(one.similarity, 2)) for one in leaks)

    assert facts(again.leaks) == facts(found.leaks)
    assert [one and one.samples for one in again.measured] == [one and one.samples for one in found.measured]


def test_unreadable_files_are_named_and_the_rest_is_checked(tmp_path: Path, speech: np.ndarray) -> None:
    put(tmp_path, "train/speech/a", speech)
    put(tmp_path, "test/speech/b", 0.5 * speech)
    (tmp_path / "test/speech/b/broken.wav").write_bytes(b"RIFF nothing")
    result = check(corpus_items(tmp_path))
    assert [one.what for one in result.leaks] == ["recording"]
    assert [(Path(name).name, reason[:12]) for name, reason in result.unreadable] == [
        ("broken.wav", "not an audio")
    ]


def test_the_mini_corpus_is_clean_but_for_a_river(mini: Path) -> None:
    """Two sounds of a game were cut from one recording; what reports are made of, the test split, shares nothing."""
    (leak,) = check(corpus_items(mini)).leaks
    names = [f"{item.split}/{Path(item.path).stem.rpartition('_')[0]}" for item in (leak.first, leak.second)]
    assert names == ["train/0ad-data_river_med_21", "valid/0ad-data_river_fast_21"]


def test_fingerprint_knows_silence_and_needs_no_level(speech: np.ndarray) -> None:
    slow = audio.resample(speech, RATE, SLOW)
    bits, weak = fingerprint(slow)
    assert bits.dtype == weak.dtype == np.uint32 and weak.shape == (len(bits), WEAKEST)
    heard = bits != SILENT
    assert 0.3 < heard.mean() <= 1.0 and (bits[heard] < 1 << 24).all()
    quiet, _ = fingerprint(0.1 * slow)
    differing = np.bitwise_xor(bits, quiet)[heard & (quiet != SILENT)]
    assert np.mean([bin(int(one)).count("1") for one in differing]) < 0.1
    assert (fingerprint(np.zeros(SLOW, np.float32))[0] == SILENT).all()
    assert len(fingerprint(np.zeros(100, np.float32))[0]) == len(fingerprint(np.zeros(0, np.float32))[0]) == 0


def test_the_index_knows_offset_and_place(speech: np.ndarray, noise: np.ndarray) -> None:
    slow, other = (audio.resample(x, RATE, SLOW) for x in (speech, noise))
    index = Index([(7, *fingerprint(other)), (9, *fingerprint(slow))])
    clip, offset, frame = next(index.find(*fingerprint(slow[40 * HOP :])))
    assert (clip, offset) == (9, 40) and 40 <= frame < len(slow) // HOP
    assert (
        list(index.find(*fingerprint(np.zeros(SLOW, np.float32))))
        == list(Index([]).find(*fingerprint(slow)))
        == []
    )


def test_alignment_is_exact_and_refuses_what_it_cannot_tell(speech: np.ndarray, noise: np.ndarray) -> None:
    slow, other = (audio.resample(x, RATE, SLOW) for x in (speech, noise))
    found = align(slow, 0.3 * slow[1234:], 1200, 9000)
    assert found is not None and found.score > 0.95 and found.offset == pytest.approx(1234 / SLOW, abs=1e-4)
    assert align(slow, other, 0, 9000) is None
    assert align(slow[:600], slow[:600], 0, 0) is None
    assert align(0 * slow, 0 * slow, 0, 0) is None
