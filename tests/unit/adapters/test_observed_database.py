"""The database, watched: its own failures are counted, those of whoever uses it are not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.adapters.database.migrate import migrate
from registrar_server.adapters.database.observed import ObservedDatabase
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import ByNumber, ModelKey


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqlDatabase]:
    url = f"sqlite:///{tmp_path / 'registrar.db'}"
    migrate(url, tenant_names=["default"])
    with closing(SqlDatabase(url, lock_timeout_seconds=0.05)) as opened:
        yield opened


def test_a_lock_that_others_hold_counts_as_busy(database: SqlDatabase, tmp_path: Path) -> None:
    observed = ObservedDatabase(database)
    with closing(sqlite3.connect(tmp_path / "registrar.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RegistrarError) as refused, observed.writing():
            pytest.fail("the lock is taken")
    assert refused.value.reason is Reason.DATABASE_BUSY
    assert observed.failures == {"busy": 1}


def test_what_a_user_of_it_refuses_is_no_failure(database: SqlDatabase) -> None:
    observed = ObservedDatabase(database)
    with pytest.raises(RegistrarError), observed.reading():
        raise RegistrarError(Reason.MODEL_NOT_FOUND, "no such model")
    assert not observed.failures


def test_each_use_is_surrounded_and_what_fails_in_it_is_seen(database: SqlDatabase) -> None:
    seen: list[str] = []

    @contextmanager
    def around(name: str) -> Iterator[None]:
        seen.append(f"{name} begins")
        try:
            yield
        finally:
            seen.append(f"{name} ends")

    observed = ObservedDatabase(database, around)
    with observed.reading() as transaction:
        assert transaction.journal.head() == 0
    with observed.writing():
        assert seen[-1] == "write begins"
    assert not observed.resolve(ModelKey("default", "none"), ByNumber(1))
    assert seen == [f"{name} {part}" for name in ("read", "write", "resolve") for part in ("begins", "ends")]
