"""The tables of policies, approvals, comments and checks. Rows are only added, but for what marks their end."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, String, Table, Text

from registrar_server.adapters.database.tables import (
    Ordered,
    Timestamp,
    Uid,
    metadata,
    model_versions,
    models,
    tenants,
)

policies = Table(
    "policies",
    metadata,
    Column("tenant", String(63), ForeignKey(tenants.c.name), primary_key=True),
    Column("name", Ordered, primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("description", Text, nullable=False),
    # Scope and rules; see domain/policy_documents.py.
    Column("document", Text, nullable=False),
    Column("updated_by", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    # Of the event that made it, and of the one that ended it: the next revision's, or the deletion's.
    Column("sequence", BigInteger, nullable=False),
    Column("ended_sequence", BigInteger),
    Column("deleted_at", Timestamp),
    Index(None, "tenant", "ended_sequence", "name"),
)
"""One row for each revision of a policy."""

approvals = Table(
    "approvals",
    metadata,
    Column("id", Uid, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("tenant", String(63), ForeignKey(tenants.c.name), nullable=False),
    Column("model_uid", Uid, ForeignKey(models.c.uid), nullable=False),
    Column("version_uid", Uid, ForeignKey(model_versions.c.uid), nullable=False),
    Column("number", BigInteger, nullable=False),
    # One of the two; the other is empty.
    Column("stage", String(16), nullable=False),
    Column("alias", Ordered, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", Timestamp, nullable=False),
    Column("comment", Text, nullable=False),
    Column("binding", Text, nullable=False),
    Column("requirements", Text, nullable=False),
    # What follows from decisions and ends now: roles as `,risk-officer,legal,`.
    Column("is_open", Boolean, nullable=False),
    Column("awaiting", Text, nullable=False),
    Index(None, "tenant", "sequence"),
    Index(None, "tenant", "is_open", "sequence"),
    Index(None, "model_uid", "sequence"),
    Index(None, "version_uid", "sequence"),
)
"""Requests. They, their decisions and their ends are only added."""

approval_decisions = Table(
    "approval_decisions",
    metadata,
    Column("approval_id", Uid, ForeignKey(approvals.c.id), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("approver", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("decision", String(16), nullable=False),
    Column("notes", Text, nullable=False),
    Column("method", String(16), nullable=False),
    Column("decided_at", Timestamp, nullable=False),
)

approval_ends = Table(
    "approval_ends",
    metadata,
    Column("approval_id", Uid, ForeignKey(approvals.c.id), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
)
"""By what an approval ended that was not rejected: `withdrawn` or `used`."""

comments = Table(
    "comments",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Uid, nullable=False, unique=True),
    Column("model_uid", Uid, ForeignKey(models.c.uid), nullable=False),
    Column("version_uid", Uid, ForeignKey(model_versions.c.uid), nullable=False),
    Column("text", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("reply_to", String(32), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Index(None, "model_uid", "sequence"),
    Index(None, "version_uid", "sequence"),
)

check_results = Table(
    "check_results",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("model_uid", Uid, ForeignKey(models.c.uid), nullable=False),
    Column("version_uid", Uid, ForeignKey(model_versions.c.uid), nullable=False),
    Column("name", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("summary", Text, nullable=False),
    Column("details_uri", Text, nullable=False),
    Column("reported_by", Text, nullable=False),
    Column("reported_at", Timestamp, nullable=False),
    Column("manifest_digest", String(71), nullable=False),
    Index(None, "version_uid", "sequence"),
)
"""What checks found; of a name and a manifest the last one counts."""
