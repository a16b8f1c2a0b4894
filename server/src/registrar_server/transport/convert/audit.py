"""Entries of the audit, and which are wanted."""

from __future__ import annotations

from registrar.v1 import audit_pb2 as pb
from registrar.v1 import audit_service_pb2
from registrar_server.application.ports.database import AuditFilter, AuditHead
from registrar_server.domain import limits
from registrar_server.domain.audit import AuditEntry, Outcome
from registrar_server.domain.validation import Checker
from registrar_server.transport.convert.values import time_from_proto, time_to_proto

_OUTCOMES = {Outcome.DONE: pb.AUDIT_OUTCOME_DONE, Outcome.REFUSED: pb.AUDIT_OUTCOME_REFUSED}
_OUTCOMES_BACK = {message: outcome for outcome, message in _OUTCOMES.items()}


def filter_from_proto(check: Checker, request: audit_service_pb2.ListAuditEventsRequest) -> AuditFilter:
    """Which entries are wanted."""
    if request.outcome and request.outcome not in _OUTCOMES_BACK:
        check.fail("outcome", "must be AUDIT_OUTCOME_DONE or AUDIT_OUTCOME_REFUSED")
    if request.version < 0:
        check.fail("version", "must not be negative")
    if request.version and not request.model:
        check.fail("model", "is required with a version")
    return AuditFilter(
        model=check.text("model", request.model, limits.LABEL_CHARACTERS),
        number=request.version,
        actor=check.text("actor", request.actor, limits.LABEL_CHARACTERS),
        action=check.text("action", request.action, limits.LABEL_CHARACTERS),
        outcome=_OUTCOMES_BACK.get(request.outcome),
        start_time=time_from_proto(check, "start_time", request.start_time) if request.HasField("start_time") else None,
        end_time=time_from_proto(check, "end_time", request.end_time) if request.HasField("end_time") else None,
    )


def entry_to_proto(entry: AuditEntry, hash_: str) -> pb.AuditEvent:
    """An entry, and the hash that was recorded for it."""
    return pb.AuditEvent(
        tenant=entry.tenant,
        position=entry.position,
        time=time_to_proto(entry.time),
        actor=entry.actor,
        roles=entry.roles,
        action=entry.action,
        outcome=_OUTCOMES[entry.outcome],
        reason=entry.reason,
        model=entry.model,
        version=entry.number,
        version_uid=entry.version_uid,
        alias=entry.alias,
        comment=entry.comment,
        request_id=entry.request_id,
        event_sequence=entry.event_sequence,
        before=entry.before,
        after=entry.after,
        content=entry.content,
        hash=hash_,
    )


def head_to_proto(tenant: str, head: AuditHead, checkpoint: str = "") -> pb.AuditHead:
    """How far an audit goes."""
    return pb.AuditHead(
        tenant=tenant,
        tree_size=head.size,
        root_hash=head.root.hex(),
        last_hash=head.hash,
        checkpoint=checkpoint,
    )
