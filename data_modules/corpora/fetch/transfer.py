"""Downloads over HTTP that resume where they stopped and retry when the server or the connection fails."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

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
_REASONS = {
    401: "needs a login",
    403: "is refused by the server",
    404: "is not there (any more)",
    410: "is not there any more",
}
_ELSEWHERE = "get the file some other way and name its folder with --downloads, or name a --mirror"


class Stopped(Exception):
    """Another download failed or the user interrupted; what is there stays for the next run."""


class _TryAgain(Exception):
    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


@dataclass
class _Meta:
    """What the server said about a file that is partly there."""

    url: str
    validator: str = ""
    total: int | None = None


def meta_path(part: Path) -> Path:
    """Where the facts about a partial file are kept."""
    return part.with_name(part.name + ".json")


def _load(part: Path) -> _Meta | None:
    try:
        return _Meta(**json.loads(meta_path(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # without these facts the download starts over


def _drop(part: Path) -> None:
    part.unlink(missing_ok=True)
    meta_path(part).unlink(missing_ok=True)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _validator(headers: requests.structures.CaseInsensitiveDict[str]) -> str:
    """A strong ETag, else the date; weak ETags don't promise equal bytes (RFC 9110, 13.1.5)."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def download(
    session: requests.Session,
    url: str,
    part: Path,
    *,
    judged: bool,
    stop: Event,
    on_bytes: Callable[[int], None],
    on_total: Callable[[int], None],
) -> bool:
    """Bring the partial file `part` to its full length; returns whether bytes of an earlier run are in it.

    A partial file is continued with a range request. The server's ETag or date in ``If-Range`` sees to it that
    both pieces are of one file; where it sends neither, only a file whose checksum is known is continued.

    Args:
        session: keeps connections open.
        url: the file.
        part: where the bytes go; the server's facts go beside it.
        judged: a checksum will be compared afterwards.
        stop: set by another thread to end this.
        on_bytes: gets the number of bytes that came; negative when a start over drops some.
        on_total: gets the length of the file when the server tells it.

    Raises:
        DataError: the file can't be had; one line with the reason.
        Stopped: `stop` was set.
    """
    failures, furthest, earlier = 0, _size(part), _size(part) > 0
    while True:
        try:
            kept = _attempt(session, url, part, judged, stop, on_bytes, on_total)
            return earlier and kept
        except (requests.RequestException, urllib3.exceptions.HTTPError, _TryAgain) as error:
            why = error
        have = _size(part)
        earlier = earlier and have >= furthest
        failures = 1 if have > furthest else failures + 1
        furthest = max(furthest, have)
        if failures >= RETRIES:
            raise DataError(_given_up(url, why, have)) from why
        wait = min(LONGEST_WAIT_SECONDS, BACKOFF_SECONDS * 2 ** (failures - 1)) * random.uniform(0.8, 1.2)
        asked = why.wait if isinstance(why, _TryAgain) else None
        if stop.wait(wait if asked is None else min(LONGEST_WAIT_SECONDS, max(wait, asked))):
            raise Stopped


def _attempt(
    session: requests.Session,
    url: str,
    part: Path,
    judged: bool,
    stop: Event,
    on_bytes: Callable[[int], None],
    on_total: Callable[[int], None],
) -> bool:
    """One request; returns whether it continued what was there."""
    meta, have = _load(part), _size(part)
    if have and (meta is None or meta.url != url or not (meta.validator or judged)):
        on_bytes(-have)
        _drop(part)
        meta, have = None, 0
    if meta is not None and have and have == meta.total:
        return True
    headers = {"Accept-Encoding": "identity"}  # bytes as they are: ranges and checksums are about those
    if have:
        headers["Range"] = f"bytes={have}-"
        if meta is not None and meta.validator:
            headers["If-Range"] = meta.validator
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        total = _judge(response, url, part, have, meta, on_bytes)
        continued = response.status_code == 206
        if not continued:
            on_bytes(-have)
            meta, have = _Meta(url, _validator(response.headers), total), 0
            meta_path(part).write_text(json.dumps(meta.__dict__), encoding="utf-8")
        if total is not None:
            on_total(total)
        with part.open("ab" if continued else "wb") as handle:
            for piece in response.raw.stream(_PIECE, decode_content=False):
                handle.write(piece)
                on_bytes(len(piece))
                if stop.is_set():
                    raise Stopped
    if total is not None and _size(part) != total:
        if _size(part) > total:
            on_bytes(-_size(part))
            _drop(part)
        raise _TryAgain(f"{_size(part)} of {total} bytes came")
    return continued


def _judge(
    response: requests.Response,
    url: str,
    part: Path,
    have: int,
    meta: _Meta | None,
    on_bytes: Callable[[int], None],
) -> int | None:
    """Length of the whole file, if the answer is one to read on from."""
    status = response.status_code
    if status == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        total = None if span is None or span[2] == "*" else int(span[2])
        if span and int(span[1]) == have and (not meta or meta.total in (None, total)):
            return total
    if status in (206, 416):  # another range than the one asked for, or none: the file has changed
        on_bytes(-have)
        _drop(part)
        raise _TryAgain("the server sent another range than the one asked for")
    if status in _TRANSIENT:
        after = response.headers.get("Retry-After", "")
        raise _TryAgain(f"HTTP {status}", float(after) if after.isdigit() else None)
    if status != 200:
        what = _REASONS.get(status, "can't be fetched")
        raise DataError(f"{url}: {what} (HTTP {status}); {_ELSEWHERE}")
    is_page = response.headers.get("Content-Type", "").startswith("text/html")
    if is_page and Path(part.name.removesuffix(".part")).suffix not in (".html", ".htm"):
        raise DataError(f"{url}: the server sent a web page instead of the file; {_ELSEWHERE}")
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
