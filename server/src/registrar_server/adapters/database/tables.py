"""The tables. Times are microseconds since 1970 in UTC; documents are JSON text that no statement looks into.

Text and not JSONB for documents: PostgreSQL's would turn the double 1e20 into an integer.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Timestamp(TypeDecorator[datetime]):
    """An aware time as whole microseconds: exact, ordered, and the same in both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """To microseconds."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """From microseconds."""
        return time_of(value)


def time_of(microseconds: int | None) -> datetime | None:
    """The time that a column of kind `Timestamp` holds."""
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


# Ordered by UTF-8 bytes in both: SQLite compares so by itself, PostgreSQL by the collation "C" only.
Ordered = Text().with_variant(Text(collation="C"), "postgresql")
Uid = String(32)

tenants = Table(
    "tenants",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("audit_position", BigInteger, nullable=False, server_default=text("0")),
    # Hash of the last entry, and the peaks of the Merkle tree over all of them: hex, with commas between.
    Column("audit_hash", String(64), nullable=False, server_default=""),
    Column("audit_peaks", Text, nullable=False, server_default=""),
    Column("created_at", Timestamp, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    Column("suspended_at", Timestamp),
    Column("deleted_at", Timestamp),
    Column("purge_at", Timestamp),
    Column("quota_models", BigInteger),
    Column("quota_versions", BigInteger),
    Column("quota_bytes", BigInteger),
    Column("quota_transfers", BigInteger),
    # Since when MLflow knows the tenant.
    Column("workspace_at", Timestamp),
)
"""One row for each tenant, and the row `*`, which holds the audit of what concerns all of them."""

roles = Table(
    "roles",
    metadata,
    Column("tenant", String(63), ForeignKey(tenants.c.name), primary_key=True),
    Column("name", Ordered, primary_key=True),
    Column("description", Text, nullable=False),
    Column("grants", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
)

role_bindings = Table(
    "role_bindings",
    metadata,
    Column("id", Uid, primary_key=True),
    Column("tenant", String(63), ForeignKey(tenants.c.name), nullable=False),
    Column("role", Ordered, nullable=False),
    Column("member", Ordered, nullable=False, index=True),
    Column("model_pattern", Ordered, nullable=False),
    Column("expires_at", Timestamp),
    Column("comment", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    UniqueConstraint("tenant", "role", "member", "model_pattern"),
    Index(None, "tenant", "created_at", "id"),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Uid, primary_key=True),
    Column("tenant", String(63), ForeignKey(tenants.c.name), nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Ordered, nullable=False),
    Column("model_pattern", Text, nullable=False),
    Column("description", Text, nullable=False),
    # SHA-256 of the secret, in hex. The secret itself is nowhere.
    Column("digest", String(64), nullable=False, unique=True),
    Column("expires_at", Timestamp, nullable=False),
    Column("revoked_at", Timestamp),
    Column("created_by", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("last_used_at", Timestamp),
    Index(None, "tenant", "created_at", "id"),
)

session_cutoffs = Table(
    "session_cutoffs",
    metadata,
    Column("member", Ordered, primary_key=True),
    Column("not_before", Timestamp, nullable=False),
)

transfers = Table(
    "transfers",
    metadata,
    Column("id", Uid, primary_key=True),
    Column("tenant", String(63), nullable=False, index=True),
    Column("until", Timestamp, nullable=False),
)
"""Streams under way of tenants with a quota of them; one that says nothing until then is over."""

counters = Table(
    "counters",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("uid", Uid, primary_key=True),
    Column("tenant", String(63), ForeignKey(tenants.c.name), nullable=False),
    Column("name", Ordered, nullable=False),
    Column("is_reserved", Boolean, nullable=False, server_default=false()),
    Column("description", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("metric_goals", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Column("deleted_at", Timestamp),
    Column("purge_at", Timestamp),
    UniqueConstraint("tenant", "name"),
)

WRITING, CLEARING, COMMITTED = "writing", "clearing", "committed"
"""States of a bundle."""

bundles = Table(
    "bundles",
    metadata,
    Column("uid", Uid, primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("model_uid", Uid, ForeignKey(models.c.uid), nullable=False),
    Column("manifest_digest", String(71), nullable=False),
    Column("state", String(16), nullable=False),
    Column("claimed_until", Timestamp),
    Column("prefix", Text, nullable=False),
    Column("uri", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("file_count", Integer, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Timestamp),
    Column("verified_at", Timestamp),
    Column("wipes", Integer, nullable=False, server_default=text("0")),
    Column("writer_epoch", BigInteger, nullable=False, server_default=text("0")),
    Column("opened_at", Timestamp),
    UniqueConstraint("model_uid", "manifest_digest"),
    Index(None, "state", "claimed_until"),
    # All that it takes to add up what a tenant holds.
    Index(None, "tenant", "state", "size_bytes"),
)

bundle_files = Table(
    "bundle_files",
    metadata,
    Column("bundle_uid", Uid, ForeignKey(bundles.c.uid), primary_key=True),
    Column("path", Ordered, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("type", Integer, nullable=False),
    Index(None, "sha256"),
)

upload_files = Table(
    "upload_files",
    metadata,
    Column("bundle_uid", Uid, ForeignKey(bundles.c.uid), primary_key=True),
    Column("file", Integer, primary_key=True, autoincrement=False),
    Column("path", Ordered, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("type", Integer, nullable=False),
    Column("part_size_bytes", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("store_upload_id", Text, nullable=False),
    Column("source_key", Text, nullable=False),
    Column("failure", Text, nullable=False, server_default=""),
    # Set while the file is to be copied or verified, and only then.
    Column("due_at", Timestamp, index=True),
    Column("lease_holder", String(64)),
    Column("leased_until", Timestamp),
)

upload_parts = Table(
    "upload_parts",
    metadata,
    Column("bundle_uid", Uid, primary_key=True),
    Column("file", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("etag", Text),
    ForeignKeyConstraint(["bundle_uid", "file"], [upload_files.c.bundle_uid, upload_files.c.file]),
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("uid", Uid, primary_key=True),
    Column("model_uid", Uid, ForeignKey(models.c.uid), nullable=False),
    Column("number", BigInteger),
    Column("state", String(16), nullable=False),
    Column("failure_reason", String(64), nullable=False, server_default=""),
    Column("failure", Text, nullable=False, server_default=""),
    Column("stage", String(16), nullable=False),
    Column("stage_at", Timestamp, nullable=False),
    Column("exclusive_stage", String(16)),
    Column("semantic_version", Text),
    # Ordered as semver.org says; see domain/semantic_versions.py.
    Column("semantic_version_key", Ordered),
    Column("facts", Text, nullable=False),
    Column("content_digest", String(64), nullable=False),
    Column("description", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("notes", Text, nullable=False),
    Column("bundle_uid", Uid, ForeignKey(bundles.c.uid)),
    Column("artifact_uri", Text, nullable=False),
    Column("manifest_digest", String(71), nullable=False),
    Column("run_id", String(64), nullable=False),
    # Of the latest approval, in short; see governance/approvals.py.
    Column("approval", Text),
    Column("revision", Integer, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Column("deleted_at", Timestamp),
    Column("purge_at", Timestamp),
    UniqueConstraint("model_uid", "number"),
    UniqueConstraint("model_uid", "semantic_version"),
    # The database's own word that a stage has one holder, whatever the code above it does.
    UniqueConstraint("model_uid", "exclusive_stage"),
    Index(None, "model_uid", "stage", "number"),
    Index(None, "model_uid", "content_digest"),
    Index(None, "model_uid", "semantic_version_key"),
)

registrations = Table(
    "registrations",
    metadata,
    Column("version_uid", Uid, ForeignKey(model_versions.c.uid), primary_key=True),
    Column("model_uid", Uid, nullable=False, index=True),
    Column("run_artifact", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_at", Timestamp, nullable=False, index=True),
    Column("lease_holder", String(64)),
    Column("leased_until", Timestamp),
    Column("failure_reason", String(64), nullable=False, server_default=""),
    Column("failure", Text, nullable=False, server_default=""),
    Column("created_at", Timestamp, nullable=False),
)

aliases = Table(
    "aliases",
    metadata,
    Column("model_uid", Uid, ForeignKey(models.c.uid), primary_key=True),
    Column("alias", Ordered, primary_key=True),
    Column("version_uid", Uid, ForeignKey(model_versions.c.uid), nullable=False, index=True),
    Column("number", BigInteger, nullable=False),
)

alias_moves = Table(
    "alias_moves",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("model_uid", Uid, ForeignKey(models.c.uid), nullable=False),
    Column("alias", Ordered, nullable=False),
    Column("from_number", BigInteger, nullable=False),
    Column("to_number", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("moved_at", Timestamp, nullable=False),
    Column("is_break_glass", Boolean, nullable=False, server_default=false()),
    Column("approval_id", Uid, nullable=False, server_default=""),
    Index(None, "model_uid", "sequence"),
    Index(None, "model_uid", "alias", "sequence"),
)

transitions = Table(
    "transitions",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("model_uid", Uid, ForeignKey(models.c.uid), nullable=False),
    Column("version_uid", Uid, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("from_stage", String(16), nullable=False),
    Column("to_stage", String(16), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("actor", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("caused_by", BigInteger, nullable=False),
    Column("moved_at", Timestamp, nullable=False),
    Column("is_break_glass", Boolean, nullable=False, server_default=false()),
    Column("approval_id", Uid, nullable=False, server_default=""),
    Index(None, "model_uid", "sequence", "place"),
    Index(None, "model_uid", "number", "sequence", "place"),
)

requests = Table(
    "requests",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("actor", Text, primary_key=True),
    Column("rpc", String(64), primary_key=True),
    Column("request_id", String(128), primary_key=True),
    Column("body_digest", String(64), nullable=False),
    Column("answer", LargeBinary),
    Column("version_uid", Uid),
    Column("created_at", Timestamp, nullable=False, index=True),
)

events = Table(
    "events",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("tenant", String(63), nullable=False),
    Column("type", String(64), nullable=False),
    Column("model_uid", Uid, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("version_uid", Uid, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("alias", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("recorded_at", Timestamp, nullable=False),
    Index(None, "model_uid", "sequence"),
    Index(None, "version_uid", "sequence"),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("tenant", String(63), ForeignKey(tenants.c.name), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("event_sequence", BigInteger, nullable=False),
    Column("recorded_at", Timestamp, nullable=False),
    Column("actor", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("action", String(64), nullable=False),
    Column("model_uid", Uid, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("version_uid", Uid, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("alias", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("hash", String(64), nullable=False, server_default=""),
    Column("outcome", String(16), nullable=False, server_default="done"),
    Column("reason", String(64), nullable=False, server_default=""),
    Index(None, "model_uid", "position"),
)

audit_nodes = Table(
    "audit_nodes",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
)
"""Complete nodes of the Merkle trees above the entries, whose hashes are their leaves; see domain/merkle.py."""

mirror = Table(
    "mirror",
    metadata,
    Column("model_uid", Uid, ForeignKey(models.c.uid), primary_key=True),
    Column("is_pending", Boolean, nullable=False),
    Column("first_pending_sequence", BigInteger, nullable=False),
    Column("wanted_sequence", BigInteger, nullable=False),
    Column("mirrored_sequence", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Timestamp, nullable=False),
    Column("lease_holder", String(64)),
    Column("leased_until", Timestamp),
    Column("failure_reason", String(64), nullable=False),
    Index(None, "is_pending", "next_attempt_at"),
    Index(None, "is_pending", "first_pending_sequence"),
)
