"""Upload sessions, ranges, parts."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from registrar.v1 import artifact_pb2 as pb
from registrar.v1 import artifact_service_pb2 as service_pb
from registrar_server.application.ports.database import PartKey
from registrar_server.application.uploads import FileProgress, PartUrl, UploadRef, UploadStatus, WantedRange
from registrar_server.domain import limits
from registrar_server.domain.access import Caller
from registrar_server.domain.uploads import ByteRange, FileState, UploadSession
from registrar_server.domain.validation import Checker
from registrar_server.domain.values import UID
from registrar_server.transport.admission import current_permit
from registrar_server.transport.convert.references import tenant_from_proto
from registrar_server.transport.convert.values import time_to_proto

_ETAG_CHARACTERS = 256


def upload_ref(check: Checker, field: str, upload_id: str, tenant: str, caller: Caller) -> UploadRef:
    """Which session; `field` is where the message lies in the request, with its dot."""
    uid = check.pattern(f"{field}upload_id", upload_id, UID, "32 lower-case hex digits")
    return UploadRef(current_permit(tenant_from_proto(check, f"{field}tenant", tenant, caller)), uid)


def ranges_from_proto(check: Checker, field: str, ranges: Sequence[pb.FileRange]) -> Sequence[WantedRange]:
    """At least one range; whether they are missing is seen later."""
    if not ranges:
        check.fail(field, "must name at least one range")
    check.count(field, ranges, limits.RANGES)
    for index, message in enumerate(ranges):
        if message.file < 0 or message.range.offset < 0 or message.range.length < 0:
            check.fail(f"{field}[{index}]", "must not be negative")
    return [
        WantedRange(
            message.file,
            ByteRange(message.range.offset, message.range.length) if message.HasField("range") else None,
        )
        for message in ranges
    ]


def parts_from_proto(check: Checker, field: str, parts: Sequence[service_pb.SentPart]) -> dict[PartKey, str]:
    """At least one part, each once, with its etag without quotes."""
    if not parts:
        check.fail(field, "must name at least one part")
    check.count(field, parts, limits.PARTS_AT_ONCE)
    etags: dict[PartKey, str] = {}
    for index, part in enumerate(parts):
        etag = check.text(f"{field}[{index}].etag", part.etag.strip('"'), _ETAG_CHARACTERS, is_required=True)
        if (part.file, part.part_number) in etags:
            check.fail(f"{field}[{index}]", "is named twice")
        etags[part.file, part.part_number] = etag
    return etags


def ttl_from_proto(check: Checker, field: str, ttl: Duration, *, is_given: bool) -> int:
    """How long an URL holds, in whole seconds."""
    seconds = ttl.ToTimedelta().total_seconds() if is_given else limits.URL_SECONDS
    if not 1 <= seconds <= limits.URL_SECONDS_MAXIMUM:
        check.fail(field, f"must be from 1 to {limits.URL_SECONDS_MAXIMUM} seconds")
    return int(seconds)


def upload_to_proto(session: UploadSession, received_bytes: int) -> pb.Upload:
    """A session."""
    return pb.Upload(
        id=session.uid,
        tenant=session.model.tenant,
        model_name=session.model.name,
        manifest_digest=session.manifest_digest,
        size_bytes=session.size_bytes,
        received_bytes=received_bytes,
        file_count=session.file_count,
        created_by=session.created_by,
        create_time=time_to_proto(session.create_time),
        expire_time=time_to_proto(session.expire_time),
    )


def files_to_proto(status: UploadStatus) -> Sequence[pb.FileUploadState]:
    """The files that are not stored yet, as far as they may be listed."""
    listed: list[pb.FileUploadState] = []
    ranges = 0
    for progress in status.files:
        ranges += max(1, len(progress.missing))
        if listed and ranges > limits.UPLOAD_RANGES_LISTED:
            break
        listed.append(_file_to_proto(progress))
    return listed


def part_url_to_proto(part: PartUrl) -> service_pb.PartUrl:
    """Where to send a part."""
    return service_pb.PartUrl(file=part.file, part_number=part.number, range=_range_to_proto(part.range), url=part.url)


def _file_to_proto(progress: FileProgress) -> pb.FileUploadState:
    return pb.FileUploadState(
        file=progress.file.index,
        part_size_bytes=progress.file.part_size_bytes,
        missing=map(_range_to_proto, progress.missing),
        is_copying=progress.file.state is FileState.COPYING,
        is_verifying=progress.file.state is FileState.VERIFYING,
    )


def _range_to_proto(part: ByteRange) -> pb.ByteRange:
    return pb.ByteRange(offset=part.offset, length=part.length)
