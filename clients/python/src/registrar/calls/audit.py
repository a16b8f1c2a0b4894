"""The audit: its entries, how far it goes, proofs."""

from __future__ import annotations

from datetime import datetime

from registrar.audit_types import AuditEvent, AuditHead, AuditOutcome, AuditProof
from registrar.calls.call import Call, Listing
from registrar.context import AnyModelRef, CallContext
from registrar.convert.access import time_to_proto
from registrar.convert.audit import event_from_proto, head_from_proto, outcome_to_proto, proof_from_proto
from registrar.errors import InvalidArgument, Violation
from registrar.v1 import audit_service_pb2 as pb


def audit_events(
    context: CallContext,
    *,
    model: AnyModelRef | None = None,
    version: int | None = None,
    actor: str = "",
    action: str = "",
    outcome: AuditOutcome | None = None,
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    oldest_first: bool = False,
    tenant: str = "",
    page_size: int = 0,
) -> Listing[AuditEvent]:
    """Entries of a tenant's audit, or of EVERYWHERE's, the newest first; pages are fetched as they are consumed.

    Only those for which all holds that is given: about a model, and a version of it by number; what an actor wanted, one
    action, what came of it; at or after `start_time`, before `end_time`. Errors: InvalidArgument, PermissionDenied.
    """
    ref = None if model is None else context.model_ref(model)
    request = pb.ListAuditEventsRequest(
        tenant=tenant or (ref.tenant if ref is not None else context.tenant),
        model="" if ref is None else ref.name,
        version=version or 0,
        actor=actor,
        action=action,
        outcome=outcome_to_proto(outcome),
        start_time=None if start_time is None else time_to_proto(start_time),
        end_time=None if end_time is None else time_to_proto(end_time),
        oldest_first=oldest_first,
        page_size=page_size,
    )
    return Listing(context.audit.ListAuditEvents, request, lambda page: map(event_from_proto, page.events))


def audit_head(context: CallContext, *, tenant: str = "") -> Call[AuditHead]:
    """How far a tenant's audit goes: keep it, and nothing up to there can be changed unseen. Errors: PermissionDenied."""
    request = pb.GetAuditHeadRequest(tenant=tenant or context.tenant)
    return Call(context.audit.GetAuditHead, request, lambda response: head_from_proto(response.head))


def audit_key(context: CallContext, *, tenant: str = "") -> Call[str]:
    """The key that verifies the heads of a tenant's audit, for `registrar.audit.notes`; empty: they are not signed.

    Ask for it when the registry is set up, and keep it: a key that comes with what it is to verify proves nothing.
    Errors: PermissionDenied.
    """
    request = pb.GetAuditHeadRequest(tenant=tenant or context.tenant)
    return Call(context.audit.GetAuditHead, request, lambda response: response.verifier_key)


def audit_proof(
    context: CallContext,
    *,
    position: int | None = None,
    earlier: int | None = None,
    tree_size: int = 0,
    tenant: str = "",
) -> Call[AuditProof]:
    """A proof that the entry at `position` is in the tree of `tree_size` entries, 0: of all.

    Or, with `earlier`, that this tree begins with that of so many entries. `AuditProof.is_valid` says whether it holds.
    Errors: NotFound when the tree is not that large; DataLoss when what is needed is gone; InvalidArgument,
    PermissionDenied.
    """
    if (position is None) is (earlier is None):
        problem = "must be a position or an earlier tree, and not both"
        raise InvalidArgument(problem, reason="INVALID_FIELD", violations=[Violation("claim", problem)])
    request = pb.GetAuditProofRequest(tenant=tenant or context.tenant, tree_size=tree_size)
    if position is not None:
        request.position = position
    if earlier is not None:
        request.earlier_tree_size = earlier
    return Call(context.audit.GetAuditProof, request, lambda response: proof_from_proto(response, position, earlier))
