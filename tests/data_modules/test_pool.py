"""Finding files and pooling them: any layout and rate, bad files counted, one builder, flat memory."""

from __future__ import annotations

import json
import logging
import multiprocessing
import pickle
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from damage import claim_size, without_count
from data_corpus import RATE, hiss, make_corpus, pools, voice

from data_modules.errors import DataError
from data_modules.pools.build import open_pool, pool_key
from data_modules.pools.collection import Collection
from data_modules.pools.pool import AUDIO, INDEX, INFO, NAMES, Pool
from data_modules.pools.sources import Item, corpus_items, folder_items, read_manifest, select, split_off
from diffgmm import audio


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


def test_folder_layout_and_manifest_agree(corpus: Path, tmp_path: Path) -> None:
    items = corpus_items(corpus)
    assert {item.group for item in select(items, "valid", "speech")} == {"speaker_e", "speaker_f"}
    assert len(select(items, "train", "speech")) == 8
    rows = [f"{item.path},{item.split},{item.kind},{item.group}" for item in items]
    manifest = tmp_path / "list.csv"
    manifest.write_text("path,split,kind,group\n" + "\n".join(rows))
    assert sorted(read_manifest(manifest)) == sorted(items)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("path,split,kind\na.wav,train,speech\n", "no column group"),
        ("path,split,kind,group\na.wav,dev,speech,x\n", "line 2: split is 'dev'"),
        ("path,split,kind,group\na.wav,train,music,x\n", "line 2: kind is 'music'"),
        ("path,split,kind,group\n", "lists no files"),
        ("path,split,kind,group,start\na.wav,train,speech,x,1.5\n", "line 2: stretches and channels"),
    ],
)
def test_bad_manifests_are_explained(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=part):
        corpus_items(tmp_path)


def test_missing_data_is_one_clear_line(tmp_path: Path, corpus: Path) -> None:
    for act in (
        lambda: Collection(),
        lambda: Collection(corpus="no-such-corpus").items(),
        lambda: Collection(speech=str(tmp_path / "none"), noise=str(corpus)).items(),
        lambda: Collection(corpus=str(tmp_path)).items(),
    ):
        with pytest.raises(DataError) as error:
            act()
        assert "\n" not in str(error.value)


def test_an_mp3_of_varying_rate_without_an_index_trains_whole(tmp_path: Path) -> None:
    sound = np.concatenate(
        [np.zeros(RATE, np.float32), voice(1, 3.0), np.zeros(RATE, np.float32), hiss(1, 4.0)]
    )
    soundfile.write(tmp_path / "a.mp3", sound, RATE, format="MP3", bitrate_mode="VARIABLE")
    (tmp_path / "a.mp3").write_bytes(without_count((tmp_path / "a.mp3").read_bytes()))
    pool = open_pool([Item("train", "speech", "a", str(tmp_path / "a.mp3"))], RATE, tmp_path / "cache")
    assert not pool.skipped
    assert pool.length[0] == pytest.approx(len(sound), abs=0.15 * RATE)
    ends = np.sqrt(np.mean(np.square(pool.read(0)[-RATE:]))), np.sqrt(np.mean(np.square(sound[-RATE:])))
    assert ends[0] == pytest.approx(ends[1], rel=0.2)


def test_a_wrong_size_in_a_header_is_told_and_the_sound_trains_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, voice(1, 3.0), RATE, subtype="PCM_16")
    claim_size(path, 1000)
    items = [Item("train", "speech", "a", str(path))]
    for warnings in (1, 0):  # the second time it comes from the cache
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert open_pool(items, RATE, tmp_path / "cache").length[0] == 3 * RATE
        assert len(caplog.records) == warnings
        assert all(f"{path}: the header promises 1000 bytes" in record.message for record in caplog.records)


def test_split_off_keeps_speakers_apart_and_stays_put(corpus: Path) -> None:
    items = folder_items(corpus / "train" / "speech", "speech")
    first = split_off(items, 0.25, "valid")
    groups = {split: {item.group for item in first if item.split == split} for split in ("train", "valid")}
    assert groups["valid"]
    assert not groups["train"] & groups["valid"]
    assert split_off(items, 0.25, "valid") == first
    assert split_off(list(reversed(items)), 0.25, "valid")[::-1] == first
    by_file = split_off(items, 0.25, "valid", by="file")
    assert sum(item.split == "valid" for item in by_file) == 2
    with pytest.raises(DataError, match="below 1"):
        split_off(items, 1.0, "valid")


def test_folders_and_corpus_together(corpus: Path, tmp_path: Path) -> None:
    made = Collection(
        speech=str(corpus / "train/speech"), noise=str(corpus / "train/noise"), split_by="group"
    )
    for kind in ("speech", "noise"):
        assert select(made.items(), "train", kind)
        assert select(made.items(), "valid", kind)
        assert not select(made.items(), "test", kind)
    both = Collection(corpus=str(corpus), speech=str(corpus / "test/speech"), valid_fraction=0.0)
    assert len(select(both.items(), "train", "speech")) == 12


def test_clips_come_back_as_they_were(corpus: Path, tmp_path: Path) -> None:
    speech, _ = pools(corpus, "train", tmp_path)
    assert speech.groups == [f"speaker_{name}" for name in "abcd"]
    for clip, path in enumerate(speech.names()):
        want = audio.read(path, RATE, mono=True)[0][0]
        got = speech.read(clip)
        assert got.dtype == np.float32
        assert got.shape == want.shape
        assert np.max(np.abs(got - want)) < 2e-5
        assert np.array_equal(speech.read(clip, 100, 50), got[100:150])
        assert speech.groups[speech.group[clip]] == Path(path).parent.name
    assert pickle.loads(pickle.dumps(speech)).names() == speech.names()


def test_draws_follow_durations(corpus: Path, tmp_path: Path) -> None:
    speech, noise = pools(corpus, "train", tmp_path)
    rng = np.random.default_rng(0)
    for balance in (0.0, 0.5, 1.0):
        drawn = [noise.draw_group(rng, balance=balance) for _ in range(4000)]
        weights = (np.bincount(noise.group, noise.length) / noise.sample_rate) ** balance
        shares = np.bincount(drawn, minlength=len(noise.groups)) / 4000
        assert np.allclose(shares, weights / weights.sum(), atol=0.04)
    assert all(noise.draw_group(rng, exclude=1) != 1 for _ in range(200))
    clips = np.array([speech.draw_clip(rng, 2) for _ in range(2000)])
    own = np.flatnonzero(speech.group == 2)
    assert set(clips) == set(own)
    lengths = speech.length[own]
    shares = [np.mean(clips == clip) for clip in own]
    assert np.allclose(shares, lengths / lengths.sum(), atol=0.05)


def _bad_folder(root: Path) -> Path:
    root.mkdir()
    audio.write(root / "good.wav", voice(1, 1.0)[None], RATE)
    audio.write(root / "silent.wav", np.zeros((1, RATE), np.float32), RATE)
    audio.write(root / "blip.wav", hiss(1, 0.01)[None], RATE)
    (root / "empty.wav").write_bytes(b"")
    (root / "text.flac").write_text("not audio at all")
    (root / "cut.wav").write_bytes((root / "good.wav").read_bytes()[:9000])
    return root


def test_bad_files_are_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    items = folder_items(_bad_folder(tmp_path / "bad"), "speech")
    with caplog.at_level(logging.WARNING):
        pool = open_pool(items, RATE, tmp_path / "cache", title="train speech")
    assert len(pool) == 1
    assert len(pool.skipped) == 5
    (record,) = caplog.records
    assert "train speech: 5 of 6 files left out" in record.message
    assert "\n" not in record.message
    for name in ("silent.wav (silent)", "blip.wav", "empty.wav", "text.flac", "cut.wav"):
        assert name in record.message
    with pytest.raises(DataError, match="5 of 6"):
        open_pool(items, RATE, tmp_path / "cache", strict=True)
    only_bad = [item for item in items if "good" not in item.path]
    with pytest.raises(DataError, match="none of the 5 files"):
        open_pool(only_bad, RATE, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob(".*.part"))


def test_cache_is_used_until_a_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    audio.write(path, voice(1, 1.0)[None], RATE)
    items = [Item("train", "speech", "a", str(path))]
    first = open_pool(items, RATE, tmp_path / "cache")
    stamp = (first.folder / INFO).stat().st_mtime_ns
    assert (open_pool(items, RATE, tmp_path / "cache").folder / INFO).stat().st_mtime_ns == stamp
    assert pool_key(items, RATE) != pool_key(items, 8000)
    audio.write(path, voice(2, 1.5)[None], RATE, overwrite=True)
    second = open_pool(items, RATE, tmp_path / "cache")
    assert second.folder != first.folder
    assert second.length[0] == 1.5 * RATE


def test_checksum_is_of_the_sound_and_not_of_the_place(tmp_path: Path) -> None:
    sounds = [voice(0, 1.0), voice(1, 1.5)]

    def checksum(folder: str, *signals: np.ndarray) -> str:
        for number, signal in enumerate(signals):
            path = tmp_path / folder / "a" / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, signal[None], RATE, overwrite=True)
        items = folder_items(tmp_path / folder, "speech")
        return open_pool(items, RATE, tmp_path / "cache" / folder).checksum()

    assert checksum("here", *sounds) == checksum("there", *sounds)
    assert checksum("other", sounds[0], 0.9 * sounds[1][::-1].copy()) != checksum("here", *sounds)


def test_leftover_of_a_killed_build_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    audio.write(path, voice(1, 1.0)[None], RATE)
    items = [Item("train", "speech", "a", str(path))]
    part = tmp_path / "cache" / f".{pool_key(items, RATE)}.part"
    part.mkdir(parents=True)
    (part / AUDIO).write_bytes(b"half")
    assert len(open_pool(items, RATE, tmp_path / "cache")) == 1
    assert not part.exists()


def test_unwritable_cache_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    audio.write(path, voice(1, 1.0)[None], RATE)
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"pool of audio can't be written"):
        open_pool([Item("train", "speech", "a", str(path))], RATE, tmp_path / "cache")


def _open(items: list[Item], cache: Path, queue: multiprocessing.Queue[str]) -> None:
    queue.put(str(open_pool(items, RATE, cache).folder))


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_several_processes_at_once(corpus: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[str] = context.Queue()
    items = select(corpus_items(corpus), "train", "speech")
    processes = [context.Process(target=_open, args=(items, tmp_path, queue)) for _ in range(4)]
    for process in processes:
        process.start()
    folders = {queue.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert len(folders) == 1
    assert len(Pool(folders.pop())) == 8


def _private_memory() -> int:
    text = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private"))


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_large_pool_opens_at_once_and_takes_no_memory(tmp_path: Path) -> None:
    clips, length = 100_000, 16 * RATE  # 444 hours, as a sparse file
    with (tmp_path / AUDIO).open("wb") as file:
        file.truncate(2 * clips * length)
    np.savez(
        tmp_path / INDEX,
        offset=np.arange(clips, dtype=np.int64) * length,
        length=np.full(clips, length, dtype=np.int64),
        group=np.arange(clips, dtype=np.int64) // 100,
        gain=np.ones(clips, dtype=np.float32),
        level=np.zeros(clips, dtype=np.float32),
    )
    (tmp_path / NAMES).write_text("\n".join(map(str, range(clips))))
    groups = [f"{number:04d}" for number in range(clips // 100)]
    (tmp_path / INFO).write_text(json.dumps({"sample_rate": RATE, "groups": groups, "skipped": []}))
    before, start = _private_memory(), time.perf_counter()
    pool = Pool(tmp_path)
    assert time.perf_counter() - start < 1.0
    rng = np.random.default_rng(0)
    for _ in range(4000):
        pool.read(pool.draw_clip(rng, pool.draw_group(rng)), int(rng.integers(RATE)), 2 * RATE)
    assert _private_memory() - before < 120e6
