"""A file of a bundle on its way here: checked, and resumed where the connection broke."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator, Iterator
from contextlib import closing

import grpc

from registrar.connection import Connection
from registrar.convert.values import file_from_proto
from registrar.errors import Cancelled, DataLoss, RegistrarError
from registrar.retry import Patience, is_retryable
from registrar.rpc_errors import error_from_rpc
from registrar.types import Artifact
from registrar.v1.artifact_pb2 import ByteRange
from registrar.v1.artifact_service_pb2 import DownloadFileHeader, DownloadFileRequest
from registrar.values import BundleFile


class FileDownload:
    """The bytes of a file, or of a range of it, in order; iterate it once.

    A connection that breaks is resumed at the byte where it broke, until the connection's `timeout_seconds` pass
    without a byte. A whole file ends in DataLoss when its size or SHA-256 is not the manifest's, a range when its bytes
    are not those that the registry says it sent. `cancel` may be called from any thread.
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
    ) -> None:
        self._connection = connection
        self._artifact = artifact
        self._path = path
        self._file = expected
        self._is_whole = offset == 0 and length is None
        self._position = offset
        self._end = None if length is None else offset + length
        self._digest = hashlib.sha256()
        self._stopped = threading.Event()
        self._call: grpc.Call | None = None

    def cancel(self) -> None:
        """End the download soon; the iteration raises Cancelled."""
        self._stopped.set()
        if (call := self._call) is not None:
            call.cancel()

    def __iter__(self) -> Iterator[bytes]:
        patience = Patience(self._connection.timeout_seconds, sleep=self._pause)
        failures = 0
        while True:
            try:
                with closing(self._attempt()) as blocks:
                    for block in blocks:
                        yield block
                        failures = 0
                        patience.renew()
            except grpc.RpcError as exc:
                error = error_from_rpc(exc)
                error.__cause__ = exc
            else:
                self._check_whole()
                return
            if self._stopped.is_set():
                raise Cancelled("the download was cancelled") from error
            delay = self._connection.retry.delay(failures, error.retry_after)
            if not _is_retryable(error) or not patience.wait(delay):
                raise error
            failures += 1

    def _pause(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def _attempt(self) -> Generator[bytes]:
        """Blocks from the present position on, counted as they come."""
        if self._end is not None and self._position == self._end and self._is_whole:
            return  # all bytes came, and only the end of the stream was lost
        sent = hashlib.sha256()
        call = self._connection.artifacts.DownloadFile(self._request())
        self._call = call
        if self._stopped.is_set():
            call.cancel()
        try:
            for message in call:
                match message.WhichOneof("message"):
                    case "header":
                        self._begin(message.header)
                    case "chunk":
                        self._check_chunk(message.chunk.offset, len(message.chunk.data))
                        sent.update(message.chunk.data)
                        if self._is_whole:
                            self._digest.update(message.chunk.data)
                        self._position += len(message.chunk.data)
                        yield message.chunk.data
                    case "trailer":
                        if message.trailer.sha256 != sent.hexdigest():
                            raise self._corrupt("its bytes were damaged on their way")
                        return
                    case None:  # of a later contract
                        continue
            raise self._corrupt("the stream ended without its trailer")
        finally:
            call.cancel()

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
        if self._end is None:
            self._end = header.range.offset + header.range.length if not self._is_whole else file.size_bytes
        if header.range.offset != self._position:
            raise self._corrupt(f"byte {self._position} was asked for, and byte {header.range.offset} sent")

    def _check_chunk(self, offset: int, size: int) -> None:
        if self._end is None:
            raise self._corrupt("the stream has no header")
        if offset != self._position:
            raise self._corrupt(f"byte {self._position} is missing")
        if offset + size > self._end:
            raise self._corrupt("more bytes came than were asked for")

    def _check_whole(self) -> None:
        if self._end is None or self._position != self._end:
            raise self._corrupt(f"it ends after {self._position} bytes of {self._end}")
        if self._is_whole and self._file is not None and self._digest.hexdigest() != self._file.sha256:
            raise self._corrupt("its SHA-256 is not the manifest's")

    def _corrupt(self, problem: str) -> DataLoss:
        return DataLoss(f"{self._path}: {problem}", reason="DOWNLOAD_CORRUPT", metadata={"path": self._path})


def _is_retryable(error: RegistrarError) -> bool:
    # Stalled: we took nothing for too long. Who reads slowly goes on where they were.
    return is_retryable(error) or error.reason == "TRANSFER_STALLED"
