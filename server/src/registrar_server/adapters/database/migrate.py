"""Bring a database to the schema of this code, once, however many processes try."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from registrar_server.adapters.database.engine import open_engine, translated
from registrar_server.adapters.database.tables import counters, tenants
from registrar_server.adapters.database.upsert import insert_for
from registrar_server.domain.access import EVERYWHERE

# Any number that no other program on the same PostgreSQL takes for its advisory lock.
_LOCK = 0x7265_6769_7374


def migrate(url: str, *, tenant_names: Iterable[str]) -> tuple[str | None, str]:
    """Run what migrations are missing and make the tenants; the revisions before and after.

    Concurrent callers wait for each other. A database that is newer than this code is refused by Alembic.
    """
    engine = open_engine(url, lock_timeout_seconds=60.0)
    try:
        with translated(), engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.execution_options(registrar_begin="BEGIN IMMEDIATE")
            with connection.begin():
                if engine.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                before = current_revision(connection)
                command.upgrade(alembic_config(connection), "head")
                _seed(connection, tenant_names)
                after = current_revision(connection)
    finally:
        engine.dispose()
    return before, after or ""


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration, made here so that no ini file has to travel along."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def current_revision(connection: Connection) -> str | None:
    """Revision that the database is at; None: it is empty."""
    revision: str | None = MigrationContext.configure(connection).get_current_revision()
    return revision


def newest_revision() -> str:
    """Revision that this code needs."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config).get_current_head() or ""


def _seed(connection: Connection, tenant_names: Iterable[str]) -> None:
    connection.execute(
        insert_for(connection, counters).values(name="events", value=0).on_conflict_do_nothing(index_elements=["name"])
    )
    now = datetime.now(UTC)
    for name in (EVERYWHERE, *tenant_names):
        statement = insert_for(connection, tenants).values(name=name, created_at=now)
        connection.execute(statement.on_conflict_do_nothing(index_elements=["name"]))
