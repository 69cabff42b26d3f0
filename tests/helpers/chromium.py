"""A real browser for tests, by WebDriver's plain HTTP: no package, no network, a profile of its own."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
)


class Browser:
    """One window of a given size; close it when done.

    Args:
        width, height: of the page in CSS pixels.
        dark: prefer dark colours.
        flags: more of Chromium's.
    """

    def __init__(self, width: int, height: int, dark: bool = False, flags: Sequence[str] = ()) -> None:
        driver = shutil.which("chromedriver")
        if driver is None or not (shutil.which("chromium") or shutil.which("google-chrome")):
            pytest.skip("needs a browser: apt install chromium chromium-driver")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        # Not pytest's folder: the browser puts a socket there, whose path must stay below 108 letters.
        self.profile = profile = Path(tempfile.mkdtemp(prefix="chromium-"))
        self.process = subprocess.Popen(
            [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(profile), "TMPDIR": str(profile)},
        )  # fmt: skip
        self.root = f"http://127.0.0.1:{port}"
        self.session = ""
        flags = [
            *FLAGS,
            *flags,
            f"--user-data-dir={profile / 'data'}",
            f"--window-size={max(width, 600)},{height}",
        ]
        flags += ["--no-sandbox"] if os.geteuid() == 0 else []
        flags += ["--force-dark-mode"] if dark else []
        options: dict[str, Any] = {"args": flags}
        if width < 600:  # windows are wider; a phone is emulated
            options["mobileEmulation"] = {
                "deviceMetrics": {"width": width, "height": height, "pixelRatio": 2.0}
            }
        wanted = {
            "alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}},
        }
        try:
            self._wait()
            self.session = f"/session/{self._call('POST', '/session', {'capabilities': wanted})['sessionId']}"
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        for _ in range(600):
            try:
                if self._call("GET", "/status")["ready"]:
                    return
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.1)
        raise TimeoutError("chromedriver does not start")

    def _call(self, method: str, path: str, data: dict[str, Any] | None = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(
            self.root + path, body, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=180) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error

    def open(self, path: Path | str) -> None:
        """Show a file, or the page of an address."""
        url = path.resolve().as_uri() if isinstance(path, Path) else path
        self._call("POST", f"{self.session}/url", {"url": url})

    def run(self, script: str) -> Any:
        """Run JavaScript and return what it returns."""
        return self._call("POST", f"{self.session}/execute/sync", {"script": script, "args": []})

    def run_async(self, script: str) -> Any:
        """Run JavaScript that calls ``done(value)``."""
        script = f"const done = arguments[arguments.length - 1]; {script}"
        return self._call("POST", f"{self.session}/execute/async", {"script": script, "args": []})

    def wait(self, script: str, seconds: float = 60.0) -> Any:
        """Run JavaScript again and again until what it returns is true, and return that."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            if time.monotonic() > end:
                raise TimeoutError(
                    f"not within {seconds} s: {script}\n{self.run('return document.body.innerText')}"
                )
            time.sleep(0.1)
        return value

    def choose(self, selector: str, files: Sequence[Path]) -> None:
        """Hand files to an ``<input type=file>``, as the file dialog does."""
        found = self._call("POST", f"{self.session}/element", {"using": "css selector", "value": selector})
        (element,) = found.values()
        text = "\n".join(str(file.resolve()) for file in files)
        self._call("POST", f"{self.session}/element/{element}/value", {"text": text})

    def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is; WebDriver's code points stand for special ones."""
        presses = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        actions = [{"type": "key", "id": "keyboard", "actions": presses}]
        self._call("POST", f"{self.session}/actions", {"actions": actions})

    def complaints(self) -> list[str]:
        """What the console has: errors, blocked loads."""
        return [
            entry["message"] for entry in self._call("POST", f"{self.session}/se/log", {"type": "browser"})
        ]

    def picture(self, path: Path) -> None:
        """Write what is in the window as a PNG file."""
        path.write_bytes(base64.b64decode(self._call("GET", f"{self.session}/screenshot")))

    def print(self, path: Path) -> None:
        """Write the page as a PDF file, as on paper."""
        path.write_bytes(base64.b64decode(self._call("POST", f"{self.session}/print", {"background": True})))

    def close(self) -> None:
        """End the browser and its driver."""
        try:
            if self.session:
                self._call("DELETE", self.session)
        finally:
            self.process.terminate()
            self.process.wait(20)
            shutil.rmtree(self.profile, ignore_errors=True)
