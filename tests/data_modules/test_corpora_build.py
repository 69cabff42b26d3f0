"""A real build of debian-speech-noise from packages that the tests make: whole, checked, or not at all."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from data_corpus import read_manifest
from debian_packages import PIN, make_packages, mini

from data_modules.corpora.build.engine import prepare
from data_modules.corpora.recipe import Recipe
from data_modules.corpora.recipes import debian_speech_noise
from data_modules.corpora.recipes.debian.packages import PINS, Pin, packages_of
from data_modules.corpora.recipes.debian_speech_noise import NAME, RECIPE, source_of
from data_modules.errors import DataError
from diffgmm.utils.files import sha256_of

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb to make packages")


def recipe(pins: tuple[Pin, ...]) -> Recipe:
    """That of the corpus, of these packages alone and with no more room on the disk than they take."""
    sources, hours = [source_of(pin) for pin in pins], dict.fromkeys(RECIPE.hours, 0.0)
    return replace(RECIPE, sources=lambda variant: sources, hours=hours, unpacked_bytes={})


def tree(folder: Path) -> dict[str, str]:
    """Relative path -> checksum of every file."""
    return {p.relative_to(folder).as_posix(): sha256_of(p) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def packages(tmp_path):
    return make_packages(tmp_path)


@needs_dpkg
def test_builds_from_real_packages(packages, tmp_path):
    folder, pins = packages
    root = tmp_path / "root"
    corpus = prepare(recipe(pins), root, "full", downloads=folder, workers=2)
    assert corpus == root / NAME
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
    smiths = "usr/share/games/widelands/data/sound/smiths"
    left = {(row["source"], row["reason"]): row["members"] for row in about["refused"]}
    assert left == {
        ("0ad-data 0.0.26-1", "clipped"): ["audio/ambient/weather/rain_12.ogg"],
        ("widelands-data 2:1.1-3", "double"): left[("widelands-data 2:1.1-3", "double")],
        ("widelands-data 2:1.1-3", "undecodable"): left[("widelands-data 2:1.1-3", "undecodable")],
    }
    assert left[("widelands-data 2:1.1-3", "double")][0].startswith(f"{smiths}/smith_0")
    assert left[("widelands-data 2:1.1-3", "undecodable")][0].startswith(f"{smiths}/smith_02.ogg: ")
    assert {name: entry["checksum"] for name, entry in about["sources"].items()} == {
        pin.file_name: f"sha256:{pin.sha256}" for pin in pins
    }
    languages = {clip.group: clip.language for clip in clips if clip.kind == "speech"}
    assert languages == {"nsh_male": "ru", "allison": "en", "june": "fr"}
    original = mini("train", "speech", "nsh_male")[0][0]
    copy = next(clip for clip in clips if clip.group == "nsh_male")
    x, _ = soundfile.read(corpus / copy.path, dtype="float32")
    assert np.abs(x - original).max() < 1e-3  # speech is kept as it is
    before = tree(corpus)
    prepare(recipe(pins), root, "light", downloads=folder, overwrite=True, workers=1)
    after = tree(corpus)
    assert before.pop("corpus.json") != after.pop("corpus.json") and after == before
    with pytest.raises(DataError, match=r"smith_02\.ogg: undecodable .*or damaged"):
        prepare(recipe(pins), root, "light", downloads=folder, overwrite=True, workers=1, strict=True)


@needs_dpkg
def test_wrong_checksum_is_refused_in_one_line(packages, tmp_path):
    folder, pins = packages
    package = folder / pins[1].file_name
    package.write_bytes(package.read_bytes()[:-1] + b"!")
    root = tmp_path / "root"
    with pytest.raises(DataError) as caught:
        prepare(recipe(pins), root, downloads=folder)
    message = str(caught.value)
    assert "\n" not in message and str(package) in message and pins[1].sha256 in message
    assert not (root / NAME).exists()


@needs_dpkg
def test_damaged_package_is_refused(packages, tmp_path):
    folder, pins = packages
    package = folder / pins[0].file_name
    package.write_bytes(package.read_bytes()[:2000])
    pin = replace(pins[0], sha256=sha256_of(package), size=2000)
    with pytest.raises(DataError, match="cannot be unpacked"):
        prepare(recipe((pin,)), tmp_path / "root", downloads=folder)
    assert not (tmp_path / "root" / NAME).exists()


def test_an_optional_package_may_be_missing(tmp_path, monkeypatch):
    """Two noise packages are no part of Debian; the corpus does without and says so."""
    sources = {source.name: source for source in RECIPE.sources("full")}
    assert {s.package for s in sources.values() if s.optional} == {"ambience==1.1.0", "onsen==0.1.1"}
    assert all(source.checksum and source.size and source.checksum_from for source in sources.values())
    assert sources[PIN["klettres-data"].file_name].package == "klettres-data=4:22.12.3-1"


def test_missing_programs_are_said_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(debian_speech_noise, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"PyAV.*diffgmm\[corpora\]"):
        prepare(RECIPE, tmp_path / "root")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="needs the program dpkg-deb"):
        prepare(RECIPE, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_unknown_variant(tmp_path):
    with pytest.raises(DataError, match="no such variant"):
        prepare(RECIPE, tmp_path, "huge")


PACKAGES = os.environ.get("DIFFGMM_DEBIAN_PACKAGES", "")
SCRIPT = """
import sys
from pathlib import Path
from data_modules.corpora.recipes.debian.packages import packages_of
from dataclasses import replace
from data_modules.corpora.recipes.debian_speech_noise import RECIPE, source_of
from data_modules.corpora.build.engine import prepare
if __name__ == "__main__":
    there = Path(sys.argv[1])
    pins = tuple(pin for pin in packages_of("light") if (there / pin.file_name).is_file())
    recipe = replace(RECIPE, sources=lambda variant: [source_of(pin) for pin in pins])
    prepare(recipe, Path(sys.argv[2]), "light", downloads=there, workers=2)
"""


@pytest.mark.slow
@needs_dpkg
@pytest.mark.skipif(not PACKAGES, reason="DIFFGMM_DEBIAN_PACKAGES names no folder of .deb files")
def test_ten_kills_give_the_same_bytes(tmp_path):
    """Real packages: each run is killed at a random moment and started again, and every corpus is the same."""
    given = [pin for pin in packages_of("light") if (Path(PACKAGES) / pin.file_name).is_file()]
    assert given, f"{PACKAGES} holds none of {', '.join(pin.file_name for pin in PINS)}"
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }

    def start(root: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(script), PACKAGES, str(root)], env=environment)

    begun = time.monotonic()
    assert start(tmp_path / "whole").wait() == 0
    seconds = time.monotonic() - begun
    expected = tree(tmp_path / "whole" / NAME)
    assert len(expected) > 100
    moments = random.Random(7)
    for kill in range(10):
        root = tmp_path / f"kill{kill}"
        process = start(root)
        moment = moments.uniform(0.02, 0.98) * seconds
        time.sleep(moment)
        ended = process.poll() is not None
        process.kill()
        process.wait()
        done = len(list((root / f".{NAME}.unfinished").rglob("*.flac")))
        print(f"kill {kill} after {moment:.1f} of {seconds:.1f} s, {done} clips there, ended before: {ended}")
        assert ended or not (root / NAME).exists()
        if not ended:
            assert start(root).wait() == 0
        assert tree(root / NAME) == expected
        shutil.rmtree(root)
