"""Policies, their trials and failed gates, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from registrar.convert.values import (
    risk_level_from_proto,
    risk_level_to_proto,
    stage_from_proto,
    stage_to_proto,
    time_from_proto,
)
from registrar.policy_types import (
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
    PolicyTest,
    PolicyTrial,
    ProvenanceField,
    SignatureRule,
    SliceScope,
    SliceSelector,
)
from registrar.v1 import card_pb2, lifecycle_service_pb2, policy_pb2
from registrar.values import CardSection

_SECTION_TO_PROTO = {section: card_pb2.CardSection.Value(f"CARD_SECTION_{section.name}") for section in CardSection}
_SECTION_FROM_PROTO = {number: section for section, number in _SECTION_TO_PROTO.items()}
_FIELD_TO_PROTO = {
    field: policy_pb2.ProvenanceField.Value(f"PROVENANCE_FIELD_{field.name}") for field in ProvenanceField
}
_FIELD_FROM_PROTO = {number: field for field, number in _FIELD_TO_PROTO.items()}
_SLICES_TO_PROTO = {
    SliceScope.WHOLE: policy_pb2.SLICE_SCOPE_UNSPECIFIED,
    SliceScope.EVERY: policy_pb2.SLICE_SCOPE_EVERY,
    SliceScope.NAMED: policy_pb2.SLICE_SCOPE_NAMED,
}
_SLICES_FROM_PROTO = {number: scope for scope, number in _SLICES_TO_PROTO.items()}


def policy_to_proto(policy: Policy) -> policy_pb2.Policy:
    """What a policy says; what the registry fills in is left out."""
    return policy_pb2.Policy(
        tenant=policy.tenant,
        name=policy.name,
        description=policy.description,
        scope=scope_to_proto(policy.scope),
        rules=rules_to_proto(policy.rules),
    )


def policy_from_proto(message: policy_pb2.Policy) -> Policy:
    """A policy; sections and fields that this client does not know are left out of what it demands."""
    return Policy(
        tenant=message.tenant,
        name=message.name,
        description=message.description,
        scope=_scope(message.scope),
        rules=_rules(message.rules),
        revision=message.revision,
        digest=message.digest,
        etag=message.etag,
        updated_by=message.updated_by,
        create_time=_time(message, "create_time", message.create_time),
        update_time=_time(message, "update_time", message.update_time),
        delete_time=_time(message, "delete_time", message.delete_time),
    )


def scope_to_proto(scope: PolicyScope) -> policy_pb2.PolicyScope:
    """Which moves a policy is about."""
    return policy_pb2.PolicyScope(
        model_patterns=scope.model_patterns,
        target_stages=map(stage_to_proto, scope.target_stages),
        alias_patterns=scope.alias_patterns,
        risk_levels=map(risk_level_to_proto, scope.risk_levels),
        includes_rollbacks=scope.includes_rollbacks,
    )


def _scope(message: policy_pb2.PolicyScope) -> PolicyScope:
    return PolicyScope(
        model_patterns=tuple(message.model_patterns),
        target_stages=tuple(map(stage_from_proto, message.target_stages)),
        alias_patterns=tuple(message.alias_patterns),
        risk_levels=tuple(map(risk_level_from_proto, message.risk_levels)),
        includes_rollbacks=message.includes_rollbacks,
    )


def rules_to_proto(rules: PolicyRules) -> policy_pb2.PolicyRules:
    """What a policy demands."""
    signature = rules.signature
    return policy_pb2.PolicyRules(
        approval=None if rules.approval is None else _approval_to_proto(rules.approval),
        metric_gates=map(_gate_to_proto, rules.metric_gates),
        required_files=rules.required_files,
        card=None if rules.card is None else _card_to_proto(rules.card),
        required_provenance=[_FIELD_TO_PROTO[field] for field in rules.required_provenance],
        signature=None
        if signature is None
        else policy_pb2.SignatureRule(
            is_required=signature.is_required, must_be_compatible=signature.must_be_compatible
        ),
        requires_risk_assessment=rules.requires_risk_assessment,
        from_stages=map(stage_to_proto, rules.from_stages),
        max_holders=rules.max_holders,
        checks=[
            policy_pb2.CheckRule(name=check.name, only_if_reported=check.only_if_reported) for check in rules.checks
        ],
    )


def _rules(message: policy_pb2.PolicyRules) -> PolicyRules:
    signature = message.signature
    return PolicyRules(
        approval=_approval(message.approval) if message.HasField("approval") else None,
        metric_gates=tuple(map(_gate, message.metric_gates)),
        required_files=tuple(message.required_files),
        card=_card(message.card) if message.HasField("card") else None,
        required_provenance=tuple(
            _FIELD_FROM_PROTO[number] for number in message.required_provenance if number in _FIELD_FROM_PROTO
        ),
        signature=SignatureRule(signature.is_required, signature.must_be_compatible)
        if message.HasField("signature")
        else None,
        requires_risk_assessment=message.requires_risk_assessment,
        from_stages=tuple(map(stage_from_proto, message.from_stages)),
        max_holders=message.max_holders,
        checks=tuple(CheckRule(check.name, check.only_if_reported) for check in message.checks),
    )


def _approval_to_proto(rule: ApprovalRule) -> policy_pb2.ApprovalRule:
    return policy_pb2.ApprovalRule(
        approvers=[policy_pb2.ApproverRequirement(role=one.role, count=one.count) for one in rule.approvers],
        is_ordered=rule.is_ordered,
        requires_four_eyes=rule.requires_four_eyes,
        valid_for=_duration_to_proto(rule.valid_for),
        is_automatic=rule.is_automatic,
        people_only=rule.people_only,
    )


def _approval(message: policy_pb2.ApprovalRule) -> ApprovalRule:
    return ApprovalRule(
        approvers=requirements_from_proto(message.approvers),
        is_ordered=message.is_ordered,
        requires_four_eyes=message.requires_four_eyes,
        valid_for=message.valid_for.ToTimedelta() if message.HasField("valid_for") else None,
        is_automatic=message.is_automatic,
        people_only=message.people_only,
    )


def requirements_from_proto(messages: Iterable[policy_pb2.ApproverRequirement]) -> tuple[ApproverRequirement, ...]:
    """Who must approve; a count that is not given is one."""
    return tuple(ApproverRequirement(message.role, message.count or 1) for message in messages)


def _gate_to_proto(gate: MetricGate) -> policy_pb2.MetricGate:
    return policy_pb2.MetricGate(
        metric=gate.metric,
        min=gate.min,
        max=gate.max,
        max_regression=gate.max_regression,
        max_relative_regression=gate.max_relative_regression,
        slices=_SLICES_TO_PROTO[gate.slices],
        named_slices=[
            policy_pb2.SliceSelector(dimension=one.dimension, value=one.value, dataset=one.dataset)
            for one in gate.named_slices
        ],
        max_slice_gap=gate.max_slice_gap,
    )


def _gate(message: policy_pb2.MetricGate) -> MetricGate:
    return MetricGate(
        metric=message.metric,
        min=message.min if message.HasField("min") else None,
        max=message.max if message.HasField("max") else None,
        max_regression=message.max_regression if message.HasField("max_regression") else None,
        max_relative_regression=message.max_relative_regression
        if message.HasField("max_relative_regression")
        else None,
        slices=_SLICES_FROM_PROTO.get(message.slices, SliceScope.WHOLE),
        named_slices=tuple(SliceSelector(one.dimension, one.value, one.dataset) for one in message.named_slices),
        max_slice_gap=message.max_slice_gap if message.HasField("max_slice_gap") else None,
    )


def _card_to_proto(rule: CardRule) -> policy_pb2.CardRule:
    return policy_pb2.CardRule(
        required_sections=[_SECTION_TO_PROTO[section] for section in rule.required_sections],
        max_age=_duration_to_proto(rule.max_age),
        requires_author=rule.requires_author,
    )


def _card(message: policy_pb2.CardRule) -> CardRule:
    sections = message.required_sections
    return CardRule(
        required_sections=tuple(_SECTION_FROM_PROTO[number] for number in sections if number in _SECTION_FROM_PROTO),
        max_age=message.max_age.ToTimedelta() if message.HasField("max_age") else None,
        requires_author=message.requires_author,
    )


def policy_ref_from_proto(message: policy_pb2.PolicyRef) -> PolicyRef:
    """One revision of a policy."""
    return PolicyRef(message.tenant, message.name, message.revision, message.digest)


def gates_from_proto(messages: Iterable[policy_pb2.FailedGate]) -> tuple[FailedGate, ...]:
    """What a version does not meet."""
    return tuple(
        FailedGate(gate.type, policy_ref_from_proto(gate.policy), gate.subject, gate.description) for gate in messages
    )


def trials_from_proto(message: lifecycle_service_pb2.TestPolicyResponse) -> PolicyTest:
    """What came of testing a policy."""
    return PolicyTest(tuple(map(_trial, message.trials)), message.is_truncated)


def _trial(message: lifecycle_service_pb2.PolicyTrial) -> PolicyTrial:
    return PolicyTrial(
        model=message.model,
        version=message.version,
        stage=stage_from_proto(message.stage) if message.WhichOneof("target") == "stage" else None,
        alias_pattern=message.alias_pattern,
        is_covered=message.is_covered,
        failed_gates=gates_from_proto(message.failed_gates),
        compared_with=message.compared_with or None,
        was_there=message.was_there,
    )


def _duration_to_proto(span: timedelta | None) -> Duration | None:
    if span is None:
        return None
    message = Duration()
    message.FromTimedelta(span)
    return message


def _time(message: Message, field: str, value: Timestamp) -> datetime | None:
    return time_from_proto(value) if message.HasField(field) else None
