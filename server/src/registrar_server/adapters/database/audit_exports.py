"""Statements about how far each tenant's audit is exported, and the table that says it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, ForeignKey, Row, String, Table, Text, or_, select, update

from registrar_server.adapters.database.tables import Timestamp, metadata, tenants
from registrar_server.adapters.database.upsert import insert_for
from registrar_server.application.ports.database.audit_exports import AuditExport

audit_exports = Table(
    "audit_exports",
    metadata,
    Column("tenant", String(63), ForeignKey(tenants.c.name), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("last_hash", String(64), nullable=False),
    Column("root_hash", String(64), nullable=False),
    # How far the export under way goes; 0: none is.
    Column("target", BigInteger, nullable=False),
    Column("problem", Text, nullable=False),
    Column("exported_at", Timestamp),
    Column("lease_holder", String(64)),
    # While it is leased: when the lease ends.
    Column("next_attempt_at", Timestamp, nullable=False),
)


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class SqlAuditExports:
    """The port `AuditExportRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, tenant: str) -> AuditExport | None:
        """See the port."""
        row = self._connection.execute(select(audit_exports).where(audit_exports.c.tenant == tenant)).first()
        return None if row is None else _to_export(row)

    def due(self, now: datetime) -> Sequence[str]:
        """See the port."""
        exported = audit_exports.c
        query = select(tenants.c.name).join(audit_exports, exported.tenant == tenants.c.name, isouter=True)
        query = query.where(
            or_(
                exported.tenant.is_(None) & (tenants.c.audit_position > 0),
                (exported.next_attempt_at <= now) & _is_behind(),
            )
        )
        return list(self._connection.execute(query.order_by(tenants.c.name)).scalars())

    def lease(self, tenant: str, holder: str, *, now: datetime, until: datetime) -> AuditExport | None:
        """See the port."""
        first = insert_for(self._connection, audit_exports).values(
            tenant=tenant, position=0, last_hash="", root_hash="", target=0, problem="", next_attempt_at=now
        )
        self._connection.execute(first.on_conflict_do_nothing(index_elements=["tenant"]))
        query = select(audit_exports, tenants.c.audit_position).join_from(audit_exports, tenants)
        query = query.where(audit_exports.c.tenant == tenant, audit_exports.c.next_attempt_at <= now)
        row = self._connection.execute(query.with_for_update(of=audit_exports)).first()
        if row is None:
            return None
        target = row.target or row.audit_position
        self._connection.execute(
            update(audit_exports)
            .where(audit_exports.c.tenant == tenant)
            .values(target=target, lease_holder=holder, next_attempt_at=until)
        )
        return AuditExport(tenant, row.position, row.last_hash, row.root_hash, target, row.problem)

    def finish(self, done: AuditExport, holder: str, *, now: datetime, next_attempt: datetime) -> bool:
        """See the port."""
        return self._give_back(
            done.tenant,
            holder,
            position=done.position,
            last_hash=done.last_hash,
            root_hash=done.root,
            target=0,
            problem="",
            exported_at=now,
            next_attempt_at=next_attempt,
        )

    def fail(self, tenant: str, holder: str, *, problem: str, next_attempt: datetime) -> None:
        """See the port."""
        self._give_back(tenant, holder, next_attempt_at=next_attempt, **({"problem": problem} if problem else {}))

    def release(self, node: str) -> None:
        """See the port."""
        held = audit_exports.c.lease_holder.startswith(f"{node}:", autoescape=True)
        self._connection.execute(update(audit_exports).where(held).values(lease_holder=None, next_attempt_at=_LONG_AGO))

    def _give_back(self, tenant: str, holder: str, **values: object) -> bool:
        statement = update(audit_exports).where(
            audit_exports.c.tenant == tenant, audit_exports.c.lease_holder == holder
        )
        return self._connection.execute(statement.values(lease_holder=None, **values)).rowcount == 1


def _is_behind() -> Any:
    """Whether an audit is not what was exported, or an export was broken off or found something wrong."""
    exported = audit_exports.c
    return or_(
        tenants.c.audit_position != exported.position,
        tenants.c.audit_hash != exported.last_hash,
        exported.target != 0,
        exported.problem != "",
    )


def _to_export(row: Row[Any]) -> AuditExport:
    return AuditExport(row.tenant, row.position, row.last_hash, row.root_hash, row.target, row.problem)
