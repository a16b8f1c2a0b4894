"""The schema: one migration from nothing to what the code says, once, however many processes try."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.util.exc import CommandError
from sqlalchemy import Engine, inspect, text

from registrar_server.adapters.database.engine import SqlDatabase, open_engine
from registrar_server.adapters.database.migrate import migrate, newest_revision
from registrar_server.adapters.database.tables import metadata
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.database import TENANTS


def test_a_migrated_database_has_the_schema_that_the_code_says(database_url: str) -> None:
    engine = open_engine(database_url)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
            assert _constraints(engine) == {
                ("model_versions", ("model_uid", "exclusive_stage")),
                ("model_versions", ("model_uid", "number")),
                ("model_versions", ("model_uid", "semantic_version")),
                ("models", ("tenant", "name")),
                ("bundles", ("model_uid", "manifest_digest")),
            }
    finally:
        engine.dispose()


def _constraints(engine: Engine) -> set[tuple[str, tuple[str, ...]]]:
    inspector = inspect(engine)
    return {
        (table, tuple(str(column) for column in constraint["column_names"]))
        for table in metadata.tables
        for constraint in inspector.get_unique_constraints(table)
    }


def test_a_second_migration_changes_nothing_and_adds_new_tenants(empty_url: str) -> None:
    assert migrate(empty_url, tenant_names=TENANTS) == (None, newest_revision())
    assert migrate(empty_url, tenant_names=(*TENANTS, "third")) == (newest_revision(), newest_revision())
    database = SqlDatabase(empty_url)
    try:
        with database.reading() as transaction:
            assert all(transaction.models.has_tenant(name) for name in (*TENANTS, "third"))
            assert transaction.journal.head() == 0
    finally:
        database.close()


def test_migrations_at_once_wait_for_each_other(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: migrate(empty_url, tenant_names=TENANTS), range(4)))
    assert sorted(before or "" for before, _ in outcomes) == ["", *[newest_revision()] * 3]
    assert {after for _, after in outcomes} == {newest_revision()}


def test_a_database_that_was_not_migrated_fails_the_check(empty_url: str) -> None:
    database = SqlDatabase(empty_url)
    try:
        with pytest.raises(RegistrarError) as caught:
            database.check()
        assert caught.value.reason is Reason.DATABASE_UNAVAILABLE
    finally:
        database.close()


def test_a_database_of_a_newer_version_is_refused_and_stays_as_it_is(database_url: str) -> None:
    engine = open_engine(database_url)
    try:
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(CommandError):
            migrate(database_url, tenant_names=("third",))
        with engine.connect() as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"
            assert connection.execute(text("SELECT count(*) FROM tenants")).scalar_one() == len(TENANTS)
    finally:
        engine.dispose()


def test_a_migration_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'half.db'}"
    with pytest.raises(RuntimeError):
        migrate(url, tenant_names=_failing())
    engine = open_engine(url)
    try:
        assert inspect(engine).get_table_names() == []
    finally:
        engine.dispose()


def _failing() -> list[str]:
    class Failing(list[str]):
        def __iter__(self) -> object:  # type: ignore[override]
            raise RuntimeError

    return Failing()
