"""Upload sessions as a caller without our SDK has them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import google_crc32c
import grpc

from registrar.v1 import artifact_pb2
from registrar.v1 import artifact_service_pb2 as pb
from tests.end_to_end.api import CALL_SECONDS, Api, manifest_of, model_ref, refusal_of

PART = 8 << 20
Range = tuple[int, int, int]
"""Index of the file, offset, length."""


def create(api: Api, name: str, files: Mapping[str, bytes], tenant: str = "") -> pb.CreateUploadResponse:
    """Open a session."""
    request = pb.CreateUploadRequest(model=model_ref(name, tenant), manifest=manifest_of(files))
    return api.artifacts.CreateUpload(request, timeout=CALL_SECONDS)


def get(api: Api, upload_id: str, tenant: str = "") -> pb.GetUploadResponse:
    """How far a session is."""
    return api.artifacts.GetUpload(pb.GetUploadRequest(upload_id=upload_id, tenant=tenant), timeout=CALL_SECONDS)


def missing(states: Iterable[artifact_pb2.FileUploadState]) -> list[Range]:
    """What is missing, in order."""
    return [(state.file, part.offset, part.length) for state in states for part in state.missing]


def file_range(wanted: Range) -> artifact_pb2.FileRange:
    file, offset, length = wanted
    return artifact_pb2.FileRange(file=file, range=artifact_pb2.ByteRange(offset=offset, length=length))


def header(upload_id: str, ranges: Sequence[Range], tenant: str = "") -> pb.WriteUploadRequest:
    """The first message of a stream."""
    return pb.WriteUploadRequest(
        header=pb.WriteUploadHeader(upload_id=upload_id, tenant=tenant, ranges=map(file_range, ranges))
    )


def chunk(file: int, offset: int, data: bytes, crc32c: int | None = None) -> pb.WriteUploadRequest:
    """Any other message."""
    found = google_crc32c.value(data) if crc32c is None else crc32c
    return pb.WriteUploadRequest(chunk=artifact_pb2.FileChunk(file=file, offset=offset, data=data, crc32c=found))


def chunks(data: Sequence[bytes], ranges: Iterable[Range], size: int = 1 << 20) -> Iterator[pb.WriteUploadRequest]:
    """The chunks of ranges of files."""
    for file, offset, length in ranges:
        for position in range(offset, offset + length, size):
            yield chunk(file, position, data[file][position : min(position + size, offset + length)])


def stream(
    upload_id: str, data: Sequence[bytes], ranges: Sequence[Range], tenant: str = ""
) -> Iterator[pb.WriteUploadRequest]:
    """A whole, good stream."""
    yield header(upload_id, ranges, tenant)
    yield from chunks(data, ranges)


def write(api: Api, upload_id: str, data: Sequence[bytes], ranges: Sequence[Range]) -> int:
    """Write ranges in one stream; how many bytes were taken."""
    return api.artifacts.WriteUpload(stream(upload_id, data, ranges), timeout=CALL_SECONDS).received_bytes


def commit(api: Api, upload_id: str, tenant: str = "") -> pb.CommitUploadResponse:
    """Commit, asking again while files are copied or verified."""
    request = pb.CommitUploadRequest(upload_id=upload_id, tenant=tenant)
    deadline = time.monotonic() + CALL_SECONDS
    while True:
        try:
            return api.artifacts.CommitUpload(request, timeout=CALL_SECONDS)
        except grpc.RpcError as exc:
            if refusal_of(exc).reason != "UPLOAD_PENDING" or time.monotonic() > deadline:
                raise


def push(api: Api, name: str, files: Mapping[str, bytes], tenant: str = "") -> artifact_pb2.Artifact:
    """A committed bundle, by one stream of all that is missing."""
    opened = create(api, name, files, tenant)
    if opened.HasField("artifact"):
        return opened.artifact
    if ranges := missing(opened.files):
        requests = stream(opened.upload.id, list(files.values()), ranges, tenant)
        api.artifacts.WriteUpload(requests, timeout=CALL_SECONDS)
    return commit(api, opened.upload.id, tenant).artifact
