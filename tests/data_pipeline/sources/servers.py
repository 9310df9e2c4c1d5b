"""Servers of HTTP on the loopback interface that behave badly on purpose."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import ClassVar


@dataclass
class Manners:
    """How a server gives its files.

    Attributes:
        files: path with its leading slash -> bytes. etags: path -> version, where it has one.
        statuses: path -> what it answers in place of the file.
        ranges: whether it can send parts.
        cut_after: bytes of a body after which it drops the connection; None: never. cuts: how often it does.
        head_size: what HEAD says of every file's size; None: the truth; -1: nothing.
        body_size: whether an answer says how long it is.
        requests: what was asked: method, path, range. queries: of these, what followed the path.
        on_request: is told the number of each, from 1, before it is answered.
    """

    files: dict[str, bytes]
    etags: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    ranges: bool = True
    cut_after: int | None = None
    cuts: int = 1 << 30
    head_size: int | None = None
    body_size: bool = True
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    on_request: Callable[[int], None] = lambda number: None


class Server:
    """Serves from entering its block to leaving it; `url` is its address without a slash at the end."""

    def __init__(self, manners: Manners) -> None:
        self.manners = manners
        handler = type("Handler", (_Handler,), {"manners": manners})  # http.server makes one of it a request
        self._server = _Quiet(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that leave early."""


class _Handler(BaseHTTPRequestHandler):
    manners: ClassVar[Manners]

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        data = self._begin()
        if data is None:
            return
        self.send_response(200)
        size = len(data) if self.manners.head_size is None else self.manners.head_size
        if size is not None and size >= 0:
            self.send_header("Content-Length", str(size))
        self._end_headers()

    def do_GET(self) -> None:
        data = self._begin()
        if data is None:
            return
        asked = self.headers.get("Range")
        first = 0
        if asked and self.manners.ranges:
            first = int(asked.removeprefix("bytes=").partition("-")[0])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if self.manners.body_size:
            self.send_header("Content-Length", str(len(data) - first))
        self._end_headers()
        cut = self.manners.cut_after
        if cut is not None and self.manners.cuts > 0 and len(data) - first > cut:
            self.manners.cuts -= 1
            self.wfile.write(data[first : first + cut])
        else:
            self.wfile.write(data[first:])
        self.close_connection = True

    def _begin(self) -> bytes | None:
        path, _, query = self.path.partition("?")
        self.manners.queries.append(query)
        self.manners.requests.append((self.command, path, self.headers.get("Range")))
        self.manners.on_request(len(self.manners.requests))
        status = self.manners.statuses.get(path, 200 if path in self.manners.files else 404)
        if status != 200:
            self.send_error(status)
            return None
        return self.manners.files[path]

    def _end_headers(self) -> None:
        etag = self.manners.etags.get(self.path.partition("?")[0])
        if etag:
            self.send_header("ETag", f'"{etag}"')
        self.end_headers()
