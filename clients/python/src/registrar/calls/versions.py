"""Versions: register, check, get, list, compare, update, delete, undelete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Unpack

from registrar.calls.call import Call, Listing, change, new_request_id
from registrar.context import AnyModelRef, AnyVersionRef, CallContext
from registrar.convert.access import time_to_proto
from registrar.convert.results import (
    advice_from_proto,
    comparison_from_proto,
    past_version_from_proto,
    registered_from_proto,
    version_from_proto,
)
from registrar.convert.values import documentation_to_proto, model_ref_to_proto, stage_to_proto, version_ref_to_proto
from registrar.errors import InvalidArgument
from registrar.fields import VersionFields
from registrar.reference import VersionRef
from registrar.registration import registration_request
from registrar.types import Comparison, ModelVersion, RegistrationAdvice
from registrar.v1 import model_version_service_pb2 as pb
from registrar.values import Documentation, Stage

REGISTRATION_SECONDS = 300.0
"""How long a registration is waited for: MLflow may be away for a while, and a run's files may be large."""

_ATTEMPT_SECONDS = 75.0
# The server waits up to 60 s and then answers REGISTRATION_PENDING; that must arrive before our deadline.


def register(
    context: CallContext,
    name: AnyModelRef,
    *,
    artifact_id: str | None = None,
    run_artifact: str | None = None,
    request_id: str | None = None,
    timeout_seconds: float = REGISTRATION_SECONDS,
    **fields: Unpack[VersionFields],
) -> Call[ModelVersion]:
    """Make a version of a committed bundle, or of an MLflow run's artifact (`runs:/<run id>/<path>`).

    The model is made with its first version. Waits until the version has its number. The version's `advice` suggests a
    semantic version, by how the signature differs from the last one's, and names metadata that should be there.
    Errors: NotFound, InvalidArgument, AlreadyExists (semantic version); FailedPrecondition, with the reason
    SIGNATURE_BREAKING when the semantic version hides that the signature breaks callers; Unavailable with the
    reason REGISTRATION_PENDING when the time is up: repeat with the same `request_id`, or read it by its uid.
    """
    request = _registration(context, name, artifact_id, run_artifact, fields)
    request.request_id = request_id or new_request_id()
    return change(
        context,
        context.versions.RegisterModelVersion,
        request,
        registered_from_proto,
        timeout_seconds=timeout_seconds,
        attempt_seconds=_ATTEMPT_SECONDS,
    )


def check(
    context: CallContext,
    name: AnyModelRef,
    *,
    artifact_id: str | None = None,
    run_artifact: str | None = None,
    **fields: Unpack[VersionFields],
) -> Call[RegistrationAdvice]:
    """Check a registration and change nothing: raises what `register` would raise, and answers what it would advise."""
    request = _registration(context, name, artifact_id, run_artifact, fields)
    request.validate_only = True
    return Call(context.versions.RegisterModelVersion, request, advice_from_proto)


def _registration(
    context: CallContext,
    name: AnyModelRef,
    artifact_id: str | None,
    run_artifact: str | None,
    fields: VersionFields,
) -> pb.RegisterModelVersionRequest:
    request = registration_request(context.model_ref(name), fields)
    if artifact_id is not None and run_artifact is None:
        request.artifact_id = artifact_id
    elif run_artifact is not None and artifact_id is None:
        request.run_artifact = run_artifact
    else:
        raise InvalidArgument("give either artifact_id or run_artifact", reason="INVALID_FIELD")
    return request


def get(
    context: CallContext, ref: AnyVersionRef, *, at: datetime | None = None, strong: bool = False
) -> Call[ModelVersion]:
    """Resolve a reference and read the version: `get("churn@champion")`, `get("churn:production")`.

    The answer is normally no older than 100 ms and always reflects this registry's own changes; a strong read
    reflects everybody's. With `at`, an aware time, it is the version that the reference named then, in the stage and with
    the aliases that it had; its `as_of` says who decided so. Errors: NotFound; FailedPrecondition when a stage has
    several holders; InvalidArgument when `at` is in the future or does not say its time zone.
    """
    request = pb.GetModelVersionRequest(
        ref=version_ref_to_proto(context.version_ref(ref)), at_time=None if at is None else time_to_proto(at)
    )
    context.ask_fresh(request, strong=strong)
    return Call(context.versions.GetModelVersion, request, past_version_from_proto)


def versions(
    context: CallContext,
    name: AnyModelRef,
    *,
    stage: Stage | None = None,
    show_deleted: bool = False,
    page_size: int = 0,
) -> Listing[ModelVersion]:
    """The versions of a model, the newest first; pages are fetched as they are consumed."""
    request = pb.ListModelVersionsRequest(
        model=model_ref_to_proto(context.model_ref(name)), show_deleted=show_deleted, page_size=page_size
    )
    if stage is not None:
        request.stage = stage_to_proto(stage)
    context.ask_fresh(request, strong=False)
    return Listing(
        context.versions.ListModelVersions, request, lambda page: map(version_from_proto, page.model_versions)
    )


def compare(
    context: CallContext,
    name: AnyModelRef,
    versions: Sequence[int | AnyVersionRef],
    *,
    at: datetime | None = None,
) -> Call[Comparison]:
    """Set 2 to 20 versions of a model side by side; the first is what the others are measured against.

    Each is a number or a whole reference: `compare("churn", [2, "churn@champion"])`. With `at` as they were then, see `get`.
    Errors: NotFound; InvalidArgument; FailedPrecondition for a deleted version.
    """
    model = context.model_ref(name)
    refs = [VersionRef(model, version=v) if isinstance(v, int) else context.version_ref(v) for v in versions]
    request = pb.CompareModelVersionsRequest(
        refs=[version_ref_to_proto(ref) for ref in refs], at_time=None if at is None else time_to_proto(at)
    )
    context.ask_fresh(request, strong=False)
    return Call(context.versions.CompareModelVersions, request, comparison_from_proto)


def update(
    context: CallContext,
    ref: AnyVersionRef,
    *,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    deprecation_note: str | None = None,
    documentation: Documentation | None = None,
    drift_monitor_id: str | None = None,
    etag: str = "",
    request_id: str | None = None,
) -> Call[ModelVersion]:
    """Change what is not None; an empty value empties it. What a version consists of never changes.

    Errors: NotFound, Aborted when the etag is old, FailedPrecondition when it is deleted or not ready.
    """
    request = pb.UpdateModelVersionRequest(
        request_id=request_id or new_request_id(),
        ref=version_ref_to_proto(context.version_ref(ref)),
        etag=etag,
        description=description or "",
        tags=tags or {},
        deprecation_note=deprecation_note or "",
        documentation=documentation_to_proto(documentation or Documentation()),
        drift_monitor_id=drift_monitor_id or "",
    )
    given = {
        "description": description,
        "tags": tags,
        "deprecation_note": deprecation_note,
        "documentation": documentation,
        "drift_monitor_id": drift_monitor_id,
    }
    request.update_mask.paths.extend(path for path, value in given.items() if value is not None)
    return change(
        context,
        context.versions.UpdateModelVersion,
        request,
        lambda response: version_from_proto(response.model_version),
    )


def delete(
    context: CallContext, ref: AnyVersionRef, *, etag: str = "", request_id: str | None = None
) -> Call[ModelVersion]:
    """Hide a version; until `purge_time` it can be undeleted. Its number is never given again.

    Errors: NotFound, Aborted when the etag is old, FailedPrecondition while a stage or an alias holds it.
    """
    request = pb.DeleteModelVersionRequest(
        request_id=request_id or new_request_id(), ref=version_ref_to_proto(context.version_ref(ref)), etag=etag
    )
    return change(
        context,
        context.versions.DeleteModelVersion,
        request,
        lambda response: version_from_proto(response.model_version),
    )


def undelete(context: CallContext, ref: AnyVersionRef, *, request_id: str | None = None) -> Call[ModelVersion]:
    """Bring a deleted version back as it was; named by number or uid. Errors: NotFound."""
    request = pb.UndeleteModelVersionRequest(
        request_id=request_id or new_request_id(), ref=version_ref_to_proto(context.version_ref(ref))
    )
    return change(
        context,
        context.versions.UndeleteModelVersion,
        request,
        lambda response: version_from_proto(response.model_version),
    )
