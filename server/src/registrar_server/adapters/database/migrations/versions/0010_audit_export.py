"""what of the audit is exported."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_HASH = sa.String(length=64)


def upgrade() -> None:
    """To this revision. The first export has all that is there."""
    op.create_table(
        "audit_exports",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("last_hash", _HASH, nullable=False),
        sa.Column("root_hash", _HASH, nullable=False),
        sa.Column("target", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("exported_at", sa.BigInteger()),
        sa.Column("lease_holder", sa.String(length=64)),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name="fk_audit_exports_tenant"),
        sa.PrimaryKeyConstraint("tenant", name="pk_audit_exports"),
    )


def downgrade() -> None:
    """Back to the one before. What was exported stays in the store; a later upgrade finds it there."""
    op.drop_table("audit_exports")
