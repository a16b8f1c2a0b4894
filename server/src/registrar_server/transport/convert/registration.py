"""RegisterModelVersion's request."""

from __future__ import annotations

from registrar.v1.model_version_service_pb2 import RegisterModelVersionRequest
from registrar_server.application.registration import RegisterRequest
from registrar_server.domain import limits
from registrar_server.domain.access import Caller
from registrar_server.domain.validation import Checker, checking
from registrar_server.domain.values import RUN_ARTIFACT, UID
from registrar_server.domain.versions import Facts, Notes
from registrar_server.transport.convert.references import model_from_proto
from registrar_server.transport.convert.values import (
    parameter_from_proto,
    provenance_from_proto,
    risk_from_proto,
    signature_from_proto,
    slices_from_proto,
)

_WAIT_SECONDS = 60.0
_ANSWER_SECONDS = 0.5
"""Kept of a call's deadline, so that its answer arrives before it."""


def register_from_proto(
    request: RegisterModelVersionRequest, caller: Caller, time_remaining: float | None
) -> RegisterRequest:
    """The whole request, every violation at once. `time_remaining`: seconds to the call's deadline."""
    with checking() as check:
        check.request_id("request_id", request.request_id)
        _check_source(check, request)
        return RegisterRequest(
            model=model_from_proto(check, "model", request.model, caller),
            artifact_id=request.artifact_id,
            run_artifact=request.run_artifact,
            facts=_facts(check, request, caller),
            notes=_notes(check, request),
            is_same_content_reused=request.reuse_same_content,
            wait_seconds=_wait_seconds(check, request, time_remaining),
            is_validate_only=request.validate_only,
        )


def _check_source(check: Checker, request: RegisterModelVersionRequest) -> None:
    match request.WhichOneof("source"):
        case "artifact_id":
            check.pattern(
                "artifact_id", request.artifact_id, UID, "32 lower-case hex digits, as UploadArtifact gave it"
            )
        case "run_artifact":
            check.pattern("run_artifact", request.run_artifact, RUN_ARTIFACT, "runs:/<run id>/<path>")
        case None:
            check.fail("source", "artifact_id or run_artifact is required")


def _facts(check: Checker, request: RegisterModelVersionRequest, caller: Caller) -> Facts:
    level, assessment_id = risk_from_proto(check, "risk", request.risk)
    parameters = {name: parameter_from_proto(value) for name, value in request.parameters.items()}
    check.count("flavors", request.flavors, limits.FLAVORS)
    flavors = [
        check.text(f"flavors[{index}]", flavor, 128, is_required=True) for index, flavor in enumerate(request.flavors)
    ]
    check.unique("flavors", flavors)
    if request.semantic_version:
        check.semantic_version("semantic_version", request.semantic_version)
    has_signature = request.HasField("signature")
    return Facts(
        metrics=check.metrics("metrics", request.metrics),
        metric_slices=slices_from_proto(check, "metric_slices", request.metric_slices),
        parameters=check.parameters("parameters", parameters),
        signature=signature_from_proto(check, "signature", request.signature) if has_signature else None,
        flavors=tuple(flavors),
        semantic_version=request.semantic_version,
        provenance=provenance_from_proto(check, "provenance", request.provenance, caller),
        risk_level=level,
        risk_assessment_id=assessment_id,
    )


def _notes(check: Checker, request: RegisterModelVersionRequest) -> Notes:
    documents = request.documentation
    return Notes(
        description=check.text("description", request.description, limits.DESCRIPTION_CHARACTERS),
        tags=check.tags("tags", request.tags),
        model_card_uri=check.text("documentation.model_card_uri", documents.model_card_uri, limits.URI_CHARACTERS),
        datasheet_uri=check.text("documentation.datasheet_uri", documents.datasheet_uri, limits.URI_CHARACTERS),
        drift_monitor_id=check.text("drift_monitor_id", request.drift_monitor_id, limits.LABEL_CHARACTERS),
    )


def _wait_seconds(check: Checker, request: RegisterModelVersionRequest, time_remaining: float | None) -> float:
    wanted = _WAIT_SECONDS
    if request.HasField("wait_timeout"):
        wanted = request.wait_timeout.seconds + request.wait_timeout.nanos / 1e9
        if wanted < 0:
            check.fail("wait_timeout", "must not be negative")
    if time_remaining is None:
        return min(wanted, _WAIT_SECONDS)
    return max(0.0 if not wanted else 0.001, min(wanted, _WAIT_SECONDS, time_remaining - _ANSWER_SECONDS))
