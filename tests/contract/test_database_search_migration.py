"""What was registered before there was a search is found after the migration, as if it had been registered since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, Table, select

from registrar_server.adapters.database.engine import SqlDatabase, open_engine
from registrar_server.adapters.database.migrate import alembic_config, migrate
from registrar_server.adapters.database.search.tables import (
    search_fields,
    search_terms,
    search_texts,
    search_texts_sqlite,
    search_versions,
)
from registrar_server.domain.search import EVERYTHING, Search, Word, Words
from registrar_server.domain.values import Stage
from registrar_server.domain.versions import Dataset, Facts, MetricSlice, Notes, Provenance
from tests.fixtures.database import TENANTS
from tests.fixtures.search import Shelf

FACTS = Facts(
    metrics={"f1": 0.5},
    metric_slices=(MetricSlice("region", "eu", "", {"f1": 0.4}), MetricSlice("region", "eu", "holdout", {"f1": 0.3})),
    parameters={"depth": 7, "warm": True, "algo": "x" * 300},
    flavors=("sklearn", "python_function"),
    semantic_version="1.0.0",
    provenance=Provenance(git_commit="abc1234", training_data=(Dataset("d", digest="md5:1"),)),
)


@pytest.fixture
def shelf(database_url: str) -> Shelf:
    """Two models with versions to which everything has happened."""
    database = SqlDatabase(database_url)
    shelf = Shelf(database)
    model, other = shelf.model("churn"), shelf.model("churn", "acme-corp")
    first = shelf.register(model, 1, FACTS, Notes("the first", {"team": "risk"}))
    second = shelf.register(model, 2, notes=Notes(tags={"team": "x" * 300, "k" * 128: "v"}))
    hidden = shelf.register(model, 3)
    shelf.register(other, 1, FACTS)
    shelf.move(model, first, 1, Stage.PRODUCTION, {})
    shelf.move(model, second, 2, Stage.PRODUCTION, {1: first})
    shelf.note(model, second, 2, Notes("märz", {"team": "growth"}))
    shelf.point(model, "champion", second, 2)
    shelf.point(model, "canary", second, 2)
    shelf.hide(model, hidden, 3)
    shelf.describe_model(model, "Who leaves?", {"domain": "bank"})
    database.close()
    return shelf


def test_the_migration_fills_what_later_changes_would_have(shelf: Shelf, database_url: str) -> None:
    engine = open_engine(database_url)
    try:
        with engine.begin() as connection:
            kept = contents(connection)
            assert all(kept)
            command.downgrade(alembic_config(connection), "0003")
        migrate(database_url, tenant_names=TENANTS)
        with engine.connect() as connection:
            assert contents(connection) == kept
    finally:
        engine.dispose()
    database = SqlDatabase(database_url)
    try:
        after = Shelf(database)
        assert len(after.find(Search("default", EVERYTHING))) == 2
        assert len(after.find(Search("default", Words((Word("bank"), Word("marz")))))) == 1
        assert len(after.find(Search("acme-corp", EVERYTHING))) == 1
    finally:
        database.close()


def contents(connection: Connection) -> Sequence[list[tuple[Any, ...]]]:
    """Every row of every table, with fields by their names: ids may differ."""
    texts: Table = search_texts if connection.dialect.name == "postgresql" else search_texts_sqlite
    key = texts.c.sequence if connection.dialect.name == "postgresql" else texts.c.rowid
    terms = select(search_fields.c.tenant, search_fields.c.name, search_terms).join(
        search_fields, search_fields.c.id == search_terms.c.field_id
    )
    without_ids = terms.with_only_columns(*(c for c in terms.selected_columns if c.name not in ("field_id", "place")))
    return [
        sorted(tuple(row) for row in connection.execute(select(search_versions))),
        sorted((tuple(row) for row in connection.execute(without_ids)), key=repr),
        sorted(tuple(row) for row in connection.execute(select(key, texts.c.words, texts.c.model_words))),
    ]
