"""The RPCs of ArtifactService by which bundles are read."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing

import google_crc32c
import grpc

from registrar.framing import Chunk
from registrar.v1 import artifact_pb2, artifact_service_pb2_grpc
from registrar.v1 import artifact_service_pb2 as pb
from registrar_server.application.artifacts import Artifacts, BundleRef, tenant_of
from registrar_server.application.downloads import Downloads
from registrar_server.application.transfers import Transfers
from registrar_server.application.verification import CheckedFile, Checking, Verification
from registrar_server.domain import limits
from registrar_server.domain.bundles import Bundle, BundleFile
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.validation import checking
from registrar_server.transport.calls import current_call, current_caller
from registrar_server.transport.convert.artifacts import bundle_ref_from_proto, bundle_to_proto, file_to_proto
from registrar_server.transport.convert.uploads import ttl_from_proto
from registrar_server.transport.convert.values import time_to_proto
from registrar_server.transport.paging import decode_token, encode_token, page_size
from registrar_server.transport.streams import Slots, StallWatch

DownloadMessage = pb.DownloadFileResponse | Chunk

_CHUNK_BYTES = 512 << 10
"""Of 128 KiB to 1 MiB the size that costs least on both sides: smaller ones make more calls, larger ones are copied into
memory that is not in the cache any more."""


class DownloadRpcs(artifact_service_pb2_grpc.ArtifactServiceServicer):
    """Converts, calls, converts. Every stream takes a slot, and must not stand still for want of a reader."""

    def __init__(
        self,
        artifacts: Artifacts,
        downloads: Downloads,
        verification: Verification,
        download_slots: Slots,
        transfers: Transfers,
        *,
        stall_seconds: float,
    ) -> None:
        self._artifacts = artifacts
        self._downloads = downloads
        self._verification = verification
        self._download_slots = download_slots
        self._transfers = transfers
        self._watch = StallWatch(stall_seconds)

    def GetArtifact(self, request: pb.GetArtifactRequest, context: grpc.ServicerContext) -> pb.GetArtifactResponse:
        """See the contract."""
        with checking() as check:
            ref = bundle_ref_from_proto(check, request, current_caller())
        size = page_size(request.page_size, default=limits.FILES_PAGE_SIZE, maximum=limits.FILES_PAGE_SIZE_MAXIMUM)
        token = decode_token(request, request.page_token, str)
        bundle, files = self._artifacts.get(ref, after=str(token[0]) if token else "", limit=size + 1)
        response = pb.GetArtifactResponse(artifact=bundle_to_proto(bundle), files=map(file_to_proto, files[:size]))
        if len(files) > size:
            response.next_page_token = encode_token(request, [files[size - 1].path])
        return response

    # Chunks are framed by hand, see transport/framing.py.
    def DownloadFile(  # type: ignore[override]
        self, request: pb.DownloadFileRequest, context: grpc.ServicerContext
    ) -> Iterator[DownloadMessage]:
        """See the contract."""
        with checking() as check:
            ref = bundle_ref_from_proto(check, request, current_caller())
            check.text("path", request.path, limits.PATH_BYTES, is_required=True)
            if request.range.offset < 0 or request.range.length < 0:
                check.fail("range", "must not be negative")
        with (
            self._download_slots.take(),
            self._transfers.counted(tenant_of(ref)),
            closing(self._download(ref, request)) as messages,
        ):
            yield from self._watch.iterate(context, messages)

    def CreateDownloadUrls(
        self, request: pb.CreateDownloadUrlsRequest, context: grpc.ServicerContext
    ) -> pb.CreateDownloadUrlsResponse:
        """See the contract."""
        with checking() as check:
            ref = bundle_ref_from_proto(check, request, current_caller())
            check.count("paths", request.paths, limits.URLS_AT_ONCE)
            check.unique("paths", request.paths)
            for index, path in enumerate(request.paths):
                check.text(f"paths[{index}]", path, limits.PATH_BYTES, is_required=True)
            ttl_seconds = ttl_from_proto(check, "ttl", request.ttl, is_given=request.HasField("ttl"))
        token = decode_token(request, request.page_token, str)
        found = self._downloads.create_urls(
            current_caller(),
            ref,
            request.paths,
            after=str(token[0]) if token else "",
            limit=page_size(request.page_size, default=limits.URLS_AT_ONCE, maximum=limits.URLS_AT_ONCE),
            ttl_seconds=ttl_seconds,
        )
        response = pb.CreateDownloadUrlsResponse(
            urls=[pb.DownloadUrl(file=file_to_proto(entry.file), url=entry.url) for entry in found.urls],
            expire_time=time_to_proto(found.expire_time),
            artifact_id=found.bundle.uid,
        )
        if not found.is_last:
            response.next_page_token = encode_token(request, [found.urls[-1].file.path])
        return response

    def VerifyArtifact(
        self, request: pb.VerifyArtifactRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.VerifyArtifactResponse]:
        """See the contract."""
        with checking() as check:
            ref = bundle_ref_from_proto(check, request, current_caller())
        with self._download_slots.take(), closing(self._verification.check(ref)) as steps:
            yield from self._watch.iterate(context, map(_verification_step, steps))

    def _download(self, ref: BundleRef, request: pb.DownloadFileRequest) -> Generator[DownloadMessage]:
        bundle, file = self._downloads.find_file(ref, request.path)
        offset, length = _range(request.range, file)
        yield pb.DownloadFileResponse(
            header=pb.DownloadFileHeader(
                file=file_to_proto(file),
                range=artifact_pb2.ByteRange(offset=offset, length=length),
                artifact_id=bundle.uid,
            )
        )
        call = current_call.get()
        with self._downloads.open_file(bundle, file, offset=offset, length=length) as content:
            for block in content:
                for start in range(0, len(block), _CHUNK_BYTES):
                    data = block[start : start + _CHUNK_BYTES]
                    yield Chunk(0, offset + call.bytes_out, google_crc32c.value(data), data)
                    call.bytes_out += len(data)
            yield pb.DownloadFileResponse(
                trailer=pb.DownloadFileTrailer(sha256=content.sha256, size_bytes=call.bytes_out)
            )


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


def _verification_step(step: Checking | CheckedFile | Bundle) -> pb.VerifyArtifactResponse:
    match step:
        case Checking():
            progress = pb.VerifyProgress(checked_bytes=step.checked_bytes, total_bytes=step.total_bytes)
            return pb.VerifyArtifactResponse(progress=progress)
        case CheckedFile():
            return pb.VerifyArtifactResponse(
                file=pb.VerifiedFile(
                    file=file_to_proto(step.file),
                    is_intact=step.is_intact,
                    stored_sha256=step.stored_sha256,
                    stored_size_bytes=step.stored_size_bytes,
                )
            )
        case Bundle():
            return pb.VerifyArtifactResponse(artifact=bundle_to_proto(step))
