"""Downloads from a server that drops, refuses, changes and lies: whole and right in the end, or one clear line."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from file_server import serving

from data_modules.corpora.fetch import transfer
from data_modules.corpora.fetch.checksums import Ledger, WrongChecksum, checksum_of
from data_modules.corpora.fetch.download import fetch, missing_bytes
from data_modules.corpora.recipe import Source
from data_modules.errors import DataError

DATA = bytes(range(256)) * 8192  # 2 MiB
NAME = "corpus part 1.zip"


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(transfer, "BACKOFF_SECONDS", 0.001)


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / NAME).write_bytes(DATA)
    with serving(tmp_path / "served") as server:
        yield server


@pytest.fixture
def source(server):
    digest = hashlib.md5(DATA).hexdigest()
    return Source(NAME, f"{server.url}/{NAME.replace(' ', '%20')}", len(DATA), f"md5:{digest}", "README")


def one_line(error: pytest.ExceptionInfo[DataError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def leavings(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_a_plain_download(source, tmp_path):
    found, notes = fetch([source], tmp_path / "d")
    assert notes == [] and found[0].path.read_bytes() == DATA
    assert (found[0].checksum, found[0].origin) == (source.checksum, "published")
    assert leavings(tmp_path / "d") == {NAME}
    assert missing_bytes([source], tmp_path / "d", None) == 0


@pytest.mark.parametrize("etags", [True, False])
def test_dropped_connections_are_continued(server, source, tmp_path, etags):
    server.etags = etags
    server.faults[NAME] = deque(["drop:300000", 503, "drop:500000", "drop:0", 429])
    found, _ = fetch([source], tmp_path / "d")
    assert found[0].path.read_bytes() == DATA
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) for _, asked in server.requests if asked]
    assert starts == sorted(starts) and starts[-1] >= 700_000


def test_a_server_without_ranges_starts_over(server, source, tmp_path):
    server.ranges = False
    server.faults[NAME] = deque(["drop:300000", "drop:400000"])
    assert fetch([source], tmp_path / "d")[0][0].path.read_bytes() == DATA


def test_a_server_that_sends_another_range_is_not_believed(server, source, tmp_path):
    server.ranges = "wrong"
    server.faults[NAME] = deque(["drop:300000"])
    assert fetch([source], tmp_path / "d")[0][0].path.read_bytes() == DATA


def break_off(server, source: Source, folder: Path, after: int) -> None:
    """A first run that gives up after some bytes."""
    server.faults[NAME] = deque([f"drop:{after}", *["drop:0"] * 20])
    with pytest.raises(DataError, match=r"gave up after 6 attempts \(the connection broke off\)"):
        fetch([source], folder)
    server.faults[NAME].clear()
    server.requests.clear()


def test_the_next_run_goes_on(server, source, tmp_path):
    folder = tmp_path / "d"
    break_off(server, source, folder, 1_000_000)
    assert leavings(folder) == {f".{NAME}.part", f".{NAME}.part.json"}
    assert missing_bytes([source], folder, None) == len(DATA) - 1_000_000
    found, _ = fetch([source], folder)
    assert found[0].path.read_bytes() == DATA and server.requests == [(NAME, "bytes=1000000-")]


def test_a_file_that_changed_in_between_starts_over(server, source, tmp_path):
    """If-Range: the first half of the old file is not glued to the second half of the new one."""
    folder = tmp_path / "d"
    old = replace(source, checksum=None, size=None)
    break_off(server, old, folder, 1_000_000)
    new = DATA[::-1]
    (server.folder / NAME).write_bytes(new)
    found, _ = fetch([old], folder)
    assert found[0].path.read_bytes() == new and server.requests == [(NAME, "bytes=1000000-")]


def test_pieces_of_two_versions_are_found_out_by_the_checksum(server, source, tmp_path):
    folder = tmp_path / "d"
    server.etags = False
    old = DATA[::-1]
    (server.folder / NAME).write_bytes(old)
    break_off(server, source, folder, 1_000_000)
    (server.folder / NAME).write_bytes(DATA)
    assert fetch([source], folder)[0][0].path.read_bytes() == DATA
    assert [asked for _, asked in server.requests] == ["bytes=1000000-", ""]


def test_without_validator_and_checksum_nothing_is_continued(server, source, tmp_path):
    folder, unknown = tmp_path / "d", replace(source, checksum=None, size=None)
    server.etags = False
    break_off(server, unknown, folder, 1_000_000)
    assert fetch([unknown], folder)[0][0].path.read_bytes() == DATA
    assert server.requests == [(NAME, "")]


def test_a_wrong_checksum_is_moved_aside(server, source, tmp_path):
    folder = tmp_path / "d"
    (server.folder / NAME).write_bytes(DATA[::-1])
    with pytest.raises(WrongChecksum) as caught:
        fetch([source], folder)
    text = one_line(caught)
    assert source.checksum in text and str(folder / f"{NAME}.bad") in text and "moved aside" in text
    assert leavings(folder) == {f"{NAME}.bad"}
    (server.folder / NAME).write_bytes(DATA)
    assert fetch([source], folder)[0][0].path.read_bytes() == DATA


def test_a_wrong_size_is_told(server, source, tmp_path):
    (server.folder / NAME).write_bytes(DATA[:-1])
    with pytest.raises(WrongChecksum, match=f"has {len(DATA) - 1} bytes, but .* has {len(DATA)}"):
        fetch([source], tmp_path / "d")


def test_a_download_that_went_bad_on_disk_is_fetched_again(server, source, tmp_path):
    folder = tmp_path / "d"
    fetch([source], folder)
    (folder / NAME).write_bytes(DATA[::-1])
    assert fetch([source], folder)[0][0].path.read_bytes() == DATA
    assert len(server.requests) == 2


def test_an_unpublished_checksum_is_recorded_and_held_to(server, source, tmp_path):
    folder, unknown = tmp_path / "d", replace(source, checksum=None, size=None)
    found, _ = fetch([unknown], folder)
    sha256 = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    assert (found[0].checksum, found[0].origin) == (sha256, "recorded")
    assert json.loads((folder / "checksums.json").read_text()) == {
        NAME: {"checksum": sha256, "origin": "recorded", "url": unknown.url}
    }
    (folder / NAME).unlink()
    (server.folder / NAME).write_bytes(DATA[::-1])
    with pytest.raises(WrongChecksum, match="publisher has replaced the file") as caught:
        fetch([unknown], folder)
    assert "checksums.json" in one_line(caught)
    (folder / "checksums.json").write_text("{")
    with pytest.raises(DataError, match=r"checksums\.json: damaged; delete it"):
        fetch([unknown], folder)


@pytest.mark.parametrize(
    ("status", "what"), [(404, "is not there"), (403, "is refused"), (401, "needs a login")]
)
def test_a_refusal_is_told_at_once(server, source, tmp_path, status, what):
    server.faults[NAME] = deque([status])
    with pytest.raises(DataError, match=what) as caught:
        fetch([source], tmp_path / "d")
    text = one_line(caught)
    assert source.url in text and f"HTTP {status}" in text and "--downloads" in text
    assert len(server.requests) == 1


def test_a_web_page_is_no_corpus(server, source, tmp_path):
    server.faults[NAME] = deque(["page"])
    with pytest.raises(DataError, match="sent a web page instead of the file"):
        fetch([replace(source, checksum=None, size=None)], tmp_path / "d")


def test_a_server_that_stays_down(server, source, tmp_path):
    server.faults[NAME] = deque([503] * 20)
    with pytest.raises(DataError, match=r"gave up after 6 attempts \(HTTP 503\)"):
        fetch([source], tmp_path / "d")
    assert len(server.requests) == 6


def test_no_network(source, tmp_path):
    nobody = replace(source, url="http://127.0.0.1:9/corpus.zip")
    with pytest.raises(DataError, match="is there a network") as caught:
        fetch([nobody], tmp_path / "d")
    assert "--downloads" in one_line(caught)
    unknown = replace(source, url="http://no-such-host.invalid/corpus.zip")
    with pytest.raises(DataError, match=r"no-such-host\.invalid/corpus\.zip: gave up") as caught:
        fetch([unknown], tmp_path / "d")
    one_line(caught)


def test_a_silent_server_is_left(server, source, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUT_SECONDS", (1.0, 0.05))
    monkeypatch.setattr(transfer, "RETRIES", 2)
    server.bytes_per_second = 1000  # 16 seconds between two pieces
    with pytest.raises(DataError, match=r"gave up after 2 attempts \(the server stopped answering\)"):
        fetch([source], tmp_path / "d")


def test_mirror_has_the_files_under_their_names(server, source, tmp_path):
    by_apt = Source("odd_1%3a2_all.deb", size=4, checksum="sha256:" + "0" * 64, by="apt", package="odd=1:2")
    (server.folder / by_apt.name).write_bytes(b"deb!")
    by_apt = replace(by_apt, checksum=checksum_of(server.folder / by_apt.name, "sha256"))
    moved = replace(source, url="http://127.0.0.1:9/moved.zip")
    found, _ = fetch([moved, by_apt], tmp_path / "d", mirror=server.url + "/")
    assert [item.path.name for item in found] == [NAME, by_apt.name]
    with pytest.raises(DataError, match="no address of a mirror"):
        fetch([moved], tmp_path / "d", mirror="/some/folder")


def test_given_files_are_used_where_they_lie_and_held_to_their_checksum(server, source, tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    (given / NAME).write_bytes(DATA)
    given.chmod(0o555)
    found, _ = fetch([source], tmp_path / "d", given=given)
    assert found[0].path == given / NAME and server.requests == []
    (given / NAME).write_bytes(DATA[::-1])
    with pytest.raises(WrongChecksum, match="remove or replace that file"):
        fetch([source], tmp_path / "d", given=given)
    assert (given / NAME).read_bytes() == DATA[::-1]
    with pytest.raises(DataError, match=r"none: no such folder; --downloads"):
        fetch([source], tmp_path / "d", given=tmp_path / "none")


def test_one_failure_stops_the_others_and_an_optional_one_does_not(server, source, tmp_path):
    folder = tmp_path / "d"
    missing = Source("gone.zip", f"{server.url}/gone.zip", optional=True)
    found, notes = fetch([missing, source], folder)
    assert [item.source for item in found] == [source]
    assert len(notes) == 1 and notes[0].startswith(f"left out gone.zip: {server.url}/gone.zip: is not there")
    (server.folder / "big.zip").write_bytes(DATA * 8)
    server.bytes_per_second = 1e6  # 16 seconds, if nothing stopped it
    big = Source("big.zip", f"{server.url}/big.zip")
    with pytest.raises(DataError, match="is not there"):
        fetch([big, replace(missing, optional=False)], folder)
    assert (folder / ".big.zip.part").exists()


def test_an_interrupt_before_all_have_begun_stops_those_that_have(server, source, tmp_path, monkeypatch):
    """The signal may come while the second download is handed out; the first is not waited for then."""
    folder, submit = tmp_path / "d", ThreadPoolExecutor.submit
    server.bytes_per_second = 1e5  # 20 seconds, if nothing stopped it

    def interrupted(pool, function, wanted, *rest):
        if wanted is source:
            return submit(pool, function, wanted, *rest)
        while not (folder / f".{NAME}.part").exists():
            time.sleep(0.001)
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch([source, replace(source, name="second.zip")], folder)
    assert 0 < (folder / f".{NAME}.part").stat().st_size < len(DATA)


def test_two_runs_share_one_download(server, source, tmp_path):
    server.bytes_per_second = 8e6
    results: list[bytes] = []

    def run() -> None:
        results.append(fetch([source], tmp_path / "d")[0][0].path.read_bytes())

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [DATA, DATA] and len(server.requests) == 1


@pytest.mark.parametrize(
    ("by", "package", "program"),
    [("apt", "festvox-ru=0.5+dfsg-6", "apt-get"), ("pip", "ambience==1.1.0", None)],
)
def test_package_managers_that_fail(by, package, program, tmp_path, monkeypatch):
    source = Source("x.deb", by=by, package=package)
    if program:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(DataError, match=f"the program {program} is not installed"):
            fetch([source], tmp_path / "d")
        failing = tmp_path / program
        failing.write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
        failing.chmod(0o755)
        message = r"download failed .E: Unable to locate package.*apt-get update.*--downloads"
    else:
        failing = tmp_path / "pip.py"
        failing.write_text("import sys\nsys.exit('ERROR: no matching distribution')\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        message = r"download failed .ERROR: no matching.*the wheel.*--downloads"
    with pytest.raises(DataError, match=message):
        fetch([source], tmp_path / "d")
    assert not list((tmp_path / "d").glob(".fetch*"))


APT = """#!/bin/sh
echo asked >> "$ASKED"
if [ "$2" = --print-uris ]; then echo "'$URL' $NAME 4 SHA256:0"; else printf 'deb!' > "$NAME"; fi
"""


@pytest.mark.parametrize("address", ["http", "cdrom:[Debian]/pool/odd.deb"])
def test_apt_says_where_and_fetches_what_only_it_can(server, tmp_path, monkeypatch, address):
    name = "odd_1%3a2_all.deb"
    (server.folder / "pool.deb").write_bytes(b"deb!")
    program = tmp_path / "apt-get"
    program.write_text(APT)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("NAME", name)
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    monkeypatch.setenv("URL", f"{server.url}/pool.deb" if address == "http" else address)
    digest = hashlib.sha256(b"deb!").hexdigest()
    source = Source(name, size=4, checksum=f"sha256:{digest}", by="apt", package="odd=1:2")
    (tmp_path / "d" / f".fetch-{name}-old").mkdir(parents=True)  # of a run that was killed
    found, _ = fetch([source], tmp_path / "d")
    assert found[0].path.read_bytes() == b"deb!"
    assert len(server.requests) == (1 if address == "http" else 0)
    assert (tmp_path / "asked").read_text().count("asked") == (1 if address == "http" else 2)
    if address != "http":
        assert leavings(tmp_path / "d") == {name}


def test_unknown_algorithm(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(DataError, match="no such checksum as 'crc'"):
        Ledger(tmp_path).check(Source("x", checksum="crc:0"), tmp_path / "x")
