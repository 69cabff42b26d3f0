"""Six recorded pairs to validate on, by the checksums of their files."""

from __future__ import annotations

import json
from pathlib import Path

from data_modules.benchmarks.voicebank import write_described
from data_modules.errors import DataError
from diffgmm.utils.files import sha256_of

NAME = "real-valid"
LIST = Path(__file__).with_name("real_valid.json")


def write_set_file(folder: Path, path: Path) -> None:
    """Describe the pairs in ``path`` once every file is what the list says; audio stays where it is.

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
                f"{folder / name}: not there; {NAME} needs the {len(listing['files'])} files in clean/ and noisy/ of "
                f"{listing['source']}, in that folder or in the one that --corpus names"
            )
        if sha256_of(folder / name) != digest:
            raise DataError(f"{folder / name}: not the file of {listing['source']}; fetch it again")
    ids = sorted(Path(name).stem for name in listing["files"] if name.startswith("clean/"))
    pairs = ((id, folder / "clean" / f"{id}.wav", folder / "noisy" / f"{id}.wav") for id in ids)
    write_described(path, NAME, listing["description"], pairs)
