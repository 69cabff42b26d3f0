"""Sets of recorded pairs, which stay where they are: VoiceBank+DEMAND's, and six of them to validate on."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data_modules.errors import DataError
from data_modules.pools.sources import read_manifest
from diffgmm import audio
from diffgmm.utils.files import sha256_of, write_text

REAL = "real-valid"
LIST = Path(__file__).with_name("real_valid.json")
CORPUS = "voicebank-demand"
DESCRIPTIONS = {
    "test": "The test pairs of VoiceBank+DEMAND (Valentini-Botinhao et al.), speakers p232 and p257, as prepared.",
    "valid": "The pairs of VoiceBank+DEMAND that are set aside for validation, as prepared: two of its 28 speakers.",
}


def write_real(folder: Path, path: Path) -> None:
    """Describe the pairs of ``real-valid`` in ``path`` once every file is what the list says.

    Args:
        folder: has the files, as ``clean/p287_001.wav`` and so on.
        path: file to write.

    Raises:
        DataError: a file is missing or another one.
    """
    listing = json.loads(LIST.read_text(encoding="utf-8"))
    for name, digest in listing["files"].items():
        if not (folder / name).is_file():
            raise DataError(
                f"{folder / name}: not there; {REAL} needs the {len(listing['files'])} files in clean/ and noisy/ of "
                f"{listing['source']}, in that folder or in the one that --corpus names"
            )
        if sha256_of(folder / name) != digest:
            raise DataError(f"{folder / name}: not the file of {listing['source']}; fetch it again")
    ids = sorted(Path(name).stem for name in listing["files"] if name.startswith("clean/"))
    pairs = ((id, folder / "clean" / f"{id}.wav", folder / "noisy" / f"{id}.wav") for id in ids)
    _describe(path, REAL, listing["description"], pairs)


def write_corpus(
    corpus: Path, path: Path, split: str = "test", *, name: str | None = None, description: str | None = None
) -> None:
    """Describe the pairs of a split of the corpus in ``path``.

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
    name = name or (CORPUS if split == "test" else f"{CORPUS}-{split}")
    pairs = ((id, clips["clean"][id], clips["noisy"][id]) for id in ids)
    _describe(path, name, description or DESCRIPTIONS[split], pairs)


def _describe(path: Path, name: str, description: str, pairs: Iterable[tuple[str, Path, Path]]) -> None:
    """Write the ``set.json`` of pairs: id (the speaker, ``_``, a number), clean file, noisy file.

    Raises:
        AudioError: a file is missing or damaged.
    """
    rows: list[dict[str, Any]] = []
    files: dict[str, str] = {}
    digest = hashlib.sha256()
    subsets: dict[str, list[str]] = defaultdict(list)
    for id, clean, noisy in pairs:
        info = audio.probe(clean)
        speaker = id.partition("_")[0]
        subsets[speaker].append(id)
        places = {"clean": str(clean.resolve()), "noisy": str(noisy.resolve())}
        sums = [sha256_of(place) for place in places.values()]
        files |= dict(zip(places.values(), sums, strict=True))
        digest.update(f"{id} {sums[0]} {sums[1]}\n".encode())
        about = {"id": id, "sample_rate": info.sample_rate, "seconds": info.seconds, "snr": None}
        rows.append({**about, "speaker": speaker, "noise": [], **places})
    facts = {"name": name, "description": description, "checksum": digest.hexdigest()}
    text = json.dumps({**facts, "subsets": subsets, "pairs": rows, "files": files}, indent=1) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
