"""Bundles, manifests, ranges."""

from __future__ import annotations

from collections.abc import Sequence

from registrar.v1 import artifact_pb2 as pb
from registrar.v1 import artifact_service_pb2 as service_pb
from registrar_server.application.artifacts import BundleRef, ByContent, ById
from registrar_server.domain import limits
from registrar_server.domain.access import Caller
from registrar_server.domain.bundles import (
    Bundle,
    BundleFile,
    FileType,
    Manifest,
    collisions,
    guess_type,
    path_problem,
)
from registrar_server.domain.validation import Checker
from registrar_server.domain.values import MANIFEST_DIGEST, SHA256, UID
from registrar_server.transport.admission import current_permit
from registrar_server.transport.convert.references import model_from_proto, ref_from_proto, tenant_from_proto
from registrar_server.transport.convert.values import time_to_proto

NamesBundle = (
    service_pb.GetArtifactRequest
    | service_pb.DownloadFileRequest
    | service_pb.CreateDownloadUrlsRequest
    | service_pb.VerifyArtifactRequest
)

_VIOLATIONS_SHOWN = 100
"""A manifest can be wrong in every line; so many are enough to mend the program that made it."""


def bundle_ref_from_proto(check: Checker, request: NamesBundle, caller: Caller) -> BundleRef:
    """Which bundle a request names."""
    if isinstance(request, service_pb.GetArtifactRequest) and request.WhichOneof("artifact") == "manifest":
        wanted = "`sha256:` and 64 lower-case hex digits"
        return ByContent(
            model_from_proto(check, "manifest.model", request.manifest.model, caller),
            check.pattern("manifest.manifest_digest", request.manifest.manifest_digest, MANIFEST_DIGEST, wanted),
        )
    match request.WhichOneof("artifact"):
        case "artifact_id":
            uid = check.pattern("artifact_id", request.artifact_id, UID, "32 lower-case hex digits")
            return ById(current_permit(tenant_from_proto(check, "tenant", request.tenant, caller)), uid)
        case "ref":
            return ref_from_proto(check, "ref", request.ref, caller)
        case _:
            check.fail("artifact", "is required")
            return ById(current_permit(caller.tenant), "")


def manifest_from_proto(check: Checker, field: str, message: pb.Manifest) -> Manifest:
    """A manifest whose paths, sizes and digests are well formed and do not collide."""
    at = f"{field}.files"
    if not message.files:
        check.fail(at, "must name at least one file")
    check.count(at, message.files, limits.BUNDLE_FILES)
    problems: list[tuple[str, str]] = []
    for index, file in enumerate(message.files):
        problems += [(f"{at}[{index}].{name}", text) for name, text in _file_problems(file)]
    paths = [file.path for file in message.files]
    problems += [(f"{at}[{index}].path", text) for index, text in collisions(paths)]
    if sum(len(path.encode()) for path in paths) > limits.BUNDLE_PATHS_BYTES:
        problems.append((at, f"has paths of more than {limits.BUNDLE_PATHS_BYTES} bytes in all"))
    for where, text in problems[:_VIOLATIONS_SHOWN]:
        check.fail(where, text)
    if len(problems) > _VIOLATIONS_SHOWN:
        check.fail(at, f"has {len(problems) - _VIOLATIONS_SHOWN} more violations")
    return Manifest(tuple(_file_from_proto(file) for file in message.files))


def file_to_proto(file: BundleFile) -> pb.BundleFile:
    """One file of a bundle."""
    return pb.BundleFile(
        path=file.path, size_bytes=file.size_bytes, sha256=file.sha256, type=pb.FileType.ValueType(file.type.value)
    )


def bundle_to_proto(bundle: Bundle) -> pb.Artifact:
    """A committed bundle."""
    return pb.Artifact(
        id=bundle.uid,
        tenant=bundle.model.tenant,
        model_name=bundle.model.name,
        manifest_digest=bundle.manifest_digest,
        uri=bundle.uri,
        size_bytes=bundle.size_bytes,
        file_count=bundle.file_count,
        created_by=bundle.created_by,
        create_time=time_to_proto(bundle.create_time),
        verify_time=time_to_proto(bundle.verify_time),
    )


def _file_problems(file: pb.BundleFile) -> Sequence[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    problem = path_problem(file.path)
    if problem:
        problems.append(("path", problem))
    elif len(file.path.encode()) > limits.PATH_BYTES:
        problems.append(("path", f"has {len(file.path.encode())} bytes, at most {limits.PATH_BYTES} are allowed"))
    if not 0 <= file.size_bytes <= limits.FILE_BYTES:
        problems.append(("size_bytes", f"must be 0 to {limits.FILE_BYTES}"))
    if not SHA256.fullmatch(file.sha256):
        problems.append(("sha256", "must be 64 lower-case hex digits"))
    if file.type not in pb.FileType.values():
        problems.append(("type", "is not a file type"))
    return problems


def _file_from_proto(file: pb.BundleFile) -> BundleFile:
    known = file.type in pb.FileType.values() and file.type != pb.FILE_TYPE_UNSPECIFIED
    return BundleFile(file.path, file.size_bytes, file.sha256, FileType(file.type) if known else guess_type(file.path))
