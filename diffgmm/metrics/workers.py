"""Scoring in several processes, with the same result as in one."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, TypeVar

T = TypeVar("T")
# Read when a process loads its numerical libraries: N processes with N threads each would only get in each
# other's way.
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process: one of them deals with it


class Workers(Generic[T]):
    """Calls of one function, spread over processes; results come in the order of submission.

    Args:
        function: of a module (workers import it), with arguments and result that pickle.
        jobs: processes; with 0 none is started and the calls run in :meth:`results`.

    A process that dies (killed for memory, crash of a C library) takes its pool with it. Calls without a
    result are then repeated one by one in processes of their own, and the one that dies again gets that error
    as its result.
    """

    def __init__(self, function: Callable[..., T], jobs: int) -> None:
        self.function, self.jobs = function, jobs
        self._calls: list[tuple[tuple[Any, ...], Future[T] | None]] = []
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, *args: Any) -> None:
        """Add a call; with processes it starts at once."""
        future = None
        if self.jobs > 0:
            with _environment(_THREADS):  # submitting starts processes as long as there are too few
                try:
                    self._pool = self._pool or self._new_pool(self.jobs)
                    future = self._pool.submit(self.function, *args)
                except BrokenProcessPool:
                    future = None
        self._calls.append((args, future))

    def results(self) -> Iterator[T | BrokenProcessPool]:
        """Yield every call's result, waiting for it; afterwards no call is left.

        Raises:
            Exception: what a call raised.
        """
        calls, self._calls = self._calls, []
        for args, future in calls:
            if self.jobs == 0:
                yield self.function(*args)
                continue
            try:
                if future is not None:
                    yield future.result()
                    continue
            except BrokenProcessPool:
                self._pool = None
            yield self._alone(args)

    def close(self) -> None:
        """Drop calls that have not started and let the processes end."""
        self._calls = []
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _alone(self, args: tuple[Any, ...]) -> T | BrokenProcessPool:
        with _environment(_THREADS), self._new_pool(1) as pool:
            try:
                return pool.submit(self.function, *args).result()
            except BrokenProcessPool as died:
                return died

    @staticmethod
    def _new_pool(jobs: int) -> ProcessPoolExecutor:
        # Not fork: the process may hold threads of torch, CUDA or a logger, which a forked child inherits
        # half.
        return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_ignore_interrupts)

    def __enter__(self) -> Workers[T]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
