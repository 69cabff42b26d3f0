"""All files of a recipe, fetched side by side and checked before anybody uses them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from urllib.parse import quote

import requests
from filelock import FileLock, Timeout

from data_modules.corpora.fetch.bars import Bar, CheckBar, part_path
from data_modules.corpora.fetch.checksums import Ledger, WrongChecksum
from data_modules.corpora.fetch.programs import apt_urls, fetch_by_program
from data_modules.corpora.fetch.transfer import Stopped, download, meta_path
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
    path = None if given is None else given / source.name
    return path if path is not None and path.is_file() else None


def missing_bytes(sources: Sequence[Source], folder: Path, given: Path | None) -> int:
    """How much is still to be fetched, as far as the sizes are known."""
    total = 0
    for source in sources:
        if _given(source, given) is None and not (folder / source.name).is_file():
            part = part_path(folder, source)
            total += max(0, (source.size or 0) - (part.stat().st_size if part.exists() else 0))
    return total


class _Fetcher:
    def __init__(
        self, folder: Path, given: Path | None, mirror: str | None, to_come: Sequence[Source]
    ) -> None:
        self.folder, self.given, self.mirror = folder, given, mirror
        self._by_apt = [source for source in to_come if source.by == "apt"]
        self._apt: dict[str, str] | None = None
        self._apt_lock = Lock()
        self.ledger = Ledger(folder)
        self.stop = Event()
        self.session = requests.Session()

    def _tick(self) -> None:
        if self.stop.is_set():
            raise Stopped

    def obtain(self, source: Source, bar: Bar, checks: CheckBar) -> Fetched:
        """The checked file: the user's, else one that is there, else a download."""

        def tick() -> None:
            self._tick()
            checks.move()

        path = _given(source, self.given)
        if path is not None:
            try:
                return Fetched(source, path, *self.ledger.check(source, path, tick))
            except WrongChecksum as error:
                raise WrongChecksum(f"{error}; remove or replace that file") from error
        with self._alone(source):
            path = self.folder / source.name
            if path.is_file():
                try:
                    return Fetched(source, path, *self.ledger.check(source, path, tick))
                except WrongChecksum:
                    path.replace(self._bad(source))  # it was right when it got its name: fetch it again
            return Fetched(source, path, *self._fetch(source, path, bar))

    @contextmanager
    def _alone(self, source: Source) -> Iterator[None]:
        """Two recipes may share a file, and run at the same time."""
        lock = FileLock(self.folder / f".{source.name}.lock")
        while True:
            self._tick()
            try:
                lock.acquire(timeout=0.2)
                break
            except Timeout:
                continue
        try:
            yield
        finally:
            lock.release()

    def _bad(self, source: Source) -> Path:
        return self.folder / f"{source.name}.bad"

    def _fetch(self, source: Source, path: Path, bar: Bar) -> tuple[str, str]:
        part = part_path(self.folder, source)
        for again in (True, False):
            resumed = self._transfer(source, part, bar)
            try:
                checksum = self.ledger.check(source, part, self._tick)
            except WrongChecksum as error:
                meta_path(part).unlink(missing_ok=True)
                if resumed and again:  # pieces of two versions of the file, perhaps
                    bar.move(-part.stat().st_size)
                    part.unlink()
                    continue
                part.replace(self._bad(source))
                raise WrongChecksum(self._explain(source, error)) from error
            meta_path(part).unlink(missing_ok=True)
            part.replace(path)
            return checksum
        raise AssertionError("the second attempt returns or raises")

    def _explain(self, source: Source, error: WrongChecksum) -> str:
        """The message of a check, about the file's new name, with what to do."""
        known = self.ledger.expected(source)
        text = str(error).replace(str(part_path(self.folder, source)), str(self._bad(source)))
        if known is not None and known[1] == "recorded":
            return f"{text}: the publisher has replaced the file; keep the old one, or delete this entry to accept"
        return f"{text}; the file was moved aside, so run again, or try another --mirror"

    def _transfer(self, source: Source, part: Path, bar: Bar) -> bool:
        """Fetch into `part`; returns whether bytes of an earlier run are in it."""
        url = self._url(source)
        if url is None:
            for left in self.folder.glob(f".fetch-{source.name}-*"):  # of a run that was killed
                shutil.rmtree(left, ignore_errors=True)
            fetch_by_program(source, part, self.stop)
            bar.move(part.stat().st_size)
            return False
        return download(
            self.session,
            url,
            part,
            judged=self.ledger.expected(source) is not None,
            stop=self.stop,
            on_bytes=bar.move,
            on_total=lambda size: bar.total(source, size),
        )

    def _url(self, source: Source) -> str | None:
        if self.mirror is not None:
            return f"{self.mirror.rstrip('/')}/{quote(source.name)}"
        if source.by == "http":
            return source.url
        if source.by != "apt":
            return None
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
    results: dict[str, Fetched] = {}
    notes: list[str] = []
    places = {source.name: _given(source, given) or folder / source.name for source in sources}
    there = [path for path in places.values() if path.is_file()]
    to_come = [source for source in sources if not places[source.name].is_file()]
    fetcher = _Fetcher(folder, given, mirror, to_come)
    with (
        CheckBar(there) as checks,
        Bar(to_come, folder) as bar,
        ThreadPoolExecutor(PARALLEL) as pool,
        fetcher.session,
    ):
        try:  # from here on: who is interrupted between two of these must not wait for what has begun
            jobs = {pool.submit(_obtain_or_note, fetcher, source, bar, checks): source for source in sources}
            wait(jobs, return_when=FIRST_EXCEPTION)
            _raise_first(jobs)
        finally:
            fetcher.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        for job, source in jobs.items():
            result = job.result()
            if isinstance(result, Fetched):
                results[source.name] = result
            else:
                notes.append(result)
    return [results[source.name] for source in sources if source.name in results], notes


def _obtain_or_note(fetcher: _Fetcher, source: Source, bar: Bar, checks: CheckBar) -> Fetched | str:
    try:
        return fetcher.obtain(source, bar, checks)
    except WrongChecksum:
        raise
    except DataError as error:
        if not source.optional:
            raise
        return f"left out {source.package or source.name}: {error}"


def _raise_first(jobs: dict[Future[Fetched | str], Source]) -> None:
    """Raise what ended the first failed job, rather than that others were stopped for it."""
    errors = [error for job in jobs if job.done() and (error := job.exception()) is not None]
    errors.sort(key=lambda error: isinstance(error, Stopped))
    if errors:
        raise errors[0]
