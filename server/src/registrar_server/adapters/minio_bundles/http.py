"""The HTTP side of the S3 client: pool, time-outs, retries, and a request body that is never copied."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

SEND_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """How long one request may take. A try is repeated `retries` times, so a dead store costs their product.

    `connect_timeout_seconds` is for making the connection, `stall_timeout_seconds` for each send of
    1 MiB and each wait for bytes.
    """

    connect_timeout_seconds: float = 5.0
    stall_timeout_seconds: float = 60.0
    retries: int = 2


Around = Callable[[str], AbstractContextManager[None]]
"""Given a request's method, what surrounds it until the first byte of the answer."""


class PartBody:
    """Bytes to send, in blocks that stay in place until the request is over.

    urllib3 iterates it anew for each try, which makes a retry send the same bytes again.
    """

    def __init__(self, blocks: Sequence[memoryview]) -> None:
        self._blocks = blocks
        self._length = sum(map(len, blocks))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[memoryview]:
        for block in self._blocks:
            for start in range(0, len(block), SEND_BLOCK_BYTES):
                yield block[start : start + SEND_BLOCK_BYTES]


def make_pool(limits: HttpLimits, *, connections: int, around: Around | None = None) -> urllib3.PoolManager:
    """A pool for up to `connections` connections at once to one host."""
    pool = _WatchedPool(
        around=around,
        maxsize=connections,
        timeout=urllib3.Timeout(connect=limits.connect_timeout_seconds, read=limits.stall_timeout_seconds),
        retries=urllib3.Retry(
            total=limits.retries,
            backoff_factor=0.2,
            status_forcelist=(500, 502, 503, 504),
            # Every request here can be repeated, POSTs too: a second start of a multipart upload leaves
            # an orphan that `delete_prefix` removes, a second completion is recognised by reading back.
            allowed_methods=None,
            # The last answer says why (disk full or not); urllib3 would put "too many 500s" in its place.
            raise_on_status=False,
            # urllib3 would sleep for as long as the store says, up to six hours.
            respect_retry_after_header=False,
        ),
        cert_reqs="CERT_REQUIRED",
        ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
    )
    pool.pool_classes_by_scheme = {
        "http": _pool_class(HTTPConnectionPool, _sending_within(HTTPConnection, limits)),
        "https": _pool_class(HTTPSConnectionPool, _sending_within(HTTPSConnection, limits)),
    }
    return pool


class _WatchedPool(urllib3.PoolManager):
    def __init__(self, *, around: Around | None, **options: Any) -> None:
        super().__init__(**options)
        self._around = around or (lambda _: nullcontext())

    def urlopen(self, method: str, *arguments: Any, **options: Any) -> urllib3.BaseHTTPResponse:
        with self._around(method):
            return super().urlopen(method, *arguments, **options)


def _sending_within(base: type[HTTPConnection], limits: HttpLimits) -> type[HTTPConnection]:
    """A connection whose sends have the stall time-out.

    urllib3 sends the body under the connect time-out, and a time-out of Python's `sendall` counts for
    all of its bytes: 5 s for a part of 16 MiB would fail on a store that 64 parts share.
    """

    class SendingConnection(base):  # type: ignore[misc, valid-type]
        def send(self, data: Any) -> None:
            if self.sock is None:
                self.connect()
            self.sock.settimeout(limits.stall_timeout_seconds)
            super().send(data)

    return SendingConnection


def _pool_class(base: type[HTTPConnectionPool], connection: type[HTTPConnection]) -> type[HTTPConnectionPool]:
    return type(f"Sending{base.__name__}", (base,), {"ConnectionCls": connection})
