"""the first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "events",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("model_uid", sa.String(length=32), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("version_uid", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_model_uid_sequence"), "events", ["model_uid", "sequence"], unique=False)
    op.create_index(op.f("ix_events_version_uid_sequence"), "events", ["version_uid", "sequence"], unique=False)

    op.create_table(
        "requests",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("rpc", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("body_digest", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("version_uid", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "actor", "rpc", "request_id", name=op.f("pk_requests")),
    )
    op.create_index(op.f("ix_requests_created_at"), "requests", ["created_at"], unique=False)

    op.create_table(
        "tenants",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("audit_position", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tenants")),
    )
    op.create_table(
        "audit_entries",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_sequence", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("model_uid", sa.String(length=32), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("version_uid", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_audit_entries_tenant")),
        sa.PrimaryKeyConstraint("tenant", "position", name=op.f("pk_audit_entries")),
    )
    op.create_index(
        op.f("ix_audit_entries_model_uid_position"), "audit_entries", ["model_uid", "position"], unique=False
    )

    op.create_table(
        "models",
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("is_reserved", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("metric_goals", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("purge_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_models_tenant")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_models")),
        sa.UniqueConstraint("tenant", "name", name=op.f("uq_models_tenant_name")),
    )
    op.create_table(
        "alias_moves",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("model_uid", sa.String(length=32), nullable=False),
        sa.Column("alias", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("from_number", sa.BigInteger(), nullable=False),
        sa.Column("to_number", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model_uid"], ["models.uid"], name=op.f("fk_alias_moves_model_uid")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_alias_moves")),
    )
    op.create_index(
        op.f("ix_alias_moves_model_uid_alias_sequence"), "alias_moves", ["model_uid", "alias", "sequence"], unique=False
    )
    op.create_index(op.f("ix_alias_moves_model_uid_sequence"), "alias_moves", ["model_uid", "sequence"], unique=False)

    op.create_table(
        "bundles",
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("model_uid", sa.String(length=32), nullable=False),
        sa.Column("manifest_digest", sa.String(length=71), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("claimed_until", sa.BigInteger(), nullable=True),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("file_count", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=True),
        sa.Column("verified_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["model_uid"], ["models.uid"], name=op.f("fk_bundles_model_uid")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_bundles")),
        sa.UniqueConstraint("model_uid", "manifest_digest", name=op.f("uq_bundles_model_uid_manifest_digest")),
    )
    op.create_index(op.f("ix_bundles_state_claimed_until"), "bundles", ["state", "claimed_until"], unique=False)

    op.create_table(
        "mirror",
        sa.Column("model_uid", sa.String(length=32), nullable=False),
        sa.Column("is_pending", sa.Boolean(), nullable=False),
        sa.Column("first_pending_sequence", sa.BigInteger(), nullable=False),
        sa.Column("wanted_sequence", sa.BigInteger(), nullable=False),
        sa.Column("mirrored_sequence", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_holder", sa.String(length=64), nullable=True),
        sa.Column("leased_until", sa.BigInteger(), nullable=True),
        sa.Column("failure_reason", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["model_uid"], ["models.uid"], name=op.f("fk_mirror_model_uid")),
        sa.PrimaryKeyConstraint("model_uid", name=op.f("pk_mirror")),
    )
    op.create_index(
        op.f("ix_mirror_is_pending_first_pending_sequence"),
        "mirror",
        ["is_pending", "first_pending_sequence"],
        unique=False,
    )
    op.create_index(
        op.f("ix_mirror_is_pending_next_attempt_at"), "mirror", ["is_pending", "next_attempt_at"], unique=False
    )

    op.create_table(
        "transitions",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model_uid", sa.String(length=32), nullable=False),
        sa.Column("version_uid", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("from_stage", sa.String(length=16), nullable=False),
        sa.Column("to_stage", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("caused_by", sa.BigInteger(), nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model_uid"], ["models.uid"], name=op.f("fk_transitions_model_uid")),
        sa.PrimaryKeyConstraint("sequence", "place", name=op.f("pk_transitions")),
    )
    op.create_index(
        op.f("ix_transitions_model_uid_number_sequence_place"),
        "transitions",
        ["model_uid", "number", "sequence", "place"],
        unique=False,
    )
    op.create_index(
        op.f("ix_transitions_model_uid_sequence_place"), "transitions", ["model_uid", "sequence", "place"], unique=False
    )

    op.create_table(
        "bundle_files",
        sa.Column("bundle_uid", sa.String(length=32), nullable=False),
        sa.Column("path", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("type", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["bundle_uid"], ["bundles.uid"], name=op.f("fk_bundle_files_bundle_uid")),
        sa.PrimaryKeyConstraint("bundle_uid", "path", name=op.f("pk_bundle_files")),
    )
    op.create_table(
        "model_versions",
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("model_uid", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("failure_reason", sa.String(length=64), server_default="", nullable=False),
        sa.Column("failure", sa.Text(), server_default="", nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("stage_at", sa.BigInteger(), nullable=False),
        sa.Column("exclusive_stage", sa.String(length=16), nullable=True),
        sa.Column("semantic_version", sa.Text(), nullable=True),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("content_digest", sa.String(length=64), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("bundle_uid", sa.String(length=32), nullable=True),
        sa.Column("artifact_uri", sa.Text(), nullable=False),
        sa.Column("manifest_digest", sa.String(length=71), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("purge_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["bundle_uid"], ["bundles.uid"], name=op.f("fk_model_versions_bundle_uid")),
        sa.ForeignKeyConstraint(["model_uid"], ["models.uid"], name=op.f("fk_model_versions_model_uid")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_model_versions")),
        sa.UniqueConstraint("model_uid", "exclusive_stage", name=op.f("uq_model_versions_model_uid_exclusive_stage")),
        sa.UniqueConstraint("model_uid", "number", name=op.f("uq_model_versions_model_uid_number")),
        sa.UniqueConstraint("model_uid", "semantic_version", name=op.f("uq_model_versions_model_uid_semantic_version")),
    )
    op.create_index(
        op.f("ix_model_versions_model_uid_content_digest"),
        "model_versions",
        ["model_uid", "content_digest"],
        unique=False,
    )
    op.create_index(
        op.f("ix_model_versions_model_uid_stage_number"),
        "model_versions",
        ["model_uid", "stage", "number"],
        unique=False,
    )

    op.create_table(
        "aliases",
        sa.Column("model_uid", sa.String(length=32), nullable=False),
        sa.Column("alias", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("version_uid", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model_uid"], ["models.uid"], name=op.f("fk_aliases_model_uid")),
        sa.ForeignKeyConstraint(["version_uid"], ["model_versions.uid"], name=op.f("fk_aliases_version_uid")),
        sa.PrimaryKeyConstraint("model_uid", "alias", name=op.f("pk_aliases")),
    )
    op.create_index(op.f("ix_aliases_version_uid"), "aliases", ["version_uid"], unique=False)

    op.create_table(
        "registrations",
        sa.Column("version_uid", sa.String(length=32), nullable=False),
        sa.Column("model_uid", sa.String(length=32), nullable=False),
        sa.Column("run_artifact", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_holder", sa.String(length=64), nullable=True),
        sa.Column("leased_until", sa.BigInteger(), nullable=True),
        sa.Column("failure_reason", sa.String(length=64), server_default="", nullable=False),
        sa.Column("failure", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["version_uid"], ["model_versions.uid"], name=op.f("fk_registrations_version_uid")),
        sa.PrimaryKeyConstraint("version_uid", name=op.f("pk_registrations")),
    )
    op.create_index(op.f("ix_registrations_model_uid"), "registrations", ["model_uid"], unique=False)
    op.create_index(op.f("ix_registrations_next_attempt_at"), "registrations", ["next_attempt_at"], unique=False)


def downgrade() -> None:
    """Back to the one before."""
    op.drop_index(op.f("ix_registrations_next_attempt_at"), table_name="registrations")
    op.drop_index(op.f("ix_registrations_model_uid"), table_name="registrations")

    op.drop_table("registrations")
    op.drop_index(op.f("ix_aliases_version_uid"), table_name="aliases")

    op.drop_table("aliases")
    op.drop_index(op.f("ix_model_versions_model_uid_stage_number"), table_name="model_versions")
    op.drop_index(op.f("ix_model_versions_model_uid_content_digest"), table_name="model_versions")

    op.drop_table("model_versions")
    op.drop_table("bundle_files")
    op.drop_index(op.f("ix_transitions_model_uid_sequence_place"), table_name="transitions")
    op.drop_index(op.f("ix_transitions_model_uid_number_sequence_place"), table_name="transitions")

    op.drop_table("transitions")
    op.drop_index(op.f("ix_mirror_is_pending_next_attempt_at"), table_name="mirror")
    op.drop_index(op.f("ix_mirror_is_pending_first_pending_sequence"), table_name="mirror")

    op.drop_table("mirror")
    op.drop_index(op.f("ix_bundles_state_claimed_until"), table_name="bundles")

    op.drop_table("bundles")
    op.drop_index(op.f("ix_alias_moves_model_uid_sequence"), table_name="alias_moves")
    op.drop_index(op.f("ix_alias_moves_model_uid_alias_sequence"), table_name="alias_moves")

    op.drop_table("alias_moves")
    op.drop_table("models")
    op.drop_index(op.f("ix_audit_entries_model_uid_position"), table_name="audit_entries")

    op.drop_table("audit_entries")
    op.drop_table("tenants")
    op.drop_index(op.f("ix_requests_created_at"), table_name="requests")

    op.drop_table("requests")
    op.drop_index(op.f("ix_events_version_uid_sequence"), table_name="events")
    op.drop_index(op.f("ix_events_model_uid_sequence"), table_name="events")

    op.drop_table("events")
    op.drop_table("counters")
