"""upload sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.add_column("bundles", sa.Column("wipes", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("bundles", sa.Column("writer_epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("bundles", sa.Column("opened_at", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_bundle_files_sha256"), "bundle_files", ["sha256"], unique=False)

    op.create_table(
        "upload_files",
        sa.Column("bundle_uid", sa.String(length=32), nullable=False),
        sa.Column("file", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("path", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("type", sa.Integer(), nullable=False),
        sa.Column("part_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("store_upload_id", sa.Text(), nullable=False),
        sa.Column("source_key", sa.Text(), nullable=False),
        sa.Column("failure", sa.Text(), server_default="", nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("lease_holder", sa.String(length=64), nullable=True),
        sa.Column("leased_until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["bundle_uid"], ["bundles.uid"], name=op.f("fk_upload_files_bundle_uid")),
        sa.PrimaryKeyConstraint("bundle_uid", "file", name=op.f("pk_upload_files")),
    )
    op.create_index(op.f("ix_upload_files_due_at"), "upload_files", ["due_at"], unique=False)

    op.create_table(
        "upload_parts",
        sa.Column("bundle_uid", sa.String(length=32), nullable=False),
        sa.Column("file", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["bundle_uid", "file"],
            ["upload_files.bundle_uid", "upload_files.file"],
            name=op.f("fk_upload_parts_bundle_uid_file"),
        ),
        sa.PrimaryKeyConstraint("bundle_uid", "file", "number", name=op.f("pk_upload_parts")),
    )


def downgrade() -> None:
    """Back to the one before."""
    op.drop_table("upload_parts")
    op.drop_index(op.f("ix_upload_files_due_at"), table_name="upload_files")
    op.drop_table("upload_files")
    op.drop_index(op.f("ix_bundle_files_sha256"), table_name="bundle_files")
    for column in ("opened_at", "writer_epoch", "wipes"):
        op.drop_column("bundles", column)
