"""A range of a file on its way here straight from the store, by presigned URL, with the standard library's HTTP."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

from google.protobuf.duration_pb2 import Duration

from registrar.connection import Connection
from registrar.download.carrier import Block
from registrar.errors import Cancelled, DataLoss, PermissionDenied, RegistrarError, Unavailable
from registrar.retry import Patience
from registrar.types import Artifact
from registrar.v1.artifact_service_pb2 import CreateDownloadUrlsRequest
from registrar.values import BundleFile

URL_SECONDS = 900
"""How long URLs are asked for."""
RENEW_SECONDS = 60
"""So long before they end they are not used any more."""
URLS_AT_ONCE = 200
CONNECT_SECONDS = 10.0
UNREACHABLE_SECONDS = 3.0
"""How long it is tried again before the store has ever answered."""
BLOCK_BYTES = 1 << 20

_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_ANSWER_BYTES = 64 << 10
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")


class DirectSource:
    """Makes carriers of one bundle's files, and keeps what they share: URLs, and idle connections. Thread-safe."""

    def __init__(self, registry: Connection, artifact: Artifact, files: Sequence[BundleFile]) -> None:
        self.registry = registry
        self.has_answered = False
        """Whether the store has ever answered."""
        self._artifact = artifact
        self._paths = sorted((file.path for file in files if file.size_bytes), key=str.encode)
        self._places = {path: place for place, path in enumerate(self._paths)}
        self._urls: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._is_closed = False

    def open(self, file: BundleFile, offset: int, length: int) -> DirectDownload:
        """The carrier of a range."""
        return DirectDownload(self, file, offset, length)

    def url_of(self, path: str, *, refused: str = "") -> str:
        """An URL that holds for a while, and is not the one that was refused. They are fetched some hundreds at a time."""
        with self._lock:
            url, end = self._urls.get(path, ("", 0.0))
            if not url or url == refused or time.monotonic() > end:
                self._fetch(path)
                url, _ = self._urls[path]
            return url

    def _fetch(self, path: str) -> None:
        place = self._places[path] // URLS_AT_ONCE * URLS_AT_ONCE
        request = CreateDownloadUrlsRequest(
            artifact_id=self._artifact.id,
            tenant=self._artifact.tenant,
            paths=self._paths[place : place + URLS_AT_ONCE],
            ttl=Duration(seconds=URL_SECONDS),
        )
        end = time.monotonic() + URL_SECONDS - RENEW_SECONDS
        response = self.registry.unary(self.registry.artifacts.CreateDownloadUrls, request)
        self._urls.update({entry.file.path: (entry.url, end) for entry in response.urls})

    def take(self, url: SplitResult) -> http.client.HTTPConnection:
        """A connection to the store, open or not yet."""
        with self._lock:
            for index, connection in enumerate(self._idle):
                if (connection.host, connection.port) == _place_of(url):
                    return self._idle.pop(index)
        make = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        return make(url.hostname or "", url.port, timeout=CONNECT_SECONDS)

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        """Keep a connection whose last answer was read to its end."""
        with self._lock:
            if not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


class DirectDownload:
    """The bytes of one range, not verified; iterate it once. A `Carrier`.

    Goes on at the byte where a connection broke, until `timeout_seconds` of the registry's connection pass without one.
    Errors: Unavailable STORE_UNREACHABLE when the store has never answered, else STORE_UNAVAILABLE; PermissionDenied
    STORE_REFUSED; DataLoss when the store has not the file, or less of it; those of CreateDownloadUrls.
    """

    def __init__(self, source: DirectSource, file: BundleFile, offset: int, length: int) -> None:
        self._source = source
        self._file = file
        self._position = offset
        self._end = offset + length
        self._refused_url = ""
        self._stopped = threading.Event()
        self._connection: http.client.HTTPConnection | None = None

    def cancel(self) -> None:
        """End soon, with Cancelled."""
        self._stopped.set()
        connection = self._connection
        if connection is not None:
            _shut_down(connection.sock)

    def check(self) -> None:
        """Refuse to go on when the registry's connection is closed. The socket has a time-out."""
        self._source.registry.check_open()

    def __iter__(self) -> Iterator[Block]:
        timeout_seconds = self._source.registry.timeout_seconds
        patience = Patience(timeout_seconds, sleep=self._pause)
        connecting = patience.shorten(UNREACHABLE_SECONDS)
        failures = 0
        while self._position < self._end:
            if self._stopped.is_set():
                raise Cancelled("the download was cancelled")
            try:
                for block in self._attempt():
                    self._position += len(block)
                    yield block
                    failures = 0
                    self._refused_url = ""
                    patience.renew()
            except Unavailable as exc:
                if self._stopped.is_set():
                    raise Cancelled("the download was cancelled") from exc
                current = patience if self._source.has_answered else connecting
                if not current.wait(self._source.registry.retry.delay(failures, exc.retry_after)):
                    raise
                failures += 1

    def _pause(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def _attempt(self) -> Iterator[memoryview]:
        """Blocks from the present position on; the same memory is used for all of them."""
        url = self._source.url_of(self._file.path, refused=self._refused_url)
        parsed = urlsplit(url)
        connection = self._connect(parsed)
        is_reusable = False
        try:
            response = self._ask(connection, parsed, url)
            yield from self._read(response, parsed.netloc)
            is_reusable = response.isclosed() and not response.will_close
        except (OSError, http.client.HTTPException) as exc:
            raise Unavailable(
                f"the store at {parsed.netloc} broke off: {_text(exc)}", reason="STORE_UNAVAILABLE"
            ) from exc
        finally:
            self._connection = None
            if is_reusable:
                self._source.give_back(connection)
            else:
                connection.close()

    def _connect(self, url: SplitResult) -> http.client.HTTPConnection:
        connection = self._source.take(url)
        if connection.sock is None:
            try:
                connection.connect()
            except OSError as exc:
                raise self._unreachable(url.netloc, exc) from exc
        if connection.sock is not None:
            connection.sock.settimeout(self._source.registry.timeout_seconds)
        self._connection = connection
        if self._stopped.is_set():
            _shut_down(connection.sock)
        return connection

    def _ask(self, connection: http.client.HTTPConnection, parsed: SplitResult, url: str) -> http.client.HTTPResponse:
        is_whole = self._position == 0 and self._end == self._file.size_bytes
        headers = {} if is_whole else {"Range": f"bytes={self._position}-{self._end - 1}"}
        connection.request("GET", f"{parsed.path}?{parsed.query}", headers=headers)
        response = connection.getresponse()
        self._source.has_answered = True
        if response.status != (http.HTTPStatus.OK if is_whole else http.HTTPStatus.PARTIAL_CONTENT):
            raise self._refusal(parsed.netloc, url, response.status, response.read(_ANSWER_BYTES))
        if response.length != self._end - self._position:
            raise self._corrupt(
                f"the store has {response.length} bytes where {self._end - self._position} are expected"
            )
        return response

    @staticmethod
    def _read(response: http.client.HTTPResponse, place: str) -> Iterator[memoryview]:
        memory = memoryview(bytearray(min(BLOCK_BYTES, response.length or 0)))
        left = response.length or 0
        while left:
            count = response.readinto(memory[: min(len(memory), left)])
            if not count:
                raise Unavailable(f"the store at {place} broke off", reason="STORE_UNAVAILABLE")
            left -= count
            yield memory[:count]

    def _refusal(self, place: str, url: str, status: int, answer: bytes) -> RegistrarError:
        found = _CODE.search(answer)
        said = f"{status} {found.group(1).decode()}" if found else str(status)
        if status in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
            return self._corrupt(f"the store answers {said}")
        is_expired = status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN) and not self._refused_url
        if is_expired:
            self._refused_url = url
        if is_expired or status in _PASSING:
            return Unavailable(f"the store at {place} answers {said}", reason="STORE_UNAVAILABLE")
        return PermissionDenied(
            f"the store at {place} refuses to give {self._file.path}: {said}",
            reason="STORE_REFUSED",
            metadata={"status": str(status)},
        )

    def _unreachable(self, place: str, cause: OSError) -> Unavailable:
        if self._source.has_answered:
            return Unavailable(f"the store at {place} does not answer: {_text(cause)}", reason="STORE_UNAVAILABLE")
        return Unavailable(
            f"the store at {place} cannot be reached from here ({_text(cause)}): only the registry can reach it",
            reason="STORE_UNREACHABLE",
            metadata={"store": place},
        )

    def _corrupt(self, problem: str) -> DataLoss:
        return DataLoss(f"{self._file.path}: {problem}", reason="DOWNLOAD_CORRUPT", metadata={"path": self._file.path})


def _place_of(url: SplitResult) -> tuple[str, int]:
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def _shut_down(sock: socket.socket | None) -> None:
    if sock is not None:
        with suppress(OSError):  # it is closed already
            sock.shutdown(socket.SHUT_RDWR)


def _text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
