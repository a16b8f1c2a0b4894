"""model cards."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_UID = sa.String(length=32)


def upgrade() -> None:
    """To this revision. Versions that are there get no card: what was said of them is as it was."""
    op.create_table(
        "model_cards",
        sa.Column("version_uid", _UID, nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("sections", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("is_prefilled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("stored_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["version_uid"], ["model_versions.uid"], name=op.f("fk_model_cards_version_uid")),
        sa.PrimaryKeyConstraint("version_uid", "revision", name=op.f("pk_model_cards")),
    )
    is_unstored = sa.text("stored_at IS NULL")
    op.create_index(
        op.f("ix_model_cards_sequence"),
        "model_cards",
        ["sequence"],
        sqlite_where=is_unstored,
        postgresql_where=is_unstored,
    )


def downgrade() -> None:
    """Back to the one before."""
    op.drop_table("model_cards")
