"""VoiceBank+DEMAND's test and validation pairs as benchmark sets, once the corpus is prepared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data_modules.errors import DataError
from data_modules.pools.sources import read_manifest
from diffgmm import audio
from diffgmm.utils.files import sha256_of, write_text

CORPUS = "voicebank-demand"
DESCRIPTIONS = {
    "test": "The test pairs of VoiceBank+DEMAND (Valentini-Botinhao et al.), speakers p232 and p257, as prepared.",
    "valid": "The pairs of VoiceBank+DEMAND that are set aside for validation, as prepared: two of its 28 speakers.",
}


def write_set_file(
    corpus: Path, path: Path, split: str = "test", *, name: str | None = None, description: str | None = None
) -> None:
    """Describe the pairs of a split of the corpus in ``path``; audio stays where it is.

    Args:
        corpus: folder of the prepared corpus.
        path: file to write.
        split: ``test`` or ``valid``.
        name, description: of the set; None for those of VoiceBank-DEMAND.

    Raises:
        DataError: the corpus has no such pairs, or a file has no counterpart.
    """
    clips: dict[str, dict[str, Path]] = {"clean": {}, "noisy": {}}
    for clip in read_manifest(corpus / "manifest.csv"):
        if clip.split == split and clip.kind in clips:
            clips[clip.kind][Path(clip.path).stem] = Path(clip.path)
    ids = sorted(clips["clean"])
    if not ids or ids != sorted(clips["noisy"]):
        raise DataError(f"{corpus}: no complete {split} pairs; run `diffgmm prepare {CORPUS}` again")
    pairs = [(id, clips["clean"][id], clips["noisy"][id]) for id in ids]
    name = name or (CORPUS if split == "test" else f"{CORPUS}-{split}")
    write_described(path, name, description or DESCRIPTIONS[split], pairs)


def write_described(path: Path, name: str, description: str, pairs: Iterable[tuple[str, Path, Path]]) -> None:
    """Write the ``set.json`` of pairs that stay where they are.

    Args:
        path: file to write.
        name, description: of the set.
        pairs: id (the speaker, ``_``, a number), clean file, noisy file.

    Raises:
        AudioError: a file is missing or damaged.
    """
    rows: list[dict[str, Any]] = []
    files: dict[str, str] = {}
    digest = hashlib.sha256()
    subsets: dict[str, list[str]] = {}
    for id, clean, noisy in pairs:
        info = audio.probe(clean)
        speaker = id.partition("_")[0]
        subsets.setdefault(speaker, []).append(id)
        sums = [sha256_of(file) for file in (clean, noisy)]
        where = {"clean": str(clean.resolve()), "noisy": str(noisy.resolve())}
        files |= dict(zip(where.values(), sums, strict=True))
        digest.update(f"{id} {sums[0]} {sums[1]}\n".encode())
        rows.append(
            {
                "id": id,
                "sample_rate": info.sample_rate,
                "seconds": info.frames / info.sample_rate,
                "snr": None,
                "speaker": speaker,
                "noise": [],
                **where,
            }
        )
    about = {"name": name, "description": description, "checksum": digest.hexdigest()}
    text = json.dumps({**about, "subsets": subsets, "pairs": rows, "files": files}, indent=1) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
