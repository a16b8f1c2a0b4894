"""Rows of the tables that searches read, made of what the search index itself is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from sqlalchemy import Connection, insert, select

from benchmarks.reads.bulk import Row
from benchmarks.reads.catalogue import facts, notes
from registrar_server.adapters.database.documents import load
from registrar_server.adapters.database.search.tables import search_fields
from registrar_server.adapters.database.search.terms import Term, fact_terms, model_words, tag_terms, version_words
from registrar_server.domain.values import DEFAULT_TENANT
from registrar_server.domain.versions import Facts, Notes


def add_fields(connection: Connection) -> Mapping[str, int]:
    """Ids of the fields that the catalogue's versions have."""
    terms = [*terms_of(facts(0, 1), notes(0, 1)), champion_term()]
    rows = [{"tenant": DEFAULT_TENANT, "name": name} for name in dict.fromkeys(term.field for term in terms)]
    connection.execute(insert(search_fields), rows)
    found = connection.execute(select(search_fields.c.name, search_fields.c.id))
    return {row.name: row.id for row in found}


def terms_of(about: Facts, found: Notes) -> list[Term]:
    """What is indexed of a version, but for its aliases."""
    return [*fact_terms(about), *tag_terms(found.tags)]


def champion_term() -> Term:
    """What is indexed of the version that is the champion."""
    return Term("alias", text="champion")


def term_row(sequence: int, field_ids: Mapping[str, int], term: Term) -> Row:
    return {"sequence": sequence, "field_id": field_ids[term.field], **term.columns}


def searched_row(sequence: int, name: str, version: Row, git_commit: str) -> Row:
    return {
        "sequence": sequence,
        "version_uid": version["uid"],
        "model_uid": version["model_uid"],
        "tenant": DEFAULT_TENANT,
        "name": name,
        "number": version["number"],
        "stage": version["stage"],
        "creator": version["created_by"],
        "git_commit": git_commit,
        "run_id": version["run_id"],
        "created_at": version["created_at"],
        "updated_at": version["updated_at"],
        "semantic_version_key": version["semantic_version_key"],
        "is_visible": True,
    }


def text_row(sequence: int, name: str, found: Notes, model: Row, *, is_postgresql: bool) -> Row:
    """The words of a version; PostgreSQL takes a vector as quoted words."""
    both = version_words(name, found), _words_of_model(model["description"], model["tags"])
    own, of_model = (" ".join(f"'{word}'" for word in words) if is_postgresql else " ".join(words) for words in both)
    return {"sequence" if is_postgresql else "rowid": sequence, "words": own, "model_words": of_model}


@cache
def _words_of_model(description: str, tags: str) -> Sequence[str]:
    return model_words(description, load(tags))
