"""Downloads over HTTP that resume where they stopped and retry when the server or the connection fails."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import requests
import urllib3

from data_modules.errors import DataError

RETRIES = 6
"""Attempts in a row that bring no new byte before it is given up."""
BACKOFF_SECONDS = 0.5
"""Wait before the second attempt; it doubles from one to the next."""
LONGEST_WAIT_SECONDS = 30.0
TIMEOUT_SECONDS = (15.0, 60.0)
"""To connect, and between two pieces."""
_PIECE = 1 << 18
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_REASONS = {401: "needs a login", 403: "is refused by the server", 404: "is not there", 410: "is gone"}
_ELSEWHERE = "get the file some other way and name its folder with --downloads, or name a --mirror"

Given = TypeVar("Given")
Result = TypeVar("Result")


class Stopped(Exception):
    """Another download failed or the user interrupted; what is there stays for the next run."""


def in_threads(
    function: Callable[[Given, Callable[[], None]], Result], given: Sequence[Given], threads: int, stop: Event
) -> list[Result]:
    """The results of `function`, called side by side; the first error ends the other calls.

    Args:
        function: its second argument is to be called often, and raises `Stopped` when another call has failed.
        given: its arguments.
        threads: how many at a time.
        stop: is set at the end, however it comes.
    """

    def tick() -> None:
        if stop.is_set():
            raise Stopped

    with ThreadPoolExecutor(threads) as pool:
        try:  # from here on: who is interrupted between two of these must not wait for what has begun
            jobs = [pool.submit(function, argument, tick) for argument in given]
            wait(jobs, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        errors = [error for job in jobs if not job.cancelled() and (error := job.exception()) is not None]
        if errors:
            raise min(errors, key=lambda error: isinstance(error, Stopped))
        return [job.result() for job in jobs]


class _TryAgain(Exception):
    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


def meta_path(part: Path) -> Path:
    """Where the facts about a partial file are kept."""
    return part.with_name(part.name + ".json")


def size_of(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


@dataclass(frozen=True)
class Download:
    """A file that is fetched over HTTP.

    A partial file is continued with a range request. The server's ETag or date in ``If-Range`` sees to it that
    both pieces are of one file; where it sends neither, only a file whose checksum is known is continued.

    Args:
        session: keeps connections open.
        url: the file.
        part: where the bytes go; the server's facts go beside it.
        judged: a checksum will be compared afterwards.
        stop: set by another thread to end this.
        on_bytes: gets the number of bytes that came; negative when a start over drops some.
    """

    session: requests.Session
    url: str
    part: Path
    judged: bool
    stop: Event
    on_bytes: Callable[[int], object]

    def run(self) -> bool:
        """Bring the partial file to its full length; returns whether bytes of an earlier run are in it.

        Raises:
            DataError: the file can't be had; one line with the reason.
            Stopped: `stop` was set.
        """
        failures, furthest, earlier = 0, size_of(self.part), size_of(self.part) > 0
        while True:
            try:
                return self._attempt() and earlier
            except (requests.RequestException, urllib3.exceptions.HTTPError, _TryAgain) as error:
                why = error
            have = size_of(self.part)
            earlier = earlier and have >= furthest
            failures = 1 if have > furthest else failures + 1
            furthest = max(furthest, have)
            if failures >= RETRIES:
                raise DataError(_given_up(self.url, why, have)) from why
            pause = BACKOFF_SECONDS * 2 ** (failures - 1) * random.uniform(0.8, 1.2)
            asked = why.wait if isinstance(why, _TryAgain) else 0.0
            if self.stop.wait(min(LONGEST_WAIT_SECONDS, max(pause, asked))):
                raise Stopped

    def _attempt(self) -> bool:
        """One request; returns whether it continued what was there."""
        meta, have = self._meta(), size_of(self.part)
        validator = meta.get("validator")
        if have and (meta.get("url") != self.url or not (validator or self.judged)):
            self._drop()
            meta, have = {}, 0
        if have and have == meta.get("total"):
            return True
        headers = {"Accept-Encoding": "identity"}  # bytes as they are: ranges and checksums are about those
        if have:
            headers |= {"Range": f"bytes={have}-"} | ({"If-Range": validator} if validator else {})
        with self.session.get(self.url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
            total = self._judge(response, have, meta.get("total"))
            continued = response.status_code == 206
            if not continued:
                self.on_bytes(-have)
                # Weak ETags don't promise equal bytes (RFC 9110, 13.1.5).
                etag, date = (response.headers.get(name, "") for name in ("ETag", "Last-Modified"))
                facts = {"url": self.url, "validator": etag if etag.startswith('"') else date, "total": total}
                meta_path(self.part).write_text(json.dumps(facts), encoding="utf-8")
            with self.part.open("ab" if continued else "wb") as handle:
                for piece in response.raw.stream(_PIECE, decode_content=False):
                    handle.write(piece)
                    self.on_bytes(len(piece))
                    if self.stop.is_set():
                        raise Stopped
        come = size_of(self.part)
        if total is not None and come != total:
            if come > total:
                self._drop()
            raise _TryAgain(f"{come} of {total} bytes came")
        return continued

    def _meta(self) -> dict[str, Any]:
        """What the server said about a file that is partly there; without these facts it starts over."""
        try:
            return dict(json.loads(meta_path(self.part).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def _drop(self) -> None:
        self.on_bytes(-size_of(self.part))
        for path in (self.part, meta_path(self.part)):
            path.unlink(missing_ok=True)

    def _judge(self, response: requests.Response, have: int, known: int | None) -> int | None:
        """Length of the whole file, if the answer is one to read on from."""
        status = response.status_code
        if status == 206:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            total = None if span is None or span[2] == "*" else int(span[2])
            if span and int(span[1]) == have and known in (None, total):
                return total
        if status in (206, 416):  # another range than the one asked for, or none: the file has changed
            self._drop()
            raise _TryAgain("the server sent another range than the one asked for")
        if status in _TRANSIENT:
            after = response.headers.get("Retry-After", "")
            raise _TryAgain(f"HTTP {status}", float(after) if after.isdigit() else 0.0)
        if status != 200:
            what = _REASONS.get(status, "can't be fetched")
            raise DataError(f"{self.url}: {what} (HTTP {status}); {_ELSEWHERE}")
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if is_page and Path(self.part.name.removesuffix(".part")).suffix not in (".html", ".htm"):
            raise DataError(f"{self.url}: the server sent a web page instead of the file; {_ELSEWHERE}")
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdigit() else None


def _given_up(url: str, why: Exception, have: int) -> str:
    text = str(why)
    if "Failed to resolve" in text or "Name or service" in text or "NameResolution" in text:
        text = f"no address known for {urllib3.util.parse_url(url).host}; is there a network?"
    elif isinstance(why, requests.ConnectTimeout) or "Connection refused" in text or "unreachable" in text:
        text = "no connection; is there a network?"
    elif isinstance(why, (requests.Timeout, urllib3.exceptions.ReadTimeoutError)):
        text = "the server stopped answering"
    elif isinstance(why, (requests.exceptions.ChunkedEncodingError, urllib3.exceptions.ProtocolError)):
        text = "the connection broke off"
    kept = f"; {have} bytes are kept, the same command goes on from there" if have else ""
    return f"{url}: gave up after {RETRIES} attempts ({' '.join(text.split())[:200]}){kept}; or {_ELSEWHERE}"
