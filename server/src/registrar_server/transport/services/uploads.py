"""The RPCs of ArtifactService by which bundles come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import google_crc32c
import grpc

from registrar.framing import Chunk as WireChunk
from registrar.v1 import artifact_service_pb2 as pb
from registrar.v1 import artifact_service_pb2_grpc
from registrar_server.application.artifacts import Artifacts, Chunk, Uploaded
from registrar_server.application.transfers import Transfers
from registrar_server.application.upload_streams import UploadStreams
from registrar_server.application.uploads import Uploads, UploadStatus
from registrar_server.domain import limits
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.validation import checking
from registrar_server.transport.calls import current_call, current_caller
from registrar_server.transport.convert.artifacts import bundle_to_proto, manifest_from_proto
from registrar_server.transport.convert.references import model_from_proto
from registrar_server.transport.convert.uploads import (
    files_to_proto,
    part_url_to_proto,
    parts_from_proto,
    ranges_from_proto,
    ttl_from_proto,
    upload_ref,
    upload_to_proto,
)
from registrar_server.transport.convert.values import time_to_proto
from registrar_server.transport.streams import RequestStream, Slots

_COMMIT_WAIT_SECONDS = 20.0
"""How long CommitUpload waits at most; proxies give up on a silent call after a minute or less."""
_ANSWER_SECONDS = 1.0
"""What is left of a caller's time to answer in."""

UploadMessage = pb.UploadArtifactRequest | WireChunk
WriteMessage = pb.WriteUploadRequest | WireChunk
Header = TypeVar("Header", pb.UploadArtifactRequest, pb.WriteUploadRequest)


class UploadRpcs(artifact_service_pb2_grpc.ArtifactServiceServicer):
    """Converts, calls, converts. Every stream takes a slot and must not stand still; a commit that waits takes one too."""

    def __init__(
        self,
        artifacts: Artifacts,
        uploads: Uploads,
        upload_streams: UploadStreams,
        upload_slots: Slots,
        wait_slots: Slots,
        transfers: Transfers,
        *,
        stall_seconds: float,
    ) -> None:
        self._transfers = transfers
        self._artifacts = artifacts
        self._uploads = uploads
        self._upload_streams = upload_streams
        self._upload_slots = upload_slots
        self._wait_slots = wait_slots
        self._stall_seconds = stall_seconds

    def UploadArtifact(
        self, request_iterator: Iterator[UploadMessage], context: grpc.ServicerContext
    ) -> pb.UploadArtifactResponse:
        """See the contract."""
        with self._upload_slots.take():
            stream = RequestStream(request_iterator, stall_seconds=self._stall_seconds)
            try:
                messages = iter(stream)
                header = _first(messages, pb.UploadArtifactRequest).header
                with checking() as check:
                    model = model_from_proto(check, "header.model", header.model, current_caller())
                    manifest = manifest_from_proto(check, "header.manifest", header.manifest)
                chunks = _chunks(messages, lambda file: manifest.files[file].path)
                came = (chunk for chunk in chunks if chunk is not None)
                with self._transfers.counted(model.tenant):
                    uploaded = self._artifacts.upload(current_caller(), model, manifest, came)
            finally:
                stream.close()
        return _uploaded(uploaded)

    def CreateUpload(self, request: pb.CreateUploadRequest, context: grpc.ServicerContext) -> pb.CreateUploadResponse:
        """See the contract."""
        with checking() as check:
            model = model_from_proto(check, "model", request.model, current_caller())
            manifest = manifest_from_proto(check, "manifest", request.manifest)
        status = self._uploads.create(current_caller(), model, manifest)
        response = pb.CreateUploadResponse()
        _set_status(response, status)
        return response

    def WriteUpload(
        self, request_iterator: Iterator[WriteMessage], context: grpc.ServicerContext
    ) -> pb.WriteUploadResponse:
        """See the contract."""
        with self._upload_slots.take():
            stream = RequestStream(request_iterator, stall_seconds=self._stall_seconds)
            try:
                messages = iter(stream)
                header = _first(messages, pb.WriteUploadRequest).header
                with checking() as check:
                    ref = upload_ref(check, "header.", header.upload_id, header.tenant, current_caller())
                    ranges = ranges_from_proto(check, "header.ranges", header.ranges)
                with self._transfers.counted(ref.permit.tenant):
                    received = self._upload_streams.write(ref, ranges, _chunks(messages, "file {}".format))
            finally:
                stream.close()
        return pb.WriteUploadResponse(received_bytes=received)

    def GetUpload(self, request: pb.GetUploadRequest, context: grpc.ServicerContext) -> pb.GetUploadResponse:
        """See the contract."""
        with checking() as check:
            ref = upload_ref(check, "", request.upload_id, request.tenant, current_caller())
        response = pb.GetUploadResponse()
        _set_status(response, self._uploads.get(ref))
        return response

    def CommitUpload(self, request: pb.CommitUploadRequest, context: grpc.ServicerContext) -> pb.CommitUploadResponse:
        """See the contract."""
        with checking() as check:
            ref = upload_ref(check, "", request.upload_id, request.tenant, current_caller())
        remaining: float | None = context.time_remaining()  # typed as never None
        wait = _COMMIT_WAIT_SECONDS if remaining is None else min(_COMMIT_WAIT_SECONDS, remaining - _ANSWER_SECONDS)
        with self._wait_slots.take():
            committed = self._uploads.commit(
                current_caller(), ref, wait_seconds=max(0.0, wait), is_alive=context.is_active
            )
        return pb.CommitUploadResponse(
            artifact=bundle_to_proto(committed.bundle),
            is_existing=committed.is_existing,
            event_sequence=committed.sequence,
        )

    def AbortUpload(self, request: pb.AbortUploadRequest, context: grpc.ServicerContext) -> pb.AbortUploadResponse:
        """See the contract."""
        with checking() as check:
            ref = upload_ref(check, "", request.upload_id, request.tenant, current_caller())
        self._uploads.abort(ref)
        return pb.AbortUploadResponse()

    def CreatePartUrls(
        self, request: pb.CreatePartUrlsRequest, context: grpc.ServicerContext
    ) -> pb.CreatePartUrlsResponse:
        """See the contract."""
        with checking() as check:
            ref = upload_ref(check, "", request.upload_id, request.tenant, current_caller())
            ranges = ranges_from_proto(check, "ranges", request.ranges)
            ttl_seconds = ttl_from_proto(check, "ttl", request.ttl, is_given=request.HasField("ttl"))
        urls, epoch, expire_time = self._uploads.create_part_urls(
            current_caller(), ref, ranges, ttl_seconds=ttl_seconds
        )
        return pb.CreatePartUrlsResponse(
            urls=map(part_url_to_proto, urls), writer_epoch=epoch, expire_time=time_to_proto(expire_time)
        )

    def RecordParts(self, request: pb.RecordPartsRequest, context: grpc.ServicerContext) -> pb.RecordPartsResponse:
        """See the contract."""
        with checking() as check:
            ref = upload_ref(check, "", request.upload_id, request.tenant, current_caller())
            etags = parts_from_proto(check, "parts", request.parts)
        self._uploads.record_parts(ref, request.writer_epoch, etags)
        return pb.RecordPartsResponse()


def _set_status(response: pb.CreateUploadResponse | pb.GetUploadResponse, status: UploadStatus) -> None:
    if status.bundle is not None:
        response.artifact.CopyFrom(bundle_to_proto(status.bundle))
    elif status.session is not None:
        response.upload.CopyFrom(upload_to_proto(status.session, status.received_bytes))
        response.files.extend(files_to_proto(status))


def _first(messages: Iterator[Header | WireChunk | None], kind: type[Header]) -> Header:
    """The first message, which must be a header."""
    first = next((message for message in messages if message is not None), None)
    if first is None:
        raise RegistrarError(Reason.STREAM_MALFORMED, "the stream is empty; it must begin with a header")
    if not isinstance(first, kind) or first.WhichOneof("message") != "header":
        raise RegistrarError(Reason.STREAM_MALFORMED, "the stream must begin with a header")
    return first


def _chunks(
    messages: Iterator[UploadMessage | None] | Iterator[WriteMessage | None], path_of: Callable[[int], str]
) -> Iterator[Chunk | None]:
    call = current_call.get()
    for message in messages:
        if message is None:
            yield None
            continue
        if not isinstance(message, WireChunk):
            raise RegistrarError(Reason.STREAM_MALFORMED, "after the header only chunks may follow")
        data = message.data
        if not data or len(data) > limits.CHUNK_BYTES:
            raise RegistrarError(
                Reason.STREAM_MALFORMED, f"a chunk has {len(data)} bytes; 1 to {limits.CHUNK_BYTES} are allowed"
            )
        if message.crc32c is not None and google_crc32c.value(bytes(data)) != message.crc32c:
            raise _chunk_corrupt(message, path_of)
        call.bytes_in += len(data)
        yield Chunk(message.file, message.offset, data)


def _chunk_corrupt(chunk: WireChunk, path_of: Callable[[int], str]) -> RegistrarError:
    try:
        path = path_of(chunk.file) if chunk.file >= 0 else ""
    except IndexError:
        path = ""
    return RegistrarError(
        Reason.CHUNK_CORRUPT,
        f"the chunk of {path} at {chunk.offset} was damaged on its way",
        metadata={"path": path, "offset": str(chunk.offset)},
    )


def _uploaded(uploaded: Uploaded) -> pb.UploadArtifactResponse:
    return pb.UploadArtifactResponse(
        artifact=bundle_to_proto(uploaded.bundle),
        is_existing=uploaded.is_existing,
        event_sequence=uploaded.sequence,
    )
