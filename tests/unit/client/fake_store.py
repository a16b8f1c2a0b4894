"""A store that takes parts by HTTP PUT, for the client's tests."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.unit.client.fake_state import State
from tests.unit.client.fake_uploads import etag_of


@dataclass
class Store:
    """How the store shall misbehave, and what it was asked."""

    state: State
    statuses: list[int] = field(default_factory=list)
    """Each is the answer to one PUT, instead of taking it."""
    hangs_up_at: list[int] = field(default_factory=list)
    """Each closes one connection after so many bytes of a body."""
    paths: list[str] = field(default_factory=list)
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Store

    def setup(self) -> None:
        super().setup()
        with self.store.lock:
            self.store.connections += 1

    def do_PUT(self) -> None:
        store = self.store
        length = int(self.headers["Content-Length"])
        with store.lock:
            hang_up_at = store.hangs_up_at.pop(0) if store.hangs_up_at else None
            status = store.statuses.pop(0) if store.statuses else 200
        if hang_up_at is not None:
            self.rfile.read(min(hang_up_at, length))
            self.close_connection = True
            return
        data = self.rfile.read(length)
        if len(data) < length:
            self.close_connection = True
            return
        path = urlsplit(self.path).path
        with store.lock:
            store.paths.append(path)
            if status == 200:
                store.state.objects[path] = data
        code = b"NoSuchUpload" if status == 404 else b"Told"
        body = b"" if status == 200 else b"<Error><Code>" + code + b"</Code></Error>"
        self.send_response(status)
        if status == 200:
            self.send_header("ETag", etag_of(data))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name in the base class)
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients that break off are what is tested."""


@contextmanager
def serve_part_store(state: State) -> Iterator[Store]:
    """Serve on a port that the system gives; the registry's presigned URLs lead there."""
    store = Store(state)
    handler = type("Handler", (_Handler,), {"store": store})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        state.store_url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield store
        finally:
            server.shutdown()
            thread.join()
