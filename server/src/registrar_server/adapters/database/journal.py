"""Audit entries and outbox events, in the order of commits."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, case, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from registrar_server.adapters.database.audit import SqlAudit
from registrar_server.adapters.database.documents import dump, load
from registrar_server.adapters.database.search.index import SqlSearchIndex
from registrar_server.adapters.database.tables import (
    Timestamp,
    counters,
    events,
    mirror,
    models,
)
from registrar_server.application.ports.database import Change, Event, ModelEvent
from registrar_server.domain.audit import Outcome

# Built once: putting a statement together costs more than running it, and every mutation runs all of these.
_TOUCH_MODEL = (
    update(models).where(models.c.uid == bindparam("model_uid")).values(updated_at=bindparam("time", type_=Timestamp))
)
_NEXT_SEQUENCE = (
    update(counters).where(counters.c.name == "events").values(value=counters.c.value + 1).returning(counters.c.value)
)
_ADD_EVENT = insert(events)


def _want_mirror(made: sqlite.Insert | postgresql.Insert) -> sqlite.Insert | postgresql.Insert:
    wanted, is_pending = made.excluded, mirror.c.is_pending.is_(True)
    return made.on_conflict_do_update(
        index_elements=["model_uid"],
        set_={
            "wanted_sequence": wanted.wanted_sequence,
            "first_pending_sequence": case((is_pending, mirror.c.first_pending_sequence), else_=wanted.wanted_sequence),
            "next_attempt_at": case((is_pending, mirror.c.next_attempt_at), else_=wanted.next_attempt_at),
            "is_pending": True,
        },
    )


_WANT_MIRROR = {
    "sqlite": _want_mirror(sqlite.insert(mirror)),
    "postgresql": _want_mirror(postgresql.insert(mirror)),
}


class SqlJournal:
    """The port `Journal`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._recorded: list[ModelEvent] = []

    def record(self, change: Change) -> int:
        """See the port. Both counters are rows that stay locked until the commit: no gap, no overtaking."""
        # A model's update time covers its versions. First of all, since the model comes first in the lock order.
        self._connection.execute(_TOUCH_MODEL, {"model_uid": change.model_uid, "time": change.time})
        audit = SqlAudit(self._connection)
        head = audit.lock(change.model.tenant)
        sequence: int = self._connection.execute(_NEXT_SEQUENCE).scalar_one()
        event = {
            "sequence": sequence,
            "type": change.action,
            "tenant": change.model.tenant,
            "model_uid": change.model_uid,
            "model_name": change.model.name,
            "version_uid": change.version_uid,
            "number": change.number,
            "alias": change.alias,
            "actor": change.caller.actor,
            "before": dump(change.before or {}),
            "after": dump(change.after or {}),
            "recorded_at": change.time,
        }
        self._connection.execute(_ADD_EVENT, event)
        audit.add(head, change, sequence, Outcome.DONE, "")
        if change.model_uid:
            SqlSearchIndex(self._connection).follow(change, sequence)
        if change.is_mirrored:
            self._want_mirror(change, sequence)
        self._recorded.append(ModelEvent(sequence, change.model))
        return sequence

    def refuse(self, change: Change, reason: str) -> None:
        """See the port."""
        audit = SqlAudit(self._connection)
        audit.add(audit.lock(change.model.tenant), change, 0, Outcome.REFUSED, reason)

    def recorded(self) -> Sequence[ModelEvent]:
        """What this transaction has recorded so far."""
        return self._recorded

    def events(self, model_uid: str, *, after: int, until: int) -> Sequence[Event]:
        """See the port."""
        query = select(events).where(
            events.c.model_uid == model_uid, events.c.sequence > after, events.c.sequence <= until
        )
        rows = self._connection.execute(query.order_by(events.c.sequence))
        return [
            Event(r.sequence, r.type, r.version_uid, r.number, r.alias, load(r.before), load(r.after)) for r in rows
        ]

    def find_sequence(self, version_uid: str, event_type: str) -> int:
        """See the port."""
        query = select(func.max(events.c.sequence)).where(
            events.c.version_uid == version_uid, events.c.type == event_type
        )
        found: int | None = self._connection.execute(query).scalar()
        return 0 if found is None else found

    def head(self) -> int:
        """See the port."""
        query = select(counters.c.value).where(counters.c.name == "events")
        sequence: int = self._connection.execute(query).scalar_one()
        return sequence

    def _want_mirror(self, change: Change, sequence: int) -> None:
        wanted = {
            "model_uid": change.model_uid,
            "is_pending": True,
            "first_pending_sequence": sequence,
            "wanted_sequence": sequence,
            "mirrored_sequence": sequence - 1,
            "attempts": 0,
            "next_attempt_at": change.time,
            "failure_reason": "",
        }
        self._connection.execute(_WANT_MIRROR[self._connection.dialect.name], wanted)
