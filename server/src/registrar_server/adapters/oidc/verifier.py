"""Verifies tokens of one OpenID Connect provider: JWTs (RFC 7519), ID tokens and access tokens (RFC 9068) alike."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import jwt
from jwt.utils import base64url_decode, base64url_encode

from registrar_server.adapters.oidc.claims import invalid, read_identity, require_issuer
from registrar_server.adapters.oidc.key_set import ALGORITHMS, KeySet
from registrar_server.adapters.oidc.keys import ProviderKeys
from registrar_server.adapters.oidc.provider import Provider
from registrar_server.adapters.oidc.settings import OidcSettings
from registrar_server.application.ports.clock import Clock, SystemClock
from registrar_server.application.ports.identity import TokenIdentity
from registrar_server.domain.errors import RegistrarError

_TOKEN_CHARACTERS: Final = 16 * 1024
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_SIGNATURES: Final = jwt.PyJWS(algorithms=sorted(ALGORITHMS))


@dataclass(frozen=True, slots=True)
class _Token:
    """What a token says of itself, none of it verified. `content` is what `signature` is said to sign."""

    algorithm: str
    key_id: str | None
    claims: Mapping[str, object]
    content: bytes
    signature: bytes


class OidcVerifier:
    """The port `TokenVerifier`. Thread-safe; knows no key before the first token or `warm`.

    With the provider down, keys that are known go on serving for 24 hours. `jwk`, `jku`, `x5c` and `x5u` of a token are
    never looked at: a token does not bring its own key.
    """

    def __init__(
        self,
        settings: OidcSettings,
        clock: Clock | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._keys = ProviderKeys(settings.issuer, Provider(settings).fetch_keys, monotonic)

    @property
    def generation(self) -> int:
        """See the port. The first keys change it, too."""
        return self._keys.generation

    def warm(self) -> None:
        """Fetch the keys ahead, for five seconds at most. A provider that does not answer is asked again later."""
        try:
            self._keys.newer_than(self._keys.current())
        except RegistrarError:
            return

    def verify(self, token: str) -> TokenIdentity:
        """See the port."""
        parsed = _parse(token)
        # Before its signature is looked at: a token of somebody else is no reason to ask the provider for keys.
        require_issuer(parsed.claims, self._settings)
        self._require_signature(parsed)
        return read_identity(parsed.claims, self._settings, self._clock.now())

    def _require_signature(self, token: _Token) -> None:
        keys = self._keys.current()
        if _is_signed(token, keys):
            return
        if not keys.knows(token.key_id):
            newer = self._keys.newer_than(keys)
            if newer is not keys and _is_signed(token, newer):
                return
        raise invalid("its signature is not by a key of the identity provider")


def _is_signed(token: _Token, keys: KeySet) -> bool:
    key = keys.fitting(token.key_id, token.algorithm)
    if key is None:
        return False
    algorithm = _SIGNATURES.get_algorithm_by_name(token.algorithm)
    try:
        return algorithm.verify(token.content, algorithm.prepare_key(key.handle), token.signature)
    except (jwt.PyJWTError, ValueError, TypeError):
        return False


def _parse(text: str) -> _Token:
    if len(text) > _TOKEN_CHARACTERS:
        raise invalid(f"it is longer than {_TOKEN_CHARACTERS} characters")
    if not _TOKEN.fullmatch(text):
        raise invalid("it is no signed JWT")
    content, _, signature = text.rpartition(".")
    header, _, claims = content.partition(".")
    algorithm, key_id = _read_header(_read_object(header))
    return _Token(algorithm, key_id, _read_object(claims), content.encode(), _decode(signature))


def _decode(segment: str) -> bytes:
    """One text for one content: what would decode to the same bytes as the right text is refused."""
    try:
        content = base64url_decode(segment)
    except ValueError:
        content = b""
    if base64url_encode(content) != segment.encode():
        raise invalid("it is no signed JWT")
    return content


def _read_object(segment: str) -> Mapping[str, object]:
    try:
        read = json.loads(_decode(segment))
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise invalid("it is no signed JWT")
    return read


def _read_header(header: Mapping[str, object]) -> tuple[str, str | None]:
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise invalid("alg is none that is accepted")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise invalid("typ is neither JWT nor at+jwt")
    if not (key_id is None or isinstance(key_id, str)):
        raise invalid("kid is no text")
    if "crit" in header or "b64" in header:
        raise invalid("it has a header that must be understood (crit, b64)")
    return algorithm, key_id
