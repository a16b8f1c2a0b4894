"""An object store that reads a registry's bundles out by presigned URLs, over HTTP on a real socket."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.unit.client.fake_state import State


class ReadingStore:
    """What it was asked, and how it shall misbehave."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.requests: list[tuple[str, str]] = []
        """Path and `Range` of each GET."""
        self.connections = 0
        self.cut_after: list[int] = []
        """Each ends one answer after so many bytes of the body."""
        self.expired_epochs: set[int] = set()
        """URLs that were made then are refused."""
        self.statuses: list[int] = []
        """Each is the answer to one GET."""
        self.flip_byte_of = ""
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: ReadingStore

    def setup(self) -> None:
        super().setup()
        with self.store.lock:
            self.store.connections += 1

    def do_GET(self) -> None:
        store = self.store
        parsed = urlsplit(self.path)
        _, artifact_id, path = unquote(parsed.path).split("/", 2)
        with store.lock:
            store.requests.append((path, self.headers.get("Range", "")))
            status = store.statuses.pop(0) if store.statuses else 0
            cut = store.cut_after.pop(0) if store.cut_after else None
        epoch = int(parse_qs(parsed.query)["epoch"][0])
        if status or epoch in store.expired_epochs:
            self._answer(status or 403, b"<Error><Code>AccessDenied</Code></Error>", None)
            return
        data = store.state.bundles[artifact_id].files[path][1]
        if store.flip_byte_of == path:
            data = bytes([data[0] ^ 1]) + data[1:]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        body = data[int(wanted[1]) : int(wanted[2]) + 1] if wanted else data
        self._answer(206 if wanted else 200, body, cut)

    def _answer(self, status: int, body: bytes, cut: int | None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Clients break off."""


@contextmanager
def serve_reading_store(state: State) -> Iterator[ReadingStore]:
    """Serve on a port that the system gives, and let the registry's URLs lead there."""
    store = ReadingStore(state)
    handler = type("Handler", (_Handler,), {"store": store})
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    state.store_url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
