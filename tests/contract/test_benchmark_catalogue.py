"""The benchmarks' catalogue: filled in bulk, and yet as the registry itself would have left it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, inspect, select, text

from benchmarks.reads.catalogue import holders, model_name
from benchmarks.reads.filling import fill
from registrar_server.adapters.database.engine import SqlDatabase, open_engine
from registrar_server.adapters.database.migrate import alembic_config
from registrar_server.adapters.database.tables import audit_entries, events, tenants
from registrar_server.domain.semantic_versions import SemanticRange
from registrar_server.domain.values import ByAlias, BySemanticRange, ByStage, ModelKey, Stage

MODELS, VERSIONS = 3, 40


@pytest.fixture
def filled_url(empty_url: str) -> str:
    fill(empty_url, model_count=MODELS, versions=VERSIONS)
    return empty_url


@pytest.fixture
def engine(filled_url: str) -> Iterator[Engine]:
    opened = open_engine(filled_url)
    yield opened
    opened.dispose()


def test_what_is_searched_is_what_the_migration_makes_of_the_same_versions(engine: Engine) -> None:
    with engine.begin() as connection:
        made = _searched(connection)
        for table in ("search_versions", "search_terms", "search_texts"):
            connection.execute(text(f"DELETE FROM {table}"))
        connection.execute(text("DELETE FROM search_fields"))
        script = ScriptDirectory.from_config(alembic_config(connection)).get_revision("0004")
        assert script is not None
        script.module._fill(connection)
        assert _searched(connection) == made
        assert len(made["versions"]) == MODELS * VERSIONS


def _searched(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """All rows, with fields by name."""
    is_sqlite = connection.dialect.name == "sqlite"
    key = "rowid" if is_sqlite else "sequence"
    queries = {
        "versions": "SELECT * FROM search_versions ORDER BY sequence",
        "terms": 'SELECT t.sequence, f.tenant, f.name, t.place, t."text", t.whole, t.number FROM search_terms t '
        "JOIN search_fields f ON f.id = t.field_id ORDER BY t.sequence, f.name, t.place",
        "texts": f"SELECT {key}, words, model_words FROM search_texts ORDER BY {key}",
    }
    return {name: [tuple(row) for row in connection.execute(text(query))] for name, query in queries.items()}


def test_events_and_audit_entries_have_no_gap_and_the_counters_stand_at_their_end(
    engine: Engine, filled_url: str
) -> None:
    count = 0
    with engine.connect() as connection:
        for column in (events.c.sequence, audit_entries.c.position):
            lowest, highest, count = connection.execute(
                select(func.min(column), func.max(column), func.count(column))
            ).one()
            assert (lowest, highest) == (1, count)
        position = select(tenants.c.audit_position).where(tenants.c.name == "default")
        assert connection.execute(position).scalar_one() == count
    database = SqlDatabase(filled_url)
    try:
        with database.reading() as transaction:
            assert transaction.journal.head() == count
            assert transaction.mirror.progress().pending_models == 0
    finally:
        database.close()


def test_the_catalogue_is_resolved_by_stage_alias_and_range(filled_url: str) -> None:
    key, expected = ModelKey("default", model_name(1)), holders(VERSIONS)
    wanted = SemanticRange.parse("~1.3")
    database = SqlDatabase(filled_url)
    try:
        for selector, number in (
            (ByStage(Stage.PRODUCTION), expected["production"]),
            (ByStage(Stage.STAGING), expected["staging"]),
            (ByAlias("champion"), expected["champion"]),
            (BySemanticRange(wanted), 38),
        ):
            assert [version.number for version in database.resolve(key, selector)] == [number]
    finally:
        database.close()


def test_the_indexes_are_all_there_afterwards(engine: Engine) -> None:
    inspector = inspect(engine)
    names = {str(index["name"]) for index in inspector.get_indexes("search_versions")}
    assert "ix_search_versions_version_uid" in names
    assert "ix_model_versions_model_uid_semantic_version_key" in {
        str(index["name"]) for index in inspector.get_indexes("model_versions")
    }
