"""access."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_TIMES = ("suspended_at", "deleted_at", "purge_at", "workspace_at")
_QUOTAS = ("quota_models", "quota_versions", "quota_bytes", "quota_transfers")
_BYTES_INDEX = "ix_bundles_tenant_state_size_bytes"


def upgrade() -> None:
    """To this revision."""
    op.add_column("tenants", sa.Column("description", sa.Text(), server_default="", nullable=False))
    op.add_column("tenants", sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False))
    for name in (*_TIMES, *_QUOTAS):
        op.add_column("tenants", sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_index(op.f(_BYTES_INDEX), "bundles", ["tenant", "state", "size_bytes"], unique=False)
    _create_roles()
    _create_tokens()
    op.create_table(
        "session_cutoffs",
        sa.Column("member", _ORDERED, nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("member", name=op.f("pk_session_cutoffs")),
    )
    op.create_table(
        "transfers",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
    )
    op.create_index(op.f("ix_transfers_tenant"), "transfers", ["tenant"], unique=False)


def downgrade() -> None:
    """Back to the one before. The tenant `*` stays: it has an audit, which nothing removes."""
    for table in ("transfers", "session_cutoffs", "api_tokens", "role_bindings", "roles"):
        op.drop_table(table)
    op.drop_index(op.f(_BYTES_INDEX), table_name="bundles")
    for name in (*_QUOTAS, *_TIMES, "revision", "description"):
        op.drop_column("tenants", name)


def _create_roles() -> None:
    op.create_table(
        "roles",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", _ORDERED, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("grants", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_roles_tenant")),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_roles")),
    )
    op.create_table(
        "role_bindings",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("role", _ORDERED, nullable=False),
        sa.Column("member", _ORDERED, nullable=False),
        sa.Column("model_pattern", _ORDERED, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_role_bindings_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role_bindings")),
        sa.UniqueConstraint(
            "tenant", "role", "member", "model_pattern", name=op.f("uq_role_bindings_tenant_role_member_model_pattern")
        ),
    )
    op.create_index(op.f("ix_role_bindings_member"), "role_bindings", ["member"], unique=False)
    op.create_index(
        op.f("ix_role_bindings_tenant_created_at_id"), "role_bindings", ["tenant", "created_at", "id"], unique=False
    )


def _create_tokens() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", _ORDERED, nullable=False),
        sa.Column("model_pattern", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_api_tokens_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_tokens_digest")),
    )
    op.create_index(
        op.f("ix_api_tokens_tenant_created_at_id"), "api_tokens", ["tenant", "created_at", "id"], unique=False
    )
