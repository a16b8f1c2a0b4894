"""The token that calls show the server: kept while it holds, exchanged when it is about to end or was refused."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable

from registrar.errors import InvalidArgument

RENEW_SECONDS = 30.0
"""So long before it ends a token is exchanged, or in the last fifth of its life if that is shorter."""

_TOKEN = re.compile(r"[!-~]*")

SETTLED_SECONDS = 30.0
"""A token that replaced a refused one, and is refused itself before that time, is not replaced at once."""

TokenCallable = Callable[[], str]
"""Gives a token. What it raises, the call that needed the token raises."""
Fetch = Callable[[str], str]
"""Gives a token other than the one that was refused (empty: none was). Called by one thread at a time."""


class Token:
    """One token, and what is known of it. Its text is a secret, so it is not shown."""

    __slots__ = ("_renew_at", "_settled_at", "metadata")

    def __init__(self, text: str, *, is_replacement: bool) -> None:
        self.metadata: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {text}"),) if text else ()
        self._renew_at = _renew_at(text)
        self._settled_at = time.monotonic() + SETTLED_SECONDS if is_replacement else 0.0

    @property
    def is_settled(self) -> bool:
        """Whether another may help when this one is refused: it has not just replaced one that was."""
        return time.monotonic() >= self._settled_at

    @property
    def is_ending(self) -> bool:
        """Whether it is time for another."""
        return self._renew_at is not None and time.time() >= self._renew_at


class Tokens:
    """Keeps one token for all calls of a client. Thread-safe; `fetch` says where another comes from."""

    def __init__(self, fetch: Fetch, *, is_renewable: bool = True) -> None:
        self._fetch = fetch
        self._is_renewable = is_renewable
        self._token: Token | None = None
        self._text = ""
        self._refused = ""
        # Of two: whoever refuses a token does not wait for another that is on its way.
        self._fetching = threading.Lock()
        self._lock = threading.Lock()

    @property
    def ready(self) -> Token | None:
        """The token, if there is one that holds for a while; never waits."""
        token = self._token
        return None if token is None or (token.is_ending and self._is_renewable) else token

    def get(self) -> Token:
        """The token to use now; may ask for another, which can take seconds. Errors: those of `fetch`."""
        if (token := self.ready) is not None:
            return token
        with self._fetching:
            if (token := self.ready) is not None:
                return token
            refused = self._refused
            text = _checked(self._fetch(refused))
            token = Token(text, is_replacement=bool(refused))
            with self._lock:
                self._token, self._text, self._refused = token, text, ""
            return token

    def refuse(self, token: Token) -> bool:
        """Use a token no more that the server did not take; answers whether it is worth trying with another.

        It is not when this one had just replaced one that was refused: so no call is repeated for ever.
        """
        with self._lock:
            if token is self._token and self._is_renewable:
                self._token, self._refused = None, self._text
        return self._is_renewable and token.is_settled


def tokens_of(token: str | TokenCallable) -> Tokens | None:
    """What gives a caller's token; None: an empty text, which is none."""
    if callable(token):
        give = token
        return Tokens(lambda _refused: give().strip())
    text = _checked(token.strip())
    return Tokens(lambda _refused: text, is_renewable=False) if text else None


def _checked(text: str) -> str:
    # gRPC would refuse it as well, with the token in its words.
    if not _TOKEN.fullmatch(text):
        raise InvalidArgument("the token has characters that no token has", reason="TOKEN_MALFORMED")
    return text


def expire_time_of(text: str) -> float | None:
    """When a JWT ends, in seconds since 1970, by its own word; None: it does not say, or is no JWT. Nothing is verified."""
    try:
        payload = text.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def _renew_at(text: str) -> float | None:
    end = expire_time_of(text)
    if end is None:
        return None
    return end - min(RENEW_SECONDS, max(0.0, end - time.time()) / 5)
