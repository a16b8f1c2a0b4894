"""What an identity provider publishes about itself, over HTTP."""

from __future__ import annotations

import json
import ssl
import time
from contextlib import closing
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from registrar_server.adapters.oidc.key_set import KeySet, read_key_set
from registrar_server.adapters.oidc.settings import OidcSettings

_WELL_KNOWN: Final = "/.well-known/openid-configuration"
_TIMEOUT_SECONDS: Final = 3.0
_ANSWER_SECONDS: Final = 6.0
_ANSWER_BYTES: Final = 1 << 20
_BLOCK_BYTES: Final = 1 << 16
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class ProviderUnreachable(Exception):
    """Its keys could not be had. The message says why in a few words, and holds nothing that it sent."""


class Provider:
    """Fetches keys. Thread-safe.

    A request waits 3 s for the connection and for each piece of the answer, 6 s and 1 MiB in all. Redirects are not
    followed. What `HTTPS_PROXY` and `NO_PROXY` say holds, but loopback is always asked directly.
    """

    def __init__(self, settings: OidcSettings) -> None:
        self.issuer = settings.issuer
        self._context = ssl.create_default_context(cafile=settings.ca_file or None)
        self._pools: dict[str, urllib3.PoolManager] = {}

    def fetch_keys(self) -> KeySet:
        """The keys that are published now. ProviderUnreachable."""
        facts = self._get(self.issuer.rstrip("/") + _WELL_KNOWN)
        if not isinstance(facts, dict) or facts.get("issuer") != self.issuer:
            raise ProviderUnreachable("its discovery document names another issuer")
        address = facts.get("jwks_uri")
        if not isinstance(address, str) or not self._may_be_asked(address):
            raise ProviderUnreachable("its discovery document names no https address of keys")
        try:
            return read_key_set(self._get(address))
        except ValueError as exc:
            raise ProviderUnreachable("its keys cannot be read") from exc

    def _may_be_asked(self, address: str) -> bool:
        """Keys come by https, or from loopback if the issuer is there."""
        try:
            parts = urlsplit(address)
            host = parts.hostname
        except ValueError:
            return False
        if parts.scheme == "https":
            return host is not None
        return parts.scheme == "http" and self.issuer.startswith("http:") and host in _LOOPBACK

    def _get(self, address: str) -> object:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            pool = self._pool_for(address)
            with closing(
                pool.request("GET", address, headers=headers, redirect=False, preload_content=False)
            ) as response:
                body = _read(response)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as exc:
            raise ProviderUnreachable(f"it does not answer ({type(exc).__name__})") from exc
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as exc:
            raise ProviderUnreachable("its answer is no JSON") from exc

    def _pool_for(self, address: str) -> urllib3.PoolManager:
        parts = urlsplit(address)
        host = parts.hostname or ""
        is_direct = host in _LOOPBACK or bool(proxy_bypass(host))
        proxy = "" if is_direct else getproxies().get(parts.scheme, "")
        if proxy not in self._pools:
            timeout = urllib3.Timeout(connect=_TIMEOUT_SECONDS, read=_TIMEOUT_SECONDS)
            self._pools[proxy] = (
                urllib3.ProxyManager(proxy, ssl_context=self._context, retries=False, timeout=timeout)
                if proxy
                else urllib3.PoolManager(ssl_context=self._context, retries=False, timeout=timeout)
            )
        return self._pools[proxy]


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    """The body, piece by piece: one that trickles or never ends is given up."""
    if response.status != 200:
        raise ProviderUnreachable(f"it answers with status {response.status}")
    deadline = time.monotonic() + _ANSWER_SECONDS
    body = bytearray()
    while piece := response.read1(_BLOCK_BYTES, decode_content=False):
        body += piece
        if len(body) > _ANSWER_BYTES:
            raise ProviderUnreachable("its answer is longer than 1 MiB")
        if time.monotonic() > deadline:
            raise ProviderUnreachable("its answer takes too long")
    return bytes(body)
