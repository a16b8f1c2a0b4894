"""Statements about aliases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from registrar_server.adapters.database.periods import is_within
from registrar_server.adapters.database.tables import alias_moves, aliases
from registrar_server.adapters.database.upsert import insert_for
from registrar_server.domain.lifecycle import ALWAYS, AliasMove, Period


class SqlAliases:
    """The port `AliasRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, model_uid: str, alias: str) -> tuple[str, int] | None:
        """See the port."""
        query = select(aliases.c.version_uid, aliases.c.number).where(
            aliases.c.model_uid == model_uid, aliases.c.alias == alias
        )
        row = self._connection.execute(query).first()
        return None if row is None else (row.version_uid, row.number)

    def set(self, model_uid: str, alias: str, version_uid: str, number: int) -> None:
        """See the port."""
        target = {"version_uid": version_uid, "number": number}
        statement = insert_for(self._connection, aliases).values(model_uid=model_uid, alias=alias, **target)
        self._connection.execute(statement.on_conflict_do_update(index_elements=["model_uid", "alias"], set_=target))

    def delete(self, model_uid: str, alias: str) -> None:
        """See the port."""
        self._connection.execute(delete(aliases).where(aliases.c.model_uid == model_uid, aliases.c.alias == alias))

    def add_move(self, model_uid: str, move: AliasMove) -> None:
        """See the port."""
        self._connection.execute(
            insert(alias_moves).values(
                sequence=move.sequence,
                model_uid=model_uid,
                alias=move.alias,
                from_number=move.from_number,
                to_number=move.to_number,
                actor=move.actor,
                comment=move.comment,
                moved_at=move.time,
                is_break_glass=move.is_break_glass,
                approval_id=move.approval_id,
            )
        )

    def history(
        self, model_uid: str, *, alias: str, before: int, limit: int, period: Period = ALWAYS
    ) -> Sequence[AliasMove]:
        """See the port."""
        query = select(alias_moves).where(alias_moves.c.model_uid == model_uid)
        if alias:
            query = query.where(alias_moves.c.alias == alias)
        if before:
            query = query.where(alias_moves.c.sequence < before)
        query = query.where(*is_within(alias_moves.c.moved_at, period))
        rows = self._connection.execute(query.order_by(alias_moves.c.sequence.desc()).limit(limit))
        return [to_alias_move(row) for row in rows]

    def all(self, model_uid: str) -> Mapping[str, int]:
        """See the port."""
        query = select(aliases.c.alias, aliases.c.number).where(aliases.c.model_uid == model_uid)
        return {row.alias: row.number for row in self._connection.execute(query)}


def to_alias_move(row: Row[Any]) -> AliasMove:
    """A move from a row of the table."""
    return AliasMove(
        alias=row.alias,
        from_number=row.from_number,
        to_number=row.to_number,
        actor=row.actor,
        comment=row.comment,
        time=row.moved_at,
        sequence=row.sequence,
        is_break_glass=row.is_break_glass,
        approval_id=row.approval_id,
    )
