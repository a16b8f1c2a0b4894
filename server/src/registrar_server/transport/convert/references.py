"""Which model, which version, on whose behalf."""

from __future__ import annotations

from registrar.v1 import reference_pb2 as pb
from registrar_server.application.reply_cache import Freshness
from registrar_server.domain.access import Caller
from registrar_server.domain.validation import Checker
from registrar_server.domain.values import (
    UID,
    ByAlias,
    ByNumber,
    BySemanticRange,
    BySemanticVersion,
    ByStage,
    ByUid,
    ModelKey,
    Selector,
    Stage,
    VersionRef,
)

_STAGES = {
    Stage.NONE: pb.STAGE_NONE,
    Stage.STAGING: pb.STAGE_STAGING,
    Stage.PRODUCTION: pb.STAGE_PRODUCTION,
    Stage.ARCHIVED: pb.STAGE_ARCHIVED,
}
_STAGES_BACK = {message: stage for stage, message in _STAGES.items()}


def stage_to_proto(stage: Stage) -> pb.Stage.ValueType:
    """A stage."""
    return _STAGES[stage]


def stage_of(message: pb.Stage.ValueType) -> Stage | None:
    """A stage, None where none is given."""
    return _STAGES_BACK.get(message)


def stage_from_proto(check: Checker, field: str, message: pb.Stage.ValueType) -> Stage:
    """A stage that must be given."""
    stage = _STAGES_BACK.get(message)
    if stage is None:
        check.fail(field, "must be STAGE_NONE, STAGE_STAGING, STAGE_PRODUCTION or STAGE_ARCHIVED")
        return Stage.NONE
    return stage


def tenant_from_proto(check: Checker, field: str, tenant: str, caller: Caller) -> str:
    """The tenant named, or the caller's."""
    return check.tenant(field, tenant) if tenant else caller.tenant


def model_from_proto(check: Checker, field: str, message: pb.ModelRef, caller: Caller) -> ModelKey:
    """Which model."""
    tenant = tenant_from_proto(check, f"{field}.tenant", message.tenant, caller)
    return ModelKey(tenant, check.model_name(f"{field}.name", message.name))


def ref_from_proto(check: Checker, field: str, message: pb.ModelVersionRef, caller: Caller) -> VersionRef:
    """Which version is read; a range of semantic versions will do."""
    return VersionRef(
        model_from_proto(check, f"{field}.model", message.model, caller), _selector_from_proto(check, field, message)
    )


def changed_ref_from_proto(check: Checker, field: str, message: pb.ModelVersionRef, caller: Caller) -> VersionRef:
    """Which version is changed, or recorded for good. Not by a range: the next registration changes what it names."""
    ref = ref_from_proto(check, field, message, caller)
    if isinstance(ref.selector, BySemanticRange):
        check.fail(f"{field}.semantic_version", "must be one semantic version: ranges are for reading")
    return ref


def freshness_from_proto(check: Checker, field: str, message: pb.Consistency) -> Freshness:
    """How fresh an answer must be."""
    if message.at_least_sequence < 0:
        check.fail(f"{field}.at_least_sequence", "must be at least 0")
    return Freshness(message.strong, message.at_least_sequence)


def ref_to_proto(ref: VersionRef) -> pb.ModelVersionRef:
    """Which version."""
    message = pb.ModelVersionRef(model=pb.ModelRef(tenant=ref.model.tenant, name=ref.model.name))
    match ref.selector:
        case ByNumber(number):
            message.version = number
        case ByAlias(alias):
            message.alias = alias
        case ByStage(stage):
            message.stage = stage_to_proto(stage)
        case BySemanticVersion(semantic_version):
            message.semantic_version = semantic_version
        case BySemanticRange(semantic_range):
            message.semantic_version = semantic_range.text
        case ByUid(uid):
            message.uid = uid
    return message


def _selector_from_proto(check: Checker, field: str, message: pb.ModelVersionRef) -> Selector:
    match message.WhichOneof("selector"):
        case "version":
            if message.version < 1:
                check.fail(f"{field}.version", "must be at least 1")
            return ByNumber(message.version)
        case "alias":
            return ByAlias(check.alias(f"{field}.alias", message.alias))
        case "stage":
            stage = stage_from_proto(check, f"{field}.stage", message.stage)
            if stage not in (Stage.STAGING, Stage.PRODUCTION):
                check.fail(f"{field}.stage", "must be STAGE_STAGING or STAGE_PRODUCTION to name one version")
            return ByStage(stage)
        case "semantic_version":
            return check.semantic_selector(f"{field}.semantic_version", message.semantic_version)
        case "uid":
            return ByUid(check.pattern(f"{field}.uid", message.uid, UID, "32 lower-case hex digits"))
        case None:
            check.fail(field, "must name a version by number, alias, stage, semantic_version or uid")
            return ByNumber(0)
