"""lineage and metadata schemas."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from registrar_server.adapters.database.documents import load_facts
from registrar_server.adapters.database.lineage.rows import dataset_rows, origin_row
from registrar_server.adapters.database.search.terms import PROVENANCE_FIELDS, Term, parent_term, provenance_terms
from registrar_server.domain.values import ByAlias, ByNumber, BySemanticVersion, ByStage, ByUid, VersionRef

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ROWS_AT_ONCE = 500
_ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "version_origins",
        sa.Column("version_uid", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("parent_uid", sa.String(length=32), nullable=True),
        sa.Column("run_id", _ORDERED, nullable=False),
        sa.Column("git_commit", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["version_uid"], ["model_versions.uid"], name=op.f("fk_version_origins_version_uid")),
        sa.PrimaryKeyConstraint("version_uid", name=op.f("pk_version_origins")),
    )
    op.create_table(
        "version_datasets",
        sa.Column("version_uid", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("uri_key", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["version_uid"], ["model_versions.uid"], name=op.f("fk_version_datasets_version_uid")),
        sa.PrimaryKeyConstraint("version_uid", "role", "place", name=op.f("pk_version_datasets")),
    )
    op.create_table(
        "metadata_schemas",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_metadata_schemas_tenant")),
        sa.PrimaryKeyConstraint("tenant", "revision", name=op.f("pk_metadata_schemas")),
    )
    for table, columns in _INDEXED:
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns), unique=False)
    _fill(op.get_bind())


def downgrade() -> None:
    """Back to the one before."""
    for table in ("metadata_schemas", "version_datasets", "version_origins"):
        op.drop_table(table)


_INDEXED = (
    ("version_origins", ("parent_uid", "created_at", "version_uid")),
    ("version_origins", ("tenant", "run_id", "created_at", "version_uid")),
    ("version_datasets", ("tenant", "key", "created_at", "version_uid")),
    ("version_datasets", ("tenant", "uri_key", "key", "created_at")),
)
_VERSIONS = sa.text("""
SELECT v.uid, v.facts, v.created_at, m.tenant, s.sequence
FROM model_versions v
JOIN models m ON m.uid = v.model_uid
LEFT JOIN search_versions s ON s.version_uid = v.uid
WHERE v.uid > :after
ORDER BY v.uid
LIMIT :limit
""")


def _fill(connection: sa.Connection) -> None:
    """What the documents of versions say, some hundred versions at a time."""
    _clear_terms(connection)
    fields: dict[tuple[str, str], int] = {}
    for rows in _batches(connection):
        origins, datasets, terms = [], [], []
        for row in rows:
            facts = load_facts(row.facts)
            parent = _resolve(connection, facts.provenance.parent, row.created_at)
            origin = origin_row(row.uid, row.tenant, parent.uid if parent else "", facts.provenance, row.created_at)
            origins += [origin] if origin else []
            datasets += dataset_rows(row.uid, row.tenant, facts.provenance, row.created_at)
            if row.sequence is not None:
                found = provenance_terms(facts)
                found += parent_term(parent.name, parent.number or 0) if parent else []
                terms += [(row.tenant, row.sequence, term) for term in found]
        _insert(connection, "version_origins", origins)
        _insert(connection, "version_datasets", datasets)
        _insert_terms(connection, terms, fields)


def _batches(connection: sa.Connection) -> Iterator[Sequence[sa.Row[Any]]]:
    after = ""
    while rows := connection.execute(_VERSIONS, {"after": after, "limit": _ROWS_AT_ONCE}).fetchall():
        yield rows
        after = rows[-1].uid


_OF_MODEL = """
SELECT v.uid, v.number, m.name FROM model_versions v JOIN models m ON m.uid = v.model_uid
WHERE m.tenant = :tenant AND m.name = :name AND """
_BY_ALIAS = """v.number = (
    SELECT a.to_number FROM alias_moves a WHERE a.model_uid = m.uid AND a.alias = :value AND a.moved_at <= :time
    ORDER BY a.sequence DESC LIMIT 1)"""
_BY_STAGE = """v.number = (
    SELECT t.number FROM transitions t WHERE t.model_uid = m.uid AND t.to_stage = :value AND t.moved_at <= :time
    ORDER BY t.sequence DESC, t.place DESC LIMIT 1)"""


def _resolve(connection: sa.Connection, ref: VersionRef | None, time: int) -> sa.Row[Any] | None:
    """The version that a reference named when it was written down."""
    if ref is None:
        return None
    value: str | int
    match ref.selector:
        case ByNumber(value):
            condition = "v.number = :value"
        case ByUid(value):
            condition = "v.uid = :value"
        case BySemanticVersion(value):
            condition = "v.semantic_version = :value"
        case ByAlias(value):
            condition = _BY_ALIAS
        case ByStage(stage):
            condition, value = _BY_STAGE, stage.value
        case _:
            return None
    statement = sa.text(_OF_MODEL + condition)
    values = {"tenant": ref.model.tenant, "name": ref.model.name, "value": value}
    return connection.execute(statement, values | ({"time": time} if ":time" in condition else {})).first()


_fields = sa.table("search_fields", sa.column("id", sa.Integer), sa.column("tenant"), sa.column("name"))
_terms = sa.table("search_terms", sa.column("field_id", sa.Integer))


def _clear_terms(connection: sa.Connection) -> None:
    """Those that are written anew: an older migration that ran just before may have made some of them."""
    ids = sa.select(_fields.c.id).where(_fields.c.name.in_(PROVENANCE_FIELDS))
    connection.execute(sa.delete(_terms).where(_terms.c.field_id.in_(ids)))


def _insert_terms(
    connection: sa.Connection, terms: Sequence[tuple[str, int, Term]], fields: dict[tuple[str, str], int]
) -> None:
    wanted = dict.fromkeys((tenant, term.field) for tenant, _, term in terms if (tenant, term.field) not in fields)
    if wanted:
        fields.update(_known(connection))
        _insert(
            connection, "search_fields", [{"tenant": t, "name": name} for t, name in wanted if (t, name) not in fields]
        )
        fields.update(_known(connection))
    rows = [
        {"sequence": sequence, "field_id": fields[tenant, term.field], **term.columns}
        for tenant, sequence, term in terms
    ]
    _insert(connection, "search_terms", rows)


def _known(connection: sa.Connection) -> dict[tuple[str, str], int]:
    return {(row.tenant, row.name): row.id for row in connection.execute(sa.select(_fields))}


def _insert(connection: sa.Connection, table: str, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(sa.table(table, *(sa.column(name) for name in rows[0]))), list(rows))
