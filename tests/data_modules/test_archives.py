"""Archives from strangers: what they hold comes out, and what they try does not."""

from __future__ import annotations

import contextlib
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from data_modules.corpora.fetch import archives
from data_modules.corpora.fetch.archives import is_archive, unpack
from data_modules.errors import DataError

FILES = {"a.wav": b"one", "speakers/p225/b.wav": b"two" * 1000, "speakers/p226/c.txt": b""}


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as bundle:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            bundle.addfile(entry, io.BytesIO(content))
    return path


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return path


def make(path: Path, files: dict[str, bytes]) -> Path:
    modes = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}
    return make_zip(path, files) if path.suffix == ".zip" else make_tar(path, files, modes[path.suffix])


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


ENDINGS = [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_kind(tmp_path, ending):
    archive = make(tmp_path / f"x{ending}", FILES)
    assert is_archive(archive.name)
    assert tree(unpack(archive, tmp_path / "out" / archive.name)) == FILES
    some = unpack(archive, tmp_path / "some", wanted=lambda name: name.endswith(".wav"))
    assert set(tree(some)) == {"a.wav", "speakers/p225/b.wav"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "some", archive.name]


def test_other_files_are_taken_as_they_are(tmp_path):
    (tmp_path / "list.csv").write_bytes(b"a,b")
    assert unpack(tmp_path / "list.csv", tmp_path / "out" / "list.csv").read_bytes() == b"a,b"


@pytest.mark.parametrize("ending", [".zip", ".tar"])
@pytest.mark.parametrize(
    "name", ["../evil.wav", "a/../../evil.wav", "/etc/evil.wav", "C:evil.wav", "..\\evil.wav", "a/.."]
)
@pytest.mark.parametrize("filtered", [True, False])  # Python before 3.10.12 and 3.11.4 has no filters
@pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")
def test_nothing_gets_out_of_the_folder(tmp_path, ending, name, filtered, monkeypatch):
    if not filtered:
        monkeypatch.setattr(archives, "_FILTER", {})
    archive = make(tmp_path / f"x{ending}", {"good.wav": b"1", name: b"2"})
    out = tmp_path / "deep" / "out"
    with contextlib.suppress(DataError, OSError):
        unpack(archive, out)
    strays = [path for path in tmp_path.rglob("*") if path.is_file() and path != archive]
    assert all(path.is_relative_to(out) or path.is_relative_to(out.with_name(".out.part")) for path in strays)
    assert not Path("/etc/evil.wav").exists()
    unpack(archive, out, wanted=lambda name: name == "good.wav")
    assert tree(out) == {"good.wav": b"1"}


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_tar_are_refused(tmp_path, kind):
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w") as bundle:
        entry = tarfile.TarInfo("way/out")
        entry.type, entry.linkname = kind, "/etc"
        bundle.addfile(entry)
        inside = tarfile.TarInfo("way/out/evil.wav")
        inside.size = 1
        bundle.addfile(inside, io.BytesIO(b"x"))
    with pytest.raises(DataError, match="is a link, a device or a sparse file"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["x.tar"]


def test_links_in_zip_come_out_as_plain_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as bundle:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = 0o120777 << 16
        bundle.writestr(entry, "/etc/passwd")
    link = unpack(tmp_path / "x.zip", tmp_path / "out") / "link"
    assert not link.is_symlink() and link.read_bytes() == b"/etc/passwd"


@pytest.mark.parametrize("ending", [".zip", ".tar.gz", ".tar.xz"])
def test_bombs_are_refused(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(archives, "SMALL", 1 << 20)
    archive = make(tmp_path / f"x{ending}", {f"{i}.wav": bytes(1 << 20) for i in range(4)})
    assert archive.stat().st_size < 20_000
    with pytest.raises(DataError, match=r"unpacks to more than \d MB"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="unpacks to more than 3 MB"):
        unpack(archive, tmp_path / "out", most_bytes=3e6)
    assert len(tree(unpack(archive, tmp_path / "out", most_bytes=4 << 20))) == 4


def test_a_zip_that_lies_about_sizes_cannot_exceed_the_limit(tmp_path):
    """The length in the directory is made small; what counts is what comes out."""
    archive = make_zip(tmp_path / "x.zip", {"a.wav": bytes(1 << 20)})
    data = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        struct.pack_into("<I", data, data.index(signature) + offset, 10)
    archive.write_bytes(data)
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_FILES", 10)
    archive = make(tmp_path / "x.zip", {f"{i}": b"" for i in range(11)})
    with pytest.raises(DataError, match="more than 10 files"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
def test_damaged_archives(tmp_path, ending, damage):
    content = bytes(i * 7 % 251 for i in range(60_000))
    archive = make(tmp_path / f"x{ending}", {"a.wav": content, "b.wav": content[::-1]})
    data = archive.read_bytes()
    archive.write_bytes({"cut": data[: len(data) // 2], "noise": b"no archive " * 100, "empty": b""}[damage])
    with pytest.raises(DataError, match="cannot be unpacked") as caught:
        unpack(archive, tmp_path / "out")
    assert str(archive) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_encrypted_zip(tmp_path):
    archive = make_zip(tmp_path / "x.zip", {"a": b"x"})
    data = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.index(signature) + offset] |= 1
    archive.write_bytes(data)
    with pytest.raises(DataError, match="is encrypted"):
        unpack(archive, tmp_path / "out")


def test_leavings_of_a_killed_run_are_cleared(tmp_path):
    archive = make(tmp_path / "x.zip", FILES)
    (tmp_path / ".out.part" / "a.wav").mkdir(parents=True)
    assert tree(unpack(archive, tmp_path / "out")) == FILES


def test_the_work_can_be_ended(tmp_path):
    archive = make(tmp_path / "x.tar", FILES)

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        unpack(archive, tmp_path / "out", tick=stop)
    assert not (tmp_path / "out").exists()
