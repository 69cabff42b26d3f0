"""``diffgmm demo`` as its reader has it: the command, a real browser, real recordings."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from chromium import Browser

from diffgmm.inference import denoise_file

pytestmark = pytest.mark.slow
pytest.importorskip("gradio", reason="needs Gradio: pip install 'diffgmm[demo]'")

ROOT = Path(__file__).parents[2]
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
TORCH = f"torchinductor_{getpass.getuser()}"  # an empty folder that importing PyTorch makes
TAB, ENTER, RIGHT = "\ue004", "\ue007", "\ue014"
# The server may talk to nobody else: every connection of its process is written down, and others are refused.
WATCHED = """
import sys
def watch(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in ("127.0.0.1", "::1"):
        print("connects to", arguments[1], file=sys.stderr, flush=True)
        raise OSError("no network here")
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost", None):
        print("looks up", arguments[0], file=sys.stderr, flush=True)
        raise OSError("no network here")
sys.addaudithook(watch)
from diffgmm.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def command(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The page's own command, with its temporary files in ``folder``; yields the process and the first line."""
    line = re.findall(r"^diffgmm (demo.*)$", (ROOT / "docs" / "demo.md").read_text(encoding="utf-8"), re.M)[0]
    with (folder / "errors.txt").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", WATCHED, *line.split(), *options], stdout=subprocess.PIPE, stderr=errors,
            text=True, env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT), "GRADIO_SHARE": "True"},
        )  # fmt: skip
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Noisy speech of the mini corpus as a visitor has it, and what a visitor may have by mistake."""
    from data_modules.offline.pair_folder import write_pairs
    from diffgmm import audio

    folder = tmp_path_factory.mktemp("recordings")
    write_pairs(folder / "pairs", "test", 2, seconds=4.0, snrs=(5.0,))
    first, second = (audio.read(path, 44100)[0][0] for path in sorted((folder / "pairs" / "noisy").iterdir()))
    soundfile.write(folder / "stereo.flac", np.stack([first, second], axis=1), 44100)
    soundfile.write(folder / "second.mp3", second, 44100)
    (folder / "<b>broken.wav").write_bytes(b"no sound at all")
    soundfile.write(folder / "long.wav", np.zeros(130 * 8000, np.int16), 8000)
    four = np.resize(first, (110 * 44100, 1)).repeat(4, axis=1)  # takes long enough to be stopped
    soundfile.write(folder / "minutes.wav", four, 44100)
    return {path.name.split(".")[0]: path for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address and temporary folder of a running page; afterwards nothing is left, and nobody was talked to."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    with command(folder, "--port", str(port), "--max-minutes", "2", "--threads", "1") as (process, line):
        assert line == f"open http://127.0.0.1:{port}/ (Ctrl-C ends it)\n", (
            folder / "errors.txt"
        ).read_text()
        with socket.socket() as other:  # not to be had from elsewhere
            other.settimeout(1.0)
            assert other.connect_ex((outward_address(), port)) != 0
        yield f"http://127.0.0.1:{port}/", folder
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    said = (folder / "errors.txt").read_text()
    assert "connects to" not in said and "looks up" not in said and "Traceback" not in said, said
    assert {path.name for path in folder.iterdir()} <= {"errors.txt", TORCH}


def outward_address() -> str:
    """One of this machine's addresses that is not loopback, if it has any; else one that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return "192.0.2.1"
        return str(probe.getsockname()[0])


def opened(address: str, width: int) -> Browser:
    browser = Browser(width, 900, flags=MICROPHONE)
    try:
        browser.open(address)
        browser.wait("return document.querySelector('#files input[type=file]')")
    except BaseException:
        browser.close()
        raise
    return browser


def upload(browser: Browser, *files: Path) -> None:
    browser.choose("#files input[type=file]", files)
    names = " && ".join(f"text.includes({file.stem[:7]!r})" for file in files)
    browser.wait(f"const text = document.querySelector('#files').innerText; return {names}")
    time.sleep(0.5)  # the upload itself


def click(browser: Browser, selector: str) -> None:
    browser.wait(
        f"return document.querySelector({selector!r}) !== null"
    )  # a busy machine builds the page slowly
    browser.run(f"document.querySelector({selector!r}).click()")


def lines(browser: Browser, count: int) -> list[str]:
    """The status once it has that many lines."""
    selector = "document.querySelectorAll('#lines li')"
    browser.wait(f"return {selector}.length === {count}", 240)
    return list(browser.run(f"return [...{selector}].map((line) => line.innerText.trim())"))


def focus_by_tab(browser: Browser, selector: str) -> None:
    for _ in range(60):
        if browser.run(f"return document.activeElement.matches({selector!r})"):
            return
        browser.press(TAB)
    raise AssertionError(f"the Tab key does not lead to {selector}")


def test_from_upload_to_download(
    server: tuple[str, Path], recordings: dict[str, Path], tmp_path: Path
) -> None:
    address, folder = server
    browser = opened(address, 1280)
    try:
        # Nothing chosen yet.
        click(browser, "#start")
        browser.wait("return document.body.innerText.includes('Choose a file or record something first.')")

        upload(browser, *(recordings[name] for name in ("stereo", "<b>broken", "long", "second")))
        focus_by_tab(browser, "#start, #start button")
        browser.press(ENTER)
        told = lines(browser, 4)
        assert re.fullmatch(r"stereo\.flac: 4\.0 s in [\d.]+ s", told[0])
        assert re.fullmatch(r".*broken\.wav: not an audio file this reads .*", told[1])
        assert told[2].startswith("long.wav: lasts 2.2 minutes, this page takes 2;")
        assert told[3].startswith("second.mp3: 4.0 s in ")
        assert not any(str(folder) in line for line in told)
        browser.wait("return [...document.images].every((i) => i.complete && i.naturalWidth > 500)")
        assert browser.run("return document.images.length") == 2

        # What is downloaded is what the command writes.
        links = browser.run("return [...document.querySelectorAll('.downloads a')].map((a) => a.download)")
        assert links == [
            f"stereo.denoised{end}" for end in (".flac", ".png", ".uncertainty.csv", ".uncertainty.png")
        ]
        digest = browser.run_async(
            "fetch(document.querySelector('.downloads a').href).then((r) => r.arrayBuffer())"
            ".then((b) => crypto.subtle.digest('SHA-256', b))"
            ".then((d) => done([...new Uint8Array(d)].map((n) => n.toString(16).padStart(2, '0')).join('')))"
        )
        saved = next(folder.rglob("stereo.denoised.flac"))
        assert hashlib.sha256(saved.read_bytes()).hexdigest() == digest
        denoise_file(recordings["stereo"], tmp_path / "reference.flac")
        got, rate = soundfile.read(saved)
        reference, _ = soundfile.read(tmp_path / "reference.flac")
        assert rate == 44100 and got.shape == (4 * 44100, 2)
        np.testing.assert_allclose(got, reference, atol=2e-3)

        # The other recording is shown instead; the one in the player stays until then.
        assert browser.run("return document.querySelector('.result h2').innerText") == "stereo.flac"
        browser.run("document.querySelectorAll('#choice input')[1].click()")
        browser.wait("return document.querySelector('.result h2').innerText === 'second.mp3'")
        assert browser.run("return document.querySelector('.downloads a').download") == "second.denoised.mp3"

        hosts = browser.run("return [...new Set(performance.getEntries().map((e) => e.name).filter("
                            "(n) => n.includes('://')).map((n) => new URL(n).host))]")  # fmt: skip
        assert hosts == [address.split("/")[2]]
        assert not [line for line in browser.complaints() if "Method not implemented" not in line]
        assert len(list(folder.glob("diffgmm-demo-*/visit-*"))) == 1
    finally:
        browser.close()
    end = time.monotonic() + 60  # a closed page's results go
    while list(folder.glob("diffgmm-demo-*/visit-*")):
        assert time.monotonic() < end, "the results of a closed page stay"
        time.sleep(0.2)


def test_switching_keeps_the_place_and_sounds_as_it_says(
    server: tuple[str, Path], recordings: dict[str, Path]
) -> None:
    """Arrow keys switch; what the browser plays then has the level that the file has there."""
    address, folder = server
    browser = opened(address, 1280)
    try:
        upload(browser, recordings["stereo"])
        click(browser, "#sure input")
        click(browser, "#start")
        lines(browser, 1)
        browser.wait("const a = document.querySelector('audio'); return a && a.readyState >= 3")
        browser.run_async(
            "const a = document.querySelector('audio'); a.loop = true; a.play().then(done, done)"
        )
        assert browser.run(
            "const a = document.querySelector('audio'); a.meter = a.mixed.context.createAnalyser();"
            "a.meter.fftSize = 32768; const split = a.mixed.context.createChannelSplitter(2);"
            "a.mixed.connect(split); split.connect(a.meter, 0); return a.mixed.context.sampleRate"
        ) in (44100, 48000)
        tracks, rate = soundfile.read(next(folder.rglob("tracks.wav")))
        sounds = {"denoised": tracks[:, 2], "removed": tracks[:, 0] - tracks[:, 2], "noisy": tracks[:, 0]}
        focus_by_tab(browser, "input[name=track]")
        for number, (track, x) in enumerate(
            sounds.items()
        ):  # the order in which the right arrow reaches them
            before = browser.run("return document.querySelector('audio').currentTime")
            if number:
                browser.press(RIGHT)
                assert (
                    browser.run("return document.querySelector('input[name=track]:checked').value") == track
                )
                after, seconds = browser.run(
                    "const a = document.querySelector('audio'); return [a.currentTime, a.duration]"
                )
                assert 0 <= (after - before) % seconds < 2.5  # it goes on, and does not start again
            measured, place, context_rate = browser.run_async(
                """
                const a = document.querySelector("audio"), x = new Float32Array(a.meter.fftSize);
                const read = () => {
                  if (a.currentTime < 1.2 || a.currentTime > 3.8) { setTimeout(read, 50); return; }
                  a.meter.getFloatTimeDomainData(x);
                  const rms = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length);
                  done([rms, a.currentTime, a.mixed.context.sampleRate]);
                };
                setTimeout(read, 1000);
                """
            )
            stop = round(place * rate)
            expected = np.sqrt(np.mean(np.square(x[stop - round(32768 / context_rate * rate) : stop])))
            assert abs(20 * np.log10(measured / expected)) < 2.0, (track, measured, expected)
        levels = {track: np.sqrt(np.mean(np.square(x))) for track, x in sounds.items()}
        assert levels["noisy"] > 1.1 * max(levels["denoised"], levels["removed"])
    finally:
        browser.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_width(
    server: tuple[str, Path], recordings: dict[str, Path], width: int, tmp_path: Path
) -> None:
    browser = opened(server[0], width)
    try:
        upload(browser, recordings["second"], recordings["<b>broken"])
        click(browser, "#start")
        lines(browser, 2)
        browser.wait("return [...document.images].every((i) => i.complete && i.naturalWidth > 500)")
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        outside = """
            const parts = ".gradio-container button, .gradio-container label, .result a, .lines li";
            return [...document.querySelectorAll(parts)].filter(
              (e) => e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1
            ).map((e) => e.innerText);
            """
        assert browser.run(outside) == []
        browser.picture(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 10_000
    finally:
        browser.close()


def test_recording_and_stopping(server: tuple[str, Path], recordings: dict[str, Path]) -> None:
    address, folder = server
    browser = opened(address, 390)
    try:
        browser.wait("return document.querySelector('#record .record-button')")
        click(browser, "#record .record-button")
        time.sleep(2.5)
        click(browser, "#record .stop-button")
        browser.wait(
            "return document.querySelector('#record audio, #record #waveform, #record .waveform-container')"
        )
        time.sleep(1.0)
        click(browser, "#sure input")
        click(browser, "#start")
        (told,) = lines(browser, 1)
        assert re.fullmatch(r"recording: [1-9]\.\d s in [\d.]+ s(, .*)?", told), told

        upload(browser, recordings["minutes"])
        click(browser, "#start")
        browser.wait("return [...document.querySelectorAll('.progress-text, .progress-level')].some("
                     "(e) => e.innerText.includes('minutes.wav'))")  # fmt: skip
        click(browser, "#stop button, #stop")
        assert lines(browser, 2)[0] == "minutes.wav: stopped"
        assert not list(folder.rglob("minutes.denoised*"))
    finally:
        browser.close()


def test_a_port_that_is_taken_and_a_public_address_that_is_not_to_be_had(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with command(tmp_path, "--port", str(port)) as (process, line):
            assert (process.wait(120), line) == (1, "")
    said = (tmp_path / "errors.txt").read_text()
    assert said == f"diffgmm: error: --port {port}: something else listens there; choose another\n"
    with command(tmp_path, "--port", str(free_port()), "--share") as (process, line):
        assert (process.wait(120), line.strip()) == (1, "")
    said = (tmp_path / "errors.txt").read_text()
    assert "diffgmm: error: --share: Gradio's servers gave no public address; leave it out\n" in said
    assert "Traceback" not in said and {path.name for path in tmp_path.iterdir()} <= {"errors.txt", TORCH}
