"""Policies, what they demand, and what fails of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration

from registrar.v1 import card_pb2, reference_pb2, value_pb2
from registrar.v1 import policy_pb2 as pb
from registrar.v1.lifecycle_service_pb2 import RollbackRequest, TransitionStageRequest
from registrar.v1.model_version_service_pb2 import SetAliasRequest
from registrar_server.domain.access import NamePattern
from registrar_server.domain.cards import CardSection
from registrar_server.domain.policies import (
    ApprovalRule,
    ApproverRequirement,
    CardRule,
    CheckRule,
    FailedGate,
    MetricGate,
    Policy,
    PolicyRef,
    PolicyRules,
    PolicyScope,
    ProvenanceField,
    SignatureRule,
    SliceScope,
    SliceSelector,
)
from registrar_server.domain.policy_validation import check_duration, check_rules, check_scope
from registrar_server.domain.validation import Checker
from registrar_server.domain.values import RiskLevel, Stage
from registrar_server.transport.convert.references import stage_from_proto, stage_to_proto
from registrar_server.transport.convert.values import time_to_proto

Value = TypeVar("Value")

_SECTIONS = {section: card_pb2.CardSection.Value(f"CARD_SECTION_{section.name}") for section in CardSection}
_SECTIONS_BACK: Mapping[int, CardSection] = {message: section for section, message in _SECTIONS.items()}
_FIELDS = {field: pb.ProvenanceField.Value(f"PROVENANCE_FIELD_{field.name}") for field in ProvenanceField}
_FIELDS_BACK: Mapping[int, ProvenanceField] = {message: field for field, message in _FIELDS.items()}
_SLICES = {
    SliceScope.WHOLE: pb.SLICE_SCOPE_UNSPECIFIED,
    SliceScope.EVERY: pb.SLICE_SCOPE_EVERY,
    SliceScope.NAMED: pb.SLICE_SCOPE_NAMED,
}
_SLICES_BACK = {message: scope for scope, message in _SLICES.items()}
_RISKS: Mapping[RiskLevel | None, value_pb2.RiskLevel.ValueType] = {
    None: value_pb2.RISK_LEVEL_UNSPECIFIED,
    RiskLevel.LOW: value_pb2.RISK_LEVEL_LOW,
    RiskLevel.LIMITED: value_pb2.RISK_LEVEL_LIMITED,
    RiskLevel.HIGH: value_pb2.RISK_LEVEL_HIGH,
}
_RISKS_BACK: Mapping[int, RiskLevel | None] = {message: level for level, message in _RISKS.items()}


def policy_to_proto(policy: Policy) -> pb.Policy:
    """A revision of a policy."""
    return pb.Policy(
        tenant=policy.tenant,
        name=policy.name,
        description=policy.description,
        scope=_scope_to_proto(policy.scope),
        rules=_rules_to_proto(policy.rules),
        revision=policy.revision,
        digest=policy.digest,
        etag=policy.etag,
        updated_by=policy.updated_by,
        create_time=time_to_proto(policy.create_time),
        update_time=time_to_proto(policy.update_time),
        delete_time=time_to_proto(policy.delete_time),
    )


def policy_ref_to_proto(ref: PolicyRef) -> pb.PolicyRef:
    """Which revision."""
    return pb.PolicyRef(tenant=ref.tenant, name=ref.name, revision=ref.revision, digest=ref.digest)


def failed_gate_to_proto(failed: FailedGate) -> pb.FailedGate:
    """A demand that is not met."""
    return pb.FailedGate(
        type=failed.type.value,
        policy=policy_ref_to_proto(failed.policy),
        subject=failed.subject,
        description=failed.description,
    )


def requirement_to_proto(requirement: ApproverRequirement) -> pb.ApproverRequirement:
    """How many must approve in the name of a role."""
    return pb.ApproverRequirement(role=requirement.role, count=requirement.count)


def policy_scope_from_proto(check: Checker, field: str, message: pb.PolicyScope) -> PolicyScope:
    """Which moves a policy is about."""
    scope = PolicyScope(
        model_patterns=tuple(map(NamePattern, message.model_patterns)),
        target_stages=_stages_from_proto(check, f"{field}.target_stages", message.target_stages),
        alias_patterns=tuple(map(NamePattern, message.alias_patterns)),
        risk_levels=_all_known(check, f"{field}.risk_levels", message.risk_levels, _RISKS_BACK, "a risk level"),
        is_with_rollbacks=message.includes_rollbacks,
    )
    return check_scope(check, field, scope)


def policy_rules_from_proto(check: Checker, field: str, message: pb.PolicyRules) -> PolicyRules:
    """What a policy demands."""
    has = message.HasField
    wanted = f"{field}.required_provenance"
    rules = PolicyRules(
        approval=_approval_from_proto(check, f"{field}.approval", message.approval) if has("approval") else None,
        metric_gates=tuple(
            _gate_from_proto(check, f"{field}.metric_gates[{index}]", gate)
            for index, gate in enumerate(message.metric_gates)
        ),
        required_files=tuple(message.required_files),
        card=_card_from_proto(check, f"{field}.card", message.card) if has("card") else None,
        required_provenance=_all_known(
            check, wanted, message.required_provenance, _FIELDS_BACK, "a field of the provenance"
        ),
        signature=SignatureRule(message.signature.is_required, message.signature.must_be_compatible)
        if has("signature")
        else None,
        is_risk_assessment_required=message.requires_risk_assessment,
        from_stages=_stages_from_proto(check, f"{field}.from_stages", message.from_stages),
        max_holders=message.max_holders,
        checks=tuple(CheckRule(rule.name, rule.only_if_reported) for rule in message.checks),
    )
    return check_rules(check, field, rules)


def break_glass_from_proto(
    check: Checker,
    request: TransitionStageRequest | RollbackRequest | SetAliasRequest,
) -> bool:
    """Whether to act against the policies, which nobody does without saying why, in letters that can be seen."""
    if request.break_glass and not any(map(str.isalnum, request.comment)):
        check.fail("comment", "is required with break_glass")
    return request.break_glass


def _scope_to_proto(scope: PolicyScope) -> pb.PolicyScope:
    return pb.PolicyScope(
        model_patterns=[pattern.text for pattern in scope.model_patterns],
        target_stages=map(stage_to_proto, scope.target_stages),
        alias_patterns=[pattern.text for pattern in scope.alias_patterns],
        risk_levels=[_RISKS[level] for level in scope.risk_levels],
        includes_rollbacks=scope.is_with_rollbacks,
    )


def _rules_to_proto(rules: PolicyRules) -> pb.PolicyRules:
    signature = rules.signature
    return pb.PolicyRules(
        approval=_approval_to_proto(rules.approval) if rules.approval else None,
        metric_gates=map(_gate_to_proto, rules.metric_gates),
        required_files=rules.required_files,
        card=_card_to_proto(rules.card) if rules.card else None,
        required_provenance=[_FIELDS[one] for one in rules.required_provenance],
        signature=pb.SignatureRule(is_required=signature.is_required, must_be_compatible=signature.is_compatible)
        if signature
        else None,
        requires_risk_assessment=rules.is_risk_assessment_required,
        from_stages=map(stage_to_proto, rules.from_stages),
        max_holders=rules.max_holders,
        checks=[pb.CheckRule(name=rule.name, only_if_reported=rule.is_only_if_reported) for rule in rules.checks],
    )


def _approval_to_proto(rule: ApprovalRule) -> pb.ApprovalRule:
    return pb.ApprovalRule(
        approvers=map(requirement_to_proto, rule.approvers),
        is_ordered=rule.is_ordered,
        requires_four_eyes=rule.is_four_eyes,
        valid_for=_duration_to_proto(rule.valid_for),
        is_automatic=rule.is_automatic,
        people_only=rule.is_people_only,
    )


def _approval_from_proto(check: Checker, field: str, message: pb.ApprovalRule) -> ApprovalRule:
    is_ending = message.HasField("valid_for")
    return ApprovalRule(
        approvers=tuple(ApproverRequirement(one.role, one.count or 1) for one in message.approvers),
        is_ordered=message.is_ordered,
        is_four_eyes=message.requires_four_eyes,
        valid_for=_duration_from_proto(check, f"{field}.valid_for", message.valid_for) if is_ending else None,
        is_automatic=message.is_automatic,
        is_people_only=message.people_only,
    )


def _gate_to_proto(gate: MetricGate) -> pb.MetricGate:
    return pb.MetricGate(
        metric=gate.metric,
        min=gate.min,
        max=gate.max,
        max_regression=gate.max_regression,
        max_relative_regression=gate.max_relative_regression,
        slices=_SLICES[gate.slices],
        named_slices=[
            pb.SliceSelector(dimension=one.dimension, value=one.value, dataset=one.dataset) for one in gate.named_slices
        ],
        max_slice_gap=gate.max_slice_gap,
    )


def _gate_from_proto(check: Checker, field: str, message: pb.MetricGate) -> MetricGate:
    slices = _SLICES_BACK.get(message.slices)
    if slices is None:
        check.fail(f"{field}.slices", "must be SLICE_SCOPE_UNSPECIFIED, SLICE_SCOPE_EVERY or SLICE_SCOPE_NAMED")
    has = message.HasField
    return MetricGate(
        metric=message.metric,
        min=message.min if has("min") else None,
        max=message.max if has("max") else None,
        max_regression=message.max_regression if has("max_regression") else None,
        max_relative_regression=message.max_relative_regression if has("max_relative_regression") else None,
        slices=slices or SliceScope.WHOLE,
        named_slices=tuple(SliceSelector(one.dimension, one.value, one.dataset) for one in message.named_slices),
        max_slice_gap=message.max_slice_gap if has("max_slice_gap") else None,
    )


def _card_to_proto(rule: CardRule) -> pb.CardRule:
    return pb.CardRule(
        required_sections=[_SECTIONS[section] for section in rule.required_sections],
        max_age=_duration_to_proto(rule.max_age),
        requires_author=rule.is_author_required,
    )


def _card_from_proto(check: Checker, field: str, message: pb.CardRule) -> CardRule:
    at = f"{field}.required_sections"
    is_aging = message.HasField("max_age")
    return CardRule(
        required_sections=_all_known(check, at, message.required_sections, _SECTIONS_BACK, "a section of the card"),
        max_age=_duration_from_proto(check, f"{field}.max_age", message.max_age) if is_aging else None,
        is_author_required=message.requires_author,
    )


def _stages_from_proto(
    check: Checker, field: str, messages: Sequence[reference_pb2.Stage.ValueType]
) -> tuple[Stage, ...]:
    return tuple(stage_from_proto(check, f"{field}[{index}]", stage) for index, stage in enumerate(messages))


def _all_known(
    check: Checker, field: str, messages: Sequence[int], known: Mapping[int, Value], wanted: str
) -> tuple[Value, ...]:
    """Values of an enumeration, those aside that this server does not know."""
    for index, message in enumerate(messages):
        if message not in known:
            check.fail(f"{field}[{index}]", f"must be {wanted}")
    return tuple(known[message] for message in messages if message in known)


def _duration_to_proto(duration: timedelta | None) -> Duration | None:
    if duration is None:
        return None
    return Duration(seconds=duration.days * 86_400 + duration.seconds, nanos=duration.microseconds * 1_000)


def _duration_from_proto(check: Checker, field: str, message: Duration) -> timedelta:
    # Not `ToTimedelta`, which raises for what nobody could wait for.
    return check_duration(check, field, message.seconds + message.nanos / 1e9)
