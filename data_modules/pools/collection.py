"""The files an experiment trains on: one or several corpora, or the user's own folders, and their pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_modules.errors import DataError
from data_modules.pools.build import open_pool
from data_modules.pools.pool import Pool
from data_modules.pools.sources import Item, corpus_items, folder_items, select, split_off

Folders = str | Sequence[str] | None
Cache = str | Path | None


def resolve_corpus(name: str) -> Path:
    """The folder or manifest of a corpus: a path, ``mini`` (embedded), or the name of a prepared corpus.

    Raises:
        DataError: none of these.
    """
    from data_modules import home

    path = Path(name).expanduser()
    if name == "mini":
        return Path(__file__).parents[1] / "mini"
    if path.exists():
        return path
    if (prepared := home() / "corpora" / name).exists():
        return prepared
    places = f"give a folder, a manifest, mini, or a name in {home() / 'corpora'}"
    raise DataError(f"{name}: no such corpus; {places}")


@dataclass(frozen=True)
class Collection:
    """Where the files of each split come from.

    Either `corpus`, or `speech` and `noise` folders, or both together. Folders hold training files;
    validation and test files come from folders of their own or are split off.

    Args:
        corpus: one or several corpora: ``mini``, a name, a folder or a manifest.
        speech, noise: folders of voices and noises, any layout.
        valid_speech, valid_noise, test_speech, test_noise: folders for the other splits.
        valid_fraction, test_fraction: share of `speech` and `noise` split off where there is no such folder.
        split_by: ``group`` (whole first-level folders, such as speakers) or ``file``.
    """

    corpus: Folders = None
    speech: Folders = None
    noise: Folders = None
    valid_speech: Folders = None
    valid_noise: Folders = None
    test_speech: Folders = None
    test_noise: Folders = None
    valid_fraction: float = 0.1
    test_fraction: float = 0.0
    split_by: str = "group"
    _cache: list[Item] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.corpus and not (self.speech and self.noise):
            raise DataError("no data: give a corpus, or folders of both speech and noise")

    def items(self, strict: bool = False) -> list[Item]:
        """All files, found once; `strict`: a speaker of a corpus in two splits is an error, not a warning."""
        if items := self._cache:
            return items
        corpora = [self.corpus] if isinstance(self.corpus, str) else list(self.corpus or ())
        for name in corpora:
            items += corpus_items(resolve_corpus(name), strict=strict)
        own = {
            "speech": {"train": self.speech, "valid": self.valid_speech, "test": self.test_speech},
            "noise": {"train": self.noise, "valid": self.valid_noise, "test": self.test_noise},
        }
        for kind, folders in own.items():
            given = {split: folder_items(where, kind, split) for split, where in folders.items() if where}
            if "train" in given:
                # The test share is taken first, so that changing the validation share leaves it as it is.
                for split, share in (("test", self.test_fraction), ("valid", self.valid_fraction)):
                    if split not in given and not (corpora and share <= 0.0):
                        train = [item for item in given["train"] if item.split == "train"]
                        rest = [item for item in given["train"] if item.split != "train"]
                        given["train"] = rest + split_off(train, share, split, self.split_by)
            items += [item for split in given.values() for item in split]
        return items

    def open(
        self,
        split: str,
        kind: str,
        rate: int,
        cache: Cache = None,
        *,
        strict: bool = False,
        quiet: bool = False,
    ) -> Pool:
        """The pool of one split and kind at a rate in Hz, built if it isn't there yet.

        Raises:
            DataError: the split has no such files, or the pool can't be built.
        """
        if not (items := select(self.items(strict), split, kind)):
            place = self.corpus or f"the {kind} folders"
            tip = f"give {split}_{kind} folders or a {split}_fraction"
            raise DataError(f"{place}: no {kind} for {split}; {tip}")
        return open_pool(items, rate, cache, title=f"{split} {kind}", strict=strict, quiet=quiet)
