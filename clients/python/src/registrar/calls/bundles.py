"""Bundles: read one, list its files, give an upload up. What moves their bytes is no call but a stream, and stands elsewhere."""

from __future__ import annotations

from registrar.calls.call import Call, Listing
from registrar.context import CallContext
from registrar.convert.results import artifact_from_proto
from registrar.convert.values import file_from_proto, version_ref_to_proto
from registrar.types import Artifact, ModelVersion
from registrar.v1.artifact_service_pb2 import AbortUploadRequest, GetArtifactRequest
from registrar.values import BundleFile


def artifact_of(context: CallContext, version: ModelVersion) -> Call[Artifact]:
    """The bundle of a version. Errors: NotFound; FailedPrecondition when its artifact is external."""
    request = GetArtifactRequest(ref=version_ref_to_proto(version.ref), page_size=1)
    return Call(context.artifacts.GetArtifact, request, lambda response: artifact_from_proto(response.artifact))


def files_of(context: CallContext, version: ModelVersion) -> Listing[BundleFile]:
    """The files of a version's bundle, by path; pages are fetched as they are consumed."""
    request = GetArtifactRequest(ref=version_ref_to_proto(version.ref))
    return Listing(context.artifacts.GetArtifact, request, lambda page: map(file_from_proto, page.files))


def abort_upload(context: CallContext, upload_id: str) -> Call[None]:
    """Give up what a broken-off upload left at the registry: an `UploadReport` says its id. None is no error.

    It ends for everybody who pushes the same files. Errors: FailedPrecondition UPLOAD_COMMITTED.
    """
    request = AbortUploadRequest(upload_id=upload_id, tenant=context.tenant)
    return Call(context.artifacts.AbortUpload, request, lambda _: None)
