"""audit chain."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

from registrar_server.domain.audit import AuditEntry, Outcome
from registrar_server.domain.merkle import append

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_AT_ONCE = 1_000
_HASH = sa.String(length=64)

_tenants = sa.table("tenants", sa.column("name"), sa.column("audit_hash"), sa.column("audit_peaks"))
_nodes = sa.table("audit_nodes", sa.column("tenant"), sa.column("level"), sa.column("number"), sa.column("hash"))
_entries = sa.table(
    "audit_entries",
    *map(
        sa.column,
        (
            "tenant",
            "position",
            "event_sequence",
            "recorded_at",
            "actor",
            "roles",
            "action",
            "model_uid",
            "model_name",
            "version_uid",
            "number",
            "alias",
            "comment",
            "request_id",
            "before",
            "after",
            "hash",
        ),
    ),
)


def upgrade() -> None:
    """To this revision. What was written before becomes the beginning of the chain, as it stands now."""
    op.add_column("tenants", sa.Column("audit_hash", _HASH, server_default="", nullable=False))
    op.add_column("tenants", sa.Column("audit_peaks", sa.Text(), server_default="", nullable=False))
    op.add_column("audit_entries", sa.Column("hash", _HASH, server_default="", nullable=False))
    op.add_column("audit_entries", sa.Column("outcome", sa.String(length=16), server_default="done", nullable=False))
    op.add_column("audit_entries", sa.Column("reason", sa.String(length=64), server_default="", nullable=False))
    op.create_table(
        "audit_nodes",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", _HASH, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "level", "number", name=op.f("pk_audit_nodes")),
    )
    connection = op.get_bind()
    for name in connection.execute(sa.select(_tenants.c.name)).scalars().all():
        _chain(connection, name)


def downgrade() -> None:
    """Back to the one before."""
    op.drop_table("audit_nodes")
    for name in ("reason", "outcome", "hash"):
        op.drop_column("audit_entries", name)
    for name in ("audit_peaks", "audit_hash"):
        op.drop_column("tenants", name)


def _chain(connection: sa.Connection, tenant: str) -> None:
    previous, size = "", 0
    peaks: list[bytes] = []
    for rows in _pages(connection, tenant):
        hashes, nodes = [], []
        for row in rows:
            previous = _entry(row, previous).hash
            hashes.append({"of": row.position, "found": previous})
            peaks, made = append(peaks, size, bytes.fromhex(previous))
            nodes += [{"tenant": tenant, "level": level, "number": n, "hash": h.hex()} for level, n, h in made]
            size += 1
        statement = sa.update(_entries).where(_entries.c.tenant == tenant, _entries.c.position == sa.bindparam("of"))
        connection.execute(statement.values(hash=sa.bindparam("found")), hashes)
        if nodes:
            connection.execute(sa.insert(_nodes), nodes)
    head = {"audit_hash": previous, "audit_peaks": ",".join(peak.hex() for peak in peaks)}
    connection.execute(sa.update(_tenants).where(_tenants.c.name == tenant).values(**head))


def _pages(connection: sa.Connection, tenant: str) -> Iterator[list[sa.Row[tuple[object, ...]]]]:
    after = 0
    while True:
        query = sa.select(_entries).where(_entries.c.tenant == tenant, _entries.c.position > after)
        rows = list(connection.execute(query.order_by(_entries.c.position).limit(_AT_ONCE)))
        if not rows:
            return
        yield rows
        after = rows[-1].position


def _entry(row: sa.Row[tuple[object, ...]], previous: str) -> AuditEntry:
    return AuditEntry(
        tenant=row.tenant,
        position=row.position,
        time=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row.recorded_at),
        actor=row.actor,
        roles=tuple(filter(None, row.roles.split(","))),
        action=row.action,
        outcome=Outcome.DONE,
        reason="",
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
        previous=previous,
    )
