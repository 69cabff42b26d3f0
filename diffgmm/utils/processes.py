"""One function over many arguments in several processes, with the same result as in one."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from diffgmm.utils.cores import usable_cores
from diffgmm.utils.errors import UserError


def begin(nice: int = 0) -> None:
    """Set up a worker: Ctrl-C is the parent's to handle, and a parent that is killed takes its workers along.

    Args:
        nice: by how much the process stands back behind others, 0 to 19.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if nice and hasattr(os, "nice"):
        os.nice(nice)
    parent = parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def leave() -> None:
            connection.wait([sentinel])
            os._exit(1)

        threading.Thread(target=leave, daemon=True).start()


T = TypeVar("T")


class WorkerDied(UserError):
    """A worker process ended before its work, mostly for want of memory."""


# Read when a process loads its numerical libraries: N processes with N threads each would only get in each
# other's way.
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@contextlib.contextmanager
def _few_threads() -> Iterator[None]:
    before = {name: os.environ[name] for name in _THREADS if name in os.environ}
    os.environ.update(_THREADS)
    try:
        yield
    finally:
        for name in _THREADS:
            del os.environ[name]
        os.environ.update(before)


def _spawning(workers: int, nice: int = 0) -> ProcessPoolExecutor:
    # Not fork: the process may hold threads of torch, CUDA or a logger, which a forked child inherits half.
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=begin, initargs=(nice,))


_PATIENCE = 10.0  # seconds for calls in progress whose results are no longer needed


class Workers(Generic[T]):
    """Calls of one function, spread over processes; results come in the order of submission.

    Args:
        function: of a module (workers import it), with arguments and result that pickle.
        jobs: processes; with 0 none is started and the calls run in :meth:`results`.
        nice: by how much the processes stand back behind others, 0 to 19.

    A process that dies (killed for memory, crash of a C library) takes its pool with it. Calls without a
    result are then repeated one by one in processes of their own, and the one that dies again gets that error
    as its result.
    """

    def __init__(self, function: Callable[..., T], jobs: int, nice: int = 0) -> None:
        self.function, self.jobs, self.nice = function, jobs, nice
        self._calls: list[tuple[tuple[Any, ...], Future[T] | None]] = []
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, *args: Any) -> None:
        """Add a call; with processes it starts at once."""
        future = None
        if self.jobs > 0:
            with _few_threads():  # submitting starts processes as long as there are too few
                try:
                    self._pool = self._pool or _spawning(self.jobs, self.nice)
                    future = self._pool.submit(self.function, *args)
                except BrokenProcessPool:
                    future = None
        self._calls.append((args, future))

    def ready(self) -> bool:
        """Whether :meth:`results` would not have to wait."""
        return all(future is not None and future.done() for _, future in self._calls)

    def results(self) -> Iterator[T | BrokenProcessPool]:
        """Yield every call's result, waiting for it; afterwards no call is left.

        Raises:
            Exception: what a call raised.
        """
        for result in self.results_within(None):
            if not isinstance(result, NotInTime):
                yield result

    def results_within(self, seconds: float | None) -> Iterator[T | BrokenProcessPool | NotInTime]:
        """As :meth:`results`, waiting at most so long for all calls together, with processes only.

        Calls that are late are given up and yield the exception that says so; ``None`` waits for all.

        Raises:
            Exception: what a call raised.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        calls, self._calls = self._calls, []
        for args, future in calls:
            if self.jobs == 0:
                yield self.function(*args)
                continue
            try:
                if future is not None:
                    left = None if deadline is None else max(0.0, deadline - time.monotonic())
                    yield future.result(left)
                    continue
            except NotInTime as late:
                if future is not None:
                    future.cancel()
                yield late
                continue
            except BrokenProcessPool:
                self._pool = None
            yield self._alone(args)

    def close(self) -> None:
        """Drop calls that have not started and let the processes end; one that doesn't soon is ended."""
        self._calls = []
        if self._pool is not None:
            processes = list((self._pool._processes or {}).values())  # forgotten by the next line
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
            end = time.monotonic() + _PATIENCE
            for process in processes:
                process.join(max(0.0, end - time.monotonic()))
                if process.is_alive():
                    process.terminate()

    def _alone(self, args: tuple[Any, ...]) -> T | BrokenProcessPool:
        with _few_threads(), _spawning(1, self.nice) as pool:
            try:
                return pool.submit(self.function, *args).result()
            except BrokenProcessPool as died:
                return died

    def __enter__(self) -> Workers[T]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


_CHUNK = 32
_FEW = 4 * _CHUNK  # not worth starting processes for

Argument = TypeVar("Argument")


def in_processes(
    function: Callable[[Argument], T], arguments: Sequence[Argument], *, workers: int | None, title: str
) -> Iterator[T]:
    """The function's results in order.

    Args:
        function: of the top level of a module, for it is pickled.
        arguments: one for each call.
        workers: processes; None: one per core, or none for a few arguments.
        title: of the progress bar.

    Raises:
        WorkerDied: a worker process died.
    """
    processes = min(workers or usable_cores(), -(-len(arguments) // _CHUNK))
    alone = processes <= 1 or (workers is None and len(arguments) <= _FEW)
    with (
        tqdm(total=len(arguments), unit="clip", desc=title, disable=None) as bar,
        contextlib.nullcontext() if alone else _spawning(processes) as pool,
    ):
        try:
            results = pool.map(function, arguments, chunksize=_CHUNK) if pool else map(function, arguments)
            for result in results:
                yield result
                bar.update()
        except BrokenProcessPool as error:
            reason = "a worker process died, perhaps for want of memory; try again with fewer --workers"
            raise WorkerDied(f"{title}: {reason}") from error
        except BaseException:
            if pool:  # what has not begun is dropped
                pool.shutdown(wait=False, cancel_futures=True)
            raise
