"""Many clips at once: worker processes that leave with their parent, however it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from data_modules.corpora.build.convert import Prepared, convert
from data_modules.corpora.build.journal import Journal, key_of, still_good
from data_modules.corpora.recipe import Condition, Entry, Refused
from data_modules.errors import DataError
from diffgmm.utils.processes import begin

__all__ = ["convert_all"]

_CHUNK = 32

Job = tuple[str, str, str, "Prepared | Refused | None"]
"""Source file, target file, kind, and what an earlier run made of it."""


def _convert_some(
    jobs: Sequence[Job], sample_rate: int | None, condition: Condition | None
) -> list[Prepared | Refused]:
    results = []
    for source, target, kind, known in jobs:
        if known is not None and still_good(known, Path(target)):
            results.append(known)
        else:
            results.append(convert(source, target, kind, sample_rate, condition))
    return results


def convert_all(
    entries: Sequence[Entry],
    folder: Path,
    journal: Journal,
    *,
    sample_rate: int | None,
    condition: Condition | None,
    workers: int,
    check: Callable[[Entry, Prepared | Refused], None],
) -> Iterator[tuple[Entry, Prepared | Refused]]:
    """Convert every entry to ``folder / entry.path``; yields results in the order of `entries`.

    Args:
        entries: the clips.
        folder: of the corpus.
        journal: what is known from an earlier run; gets the results.
        sample_rate: of the clips, in Hz, or None.
        condition: see :class:`data_modules.corpora.recipe.Recipe`.
        workers: processes.
        check: sees each result as it comes; may raise to end the work.

    Raises:
        DataError: a worker process died (out of memory, most often).
    """
    keys = [key_of(entry) for entry in entries]
    results: dict[int, Prepared | Refused] = {}
    context = get_context("spawn")  # a fork of a process with threads may hang
    with (
        ProcessPoolExecutor(workers, mp_context=context, initializer=begin) as pool,
        tqdm(total=len(entries), unit="clip", desc="convert", disable=None) as bar,
    ):
        running = {}
        try:
            for start in range(0, len(entries), _CHUNK):
                part = range(start, min(start + _CHUNK, len(entries)))
                jobs: list[Job] = [
                    (
                        str(entries[i].file),
                        str(folder / entries[i].path),
                        entries[i].kind,
                        journal.results.get(keys[i]),
                    )
                    for i in part
                ]
                running[pool.submit(_convert_some, jobs, sample_rate, condition)] = part
            for done in as_completed(running):
                part = running[done]
                new = dict(zip(part, done.result(), strict=True))
                journal.add((keys[i], r) for i, r in new.items() if journal.results.get(keys[i]) != r)
                results |= new
                for i, result in new.items():
                    check(entries[i], result)
                bar.update(len(part))
        except BrokenProcessPool as error:
            raise DataError(
                f"{folder}: a worker process died, perhaps for want of memory; try again with fewer --workers"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    yield from ((entry, results[i]) for i, entry in enumerate(entries))
