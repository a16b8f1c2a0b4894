"""Statements about the history of the stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, tuple_

from registrar_server.adapters.database.periods import is_within
from registrar_server.adapters.database.tables import transitions
from registrar_server.domain.lifecycle import ALWAYS, Period, Transition, TransitionKind
from registrar_server.domain.values import Stage


class SqlTransitions:
    """The port `TransitionRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, model_uid: str, transitions_made: Sequence[Transition]) -> None:
        """See the port."""
        rows = [
            {
                "sequence": move.sequence,
                "place": place,
                "model_uid": model_uid,
                "version_uid": move.version_uid,
                "number": move.number,
                "from_stage": move.from_stage.value,
                "to_stage": move.to_stage.value,
                "kind": move.kind.value,
                "actor": move.actor,
                "comment": move.comment,
                "caused_by": move.caused_by,
                "moved_at": move.time,
                "is_break_glass": move.is_break_glass,
                "approval_id": move.approval_id,
            }
            for place, move in enumerate(transitions_made)
        ]
        self._connection.execute(insert(transitions), rows)

    def history(
        self,
        model_uid: str,
        *,
        number: int,
        before: tuple[int, int] | None,
        limit: int,
        period: Period = ALWAYS,
    ) -> Sequence[tuple[int, Transition]]:
        """See the port."""
        key = tuple_(transitions.c.sequence, transitions.c.place)
        query = select(transitions).where(transitions.c.model_uid == model_uid)
        if number:
            query = query.where(transitions.c.number == number)
        if before is not None:
            query = query.where(key < before)
        query = query.where(*is_within(transitions.c.moved_at, period))
        query = query.order_by(transitions.c.sequence.desc(), transitions.c.place.desc()).limit(limit)
        return [(row.place, to_transition(row)) for row in self._connection.execute(query)]

    def production_history(self, model_uid: str) -> Sequence[Transition]:
        """See the port."""
        production = Stage.PRODUCTION.value
        query = select(transitions).where(
            transitions.c.model_uid == model_uid,
            or_(transitions.c.from_stage == production, transitions.c.to_stage == production),
        )
        query = query.order_by(transitions.c.sequence, transitions.c.place)
        return [to_transition(row) for row in self._connection.execute(query)]


def to_transition(row: Row[Any]) -> Transition:
    """A transition from a row of the table."""
    return Transition(
        version_uid=row.version_uid,
        number=row.number,
        from_stage=Stage(row.from_stage),
        to_stage=Stage(row.to_stage),
        kind=TransitionKind(row.kind),
        actor=row.actor,
        comment=row.comment,
        time=row.moved_at,
        caused_by=row.caused_by,
        sequence=row.sequence,
        is_break_glass=row.is_break_glass,
        approval_id=row.approval_id,
    )
