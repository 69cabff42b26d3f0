"""Real packages made of the mini corpus, for the tests of the debian-speech-noise recipe."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_modules.corpora.recipes.debian.clips import SAMPLE_RATE
from data_modules.corpora.recipes.debian.packages import PINS, Pin
from data_modules.mini import mini_corpus
from diffgmm.utils.files import sha256_of

PIN = {pin.name: pin for pin in PINS}
FESTVOX = "usr/share/festival/voices/russian/msu_ru_nsh_clunits/wav"
LINGWARE = "usr/share/asterisk/sounds"


def tone(seconds: float, peak: float = 0.5, rate: int = SAMPLE_RATE) -> np.ndarray:
    time_axis = np.arange(round(seconds * rate)) / rate
    return (peak * np.sin(2 * np.pi * 440 * time_axis)).astype(np.float32)[None]


def container(sounds: list[tuple[str, bytes]]) -> bytes:
    table, body, offset = b"", b"", 8 * len(sounds)
    for title, riff in sounds:
        entry = bytes([len(title)]) + title.encode("latin-1") + riff
        table += struct.pack("<II", offset + len(body), len(riff))
        body += entry
    return table + body


def wav_bytes(x: np.ndarray, rate: int = 22050) -> bytes:
    buffer = BytesIO()
    soundfile.write(buffer, x.T, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def mini(split: str, kind: str, group: str) -> list[np.ndarray]:
    files = sorted((mini_corpus() / split / kind / group).glob("*.flac"))
    return [soundfile.read(path, dtype="float32", always_2d=True)[0].T for path in files]


def make_deb(pin: Pin, files: dict[str, bytes], folder: Path) -> Pin:
    """Write a .deb of these files under the pin's file name; returns the pin with the true checksum and size."""
    tree = folder / f"{pin.name}.tree"
    for name, content in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    control = tree / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(
        f"Package: {pin.name}\nVersion: {pin.version}\nArchitecture: all\n"
        "Maintainer: Test <test@example.org>\nDescription: made by a test\n"
    )
    package = folder / pin.file_name
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(package)]
    subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(tree)
    return replace(pin, sha256=sha256_of(package), size=package.stat().st_size)


def encoded(x: np.ndarray, kind: str) -> bytes:
    buffer = BytesIO()
    subtype = "VORBIS" if kind == "OGG" else "PCM_16"
    soundfile.write(buffer, x.T, SAMPLE_RATE, format=kind, subtype=subtype)
    return buffer.getvalue()


def g722(x: np.ndarray, path: Path) -> bytes:
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format="g722") as container_:
        stream = container_.add_stream("g722", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((x * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container_.mux(packet)
    return path.read_bytes()


def make_packages(tmp_path: Path) -> tuple[Path, tuple[Pin, ...]]:
    """Make a folder with six small packages; returns it and their pins."""
    folder = tmp_path / "packages"
    folder.mkdir()
    rain, hammer = mini("train", "noise", "rain")[0], mini("train", "noise", "hammer")
    man, woman, frenchwoman = (
        mini(split, "speech", group)
        for split, group in (("train", "nsh_male"), ("train", "allison"), ("test", "june"))
    )
    loud = np.clip(40 * rain[:, :16000], -1, 1)
    sounds = "usr/share/games/widelands/data"
    inner = BytesIO()
    with zipfile.ZipFile(inner, "w") as bundle:
        bundle.writestr("audio/ambient/weather/rain_11.ogg", encoded(rain, "OGG"))
        bundle.writestr("audio/ambient/weather/rain_12.ogg", encoded(loud, "FLAC"))
        bundle.writestr("audio/music/tune.ogg", encoded(rain, "OGG"))
        bundle.writestr("../../escape/weather/rain_66.ogg", encoded(rain[:, 4000:40000], "FLAC"))
    wind, beep = wav_bytes(mini("train", "noise", "wind")[0], SAMPLE_RATE), wav_bytes(tone(1))
    wave = f"{FESTVOX}/ru_0001.wav"
    pins = [
        make_deb(PIN["0ad-data"], {"usr/share/games/0ad/mods/public/public.zip": inner.getvalue()}, folder),
        make_deb(
            PIN["widelands-data"],
            {
                f"{sounds}/sound/smiths/smith_00.ogg": encoded(hammer[0], "FLAC"),
                f"{sounds}/sound/smiths/smith_01.ogg": encoded(hammer[0], "FLAC"),  # a double
                f"{sounds}/sound/smiths/smith_02.ogg": b"OggS and nothing more",
                f"{sounds}/music/intro.ogg": encoded(hammer[1], "OGG"),
            },
            folder,
        ),
        make_deb(
            PIN["openttd-opensfx"],
            {
                "usr/share/games/openttd/baseset/opensfx/opensfx.cat": container(
                    [('"Wind". Original "rain.wav" by "Anton".', wind), ('"Beep". By J.', beep)]
                )
            },
            folder,
        ),
        make_deb(PIN["festvox-ru"], {wave: encoded(man[0], "WAV")}, folder),
        make_deb(
            PIN["asterisk-core-sounds-en-g722"],
            {f"{LINGWARE}/en_US_f_Allison/vm-intro.g722": g722(woman[0], tmp_path / "a.g722")},
            folder,
        ),
        make_deb(
            PIN["asterisk-core-sounds-fr-g722"],
            {f"{LINGWARE}/fr_CA_f_June/vm-intro.g722": g722(frenchwoman[0], tmp_path / "b.g722")},
            folder,
        ),
    ]
    return folder, tuple(pins)
