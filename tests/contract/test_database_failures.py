"""A database that is locked, gone, or cut off: a refusal in bounded time, nothing changed, and work goes on after."""

from __future__ import annotations

import os
import pwd
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.adapters.database.migrate import migrate
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import ModelKey
from tests.fixtures import postgres
from tests.fixtures.database import TENANTS, add_model, change
from tests.fixtures.proxy import TcpProxy

KEY = ModelKey("default", "m")


def refused(action: Callable[[], object]) -> RegistrarError:
    with pytest.raises(RegistrarError) as caught:
        action()
    assert caught.value.retry_after_seconds
    return caught.value


def write(database: SqlDatabase, name: str = "m") -> None:
    with database.writing() as transaction:
        add_model(transaction, name)


def has(database: SqlDatabase, name: str = "m") -> bool:
    with database.reading() as transaction:
        return transaction.models.get(ModelKey("default", name)) is not None


def test_a_writer_that_finds_sqlite_locked_is_refused_in_time_and_readers_are_not(sqlite_url: str) -> None:
    database = SqlDatabase(sqlite_url, lock_timeout_seconds=0.3)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert refused(lambda: write(database)).reason is Reason.DATABASE_BUSY
        assert time.monotonic() - began < 5
        assert not has(database)
        other.execute("ROLLBACK")
        write(database)
        assert has(database)
    finally:
        other.close()
        database.close()


def test_a_writer_that_finds_a_row_of_postgresql_locked_is_refused_in_time_and_readers_are_not(
    postgres_database: SqlDatabase,
) -> None:
    url = postgres_database._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    impatient = SqlDatabase(url, lock_timeout_seconds=0.3)
    try:
        write(postgres_database)
        with postgres_database.writing() as holder:
            holder.models.lock(KEY)
            began = time.monotonic()

            def lock() -> None:
                with impatient.writing() as transaction:
                    transaction.models.lock(KEY)

            assert refused(lock).reason is Reason.DATABASE_BUSY
            assert time.monotonic() - began < 5
            assert has(impatient)
        lock()
    finally:
        impatient.close()


@pytest.mark.postgresql
def test_a_deadlock_of_postgresql_is_refused_as_busy_and_one_of_the_two_goes_on(postgres_database: SqlDatabase) -> None:
    write(postgres_database, "a")
    write(postgres_database, "b")
    both_hold = threading.Barrier(2)
    outcomes: list[Reason | None] = []

    def lock(*names: str) -> None:
        try:
            with postgres_database.writing() as transaction:
                transaction.models.lock(ModelKey("default", names[0]))
                both_hold.wait(10)
                transaction.models.lock(ModelKey("default", names[1]))
            outcomes.append(None)
        except RegistrarError as exc:
            outcomes.append(exc.reason)

    threads = [threading.Thread(target=lock, args=names) for names in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(outcomes) == {None, Reason.DATABASE_BUSY}


def test_with_every_connection_taken_a_caller_is_refused_in_time(sqlite_url: str) -> None:
    database = SqlDatabase(sqlite_url, pool_size=1, lock_timeout_seconds=0.2)
    database._engine.pool._max_overflow = 0  # type: ignore[attr-defined]
    try:
        with database.reading():
            assert refused(lambda: has(database)).reason is Reason.DATABASE_BUSY
        assert not has(database)
    finally:
        database.close()


@pytest.mark.postgresql
def test_a_connection_that_breaks_in_a_transaction_is_unavailable_and_nothing_stays(
    postgres_database: SqlDatabase,
) -> None:
    def act() -> None:
        with postgres_database.writing() as transaction:
            model = add_model(transaction, "m")
            backend = transaction._connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            with psycopg.connect(_driver_url(postgres_database), autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 10000)", [backend])
            transaction.journal.record(change(model))

    assert refused(act).reason is Reason.DATABASE_UNAVAILABLE
    assert not has(postgres_database)
    write(postgres_database)
    assert has(postgres_database)


@pytest.mark.postgresql
def test_a_network_that_breaks_is_unavailable_and_comes_back(postgres_database: SqlDatabase) -> None:
    parts = urlsplit(_driver_url(postgres_database))
    with TcpProxy(str(parts.hostname), int(parts.port or 0)) as proxy:
        host = f"{parts.username}:{parts.password}@127.0.0.1:{proxy.port}"
        database = SqlDatabase(urlunsplit(parts._replace(netloc=host)), lock_timeout_seconds=1)
        try:
            write(database)
            proxy.cut()
            began = time.monotonic()
            assert refused(lambda: has(database)).reason is Reason.DATABASE_UNAVAILABLE
            assert refused(lambda: write(database, "n")).reason is Reason.DATABASE_UNAVAILABLE
            assert time.monotonic() - began < 20
            proxy.resume()
            assert has(database)
            write(database, "n")
        finally:
            database.close()


@pytest.mark.postgresql
def test_postgresql_that_stops_is_unavailable_and_after_its_restart_all_is_there() -> None:
    with stoppable_cluster() as (url, stop, start):
        migrate(url, tenant_names=TENANTS)
        database = SqlDatabase(url, lock_timeout_seconds=1)
        try:
            write(database)
            stop()
            assert refused(lambda: has(database)).reason is Reason.DATABASE_UNAVAILABLE
            assert refused(lambda: write(database, "n")).reason is Reason.DATABASE_UNAVAILABLE
            assert refused(database.check).reason is Reason.DATABASE_UNAVAILABLE
            start()
            assert has(database)
            assert not has(database, "n")
            write(database, "n")
        finally:
            database.close()


@contextmanager
def stoppable_cluster() -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """A cluster of this test's own, with what stops it and what starts it again on the same port."""
    binaries = postgres._find_binaries()
    if binaries is None:
        pytest.skip("no binaries of PostgreSQL to stop and start: install the package postgresql")
    user = postgres._unprivileged_user()
    directory = Path(tempfile.mkdtemp(prefix="registrar-postgres-"))
    data = directory / "data"
    try:
        if user is not None:
            os.chown(directory, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        postgres._initialise(binaries, data, "secret", user)
        port = postgres._start(binaries, data, user)

        def stop() -> None:
            postgres._pg_ctl(binaries, data, user, "-m", "fast", "stop")

        def start() -> None:
            settings = {**postgres._SETTINGS, "port": str(port)}
            options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
            postgres._pg_ctl(binaries, data, user, "-l", str(directory / "log"), "-o", options, "start")

        try:
            yield f"postgresql://postgres:secret@127.0.0.1:{port}/postgres", stop, start
        finally:
            stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _driver_url(database: SqlDatabase) -> str:
    return database._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
