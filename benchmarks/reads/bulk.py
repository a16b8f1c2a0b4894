"""Rows in bulk: as the driver takes them fastest, with the indexes made when all are in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, text

_ROWS_AT_ONCE = 5_000

Row = Mapping[str, Any]


def write(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Insert rows, values as the database has them. All have the columns of the first."""
    waiting = iter(rows)
    while some := list(islice(waiting, _ROWS_AT_ONCE)):
        columns = list(some[0])
        values = [tuple(row[column] for column in columns) for row in some]
        named = ", ".join(f'"{column}"' for column in columns)
        if connection.dialect.name == "postgresql":
            _copy(connection, f"COPY {table.name} ({named}) FROM STDIN", values)
        else:
            marks = ", ".join("?" * len(columns))
            connection.exec_driver_sql(f"INSERT INTO {table.name} ({named}) VALUES ({marks})", values)


@contextmanager
def without_indexes(connection: Connection) -> Iterator[None]:
    """Drop the indexes that no constraint needs, and make them again at the end."""
    is_postgresql = connection.dialect.name == "postgresql"
    found = connection.execute(text(_POSTGRESQL_INDEXES if is_postgresql else _SQLITE_INDEXES)).all()
    for name, _ in found:
        connection.execute(text(f"DROP INDEX {name}"))
    yield
    for _, statement in found:
        connection.exec_driver_sql(statement)


_SQLITE_INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
_POSTGRESQL_INDEXES = """
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = 'public'::regnamespace
AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid)
"""


def _copy(connection: Connection, statement: str, values: Iterable[Sequence[object]]) -> None:
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in values:
            copy.write_row(row)
