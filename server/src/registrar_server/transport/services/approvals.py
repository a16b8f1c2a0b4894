"""The RPCs of LifecycleService about approvals."""

from __future__ import annotations

import grpc

from registrar.v1 import lifecycle_service_pb2 as pb
from registrar.v1 import lifecycle_service_pb2_grpc
from registrar_server.application.governance.approvals import (
    ApprovalChanged,
    ApprovalRequested,
    Approvals,
    DecisionRequest,
)
from registrar_server.application.ports.database import ApprovalFilter
from registrar_server.domain import limits
from registrar_server.domain.access import Right
from registrar_server.domain.approvals import Decision
from registrar_server.domain.policies import APPROVER_ROLE
from registrar_server.domain.validation import Checker, checking
from registrar_server.domain.values import UID
from registrar_server.transport.calls import current_caller, mutation_of
from registrar_server.transport.convert.approvals import approval_to_proto, decision_from_proto, target_from_proto
from registrar_server.transport.convert.policies import failed_gate_to_proto
from registrar_server.transport.convert.references import changed_ref_from_proto, model_from_proto, tenant_from_proto
from registrar_server.transport.paging import decode_token, encode_token, page_size

_ROLE = "[a-z][a-z0-9-]{0,62}"


class ApprovalRpcs(lifecycle_service_pb2_grpc.LifecycleServiceServicer):
    """Converts, calls, converts."""

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals

    def RequestApproval(
        self, request: pb.RequestApprovalRequest, context: grpc.ServicerContext
    ) -> pb.RequestApprovalResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            ref = changed_ref_from_proto(check, "ref", request.ref, current_caller())
            target = target_from_proto(check, request)
            comment = check.text("comment", request.comment, limits.COMMENT_CHARACTERS)
        mutation = mutation_of(request, request.request_id, _requested)
        return pb.RequestApprovalResponse.FromString(self._approvals.request(mutation, ref, target, comment=comment))

    def DecideApproval(
        self, request: pb.DecideApprovalRequest, context: grpc.ServicerContext
    ) -> pb.DecideApprovalResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            decision = decision_from_proto(check, "decision", request.decision)
            is_rejection = decision is Decision.REJECT and bool(request.decision)
            wanted = DecisionRequest(
                model=model_from_proto(check, "model", request.model, current_caller()),
                approval_id=_approval_id(check, request.approval_id),
                role=check.pattern("approver_role", request.approver_role, APPROVER_ROLE, _ROLE),
                decision=decision,
                notes=check.text("notes", request.notes, limits.COMMENT_CHARACTERS, is_required=is_rejection),
            )
            if is_rejection and request.notes and not request.notes.strip():
                check.fail("notes", "must say why")
        mutation = mutation_of(request, request.request_id, _decided)
        return pb.DecideApprovalResponse.FromString(self._approvals.decide(mutation, wanted))

    def WithdrawApproval(
        self, request: pb.WithdrawApprovalRequest, context: grpc.ServicerContext
    ) -> pb.WithdrawApprovalResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            key = model_from_proto(check, "model", request.model, current_caller())
            approval_id = _approval_id(check, request.approval_id)
            comment = check.text("comment", request.comment, limits.COMMENT_CHARACTERS)
        mutation = mutation_of(request, request.request_id, _withdrawn)
        answer = self._approvals.withdraw(mutation, key, approval_id, comment=comment)
        return pb.WithdrawApprovalResponse.FromString(answer)

    def GetApproval(self, request: pb.GetApprovalRequest, context: grpc.ServicerContext) -> pb.GetApprovalResponse:
        """See the contract."""
        with checking() as check:
            key = model_from_proto(check, "model", request.model, current_caller())
            approval_id = _approval_id(check, request.approval_id)
        return pb.GetApprovalResponse(approval=approval_to_proto(self._approvals.get(key, approval_id)))

    def ListApprovals(
        self, request: pb.ListApprovalsRequest, context: grpc.ServicerContext
    ) -> pb.ListApprovalsResponse:
        """See the contract."""
        caller = current_caller()
        with checking() as check:
            tenant = tenant_from_proto(check, "tenant", request.tenant, caller)
            if request.model:
                check.model_name("model", request.model)
            if request.version < 0:
                check.fail("version", "must not be negative")
            if request.version and not request.model:
                check.fail("version", "needs a model")
            if request.awaiting_role:
                check.pattern("awaiting_role", request.awaiting_role, APPROVER_ROLE, _ROLE)
        size = page_size(request.page_size)
        token = decode_token(request, request.page_token, int)
        wanted = ApprovalFilter(
            tenant=tenant,
            readable=caller.access.models(Right.READ, tenant),
            model=request.model,
            number=request.version,
            awaiting_role=request.awaiting_role,
            is_open_only=request.open_only,
        )
        found = self._approvals.list(wanted, before=int(token[0]) if token else 0, limit=size + 1)
        response = pb.ListApprovalsResponse(approvals=map(approval_to_proto, found[:size]))
        if len(found) > size:
            response.next_page_token = encode_token(request, [found[size - 1].approval.sequence])
        return response


def _approval_id(check: Checker, value: str) -> str:
    return check.pattern("approval_id", value, UID, "32 lower-case hex digits")


def _requested(done: ApprovalRequested) -> pb.RequestApprovalResponse:
    return pb.RequestApprovalResponse(
        approval=approval_to_proto(done.standing),
        failed_gates=map(failed_gate_to_proto, done.failed),
        event_sequence=done.sequence,
    )


def _decided(changed: ApprovalChanged) -> pb.DecideApprovalResponse:
    return pb.DecideApprovalResponse(approval=approval_to_proto(changed.standing), event_sequence=changed.sequence)


def _withdrawn(changed: ApprovalChanged) -> pb.WithdrawApprovalResponse:
    return pb.WithdrawApprovalResponse(approval=approval_to_proto(changed.standing), event_sequence=changed.sequence)
