"""Answers of the registry, from the contract's messages."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from registrar.convert.approvals import status_from_proto
from registrar.convert.values import (
    documentation_from_proto,
    file_from_proto,
    goal_from_proto,
    parameters_from_proto,
    provenance_from_proto,
    risk_from_proto,
    signature_from_proto,
    slices_from_proto,
    sorted_map,
    stage_from_proto,
    time_from_proto,
)
from registrar.types import (
    AliasMove,
    ApprovalSummary,
    Artifact,
    AsOf,
    CacheStatus,
    Caller,
    ComparedVersion,
    Comparison,
    DownloadUrl,
    Limits,
    MetricComparison,
    MetricValue,
    MirrorStatus,
    Model,
    ModelVersion,
    RegistrationAdvice,
    ServerInfo,
    Transition,
    VerifiedFile,
)
from registrar.v1 import (
    admin_service_pb2,
    artifact_pb2,
    artifact_service_pb2,
    lifecycle_pb2,
    model_pb2,
    model_version_pb2,
    model_version_service_pb2,
)
from registrar.values import ArtifactKind, MetricGoal, SignatureChange, TransitionKind, VersionState

_STATES = {
    model_version_pb2.MODEL_VERSION_STATE_PENDING: VersionState.PENDING,
    model_version_pb2.MODEL_VERSION_STATE_READY: VersionState.READY,
    model_version_pb2.MODEL_VERSION_STATE_FAILED: VersionState.FAILED,
}
_KINDS = {
    lifecycle_pb2.TRANSITION_KIND_DISPLACED: TransitionKind.DISPLACED,
    lifecycle_pb2.TRANSITION_KIND_ROLLED_BACK_TO: TransitionKind.ROLLED_BACK_TO,
    lifecycle_pb2.TRANSITION_KIND_ROLLED_BACK_FROM: TransitionKind.ROLLED_BACK_FROM,
}


def model_from_proto(message: model_pb2.Model) -> Model:
    """A model; goals that this client does not know are left out."""
    goals: dict[str, MetricGoal] = {}
    for metric in sorted(message.metric_goals):
        goal = goal_from_proto(message.metric_goals[metric])
        if goal is not None:
            goals[metric] = goal
    return Model(
        tenant=message.tenant,
        name=message.name,
        uid=message.uid,
        description=message.description,
        tags=sorted_map(message.tags),
        metric_goals=goals,
        latest_version=message.latest_version or None,
        production_version=message.production_version or None,
        staging_version=message.staging_version or None,
        aliases=sorted_map(message.aliases),
        created_by=message.created_by,
        create_time=time_from_proto(message.create_time),
        update_time=time_from_proto(message.update_time),
        etag=message.etag,
        delete_time=_time(message, "delete_time", message.delete_time),
        purge_time=_time(message, "purge_time", message.purge_time),
    )


def version_from_proto(message: model_version_pb2.ModelVersion) -> ModelVersion:
    """A version."""
    external = message.artifact_kind == model_version_pb2.ARTIFACT_KIND_EXTERNAL
    return ModelVersion(
        tenant=message.tenant,
        name=message.name,
        version=message.version,
        uid=message.uid,
        state=_STATES.get(message.state, VersionState.PENDING),
        failure=message.failure,
        stage=stage_from_proto(message.stage),
        stage_time=_time(message, "stage_time", message.stage_time),
        aliases=tuple(message.aliases),
        semantic_version=message.semantic_version,
        description=message.description,
        tags=sorted_map(message.tags),
        metrics=sorted_map(message.metrics),
        metric_slices=slices_from_proto(message.metric_slices),
        parameters=parameters_from_proto(message.parameters),
        artifact_id=message.artifact_id,
        artifact_uri=message.artifact_uri,
        artifact_kind=ArtifactKind.EXTERNAL if external else ArtifactKind.BUNDLE,
        manifest_digest=message.manifest_digest,
        signature=signature_from_proto(message.signature) if message.HasField("signature") else None,
        flavors=tuple(message.flavors),
        provenance=provenance_from_proto(message.provenance),
        risk=risk_from_proto(message.risk),
        documentation=documentation_from_proto(message.documentation),
        drift_monitor_id=message.drift_monitor_id,
        deprecation_note=message.deprecation_note,
        approval=_approval(message.approval),
        created_by=message.created_by,
        create_time=time_from_proto(message.create_time),
        update_time=time_from_proto(message.update_time),
        etag=message.etag,
        delete_time=_time(message, "delete_time", message.delete_time),
        purge_time=_time(message, "purge_time", message.purge_time),
    )


def advice_from_proto(message: model_version_service_pb2.RegisterModelVersionResponse) -> RegistrationAdvice:
    """What the registry says of a registration."""
    return RegistrationAdvice(
        suggested_semantic_version=message.suggested_semantic_version,
        signature_changes=tuple(
            SignatureChange(change.place, change.description, change.is_breaking)
            for change in message.signature_changes
        ),
        compared_with=message.compared_with or None,
        missing_recommended=tuple(message.missing_recommended),
    )


def registered_from_proto(message: model_version_service_pb2.RegisterModelVersionResponse) -> ModelVersion:
    """A version as it was registered, with its advice."""
    advice = advice_from_proto(message)
    is_any = bool(advice.suggested_semantic_version or advice.missing_recommended)
    return replace(version_from_proto(message.model_version), advice=advice if is_any else None)


def past_version_from_proto(message: model_version_service_pb2.GetModelVersionResponse) -> ModelVersion:
    """A version, with its `as_of` where one was asked for."""
    version = version_from_proto(message.model_version)
    if not message.HasField("as_of_time"):
        return version
    as_of = AsOf(
        time=time_from_proto(message.as_of_time),
        transition=transition_from_proto(message.transition) if message.HasField("transition") else None,
        alias_move=move_from_proto(message.alias_move) if message.HasField("alias_move") else None,
    )
    return replace(version, as_of=as_of)


def _approval(message: model_version_pb2.ApprovalSummary) -> ApprovalSummary | None:
    status = status_from_proto(message.status)
    if status is None:
        return None
    return ApprovalSummary(
        status=status,
        approved_by=tuple(message.approved_by),
        approval_time=_time(message, "approval_time", message.approval_time),
        notes=message.notes,
        approval_id=message.approval_id,
    )


def artifact_from_proto(message: artifact_pb2.Artifact) -> Artifact:
    """A bundle."""
    return Artifact(
        id=message.id,
        tenant=message.tenant,
        model_name=message.model_name,
        manifest_digest=message.manifest_digest,
        uri=message.uri,
        size_bytes=message.size_bytes,
        file_count=message.file_count,
        created_by=message.created_by,
        create_time=time_from_proto(message.create_time),
        verify_time=_time(message, "verify_time", message.verify_time),
    )


def verified_file_from_proto(message: artifact_service_pb2.VerifiedFile) -> VerifiedFile:
    """What became of one file of a verification."""
    return VerifiedFile(
        file=file_from_proto(message.file),
        is_intact=message.is_intact,
        stored_sha256=message.stored_sha256,
        stored_size_bytes=message.stored_size_bytes,
    )


def urls_from_proto(message: artifact_service_pb2.CreateDownloadUrlsResponse) -> list[DownloadUrl]:
    """One page of URLs."""
    expire_time = time_from_proto(message.expire_time)
    return [DownloadUrl(file_from_proto(entry.file), entry.url, expire_time) for entry in message.urls]


def move_from_proto(message: model_version_pb2.AliasMove) -> AliasMove:
    """A move of an alias."""
    return AliasMove(
        alias=message.alias,
        from_version=message.from_version or None,
        to_version=message.to_version or None,
        actor=message.actor,
        comment=message.comment,
        move_time=time_from_proto(message.move_time),
        event_sequence=message.event_sequence,
        is_break_glass=message.is_break_glass,
        approval_id=message.approval_id,
    )


def transition_from_proto(message: lifecycle_pb2.StageTransition) -> Transition:
    """A move from stage to stage."""
    return Transition(
        version=message.version,
        from_stage=stage_from_proto(message.from_stage),
        to_stage=stage_from_proto(message.to_stage),
        kind=_KINDS.get(message.kind, TransitionKind.REQUESTED),
        actor=message.actor,
        comment=message.comment,
        transition_time=time_from_proto(message.transition_time),
        caused_by_version=message.caused_by_version or None,
        event_sequence=message.event_sequence,
        is_break_glass=message.is_break_glass,
        approval_id=message.approval_id,
    )


def comparison_from_proto(message: model_version_service_pb2.CompareModelVersionsResponse) -> Comparison:
    """Versions side by side."""
    versions = tuple(
        ComparedVersion(
            version=compared.version,
            stage=stage_from_proto(compared.stage),
            metrics=sorted_map(compared.metrics),
            metric_slices=slices_from_proto(compared.metric_slices),
            parameters=parameters_from_proto(compared.parameters),
        )
        for compared in message.comparison
    )
    metrics = tuple(_metric_comparison(metric) for metric in message.metrics)
    as_of_time = _time(message, "as_of_time", message.as_of_time)
    return Comparison(versions, metrics, message.recommendation, message.recommended_version or None, as_of_time)


def _metric_comparison(message: model_version_pb2.MetricComparison) -> MetricComparison:
    return MetricComparison(
        metric=message.metric,
        slice_dimension=message.slice_dimension,
        slice_value=message.slice_value,
        slice_dataset=message.slice_dataset,
        goal=goal_from_proto(message.goal),
        is_goal_guessed=message.is_goal_guessed,
        values=tuple(
            MetricValue(value.version, value.value, value.delta if value.HasField("delta") else None)
            for value in message.values
        ),
        winners=tuple(message.winners),
    )


def server_info_from_proto(message: admin_service_pb2.GetServerInfoResponse) -> ServerInfo:
    limits, caller, mirror, cache = message.limits, message.caller, message.mirror, message.cache
    return ServerInfo(
        server_version=message.server_version,
        features=tuple(message.features),
        digest_functions=tuple(message.digest_functions),
        limits=Limits(
            message_bytes=limits.message_bytes,
            chunk_bytes=limits.chunk_bytes,
            metadata_bytes=limits.metadata_bytes,
            bundle_files=limits.bundle_files,
            transfer_slots=limits.transfer_slots,
            tags=limits.tags,
            metrics=limits.metrics,
            description_characters=limits.description_characters,
        ),
        bulk_endpoint=message.bulk_endpoint,
        caller=Caller(caller.actor, caller.tenant, tuple(caller.roles)),
        mirror=MirrorStatus(mirror.event_sequence, mirror.mirrored_sequence, mirror.pending_models),
        cache_ttl=message.cache_ttl.ToTimedelta(),
        artifact_root=message.artifact_root,
        cache=CacheStatus(cache.entries, cache.event_sequence, cache.behind.ToTimedelta(), cache.is_degraded),
    )


def _time(message: Message, field: str, value: Timestamp) -> datetime | None:
    return time_from_proto(value) if message.HasField(field) else None
