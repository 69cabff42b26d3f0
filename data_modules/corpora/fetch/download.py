"""All files of a recipe, fetched side by side and checked before anybody uses them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from urllib.parse import quote

import requests
from filelock import FileLock, Timeout
from tqdm import tqdm

from data_modules.corpora.fetch.checksums import Ledger, WrongChecksum
from data_modules.corpora.fetch.programs import apt_urls, fetch_by_program
from data_modules.corpora.fetch.transfer import Download, in_threads, meta_path, size_of
from data_modules.corpora.recipe import Source
from data_modules.errors import DataError

PARALLEL = 4
"""Files at a time: enough to fill a line where each server limits one connection, few enough to be polite."""


@dataclass(frozen=True)
class Fetched:
    """A file that is what it should be; `origin` of its checksum is "published" or "recorded"."""

    source: Source
    path: Path
    checksum: str
    origin: str


def _given(source: Source, given: Path | None) -> Path | None:
    return given / source.name if given is not None and (given / source.name).is_file() else None


def part_path(folder: Path, source: Source) -> Path:
    """Where a file grows until it is whole and checked."""
    return folder / f".{source.name}.part"


def missing_bytes(sources: Sequence[Source], folder: Path, given: Path | None) -> int:
    """How much is still to be fetched, as far as the sizes are known."""
    to_come = _to_come(sources, folder, given)
    return sum(max(0, (source.size or 0) - size_of(part_path(folder, source))) for source in to_come)


def _to_come(sources: Sequence[Source], folder: Path, given: Path | None) -> list[Source]:
    return [one for one in sources if not _given(one, given) and not (folder / one.name).is_file()]


class _Fetcher:
    """What the threads of one `fetch` share."""

    def __init__(self, folder: Path, given: Path | None, mirror: str | None, to_come: list[Source]) -> None:
        self.folder, self.given, self.mirror = folder, given, mirror
        self._by_apt = [source for source in to_come if source.by == "apt"]
        self._apt: dict[str, str] | None = None
        self._apt_lock = Lock()
        self.ledger, self.stop, self.session = Ledger(folder), Event(), requests.Session()
        total = sum(source.size or 0 for source in to_come) or None
        have = sum(size_of(part_path(folder, source)) for source in to_come)
        hidden = None if to_come else True
        self.bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc="download", disable=hidden)

    def obtain(self, source: Source, tick: Callable[[], None]) -> Fetched | str:
        """The checked file: the user's, else one that is there, else a download; or why an optional one is missing."""
        if (path := _given(source, self.given)) is not None:
            try:
                return Fetched(source, path, *self.ledger.check(source, path, tick))
            except WrongChecksum as error:
                raise WrongChecksum(f"{error}; remove or replace that file") from error
        path = self.folder / source.name
        try:
            with self._alone(source, tick):
                return Fetched(source, path, *self._have(source, path, tick))
        except DataError as error:
            if not source.optional or isinstance(error, WrongChecksum):
                raise
            return f"left out {source.package or source.name}: {error}"

    def _have(self, source: Source, path: Path, tick: Callable[[], None]) -> tuple[str, str]:
        """Checksum and its origin of a file that is there, or is fetched."""
        if path.is_file():
            try:
                return self.ledger.check(source, path, tick)
            except WrongChecksum:
                path.replace(self._bad(source))  # it was right when it got its name: fetch it again
        return self._fetch(source, path, tick)

    @contextmanager
    def _alone(self, source: Source, tick: Callable[[], None]) -> Iterator[None]:
        """Two recipes may share a file, and run at the same time."""
        lock = FileLock(self.folder / f".{source.name}.lock")
        while not lock.is_locked:
            tick()
            with suppress(Timeout):
                lock.acquire(timeout=0.2)
        try:
            yield
        finally:
            lock.release()

    def _bad(self, source: Source) -> Path:
        return self.folder / f"{source.name}.bad"

    def _fetch(self, source: Source, path: Path, tick: Callable[[], None]) -> tuple[str, str]:
        part = part_path(self.folder, source)
        resumed = self._transfer(source, part)
        try:
            checksum = self.ledger.check(source, part, tick)
        except WrongChecksum as error:
            meta_path(part).unlink(missing_ok=True)
            if resumed:  # pieces of two versions of the file, perhaps
                self.bar.update(-size_of(part))
                part.unlink()
                return self._fetch(source, path, tick)
            part.replace(self._bad(source))
            raise WrongChecksum(self._explain(source, error)) from error
        meta_path(part).unlink(missing_ok=True)
        part.replace(path)
        return checksum

    def _explain(self, source: Source, error: WrongChecksum) -> str:
        """The message of a check, about the file's new name, with what to do."""
        known = self.ledger.expected(source)
        text = str(error).replace(str(part_path(self.folder, source)), str(self._bad(source)))
        if known is not None and known[1] == "recorded":
            return f"{text}: the publisher has replaced the file; keep the old one, or delete this entry to accept"
        return f"{text}; the file was moved aside, so run again, or try another --mirror"

    def _transfer(self, source: Source, part: Path) -> bool:
        """Fetch into `part`; returns whether bytes of an earlier run are in it."""
        if (url := self._url(source)) is None:
            for left in self.folder.glob(f".fetch-{source.name}-*"):  # of a run that was killed
                shutil.rmtree(left, ignore_errors=True)
            fetch_by_program(source, part, self.stop)
            self.bar.update(size_of(part))
            return False
        judged = self.ledger.expected(source) is not None
        return Download(self.session, url, part, judged, self.stop, self.bar.update).run()

    def _url(self, source: Source) -> str | None:
        if self.mirror is not None:
            return f"{self.mirror.rstrip('/')}/{quote(source.name)}"
        if source.by != "apt":
            return source.url if source.by == "http" else None
        with self._apt_lock:  # apt takes a second or two to start: ask once for all
            if self._apt is None:
                self._apt = apt_urls(self._by_apt or [source], self.folder, self.stop)
        return self._apt.get(source.name)


def fetch(
    sources: Sequence[Source], folder: Path, *, given: Path | None = None, mirror: str | None = None
) -> tuple[list[Fetched], list[str]]:
    """Get every source and check it; what is whole stays in `folder`, what is not is continued next time.

    Args:
        sources: the files.
        folder: the downloads; is made if need be.
        given: folder of files that are there already; nothing is written into it.
        mirror: address of a folder that has all the files under their names, instead of where they are published.

    Returns:
        The files in the order of `sources`, and a note about each optional one that could not be had.

    Raises:
        DataError: a file can't be had or is not what it should be; one line with the reason.
    """
    if given is not None and not given.is_dir():
        raise DataError(f"{given}: no such folder; --downloads names one with files that are there already")
    if mirror is not None and not mirror.startswith(("http://", "https://")):
        raise DataError(f"{mirror}: no address of a mirror; it starts with http:// or https://")
    folder.mkdir(parents=True, exist_ok=True)
    fetcher = _Fetcher(folder, given, mirror, _to_come(sources, folder, given))
    with fetcher.bar, fetcher.session:
        results = in_threads(fetcher.obtain, sources, PARALLEL, fetcher.stop)
    fetched = [result for result in results if isinstance(result, Fetched)]
    return fetched, [result for result in results if isinstance(result, str)]
