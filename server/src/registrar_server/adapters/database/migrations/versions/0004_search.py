"""search."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR

from registrar_server.adapters.database.documents import load, load_facts, load_notes
from registrar_server.adapters.database.search.terms import (
    INDEXED_CHARACTERS,
    Term,
    fact_terms,
    model_words,
    tag_terms,
    version_words,
)

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ROWS_AT_ONCE = 500
_ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INDEXED = (
    (),
    ("name",),
    ("number",),
    ("stage",),
    ("creator",),
    ("git_commit",),
    ("run_id",),
    ("created_at",),
    ("updated_at",),
    ("semantic_version_key",),
)


def upgrade() -> None:
    """To this revision."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    _create_versions()
    _create_terms()
    if is_sqlite:
        # The words are split already: what the tokenizer has to do is to part them at the spaces.
        op.execute(
            "CREATE VIRTUAL TABLE search_texts USING fts5"
            "(words, model_words, tokenize='ascii', detail='none', prefix='3')"
        )
    else:
        op.create_table(
            "search_texts",
            sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
            sa.Column("words", TSVECTOR(), nullable=False),
            sa.Column("model_words", TSVECTOR(), nullable=False),
            sa.PrimaryKeyConstraint("sequence", name=op.f("pk_search_texts")),
        )
        # Without fastupdate: reads would have to go through what was not merged yet.
        op.execute(
            "CREATE INDEX ix_search_texts_words ON search_texts USING gin ((words || model_words)) WITH (fastupdate = off)"
        )
    _fill(op.get_bind())


def downgrade() -> None:
    """Back to the one before."""
    for table in ("search_texts", "search_terms", "search_fields", "search_versions"):
        op.drop_table(table)


def _create_versions() -> None:
    op.create_table(
        "search_versions",
        sa.Column("sequence", _SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("version_uid", sa.String(length=32), nullable=False),
        sa.Column("model_uid", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", _ORDERED, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("creator", _ORDERED, nullable=False),
        sa.Column("git_commit", _ORDERED, nullable=False),
        sa.Column("run_id", _ORDERED, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("semantic_version_key", _ORDERED, nullable=True),
        sa.Column("is_visible", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_search_versions")),
    )
    op.create_index(op.f("ix_search_versions_version_uid"), "search_versions", ["version_uid"], unique=True)
    op.create_index(
        op.f("ix_search_versions_model_uid_number"), "search_versions", ["model_uid", "number"], unique=True
    )
    is_visible = sa.column("is_visible", sa.Boolean).is_(True)
    for indexed in _INDEXED:
        columns = ["tenant", *indexed, "sequence"]
        op.create_index(
            op.f(f"ix_search_versions_{'_'.join(columns)}"),
            "search_versions",
            columns,
            unique=False,
            sqlite_where=is_visible,
            postgresql_where=is_visible,
        )


def _create_terms() -> None:
    op.create_table(
        "search_fields",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", _ORDERED, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_fields")),
        sa.UniqueConstraint("tenant", "name", name=op.f("uq_search_fields_tenant_name")),
    )
    op.create_table(
        "search_terms",
        sa.Column("sequence", _SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("field_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("text", _ORDERED, nullable=True),
        sa.Column("whole", sa.Text(), nullable=True),
        sa.Column("number", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("sequence", "field_id", "place", name=op.f("pk_search_terms")),
        sqlite_with_rowid=False,
    )
    for column in ("text", "number"):
        is_given = sa.column(column).is_not(None)
        op.create_index(
            op.f(f"ix_search_terms_field_id_{column}_sequence"),
            "search_terms",
            ["field_id", column, "sequence"],
            unique=False,
            sqlite_where=is_given,
            postgresql_where=is_given,
        )


_VERSIONS = """
SELECT e.sequence, v.uid, v.model_uid, m.tenant, m.name, v.number, v.stage, v.created_by, v.run_id, v.created_at,
       v.updated_at, v.semantic_version_key, v.facts, v.notes, v.description, v.tags,
       m.description AS model_description, m.tags AS model_tags,
       v.deleted_at IS NULL AND m.deleted_at IS NULL AS is_visible
FROM model_versions v
JOIN models m ON m.uid = v.model_uid
JOIN (SELECT version_uid, min(sequence) AS sequence FROM events WHERE type = 'version.registered' GROUP BY version_uid) e
  ON e.version_uid = v.uid
WHERE v.state = 'ready'
"""
_ALIASES = """
SELECT s.sequence, s.tenant, a.alias
FROM aliases a JOIN search_versions s ON s.version_uid = a.version_uid
ORDER BY s.sequence, a.alias
"""


def _fill(connection: sa.Connection) -> None:
    fields: dict[tuple[str, str], int] = {}
    rows = iter(connection.execute(sa.text(_VERSIONS)).fetchall())
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        _insert_versions(connection, some, fields)
    places: dict[int, int] = {}
    terms = []
    for row in connection.execute(sa.text(_ALIASES)).fetchall():
        place = places[row.sequence] = places.get(row.sequence, -1) + 1
        terms.append((row.tenant, row.sequence, Term("alias", text=row.alias, place=place)))
    _insert_terms(connection, terms, fields)


def _insert_versions(
    connection: sa.Connection, rows: Sequence[sa.Row[Any]], fields: dict[tuple[str, str], int]
) -> None:
    versions, terms, texts = [], [], []
    for row in rows:
        facts = load_facts(row.facts)
        notes = load_notes(row.notes, description=row.description, tags=row.tags)
        versions.append(
            {
                "sequence": row.sequence,
                "version_uid": row.uid,
                "model_uid": row.model_uid,
                "tenant": row.tenant,
                "name": row.name,
                "number": row.number,
                "stage": row.stage,
                "creator": row.created_by[:INDEXED_CHARACTERS],
                "git_commit": facts.provenance.git_commit,
                "run_id": row.run_id,
                "created_at": row.created_at,
                "updated_at": row.updated_at,
                "semantic_version_key": row.semantic_version_key,
                "is_visible": bool(row.is_visible),
            }
        )
        terms += [(row.tenant, row.sequence, term) for term in (*fact_terms(facts), *tag_terms(notes.tags))]
        texts.append(
            {
                "sequence": row.sequence,
                "words": version_words(row.name, notes),
                "model_words": model_words(row.model_description, load(row.model_tags)),
            }
        )
    connection.execute(_insert("search_versions", versions[0]), versions)
    _insert_terms(connection, terms, fields)
    _insert_texts(connection, texts)


def _insert_terms(
    connection: sa.Connection, terms: Sequence[tuple[str, int, Term]], fields: dict[tuple[str, str], int]
) -> None:
    new = list(dict.fromkeys((tenant, term.field) for tenant, _, term in terms if (tenant, term.field) not in fields))
    if new:
        rows = [{"tenant": tenant, "name": name} for tenant, name in new]
        connection.execute(_insert("search_fields", rows[0]), rows)
        known = connection.execute(sa.text("SELECT id, tenant, name FROM search_fields"))
        fields.update({(row.tenant, row.name): row.id for row in known})
    if terms:
        made = [
            {"sequence": sequence, "field_id": fields[tenant, term.field], **term.columns}
            for tenant, sequence, term in terms
        ]
        connection.execute(_insert("search_terms", made[0]), made)


def _insert_texts(connection: sa.Connection, texts: Sequence[Mapping[str, Any]]) -> None:
    columns = ("words", "model_words")
    if connection.dialect.name == "sqlite":
        insert = sa.text(
            "INSERT INTO search_texts (rowid, words, model_words) VALUES (:sequence, :words, :model_words)"
        )
        connection.execute(insert, [{**text, **{name: " ".join(text[name]) for name in columns}} for text in texts])
        return
    table = sa.table("search_texts", *(sa.column(name) for name in ("sequence", *columns)))
    vectors = (sa.func.array_to_tsvector(sa.cast(sa.bindparam(name), ARRAY(sa.Text))) for name in columns)
    row = sa.select(sa.bindparam("sequence", type_=sa.BigInteger), *vectors)
    connection.execute(sa.insert(table).from_select(["sequence", *columns], row), list(texts))


def _insert(table: str, row: Mapping[str, Any]) -> sa.Insert:
    return sa.insert(sa.table(table, *(sa.column(name) for name in row)))
