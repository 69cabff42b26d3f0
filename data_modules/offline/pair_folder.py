"""Fixed pairs as folders of WAV files."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from data_modules.errors import DataError
from data_modules.windows.fixed_pairs import choose_pairs, render_pair
from diffgmm import audio


def write_pairs(
    folder: str | Path,
    split: str = "test",
    n: int = 24,
    *,
    corpus: str | Path = "mini",
    seconds: float = 4.0,
    snrs: Sequence[float] = (0.0, 5.0, 10.0, 15.0),
    sample_rate: int = 16000,
    seed: int = 0,
    cache: str | Path | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Writes pairs as 16-bit WAV files of the same name to ``folder/clean`` and ``folder/noisy``.

    ``folder/pairs.csv`` lists name, speaker, noise file and ratio. The folder appears only when it is
    complete.

    Args:
        folder: where to; must be new or empty unless `overwrite`.
        split: ``train``, ``valid`` or ``test``.
        n: how many pairs.
        corpus: ``mini``, the name of a prepared corpus, a corpus folder or a manifest.
        seconds: length of each.
        snrs: ratios in dB, in turn.
        sample_rate: in Hz.
        seed: another seed, other pairs.
        cache: folder for pools; None: the default one.
        overwrite: replace the folder.

    Returns:
        The names, in order.

    Raises:
        DataError: the corpus is missing or has no such split; the folder isn't empty or can't be written.
    """
    from data_modules.pools.collection import Collection

    target = Path(folder)
    if target.exists() and not overwrite and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: exists already; choose another folder or allow overwriting")
    if n < 1 or not seconds > 0.0:
        raise DataError(f"{n} pairs of {seconds} s: both numbers must be above zero")
    collection = Collection(corpus=str(corpus))
    speech, noise = (collection.open(split, kind, sample_rate, cache) for kind in ("speech", "noise"))
    pairs = choose_pairs(speech, noise, n, snrs, seed)
    noise_files = noise.names()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            part.chmod(0o755)
            for name in ("clean", "noisy"):
                (part / name).mkdir()
            with (part / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
                table = csv.writer(file)
                table.writerow(("name", "speaker", "noise", "snr"))
                for pair in pairs:
                    clean, noisy = render_pair(speech, noise, pair, round(seconds * sample_rate))
                    audio.write(
                        part / "clean" / f"{pair.name}.wav", clean[None], sample_rate, subtype="PCM_16"
                    )
                    audio.write(
                        part / "noisy" / f"{pair.name}.wav", noisy[None], sample_rate, subtype="PCM_16"
                    )
                    noise_file = Path(noise_files[pair.clip])
                    source = f"{noise_file.parent.name}/{noise_file.name}"
                    table.writerow((pair.name, speech.groups[pair.speaker], source, f"{pair.snr:g}"))
            if target.exists():
                shutil.rmtree(target)
            part.replace(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except (OSError, audio.AudioError) as error:
        raise DataError(f"{target}: can't write the pairs ({error})") from error
    return [pair.name for pair in pairs]
