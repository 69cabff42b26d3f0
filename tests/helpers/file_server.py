"""A local HTTP server for downloads, with range requests and with the faults that servers have."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class FileServer:
    """Serves the files of a folder.

    Attributes:
        faults: name -> what is done to the next requests for it, in turn: a status (int), ``"drop:N"`` (the
            connection is closed after N bytes), ``"page"`` (a web page instead of the file).
        ranges: whether range requests are obeyed; ``"wrong"`` sends another range than the one asked for.
        etags: whether files have an ETag.
        bytes_per_second: limit of a connection, or None.
        requests: (name, range or "") of each request.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, deque[int | str]] = {}
        self.ranges: bool | str = True
        self.etags = True
        self.bytes_per_second: float | None = None
        self.requests: list[tuple[str, str]] = []
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        name = unquote(handler.path.lstrip("/"))
        asked = handler.headers.get("Range", "")
        self.requests.append((name, asked))
        faults = self.faults.get(name)
        fault = faults.popleft() if faults else None
        if isinstance(fault, int) or not (self.folder / name).is_file():
            handler.send_response(fault if isinstance(fault, int) else 404)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        data = b"<html>Please log in</html>" if fault == "page" else (self.folder / name).read_bytes()
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        if handler.headers.get("If-Range") not in (None, etag):
            start = 0
        if self.ranges == "wrong" and start:
            start -= 1
        if start > len(data) or (asked and start == len(data)):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(data)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Type", "text/html" if fault == "page" else "application/octet-stream")
        handler.send_header("Content-Length", str(len(data) - start))
        if self.etags:
            handler.send_header("ETag", etag)
            handler.send_header(
                "Last-Modified", formatdate((self.folder / name).stat().st_mtime, usegmt=True)
            )
        handler.end_headers()
        rest = data[start:]
        if isinstance(fault, str) and fault.startswith("drop:"):
            rest = rest[: int(fault.removeprefix("drop:"))]
        self._send(handler, rest)
        if len(rest) < len(data) - start:
            handler.close_connection = True
            handler.connection.close()

    def _send(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        step = 1 << 14
        for at in range(0, len(data), step):
            handler.wfile.write(data[at : at + step])
            if self.bytes_per_second:
                time.sleep(step / self.bytes_per_second)


@contextmanager
def serving(folder: Path) -> Iterator[FileServer]:
    """A server on a free port of this machine."""
    server = FileServer(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                server.answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # a client that was killed

        def log_message(self, *arguments: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments: object) -> None:
            pass  # connections that this test cut

    httpd = Quiet(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
