"""How a search is answered: a few statements, whatever is found, each by the index that was meant."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.adapters.database.search import records as search_module
from registrar_server.application.search.searching import Searching, SearchRequest
from registrar_server.domain.access import EVERY_NAME
from registrar_server.domain.search import Position, Search
from registrar_server.domain.versions import Facts, Notes
from tests.fixtures.database import listening
from tests.fixtures.search import Shelf

VERSIONS = "ix_search_versions_tenant_"
SEARCHES: Mapping[str, tuple[SearchRequest, int, str]] = {
    "everything": (SearchRequest("default", EVERY_NAME), 0, f"{VERSIONS}sequence"),
    "a tag, rare": (
        SearchRequest("default", EVERY_NAME, "tags.team = risk"),
        99,
        "ix_search_terms_field_id_text_sequence",
    ),
    "a tag, common": (
        SearchRequest("default", EVERY_NAME, "tags.team = risk"),
        0,
        "ix_search_terms_field_id_text_sequence",
    ),
    "two tags": (
        SearchRequest("default", EVERY_NAME, "tags.team = risk AND tags.env = eu"),
        99,
        "ix_search_terms_field_id_text_sequence",
    ),
    "a name's beginning": (SearchRequest("default", EVERY_NAME, 'name = "ch*"'), 99, f"{VERSIONS}name_sequence"),
    "a stage": (SearchRequest("default", EVERY_NAME, "stage = none"), 99, f"{VERSIONS}stage_sequence"),
    "a range of a metric, narrow": (
        SearchRequest("default", EVERY_NAME, "metrics.f1 > 0.9"),
        99,
        "ix_search_terms_field_id_number_sequence",
    ),
    "a range of a metric, wide": (SearchRequest("default", EVERY_NAME, "metrics.f1 > 0"), 0, f"{VERSIONS}sequence"),
    "a range of times": (
        SearchRequest("default", EVERY_NAME, "create_time > 2025-01-01"),
        99,
        f"{VERSIONS}created_at_sequence",
    ),
    "semantic versions": (
        SearchRequest("default", EVERY_NAME, "semantic_version = ^1"),
        99,
        f"{VERSIONS}semantic_version_key_sequence",
    ),
    "either of two tags": (
        SearchRequest("default", EVERY_NAME, "tags.team = risk OR tags.env = eu"),
        99,
        "ix_search_terms_field_id_text_sequence",
    ),
    "no tag": (SearchRequest("default", EVERY_NAME, "NOT tags.team = growth"), 99, f"{VERSIONS}sequence"),
    "by a metric": (
        SearchRequest("default", EVERY_NAME, order_by="metrics.f1 desc"),
        0,
        "ix_search_terms_field_id_number_sequence",
    ),
    "by name": (SearchRequest("default", EVERY_NAME, order_by="name"), 0, f"{VERSIONS}name_sequence"),
    "by a metric, of a rare tag": (
        SearchRequest("default", EVERY_NAME, "tags.team = risk", order_by="metrics.f1 desc"),
        99,
        "ix_search_terms_field_id_text_sequence",
    ),
    "words": (SearchRequest("default", EVERY_NAME, query="trained march"), 99, "search_texts"),
}


def fill(database: SqlDatabase) -> None:
    shelf = Shelf(database)
    model = shelf.model("churn")
    for number in range(1, 17):
        tags = {"team": "risk" if number % 2 else "growth", "env": "eu"}
        facts = Facts(metrics={"f1": number / 16}, semantic_version=f"1.{number}.0")
        shelf.register(model, number, facts, Notes(description="trained in march", tags=tags))


def meant(database: SqlDatabase, name: str, monkeypatch: pytest.MonkeyPatch) -> Search:
    """The search of a name, and the bound by which its parts are rare or common here."""
    request, gathered, _ = SEARCHES[name]
    monkeypatch.setattr(search_module, "GATHERED", gathered)
    return Searching(database).read(request)


def statements(database: SqlDatabase, search: Search) -> Sequence[tuple[str, Any]]:
    with listening(database) as heard, database.reading() as transaction:
        assert transaction.search.find(search)
    return heard.made


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_is_a_few_statements_however_much_it_finds(
    database: SqlDatabase, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database)
    search = meant(database, name, monkeypatch)
    of_all = len(statements(database, search))
    assert of_all <= 5
    fill_more = Shelf(database)
    model = fill_more.model("chess")
    for number in range(1, 9):
        facts = Facts(metrics={"f1": 0.95}, semantic_version=f"1.{number}.0")
        fill_more.register(model, number, facts, Notes(description="trained in march", tags={"team": "risk"}))
    assert len(statements(database, search)) == of_all


@pytest.mark.parametrize("after", [None, Position(12, 0.5)], ids=["the first page", "a later page"])
@pytest.mark.parametrize("name", SEARCHES)
def test_sqlite_answers_a_search_from_the_index_that_was_meant(
    sqlite_database: SqlDatabase, name: str, after: Position | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sqlite_database)
    search = meant(sqlite_database, name, monkeypatch)
    if after and search.order.field == "name":
        after = Position(12, "churn")
    plans = []
    with listening(sqlite_database) as heard, sqlite_database.reading() as transaction:
        transaction.search.find(Search(search.tenant, search.filter, search.order, after, 10))
    connection = sqlite3.connect(str(sqlite_database._engine.url.database))
    try:
        for statement, parameters in heard.made:
            plans += [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    finally:
        connection.close()
    scans = [line for line in plans if line.startswith("SCAN ") and ("search_versions" in line or "_terms" in line)]
    assert not scans, plans
    assert any(SEARCHES[name][2] in line for line in plans), plans


@pytest.mark.postgresql
@pytest.mark.parametrize("is_analyzed", [False, True], ids=["without statistics", "with statistics"])
@pytest.mark.parametrize("name", SEARCHES)
def test_postgresql_answers_a_search_from_the_index_that_was_meant(
    postgres_database: SqlDatabase, name: str, is_analyzed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(postgres_database)
    if is_analyzed:
        with postgres_database._engine.connect() as connection:
            connection.execute(text("ANALYZE"))
            connection.commit()
    made = statements(postgres_database, meant(postgres_database, name, monkeypatch))
    url = postgres_database._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    plans = []
    with psycopg.connect(url) as connection:
        for statement, parameters in made:
            if statement.startswith("SET"):
                connection.execute(statement)
                continue
            plans += [row[0] for row in connection.execute(f"EXPLAIN {statement}", parameters)]
    assert not [line for line in plans if "Seq Scan on search" in line or "Hash Join" in line], plans
    # Among so few rows, any index is as good for a range of them.
    is_any_as_good = name in ("a name's beginning", "a range of times")
    assert is_any_as_good or any(SEARCHES[name][2] in line for line in plans), plans
