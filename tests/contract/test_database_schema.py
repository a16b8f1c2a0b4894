"""The schema: one migration from nothing to what the code says, once, however many processes try."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.util.exc import CommandError
from sqlalchemy import Engine, MetaData, insert, inspect, text

from registrar_server.adapters.database.documents import dump_facts
from registrar_server.adapters.database.engine import SqlDatabase, open_engine
from registrar_server.adapters.database.migrate import alembic_config, migrate, newest_revision
from registrar_server.adapters.database.tables import metadata
from registrar_server.application.ports.database import BundleClaim
from registrar_server.domain.access import EVERY_NAME
from registrar_server.domain.bundles import BundleFile, FileType, Manifest
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.semantic_versions import SemanticRange
from registrar_server.domain.uploads import FileState, UploadFile
from registrar_server.domain.values import BySemanticRange, ModelKey
from registrar_server.domain.versions import Facts
from tests.fixtures.database import NOON, TENANTS, at


def test_a_migrated_database_has_the_schema_that_the_code_says(database_url: str) -> None:
    engine = open_engine(database_url)
    try:
        with engine.connect() as connection:
            opts = {"compare_type": True, "include_name": _is_compared}
            context = MigrationContext.configure(connection, opts=opts)
            assert compare_metadata(context, metadata) == []
            assert _constraints(engine) == {
                ("model_versions", ("model_uid", "exclusive_stage")),
                ("model_versions", ("model_uid", "number")),
                ("model_versions", ("model_uid", "semantic_version")),
                ("models", ("tenant", "name")),
                ("bundles", ("model_uid", "manifest_digest")),
                ("search_fields", ("tenant", "name")),
                ("role_bindings", ("tenant", "role", "member", "model_pattern")),
                ("api_tokens", ("digest",)),
                ("comments", ("id",)),
            }
    finally:
        engine.dispose()


def _is_compared(name: str | None, kind: str, _parents: object) -> bool:
    """Full texts are each database's own: SQLite keeps them in tables of its making."""
    return kind != "table" or not (name or "").startswith("search_texts")


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
            assert all(transaction.tenants.exists(name) for name in (*TENANTS, "third"))
            assert transaction.journal.head() == 0
    finally:
        database.close()


def test_a_database_of_the_first_schema_is_brought_up_with_what_is_in_it(empty_url: str) -> None:
    _fill_first_schema(empty_url)
    assert migrate(empty_url, tenant_names=TENANTS) == ("0001", newest_revision())
    database = SqlDatabase(empty_url)
    try:
        with database.writing() as transaction:
            bundle = transaction.bundles.get("b" * 32)
            assert bundle is not None
            assert (bundle.model, bundle.create_time) == (ModelKey("default", "m"), NOON)
            assert transaction.bundles.file("b" * 32, "ä.bin") == _FILE
            found = transaction.uploads.find_source("default", [_FILE], readable=EVERY_NAME)
            assert found == {_FILE.sha256: "default/m/b/ä.bin"}
            claim = BundleClaim("f" * 32, "default/m/other")
            claim = transaction.bundles.claim(claim, "a" * 32, "default", f"sha256:{'2' * 64}", until=at(60))
            assert (claim.uid, claim.prefix, claim.wipes) == ("c" * 32, "default/m/c", 0)
            assert transaction.uploads.find(claim.uid) is None
            file = UploadFile(0, _FILE, 2**23, FileState.MISSING, "")
            assert transaction.uploads.open(claim.uid, [file], size_bytes=7, created_by="local", time=NOON)
            assert transaction.uploads.claim_parts(claim.uid, [(0, 1)]) == 1
            manifest = Manifest((_FILE,))
            assert transaction.bundles.commit(
                claim.uid, manifest, wipes=0, uri="s3://b/c", created_by="local", time=NOON
            )
    finally:
        database.close()


def test_versions_that_were_there_get_the_keys_of_their_semantic_versions(empty_url: str) -> None:
    _fill_first_schema(empty_url)
    assert migrate(empty_url, tenant_names=TENANTS) == ("0001", newest_revision())
    database = SqlDatabase(empty_url)
    try:
        with database.reading() as transaction:

            def highest(text: str) -> list[str]:
                selector = BySemanticRange(SemanticRange.parse(text))
                found = transaction.versions.get(ModelKey("default", "m"), selector)
                return [version.facts.semantic_version for version in found]

            assert highest("*") == ["10.0.0"]
            assert highest("<10") == ["9.1.0"]
            assert highest("<=9.1.0-rc.2") == ["9.1.0-rc.1"]
            assert highest("<9") == []
    finally:
        database.close()


def test_the_newest_migration_can_be_taken_back(empty_url: str) -> None:
    _fill_first_schema(empty_url)
    migrate(empty_url, tenant_names=TENANTS)
    engine = open_engine(empty_url)
    try:
        with engine.begin() as connection:
            command.downgrade(alembic_config(connection), "0001")
            assert "upload_files" not in inspect(connection).get_table_names()
            assert "wipes" not in {column["name"] for column in inspect(connection).get_columns("bundles")}
            columns = {column["name"] for column in inspect(connection).get_columns("model_versions")}
            assert "semantic_version_key" not in columns
            assert "roles" not in inspect(connection).get_table_names()
            assert "quota_bytes" not in {column["name"] for column in inspect(connection).get_columns("tenants")}
            assert connection.execute(text("SELECT count(*) FROM bundle_files")).scalar_one() == 1
    finally:
        engine.dispose()
    assert migrate(empty_url, tenant_names=TENANTS) == ("0001", newest_revision())


_FILE = BundleFile("ä.bin", 7, "e" * 64, FileType.MODEL)


def _fill_first_schema(url: str) -> None:
    """A committed bundle and one that is being written, by the version before upload sessions."""
    noon, soon = (int(time.timestamp() * 1_000_000) for time in (NOON, at(5)))
    made = {"created_by": "local", "created_at": noon}
    model = {"uid": "a" * 32, "tenant": "default", "name": "m", "description": "", "tags": "{}", "metric_goals": "{}"}
    bundle = {"tenant": "default", "model_uid": "a" * 32, "uri": "", "size_bytes": 7, "file_count": 1}
    committed = {
        "uid": "b" * 32,
        "manifest_digest": f"sha256:{'1' * 64}",
        "prefix": "default/m/b",
        "state": "committed",
    }
    claimed = {"uid": "c" * 32, "manifest_digest": f"sha256:{'2' * 64}", "prefix": "default/m/c", "state": "writing"}
    file = {"path": _FILE.path, "size_bytes": 7, "sha256": _FILE.sha256, "type": _FILE.type.value}
    version = {"model_uid": "a" * 32, "state": "ready", "stage": "none", "stage_at": noon, "content_digest": "d" * 64}
    rest = dict.fromkeys(("description", "artifact_uri", "manifest_digest", "run_id"), "") | {
        "tags": "{}",
        "notes": "{}",
    }
    named = ["9.1.0-rc.1", "10.0.0", "9.1.0", None, "1\u0661.0.0"]
    versions: list[tuple[str, dict[str, object]]] = [
        (
            "model_versions",
            {**version, **rest, **made, "uid": f"{number:032x}", "number": number, "semantic_version": text}
            | {"facts": dump_facts(Facts(semantic_version=text or "")), "revision": 1, "updated_at": noon},
        )
        for number, text in enumerate(named, start=1)
    ]
    rows: list[tuple[str, dict[str, object]]] = [
        ("tenants", {"name": "default", "created_at": noon}),
        ("models", {**model, **made, "revision": 1, "updated_at": noon}),
        ("bundles", {**bundle, **committed, **made, "verified_at": noon}),
        ("bundles", {**bundle, **claimed, "created_by": "", "claimed_until": soon}),
        ("bundle_files", {**file, "bundle_uid": "b" * 32}),
        *versions,
    ]
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            command.upgrade(alembic_config(connection), "0001")
            first = MetaData()
            first.reflect(connection)
            for table, row in rows:
                connection.execute(insert(first.tables[table]), row)
    finally:
        engine.dispose()


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
            # And the row that holds the audit of what concerns all tenants.
            assert connection.execute(text("SELECT count(*) FROM tenants")).scalar_one() == len(TENANTS) + 1
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
