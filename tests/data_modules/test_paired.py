"""PairedFolders: files belong together by name, and what doesn't fit is named."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from data_corpus import RATE, hiss, voice

from data_modules.errors import DataError
from data_modules.noisy_speech import NoisySpeech
from data_modules.paired import PairedFolders
from data_modules.pools.matching import match_folders
from diffgmm import audio


def make_pairs(root: Path, names: list[str], seconds: float = 1.0, rate: int = RATE) -> tuple[str, str]:
    """Clean and noisy folders; the clean file of each pair is the noisy one without its noise."""
    for number, name in enumerate(names):
        clean = voice(number, seconds + 0.1 * number, rate=rate)
        noisy = clean + 0.1 * hiss(number, len(clean) / rate, rate)
        for kind, sound in (("clean", clean), ("noisy", noisy)):
            path = root / kind / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, sound[None], rate)
    return str(root / "clean"), str(root / "noisy")


def module(folders: tuple[str, str], cache: Path, **options: object) -> PairedFolders:
    settings: dict[str, object] = {"batch_size": 2, "window": 8000, "cache": str(cache), **options}
    data = PairedFolders(*folders, **settings)  # type: ignore[arg-type]
    data.setup("fit")
    return data


def test_names_decide_and_not_positions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clean, noisy = make_pairs(tmp_path, ["a", "b", "c", "deep/d"])
    (tmp_path / "clean" / "a.wav").unlink()  # every later file moves up one position
    (tmp_path / "noisy" / "c.wav").rename(tmp_path / "noisy" / "c2.wav")
    with caplog.at_level(logging.WARNING):
        pairs = match_folders(clean, noisy)
    assert [pair.name for pair in pairs] == ["b", "deep/d"]
    assert all(Path(pair.clean).stem == Path(pair.noisy).stem for pair in pairs)
    (record,) = caplog.records
    assert "1 without a partner" in record.message
    assert "a, c2" in record.message
    assert "\n" not in record.message
    with pytest.raises(DataError, match="without a partner"):
        match_folders(clean, noisy, strict=True)


def test_endings_may_differ_and_doubles_are_refused(tmp_path: Path) -> None:
    clean, noisy = make_pairs(tmp_path, ["a", "b"])
    sound = audio.read(tmp_path / "clean" / "a.wav")[0]
    (tmp_path / "clean" / "a.wav").unlink()
    audio.write(tmp_path / "clean" / "a.flac", sound, RATE)
    assert len(match_folders(clean, noisy)) == 2
    audio.write(tmp_path / "clean" / "a.ogg", sound, RATE)
    with pytest.raises(DataError, match="two files are named a"):
        match_folders(clean, noisy)


def test_unlike_lengths_and_rates_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clean, noisy = make_pairs(tmp_path, ["a", "b", "c", "d"])
    audio.write(tmp_path / "noisy" / "a.wav", hiss(1, 2.0)[None], RATE, overwrite=True)
    audio.write(tmp_path / "noisy" / "b.wav", hiss(1, 1.1, 8000)[None], 8000, overwrite=True)
    short = audio.read(tmp_path / "noisy" / "c.wav")[0][:, :-50]
    audio.write(tmp_path / "noisy" / "c.wav", short, RATE, overwrite=True)
    with caplog.at_level(logging.WARNING):
        pairs = match_folders(clean, noisy)
    assert [pair.name for pair in pairs] == ["c", "d"]  # a few milliseconds don't matter
    assert "2 left out: a (16000 and 32000 samples), b (16000 and 8000 Hz)" in caplog.text
    data = module((clean, noisy), tmp_path / "cache", valid_fraction=0.3)
    for noisy_part, clean_part, _, _ in data.val_dataloader().dataset:
        assert noisy_part.shape == clean_part.shape


def test_nothing_in_common_is_one_clear_line(tmp_path: Path) -> None:
    clean, _ = make_pairs(tmp_path / "one", ["a"])
    _, noisy = make_pairs(tmp_path / "two", ["b"])
    with pytest.raises(DataError, match="no file pairs") as error:
        match_folders(clean, noisy)
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="does not exist"):
        match_folders(tmp_path / "none", noisy)


@pytest.mark.parametrize("rate", [RATE, 22050])
def test_windows_are_aligned_and_repeatable(tmp_path: Path, rate: int) -> None:
    folders = make_pairs(tmp_path, [f"s{number}/x" for number in range(6)], rate=rate)
    runs = []
    for workers in (0, 2):
        data = module(folders, tmp_path / "cache", num_workers=workers, valid_fraction=0.2)
        loader = data.train_dataloader()
        batches = []
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
            batches += list(loader)
        runs.append(batches)
    for one, two in zip(*runs, strict=True):
        assert torch.equal(one["noisy"], two["noisy"])
        assert one["name"] == two["name"]
    for batch in runs[0]:
        assert batch["noisy"].shape == (2, 1, 8000)
        assert batch["snr"].isnan().all()
        for clean, noisy in zip(batch["clean"], batch["noisy"], strict=True):
            assert float((noisy - clean).abs().max()) < 0.05  # the noise alone, so the two are aligned
    trained = {name for batch in runs[0] for name in batch["name"]}
    held_out = {item[3] for item in data.val_dataloader().dataset}
    assert held_out
    assert not trained & held_out


def test_whole_files_and_short_ones(tmp_path: Path) -> None:
    folders = make_pairs(tmp_path, ["a", "b"], seconds=0.3)
    data = module(folders, tmp_path / "cache", valid_clean=folders[0], valid_noisy=folders[1], batch_size=1)
    batches = list(data.val_dataloader())
    assert [batch["name"] for batch in batches] == [["a"], ["b"]]
    assert [batch["noisy"].shape[-1] for batch in batches] == [4800, 6400]
    stored = audio.read(tmp_path / "noisy" / "a.wav")[0]
    assert np.max(np.abs(batches[0]["noisy"][0].numpy() - stored)) < 2e-5
    window = next(iter(data.train_dataloader()))["noisy"]
    assert window.shape == (1, 1, 8000)
    assert not window[0, 0, 6400:].any()


def test_silent_clean_files_stay(tmp_path: Path) -> None:
    folders = make_pairs(tmp_path, ["a", "b"])
    audio.write(tmp_path / "clean" / "a.wav", np.zeros((1, RATE), np.float32), RATE, overwrite=True)
    data = module(folders, tmp_path / "cache", valid_clean=folders[0], valid_noisy=folders[1])
    first = next(iter(data.val_dataloader()))
    assert first["name"] == ["a"]
    assert not first["clean"].any()
    assert first["noisy"].any()


def test_unreadable_partner_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folders = make_pairs(tmp_path, ["a", "b", "c"])
    path = tmp_path / "noisy" / "b.wav"
    sound = audio.read(path)[0]
    sound[0, 5] = np.nan
    soundfile.write(path, sound[0], RATE, subtype="FLOAT")
    with caplog.at_level(logging.WARNING):
        data = module(folders, tmp_path / "cache", valid_clean=folders[0], valid_noisy=folders[1])
    assert "b.wav" in caplog.text
    assert [item[3] for item in data.val_dataloader().dataset] == ["a", "c"]


def test_impossible_settings_are_refused(tmp_path: Path) -> None:
    folders = make_pairs(tmp_path, ["a", "b"])
    for options in ({}, {"clean": folders[0]}, {"clean": folders[0], "noisy": folders[1], "epoch_size": 0}):
        with pytest.raises(DataError):
            PairedFolders(**options)  # type: ignore[arg-type]
    data = PairedFolders(*folders, cache=str(tmp_path / "cache"))
    with pytest.raises(DataError, match="no folders for test; give test_clean and test_noisy"):
        data.setup("test")


def make_pair_corpus(root: Path, splits: dict[str, list[str]], manifest: bool) -> Path:
    """A corpus of pairs in the layout that `diffgmm prepare` leaves."""
    rows = ["path,split,kind,group"]
    for split, names in splits.items():
        make_pairs(root / split, names)
        for kind in ("clean", "noisy"):
            rows += [f"{split}/{kind}/{name}.wav,{split},{kind},{name.split('/')[0]}" for name in names]
    if manifest:
        (root / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


@pytest.mark.parametrize("manifest", [True, False])
def test_corpus_of_pairs_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manifest: bool) -> None:
    monkeypatch.setenv("DIFFGMM_HOME", str(tmp_path))
    splits = {"train": ["p1/a", "p1/b", "p2/a"], "valid": ["p3/a"], "test": ["p4/a", "p4/b"]}
    make_pair_corpus(tmp_path / "corpora" / "little-pairs", splits, manifest)
    data = PairedFolders(corpus="little-pairs", window=8000, batch_size=3)
    data.setup("fit")
    assert [pair.name for pair in data.pairs("train")] == ["p1/a", "p1/b", "p2/a"]
    batch = next(iter(data.train_dataloader()))
    assert batch["noisy"].shape == batch["clean"].shape == (3, 1, 8000)
    assert sorted(batch["name"]) == splits["train"]
    assert [batch["name"] for batch in data.val_dataloader()] == [["p3/a"]]
    data.setup("test")
    assert [batch["name"][0] for batch in data.test_dataloader()] == ["p4/a", "p4/b"]


def test_corpus_of_pairs_without_validation_gives_a_share(tmp_path: Path) -> None:
    corpus = make_pair_corpus(tmp_path / "corpus", {"train": [f"p{n}/a" for n in range(6)]}, True)
    data = PairedFolders(
        corpus=str(corpus), valid_fraction=0.3, split_by="group", cache=str(tmp_path / "cache")
    )
    train, valid = ({pair.name for pair in data.pairs(split)} for split in ("train", "valid"))
    assert len(valid) == 2 and len(train) == 4 and not train & valid
    with pytest.raises(DataError, match="has no pairs for test"):
        data.pairs("test")


def test_folders_go_before_the_corpus_that_an_experiment_names(caplog: pytest.LogCaptureFixture) -> None:
    """`--data data_modules.paired.PairedFolders` over mini.yaml leaves that experiment's corpus in place."""
    data = PairedFolders(clean="a", noisy="b", corpus="mini")
    assert data.corpus is None and data.folders["train"] == ("a", "b")
    assert caplog.messages == ["data: folders are given, the corpus mini is not used"]


def test_each_sort_of_corpus_names_its_module(tmp_path: Path, mini: Path) -> None:
    corpus = make_pair_corpus(tmp_path / "corpus", {"train": ["p1/a", "p2/a"]}, True)
    with pytest.raises(DataError, match="pairs of clean and noisy recordings: use"):
        NoisySpeech(str(corpus)).setup("fit")
    with pytest.raises(DataError, match="voices and noises, not pairs: use"):
        PairedFolders(corpus=str(mini)).setup("fit")
    (tmp_path / "corpus" / "train" / "noisy" / "p1" / "a.wav").unlink()
    (tmp_path / "corpus" / "manifest.csv").unlink()
    with pytest.raises(DataError, match="1 without a partner in noisy of"):
        PairedFolders(corpus=str(corpus), strict=True).pairs("train")
