"""An identity provider as small as can be: its discovery document, one key, and tokens signed with it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

_KEY_ID = "benchmark"
_ALGORITHM = "RS256"


class IdentityProvider:
    """Answers on loopback, in a thread of this process."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        keys = json.dumps({"keys": [{**public, "kid": _KEY_ID, "alg": _ALGORITHM, "use": "sig"}]}).encode()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                documents = {"/.well-known/openid-configuration": provider.discovery(), "/keys": keys}
                body = documents.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(body or b"{}")

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}"

    def discovery(self) -> bytes:
        """The document that says where the keys are."""
        return json.dumps({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}).encode()

    def token(self, subject: str, groups: Sequence[str]) -> str:
        """A token for an hour, of the size that providers make: claims that nobody reads are most of it."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": "registrar",
            "sub": subject,
            "iat": now,
            "exp": now + 3600,
            "groups": list(groups),
            "email": f"{subject}@example.com",
            "scope": "openid profile email offline_access",
            "sid": "0" * 36,
            "realm_access": {"roles": [f"role-{number}" for number in range(10)]},
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"kid": _KEY_ID})


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """One that answers until the end."""
    provider = IdentityProvider()
    thread = threading.Thread(target=provider.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.server.shutdown()
        provider.server.server_close()
