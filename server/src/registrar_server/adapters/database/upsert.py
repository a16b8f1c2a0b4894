"""INSERT … ON CONFLICT, which SQLAlchemy spells per dialect though both databases speak the same."""

from __future__ import annotations

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_for(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """The insert of the connection's dialect, with `on_conflict_do_nothing` and `on_conflict_do_update`.

    Its result's `rowcount` says whether a row was added: SQLAlchemy forgets that of inserts unless it is told not to.
    """
    made = sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
    return made.execution_options(preserve_rowcount=True)
