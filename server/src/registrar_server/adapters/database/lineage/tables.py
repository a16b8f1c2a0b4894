"""The tables of lineage, and of metadata schemas. Rows of versions are written with their facts, and never change after."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from registrar_server.adapters.database.tables import Ordered, Timestamp, Uid, metadata, model_versions, tenants

version_origins = Table(
    "version_origins",
    metadata,
    Column("version_uid", Uid, ForeignKey(model_versions.c.uid), primary_key=True),
    Column("tenant", String(63), nullable=False),
    # Maybe of another tenant's model. NULL: it has none.
    Column("parent_uid", Uid),
    # The run that the version names; empty: none, whatever run its metrics live on.
    Column("run_id", Ordered, nullable=False),
    Column("git_commit", Text, nullable=False),
    # The version's own, so that an index has the newest first.
    Column("created_at", Timestamp, nullable=False),
    Index(None, "parent_uid", "created_at", "version_uid"),
    Index(None, "tenant", "run_id", "created_at", "version_uid"),
)

version_datasets = Table(
    "version_datasets",
    metadata,
    Column("version_uid", Uid, ForeignKey(model_versions.c.uid), primary_key=True),
    Column("role", String(16), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("tenant", String(63), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("name", Text, nullable=False),
    Column("uri", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("version", Text, nullable=False),
    # Which data it is, and where; see domain/lineage.py. The second is empty where no address is known.
    Column("key", String(64), nullable=False),
    Column("uri_key", String(64), nullable=False),
    Index(None, "tenant", "key", "created_at", "version_uid"),
    Index(None, "tenant", "uri_key", "key", "created_at"),
)

metadata_schemas = Table(
    "metadata_schemas",
    metadata,
    Column("tenant", String(63), ForeignKey(tenants.c.name), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("fields", Text, nullable=False),
    Column("updated_by", Text, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)
