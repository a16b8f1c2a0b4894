"""policies, approvals, comments and checks."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_UID = sa.String(length=32)
_MOVES = ("transitions", "alias_moves")


def upgrade() -> None:
    """To this revision."""
    _add_policies()
    _add_approvals()
    _add_reviews()


def downgrade() -> None:
    """Back to the one before."""
    _drop_reviews()
    _drop_approvals()
    _drop_policies()


def _add_policies() -> None:
    op.create_table(
        "policies",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", _ORDERED, nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("ended_sequence", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_policies_tenant")),
        sa.PrimaryKeyConstraint("tenant", "name", "revision", name=op.f("pk_policies")),
    )
    columns = ["tenant", "ended_sequence", "name"]
    op.create_index(op.f("ix_policies_tenant_ended_sequence_name"), "policies", columns)
    for table in _MOVES:
        op.add_column(table, sa.Column("is_break_glass", sa.Boolean(), server_default=sa.false(), nullable=False))
        op.add_column(table, sa.Column("approval_id", sa.String(length=32), server_default="", nullable=False))


def _drop_policies() -> None:
    for table in _MOVES:
        op.drop_column(table, "approval_id")
        op.drop_column(table, "is_break_glass")
    op.drop_table("policies")


def _add_approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", _UID, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("model_uid", _UID, nullable=False),
        sa.Column("version_uid", _UID, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("alias", _ORDERED, nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("binding", sa.Text(), nullable=False),
        sa.Column("requirements", sa.Text(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("awaiting", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_approvals_tenant_tenants")),
        sa.ForeignKeyConstraint(["model_uid"], ["models.uid"], name=op.f("fk_approvals_model_uid_models")),
        sa.ForeignKeyConstraint(
            ["version_uid"], ["model_versions.uid"], name=op.f("fk_approvals_version_uid_model_versions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    for columns in (["tenant"], ["tenant", "is_open"], ["model_uid"], ["version_uid"]):
        name = op.f(f"ix_approvals_{'_'.join(columns)}_sequence")
        op.create_index(name, "approvals", [*columns, "sequence"])
    op.create_table(
        "approval_decisions",
        sa.Column("approval_id", _UID, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("approver", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("method", sa.String(length=16), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approvals.id"], name=op.f("fk_approval_decisions_approval_id_approvals")
        ),
        sa.PrimaryKeyConstraint("approval_id", "sequence", name=op.f("pk_approval_decisions")),
    )
    op.create_table(
        "approval_ends",
        sa.Column("approval_id", _UID, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["approval_id"], ["approvals.id"], name=op.f("fk_approval_ends_approval_id_approvals")),
        sa.PrimaryKeyConstraint("approval_id", name=op.f("pk_approval_ends")),
    )
    op.add_column("model_versions", sa.Column("approval", sa.Text(), nullable=True))


def _drop_approvals() -> None:
    op.drop_column("model_versions", "approval")
    for table in ("approval_ends", "approval_decisions", "approvals"):
        op.drop_table(table)


def _add_reviews() -> None:
    op.create_table(
        "comments",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", _UID, nullable=False),
        sa.Column("model_uid", _UID, nullable=False),
        sa.Column("version_uid", _UID, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("reply_to", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model_uid"], ["models.uid"], name=op.f("fk_comments_model_uid_models")),
        sa.ForeignKeyConstraint(
            ["version_uid"], ["model_versions.uid"], name=op.f("fk_comments_version_uid_model_versions")
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_comments")),
        sa.UniqueConstraint("id", name=op.f("uq_comments_id")),
    )
    for column in ("model_uid", "version_uid"):
        op.create_index(op.f(f"ix_comments_{column}_sequence"), "comments", [column, "sequence"])
    op.create_table(
        "check_results",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("model_uid", _UID, nullable=False),
        sa.Column("version_uid", _UID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("details_uri", sa.Text(), nullable=False),
        sa.Column("reported_by", sa.Text(), nullable=False),
        sa.Column("reported_at", sa.BigInteger(), nullable=False),
        sa.Column("manifest_digest", sa.String(length=71), nullable=False),
        sa.ForeignKeyConstraint(["model_uid"], ["models.uid"], name=op.f("fk_check_results_model_uid_models")),
        sa.ForeignKeyConstraint(
            ["version_uid"], ["model_versions.uid"], name=op.f("fk_check_results_version_uid_model_versions")
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_check_results")),
    )
    columns = ["version_uid", "sequence"]
    op.create_index(op.f("ix_check_results_version_uid_sequence"), "check_results", columns)


def _drop_reviews() -> None:
    op.drop_table("check_results")
    op.drop_table("comments")
