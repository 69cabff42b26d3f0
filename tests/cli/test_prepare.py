"""`diffgmm prepare`: from archives on a server to a corpus, whole or not at all, and the same bytes every time."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import tiny_corpus
from data_corpus import read_manifest
from file_server import FileServer, serving
from filelock import FileLock
from tiny_corpus import NOISES, RECIPE, VOICES, make_sources

from data_modules.corpora import index
from data_modules.corpora.build.engine import prepare
from data_modules.corpora.fetch import space
from data_modules.corpora.recipe import Entry, Recipe
from data_modules.errors import DataError
from data_modules.pools.sources import corpus_items
from diffgmm.cli.main import main
from diffgmm.utils.files import sha256_of

PROGRAM = [sys.executable, str(Path(tiny_corpus.__file__))]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[FileServer, list[dict[str, object]]]]:
    folder = tmp_path_factory.mktemp("served")
    with serving(folder) as server:
        yield server, make_sources(folder, server.url)


@pytest.fixture
def server(served, tmp_path, monkeypatch) -> FileServer:
    """The server without faults, and a command that knows the recipe "tiny"."""
    server, sources = served
    server.requests, server.faults, server.bytes_per_second = [], {}, None
    monkeypatch.setenv("TINY", json.dumps(sources))
    monkeypatch.setitem(index.RECIPES, "tiny", "tiny_corpus")
    monkeypatch.setenv("DIFFGMM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return server


@pytest.fixture(scope="module")
def whole(served, tmp_path_factory) -> Path:
    """The corpus as an undisturbed run prepares it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINY", json.dumps(served[1]))
        return prepare(RECIPE, tmp_path_factory.mktemp("whole"), workers=1)


def tree(folder: Path) -> dict[str, str]:
    """Relative path -> checksum of every file."""
    return {p.relative_to(folder).as_posix(): sha256_of(p) for p in folder.rglob("*") if p.is_file()}


def visible(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if not path.name.startswith(".")}


def test_the_command_from_nothing(server, tmp_path, capsys):
    assert main(["prepare", "tiny", "--workers", "2"]) == 0
    out, err = capsys.readouterr()
    root = tmp_path / "home" / "corpora"
    corpus = root / "tiny"
    assert visible(root) == {"tiny", "downloads"}
    assert {p.name for p in root.iterdir()} - visible(root) == {".tiny.lock"}
    assert f"corpus: {corpus} (" in out and f"downloads: {root / 'downloads'} (" in out
    assert re.search(r"train +speech +11 ", out) and "nsh_male" in out
    for name in ("bad-empty.wav", "bad-text.wav", "bad-cut.wav", "bad-silent.wav"):
        assert name in err  # named, never silently dropped
    clips = read_manifest(corpus)
    files = {p.relative_to(corpus).as_posix() for p in corpus.rglob("*.flac")}
    assert {clip.path for clip in clips} == files
    assert all(sha256_of(corpus / clip.path) == clip.sha256 for clip in clips)
    assert {clip.licence for clip in clips} == {"CC-BY-4.0"}
    assert {clip.source for clip in clips} == {VOICES, NOISES}
    for clip in clips:
        facts = soundfile.info(corpus / clip.path)
        assert (facts.samplerate, facts.channels, facts.subtype) == (16000, 1, "PCM_16")
        assert facts.frames / 16000 == pytest.approx(clip.seconds, abs=1e-4)
    assert len(corpus_items(corpus)) == len(clips)  # the data modules read it
    about = json.loads((corpus / "corpus.json").read_text())
    assert about["recipe"] == "tiny" and about["variant"] == "few" and about["clips"] == len(clips)
    assert about["sources"][VOICES]["origin"] == "published"
    assert about["sources"][NOISES] == {
        "from": f"{server.url}/{NOISES}",
        "checksum": f"sha256:{sha256_of(server.folder / NOISES)}",
        "origin": "recorded",
    }
    found = {entry["reason"]: (entry["count"], entry["by_rule"]) for entry in about["refused"]}
    assert found == {"empty": (1, False), "undecodable": (2, False), "silent": (1, False)}


def test_samples_are_kept(whole, tmp_path):
    """16-bit mono audio of the right rate comes out bit for bit, and the rest as near as 16 bits allow."""
    original = tiny_corpus.voices()
    for name in ("0-0.wav", "3-0.wav"):
        path = tmp_path / name
        path.write_bytes(original[f"train/nsh_male/{name}"])
        before, _ = soundfile.read(path, dtype="int16")
        after, _ = soundfile.read(whole / "train/speech/nsh_male" / f"{Path(name).stem}.flac", dtype="int16")
        np.testing.assert_array_equal(before, after)
    path.write_bytes(original["train/nsh_male/stereo.wav"])
    stereo, _ = soundfile.read(path, dtype="float32")
    mono, _ = soundfile.read(whole / "train/speech/nsh_male/stereo.flac", dtype="float32")
    assert np.abs(stereo.mean(1) - mono).max() <= 1 / 32768


def test_again_and_overwrite(whole, server, tmp_path):
    root = tmp_path / "root"
    given = prepare(RECIPE, root, downloads=server.folder, name="mine", workers=1)
    assert given == root / "mine" and server.requests == []
    theirs, before = tree(given), tree(whole)
    assert theirs.pop("corpus.json") != before.pop("corpus.json")  # the name
    assert theirs == before and visible(root / "downloads") == {"checksums.json"}
    with pytest.raises(DataError, match=r"mine: exists already; --overwrite prepares it anew"):
        prepare(RECIPE, root, name="mine")
    (given / "manifest.csv").unlink()
    prepare(RECIPE, root, downloads=server.folder, name="mine", overwrite=True, workers=2)
    assert tree(given) == theirs | {"corpus.json": sha256_of(given / "corpus.json")}
    assert visible(root) == {"downloads", "mine"} and not (root / ".mine.replaced").exists()


def test_strict_stops_at_the_first_unusable_file(server, tmp_path):
    root = tmp_path / "root"
    with pytest.raises(
        DataError, match=r"voices\.zip train/bad-\w+\.wav: (empty|undecodable|silent)"
    ) as caught:
        prepare(RECIPE, root, strict=True, workers=1)
    assert "without --strict" in str(caught.value) and "\n" not in str(caught.value)
    assert not (root / "tiny").exists()
    lenient = replace(RECIPE, rejects=frozenset({"empty", "undecodable", "silent"}))
    corpus = prepare(lenient, root, strict=True, workers=1)
    assert all(row["by_rule"] for row in json.loads((corpus / "corpus.json").read_text())["refused"])


def test_a_stale_unfinished_corpus_is_not_continued(whole, server, tmp_path):
    left = tmp_path / "root" / ".tiny.unfinished"
    (left / "corpus" / "train").mkdir(parents=True)
    (left / "corpus" / "train" / "old.flac").write_bytes(b"old")
    (left / "unpacked" / VOICES).mkdir(parents=True)  # an empty one: continued, it would lose all voices
    (left / "state.json").write_text('{"recipe": ["tiny", "few", 0, 16000]}\n')
    assert tree(prepare(RECIPE, tmp_path / "root", workers=1)) == tree(whole)


def start(root: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [*PROGRAM, "prepare", "tiny", "--root", str(root), "--workers", "2", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def children(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in listed.split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, process: subprocess.Popen[bytes], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, (what, process.communicate())
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


def test_killed_while_fetching_unpacking_and_converting(whole, server, tmp_path):
    root = tmp_path / "root"
    stages = {
        "fetch": lambda: (root / "downloads" / f".{VOICES}.part").exists(),
        "unpack": lambda: any((root / ".tiny.unfinished" / "unpacked").rglob("*")),
        "convert": lambda: any((root / ".tiny.unfinished" / "corpus").rglob("*.flac")),
    }
    for stage, reached in stages.items():
        server.bytes_per_second = 4e5 if stage == "fetch" else None
        process = start(root)
        wait_for(reached, process, stage)
        workers = children(process.pid)
        process.kill()  # this process alone: its workers must notice
        process.wait()
        deadline = time.monotonic() + 20
        while any(map(alive, workers)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(map(alive, workers)), "worker processes outlive their parent"
        assert not (root / "tiny").exists()
    fetched = server.requests[-2:]
    process = start(root)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert server.requests[-2:] == fetched  # nothing was fetched twice
    assert tree(root / "tiny") == tree(whole)
    assert not (root / ".tiny.unfinished").exists()


@pytest.mark.slow
def test_killed_at_random_moments(whole, server, tmp_path):
    begun = time.monotonic()
    start(tmp_path / "timed").communicate(timeout=120)
    seconds = time.monotonic() - begun
    moments = random.Random(3)
    for attempt in range(6):
        root = tmp_path / f"root{attempt}"
        for _ in range(3):
            process = start(root)
            time.sleep(moments.uniform(0.2, 1.0) * seconds)
            process.kill()
            process.wait()
        process = start(root, "--overwrite")
        assert process.wait(120) == 0, process.stderr.read()
        assert tree(root / "tiny") == tree(whole)


def test_two_runs_at_once(server, tmp_path, capsys):
    root = tmp_path / "root"
    root.mkdir()
    with FileLock(root / ".tiny.lock"):
        assert main(["prepare", "tiny", "--root", str(root)]) == 1
    assert capsys.readouterr().err == (
        f"diffgmm: error: {root / 'tiny'}: another run is preparing it just now; wait until that one is done\n"
    )
    assert server.requests == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(server, tmp_path, number, code):
    server.bytes_per_second = 1e5
    process = start(tmp_path / "root")
    wait_for((tmp_path / "root" / "downloads" / f".{VOICES}.part").exists, process, "fetch")
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code and (code == 143 or errors == b"diffgmm: error: interrupted\n")
    assert b"Traceback" not in errors
    assert (tmp_path / "root" / "downloads" / f".{VOICES}.part").exists()  # the next run goes on from there


def test_disk_space_is_checked_first(server, tmp_path, capsys, monkeypatch):
    assert main(["prepare", "tiny", "--variant", "huge", "--root", str(tmp_path / "root")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"diffgmm: error: {tmp_path / 'root'}: needs about 184PB (corpus 69.1PB")
    assert "is free there" in error and error.count("\n") == 1 and server.requests == []
    monkeypatch.setattr(space.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(DataError, match=r"needs about \d.* \(downloads \d.*\), but 1\.00kB is free there"):
        prepare(RECIPE, tmp_path / "root")


def namespaces() -> bool:
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0
    )


@pytest.mark.parametrize("megabytes", [1, 5])
def test_a_full_disk_is_one_clear_line_and_the_work_goes_on(whole, server, tmp_path, megabytes):
    """A real file system of a few megabytes, too small for the download or for the corpus; then a larger one."""
    if not namespaces():
        pytest.skip("needs unshare with user and mount namespaces")
    root = tmp_path / "small"
    root.mkdir()
    command = " ".join([*PROGRAM, "prepare", "tiny", "--workers", "1", "--root", str(root)])
    script = (
        f"mount -t tmpfs -o size={megabytes}m tmpfs {root}\n"
        f"{command}\necho rc=$?\n"
        f"mount -o remount,size=200m {root}\n{command}\necho rc=$?\n"
        f"cp -r {root}/tiny {tmp_path}/result\n"
    )
    rows = json.loads(os.environ["TINY"])
    rows[0].pop("size")  # unknown before: the check at the start lets it pass
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "bash", "-c", script],
        env=os.environ | {"TINY": json.dumps(rows)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.stdout.count("rc=1") == 1 and done.stdout.count("rc=0") == 1, done
    errors = [line for line in done.stderr.splitlines() if line.startswith("diffgmm: error")]
    assert len(errors) == 1 and f"{root}: the disk is full (" in errors[0] and "goes on" in errors[0]
    assert "Traceback" not in done.stderr
    assert tree(tmp_path / "result") == tree(whole)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["debian-speech-nose"], 1, "no such corpus; did you mean debian-speech-noise"),
        (["tiny", "--variant", "many"], 1, "many: no such variant of tiny; it has few or huge"),
        (["tiny", "--name", "../x"], 1, "no name for a corpus"),
        (["tiny", "--downloads", "/no/such/folder"], 1, "/no/such/folder: no such folder"),
        (["tiny", "--mirror", "here"], 1, "here: no address of a mirror"),
        (["tiny", "--workers", "0"], 2, "must be a whole number from 1"),
        (["tiny", "--json"], 2, "--json goes with --list"),
        ([], 2, "which corpus?"),
    ],
)
def test_wrong_usage(server, tmp_path, capsys, options, code, message):
    assert main(["prepare", *options, "--root", str(tmp_path / "root")]) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "root" / "tiny").exists()


def test_errors_of_downloads_and_archives_reach_the_user(server, tmp_path, capsys):
    server.faults[VOICES] = deque([404])
    root = tmp_path / "root"
    assert main(["prepare", "tiny", "--root", str(root)]) == 1
    assert f"{server.url}/{VOICES}: is not there" in capsys.readouterr().err
    given = tmp_path / "given"
    shutil.copytree(server.folder, given)
    (given / NOISES).write_bytes(b"no archive")
    shutil.rmtree(root)
    assert main(["prepare", "tiny", "--root", str(root), "--downloads", str(given)]) == 1
    error = capsys.readouterr().err
    assert f"{given / NOISES}: cannot be unpacked" in error and error.count("\n") == 1


def local(
    paired: bool = False, files: dict[str, np.ndarray] | None = None, folder: Path | None = None
) -> Recipe:
    """A recipe of the user's own files, which are written to `folder`."""
    for name, x in (files or {}).items():
        assert folder is not None
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, x, 16000)

    def entries(place: Path, variant: str) -> Iterator[Entry]:
        for file in sorted(place.rglob("*.wav")):
            split, kind, group = file.relative_to(place).parts[:3]
            yield Entry(file, split, kind, group, file.stem, member=file.name)

    return Recipe(
        "own",
        "",
        "",
        "your own",
        "",
        {},
        {},
        lambda v: (),
        entries,
        paired=paired,
        local=True,
        sample_rate=None,
    )


def hiss(seconds: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(16000 * seconds))


def test_pairs_stay_pairs(tmp_path):
    files = {f"train/{kind}/p/{i}.wav": hiss(1, i) for i in range(4) for kind in ("clean", "noisy")}
    files["train/clean/p/1.wav"] = hiss(0.5, 1)  # half as long as its noisy half
    files["train/clean/p/3.wav"] = hiss(1, 3) * 0  # silence is a fine target
    recipe = local(True, files, tmp_path / "mine")
    (tmp_path / "mine/train/noisy/p/2.wav").write_bytes(b"")
    corpus = prepare(recipe, tmp_path, downloads=tmp_path / "mine", workers=1)
    assert {clip.path for clip in read_manifest(corpus)} == {
        f"train/{kind}/p/{i}.flac" for i in (0, 3) for kind in ("clean", "noisy")
    }
    about = json.loads((corpus / "corpus.json").read_text())
    assert {row["reason"]: row["count"] for row in about["refused"]} == {
        "empty": 1,
        "unequal": 2,
        "unpaired": 1,
    }
    with pytest.raises(DataError, match="own: exists already"):
        prepare(recipe, tmp_path, downloads=tmp_path / "mine")


def test_a_speaker_in_two_splits_is_told(tmp_path):
    files = {"train/speech/anna/a.wav": hiss(1, 0), "test/speech/anna/b.wav": hiss(1, 1)}
    recipe = local(False, files, tmp_path / "mine")
    with pytest.raises(DataError, match=r"1 speaker\(s\) in more than one split: anna in train and test"):
        prepare(recipe, tmp_path, downloads=tmp_path / "mine", workers=1, strict=True)
    corpus = prepare(recipe, tmp_path, downloads=tmp_path / "mine", workers=1)
    assert "anna in train and test" in json.loads((corpus / "corpus.json").read_text())["notes"][-1]


def test_a_folder_without_usable_clips(tmp_path):
    (tmp_path / "mine/train/speech/anna").mkdir(parents=True)
    with pytest.raises(DataError, match="own: no audio where this corpus keeps it"):
        prepare(local(), tmp_path, downloads=tmp_path / "mine", workers=1)
    (tmp_path / "mine/train/speech/anna/a.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 left out, the first for: empty"):
        prepare(local(), tmp_path, downloads=tmp_path / "mine", workers=1)
    with pytest.raises(DataError, match="is made of your own files"):
        prepare(local(), tmp_path)
    assert not (tmp_path / "own").exists()


def test_entries_of_a_wrong_recipe(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    for split, kind in (("dev", "speech"), ("train", "noisy"), ("..", "speech")):
        entry = Entry(tmp_path / "a.wav", split, kind, "a", "x")
        recipe = replace(local(), entries=lambda f, v, entry=entry: [entry])
        with pytest.raises(DataError, match=r"a\.wav: .* is no place"):
            prepare(recipe, tmp_path / "root", downloads=tmp_path, workers=1)
    entry = Entry(tmp_path / "a.wav", "train", "speech", "..", "../x")
    assert entry.path.count("/") == 3 and "/../" not in entry.path and "/.." not in entry.path
    double = replace(recipe, entries=lambda f, v: [entry, entry])
    with pytest.raises(DataError, match="would both become"):
        prepare(double, tmp_path / "root", downloads=tmp_path, workers=1)


def test_list(capsys):
    assert main(["prepare", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "variant", "hours", "download", "what", "licence", "from"]
    assert {line.split()[0] for line in lines[1:]} == set(index.RECIPES)
    assert main(["prepare", "--list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in rows} == set(index.RECIPES)
    assert all(row["what"] and row["licence"] for row in rows)
    for row in rows:
        assert index.recipe(row["name"]).name == row["name"]
