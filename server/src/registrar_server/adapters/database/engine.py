"""Connections and transactions: SQLite in WAL with BEGIN IMMEDIATE, PostgreSQL with row locks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from registrar_server.adapters.database.fast_reads import FastReads
from registrar_server.adapters.database.transaction import SqlTransaction
from registrar_server.application.ports.database import ModelEvent
from registrar_server.domain.access import NamePattern
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.models import Model
from registrar_server.domain.values import ModelKey, Selector
from registrar_server.domain.versions import ModelVersion

_log = structlog.get_logger()

# SQLSTATE classes of PostgreSQL that mean "try again", from its manual, appendix A.
_BUSY_STATES = frozenset({"40001", "40P01", "55P03", "57014"})
_RETRY_SECONDS = 1.0


class SqlDatabase:
    """The port `Database` on SQLite and PostgreSQL.

    `lock_timeout_seconds` bounds how long a writer waits for others before DATABASE_BUSY.
    """

    def __init__(self, url: str, *, pool_size: int = 16, lock_timeout_seconds: float = 10.0) -> None:
        self._engine = open_engine(url, pool_size=pool_size, lock_timeout_seconds=lock_timeout_seconds)
        self._fast = FastReads(open_engine(url, pool_size=0, lock_timeout_seconds=lock_timeout_seconds))
        self._listeners: list[Callable[[Sequence[ModelEvent]], None]] = []
        # SQLite takes its write lock when a transaction begins, PostgreSQL a row at a time.
        self._begin_write = "BEGIN IMMEDIATE" if self._engine.dialect.name == "sqlite" else None

    @contextmanager
    def reading(self) -> Iterator[SqlTransaction]:
        """See the port. SQLite: one snapshot; PostgreSQL: one statement at a time sees one snapshot."""
        with translated(), self._engine.connect() as connection:
            yield SqlTransaction(connection)
            connection.rollback()

    @contextmanager
    def writing(self) -> Iterator[SqlTransaction]:
        """See the port."""
        with translated(), self._engine.connect() as connection:
            if self._begin_write:
                # In place, for this connection of the pool until it goes back.
                connection.execution_options(registrar_begin=self._begin_write)
            with connection.begin() as root:
                transaction = SqlTransaction(connection)
                yield transaction
                if transaction.is_discarded:
                    root.rollback()
        if not transaction.is_discarded and transaction.journal.recorded():
            for listener in self._listeners:
                listener(transaction.journal.recorded())

    def resolve(self, model: ModelKey, selector: Selector) -> Sequence[ModelVersion]:
        """See the port."""
        with translated():
            return self._fast.resolve(model, selector)

    def list_models(
        self,
        tenant: str,
        *,
        readable: Sequence[NamePattern],
        prefix: str,
        after: str,
        limit: int,
        is_deleted_shown: bool,
    ) -> Sequence[Model]:
        """See the port."""
        if any(pattern.is_everything for pattern in readable):
            with translated():
                return self._fast.list_models(
                    tenant, prefix=prefix, after=after, limit=limit, is_deleted_shown=is_deleted_shown
                )
        with self.reading() as transaction:
            return transaction.models.list(
                tenant, readable=readable, prefix=prefix, after=after, limit=limit, is_deleted_shown=is_deleted_shown
            )

    def events_after(self, sequence: int, *, limit: int) -> tuple[int, Sequence[ModelEvent]]:
        """See the port."""
        with translated():
            return self._fast.events_after(sequence, limit=limit)

    def tell_commits(self, listener: Callable[[Sequence[ModelEvent]], None]) -> None:
        """See the port."""
        self._listeners.append(listener)

    def check(self) -> None:
        """See the port."""
        with translated(), self._engine.connect() as connection:
            try:
                connection.execute(text("SELECT count(*) FROM tenants"))
            except ProgrammingError as exc:
                raise RegistrarError(Reason.DATABASE_UNAVAILABLE, "the database has not been migrated") from exc

    def close(self) -> None:
        """See the port."""
        self._fast.close()
        self._engine.dispose()


def open_engine(url: str, *, pool_size: int = 5, lock_timeout_seconds: float = 10.0) -> Engine:
    """An engine with the settings that the statements here rely on."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(
            parsed,
            pool_size=pool_size,
            max_overflow=32,
            pool_timeout=lock_timeout_seconds,
            hide_parameters=True,
            connect_args={"timeout": lock_timeout_seconds, "check_same_thread": False},
        )
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    milliseconds = int(lock_timeout_seconds * 1000)
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=32,
        pool_timeout=lock_timeout_seconds,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": 5,
            "options": f"-c lock_timeout={milliseconds} -c statement_timeout={milliseconds * 3} -c timezone=UTC",
        },
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver raises into the port's errors; the driver's own text goes to the log."""
    try:
        yield
    except PoolTimeoutError as exc:
        raise _busy() from exc
    except DBAPIError as exc:
        state = getattr(exc.orig, "sqlstate", None)
        _log.warning("database.failed", error=type(exc.orig).__name__, sqlstate=state, text=str(exc.orig))
        if state in _BUSY_STATES or "database is locked" in str(exc.orig):
            raise _busy() from exc
        if isinstance(exc, OperationalError) or exc.connection_invalidated:
            raise RegistrarError(
                Reason.DATABASE_UNAVAILABLE, "the database does not answer", retry_after_seconds=_RETRY_SECONDS
            ) from exc
        raise
    except SQLAlchemyError as exc:
        _log.warning("database.failed", error=type(exc).__name__, text=str(exc))
        raise


def _busy() -> RegistrarError:
    return RegistrarError(
        Reason.DATABASE_BUSY, "the database is busy; nothing was changed", retry_after_seconds=_RETRY_SECONDS
    )


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # The driver must not open transactions by itself: `_begin_sqlite` decides which kind.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # NORMAL may lose the last commits in a power failure; a registry that answered must not.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("registrar_begin", "BEGIN"))
