"""Versions, comparisons, alias moves, stage transitions."""

from __future__ import annotations

from datetime import datetime

from registrar.v1 import lifecycle_pb2, value_pb2
from registrar.v1 import model_version_pb2 as pb
from registrar.v1.model_version_service_pb2 import CompareModelVersionsResponse, GetModelVersionResponse
from registrar_server.application.history import PastVersion
from registrar_server.domain.comparison import Comparison, MetricComparison
from registrar_server.domain.lifecycle import AliasMove, Transition, TransitionKind
from registrar_server.domain.values import VersionState
from registrar_server.domain.versions import ModelVersion
from registrar_server.transport.convert.approvals import summary_to_proto
from registrar_server.transport.convert.references import stage_to_proto
from registrar_server.transport.convert.values import (
    goal_to_proto,
    parameter_to_proto,
    provenance_to_proto,
    risk_to_proto,
    signature_to_proto,
    slice_to_proto,
    time_to_proto,
)

_STATES = {
    VersionState.PENDING: pb.MODEL_VERSION_STATE_PENDING,
    VersionState.READY: pb.MODEL_VERSION_STATE_READY,
    VersionState.FAILED: pb.MODEL_VERSION_STATE_FAILED,
}
_KINDS = {
    TransitionKind.REQUESTED: lifecycle_pb2.TRANSITION_KIND_REQUESTED,
    TransitionKind.DISPLACED: lifecycle_pb2.TRANSITION_KIND_DISPLACED,
    TransitionKind.ROLLED_BACK_TO: lifecycle_pb2.TRANSITION_KIND_ROLLED_BACK_TO,
    TransitionKind.ROLLED_BACK_FROM: lifecycle_pb2.TRANSITION_KIND_ROLLED_BACK_FROM,
}


def version_to_proto(version: ModelVersion) -> pb.ModelVersion:
    """A version as the contract shows it."""
    facts, notes = version.facts, version.notes
    is_bundle = version.artifact.is_bundle
    documentation = None
    if notes.model_card_uri or notes.datasheet_uri:
        documentation = value_pb2.Documentation(model_card_uri=notes.model_card_uri, datasheet_uri=notes.datasheet_uri)
    return pb.ModelVersion(
        tenant=version.model.tenant,
        name=version.model.name,
        version=version.number,
        uid=version.uid,
        state=_STATES[version.state],
        failure=version.failure,
        stage=stage_to_proto(version.stage),
        stage_time=time_to_proto(version.stage_time),
        aliases=version.aliases,
        semantic_version=facts.semantic_version,
        description=notes.description,
        tags=notes.tags,
        metrics=facts.metrics,
        metric_slices=map(slice_to_proto, facts.metric_slices),
        parameters={name: parameter_to_proto(value) for name, value in facts.parameters.items()},
        artifact_id=version.artifact.bundle_uid,
        artifact_uri=version.artifact.uri,
        artifact_kind=pb.ARTIFACT_KIND_BUNDLE if is_bundle else _external_kind(version),
        manifest_digest=version.artifact.manifest_digest,
        signature=signature_to_proto(facts.signature),
        flavors=facts.flavors,
        provenance=provenance_to_proto(facts.provenance, version.run_id),
        risk=risk_to_proto(facts.risk_level, facts.risk_assessment_id),
        documentation=documentation,
        drift_monitor_id=notes.drift_monitor_id,
        deprecation_note=notes.deprecation_note,
        created_by=version.created_by,
        create_time=time_to_proto(version.create_time),
        update_time=time_to_proto(version.update_time),
        etag=version.etag,
        delete_time=time_to_proto(version.delete_time),
        purge_time=time_to_proto(version.purge_time),
        approval=summary_to_proto(version.approval),
    )


def past_version_to_proto(past: PastVersion) -> GetModelVersionResponse:
    """A version as it was, with the moves that made it so."""
    return GetModelVersionResponse(
        model_version=version_to_proto(past.version),
        as_of_time=time_to_proto(past.at),
        transition=transition_to_proto(past.transition) if past.transition else None,
        alias_move=alias_move_to_proto(past.alias_move) if past.alias_move else None,
    )


def comparison_to_proto(comparison: Comparison, *, as_of: datetime | None = None) -> CompareModelVersionsResponse:
    """A comparison in the shape of the contract; `as_of` None: of now."""
    return CompareModelVersionsResponse(
        comparison=[
            pb.ComparedVersion(
                version=version.number,
                metrics=version.facts.metrics,
                stage=stage_to_proto(version.stage),
                metric_slices=map(slice_to_proto, version.facts.metric_slices),
                parameters={name: parameter_to_proto(value) for name, value in version.facts.parameters.items()},
            )
            for version in comparison.versions
        ],
        recommendation=comparison.recommendation,
        recommended_version=comparison.recommended,
        metrics=map(_metric_to_proto, comparison.metrics),
        as_of_time=time_to_proto(as_of),
    )


def alias_move_to_proto(move: AliasMove) -> pb.AliasMove:
    """One change of an alias."""
    return pb.AliasMove(
        alias=move.alias,
        from_version=move.from_number,
        to_version=move.to_number,
        actor=move.actor,
        comment=move.comment,
        move_time=time_to_proto(move.time),
        event_sequence=move.sequence,
        is_break_glass=move.is_break_glass,
        approval_id=move.approval_id,
    )


def transition_to_proto(transition: Transition) -> lifecycle_pb2.StageTransition:
    """One move from stage to stage."""
    return lifecycle_pb2.StageTransition(
        version=transition.number,
        from_stage=stage_to_proto(transition.from_stage),
        to_stage=stage_to_proto(transition.to_stage),
        kind=_KINDS[transition.kind],
        actor=transition.actor,
        comment=transition.comment,
        transition_time=time_to_proto(transition.time),
        caused_by_version=transition.caused_by,
        event_sequence=transition.sequence,
        is_break_glass=transition.is_break_glass,
        approval_id=transition.approval_id,
    )


def _external_kind(version: ModelVersion) -> pb.ArtifactKind.ValueType:
    """A version that waits for a run's files has no artifact of either kind yet."""
    return pb.ARTIFACT_KIND_EXTERNAL if version.artifact.uri else pb.ARTIFACT_KIND_UNSPECIFIED


def _metric_to_proto(row: MetricComparison) -> pb.MetricComparison:
    return pb.MetricComparison(
        metric=row.metric,
        slice_dimension=row.slice.dimension,
        slice_value=row.slice.value,
        slice_dataset=row.slice.dataset,
        goal=goal_to_proto(row.goal),
        is_goal_guessed=row.is_goal_guessed,
        values=[pb.MetricValue(version=number, value=value, delta=delta) for number, value, delta in row.values],
        winners=row.winners,
    )
