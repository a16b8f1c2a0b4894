"""Statements about the models that MLflow has to catch up with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, case, false, func, or_, select, true, update

from registrar_server.adapters.database.tables import counters, events, mirror, models
from registrar_server.application.ports.database import MirrorProgress, MirrorTask
from registrar_server.domain.values import ModelKey


class SqlMirror:
    """The port `MirrorRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lease(self, holder: str, *, now: datetime, until: datetime, limit: int) -> Sequence[MirrorTask]:
        """See the port."""
        due = (
            select(mirror.c.model_uid)
            .where(
                mirror.c.is_pending.is_(True),
                mirror.c.next_attempt_at <= now,
                or_(mirror.c.lease_holder.is_(None), mirror.c.leased_until < now),
            )
            .order_by(mirror.c.first_pending_sequence)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        taken = self._connection.execute(
            update(mirror)
            .where(mirror.c.model_uid.in_(due))
            .values(lease_holder=holder, leased_until=until, attempts=mirror.c.attempts + 1)
            .returning(mirror)
        ).all()
        names = select(models.c.uid, models.c.tenant, models.c.name).where(
            models.c.uid.in_([row.model_uid for row in taken])
        )
        keys = {row.uid: ModelKey(row.tenant, row.name) for row in self._connection.execute(names)} if taken else {}
        return [
            MirrorTask(r.model_uid, keys[r.model_uid], r.mirrored_sequence, r.wanted_sequence, r.attempts)
            for r in taken
        ]

    def finish(self, model_uid: str, holder: str, sequence: int) -> None:
        """See the port. What came in meanwhile keeps the model pending."""
        is_behind = mirror.c.wanted_sequence > sequence
        self._connection.execute(
            update(mirror)
            .where(mirror.c.model_uid == model_uid, mirror.c.lease_holder == holder)
            .values(
                mirrored_sequence=sequence,
                first_pending_sequence=sequence + 1,
                is_pending=case((is_behind, true()), else_=false()),
                attempts=0,
                lease_holder=None,
                leased_until=None,
                failure_reason="",
            )
        )

    def postpone(self, model_uid: str, holder: str, *, next_attempt: datetime, reason: str) -> None:
        """See the port."""
        self._connection.execute(
            update(mirror)
            .where(mirror.c.model_uid == model_uid, mirror.c.lease_holder == holder)
            .values(lease_holder=None, leased_until=None, next_attempt_at=next_attempt, failure_reason=reason)
        )

    def progress(self) -> MirrorProgress:
        """See the port."""
        pending = mirror.c.is_pending.is_(True)
        head = select(counters.c.value).where(counters.c.name == "events").scalar_subquery()
        first = select(func.min(mirror.c.first_pending_sequence)).where(pending).scalar_subquery()
        count = select(func.count()).select_from(mirror).where(pending).scalar_subquery()
        since = (
            select(events.c.recorded_at)
            .where(events.c.sequence >= first)
            .order_by(events.c.sequence)
            .limit(1)
            .scalar_subquery()
        )
        row = self._connection.execute(
            select(head.label("head"), first.label("first"), count.label("models"), since.label("since"))
        ).one()
        mirrored = row.head if row.first is None else row.first - 1
        return MirrorProgress(row.head, mirrored, row.models, row.since)

    def is_any_due(self, now: datetime) -> bool:
        """See the port."""
        query = select(mirror.c.model_uid).where(
            mirror.c.is_pending.is_(True),
            mirror.c.next_attempt_at <= now,
            or_(mirror.c.lease_holder.is_(None), mirror.c.leased_until < now),
        )
        return self._connection.execute(query.limit(1)).first() is not None

    def release(self, node: str) -> None:
        """See the port."""
        self._connection.execute(
            update(mirror)
            .where(mirror.c.lease_holder.startswith(f"{node}:", autoescape=True))
            .values(lease_holder=None, leased_until=None)
        )
