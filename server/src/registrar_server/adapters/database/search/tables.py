"""The tables that searches read: what the others say about READY versions, in the shape of indexes.

A sequence is that of the event `version.registered`: unique, and in the order of commits.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    true,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from registrar_server.adapters.database.tables import Ordered, Timestamp, Uid, metadata

# SQLite: only a column of this very type is the table's own key.
Sequence = BigInteger().with_variant(Integer(), "sqlite")

search_versions = Table(
    "search_versions",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=False),
    Column("version_uid", Uid, nullable=False),
    Column("model_uid", Uid, nullable=False),
    Column("tenant", String(63), nullable=False),
    Column("name", Ordered, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("creator", Ordered, nullable=False),
    Column("git_commit", Ordered, nullable=False),
    Column("run_id", Ordered, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Column("semantic_version_key", Ordered),
    # Neither the version nor its model is deleted.
    Column("is_visible", Boolean, nullable=False, server_default=true()),
    Index(None, "version_uid", unique=True),
    Index(None, "model_uid", "number", unique=True),
)

ORDERED_COLUMNS = (
    "name",
    "number",
    "stage",
    "creator",
    "git_commit",
    "run_id",
    "created_at",
    "updated_at",
    "semantic_version_key",
)
IS_VISIBLE = search_versions.c.is_visible.is_(True)

for _columns in (("sequence",), *((column, "sequence") for column in ORDERED_COLUMNS)):
    Index(
        None,
        search_versions.c.tenant,
        *(search_versions.c[column] for column in _columns),
        sqlite_where=IS_VISIBLE,
        postgresql_where=IS_VISIBLE,
    )

# Names of properties (`tags.team`) as numbers: they stand in every row and in every index of the terms.
search_fields = Table(
    "search_fields",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("name", Ordered, nullable=False),
    UniqueConstraint("tenant", "name"),
)

search_terms = Table(
    "search_terms",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=False),
    Column("field_id", Integer, primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    # A text is cut to what an index takes; `whole` has what is longer.
    Column("text", Ordered),
    Column("whole", Text),
    Column("number", Double),
    sqlite_with_rowid=False,
)

for _column in (search_terms.c.text, search_terms.c.number):
    Index(
        None,
        search_terms.c.field_id,
        _column,
        search_terms.c.sequence,
        sqlite_where=_column.is_not(None),
        postgresql_where=_column.is_not(None),
    )

# SQLite's is a virtual table (FTS5) whose rowid is the sequence: not one that Alembic can compare.
_texts = MetaData()
search_texts = Table(
    "search_texts",
    _texts,
    Column("sequence", BigInteger, primary_key=True),
    Column("words", TSVECTOR, nullable=False),
    Column("model_words", TSVECTOR, nullable=False),
)
search_texts_sqlite = Table(
    "search_texts",
    MetaData(),
    Column("rowid", Integer, primary_key=True),
    # FTS5's name for all of its columns together.
    Column("search_texts", Text),
    Column("words", Text),
    Column("model_words", Text),
)
