"""semantic version keys."""

import sqlalchemy as sa
from alembic import op

from registrar_server.domain.semantic_versions import SEMANTIC_VERSION, SemanticVersion

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_versions = sa.table(
    "model_versions",
    sa.column("uid", sa.String),
    sa.column("semantic_version", sa.Text),
    sa.column("semantic_version_key", sa.Text),
)


def upgrade() -> None:
    """To this revision."""
    op.add_column(
        "model_versions",
        sa.Column("semantic_version_key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=True),
    )
    op.create_index(
        op.f("ix_model_versions_model_uid_semantic_version_key"),
        "model_versions",
        ["model_uid", "semantic_version_key"],
        unique=False,
    )
    _fill(op.get_bind())


def downgrade() -> None:
    """Back to the one before."""
    op.drop_index(op.f("ix_model_versions_model_uid_semantic_version_key"), table_name="model_versions")
    op.drop_column("model_versions", "semantic_version_key")


def _fill(connection: sa.Connection) -> None:
    named = sa.select(_versions.c.uid, _versions.c.semantic_version).where(_versions.c.semantic_version.is_not(None))
    keys = [
        {"of": row.uid, "key": SemanticVersion.parse(row.semantic_version).key}
        for row in connection.execute(named)
        # The version before let digits of other scripts in; those stay without a key, and no range finds them.
        if SEMANTIC_VERSION.fullmatch(row.semantic_version)
    ]
    if keys:
        statement = sa.update(_versions).where(_versions.c.uid == sa.bindparam("of"))
        connection.execute(statement.values(semantic_version_key=sa.bindparam("key")), keys)
