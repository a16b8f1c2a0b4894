"""Approvals, from the contract's messages."""

from __future__ import annotations

from registrar.approval_types import Approval, ApprovalDecision, ApprovalRequest, Decision
from registrar.convert.policies import gates_from_proto, policy_ref_from_proto, requirements_from_proto
from registrar.convert.values import stage_from_proto, time_from_proto
from registrar.v1 import approval_pb2, lifecycle_service_pb2, model_version_pb2
from registrar.values import ApprovalStatus

_STATUSES = {
    model_version_pb2.ApprovalStatus.Value(f"APPROVAL_STATUS_{status.name}"): status for status in ApprovalStatus
}
_DECISION_TO_PROTO = {
    Decision.APPROVE: approval_pb2.DECISION_APPROVE,
    Decision.REJECT: approval_pb2.DECISION_REJECT,
}
_DECISION_FROM_PROTO = {number: decision for decision, number in _DECISION_TO_PROTO.items()}


def decision_to_proto(decision: Decision) -> approval_pb2.Decision.ValueType:
    """The decision's number in the contract."""
    return _DECISION_TO_PROTO[decision]


def status_from_proto(number: model_version_pb2.ApprovalStatus.ValueType) -> ApprovalStatus | None:
    """None when nobody has asked, and for a status that this client does not know."""
    return _STATUSES.get(number)


def approval_from_proto(message: approval_pb2.Approval) -> Approval:
    """An approval. A status that this client does not know counts as VOID, a decision as a rejection."""
    return Approval(
        id=message.id,
        tenant=message.tenant,
        model=message.model,
        version=message.version,
        version_uid=message.version_uid,
        stage=stage_from_proto(message.stage) if message.WhichOneof("target") == "stage" else None,
        alias=message.alias,
        status=status_from_proto(message.status) or ApprovalStatus.VOID,
        void_reason=message.void_reason,
        requested_by=message.requested_by,
        request_time=time_from_proto(message.request_time),
        comment=message.comment,
        decisions=tuple(map(_decision, message.decisions)),
        awaiting=requirements_from_proto(message.awaiting),
        manifest_digest=message.manifest_digest,
        card_digest=message.card_digest,
        policies=tuple(map(policy_ref_from_proto, message.policies)),
        expire_time=time_from_proto(message.expire_time) if message.HasField("expire_time") else None,
        used_event_sequence=message.used_event_sequence or None,
    )


def _decision(message: approval_pb2.ApprovalDecision) -> ApprovalDecision:
    return ApprovalDecision(
        approver=message.approver,
        approver_role=message.approver_role,
        decision=_DECISION_FROM_PROTO.get(message.decision, Decision.REJECT),
        notes=message.notes,
        decide_time=time_from_proto(message.decide_time),
        method=message.method,
    )


def request_from_proto(message: lifecycle_service_pb2.RequestApprovalResponse) -> ApprovalRequest:
    """Outcome of asking for an approval."""
    return ApprovalRequest(
        approval_from_proto(message.approval), gates_from_proto(message.failed_gates), message.event_sequence
    )
