"""A real build of debian-speech-noise from packages that the tests make: whole, checked, or not at all."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from debian_packages import PIN, make_packages, mini

from data_modules.corpora.debian.fetch import locate, sha256_of
from data_modules.corpora.debian_speech_noise import NAME, build, main
from data_modules.corpora.manifest import read_manifest
from data_modules.errors import DataError

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb to make packages")


@pytest.fixture
def packages(tmp_path):
    return make_packages(tmp_path)


@needs_dpkg
def test_builds_from_real_packages(packages, tmp_path):
    folder, pins = packages
    root = tmp_path / "root"
    corpus = build(root, "full", folder, pins=pins, workers=2)
    assert corpus == root / NAME and [path.name for path in root.iterdir()] == [NAME]
    clips = read_manifest(corpus)
    found = {(clip.split, clip.kind, clip.group, clip.source.split(" ")[0]) for clip in clips}
    assert found == {
        ("train", "noise", "rain", "0ad-data"),
        ("valid", "noise", "hammer", "widelands-data"),
        ("test", "noise", "wind", "openttd-opensfx"),
        ("train", "speech", "nsh_male", "festvox-ru"),
        ("train", "speech", "allison", "asterisk-core-sounds-en-g722"),
        ("test", "speech", "june", "asterisk-core-sounds-fr-g722"),
    }
    assert len(clips) == 7  # two of rain: the name that climbs out of its archive became an ordinary file
    assert {path.relative_to(corpus).as_posix() for path in corpus.rglob("*.flac")} == {c.path for c in clips}
    for clip in clips:
        info = soundfile.info(corpus / clip.path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert info.frames / 16000 == pytest.approx(clip.seconds, abs=1e-3)
        assert sha256_of(corpus / clip.path) == clip.sha256
    about = json.loads((corpus / "corpus.json").read_text())
    assert about["refused"] == {
        "0ad-data 0.0.26-1: clipped": 1,
        "widelands-data 2:1.1-3: double": 1,
        "widelands-data 2:1.1-3: undecodable": 1,
    }
    languages = {clip.group: clip.language for clip in clips if clip.kind == "speech"}
    assert languages == {"nsh_male": "ru", "allison": "en", "june": "fr"}
    original = mini("train", "speech", "nsh_male")[0][0]
    copy = next(clip for clip in clips if clip.group == "nsh_male")
    x, _ = soundfile.read(corpus / copy.path, dtype="float32")
    assert np.abs(x - original).max() < 1e-3  # speech is kept as it is
    with pytest.raises(DataError, match="exists already; pass --overwrite"):
        build(root, "full", folder, pins=pins)
    before = (corpus / "manifest.csv").read_bytes()
    build(root, "full", folder, pins=pins, overwrite=True, workers=1)
    assert (corpus / "manifest.csv").read_bytes() == before


@needs_dpkg
def test_wrong_checksum_is_refused_in_one_line(packages, tmp_path, capsys):
    folder, pins = packages
    package = folder / pins[1].file_name
    package.write_bytes(package.read_bytes()[:-1] + b"!")
    root = tmp_path / "root"
    with pytest.raises(DataError) as caught:
        build(root, "full", folder, pins=pins)
    message = str(caught.value)
    assert "\n" not in message and str(package) in message and pins[1].sha256 in message
    assert list(root.iterdir()) == []
    # the command line, whose pins are the true ones: the first package made here is a wrong one
    with pytest.raises(DataError, match="SHA256 is"):
        locate(PIN["festvox-ru"], folder, tmp_path)
    assert main(["--root", str(root), "--packages", str(tmp_path / "none")]) == 1
    error = capsys.readouterr().err.splitlines()
    assert error[-1] == (
        f"debian_speech_noise: {tmp_path / 'none'}: no such folder; "
        "pass a folder of .deb files with --packages"
    )


@needs_dpkg
def test_damaged_package_is_refused(packages, tmp_path):
    folder, pins = packages
    package = folder / pins[0].file_name
    package.write_bytes(package.read_bytes()[:2000])
    pin = replace(pins[0], sha256=sha256_of(package))
    with pytest.raises(DataError, match="cannot be unpacked"):
        build(tmp_path / "root", "full", folder, pins=(pin,))
    assert list((tmp_path / "root").iterdir()) == []


def test_missing_program_or_download_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="apt-get is not installed"):
        locate(PIN["festvox-ru"], None, tmp_path)
    failing = tmp_path / "apt-get"
    failing.write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
    failing.chmod(0o755)
    with pytest.raises(DataError, match=r"download failed .E: Unable to locate package.*--packages"):
        locate(PIN["festvox-ru"], None, tmp_path)


def test_missing_g722_decoder_is_said_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr("data_modules.corpora.debian_speech_noise.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"PyAV.*diffgmm\[corpora\]"):
        build(tmp_path / "root", "light")
    assert not (tmp_path / "root").exists()


def test_unknown_variant(tmp_path):
    with pytest.raises(DataError, match="no such variant"):
        build(tmp_path, "huge")


@needs_dpkg
def test_killed_build_leaves_no_corpus_and_the_next_one_cleans_up(packages, tmp_path):
    folder, pins = packages
    root = tmp_path / "root"
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from data_modules.corpora.debian.pins import Pin\n"
        "from data_modules.corpora.debian_speech_noise import build\n"
        f"root, folder, pins = Path({str(root)!r}), Path({str(folder)!r}), {pins!r}\n"
        "if __name__ == '__main__':\n    build(root, 'full', folder, pins=pins)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    process = subprocess.Popen([sys.executable, str(script)], env=environment, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(root.glob(".*/*/*/*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the build ended before it could be killed"
    assert not (root / NAME).exists()
    assert list(root.glob(f".{NAME}.unfinished-*"))
    build(root, "full", folder, pins=pins, workers=1)
    assert [path.name for path in root.iterdir()] == [NAME]
    with (root / NAME / "manifest.csv").open() as handle:
        assert len(list(csv.DictReader(handle))) == 7
