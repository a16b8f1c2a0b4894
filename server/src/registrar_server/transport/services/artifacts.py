"""ArtifactService."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import google_crc32c
import grpc

from registrar.v1 import artifact_pb2, artifact_service_pb2_grpc
from registrar.v1 import artifact_service_pb2 as pb
from registrar_server.application.artifacts import Artifacts, BundleRef, ByContent, ById, Chunk, Uploaded
from registrar_server.domain import limits
from registrar_server.domain.bundles import BundleFile, Manifest
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.validation import Checker, checking
from registrar_server.domain.values import MANIFEST_DIGEST, UID
from registrar_server.transport.calls import current_call, current_caller
from registrar_server.transport.convert.artifacts import bundle_to_proto, file_to_proto, manifest_from_proto
from registrar_server.transport.convert.references import model_from_proto, ref_from_proto, tenant_from_proto
from registrar_server.transport.paging import decode_token, encode_token, page_size
from registrar_server.transport.streams import RequestStream, Slots, StallWatch


class ArtifactServicer(artifact_service_pb2_grpc.ArtifactServiceServicer):
    """Converts, calls, converts. Every stream takes a slot and must not stand still."""

    def __init__(self, artifacts: Artifacts, transfers: Slots, *, stall_seconds: float) -> None:
        self._artifacts = artifacts
        self._transfers = transfers
        self._stall_seconds = stall_seconds
        self._watch = StallWatch(stall_seconds)

    def UploadArtifact(
        self, request_iterator: Iterator[pb.UploadArtifactRequest], context: grpc.ServicerContext
    ) -> pb.UploadArtifactResponse:
        """See the contract."""
        with self._transfers.take():
            stream = RequestStream(request_iterator, stall_seconds=self._stall_seconds)
            try:
                messages = iter(stream)
                header = _header(messages)
                with checking() as check:
                    model = model_from_proto(check, "header.model", header.model, current_caller())
                    manifest = manifest_from_proto(check, "header.manifest", header.manifest)
                uploaded = self._artifacts.upload(current_caller(), model, manifest, _chunks(messages, manifest))
            finally:
                stream.close()
        return _uploaded(uploaded)

    def GetArtifact(self, request: pb.GetArtifactRequest, context: grpc.ServicerContext) -> pb.GetArtifactResponse:
        """See the contract."""
        with checking() as check:
            ref = _bundle_ref(check, request)
        size = page_size(request.page_size, default=limits.FILES_PAGE_SIZE, maximum=limits.FILES_PAGE_SIZE_MAXIMUM)
        token = decode_token(request, request.page_token, str)
        bundle, files = self._artifacts.get(ref, after=str(token[0]) if token else "", limit=size + 1)
        response = pb.GetArtifactResponse(artifact=bundle_to_proto(bundle), files=map(file_to_proto, files[:size]))
        if len(files) > size:
            response.next_page_token = encode_token(request, [files[size - 1].path])
        return response

    def DownloadFile(
        self, request: pb.DownloadFileRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.DownloadFileResponse]:
        """See the contract."""
        with checking() as check:
            ref = _bundle_ref(check, request)
            check.text("path", request.path, limits.PATH_BYTES, is_required=True)
            if request.range.offset < 0 or request.range.length < 0:
                check.fail("range", "must not be negative")
        with self._transfers.take():
            yield from self._watch.iterate(context, self._download(ref, request))

    def _download(self, ref: BundleRef, request: pb.DownloadFileRequest) -> Iterator[pb.DownloadFileResponse]:
        bundle, file = self._artifacts.find_file(ref, request.path)
        offset, length = _range(request.range, file)
        yield pb.DownloadFileResponse(
            header=pb.DownloadFileHeader(
                file=file_to_proto(file),
                range=artifact_pb2.ByteRange(offset=offset, length=length),
                artifact_id=bundle.uid,
            )
        )
        digest = hashlib.sha256()
        position = offset
        with self._artifacts.open_file(bundle, file, offset=offset, length=length) as blocks:
            for block in blocks:
                digest.update(block)
                yield pb.DownloadFileResponse(
                    chunk=artifact_pb2.FileChunk(offset=position, crc32c=google_crc32c.value(block), data=block)
                )
                position += len(block)
                current_call.get().bytes_out += len(block)
        yield pb.DownloadFileResponse(
            trailer=pb.DownloadFileTrailer(sha256=digest.hexdigest(), size_bytes=position - offset)
        )


def _header(messages: Iterator[pb.UploadArtifactRequest]) -> pb.UploadArtifactHeader:
    first = next(messages, None)
    if first is None:
        raise RegistrarError(Reason.STREAM_MALFORMED, "the stream is empty; it must begin with a header")
    if first.WhichOneof("message") != "header":
        raise RegistrarError(Reason.STREAM_MALFORMED, "the stream must begin with a header")
    return first.header


def _chunks(messages: Iterator[pb.UploadArtifactRequest], manifest: Manifest) -> Iterator[Chunk]:
    call = current_call.get()
    for message in messages:
        if message.WhichOneof("message") != "chunk":
            raise RegistrarError(Reason.STREAM_MALFORMED, "after the header only chunks may follow")
        chunk = message.chunk
        data = chunk.data
        if not data or len(data) > limits.CHUNK_BYTES:
            raise RegistrarError(
                Reason.STREAM_MALFORMED, f"a chunk has {len(data)} bytes; 1 to {limits.CHUNK_BYTES} are allowed"
            )
        if chunk.HasField("crc32c") and google_crc32c.value(data) != chunk.crc32c:
            raise _chunk_corrupt(chunk, manifest)
        call.bytes_in += len(data)
        yield Chunk(chunk.file, chunk.offset, data)


def _chunk_corrupt(chunk: artifact_pb2.FileChunk, manifest: Manifest) -> RegistrarError:
    path = manifest.files[chunk.file].path if 0 <= chunk.file < len(manifest.files) else ""
    return RegistrarError(
        Reason.CHUNK_CORRUPT,
        f"the chunk of {path} at {chunk.offset} was damaged on its way",
        metadata={"path": path, "offset": str(chunk.offset)},
    )


def _bundle_ref(check: Checker, request: pb.GetArtifactRequest | pb.DownloadFileRequest) -> BundleRef:
    caller = current_caller()
    if isinstance(request, pb.GetArtifactRequest) and request.WhichOneof("artifact") == "manifest":
        wanted = "`sha256:` and 64 lower-case hex digits"
        return ByContent(
            model_from_proto(check, "manifest.model", request.manifest.model, caller),
            check.pattern("manifest.manifest_digest", request.manifest.manifest_digest, MANIFEST_DIGEST, wanted),
        )
    match request.WhichOneof("artifact"):
        case "artifact_id":
            uid = check.pattern("artifact_id", request.artifact_id, UID, "32 lower-case hex digits")
            return ById(tenant_from_proto(check, "tenant", request.tenant, caller), uid)
        case "ref":
            return ref_from_proto(check, "ref", request.ref, caller)
        case _:
            check.fail("artifact", "is required")
            return ById(caller.tenant, "")


def _range(wanted: artifact_pb2.ByteRange, file: BundleFile) -> tuple[int, int]:
    """Offset and length within the file; length 0 asks for all that is left."""
    left = file.size_bytes - wanted.offset
    length = wanted.length or left
    if left < 0 or length > left:
        raise RegistrarError(
            Reason.RANGE_INVALID,
            f"{file.path} has {file.size_bytes} bytes",
            metadata={"path": file.path, "size_bytes": str(file.size_bytes)},
        )
    return wanted.offset, length


def _uploaded(uploaded: Uploaded) -> pb.UploadArtifactResponse:
    return pb.UploadArtifactResponse(
        artifact=bundle_to_proto(uploaded.bundle),
        is_existing=uploaded.is_existing,
        event_sequence=uploaded.sequence,
    )
