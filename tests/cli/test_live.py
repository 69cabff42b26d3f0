"""``diffgmm live`` with a microphone and a loudspeaker that a sound server only pretends to have."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffgmm import audio
from diffgmm.cli.main import main

ROOT = Path(__file__).parents[2]
RATE = 48000
#: ALSA's names for what the server has: one sink is what the microphone hears, the other the loudspeaker.
DEVICES = """
</usr/share/alsa/alsa.conf>
pcm.virtual_mic { type pulse device mic.monitor }
pcm.virtual_speaker { type pulse device speaker }
"""


@pytest.fixture(scope="module")
def sound_server() -> Iterator[dict[str, str]]:
    """Variables with which programs find it."""
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError) as error:
        pytest.skip(f"needs sounddevice and PortAudio: {error}")
    if not all(map(shutil.which, ("pulseaudio", "pacat", "pactl"))):
        pytest.skip(
            "needs a sound server: apt install pulseaudio pulseaudio-utils libasound2-plugins libportaudio2"
        )
    folder = Path(tempfile.mkdtemp(prefix="sound-"))  # the path of a socket must stay below 108 letters
    (folder / "asound.conf").write_text(DEVICES)
    variables = {
        **os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "PULSE_SERVER": f"unix:{folder}/native",
        "ALSA_CONFIG_PATH": str(folder / "asound.conf"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    sinks = [
        f"--load=module-null-sink sink_name={name} rate={RATE} channels=1" for name in ("mic", "speaker")
    ]
    server = subprocess.Popen(
        ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no",
         f"--load=module-native-protocol-unix socket={folder}/native", *sinks],
        env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(100):
            if (
                subprocess.run(["pactl", "info"], env=variables, capture_output=True, check=False).returncode
                == 0
            ):
                break
            time.sleep(0.1)
        else:
            pytest.fail("the sound server does not start")
        yield variables
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of noisy speech of the mini corpus."""
    from data_modules.offline.pair_folder import write_pairs

    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, "test", 1, seconds=6.0, snrs=(0.0,))
    (pair,) = (folder / "noisy").iterdir()
    x, _ = audio.read(pair, RATE)
    soundfile.write(folder / "noisy.wav", x[0], RATE)
    return folder / "noisy.wav"


def live(variables: dict[str, str], *options: str) -> subprocess.Popen[str]:
    """The command."""
    command = [
        sys.executable,
        "-m",
        "diffgmm.cli.main",
        "live",
        "--input",
        "virtual_mic",
        "--rate",
        str(RATE),
    ]
    return subprocess.Popen(
        [*command, "--model", "small", *options],
        env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def heard_first(process: subprocess.Popen[str]) -> float:
    """Seconds of latency that it tells when it begins."""
    assert process.stderr is not None
    line = process.stderr.readline()
    while "Expression" in line:  # PortAudio's own words before the command's
        line = process.stderr.readline()
    if line.startswith("diffgmm: error: a device does not start"):
        raise Busy(line)
    match = re.fullmatch(r"listening, (\d+) ms late \(Ctrl-C ends it\)\n", line)
    assert match, line + process.stderr.read()
    return int(match[1]) / 1000


def lag(x: np.ndarray, y: np.ndarray) -> int:
    """How many samples later ``y`` has what ``x`` has."""
    size = x.size + y.size
    product = np.fft.irfft(np.conj(np.fft.rfft(x, size)) * np.fft.rfft(y, size), size)
    found = int(np.argmax(product))
    return found if found < y.size else found - size


def likeness(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation after the lag is taken out; the median over seconds, for a busy machine may lose some sound."""
    shift = lag(x, y)
    y = y[shift:] if shift >= 0 else np.concatenate([np.zeros(-shift), y])
    size = min(x.size, y.size)
    seconds = [(x[i : i + RATE], y[i : i + RATE]) for i in range(0, size - RATE + 1, RATE)]
    return float(
        np.median([np.corrcoef(a, b)[0, 1] for a, b in seconds if a.std() > 1e-3 and b.std() > 1e-4])
    )


class Busy(Exception):
    """The machine had no time for live sound."""


def attempts(attempt: Callable[[Path], None], folder: Path) -> None:
    """Try until the machine has the time: where others compute as well, sound is lost, and the command says so."""
    for number in range(4):
        (folder / str(number)).mkdir()
        try:
            return attempt(folder / str(number))
        except Busy as busy:
            said = str(busy)
    pytest.skip(f"this machine is too busy for live sound: {said}")


def ended(process: subprocess.Popen[str]) -> str:
    """What the command printed, if it heard and played everything."""
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    if "sound was lost" in errors or "underrun" in errors:
        raise Busy(errors)
    return out


@pytest.mark.slow
def test_from_microphone_to_loudspeaker(sound_server: dict[str, str], noisy: Path, tmp_path: Path) -> None:
    assert main(["denoise", str(noisy), "-o", str(tmp_path / "expected.wav"), "--model", "small"]) == 0
    expected, before = soundfile.read(tmp_path / "expected.wav")[0], soundfile.read(noisy)[0]

    def attempt(folder: Path) -> None:
        process = live(sound_server, "--output", "virtual_speaker", "--seconds", "9")
        recorders = []
        try:
            latency = heard_first(process)
            for name in ("mic", "speaker"):
                command = [
                    "parec",
                    f"--device={name}.monitor",
                    "--file-format=wav",
                    f"--rate={RATE}",
                    "--channels=1",
                ]
                recorders.append(subprocess.Popen([*command, str(folder / f"{name}.wav")], env=sound_server))
            time.sleep(0.5)
            subprocess.run(["paplay", "--device=mic", str(noisy)], env=sound_server, check=True, timeout=60)
            assert re.fullmatch(r"9\.0 s\n", ended(process))
        finally:
            process.kill()
            for recorder in recorders:
                recorder.send_signal(signal.SIGINT)
                recorder.wait(20)
        mic, speaker = (soundfile.read(folder / f"{name}.wav")[0] for name in ("mic", "speaker"))
        assert likeness(before, mic) > 0.95  # the test itself works
        assert likeness(expected, speaker) > 0.9
        assert likeness(expected, speaker) > likeness(before, speaker) + 0.02
        measured = lag(mic, speaker) / RATE
        assert latency - 0.3 < measured < latency + 0.3, (measured, latency)

    attempts(attempt, tmp_path)


@pytest.mark.slow
def test_into_a_file_until_ctrl_c(sound_server: dict[str, str], noisy: Path, tmp_path: Path) -> None:
    assert main(["denoise", str(noisy), "-o", str(tmp_path / "expected.wav"), "--model", "small"]) == 0

    def attempt(folder: Path) -> None:
        process = live(sound_server, "-o", str(folder / "live.flac"))
        try:
            assert heard_first(process) < 0.6
            subprocess.run(["paplay", "--device=mic", str(noisy)], env=sound_server, check=True, timeout=60)
            process.send_signal(signal.SIGINT)
            out = ended(process)
        finally:
            process.kill()
        y, rate = soundfile.read(folder / "live.flac")
        seconds = float(out.split()[0])
        assert out == f"{seconds} s -> {folder / 'live.flac'}\n"
        assert rate == RATE and y.size / RATE == pytest.approx(
            seconds, abs=0.4
        )  # it hears on until it has stopped
        assert likeness(soundfile.read(tmp_path / "expected.wav")[0], y) > 0.9
        assert [path.name for path in folder.iterdir()] == ["live.flac"]

    attempts(attempt, tmp_path)


@pytest.mark.slow
def test_devices_are_listed_and_wrong_ones_named(sound_server: dict[str, str]) -> None:
    command = [sys.executable, "-m", "diffgmm.cli.main", "live"]
    listed = subprocess.run(
        [*command, "--list"], env=sound_server, capture_output=True, text=True, check=False
    )
    assert listed.returncode == 0 and "virtual_mic" in listed.stdout and "virtual_speaker" in listed.stdout
    wrong = subprocess.run(
        [*command, "--input", "gone"], env=sound_server, capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 1 and wrong.stderr.count("\n") == 1
    assert "gone" in wrong.stderr and "--list shows the devices" in wrong.stderr


@pytest.mark.slow
def test_a_device_that_does_not_start_leaves_no_file(sound_server: dict[str, str], tmp_path: Path) -> None:
    """As PortAudio says it where nothing comes from a device in time."""
    code = (
        "import sys, sounddevice\n"
        "def start(self): raise sounddevice.PortAudioError('Wait timed out', -9987)\n"
        "sounddevice.InputStream.start = start\n"
        "from diffgmm.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "live", "--input", "virtual_mic", "-o", str(tmp_path / "a.wav")]
    done = subprocess.run(command, env=sound_server, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "diffgmm: error: a device does not start: Wait timed out" in done.stderr
    assert "Traceback" not in done.stderr and list(tmp_path.iterdir()) == []


def test_an_existing_file_is_refused_before_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there.wav").touch()
    assert main(["live", "-o", str(tmp_path / "there.wav")]) == 2
    assert "there.wav: exists already" in capsys.readouterr().err


def test_without_sounddevice_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert main(["live", "--list"]) == 1
    assert capsys.readouterr().err == (
        "diffgmm: error: live sound needs sounddevice: pip install 'diffgmm[live]'\n"
    )
