"""Jobs sent as WriteUpload streams."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import grpc

from registrar.checksum import crc32c
from registrar.connection import Connection
from registrar.errors import Cancelled, Unavailable
from registrar.framing import Chunk, chunk_message
from registrar.manifest import LocalBundle
from registrar.upload.lane import OnSent
from registrar.upload.line import Line
from registrar.upload.plan import Job
from registrar.upload.session import UploadSession
from registrar.upload.source import open_source, read_blocks
from registrar.v1.artifact_pb2 import ByteRange, FileRange
from registrar.v1.artifact_service_pb2 import WriteUploadHeader, WriteUploadRequest, WriteUploadResponse

CHUNK_BYTES = 1 << 20
"""The most that the contract allows, and the fastest: 256 KiB reach half, 512 KiB four fifths of its rate."""
ANSWER_SECONDS = 600.0
"""The registry answers a stream when all is durable: for a large file the store may take minutes to put it together."""

_METHOD = "/registrar.v1.ArtifactService/WriteUpload"


class StreamLane:
    """Sends one job after the other, each in a stream of its own. `check` and `cancel` may be called from any thread.

    A stream that takes nothing for `stall_seconds` is ended, and the next one goes over a new connection.
    """

    def __init__(self, line: Line, session: UploadSession, bundle: LocalBundle, *, stall_seconds: float | None) -> None:
        self._line = line
        self._session = session
        self._bundle = bundle
        self._stall_seconds = stall_seconds
        self._lock = threading.Lock()
        self._stream: _Stream | None = None
        self._is_cancelled = False

    def send(self, job: Job, on_sent: OnSent) -> None:
        """Send a job; all of it is durable when this returns.

        Errors: `grpc.RpcError`, see WriteUpload; InvalidArgument FILE_CHANGED; Unavailable TRANSFER_STALLED; Cancelled.
        """
        connection = self._line.connection
        stream = _Stream(self._messages(job), on_sent)
        with self._lock:
            if self._is_cancelled:
                raise Cancelled("the upload was cancelled")
            self._stream = stream
            stream.start(connection)
        try:
            stream.finish()
        except Unavailable:
            self._line.exchange(connection)
            raise
        finally:
            with self._lock:
                self._stream = None

    def check(self) -> None:
        """End the stream that goes on, if it stands still."""
        with self._lock:
            if self._stream is not None and self._stall_seconds is not None:
                self._stream.check(self._stall_seconds)

    def cancel(self) -> None:
        """End the stream that goes on, and let none begin."""
        with self._lock:
            self._is_cancelled = True
            if self._stream is not None:
                self._stream.cancel()

    def close(self) -> None:
        """Close the connection, where it is the lane's own."""
        self._line.close()

    def _messages(self, job: Job) -> Iterator[bytes | Chunk]:
        yield _header(self._session, self._bundle, job).SerializeToString()
        for piece in job:
            if not piece.length:
                continue
            file = self._bundle.files[piece.file]
            offset = piece.offset
            with open_source(file) as source:
                for block in read_blocks(file, source, offset, piece.length, block_bytes=CHUNK_BYTES):
                    yield Chunk(piece.file, offset, crc32c(block) if crc32c is not None else None, block)
                    offset += len(block)


def _header(session: UploadSession, bundle: LocalBundle, job: Job) -> WriteUploadRequest:
    ranges = [FileRange(file=piece.file) for piece in job]
    for piece, named in zip(job, ranges, strict=True):
        if piece.length != bundle.files[piece.file].entry.size_bytes:
            named.range.CopyFrom(ByteRange(offset=piece.offset, length=piece.length))
    return WriteUploadRequest(
        header=WriteUploadHeader(upload_id=session.upload_id, tenant=session.tenant, ranges=ranges)
    )


def _serialized(message: bytes | Chunk) -> bytes:
    return message if isinstance(message, bytes) else chunk_message(message)


class _Stream:
    """One call. gRPC takes its messages in a thread of its own, logs what they raise and answers UNKNOWN: so that is kept."""

    def __init__(self, messages: Iterator[bytes | Chunk], on_sent: OnSent) -> None:
        self._messages = messages
        self._on_sent = on_sent
        self._failure: Exception | None = None
        self._moved_at = time.monotonic()
        self._is_sending = True
        self._stalled_seconds = 0.0

    def start(self, connection: Connection) -> None:
        """Begin to send."""
        method: grpc.StreamUnaryMultiCallable[bytes | Chunk, WriteUploadResponse] = connection.channel.stream_unary(
            _METHOD, request_serializer=_serialized, response_deserializer=WriteUploadResponse.FromString
        )
        self._call = method.future(self._sent())

    def finish(self) -> None:
        """Wait for the answer."""
        try:
            self._call.result()
        except grpc.FutureCancelledError as exc:
            if self._stalled_seconds:
                raise Unavailable(
                    f"nothing moved for {self._stalled_seconds:.0f} seconds", reason="TRANSFER_STALLED"
                ) from exc
            raise Cancelled("the upload was cancelled") from exc
        except grpc.RpcError:
            # The source's own failure is the cause; that the stream broke off is only its consequence.
            if self._failure is not None:
                raise self._failure from None
            raise
        finally:
            self._call.cancel()  # nothing when it is over; on Ctrl-C it ends the stream

    def check(self, stall_seconds: float) -> None:
        """Cancel when nothing has moved for that long."""
        still_seconds = time.monotonic() - self._moved_at
        if still_seconds > (stall_seconds if self._is_sending else max(stall_seconds, ANSWER_SECONDS)):
            self._stalled_seconds = still_seconds
            self._call.cancel()

    def cancel(self) -> None:
        """End it; `finish` raises Cancelled."""
        self._call.cancel()

    def _sent(self) -> Iterator[bytes | Chunk]:
        try:
            for message in self._messages:
                if isinstance(message, Chunk):
                    # Before it goes: the answer may come without gRPC asking for what follows the last one.
                    self._on_sent(message.file, message.offset, len(message.data))
                yield message
                self._moved_at = time.monotonic()
        except Exception as exc:  # noqa: BLE001  (whatever it is, `finish` raises it)
            self._failure = exc
            # A message that no server takes: merely ending here would look like a stream that is shorter than its header.
            yield b""
        self._is_sending = False
