"""Jobs sent as parts by presigned URLs, straight to the store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from time import monotonic

import grpc
from google.protobuf.duration_pb2 import Duration

from registrar.connection import Connection
from registrar.errors import Cancelled, RegistrarError, Unavailable
from registrar.manifest import LocalBundle
from registrar.upload.lane import OnSent
from registrar.upload.plan import Job
from registrar.upload.put import StoreConnection
from registrar.upload.session import UploadSession
from registrar.upload.source import open_source, read_blocks
from registrar.v1.artifact_pb2 import ByteRange, FileRange
from registrar.v1.artifact_service_pb2 import (
    CreatePartUrlsRequest,
    CreatePartUrlsResponse,
    PartUrl,
    RecordPartsRequest,
    SentPart,
)

BLOCK_BYTES = 1 << 20
URL_SECONDS = 900
"""How long URLs are asked for."""
RENEW_SECONDS = 60
"""So long before they end, no part is begun with them any more."""
RECORD_BYTES = 64 << 20
RECORD_PARTS = 250
"""The registry is told of parts after so many bytes or parts: what a killed process has not told is sent again."""


class DirectLane:
    """Sends one job after the other, part after part over one connection to the store."""

    def __init__(
        self, connection: Connection, session: UploadSession, bundle: LocalBundle, *, stall_seconds: float
    ) -> None:
        self._connection = connection
        self._session = session
        self._bundle = bundle
        self._store = StoreConnection(timeout_seconds=stall_seconds)
        self._is_cancelled = threading.Event()

    def send(self, job: Job, on_sent: OnSent) -> None:
        """Send a job; all of it is recorded when this returns.

        Errors: `grpc.RpcError`, see CreatePartUrls and RecordParts; Unavailable STORE_UNREACHABLE, STORE_UNAVAILABLE,
        URL_EXPIRED; PermissionDenied STORE_REFUSED; InvalidArgument FILE_CHANGED; Cancelled.
        """
        end = monotonic() + URL_SECONDS - RENEW_SECONDS
        response = self._urls(job)
        ledger = _Ledger(self._connection, self._session, response.writer_epoch)
        try:
            for url in response.urls:
                _check_time(end)
                ledger.add(url, self._put(url, on_sent))
        except Exception:
            ledger.try_record()
            raise
        ledger.record()

    def _urls(self, job: Job) -> CreatePartUrlsResponse:
        request = CreatePartUrlsRequest(
            upload_id=self._session.upload_id,
            tenant=self._session.tenant,
            ranges=[FileRange(file=p.file, range=ByteRange(offset=p.offset, length=p.length)) for p in job],
            ttl=Duration(seconds=URL_SECONDS),
        )
        return self._connection.artifacts.CreatePartUrls(request, timeout=self._connection.timeout_seconds)

    def _put(self, url: PartUrl, on_sent: OnSent) -> str:
        if self._is_cancelled.is_set():
            raise Cancelled("the upload was cancelled")
        with open_source(self._bundle.files[url.file]) as source:
            return self._store.put(url.url, self._blocks(url, source, on_sent), url.range.length)

    def _blocks(self, url: PartUrl, source: FileIO, on_sent: OnSent) -> Iterator[bytes]:
        file, offset = self._bundle.files[url.file], url.range.offset
        for block in read_blocks(file, source, offset, url.range.length, block_bytes=BLOCK_BYTES):
            yield block
            on_sent(url.file, offset, len(block))
            offset += len(block)

    def check(self) -> None:
        """Nothing: the socket has a time-out."""

    def cancel(self) -> None:
        """End what goes on, and let nothing begin."""
        self._is_cancelled.set()
        self._store.interrupt()

    def close(self) -> None:
        """Close the connection to the store."""
        self._store.close()


def _check_time(end: float) -> None:
    if monotonic() > end:
        raise Unavailable("the URLs end soon", reason="URL_EXPIRED")


class _Ledger:
    """Parts that the store has taken, and of which the registry is told now and then."""

    def __init__(self, connection: Connection, session: UploadSession, writer_epoch: int) -> None:
        self._connection = connection
        self._session = session
        self._writer_epoch = writer_epoch
        self._parts: list[SentPart] = []
        self._size_bytes = 0

    def add(self, url: PartUrl, etag: str) -> None:
        """Note a part; tells the registry when there are enough."""
        self._parts.append(SentPart(file=url.file, part_number=url.part_number, etag=etag))
        self._size_bytes += url.range.length
        if self._size_bytes >= RECORD_BYTES or len(self._parts) >= RECORD_PARTS:
            self.record()

    def record(self) -> None:
        """Tell the registry of what it does not know. Errors: see RecordParts."""
        if not self._parts:
            return
        request = RecordPartsRequest(
            upload_id=self._session.upload_id,
            tenant=self._session.tenant,
            writer_epoch=self._writer_epoch,
            parts=self._parts,
        )
        self._connection.artifacts.RecordParts(request, timeout=self._connection.timeout_seconds)
        self._parts, self._size_bytes = [], 0

    def try_record(self) -> None:
        """The same on the way out of a failure, which is told rather than one of this."""
        with suppress(grpc.RpcError, RegistrarError):
            self.record()
