"""Statements about the tasks behind PENDING versions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, or_, select, update

from registrar_server.adapters.database.tables import registrations
from registrar_server.application.ports.database import RegistrationTask


class SqlRegistrations:
    """The port `RegistrationRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lease(self, holder: str, *, now: datetime, until: datetime, limit: int) -> Sequence[RegistrationTask]:
        """See the port.

        The oldest task of each model only, and none while another of the model is under way: numbers follow the order
        of registration, and two processes never create versions of one model in MLflow at once. The second condition
        is for clocks that differ, by which a later task can look older.
        """
        table = registrations
        other = registrations.alias("other")
        is_earlier = or_(
            other.c.created_at < table.c.created_at,
            (other.c.created_at == table.c.created_at) & (other.c.version_uid < table.c.version_uid),
        )
        is_under_way = (other.c.version_uid != table.c.version_uid) & (other.c.leased_until >= now)
        before_it = (
            select(other.c.version_uid)
            .where(other.c.model_uid == table.c.model_uid, or_(is_earlier, is_under_way))
            .exists()
        )
        due = (
            select(table.c.version_uid)
            .where(
                table.c.next_attempt_at <= now,
                or_(table.c.lease_holder.is_(None), table.c.leased_until < now),
                ~before_it,
            )
            .order_by(table.c.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        taken = self._connection.execute(
            update(table)
            .where(table.c.version_uid.in_(due))
            .values(lease_holder=holder, leased_until=until, attempts=table.c.attempts + 1)
            .returning(table.c.version_uid, table.c.attempts, table.c.run_artifact)
        )
        return [RegistrationTask(row.version_uid, row.attempts, row.run_artifact) for row in taken]

    def is_leased_by(self, version_uid: str, holder: str, now: datetime) -> bool:
        """See the port."""
        query = select(registrations.c.lease_holder, registrations.c.leased_until).where(
            registrations.c.version_uid == version_uid
        )
        row = self._connection.execute(query.with_for_update()).first()
        return row is not None and row.lease_holder == holder and row.leased_until > now

    def keep_lease(self, version_uid: str, holder: str, *, until: datetime) -> bool:
        """See the port."""
        changed = self._connection.execute(
            update(registrations)
            .where(registrations.c.version_uid == version_uid, registrations.c.lease_holder == holder)
            .values(leased_until=until)
        )
        return changed.rowcount == 1

    def postpone(self, version_uid: str, holder: str, *, next_attempt: datetime, reason: str, message: str) -> None:
        """See the port."""
        self._connection.execute(
            update(registrations)
            .where(registrations.c.version_uid == version_uid, registrations.c.lease_holder == holder)
            .values(
                lease_holder=None,
                leased_until=None,
                next_attempt_at=next_attempt,
                failure_reason=reason,
                failure=message,
            )
        )

    def last_failure(self, version_uid: str) -> tuple[str, str] | None:
        """See the port."""
        query = select(registrations.c.failure_reason, registrations.c.failure).where(
            registrations.c.version_uid == version_uid, registrations.c.failure_reason != ""
        )
        row = self._connection.execute(query).first()
        return None if row is None else (row.failure_reason, row.failure)

    def hasten(self, version_uid: str, now: datetime) -> None:
        """See the port."""
        self._connection.execute(
            update(registrations)
            .where(registrations.c.version_uid == version_uid, registrations.c.lease_holder.is_(None))
            .values(next_attempt_at=now, failure_reason="", failure="")
        )

    def is_any_due(self, now: datetime) -> bool:
        """See the port."""
        query = select(registrations.c.version_uid).where(
            registrations.c.next_attempt_at <= now,
            or_(registrations.c.lease_holder.is_(None), registrations.c.leased_until < now),
        )
        return self._connection.execute(query.limit(1)).first() is not None

    def release(self, node: str) -> None:
        """See the port."""
        self._connection.execute(
            update(registrations)
            .where(registrations.c.lease_holder.startswith(f"{node}:", autoescape=True))
            .values(lease_holder=None, leased_until=None)
        )
