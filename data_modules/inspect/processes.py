"""A function over many clips by several processes, the results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from tqdm import tqdm

from data_modules.corpora.workers import begin, cores
from data_modules.errors import DataError

__all__ = ["in_processes"]

_CHUNK = 32
_FEW = 4 * _CHUNK  # not worth starting processes for
Given = TypeVar("Given")
Found = TypeVar("Found")


def in_processes(
    function: Callable[[Given], Found], given: Sequence[Given], *, workers: int | None, title: str
) -> Iterator[Found]:
    """The function's results in order, computed not far ahead of whoever takes them.

    Args:
        function: of the top level of a module, for it is pickled.
        given: its arguments.
        workers: processes; None: one per core, or none for a few arguments.
        title: of the progress bar.

    Raises:
        DataError: a worker process died.
    """
    chunks = [given[i : i + _CHUNK] for i in range(0, len(given), _CHUNK)]
    processes = min(workers or cores(), len(chunks))
    with tqdm(total=len(given), unit="clip", desc=title, disable=None) as bar:
        if processes <= 1 or (workers is None and len(given) <= _FEW):
            for one in given:
                yield function(one)
                bar.update()
            return
        # A fork of a process with threads may hang, so these start afresh.
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=begin) as pool:
            running: deque[Future[list[Found]]] = deque()
            try:
                for chunk in chunks:
                    running.append(pool.submit(_some, function, chunk))
                    if len(running) > 3 * processes:
                        yield from _taken(running, bar)
                while running:
                    yield from _taken(running, bar)
            except BrokenProcessPool as error:
                raise DataError(
                    f"{title}: a worker process died, perhaps for want of memory; try again with --workers 1"
                ) from error
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def _some(function: Callable[[Given], Found], given: Sequence[Given]) -> list[Found]:
    return [function(one) for one in given]


def _taken(running: deque[Future[list[Found]]], bar: tqdm) -> list[Found]:
    found = running.popleft().result()
    bar.update(len(found))
    return found
