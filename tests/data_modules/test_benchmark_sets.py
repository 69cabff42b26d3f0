"""Benchmark sets: whole-number sound, lists that hold what they promise, rendering checked to the byte."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import data_modules
from data_modules import benchmarks
from data_modules.benchmarks import integers, recorded, render
from data_modules.benchmarks.render import (
    GENERATED,
    Layer,
    ListedPair,
    PairList,
    Part,
    Recording,
)
from data_modules.corpora.build.finish import Clip, write_manifest
from data_modules.errors import DataError
from diffgmm import audio
from diffgmm.utils.files import sha256_of


def tone(frequency: float, rate: int, samples: int) -> np.ndarray:
    return np.rint(8000 * np.sin(2 * np.pi * frequency * np.arange(samples) / rate)).astype(np.int64)


def power(x: np.ndarray) -> float:
    return float(np.square(x[1000:-1000] / 8000.0).mean() * 2)


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=50), st.integers(1, 20))
def test_division_rounds_half_up(values: list[int], bits: int) -> None:
    expected = [(2 * value + 2**bits) // 2 ** (bits + 1) for value in values]
    assert integers.divided(np.array(values), bits).tolist() == expected


def test_rates_keep_the_band_and_the_place() -> None:
    low, high = tone(1000, 16000, 16000), tone(5500, 16000, 16000)
    assert power(integers.to_8k(low)) == pytest.approx(1.0, abs=0.01)
    assert power(integers.to_8k(high)) < 1e-6
    up = integers.to_48k(low)
    assert len(up) == 48000 and np.abs(up[2000:-2000] - tone(1000, 48000, 48000)[2000:-2000]).max() <= 8
    spectrum = np.abs(np.fft.rfft(up[3000:-3000] * np.hanning(42000)))
    assert spectrum[round(9000 * 42000 / 48000) :].max() < 1e-3 * spectrum.max()


def test_the_telephone_lets_its_band_through() -> None:
    passed = {hz: power(integers.telephone(tone(hz, 8000, 8000))) for hz in (100, 1000, 3000, 3800)}
    assert passed[100] < 1e-3 and passed[3800] < 1e-4
    assert passed[1000] == pytest.approx(1.0, abs=0.01) and passed[3000] == pytest.approx(1.0, abs=0.01)


def test_repetitions_overlap_without_a_step() -> None:
    level = np.full(1000, 5000)
    loop = np.zeros(2000 - integers.FADE, dtype=np.int64)
    loop[:1000] += integers.faded(level)
    loop[1000 - integers.FADE :] += integers.faded(level)
    inside = loop[integers.FADE : -integers.FADE]
    assert inside.min() >= 4999 and inside.max() <= 5001


def test_wav_files_hold_nothing_but_the_samples(tmp_path: Path) -> None:
    data = render.wav_bytes(np.array([0, 1, -2]), 8000)
    assert len(data) == 44 + 6 and data[-6:] == b"\x00\x00\x01\x00\xfe\xff"
    with pytest.raises(ValueError, match="beyond 16 bits"):
        render.wav_bytes(np.array([40000]), 8000)


@pytest.fixture
def tiny(mini: Path) -> PairList:
    """A list on the mini corpus with one pair of each band, its checksums filled in."""
    speech = sorted((mini / "test" / "speech").rglob("*.flac"))[:2]
    noise = sorted((mini / "test" / "noise").rglob("*.flac"))[:1]
    recordings = [
        Recording(path.relative_to(mini).as_posix(), "", render.pcm_sha256(render.read_pcm(path)))
        for path in [*speech, *noise]
    ]
    recordings.append(Recording(f"{GENERATED}alarm_clock"))
    voice = Layer(40000, (Part(0, 0, 20000, 1600), Part(1, 0, 20000, 25000)))
    noises = (Layer(20000, (Part(2, 0, 9000, 0), Part(3, 0, 16000, 30000))),)
    fast = (*noises, Layer(9000, (Part(2, 0, 9000, 50000),), fast=True))
    pairs = []
    empty = PairList("tiny", "for tests", "mini", tuple(recordings))
    for band in ("full", "8k", "telephone", "48k", "clean"):
        layers = {"clean": (), "48k": fast}.get(band, noises)
        pair = ListedPair(
            band, "full" if band == "clean" else band, 5.0, "anna", ("rail",), ("main",), voice, layers
        )
        sounds = render.Recordings(empty, mini)
        digests = [
            hashlib.sha256(render.wav_bytes(x, pair.sample_rate)).hexdigest()
            for x in render.render(pair, sounds)
        ]
        pairs.append(dataclasses.replace(pair, clean_sha256=digests[0], noisy_sha256=digests[1]))
    return dataclasses.replace(empty, pairs=tuple(pairs), subsets={"main": "all"})


def test_a_list_is_rendered_and_checked_to_the_byte(tiny: PairList, mini: Path, tmp_path: Path) -> None:
    folder = render.write_set(tmp_path / "set", tiny, mini)
    assert render.is_intact(folder, tiny)
    told = json.loads((folder / "set.json").read_text())
    assert told["checksum"] == tiny.checksum and told["subsets"] == {"main": [pair.id for pair in tiny.pairs]}
    rates = {pair["id"]: audio.probe(folder / pair["noisy"]).sample_rate for pair in told["pairs"]}
    assert rates == {"full": 16000, "8k": 8000, "telephone": 8000, "48k": 48000, "clean": 16000}
    for pair in told["pairs"]:
        clean, noisy = (audio.read(folder / pair[kind])[0] for kind in ("clean", "noisy"))
        assert clean.shape == noisy.shape == (1, 4 * pair["sample_rate"])
        assert np.array_equal(clean, noisy) == (pair["id"] == "clean")
    damaged = folder / "noisy" / "full.wav"
    data = damaged.read_bytes()
    damaged.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert not render.is_intact(folder, tiny)
    assert render.is_intact(render.write_set(folder, tiny, mini), tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_other_samples_are_refused(tiny: PairList, mini: Path, tmp_path: Path) -> None:
    other = dataclasses.replace(tiny.recordings[0], pcm_sha256="00")
    wrong = dataclasses.replace(tiny, recordings=(other, *tiny.recordings[1:]))
    with pytest.raises(DataError, match=r"not the samples that tiny is pinned to.*diffgmm prepare mini"):
        render.write_set(tmp_path / "set", wrong, mini)
    changed = dataclasses.replace(tiny.pairs[0], noisy_sha256="00")
    with pytest.raises(DataError, match="came out other than listed"):
        render.write_set(tmp_path / "set", dataclasses.replace(tiny, pairs=(changed,)), mini)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", benchmarks.LISTS)
def test_a_missing_or_light_corpus_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFGMM_HOME", str(tmp_path))
    corpus = benchmarks.load_list(name).corpus
    with pytest.raises(DataError, match=rf"run `diffgmm prepare {corpus}`"):
        benchmarks.open_set(name)
    light = tmp_path / "corpora" / corpus
    light.mkdir(parents=True)
    write_manifest(light / "manifest.csv", [])
    with pytest.raises(DataError, match=rf"\d+ of the \d+ recordings of {name} .* it needs the full corpus"):
        benchmarks.open_set(name)
    with pytest.raises(
        DataError,
        match="unknown benchmark set 'x'; choose from cross-test, cross-valid, real-valid, dsn-test",
    ):
        benchmarks.open_set("x")


def test_voicebank_is_described_where_it_lies(tmp_path: Path, mini: Path) -> None:
    corpus, clips = tmp_path / "voicebank-demand", []
    source = next((mini / "test" / "speech").rglob("*.flac"))
    x, info = audio.read(source)
    for kind in ("clean", "noisy"):
        for name in ("p232_001", "p257_002"):
            path = corpus / "test" / kind / f"{name}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, x, info.sample_rate)
            where = path.relative_to(corpus).as_posix()
            clips.append(Clip("test", kind, "p", where, 1.0, "en", "CC-BY-4.0", "VoiceBank", f"{kind}{name}"))
    write_manifest(corpus / "manifest.csv", clips)
    told = json.loads(benchmarks.open_set("voicebank-demand", corpus, tmp_path / "sets").read_text())
    assert told["subsets"] == {"p232": ["p232_001"], "p257": ["p257_002"]}
    assert all(Path(pair["clean"]).is_file() and pair["sample_rate"] == 16000 for pair in told["pairs"])
    valid = [dataclasses.replace(clip, split="valid") for clip in clips]
    write_manifest(corpus / "manifest.csv", valid)
    told = json.loads(benchmarks.open_set("voicebank-demand-valid", corpus, tmp_path / "sets").read_text())
    assert told["name"] == "voicebank-demand-valid" and len(told["pairs"]) == 2
    write_manifest(corpus / "manifest.csv", clips[:-1])
    with pytest.raises(DataError, match="no complete test pairs"):
        recorded.write_corpus(corpus, tmp_path / "x.json")


def test_recorded_pairs_are_known_by_their_checksums(
    tmp_path: Path, mini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = json.loads(recorded.LIST.read_text())
    assert len(told["files"]) == 12 and all(len(digest) == 64 for digest in told["files"].values())
    sounds = sorted((mini / "test" / "speech").rglob("*.flac"))
    for name, source in zip(told["files"], sounds, strict=False):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        x, info = audio.read(source)
        audio.write(tmp_path / name, x, info.sample_rate)
    first = next(iter(told["files"]))
    with pytest.raises(
        DataError, match=r"not the file of https://github.com/facebookresearch/denoiser, commit"
    ):
        benchmarks.open_set("real-valid", tmp_path, tmp_path / "sets")
    own = {name: sha256_of(tmp_path / name) for name in told["files"]}
    monkeypatch.setattr(recorded, "LIST", tmp_path / "list.json")
    recorded.LIST.write_text(json.dumps({**told, "files": own}))
    made = json.loads(benchmarks.open_set("real-valid", tmp_path, tmp_path / "sets").read_text())
    assert made["subsets"] == {"p287": [f"p287_00{i}" for i in range(1, 7)]}
    assert made["files"] == {str((tmp_path / name).resolve()): digest for name, digest in own.items()}
    (tmp_path / first).unlink()
    with pytest.raises(DataError, match=r"not there; real-valid needs the 12 files in clean/ and noisy/"):
        benchmarks.open_set("real-valid", tmp_path, tmp_path / "sets")


SECONDS = {"cross-test": {3, 4, 5, 6, 8}, "cross-valid": {5}, "dsn-test": {4}, "dsn-valid": {4}}
LIST_SIZES = {"cross-test": 120, "cross-valid": 40, "dsn-test": 150, "dsn-valid": 60}


@pytest.mark.parametrize("name", benchmarks.LISTS)
def test_lists_hold_what_they_promise(name: str) -> None:
    pairs = benchmarks.load_list(name)
    split, dsn = name.partition("-")[2], name.startswith("dsn")
    assert len(pairs.pairs) >= LIST_SIZES[name] and len({pair.id for pair in pairs.pairs}) == len(pairs.pairs)
    assert all(path.path.startswith((f"{split}/", GENERATED)) for path in pairs.recordings)
    assert all(len(one.sha256) == len(one.pcm_sha256) == 64 for one in pairs.recordings if one.sha256)
    ids = pairs.ids()
    ratios = [-5, 0, 5, 10, 15] if dsn else [-5, 0, 5, 10, 15, 20]
    narrow = "alarm_8k" if dsn else "narrow_8k"
    kinds = {"main", *(f"snr{snr}" for snr in ratios), "several_loud", narrow, "clean"}
    assert set(ids) == kinds | ({"noise_48k"} if dsn else set()) and all(ids.values())
    by_id = {pair.id: pair for pair in pairs.pairs}
    main = [by_id[id] for id in ids["main"]]
    assert {pair.snr for pair in main} == set(ratios)
    assert all(by_id[id].snr == snr for snr in ratios for id in ids[f"snr{snr}"])
    assert {by_id[id].sample_rate for id in ids[narrow]} == {8000}
    assert {by_id[id].sample_rate for id in ids.get("noise_48k", ())} == ({48000} if dsn else set())
    assert all(by_id[id].clean_sha256 == by_id[id].noisy_sha256 for id in ids["clean"])
    assert all(len(by_id[id].noises) > 1 for id in ids["several_loud"])
    assert {pair.speaker for pair in (main if dsn else pairs.pairs)} == {
        path.path.split("/")[2] for path in pairs.recordings if "/speech/" in path.path
    }
    assert {pair.seconds for pair in pairs.pairs} == SECONDS[name]


def test_the_page_about_the_sets_has_their_counts_and_the_command_their_names() -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+`) \| ([\d, ]+) \|", page, re.MULTILINE)
    counts = {
        name: int(count)
        for names, numbers in rows
        for name, count in zip(re.findall(r"`([\w-]+)`", names), numbers.split(","), strict=True)
    }
    assert counts.pop("real-valid") == 6 and counts.pop("voicebank-demand") == 824
    assert counts == {name: len(benchmarks.load_list(name).pairs) for name in benchmarks.LISTS}
    assert all(f"`{name}`" in page for name in benchmarks.NAMES)


def test_cross_test_holds_whole_sources_of_speech_and_other_noise_than_cross_valid() -> None:
    paths = {
        name: [Path(one.path) for one in benchmarks.load_list(name).recordings if one.sha256]
        for name in ("cross-test", "cross-valid")
    }
    groups = {name: {(path.parts[1], path.parts[2]) for path in of} for name, of in paths.items()}
    sources = ("librispeech_test_other_", "watson_stt_demo_")
    assert all(group.startswith(sources) for kind, group in groups["cross-test"] if kind == "speech")
    assert not any(group.startswith(sources) for kind, group in groups["cross-valid"])
    assert not groups["cross-test"] & groups["cross-valid"]


def corpus_folder(name: str) -> Path:
    corpus = benchmarks.load_list(name).corpus
    folder = Path(os.environ.get("DIFFGMM_HOME", data_modules.home())) / "corpora" / corpus
    if not (folder / "manifest.csv").is_file():
        pytest.skip(f"NO CORPUS in {folder}: run `diffgmm prepare {corpus}`")
    return folder


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.parametrize("name", benchmarks.LISTS)
def test_the_corpus_gives_the_set_byte_for_byte(name: str, tmp_path: Path) -> None:
    corpus, pairs = corpus_folder(name), benchmarks.load_list(name)
    assert render.is_intact(benchmarks.open_set(name, corpus, tmp_path).parent, pairs)
