"""Approvals: request, decide, withdraw, read, list."""

from __future__ import annotations

from registrar.approval_types import Approval, ApprovalRequest, Decision
from registrar.calls.call import Call, Listing, change, new_request_id
from registrar.context import AnyModelRef, AnyVersionRef, CallContext
from registrar.convert.approvals import approval_from_proto, decision_to_proto, request_from_proto
from registrar.convert.values import model_ref_to_proto, stage_to_proto, version_ref_to_proto
from registrar.errors import InvalidArgument
from registrar.v1 import lifecycle_service_pb2 as pb
from registrar.values import Stage


def request_approval(
    context: CallContext,
    ref: AnyVersionRef,
    *,
    to: Stage | None = None,
    alias: str | None = None,
    comment: str = "",
    request_id: str | None = None,
) -> Call[ApprovalRequest]:
    """Ask those who must approve that a version goes to a stage, or that an alias is pointed at it: one of the two.

    Where a policy has the registry approve by itself, the answer is APPROVED if all other gates pass. Errors: NotFound;
    FailedPrecondition when no policy asks for one, or gates fail of an automatic one; AlreadyExists when there is one that
    counts; PermissionDenied.
    """
    if (to is None) == (alias is None):
        raise InvalidArgument("an approval is for one target: give either `to` or `alias`", reason="INVALID_FIELD")
    request = pb.RequestApprovalRequest(
        request_id=request_id or new_request_id(),
        ref=version_ref_to_proto(context.version_ref(ref)),
        comment=comment,
    )
    if to is not None:
        request.stage = stage_to_proto(to)
    if alias is not None:
        request.alias = alias
    return change(context, context.lifecycle.RequestApproval, request, request_from_proto)


def decide_approval(
    context: CallContext,
    name: AnyModelRef,
    approval_id: str,
    *,
    decision: Decision,
    role: str,
    notes: str = "",
    request_id: str | None = None,
) -> Call[Approval]:
    """Approve or reject, in the name of an approver role; a rejection needs notes.

    Errors: NotFound; FailedPrecondition when it can no longer be decided, or others must decide first; PermissionDenied
    without the right, and with the reasons FOUR_EYES, DECIDED_BEFORE, PEOPLE_ONLY.
    """
    request = pb.DecideApprovalRequest(
        request_id=request_id or new_request_id(),
        model=model_ref_to_proto(context.model_ref(name)),
        approval_id=approval_id,
        approver_role=role,
        decision=decision_to_proto(decision),
        notes=notes,
    )
    return change(
        context, context.lifecycle.DecideApproval, request, lambda response: approval_from_proto(response.approval)
    )


def approve(
    context: CallContext,
    name: AnyModelRef,
    approval_id: str,
    *,
    role: str,
    notes: str = "",
    request_id: str | None = None,
) -> Call[Approval]:
    """Approve, in the name of an approver role. Errors: see `decide_approval`."""
    return decide_approval(
        context, name, approval_id, decision=Decision.APPROVE, role=role, notes=notes, request_id=request_id
    )


def reject(
    context: CallContext, name: AnyModelRef, approval_id: str, *, role: str, notes: str, request_id: str | None = None
) -> Call[Approval]:
    """Reject, in the name of an approver role; that ends the approval. Errors: see `decide_approval`."""
    return decide_approval(
        context, name, approval_id, decision=Decision.REJECT, role=role, notes=notes, request_id=request_id
    )


def withdraw_approval(
    context: CallContext, name: AnyModelRef, approval_id: str, *, comment: str = "", request_id: str | None = None
) -> Call[Approval]:
    """Take a request back. For whoever made it, and for administrators.

    Errors: NotFound, FailedPrecondition when it has ended, PermissionDenied.
    """
    request = pb.WithdrawApprovalRequest(
        request_id=request_id or new_request_id(),
        model=model_ref_to_proto(context.model_ref(name)),
        approval_id=approval_id,
        comment=comment,
    )
    return change(
        context, context.lifecycle.WithdrawApproval, request, lambda response: approval_from_proto(response.approval)
    )


def approval(context: CallContext, name: AnyModelRef, approval_id: str) -> Call[Approval]:
    """Read an approval of a move of a model's version. Errors: NotFound."""
    request = pb.GetApprovalRequest(model=model_ref_to_proto(context.model_ref(name)), approval_id=approval_id)
    return Call(context.lifecycle.GetApproval, request, lambda response: approval_from_proto(response.approval))


def approvals(
    context: CallContext,
    name: AnyModelRef | None = None,
    *,
    version: int | None = None,
    awaiting_role: str = "",
    open_only: bool = False,
    tenant: str = "",
    page_size: int = 0,
) -> Listing[Approval]:
    """Approvals of one model or of all that the caller may read, the newest first; pages are fetched as they are consumed.

    `awaiting_role`: only those that still await a decision in the name of that approver role. `open_only`: only those that
    can still be decided or used. Errors: InvalidArgument for a version without a model.
    """
    ref = None if name is None else context.model_ref(name)
    request = pb.ListApprovalsRequest(
        tenant=tenant or (ref.tenant if ref else "") or context.tenant,
        model=ref.name if ref else "",
        version=version or 0,
        awaiting_role=awaiting_role,
        open_only=open_only,
        page_size=page_size,
    )
    return Listing(context.lifecycle.ListApprovals, request, lambda page: map(approval_from_proto, page.approvals))
