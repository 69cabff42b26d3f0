"""Many clips at once: worker processes that leave with their parent, however it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from pathlib import Path

from tqdm import tqdm

from data_modules.corpora.build.convert import Prepared, convert
from data_modules.corpora.build.journal import Journal, key_of, still_good
from data_modules.corpora.recipe import Condition, Entry, Refused
from diffgmm.utils.processes import process_pool

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
        WorkerDied: a worker process died (out of memory, most often).
    """
    keys = [key_of(entry) for entry in entries]
    results: dict[int, Prepared | Refused] = {}
    with (
        process_pool(workers, str(folder)) as pool,
        tqdm(total=len(entries), unit="clip", desc="convert", disable=None) as bar,
    ):
        running = {}
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
    yield from ((entry, results[i]) for i, entry in enumerate(entries))
