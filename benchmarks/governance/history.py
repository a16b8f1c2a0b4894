"""A tenant whose audit goes back a while."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update

from benchmarks.reads.bulk import Row, write
from registrar_server.adapters.database.engine import open_engine
from registrar_server.adapters.database.migrate import migrate
from registrar_server.adapters.database.tables import audit_entries, audit_nodes, tenants
from registrar_server.domain.audit import AuditEntry, Outcome
from registrar_server.domain.merkle import append
from registrar_server.domain.values import DEFAULT_TENANT

_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write_history(url: str, count: int) -> None:
    """Make the schema, and so many entries of the audit, chained, with the nodes of their Merkle tree."""
    migrate(url, tenant_names=(DEFAULT_TENANT,))
    nodes: list[Row] = []
    head: dict[str, Any] = {}

    def rows() -> Iterator[Row]:
        peaks: list[bytes] = []
        previous = ""
        for position in range(1, count + 1):
            entry = _entry(position, previous)
            previous = entry.hash
            peaks, made = append(peaks, position - 1, bytes.fromhex(previous))
            nodes.extend(
                {"tenant": DEFAULT_TENANT, "level": level, "number": number, "hash": node.hex()}
                for level, number, node in made
            )
            yield _row(entry)
        head.update(audit_position=count, audit_hash=previous, audit_peaks=",".join(peak.hex() for peak in peaks))

    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            write(connection, audit_entries, rows())
            write(connection, audit_nodes, nodes)
            connection.execute(update(tenants).where(tenants.c.name == DEFAULT_TENANT).values(**head))
        if engine.dialect.name == "postgresql":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("ANALYZE")
    finally:
        engine.dispose()


def _entry(position: int, previous: str) -> AuditEntry:
    return AuditEntry(
        tenant=DEFAULT_TENANT,
        position=position,
        time=_NOON + timedelta(seconds=position),
        actor="ci@example.com",
        roles=("administrator",),
        action="version.stage_changed",
        outcome=Outcome.DONE,
        reason="",
        model=f"older-{position % 100}",
        model_uid=f"{position % 100:032x}",
        version_uid=f"{position:032x}",
        number=position,
        alias="",
        comment="better on the holdout",
        request_id="",
        event_sequence=0,
        before='{"holders":[1],"stage":"staging"}',
        after='{"archived":[1],"stage":"production"}',
        previous=previous,
    )


def _row(entry: AuditEntry) -> Row:
    return {
        "tenant": entry.tenant,
        "position": entry.position,
        "event_sequence": entry.event_sequence,
        "recorded_at": (entry.time - _EPOCH) // timedelta(microseconds=1),
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
        "hash": entry.hash,
    }
