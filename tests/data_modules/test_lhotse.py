"""Corpora go to lhotse manifests and come back, with real lhotse; skipped by name where it isn't installed."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_modules.corpora.lhotse import export_manifests, import_manifests
from data_modules.corpora.manifest import read_manifest
from data_modules.corpora.records import of_corpus
from data_modules.errors import DataError
from data_modules.pools.build import open_pool, read_item
from data_modules.pools.collection import Collection
from data_modules.pools.sources import corpus_items
from diffgmm import audio
from diffgmm.cli.main import main

lhotse = pytest.importorskip(
    "lhotse", reason="lhotse is not installed: its manifests are not tested (pip install lhotse)"
)

RATE = 16000


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, mini: Path) -> Path:
    folder = tmp_path_factory.mktemp("lhotse") / "mini"
    assert export_manifests(of_corpus(str(mini)), folder) == 143
    return folder


@pytest.fixture
def stereo(tmp_path: Path, speech: np.ndarray, noise: np.ndarray) -> Path:
    path = tmp_path / "meeting.wav"
    audio.write(path, np.stack([speech, noise]), RATE, subtype="FLOAT")
    return path


def test_lhotse_reads_what_we_write(exported: Path, mini: Path) -> None:
    assert {path.name.split("_")[0] for path in exported.iterdir()} == {"recordings", "supervisions", "cuts"}
    cuts = lhotse.CutSet.from_file(exported / "cuts_train_speech.jsonl.gz").to_eager()
    clips = [clip for clip in read_manifest(mini) if (clip.split, clip.kind) == ("train", "speech")]
    assert len(cuts) == len(clips) and {cut.supervisions[0].speaker for cut in cuts} == {
        clip.group for clip in clips
    }
    assert {cut.supervisions[0].language for cut in cuts} == {"en", "ru"}
    for cut in list(cuts)[:3]:
        expected = audio.read(cut.recording.sources[0].source, mono=True)[0]
        np.testing.assert_array_equal(cut.load_audio(), expected)
    recordings = lhotse.RecordingSet.from_file(exported / "recordings_test_noise.jsonl.gz")
    supervisions = lhotse.SupervisionSet.from_file(exported / "supervisions_test_noise.jsonl.gz")
    together = lhotse.CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    assert len(together.to_eager()) == 17 and {one.custom["category"] for one in supervisions} >= {
        "bell",
        "saw",
    }
    lhotse.validate(recordings), lhotse.validate(supervisions), lhotse.validate(cuts)


@pytest.mark.parametrize(
    "form", ["cuts_{}_{}.jsonl.gz", "recordings_{}_{}.jsonl.gz,supervisions_{}_{}.jsonl.gz"]
)
def test_round_trip(exported: Path, mini: Path, tmp_path: Path, form: str) -> None:
    parts = [(split, kind) for split in ("train", "valid", "test") for kind in ("speech", "noise")]
    sources = {part: [exported / name for name in form.format(*part, *part).split(",")] for part in parts}
    manifest, left = import_manifests(sources, tmp_path / "back")
    assert left == {} and manifest == tmp_path / "back" / "manifest.csv"
    assert [path.name for path in manifest.parent.iterdir()] == ["manifest.csv"]
    assert sorted(corpus_items(tmp_path / "back")) == sorted(corpus_items(mini))
    before = {Path(clip.path).name: clip for clip in read_manifest(mini)}
    for clip in read_manifest(tmp_path / "back"):
        known = before[Path(clip.path).name]
        assert (clip.language, clip.licence, clip.source) == (known.language, known.licence, known.source)
        assert clip.seconds == pytest.approx(known.seconds, abs=1e-3)
    pools = [
        Collection(corpus=str(where)).open("valid", "speech", RATE, tmp_path / "pools").checksum()
        for where in (mini, tmp_path / "back")
    ]
    assert pools[0] == pools[1]


def cut_of(path: Path, **changes: Any) -> Any:
    recording = lhotse.Recording.from_file(path)
    speaker = lhotse.SupervisionSegment("s", recording.id, 0.0, 0.5, speaker="anna", language="cs")
    facts = {"id": "c", "start": 0.0, "duration": recording.duration, "channel": 0, "supervisions": [speaker]}
    return lhotse.MonoCut(recording=recording, **(facts | changes))


def imported(cuts: list[Any], tmp_path: Path, kind: str = "speech") -> tuple[list[Any], dict[str, list[str]]]:
    lhotse.CutSet.from_cuts(cuts).to_file(tmp_path / "cuts.jsonl.gz")
    manifest, left = import_manifests({("train", kind): [tmp_path / "cuts.jsonl.gz"]}, tmp_path / "corpus")
    return corpus_items(manifest.parent), left


def test_cuts_are_stretches_and_channels_of_files(stereo: Path, tmp_path: Path) -> None:
    cuts = [
        cut_of(stereo, id="a", start=0.25, duration=0.5),
        cut_of(stereo, id="b", start=1.0000625, duration=1.0, channel=1),
        cut_of(stereo, id="c", channel=1),
        cut_of(stereo, id="d").recording.to_cut(),
    ]
    items, left = imported(cuts, tmp_path)
    assert left == {} and len(items) == 4
    for cut, item in zip(cuts, items, strict=True):
        samples, rate = read_item(item)
        assert rate == RATE
        np.testing.assert_array_equal(samples, cut.load_audio().mean(axis=0, dtype=np.float32))
    assert [item.group for item in items] == ["anna", "anna", "anna", "unknown"]
    pool = open_pool(items[:2], RATE, tmp_path / "pools")
    assert sorted(pool.length) == [8000, 16000]
    assert "[0.25-0.75 s] [channel 0]" in items[0].name


def test_a_pool_is_built_anew_for_another_stretch(stereo: Path, tmp_path: Path) -> None:
    lengths = []
    for seconds in (0.5, 0.75):
        cut = cut_of(stereo, start=0.25, duration=seconds)
        folder = tmp_path / str(seconds)
        folder.mkdir()
        lengths.append(int(open_pool(imported([cut], folder)[0], RATE, tmp_path / "pools").length[0]))
    assert lengths == [8000, 12000]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda cut: cut.perturb_speed(1.1), "changed on the fly"),
        (lambda cut: cut.pad(duration=9.0, preserve_id=True), "mixed, padded"),
        (lambda cut: with_source(cut, type="url", source="https://example.org/a.wav"), "type url"),
        (lambda cut: with_source(cut, source="/nowhere/a.wav"), "missing"),
        (lambda cut: with_speakers(cut), "several speakers"),
    ],
)
def test_what_cannot_be_a_clip_is_left_out_by_name(
    change: Callable[[Any], Any], reason: str, stereo: Path, tmp_path: Path
) -> None:
    good = cut_of(stereo, id="good")
    items, left = imported([good, change(cut_of(stereo, id="bad"))], tmp_path)
    assert len(items) == 1 and len(left) == 1
    assert reason in next(iter(left)) and next(iter(left.values()))[0].startswith("bad")


def with_source(cut: Any, **changes: str) -> Any:
    for name, value in changes.items():
        setattr(cut.recording.sources[0], name, value)
    return cut


def with_speakers(cut: Any) -> Any:
    segment = lhotse.SupervisionSegment("t", cut.recording.id, 0.5, 0.5, speaker="berta")
    cut.supervisions.append(segment)
    return cut


def test_bad_input_is_one_line(tmp_path: Path, stereo: Path) -> None:
    broken = tmp_path / "cuts.jsonl"
    broken.write_text('{"id": 1}\nnot json\n')
    for sources in (
        {("train", "speech"): [tmp_path / "none.jsonl"]},
        {("train", "speech"): [broken]},
        {("dev", "speech"): [broken]},
        {("train", "clean"): [broken]},
    ):
        with pytest.raises(DataError) as error:
            import_manifests(sources, tmp_path / "corpus")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "corpus").exists()


def test_the_verb_exports_and_imports(mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, corpus = tmp_path / "out", tmp_path / "corpus"
    assert main(["data", "mini", "--export-lhotse", str(folder)]) == 0
    assert "143 clips" in capsys.readouterr().out
    assert main(["data", "mini", "--export-lhotse", str(folder)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    pairs = [
        f"{split}/{kind}={folder}/cuts_{split}_{kind}.jsonl.gz"
        for split in ("train", "test")
        for kind in ("speech", "noise")
    ]
    assert main(["data", "--import-lhotse", *pairs, "--out", str(corpus)]) == 0
    assert f"corpus: {corpus}" in capsys.readouterr().out
    with (corpus / "manifest.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 121
    assert main(["data", "--import-lhotse", *pairs, "--out", str(corpus)]) == 1
    assert "exists already" in capsys.readouterr().err
    for wrong in (
        ["--import-lhotse", "cuts.jsonl", "--out", str(tmp_path / "x")],
        ["--import-lhotse", *pairs],
    ):
        assert main(["data", *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1
