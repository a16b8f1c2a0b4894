"""Statements about the past: what was when an event had happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Select, bindparam, exists, func, select, tuple_

from registrar_server.adapters.database.aliases import to_alias_move
from registrar_server.adapters.database.tables import alias_moves, events, model_versions, transitions
from registrar_server.adapters.database.transitions import to_transition
from registrar_server.adapters.database.versions import is_in_range, range_values, to_version, version_query
from registrar_server.application.ports.database import LastingSelector
from registrar_server.domain.lifecycle import AliasMove, Transition
from registrar_server.domain.values import ByNumber, BySemanticRange, BySemanticVersion, ByUid, Stage
from registrar_server.domain.versions import ModelVersion

_MODEL: BindParameter[Any] = bindparam("model_uid")
_UNTIL: BindParameter[Any] = bindparam("until")
_VALUE: BindParameter[Any] = bindparam("value")


def _was_deleted(version_uid: ColumnElement[str]) -> ColumnElement[bool]:
    last = (
        select(events.c.type)
        .where(
            events.c.version_uid == version_uid,
            events.c.type.in_(("version.deleted", "version.undeleted")),
            events.c.sequence <= _UNTIL,
        )
        .order_by(events.c.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )
    return func.coalesce(last, "") == "version.deleted"


# Built once: putting a statement together costs more than running it.
_SEQUENCE = (
    select(events.c.sequence)
    .where(events.c.model_uid == _MODEL, events.c.recorded_at <= _VALUE)
    .order_by(events.c.sequence.desc())
    .limit(1)
)

_WAS_READY = exists().where(
    events.c.version_uid == model_versions.c.uid, events.c.type == "version.registered", events.c.sequence <= _UNTIL
)
_OF_MODEL = version_query().where(model_versions.c.model_uid == _MODEL, _WAS_READY)
_LIVING = _OF_MODEL.where(~_was_deleted(model_versions.c.uid))
_BY_NUMBER = _OF_MODEL.where(model_versions.c.number == _VALUE)
_BY_UID = _OF_MODEL.where(model_versions.c.uid == _VALUE)
_BY_SEMANTIC_VERSION = _LIVING.where(model_versions.c.semantic_version == _VALUE)
_HIGHEST_IN_RANGE = (
    _LIVING.where(is_in_range(model_versions)).order_by(model_versions.c.semantic_version_key.desc()).limit(1)
)
_IS_DELETED = select(_was_deleted(_VALUE))

_MOVED = select(transitions).where(transitions.c.model_uid == _MODEL, transitions.c.sequence <= _UNTIL)
_LAST_MOVE = (
    _MOVED.where(transitions.c.number == _VALUE)
    .order_by(transitions.c.sequence.desc(), transitions.c.place.desc())
    .limit(1)
)
_later = transitions.alias("later")
_HOLDERS = _MOVED.where(
    transitions.c.to_stage == _VALUE,
    ~exists().where(
        _later.c.model_uid == transitions.c.model_uid,
        _later.c.number == transitions.c.number,
        tuple_(_later.c.sequence, _later.c.place) > tuple_(transitions.c.sequence, transitions.c.place),
        _later.c.sequence <= _UNTIL,
    ),
).order_by(transitions.c.number)

_LAST_ALIAS_MOVE = (
    select(alias_moves)
    .where(alias_moves.c.model_uid == _MODEL, alias_moves.c.alias == _VALUE, alias_moves.c.sequence <= _UNTIL)
    .order_by(alias_moves.c.sequence.desc())
    .limit(1)
)
_each = alias_moves.alias("each")
_LAST_OF_EACH = (
    select(func.max(_each.c.sequence))
    .where(_each.c.model_uid == _MODEL, _each.c.sequence <= _UNTIL)
    .group_by(_each.c.alias)
)
_ALIASES = select(alias_moves.c.alias).where(
    alias_moves.c.sequence.in_(_LAST_OF_EACH), alias_moves.c.to_number == _VALUE
)


class SqlHistory:
    """The port `HistoryRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def sequence_at(self, model_uid: str, at: datetime) -> int:
        """See the port."""
        found: int | None = self._connection.execute(_SEQUENCE, {"model_uid": model_uid, "value": at}).scalar()
        return found or 0

    def version(self, model_uid: str, selector: LastingSelector, *, until: int) -> ModelVersion | None:
        """See the port."""
        statement, values = _statement_of(selector)
        row = self._connection.execute(statement, {"model_uid": model_uid, "until": until, **values}).first()
        return None if row is None else to_version(row)

    def was_deleted(self, version_uid: str, *, until: int) -> bool:
        """See the port."""
        return bool(self._connection.execute(_IS_DELETED, {"value": version_uid, "until": until}).scalar_one())

    def holders(self, model_uid: str, stage: Stage, *, until: int) -> Sequence[Transition]:
        """See the port."""
        return [to_transition(row) for row in self._rows(_HOLDERS, model_uid, stage.value, until)]

    def transition(self, model_uid: str, number: int, *, until: int) -> Transition | None:
        """See the port."""
        rows = self._rows(_LAST_MOVE, model_uid, number, until)
        return to_transition(rows[0]) if rows else None

    def alias_move(self, model_uid: str, alias: str, *, until: int) -> AliasMove | None:
        """See the port."""
        rows = self._rows(_LAST_ALIAS_MOVE, model_uid, alias, until)
        return to_alias_move(rows[0]) if rows else None

    def aliases(self, model_uid: str, number: int, *, until: int) -> Sequence[str]:
        """See the port."""
        return sorted(row.alias for row in self._rows(_ALIASES, model_uid, number, until))

    def _rows(self, statement: Select[Any], model_uid: str, value: str | int, until: int) -> Sequence[Any]:
        return self._connection.execute(statement, {"model_uid": model_uid, "value": value, "until": until}).all()


def _statement_of(selector: LastingSelector) -> tuple[Select[Any], Mapping[str, object]]:
    match selector:
        case ByNumber(number):
            return _BY_NUMBER, {"value": number}
        case ByUid(uid):
            return _BY_UID, {"value": uid}
        case BySemanticVersion(semantic_version):
            return _BY_SEMANTIC_VERSION, {"value": semantic_version}
        case BySemanticRange(wanted):
            return _HIGHEST_IN_RANGE, range_values(wanted)
