"""A PostgreSQL server of the tests' own, in a temporary folder, as a user that is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PLACES = ("/usr/lib/postgresql", "/usr/pgsql")


def programs() -> Path | None:
    """Folder of ``initdb`` and ``pg_ctl``, which Debian keeps out of the PATH; None if they are not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = [path.parent for place in PLACES for path in Path(place).glob("*/bin/initdb")]
    return max(folders, default=None)


@contextmanager
def server() -> Iterator[str]:
    """Start a server and give its address for SQLAlchemy; stopped and removed at the end."""
    bin_ = programs()
    assert bin_ is not None
    folder = Path(tempfile.mkdtemp(prefix="diffgmm-pg-"))
    who: dict[str, object] = {}
    if os.geteuid() == 0:  # the server refuses root
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
        who = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        shutil.chown(folder, user)

    def run(*words: str) -> None:
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, **who,  # type: ignore[call-overload]
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = str(folder / "data")
    words = [str(bin_ / "postgres"), "-D", data, "-c", "listen_addresses=127.0.0.1", "-p", str(port)]
    words += ["-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    # The server ends with the tests, however they end: the shell waits for the end of its input.
    keeper = ["sh", "-c", '"$@" >log 2>&1 & read -r line; kill -QUIT $!; wait', "keeper", *words]
    try:
        run(str(bin_ / "initdb"), "-D", data, "-U", "sweep", "-A", "trust", "--no-sync")
        process = subprocess.Popen(keeper, cwd=folder, stdin=subprocess.PIPE, **who)  # type: ignore[call-overload]
        try:
            _wait_for(bin_ / "pg_isready", port, folder / "log")
            yield f"postgresql+psycopg://sweep@127.0.0.1:{port}/postgres"
        finally:
            process.stdin.close()
            process.wait(timeout=60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(ready: Path, port: int, log: Path, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        words = [str(ready), "-q", "-h", "127.0.0.1", "-p", str(port)]
        if subprocess.run(words, timeout=30, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError(f"PostgreSQL did not start:\n{log.read_text()}")
