"""The DataModule that mixes voices and noises on the fly."""

from __future__ import annotations

import logging
from typing import Any

from data_modules.augment import Augmentation
from data_modules.base import PooledDataModule
from data_modules.errors import MOST_SAMPLES, MOST_WINDOWS, require_between, some
from data_modules.mixing.mixer import Mixer
from data_modules.mixing.options import Mixing
from data_modules.pools.collection import Collection
from data_modules.pools.grade import group_weights, medians
from data_modules.pools.pool import Pool
from data_modules.pools.sources import KINDS
from data_modules.windows.fixed_pairs import FixedPairs, choose_pairs
from data_modules.windows.mixed import MixtureWindows, ResumableLoader

log = logging.getLogger(__name__)


class NoisySpeech(PooledDataModule[tuple[Pool, Pool]]):
    """Windows of noisy speech for training, fixed pairs for validation and test.

    Batches are dicts: ``noisy`` and ``clean`` float32 [B, 1, T] in [-1, 1], ``snr`` float32 [B] in dB (NaN
    for windows without speech or without noise), ``name`` list of B names.

    Training windows are a function of (seed, epoch, index): the same for any `num_workers` and start method;
    the ranks of a distributed run share them out. Validation and test pairs are the same in every run; `seed`
    doesn't change them.

    Args:
        corpus: ``mini`` (embedded), the name of a prepared corpus, a corpus folder or a manifest (CSV with
            columns path, split, kind, group), or a list of these.
        speech, noise: folders of voices and noises for training, any layout and rate (``speaker/file.wav``
            keeps speakers apart); alone or beside a corpus.
        valid_speech, valid_noise, test_speech, test_noise: folders for the other splits.
        valid_fraction, test_fraction: share of `speech` and `noise` set aside where there is no such folder.
        split_by: what is set aside: whole first-level folders (``group``) or single files (``file``).
        sample_rate: in Hz; everything is resampled to it once.
        window: samples in a training window.
        batch_size: windows per batch and rank.
        epoch_size: windows per epoch, all ranks together.
        num_workers: processes that mix; 0: in the training process.
        seed: of the training windows.
        mixing: levels, ratios and kinds of noise.
        augmentations: list of augmentations, each with its probability; see `data_modules.augment`.
        max_pause_level: speakers whose short pauses (median) lie above this level in dB re the speech don't train,
            those up to 5 dB below are heard less (`data_modules.pools.grade`); None: everybody trains alike.
        valid_pairs, test_pairs: how many fixed pairs; with no ``valid_pairs`` training goes without validation.
        valid_seconds: length of the fixed pairs.
        valid_snrs: their ratios in dB, in turn.
        valid_batch_size: pairs per batch.
        pairs_seed: of the choice of pairs; leave it, or scores can't be compared.
        cache: folder for pools of decoded audio; None: ``pools`` in ``$DIFFGMM_HOME``.
        strict: fail if a file can't be used or a speaker is in two splits, instead of going on with a warning.
        start_method: of the workers: ``fork``, ``spawn``, ``forkserver``, or None for the system's own.

    Raises:
        DataError: at construction for values out of range, at `setup` for missing files.

    Example:
        >>> data = NoisySpeech("mini", batch_size=4, epoch_size=8)  # doctest: +SKIP
        >>> data.setup("fit")  # doctest: +SKIP
        >>> next(iter(data.train_dataloader()))["noisy"].shape  # doctest: +SKIP
        torch.Size([4, 1, 16384])
    """

    def __init__(
        self,
        corpus: str | list[str] | None = None,
        speech: str | list[str] | None = None,
        noise: str | list[str] | None = None,
        valid_speech: str | list[str] | None = None,
        valid_noise: str | list[str] | None = None,
        test_speech: str | list[str] | None = None,
        test_noise: str | list[str] | None = None,
        valid_fraction: float = 0.1,
        test_fraction: float = 0.0,
        split_by: str = "group",
        sample_rate: int = 16000,
        window: int = 16384,
        batch_size: int = 16,
        epoch_size: int = 10000,
        num_workers: int = 0,
        seed: int = 0,
        mixing: Mixing = Mixing(),  # noqa: B008 (frozen)
        augmentations: list[Augmentation] | None = None,
        max_pause_level: float | None = None,
        valid_pairs: int = 48,
        test_pairs: int = 48,
        valid_seconds: float = 4.0,
        valid_snrs: tuple[float, ...] = (0.0, 5.0, 10.0, 15.0),
        valid_batch_size: int = 4,
        pairs_seed: int = 0,
        cache: str | None = None,
        strict: bool = False,
        start_method: str | None = None,
    ) -> None:
        super().__init__(sample_rate, window, batch_size, num_workers, seed, start_method)
        require_between(
            epoch_size=(epoch_size, 1, MOST_WINDOWS), valid_pairs=(valid_pairs, 0, 100_000),
            test_pairs=(test_pairs, 1, 100_000), valid_seconds=(valid_seconds, 0.1, 3600),
            pairs_seed=(pairs_seed, 0, 2**63 - 1),
        )  # fmt: skip
        self.pair_samples = round(valid_seconds * sample_rate)
        require_between(valid_batch_size=(valid_batch_size, 1, MOST_SAMPLES // self.pair_samples))
        folders = (speech, noise, valid_speech, valid_noise, test_speech, test_noise)
        self.collection = Collection(corpus, *folders, valid_fraction, test_fraction, split_by)
        self.epoch_size, self.valid_batch_size, self.pairs_seed = epoch_size, valid_batch_size, pairs_seed
        self.mixing, self.augmentations = mixing, tuple(augmentations or ())
        self.pair_counts = {"valid": valid_pairs, "test": test_pairs}
        self.snrs = tuple(valid_snrs)
        self.cache, self.strict, self.max_pause_level = cache, strict, max_pause_level

    def open_split(self, split: str, quiet: bool) -> tuple[Pool, Pool]:
        """The speech and the noise pool of ``train``, ``valid`` or ``test``."""
        how, strict = (self.sample_rate, self.cache), self.strict
        speech, noise = (
            self.collection.open(split, kind, *how, strict=strict, quiet=quiet) for kind in KINDS
        )
        if split == "train" and self.max_pause_level is not None:
            self._leave_out(speech, self.max_pause_level, quiet)
        return speech, noise

    def _leave_out(self, speech: Pool, most: float, quiet: bool) -> None:
        """Weighs the speakers by how clean they are inside their phrases."""
        pauses = medians(speech.grades(), speech.group, len(speech.groups))[:, 0]
        speech.weigh(group_weights(pauses, most))
        out = [name for name, weight in zip(speech.groups, speech.weights, strict=True) if weight == 0.0]
        if out and not quiet:
            share = f"{len(out)} of {len(speech.groups)} speakers"
            log.info(f"{share} don't train, pauses above {most:g} dB: {some(out, 8)}")

    def fingerprint(self) -> dict[str, dict[str, Any]]:
        """What the open pools hold, for a run's record: per split and kind clips, minutes and checksum."""
        facts: dict[str, dict[str, Any]] = {}
        for split, both in self.pools.items():
            for kind, pool in zip(KINDS, both, strict=True):
                size = {"clips": len(pool), "minutes": round(pool.seconds / 60, 2)}
                facts[f"{split}/{kind}"] = {**size, "sha256": pool.checksum()}
        return facts

    def train_dataloader(self) -> ResumableLoader:
        mixer = Mixer(*self.pools["train"], self.mixing, self.augmentations)
        return self.windows_loader(MixtureWindows(mixer, self.window, self.epoch_size, self.seed))

    def dataset(self, split: str) -> FixedPairs:
        """The fixed pairs of ``valid`` or ``test`` (after `setup`)."""
        speech, noise = self.pools[split]
        chosen = choose_pairs(speech, noise, self.pair_counts[split], self.snrs, self.pairs_seed)
        return FixedPairs(speech, noise, chosen, self.pair_samples)

    def has_validation(self) -> bool:
        """Whether there are pairs for validation."""
        return self.pair_counts["valid"] > 0
