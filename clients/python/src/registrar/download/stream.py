"""A range of a file on its way here through the registry: checked, and resumed where the connection broke."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import grpc

from registrar.checksum import crc32c
from registrar.connection import Connection
from registrar.convert.values import file_from_proto
from registrar.download.carrier import Block
from registrar.errors import Cancelled, Code, DataLoss, RegistrarError
from registrar.framing import Chunk, chunk_reader
from registrar.retry import Patience, is_retryable
from registrar.rpc_errors import error_from_rpc
from registrar.types import Artifact
from registrar.v1.artifact_pb2 import ByteRange
from registrar.v1.artifact_service_pb2 import DownloadFileHeader, DownloadFileRequest, DownloadFileResponse
from registrar.values import BundleFile

_METHOD = "/registrar.v1.ArtifactService/DownloadFile"
_read = chunk_reader(DownloadFileResponse.FromString)

if TYPE_CHECKING:
    # Known to grpcio's stubs only.
    _Call = grpc._CallIterator[Chunk | DownloadFileResponse]  # noqa: SLF001


class _DamagedChunk(DataLoss):
    """It may come whole the next time."""


class FileDownload:
    """The bytes of a file, or of a range of it, in order; iterate it once. A `Carrier`.

    A connection that breaks is resumed at the byte where it broke, until the connection's `timeout_seconds` pass
    without a byte; so is one that damaged a chunk. A whole file ends in DataLoss when its size or SHA-256 is not the manifest's, a range when its bytes
    are not those that the registry says it sent; unless `is_hashed` is false, because the caller hashes them.
    """

    def __init__(
        self,
        connection: Connection,
        artifact: Artifact,
        path: str,
        *,
        expected: BundleFile | None = None,
        offset: int = 0,
        length: int | None = None,
        is_hashed: bool = True,
    ) -> None:
        self._connection = connection
        self._artifact = artifact
        self._path = path
        self._file = expected
        self._is_whole = offset == 0 and length is None
        self._position = offset
        self._end = None if length is None else offset + length
        self._is_hashed = is_hashed
        self._digest = hashlib.sha256()
        self._stopped = threading.Event()
        self._call: grpc.Call | None = None
        self._waiting_since: float | None = None
        self._has_stalled = False
        self._has_begun = False

    def cancel(self) -> None:
        """End the download soon; the iteration raises Cancelled."""
        self._stopped.set()
        if (call := self._call) is not None:
            call.cancel()

    def check(self) -> None:
        """Break off an attempt that has brought nothing for the connection's `timeout_seconds`.

        Errors: InvalidArgument CLOSED when the connection is closed.
        """
        self._connection.check_open()
        since, call = self._waiting_since, self._call
        if call is None or since is None or time.monotonic() - since < self._connection.timeout_seconds:
            return
        self._has_stalled = True
        call.cancel()

    def __iter__(self) -> Iterator[Block]:
        patience = Patience(self._connection.timeout_seconds, sleep=self._pause)
        failures = 0
        while True:
            self._connection.check_open()
            try:
                with closing(self._attempt()) as blocks:
                    for block in blocks:
                        yield block
                        failures = 0
                        patience.renew()
            except grpc.RpcError as exc:
                error = error_from_rpc(exc)
                error.__cause__ = exc
            except _DamagedChunk as exc:
                error = exc
            else:
                self._check_whole()
                return
            if self._stopped.is_set():
                raise Cancelled("the download was cancelled") from error
            if self._has_stalled:
                self._has_stalled = False
                patience.renew()
            delay = self._connection.retry.delay(failures, error.retry_after)
            if not _is_retryable(error) or not patience.wait(delay):
                raise error
            failures += 1

    def _pause(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def _attempt(self) -> Generator[Block]:
        """Blocks from the present position on, counted as they come."""
        if self._end is not None and self._position == self._end and self._has_begun:
            return  # all bytes came, and only the end of the stream was lost
        digest = self._digest if self._is_whole else hashlib.sha256()
        has_ended = False
        call = self._open()
        try:
            for message in self._messages(call):
                if isinstance(message, Chunk):
                    self._check_chunk(message)
                    if self._is_hashed:
                        digest.update(message.data)
                    self._position += len(message.data)
                    yield message.data
                elif message.HasField("header"):
                    self._begin(message.header)
                elif message.HasField("trailer"):
                    is_range_hashed = self._is_hashed and not self._is_whole
                    if is_range_hashed and message.trailer.sha256 != digest.hexdigest():
                        raise self._corrupt("its bytes were damaged on their way")
                    has_ended = True
            if not has_ended:
                raise self._corrupt("the stream ended without its trailer")
        finally:
            call.cancel()

    def _open(self) -> _Call:
        method = self._connection.channel.unary_stream(
            _METHOD, request_serializer=DownloadFileRequest.SerializeToString, response_deserializer=_read
        )
        try:
            call = method(self._request())
        except ValueError:  # of a channel that is closed
            self._connection.check_open()
            raise
        self._call = call
        if self._stopped.is_set():
            call.cancel()
        return call

    def _messages(self, call: _Call) -> Iterator[Chunk | DownloadFileResponse]:
        """The messages; while one is waited for, `check` may find that it takes too long."""
        while True:
            self._waiting_since = time.monotonic()
            try:
                message = next(call, None)
            finally:
                self._waiting_since = None
            if message is None:
                return
            yield message

    def _request(self) -> DownloadFileRequest:
        request = DownloadFileRequest(tenant=self._artifact.tenant, artifact_id=self._artifact.id, path=self._path)
        if self._position or not self._is_whole:
            length = 0 if self._end is None else self._end - self._position
            request.range.CopyFrom(ByteRange(offset=self._position, length=length))
        return request

    def _begin(self, header: DownloadFileHeader) -> None:
        file = file_from_proto(header.file)
        if self._file is None:
            self._file = file
        elif (file.sha256, file.size_bytes) != (self._file.sha256, self._file.size_bytes):
            raise self._corrupt("the registry sends another file than its manifest lists")
        self._has_begun = True
        if self._end is None:
            self._end = header.range.offset + header.range.length if not self._is_whole else file.size_bytes
        if header.range.offset != self._position:
            raise self._corrupt(f"byte {self._position} was asked for, and byte {header.range.offset} sent")

    def _check_chunk(self, chunk: Chunk) -> None:
        if self._end is None:
            raise self._corrupt("the stream has no header")
        if chunk.offset != self._position:
            raise self._corrupt(f"byte {self._position} is missing")
        if chunk.offset + len(chunk.data) > self._end:
            raise self._corrupt("more bytes came than were asked for")
        if crc32c is not None and chunk.crc32c is not None and crc32c(bytes(chunk.data)) != chunk.crc32c:
            raise _DamagedChunk(
                f"{self._path}: the chunk at {chunk.offset} was damaged on its way",
                reason="CHUNK_CORRUPT",
                metadata={"path": self._path, "offset": str(chunk.offset)},
            )

    def _check_whole(self) -> None:
        if self._end is None or self._position != self._end:
            raise self._corrupt(f"it ends after {self._position} bytes of {self._end}")
        is_checked = self._is_hashed and self._is_whole and self._file is not None
        if is_checked and self._file is not None and self._digest.hexdigest() != self._file.sha256:
            raise self._corrupt("its SHA-256 is not the manifest's")

    def _corrupt(self, problem: str) -> DataLoss:
        return DataLoss(f"{self._path}: {problem}", reason="DOWNLOAD_CORRUPT", metadata={"path": self._path})


def open_stream(connection: Connection, artifact: Artifact, file: BundleFile, offset: int, length: int) -> FileDownload:
    """The carrier of a range, for somebody who hashes what it brings. A whole file the registry verifies as well."""
    is_whole = offset == 0 and length == file.size_bytes
    return FileDownload(
        connection,
        artifact,
        file.path,
        expected=file,
        offset=offset,
        length=None if is_whole else length,
        is_hashed=False,
    )


def _is_retryable(error: RegistrarError) -> bool:
    # Stalled: we took nothing for too long, or nothing came. The registry may also just cancel who stands still.
    is_passing = error.reason == "TRANSFER_STALLED" or error.code is Code.CANCELLED or isinstance(error, _DamagedChunk)
    return is_passing or is_retryable(error)
