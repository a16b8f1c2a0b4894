"""Entries, heads, proofs and verdicts of the audit."""

from __future__ import annotations

from registrar.audit_types import AuditEvent, AuditHead, AuditOutcome, AuditProof, AuditVerdict
from registrar.convert.values import time_from_proto
from registrar.v1 import audit_pb2, audit_service_pb2

_OUTCOME_TO_PROTO = {
    AuditOutcome.DONE: audit_pb2.AUDIT_OUTCOME_DONE,
    AuditOutcome.REFUSED: audit_pb2.AUDIT_OUTCOME_REFUSED,
}
_OUTCOME_FROM_PROTO = {number: outcome for outcome, number in _OUTCOME_TO_PROTO.items()}


def outcome_to_proto(outcome: AuditOutcome | None) -> audit_pb2.AuditOutcome.ValueType:
    """The outcome's number in the contract; None: any."""
    return audit_pb2.AUDIT_OUTCOME_UNSPECIFIED if outcome is None else _OUTCOME_TO_PROTO[outcome]


def event_from_proto(message: audit_pb2.AuditEvent) -> AuditEvent:
    """An entry; an outcome that this client does not know counts as done."""
    return AuditEvent(
        tenant=message.tenant,
        position=message.position,
        time=time_from_proto(message.time),
        actor=message.actor,
        roles=tuple(message.roles),
        action=message.action,
        outcome=_OUTCOME_FROM_PROTO.get(message.outcome, AuditOutcome.DONE),
        reason=message.reason,
        model=message.model,
        version=message.version or None,
        version_uid=message.version_uid,
        alias=message.alias,
        comment=message.comment,
        request_id=message.request_id,
        event_sequence=message.event_sequence or None,
        before=message.before,
        after=message.after,
        content=message.content,
        hash=message.hash,
    )


def head_from_proto(message: audit_pb2.AuditHead) -> AuditHead:
    """How far an audit goes."""
    return AuditHead(message.tenant, message.tree_size, message.root_hash, message.last_hash, message.checkpoint)


def proof_from_proto(
    message: audit_service_pb2.GetAuditProofResponse, position: int | None, earlier: int | None
) -> AuditProof:
    """The proof of what was asked for."""
    return AuditProof(
        position=position,
        earlier=earlier,
        tree_size=message.tree_size,
        root_hash=message.root_hash,
        claimed_hash=message.claimed_hash,
        hashes=tuple(message.hashes),
    )


def verdict_from_proto(message: audit_service_pb2.AuditVerdict) -> AuditVerdict:
    """What the registry found."""
    return AuditVerdict(
        is_intact=message.is_intact,
        head=head_from_proto(message.head),
        altered_position=message.altered_position or None,
        problem=message.problem,
    )
