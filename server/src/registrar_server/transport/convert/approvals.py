"""Approvals, their decisions and their summaries."""

from __future__ import annotations

from registrar.v1 import approval_pb2 as pb
from registrar.v1 import lifecycle_service_pb2
from registrar.v1 import model_version_pb2 as versions_pb
from registrar_server.application.governance.approval_standing import StandingApproval
from registrar_server.domain.approvals import ApprovalDecision, ApprovalStatus, ApprovalSummary, Decision
from registrar_server.domain.policies import MoveTarget
from registrar_server.domain.validation import Checker
from registrar_server.transport.convert.policies import policy_ref_to_proto, requirement_to_proto
from registrar_server.transport.convert.references import stage_from_proto, stage_to_proto
from registrar_server.transport.convert.values import time_to_proto

_STATUSES = {
    ApprovalStatus.PENDING: versions_pb.APPROVAL_STATUS_PENDING,
    ApprovalStatus.APPROVED: versions_pb.APPROVAL_STATUS_APPROVED,
    ApprovalStatus.REJECTED: versions_pb.APPROVAL_STATUS_REJECTED,
    ApprovalStatus.VOID: versions_pb.APPROVAL_STATUS_VOID,
    ApprovalStatus.WITHDRAWN: versions_pb.APPROVAL_STATUS_WITHDRAWN,
    ApprovalStatus.EXPIRED: versions_pb.APPROVAL_STATUS_EXPIRED,
    ApprovalStatus.USED: versions_pb.APPROVAL_STATUS_USED,
}
_DECISIONS = {Decision.APPROVE: pb.DECISION_APPROVE, Decision.REJECT: pb.DECISION_REJECT}
_DECISIONS_BACK = {message: decision for decision, message in _DECISIONS.items()}


def target_from_proto(check: Checker, request: lifecycle_service_pb2.RequestApprovalRequest) -> MoveTarget:
    """Where a version is to go."""
    match request.WhichOneof("target"):
        case "stage":
            return MoveTarget(stage_from_proto(check, "stage", request.stage))
        case "alias":
            return MoveTarget(alias=check.new_alias("alias", request.alias))
        case None:
            check.fail("target", "must be a stage or an alias")
            return MoveTarget()


def decision_from_proto(check: Checker, field: str, message: pb.Decision.ValueType) -> Decision:
    """What an approver decides."""
    decision = _DECISIONS_BACK.get(message)
    if decision is None:
        check.fail(field, "must be DECISION_APPROVE or DECISION_REJECT")
        return Decision.REJECT
    return decision


def summary_to_proto(summary: ApprovalSummary | None) -> versions_pb.ApprovalSummary | None:
    """The latest approval of a version in short; None where there is none."""
    if summary is None:
        return None
    return versions_pb.ApprovalSummary(
        status=_STATUSES[summary.status],
        approved_by=summary.approved_by,
        approval_time=time_to_proto(summary.time),
        notes=summary.notes,
        approval_id=summary.id,
    )


def approval_to_proto(standing: StandingApproval) -> pb.Approval:
    """An approval as it stands."""
    approval = standing.approval
    message = pb.Approval(
        id=approval.id,
        tenant=approval.model.tenant,
        model=approval.model.name,
        version=approval.number,
        version_uid=approval.version_uid,
        status=_STATUSES[standing.status],
        void_reason=standing.void_reason,
        requested_by=approval.requested_by,
        request_time=time_to_proto(approval.request_time),
        comment=approval.comment,
        decisions=map(_decision_to_proto, approval.decisions),
        awaiting=map(requirement_to_proto, approval.awaiting),
        manifest_digest=approval.binding.manifest_digest,
        card_digest=approval.binding.card_digest,
        policies=map(policy_ref_to_proto, approval.binding.policies),
        expire_time=time_to_proto(approval.expire_time),
        used_event_sequence=approval.used_sequence,
    )
    if approval.target.stage is not None:
        message.stage = stage_to_proto(approval.target.stage)
    else:
        message.alias = approval.target.alias
    return message


def _decision_to_proto(decision: ApprovalDecision) -> pb.ApprovalDecision:
    return pb.ApprovalDecision(
        approver=decision.approver,
        approver_role=decision.role,
        decision=_DECISIONS[decision.decision],
        notes=decision.notes,
        decide_time=time_to_proto(decision.time),
        method=decision.method,
    )
