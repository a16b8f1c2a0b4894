"""Single statements outside of any transaction, on connections that stay open.

A pool, a transaction and a result object of SQLAlchemy cost ten times what the statement itself does; where a call is
made thousands of times a second that is most of its time. So the statement is put together by SQLAlchemy once, and
given to the driver as it is.
"""

from __future__ import annotations

import contextlib
from collections import deque, namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Dialect, Engine, Select
from sqlalchemy.exc import DBAPIError

from registrar_server.adapters.database.tables import Timestamp, time_of

Row = tuple[Any, ...]
Rows = Callable[[Sequence[Row]], Sequence[Any]]
"""From what the driver gives to rows whose columns are attributes, with times as times."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement in the driver's own words."""

    text: str
    bind: Callable[[Mapping[str, object]], object]
    """From values by name to what the driver takes."""
    to_rows: Rows


def prepare(statement: Select[Any], dialect: Dialect) -> Prepared:
    """For the driver of a dialect; what the statement says itself, such as a separator, is bound already."""
    compiled = statement.compile(dialect=dialect)
    asked = [bind.key for bind in compiled.binds.values() if bind.required]
    state = compiled.construct_expanded_state(dict.fromkeys(asked))
    fixed = {name: value for name, value in state.parameters.items() if name not in asked}
    names, to_rows = state.positiontup, _rows_of(statement)
    if names is None:
        return Prepared(state.statement, lambda values: {**fixed, **values}, to_rows)
    return Prepared(state.statement, lambda values: [values[n] if n in values else fixed[n] for n in names], to_rows)


def _rows_of(statement: Select[Any]) -> Rows:
    columns = list(statement.selected_columns)
    names = [column.key or "" for column in columns]
    row_type: Any = namedtuple("row_type", names)  # type: ignore[misc]  # noqa: PYI024
    times = [index for index, column in enumerate(columns) if isinstance(column.type, Timestamp)]

    def to_rows(rows: Sequence[Row]) -> Sequence[Any]:
        found = []
        for row in rows:
            values = list(row)
            for index in times:
                values[index] = time_of(values[index])
            found.append(row_type(*values))
        return found

    return to_rows


class SqlReader:
    """Thread-safe. As many connections are open as statements ever ran at once; `engine` makes them and keeps none."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._driver: Any = engine.dialect.loaded_dbapi
        self._idle: deque[Any] = deque()

    def rows(self, statement: Prepared, values: Mapping[str, object]) -> Sequence[Row]:
        """Every row. Raises what SQLAlchemy would."""
        bound = statement.bind(values)
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._run(self._connect(), statement, bound)
        try:
            return self._run(connection, statement, bound)
        except DBAPIError:
            if not getattr(connection, "broken", False):
                raise
            # It was cut while it was idle, and so may the others be. Nothing was changed: a new one may try again.
            self.close()
            return self._run(self._connect(), statement, bound)

    def close(self) -> None:
        """Close what is idle."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _run(self, connection: Any, statement: Prepared, bound: object) -> Sequence[Row]:
        try:
            rows: Sequence[Row] = connection.execute(statement.text, bound).fetchall()
        except self._driver.Error as exc:
            with contextlib.suppress(self._driver.Error):
                connection.close()
            raise self._wrapped(statement.text, exc) from exc
        self._idle.append(connection)
        return rows

    def _wrapped(self, text: str, error: Exception) -> BaseException:
        return DBAPIError.instance(text, None, error, self._driver.Error, dialect=self._engine.dialect)

    def _connect(self) -> Any:
        try:
            connection = self._engine.raw_connection()
        except self._driver.Error as exc:
            raise self._wrapped("", exc) from exc
        opened: Any = connection.driver_connection
        # From here on it is ours, and the pool forgets it.
        connection.detach()
        if self._engine.dialect.name == "postgresql":
            opened.autocommit = True
        return opened
