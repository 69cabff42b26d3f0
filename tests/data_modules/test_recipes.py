"""Recipes: each public corpus in miniature, with its true layout, from archive to training batch."""

from __future__ import annotations

import functools
import json
import re
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from corpus_miniatures import MINIATURES, PLACES, dns_challenge, encoded, miniature, sounds, write
from data_corpus import read_manifest
from file_server import serving

from data_modules.corpora.build.engine import prepare
from data_modules.corpora.build.finish import Clip, check_entries
from data_modules.corpora.fetch import space
from data_modules.corpora.fetch.archives import unpack
from data_modules.corpora.index import RECIPES, recipe
from data_modules.corpora.recipe import Entry, Recipe
from data_modules.corpora.recipes import folders
from data_modules.errors import DataError
from data_modules.noisy_speech import NoisySpeech
from data_modules.paired import PairedFolders
from diffgmm import audio
from diffgmm.audio.levels import active_level
from diffgmm.cli.main import main

PUBLIC = tuple(MINIATURES)
ALL = tuple(name for name in RECIPES if name != "debian-speech-noise")


@pytest.fixture(scope="module", autouse=True)
def little_room() -> Iterator[None]:
    """A disk that holds miniatures and packs, but none of the corpora themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(space.shutil, "disk_usage", lambda path: SimpleNamespace(free=50_000_000))
        yield


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which a local server offers it."""
    folder = tmp_path_factory.mktemp("served")
    with serving(folder) as server:
        yield folder, server.url


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def prepared(served: tuple[Path, str], home: Path) -> dict[str, Path]:
    """Every public corpus, fetched from the local server and prepared, once for all tests."""
    folder, address = served
    made = {}
    for name in PUBLIC:
        little = miniature(name, folder / name)
        made[name] = prepare(little, home / "corpora", mirror=f"{address}/{name}", workers=1)
    return made


def unpacked(little: Recipe, archives: Path, folder: Path, variant: str) -> Path:
    """What `entries` gets to see."""
    for source in little.sources(variant):
        wanted = functools.partial(little.wanted or (lambda *_: True), source.name)
        by = None
        if little.unpack is not None:
            how = little.unpack
            by = lambda archive, target, how=how, source=source: how(archive, source, target, lambda: None)  # noqa: E731
        unpack(archives / source.name, folder / source.name, wanted=wanted, by=by)
    return folder


def groups(clips: list[Clip] | list[Entry], kind: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for clip in clips:
        if clip.kind == kind:
            found.setdefault(clip.split, set()).add(clip.group)
    return found


def disjoint(sets: dict[str, set[str]]) -> bool:
    return sum(len(names) for names in sets.values()) == len(set().union(*sets.values()))


@pytest.mark.parametrize("name", ALL)
def test_what_a_recipe_states(name: str) -> None:
    one = recipe(name)
    assert one.name == name and one.variants and one.title and one.notes
    assert "\n" not in one.title and len(one.title) < 110
    assert all(note.endswith(".") for note in one.notes)
    for variant in one.variants:
        sources = one.sources(variant)
        assert len({source.name for source in sources}) == len(sources)
        for source in sources:
            fetched = source.by in ("pip", "npm")  # by a package manager, which knows where from
            assert (source.url.startswith("https://") and source.by == "http") or (fetched and source.package)
            assert (source.checksum is None) == (source.checksum_from == "")
            if source.checksum is not None:
                assert re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", source.checksum)
                assert fetched or source.checksum_from.startswith("https://")
        known = sum(source.size or 0 for source in sources)
        assert one.download_bytes.get(variant, known) >= known
        assert variant in one.hours or not one.hours
    if one.sources(one.variants[0]):
        assert one.homepage.startswith("https://") and one.licence and one.citation


def test_no_checksum_is_used_twice() -> None:
    every = {
        source.name: source.checksum
        for name in ALL
        for variant in recipe(name).variants
        for source in recipe(name).sources(variant)
        if source.checksum
    }
    assert len(every) == len(set(every.values())) == 4 + 17 + 1 + 3 + 6


@pytest.mark.parametrize("name", PUBLIC)
def test_miniature_becomes_a_corpus(name: str, prepared: dict[str, Path]) -> None:
    corpus, one = prepared[name], recipe(name)
    clips = read_manifest(corpus)
    assert corpus.name == name and clips
    about = json.loads((corpus / "corpus.json").read_text(encoding="utf-8"))
    assert about["recipe"] == name and about["licence"] == one.licence and about["refused"] == []
    for source in one.sources(one.variants[0]):
        assert about["sources"][source.name]["origin"] == ("published" if source.checksum else "recorded")
    for clip in clips:
        info = soundfile.info(corpus / clip.path)
        assert (info.samplerate, info.channels, info.format) == (one.sample_rate, 1, "FLAC")
        assert clip.seconds == pytest.approx(info.frames / info.samplerate, abs=1e-4)
        folder = "birds" if name == "bird-sounds-denoising" else clip.group
        assert clip.path.startswith(f"{clip.split}/{clip.kind}/{folder}/") and clip.source and clip.member
    voices = groups(clips, "clean" if one.paired else "speech")
    assert not voices if name == "demand" else disjoint(voices)


@pytest.mark.parametrize("name", PUBLIC)
def test_entries_repeat_themselves(name: str, tmp_path: Path) -> None:
    little = miniature(name, tmp_path / "archives")
    for variant in little.variants:
        folder = unpacked(little, tmp_path / "archives", tmp_path / f"unpacked {variant}", variant)
        first = list(little.entries(folder, variant))
        assert first and first == list(little.entries(folder, variant))
        assert all(entry.file.is_file() for entry in first)


def test_voicebank_demand(prepared: dict[str, Path], tmp_path: Path) -> None:
    clips = read_manifest(prepared["voicebank-demand"])
    expected = {"train": {"p227", "p286"}, "valid": {"p226", "p287"}, "test": {"p232", "p257"}}
    assert groups(clips, "clean") == groups(clips, "noisy") == expected
    names = {kind: {c.path.split("/", 2)[2] for c in clips if c.kind == kind} for kind in ("clean", "noisy")}
    assert names["clean"] == names["noisy"] and "p227/p227_005.flac" in names["clean"]
    assert {clip.language for clip in clips} == {"en"}
    for name in ("p227/p227_001", "p232/p232_005"):  # the very pair, not just any two files
        split = "test" if name.startswith("p232") else "train"
        clean, noisy = (
            soundfile.read(prepared["voicebank-demand"] / split / kind / f"{name}.flac")[0]
            for kind in ("clean", "noisy")
        )
        assert len(clean) == len(noisy) == 11200
        assert abs((noisy - clean) @ clean) < 0.2 * (clean @ clean)
    other = miniature("voicebank-demand", tmp_path / "archives")
    folder = unpacked(other, tmp_path / "archives", tmp_path / "unpacked", "p286+p287")
    found = groups(list(other.entries(folder, "p286+p287")), "clean")
    assert found == {"train": {"p226", "p227"}, "valid": {"p286", "p287"}, "test": {"p232", "p257"}}


def test_demand(prepared: dict[str, Path], tmp_path: Path) -> None:
    clips = read_manifest(prepared["demand"])
    places = groups(clips, "noise")
    assert len(clips) == 18 and set().union(*places.values()) == set(PLACES) and disjoint(places)
    assert places["test"] == {"DLIVING", "OOFFICE", "SCAFE", "SPSQUARE", "TBUS"}
    assert places["valid"] == {"DWASHING", "NPARK", "OHALLWAY"}
    little = miniature("demand", tmp_path / "archives")
    folder = unpacked(little, tmp_path / "archives", tmp_path / "unpacked", "all-channels")
    assert len(list(little.entries(folder, "all-channels"))) == 18 * 3


def test_vctk(prepared: dict[str, Path]) -> None:
    clips = read_manifest(prepared["vctk"])
    speakers = groups(clips, "speech")
    assert speakers == {"train": {"p225", "p315", "s5"}, "valid": {"p226", "p287"}, "test": {"p232", "p257"}}
    assert len(clips) == 14 and all(clip.path.endswith("_mic1.flac") for clip in clips)


def test_musan(prepared: dict[str, Path], tmp_path: Path) -> None:
    clips = read_manifest(prepared["musan"])
    languages = {
        split: {clip.language for clip in clips if clip.kind == "speech" and clip.split == split}
        for split in ("train", "valid", "test")
    }
    assert languages == {"train": {"en", "da"}, "valid": {"de", "it"}, "test": {"fr", "es"}}
    noise = [clip for clip in clips if clip.kind == "noise"]
    assert {clip.group for clip in noise} == {"free-sound", "sound-bible"}
    assert {clip.split for clip in noise} == {"train", "valid", "test"} and len(noise) == 30
    little = miniature("musan", tmp_path / "archives")
    folder = unpacked(little, tmp_path / "archives", tmp_path / "unpacked", "with-music")
    assert "music" in set().union(*groups(list(little.entries(folder, "with-music")), "noise").values())


def test_librispeech_esc50(prepared: dict[str, Path]) -> None:
    clips = read_manifest(prepared["librispeech-esc50"])
    noise = [clip for clip in clips if clip.kind == "noise"]
    classes = recipe("librispeech-esc50").tables["classes"]
    assert {clip.group for clip in noise} == set(classes) and len(classes) == 10
    for clip in noise:  # the fold is the first digit of the name
        fold = Path(clip.path).name[0]
        assert clip.split == ("train" if fold in "123" else "valid" if fold == "4" else "test")
        assert clip.licence == ("CC-BY-3.0" if clip.group == "clock_tick" else "CC-BY-NC-3.0")
    readers = groups(clips, "speech")
    assert readers == {
        "train": {"19", "26", "103"},
        "valid": {"84", "174"},
        "test": {"61", "121", "237", "260"},
    }


def test_librispeech_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hours are kept to, every reader takes part, and more hours only add to fewer."""
    plans = recipe("librispeech-esc50").tables["plan"]

    little = miniature("librispeech-esc50", tmp_path / "archives")
    folder = unpacked(little, tmp_path / "archives", tmp_path / "unpacked", "10h")
    chosen = []
    for seconds in (3.5, 7.5, 1000.0):
        plan = {**plans["10h"], "train": ("train-clean-100", seconds / 3600)}
        monkeypatch.setitem(plans, "10h", plan)
        entries = [
            e
            for e in recipe("librispeech-esc50").entries(folder, "10h")
            if (e.split, e.kind) == ("train", "speech")
        ]
        chosen.append({entry.path for entry in entries})
    assert [len(paths) for paths in chosen] == [4, 8, 12]  # of 1 s each, the one that fills it included
    assert chosen[0] < chosen[1] < chosen[2]
    assert Counter(path.split("/")[2] for path in chosen[0]).most_common(1)[0][1] == 2


def test_librispeech_small_shares_readers_out(tmp_path: Path) -> None:
    little = miniature("librispeech-esc50", tmp_path / "archives")
    assert [source.name for source in little.sources("small")] == [
        "dev-clean.tar.gz",
        "test-clean.tar.gz",
        "ESC-50-master.zip",
    ]
    folder = unpacked(little, tmp_path / "archives", tmp_path / "unpacked", "small")
    readers = groups(list(little.entries(folder, "small")), "speech")
    assert disjoint(readers) and {split: len(names) for split, names in readers.items()} == {
        "train": 2,
        "valid": 2,
        "test": 2,
    }


def open_voices_pack(folder: Path) -> Path:
    """Two packs with clips of held-out and other groups, as folders."""
    voices, noises = sounds("speech", 1.0), sounds("noise", 1.0)
    rows = {
        "open-voices": [
            ("speech", "librispeech_test_other", "1688", "resemble-ai/Resemblyzer@15d8:audio_data/a.flac"),
            ("speech", "gcompris_voices", "gd_words", "gcompris/GCompris-voices@c0e8:gd/words/sneaker.ogg"),
            ("noise", "esc10", "chainsaw", "karolpiczak/ESC-10@553c:008 - Chainsaw/1-1-A.ogg"),
            (
                *("noise", "cdda_cc_sounds", "humming"),
                "Fris0uman/CDDA-Soundpacks@8858:sound/CC-Sounds/humming/electric.ogg | nicola_ariutti | CC BY 4.0 | -",
            ),
        ],
        "open-voices-more": [
            ("speech", "speechocean762", "SPEAKER0026", "jimbozhang/speechocean762@6139:a.WAV")
        ],
    }
    for pack, clips in rows.items():
        lines = ["path,kind,source,group,seconds,snr_db,gain_db,origin,sha256_source"]
        for kind, source, group, origin in clips:
            path = f"{kind}/{source}/{group}/a.flac"
            (folder / pack / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / pack / path).write_bytes(
                encoded(next(voices if kind == "speech" else noises), 16000, "FLAC")
            )
            lines.append(f"{path},{kind},{source},{group},1.0,30,0,{origin},{'ab' * 32}")
        (folder / pack / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_open_voices(prepared: dict[str, Path]) -> None:
    clips = read_manifest(prepared["open-voices"])
    where = {clip.group: clip.split for clip in clips}
    for split, names in {
        "train": (
            *(
                "librispeech_train_clean_100_19",
                "speechocean762_SPEAKER0002",
                "picovoice_speech_to_intent_unlabelled",
            ),
            *("gcompris_voices_ca_words", "gcompris_voices_gd_main", "cdda_cc_sounds_reload", "esc10_rain"),
            *("speech_commands_background_running_tap", "precise_room_noise_room_tone"),
        ),
        "valid": (
            *("librispeech_train_clean_100_1040", "speechocean762_SPEAKER0001", "vctk_autovc_p225"),
            *("cdda_cc_sounds_environment_ambient", "blanket_coffee-shop"),
        ),
        "test": (
            *("librispeech_test_other_1688", "watson_stt_demo_es-ES_Broadband_sample1"),
            *("cdda_cc_sounds_humming", "esc10_chainsaw"),
        ),
    }.items():
        for name in names:
            assert where.pop(name) == split, name
    assert set(where) == {
        "librispeech_train_clean_100_26"
    }  # no other language, licence, speaker or synthetic noise
    licences = {clip.group: clip.licence for clip in clips}
    assert licences["cdda_cc_sounds_humming"] == "CC-BY-4.0 (nicola_ariutti)"
    assert licences["blanket_coffee-shop"] == "public domain (stephan)"
    assert licences["gcompris_voices_gd_main"] == "public domain"
    origins = {clip.group: (clip.source, clip.member) for clip in clips}
    assert origins["esc10_rain"] == (
        "karolpiczak/ESC-10@553c8f1743b9dba6b282e1323c3ca8fa76923448",
        "002 - Rain/1-1-A.ogg",
    )
    for clip in clips:
        sound = soundfile.read(prepared["open-voices"] / clip.path, dtype="float32")[0]
        assert active_level(sound, 16000) == pytest.approx(-20.0, abs=0.5) or abs(sound).max() > 0.98
    assert sum(clip.group == "precise_room_noise_room_tone" for clip in clips) == 2


@pytest.mark.parametrize("tarred", [False, True])
def test_open_voices_from_packs(tarred: bool, tmp_path: Path) -> None:
    given = open_voices_pack(tmp_path / "given")
    if tarred:
        for pack in ("open-voices", "open-voices-more"):
            with tarfile.open(given / f"{pack}.tar", "w") as bundle:
                bundle.add(given / pack, pack)
            shutil.rmtree(given / pack)
    corpus = prepare(recipe("open-voices"), tmp_path / "corpora", downloads=given, workers=1)
    clips = {clip.group: clip for clip in read_manifest(corpus)}
    assert {name: clip.split for name, clip in clips.items()} == {
        "librispeech_test_other_1688": "test",
        "gcompris_voices_gd_words": "train",
        "speechocean762_SPEAKER0026": "valid",
        "esc10_chainsaw": "test",
        "cdda_cc_sounds_humming": "test",
    }
    humming = clips["cdda_cc_sounds_humming"]
    assert (
        humming.licence == "CC-BY-4.0 (nicola_ariutti)" and humming.source == "Fris0uman/CDDA-Soundpacks@8858"
    )
    assert humming.member == f"sound/CC-Sounds/humming/electric.ogg sha256:{'ab' * 32}"
    original = open_voices_pack(tmp_path / "again") / "open-voices" / "noise/cdda_cc_sounds/humming/a.flac"
    assert np.array_equal(soundfile.read(corpus / humming.path)[0], soundfile.read(original)[0])
    about = json.loads((corpus / "corpus.json").read_text(encoding="utf-8"))
    assert len(about["sources"]) == 2
    assert not (tmp_path / "corpora" / ".open-voices.unfinished").exists()
    assert original.is_file()


def test_a_damaged_pack_is_told(tmp_path: Path) -> None:
    given = open_voices_pack(tmp_path / "given")
    (given / "open-voices" / "noise/esc10/chainsaw/a.flac").unlink()
    with pytest.raises(DataError, match=r"names noise/esc10/chainsaw/a\.flac, which is not there"):
        prepare(recipe("open-voices"), tmp_path / "corpora", downloads=given, workers=1)
    (given / "open-voices" / "manifest.csv").write_text("path,kind\n")
    with pytest.raises(DataError, match="lacks the column source"):
        prepare(recipe("open-voices"), tmp_path / "corpora", downloads=given, workers=1)


def test_bird_sounds_denoising(prepared: dict[str, Path]) -> None:
    clips = read_manifest(prepared["bird-sounds-denoising"])
    counts = Counter((clip.split, clip.kind) for clip in clips)
    assert counts == {
        (split, kind): count
        for split, count in (("train", 6), ("valid", 2), ("test", 3))
        for kind in ("clean", "noisy")
    }


def test_speech_and_noise_make_batches(
    prepared: dict[str, Path], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFGMM_HOME", str(home))
    corpora: list[tuple[str | list[str], int]] = [
        ("librispeech-esc50", 8000),
        ("musan", 16000),
        (["vctk", "demand"], 16000),
    ]
    for corpus, rate in corpora:
        data = NoisySpeech(
            corpus,
            sample_rate=rate,
            window=8064,
            batch_size=2,
            epoch_size=4,
            valid_pairs=2,
            valid_seconds=1.0,
        )
        data.setup("fit")
        batch = next(iter(data.train_dataloader()))
        assert batch["noisy"].shape == batch["clean"].shape == (2, 1, 8064)
        assert batch["noisy"].abs().max() > 0.01
        data.setup("test")
        assert len(list(data.test_dataloader())) > 0


@pytest.mark.parametrize("name", ["voicebank-demand", "bird-sounds-denoising"])
def test_pairs_make_batches(
    name: str, prepared: dict[str, Path], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFGMM_HOME", str(home))
    data = PairedFolders(corpus=name, window=4096, batch_size=3, strict=True)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["noisy"].shape == batch["clean"].shape == (3, 1, 4096)
    data.setup("test")
    assert len(list(data.test_dataloader())) == (6 if name == "voicebank-demand" else 3)
    with pytest.raises(DataError, match="pairs of clean and noisy"):
        NoisySpeech(name).setup("fit")


@pytest.mark.parametrize("name", PUBLIC)
def test_wrong_archive_is_told(name: str, tmp_path: Path) -> None:
    """Archives of the right names with something else in them."""
    one = recipe(name)
    for source in one.sources(one.variants[0]):
        (tmp_path / source.name / "somewhere").mkdir(parents=True)
    with pytest.raises(DataError) as told:
        check_entries(one, one.entries(tmp_path, one.variants[0]))
    assert "\n" not in str(told.value)


def test_dns_challenge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFGMM_HOME", str(tmp_path))
    given = dns_challenge(tmp_path / "given")
    corpus = prepare(recipe("dns-challenge"), tmp_path / "corpora", downloads=given, workers=1)
    clips = read_manifest(corpus)
    speech, noise = (groups(clips, kind) for kind in ("speech", "noise"))
    everybody = set().union(*speech.values())
    assert {"reader_06700", "p225", "1001", "arf_06592", "unknown_M-AILABS"} <= everybody and disjoint(speech)
    assert "unknown_M-AILABS" in speech["train"]
    assert set().union(*noise.values()) == {"door", "audioset"}
    assert not any(
        "testset" in clip.member or "Vocal" in clip.member or "SLR26" in clip.member for clip in clips
    )
    languages = {clip.group: clip.language for clip in clips if clip.kind == "speech"}
    assert languages["unknown_M-AILABS"] == "fr" and languages["arf_06592"] == "es"
    pieces: dict[str, set[str]] = {}
    for clip in clips:
        if "Freesound" in clip.member:
            pieces.setdefault(clip.member.rsplit("_", 1)[0], set()).add(clip.split)
    assert len(pieces) == 20 and all(len(splits) == 1 for splits in pieces.values())
    with pytest.raises(DataError, match="no audio where this corpus keeps it"):
        empty = write({"notes.txt": b""}, tmp_path / "empty")
        check_entries(recipe("dns-challenge"), recipe("dns-challenge").entries(empty, ""))


def own_folders(root: Path) -> tuple[Path, Path]:
    voices, noises = sounds("speech", 0.6), sounds("noise", 0.6)
    for number in range(5):
        for name in ("one/a.wav", "two/a.wav", "c d.flac"):
            path = root / "voices" / f"Anna {number}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, next(voices)[None], 16000)
        audio.write(root / "voices" / f"Anna {number}" / "one" / "a.flac", next(voices)[None], 16000)
    for sort in ("rain", "fan", "car"):
        path = root / "noises" / sort / "x.wav"
        path.parent.mkdir(parents=True)
        audio.write(path, next(noises)[None], 16000)
    return root / "voices", root / "noises"


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFGMM_HOME", str(tmp_path))
    voices, noises = own_folders(tmp_path / "own")
    corpus = prepare(
        folders.of_folders([str(voices)], [str(noises)]), tmp_path / "corpora", name="mine", workers=1
    )
    clips = read_manifest(corpus)
    assert corpus.name == "mine" and len(clips) == 5 * 4 + 3
    speech, noise = (groups(clips, kind) for kind in ("speech", "noise"))
    assert disjoint(speech) and {split: len(names) for split, names in speech.items()} == {
        "train": 3,
        "valid": 1,
        "test": 1,
    }
    assert disjoint(noise) and set(noise) == {"train", "valid", "test"}
    assert {clip.group for clip in clips if clip.kind == "speech"} == {
        f"Anna {number}" for number in range(5)
    }
    assert "voices/Anna 0/one/a.flac" in {clip.member for clip in clips}
    data = NoisySpeech("mine", window=4096, batch_size=2, epoch_size=2, valid_pairs=1, valid_seconds=0.5)
    data.setup("fit")
    assert next(iter(data.train_dataloader()))["noisy"].shape == (2, 1, 4096)


def test_folders_say_what_is_missing(tmp_path: Path) -> None:
    voices, noises = own_folders(tmp_path / "own")
    with pytest.raises(DataError, match="give --speech DIR and --noise DIR instead"):
        list(folders.RECIPE.entries(tmp_path, ""))
    inside = folders.of_folders([str(voices), *map(str, voices.iterdir())], [str(noises)])
    with pytest.raises(DataError, match="is in two splits"):
        list(inside.entries(tmp_path, ""))
    nowhere = folders.of_folders([str(tmp_path / "nothing")], [str(noises)])
    with pytest.raises(DataError, match="does not exist"):
        list(nowhere.entries(tmp_path, ""))


def test_folders_in_one_folder(tmp_path: Path, mini: Path) -> None:
    """Voices and noises side by side are split; a corpus's own layout is kept."""
    voices, noises = own_folders(tmp_path / "own")
    voices.rename(tmp_path / "own" / "speech")
    noises.rename(tmp_path / "own" / "noise")
    found = list(folders.RECIPE.entries(tmp_path / "own", ""))
    assert len(found) == 5 * 4 + 3 and {entry.split for entry in found} == {"train", "valid", "test"}
    kept = list(folders.RECIPE.entries(mini, ""))
    assert {(entry.split, entry.group) for entry in kept if entry.kind == "speech"} == {
        (clip.split, clip.group) for clip in read_manifest(mini) if clip.kind == "speech"
    }


def test_prepare_takes_the_users_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voices, noises = own_folders(tmp_path / "own")
    given = ["--speech", str(voices), "--noise", str(noises)]
    end = ["--root", str(tmp_path / "corpora"), "--workers", "1"]
    assert main(["prepare", "folders", *given, "--name", "mine", *end]) == 0
    assert "Anna" in capsys.readouterr().out
    assert len(read_manifest(tmp_path / "corpora" / "mine")) == 23
    assert main(["prepare", "vctk", *given, *end]) == 2
    assert "go with the corpus `folders`" in capsys.readouterr().err
    assert main(["prepare", "folders", "--speech", str(voices), *end]) == 2
    assert "give --noise DIR too" in capsys.readouterr().err


def test_list_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "--list"]) == 0
    printed = capsys.readouterr().out
    for name in RECIPES:
        assert any(line.startswith(f"{name} ") for line in printed.splitlines())
