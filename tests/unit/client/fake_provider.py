"""An identity provider that is just enough for the client's tests, on a real socket. Refresh tokens hold once."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

RESOURCE = "https://registry.example/"
Answer = tuple[int, object]


@dataclass
class Provider:
    """What it holds, what it was asked, and how it shall misbehave."""

    issuer: str = ""
    refresh_token: str = "refresh-0"
    """The one that holds; empty: none does."""
    lifetime_seconds: int = 3600
    given: int = 0
    polls: list[str] = field(default_factory=list)
    """What the next questions of a device are answered with; after that the person is done."""
    user_code: str = "BDWP-HQPK"
    discovery: dict[str, object] = field(default_factory=dict)
    """Over what the discovery document says by itself."""
    answers: dict[str, Answer] = field(default_factory=dict)
    """Status and body instead of what a path answers by itself."""
    forms: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and form of every POST, in order."""
    refreshing: Callable[[], object] = lambda: None
    """Called while a refresh is under way."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def forms_of(self, path: str) -> list[dict[str, str]]:
        """Forms that were sent to a path."""
        return [form for place, form in self.forms if place == path]

    def answer(self, path: str, form: dict[str, str]) -> Answer:
        """Status and body."""
        makers: dict[str, Callable[[dict[str, str]], Answer]] = {
            "/.well-known/openid-configuration": lambda _form: (200, self._document()),
            "/device": lambda _form: (200, self._device()),
            "/token": self._token,
            "/revoke": self._revoke,
        }
        if path in self.answers:
            return self.answers[path]
        return makers[path](form) if path in makers else (404, None)

    def _token(self, form: dict[str, str]) -> Answer:
        if form["grant_type"] == "refresh_token":
            return self._refreshed(form["refresh_token"])
        return (400, {"error": self.polls.pop(0)}) if self.polls else (200, self._tokens())

    def _revoke(self, _form: dict[str, str]) -> Answer:
        self.refresh_token = ""
        return 200, None

    def _device(self) -> dict[str, object]:
        return {
            "device_code": "device-code",
            "user_code": self.user_code,
            "verification_uri": f"{self.issuer}/enter",
            "verification_uri_complete": f"{self.issuer}/enter?code={self.user_code}",
            "expires_in": 60,
            "interval": 0,
        }

    def _document(self) -> dict[str, object]:
        return {
            "issuer": self.issuer,
            "token_endpoint": f"{self.issuer}/token",
            "device_authorization_endpoint": f"{self.issuer}/device",
            "revocation_endpoint": f"{self.issuer}/revoke",
            **self.discovery,
        }

    def _refreshed(self, shown: str) -> Answer:
        with self.lock:
            if not shown or shown != self.refresh_token:
                answer: Answer = 400, {"error": "invalid_grant", "error_description": f"{shown} is unknown"}
            else:
                answer = 200, self._tokens()
        self.refreshing()
        return answer

    def _tokens(self) -> dict[str, object]:
        self.given += 1
        self.refresh_token = f"refresh-{self.given}"
        return {
            "access_token": f"access-{self.given}",
            "token_type": "Bearer",
            "expires_in": self.lifetime_seconds,
            "refresh_token": self.refresh_token,
        }


@contextmanager
def serve_provider(provider: Provider, tls: ssl.SSLContext | None = None) -> Iterator[Provider]:
    """Serve on loopback, on a port that the system gives."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(content).items()}
            provider.forms.append((self.path, form))
            self._answer(form)

        def _answer(self, form: dict[str, str]) -> None:
            status, body = provider.answer(self.path, form)
            content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"{provider.issuer}/elsewhere")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    scheme = "http" if tls is None else "https"
    provider.issuer = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
