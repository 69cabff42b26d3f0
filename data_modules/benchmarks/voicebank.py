"""VoiceBank+DEMAND's test pairs as a benchmark set, once the corpus is prepared."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from data_modules.corpora.manifest import read_manifest
from data_modules.errors import DataError
from diffgmm import audio
from diffgmm.audio import replacing

NAME = "voicebank-demand"
DESCRIPTION = (
    "The test pairs of VoiceBank+DEMAND (Valentini-Botinhao et al.), speakers p232 and p257, as prepared."
)


def write_set_file(corpus: Path, path: Path, name: str = NAME, description: str = DESCRIPTION) -> None:
    """Describe the test pairs of a corpus of pairs in ``path``; audio stays where it is.

    Args:
        corpus: folder of the prepared corpus.
        path: file to write.
        name, description: of the set.

    Raises:
        DataError: the corpus has no test pairs, or a file has no counterpart.
    """
    found: dict[str, dict[str, Any]] = {"clean": {}, "noisy": {}}
    for clip in read_manifest(corpus):
        if clip.split == "test" and clip.kind in found:
            found[clip.kind][Path(clip.path).stem] = clip
    ids = sorted(found["clean"])
    if not ids or ids != sorted(found["noisy"]):
        raise DataError(f"{corpus}: no complete test pairs; run `diffgmm prepare {name}` again")
    pairs: list[dict[str, Any]] = []
    files: dict[str, str] = {}
    digest = hashlib.sha256()
    subsets: dict[str, list[str]] = {}
    for id in ids:
        clean, noisy = found["clean"][id], found["noisy"][id]
        info = audio.probe(corpus / clean.path)
        speaker = id.partition("_")[0]
        subsets.setdefault(speaker, []).append(id)
        where = {kind: str((corpus / one[id].path).resolve()) for kind, one in found.items()}
        files |= {where["clean"]: clean.sha256, where["noisy"]: noisy.sha256}
        digest.update(f"{id} {clean.sha256} {noisy.sha256}\n".encode())
        pairs.append(
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
    text = json.dumps({**about, "subsets": subsets, "pairs": pairs, "files": files}, indent=1) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
