"""Statements about the audit: entries that hold on to each other, and the nodes of the Merkle tree above them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, insert, select, update

from registrar_server.adapters.database.documents import dump
from registrar_server.adapters.database.tables import audit_entries, audit_nodes, tenants
from registrar_server.application.ports.database.audit import AuditFilter, AuditHead
from registrar_server.application.ports.database.journal import Change
from registrar_server.domain.audit import AuditEntry, Outcome
from registrar_server.domain.merkle import append, root_of

# Built once: putting a statement together costs more than running it, and every mutation runs these.
_HEAD = select(tenants.c.audit_position, tenants.c.audit_hash, tenants.c.audit_peaks).where(
    tenants.c.name == bindparam("tenant")
)
_LOCKED_HEAD = _HEAD.with_for_update(key_share=True)
_SET_HEAD = (
    update(tenants)
    .where(tenants.c.name == bindparam("tenant"))
    .values(audit_position=bindparam("size"), audit_hash=bindparam("last"), audit_peaks=bindparam("joined"))
)
_ADD_ENTRY, _ADD_NODES = insert(audit_entries), insert(audit_nodes)


class SqlAudit:
    """The port `AuditRecords`, and what writes entries."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, tenant: str) -> AuditHead:
        """The head of a tenant's audit, which nobody else adds to before the commit."""
        return _to_head(self._connection.execute(_LOCKED_HEAD, {"tenant": tenant}).one())

    def add(self, head: AuditHead, change: Change, sequence: int, outcome: Outcome, reason: str) -> int:
        """Write the entry after the head that was locked; its position."""
        entry = _entry_of(head, change, sequence, outcome, reason)
        hash_ = entry.hash
        peaks, made = append(head.peaks, head.size, bytes.fromhex(hash_))
        self._connection.execute(_ADD_ENTRY, {"hash": hash_, **_columns(entry)})
        if made:
            rows = [
                {"tenant": entry.tenant, "level": level, "number": number, "hash": node.hex()}
                for level, number, node in made
            ]
            self._connection.execute(_ADD_NODES, rows)
        joined = ",".join(peak.hex() for peak in peaks)
        new_head = {"tenant": entry.tenant, "size": entry.position, "last": hash_, "joined": joined}
        self._connection.execute(_SET_HEAD, new_head)
        return entry.position

    def head(self, tenant: str) -> AuditHead:
        """See the port."""
        return _to_head(self._connection.execute(_HEAD, {"tenant": tenant}).one())

    def entries(
        self, tenant: str, *, wanted: AuditFilter, after: int, until: int, limit: int
    ) -> Sequence[tuple[AuditEntry, str]]:
        """See the port."""
        query = _query(tenant, wanted).where(audit_entries.c.position > after)
        if until:
            query = query.where(audit_entries.c.position <= until)
        return self._read(query.order_by(audit_entries.c.position).limit(limit))

    def latest(self, tenant: str, *, wanted: AuditFilter, before: int, limit: int) -> Sequence[tuple[AuditEntry, str]]:
        """See the port."""
        query = _query(tenant, wanted)
        if before:
            query = query.where(audit_entries.c.position < before)
        return self._read(query.order_by(audit_entries.c.position.desc()).limit(limit))

    def _read(self, query: Select[Any]) -> Sequence[tuple[AuditEntry, str]]:
        return [(_to_entry(row), row.hash) for row in self._connection.execute(query)]

    def reach(self, tenant: str, size: int) -> tuple[int, datetime]:
        """See the port."""
        columns = audit_entries.c
        upto = (columns.tenant == tenant, columns.position <= size)
        last = select(columns.recorded_at).where(*upto).order_by(columns.position.desc()).limit(1)
        event = select(columns.event_sequence).where(*upto, columns.event_sequence > 0)
        event = event.order_by(columns.position.desc()).limit(1)
        time: datetime = self._connection.execute(last).scalar_one()
        return self._connection.execute(event).scalar() or 0, time

    def node(self, tenant: str, level: int, number: int) -> bytes:
        """See the port."""
        if level == 0:
            query = select(audit_entries.c.hash).where(
                audit_entries.c.tenant == tenant, audit_entries.c.position == number + 1
            )
        else:
            query = select(audit_nodes.c.hash).where(
                audit_nodes.c.tenant == tenant, audit_nodes.c.level == level, audit_nodes.c.number == number
            )
        found: str | None = self._connection.execute(query).scalar()
        return bytes.fromhex(found or "")


def _query(tenant: str, wanted: AuditFilter) -> Select[Any]:
    """Entries; `previous` is the hash that the row before has, whatever its content hashes to."""
    before = audit_entries.alias("before")
    follows = and_(before.c.tenant == audit_entries.c.tenant, before.c.position == audit_entries.c.position - 1)
    query = select(audit_entries, before.c.hash.label("previous")).join(before, follows, isouter=True)
    return query.where(audit_entries.c.tenant == tenant, *_conditions(wanted))


def _conditions(wanted: AuditFilter) -> list[Any]:
    columns = audit_entries.c
    pairs = (
        (columns.model_name, wanted.model),
        (columns.actor, wanted.actor),
        (columns.action, wanted.action),
        (columns.outcome, wanted.outcome.value if wanted.outcome else ""),
    )
    conditions = [column == value for column, value in pairs if value]
    if wanted.number:
        conditions.append(columns.number == wanted.number)
    if wanted.start_time is not None:
        conditions.append(columns.recorded_at >= wanted.start_time)
    if wanted.end_time is not None:
        conditions.append(columns.recorded_at < wanted.end_time)
    return conditions


def _entry_of(head: AuditHead, change: Change, sequence: int, outcome: Outcome, reason: str) -> AuditEntry:
    return AuditEntry(
        tenant=change.model.tenant,
        position=head.size + 1,
        time=change.time,
        actor=change.caller.actor,
        roles=change.caller.access.roles_in(change.model.tenant),
        action=change.action,
        outcome=outcome,
        reason=reason,
        model=change.model.name,
        model_uid=change.model_uid,
        version_uid=change.version_uid,
        number=change.number,
        alias=change.alias,
        comment=change.comment,
        request_id=change.request_id,
        event_sequence=sequence,
        before=dump(change.before or {}),
        after=dump(change.after or {}),
        previous=head.hash,
    )


def _columns(entry: AuditEntry) -> Mapping[str, str | int | datetime]:
    return {
        "tenant": entry.tenant,
        "position": entry.position,
        "event_sequence": entry.event_sequence,
        "recorded_at": entry.time,
        "actor": entry.actor,
        "roles": ",".join(entry.roles),
        "action": entry.action,
        "outcome": entry.outcome.value,
        "reason": entry.reason,
        "model_uid": entry.model_uid,
        "model_name": entry.model,
        "version_uid": entry.version_uid,
        "number": entry.number,
        "alias": entry.alias,
        "comment": entry.comment,
        "request_id": entry.request_id,
        "before": entry.before,
        "after": entry.after,
    }


def _to_entry(row: Any) -> AuditEntry:
    return AuditEntry(
        tenant=row.tenant,
        position=row.position,
        time=row.recorded_at,
        actor=row.actor,
        roles=tuple(filter(None, row.roles.split(","))),
        action=row.action,
        outcome=Outcome(row.outcome),
        reason=row.reason,
        model=row.model_name,
        model_uid=row.model_uid,
        version_uid=row.version_uid,
        number=row.number,
        alias=row.alias,
        comment=row.comment,
        request_id=row.request_id,
        event_sequence=row.event_sequence,
        before=row.before,
        after=row.after,
        previous=row.previous or "",
    )


def _to_head(row: Any) -> AuditHead:
    peaks = tuple(bytes.fromhex(peak) for peak in row.audit_peaks.split(",") if peak)
    return AuditHead(row.audit_position, row.audit_hash, peaks, root_of(peaks))
