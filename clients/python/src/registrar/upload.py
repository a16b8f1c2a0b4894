"""A bundle on its way to the registry, in one stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc

from registrar.connection import Connection
from registrar.convert.values import file_to_proto, model_ref_to_proto
from registrar.errors import Cancelled, InvalidArgument, RegistrarError
from registrar.manifest import LocalBundle, LocalFile
from registrar.progress import Meter
from registrar.reference import ModelRef
from registrar.retry import Patience, is_retryable
from registrar.v1.artifact_pb2 import FileChunk, Manifest
from registrar.v1.artifact_service_pb2 import UploadArtifactHeader, UploadArtifactRequest, UploadArtifactResponse

CHUNK_BYTES = 1 << 20
"""The most that the contract allows, and the fastest of the sizes that were measured."""


def upload_bundle(connection: Connection, model: ModelRef, bundle: LocalBundle, meter: Meter) -> UploadArtifactResponse:
    """Send a bundle; begins again from the start when the connection breaks: what is content-addressed may be repeated.

    Gives up when nothing more than before has been sent for the connection's `timeout_seconds`.
    Errors: see UploadArtifact; InvalidArgument FILE_CHANGED when a file is not what was hashed any more.
    """
    patience = Patience(connection.timeout_seconds)
    furthest = 0

    def attempt() -> UploadArtifactResponse:
        meter.reset()
        sent = 0

        def on_bytes(size: int) -> None:
            nonlocal sent, furthest
            meter.add(size)
            sent += size
            if sent > furthest:
                furthest = sent
                patience.renew()

        return _send(connection, _Requests(model, bundle, on_bytes))

    return connection.attempts(attempt, patience, is_retryable=_is_retryable)


def _is_retryable(error: RegistrarError) -> bool:
    return is_retryable(error) or error.reason == "CHUNK_CORRUPT"


def _send(connection: Connection, requests: _Requests) -> UploadArtifactResponse:
    call = connection.artifacts.UploadArtifact.future(iter(requests))
    try:
        return call.result()
    except grpc.FutureCancelledError as exc:
        raise Cancelled("the upload was cancelled") from exc
    except grpc.RpcError:
        # The source's own failure is the cause; that the stream broke off is only its consequence.
        if requests.failure is not None:
            raise requests.failure from None
        raise
    finally:
        call.cancel()  # nothing when it is over; on Ctrl-C it ends the stream


class _Requests:
    """The messages of one stream.

    gRPC iterates them in a thread of its own, logs what they raise and answers UNKNOWN: so the failure is kept here.
    """

    def __init__(self, model: ModelRef, bundle: LocalBundle, on_bytes: Callable[[int], None]) -> None:
        self.failure: Exception | None = None
        self._model = model
        self._bundle = bundle
        self._on_bytes = on_bytes

    def __iter__(self) -> Iterator[UploadArtifactRequest]:
        manifest = Manifest(files=[file_to_proto(entry) for entry in self._bundle.entries])
        yield UploadArtifactRequest(
            header=UploadArtifactHeader(model=model_ref_to_proto(self._model), manifest=manifest)
        )
        try:
            for index, file in enumerate(self._bundle.files):
                for chunk in _chunks(index, file):
                    yield UploadArtifactRequest(chunk=chunk)
                    self._on_bytes(len(chunk.data))
        except Exception as exc:  # noqa: BLE001  (whatever it is, `_send` raises it)
            self.failure = exc
            # A chunk that no server takes: merely ending here would look like a bundle that is shorter than declared.
            yield UploadArtifactRequest()


def _chunks(index: int, file: LocalFile) -> Iterator[FileChunk]:
    offset = 0
    with file.source.open("rb", buffering=0) as stream:
        while (left := file.entry.size_bytes - offset) > 0:
            data = stream.read(min(CHUNK_BYTES, left))
            if not data:
                raise InvalidArgument(f"{file.source} became shorter while it was pushed", reason="FILE_CHANGED")
            yield FileChunk(file=index, offset=offset, data=data)
            offset += len(data)
