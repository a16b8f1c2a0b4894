"""The ports `LineageRecords` and `MetadataSchemaRecords`, on every database; and what the migration makes of what was there."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from alembic import command
from sqlalchemy import Connection, select

from registrar_server.adapters.database.engine import SqlDatabase, open_engine
from registrar_server.adapters.database.lineage.tables import metadata_schemas, version_datasets, version_origins
from registrar_server.adapters.database.migrate import alembic_config, migrate
from registrar_server.adapters.database.search.tables import search_fields, search_terms
from registrar_server.application.compatibility import advise
from registrar_server.application.lineage import FromDigest, FromRun, FromUri, LineageRequest, Lineages
from registrar_server.application.ports.database import LineageScope, NewModel, Origin, Transaction
from registrar_server.domain.access import EVERY_NAME, NamePattern
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.lifecycle import AliasMove
from registrar_server.domain.lineage import Direction, EdgeType, Lineage, VersionNode
from registrar_server.domain.metadata_schemas import MetadataField, MetadataSchema, MetadataType, Requirement
from registrar_server.domain.values import (
    ByAlias,
    ByNumber,
    BySemanticVersion,
    ByUid,
    ModelKey,
    Selector,
    Stage,
    VersionRef,
)
from registrar_server.domain.versions import Dataset, Facts, Provenance, Signature, TensorSpec
from tests.fixtures.database import NOON, TENANTS, add_model, add_version, at, change, listening

RAW = Dataset("raw", "s3://data/raw", "sha256:1")
FRESH = Dataset("raw", "s3://data/raw", "sha256:2")
EVAL = Dataset("eval", "", "", "7")
SMALL = {"tenants", "counters"}


@dataclass(frozen=True)
class Family:
    """A base, two children, one grandchild in production; another tenant's child of the base."""

    database: SqlDatabase
    base: str
    child: str
    hidden: str
    grandchild: str
    stranger: str

    def walk(self, start: Any, *patterns: str, tenant: str = "default", **limits: Any) -> Lineage:
        readable = tuple(map(NamePattern, patterns)) or EVERY_NAME
        return Lineages(self.database).get(LineageRequest(start, LineageScope(tenant, readable), **limits))

    def of(self, uid: str, *patterns: str, **limits: Any) -> Lineage:
        with self.database.reading() as transaction:
            version = transaction.versions.get_by_uid(uid)
        assert version is not None
        return self.walk(VersionRef(version.model, ByUid(uid)), *patterns, **limits)


def born(
    transaction: Transaction, model: NewModel, number: int, provenance: Provenance, *, parent: str = "", second: int = 0
) -> str:
    """A READY version with an origin."""
    facts = Facts(provenance=provenance)
    uid = add_version(transaction, model, number, facts=facts, content=f"{second:064x}", time=at(second))
    transaction.lineage.record(Origin(uid, model.key.tenant, parent, provenance, at(second)))
    return uid


@pytest.fixture
def family(database: SqlDatabase) -> Family:
    with database.writing() as transaction:
        base_model, churn = add_model(transaction, "base"), add_model(transaction, "churn")
        other = add_model(transaction, "churn", tenant="acme-corp")
        trained = Provenance(run_id="run-1", git_commit="abc1234", training_data=(RAW,), validation_data=(EVAL,))
        base = born(transaction, base_model, 1, trained)
        child = born(transaction, churn, 1, Provenance(training_data=(FRESH,)), parent=base, second=1)
        hidden = born(transaction, churn, 2, Provenance(run_id="run-1"), parent=base, second=2)
        grandchild = born(transaction, churn, 3, Provenance(validation_data=(EVAL,)), parent=child, second=3)
        stranger = born(transaction, other, 1, trained, parent=base, second=4)
        transaction.versions.set_deleted(hidden, delete_time=NOON, purge_time=NOON, time=NOON)
        transaction.versions.set_stage(grandchild, Stage.PRODUCTION, is_exclusive=True, time=NOON)
        transaction.aliases.set(churn.uid, "champion", grandchild, 3)
        pending = add_version(transaction, churn, time=at(9))
        transaction.lineage.record(Origin(pending, "default", base, trained, at(9)))
    return Family(database, base, child, hidden, grandchild, stranger)


def told(found: Lineage) -> set[str]:
    """The nodes as people would name them."""
    return {
        f"{node.name}/{node.number}{' deleted' if node.is_deleted else ''}"
        if isinstance(node, VersionNode)
        else node.id.partition(":")[0] + ":" + node.id.rpartition(":")[2][:12]
        for node in found.nodes
    }


def edges(found: Lineage) -> list[EdgeType]:
    return sorted(edge.type for edge in found.edges)


def test_upstream_of_a_version_are_its_parents_and_what_all_of_them_were_made_with(family: Family) -> None:
    found = family.of(family.grandchild, direction=Direction.UPSTREAM)
    versions = {name for name in told(found) if "/" in name}
    assert versions == {"churn/3", "churn/1", "base/1"}
    assert edges(found) == sorted(
        [EdgeType.DERIVED_FROM] * 2 + [EdgeType.PRODUCED_BY] + [EdgeType.TRAINED_ON] * 2 + [EdgeType.VALIDATED_ON] * 2
    )
    # One evaluation set, with which two were judged.
    assert len(found.nodes) == 3 + 1 + 3


def test_downstream_are_children_and_what_serves_them_and_deleted_ones_are_marked(family: Family) -> None:
    found = family.of(family.base, direction=Direction.DOWNSTREAM)
    assert told(found) == {
        "base/1",
        "churn/2 deleted",
        "churn/1",
        "churn/3",
        "stage:production",
        "alias:champion",
    }
    assert [node.number for node in found.nodes if isinstance(node, VersionNode)] == [1, 2, 1, 3]


def test_another_tenant_s_versions_and_those_without_a_number_are_never_seen(family: Family) -> None:
    for found in (family.of(family.base), family.walk(FromRun("run-1")), family.walk(FromDigest("sha256:1"))):
        uids = {node.uid for node in found.nodes if isinstance(node, VersionNode)}
        assert family.stranger not in uids
        assert len(uids) <= 4
    theirs = family.of(family.stranger, tenant="acme-corp")
    assert {name for name in told(theirs) if "/" in name} == {"churn/1"}


def test_nothing_is_reached_through_a_model_that_may_not_be_read(family: Family) -> None:
    assert {name for name in told(family.of(family.grandchild, "churn")) if "/" in name} == {"churn/3", "churn/1"}
    assert told(family.of(family.base, "ba*", direction=Direction.DOWNSTREAM)) == {"base/1"}


def test_a_walk_begins_at_a_run_or_at_data_by_digest_or_address(family: Family) -> None:
    assert told(family.walk(FromRun("run-1"), depth=1)) == {"run:run-1", "base/1", "churn/2 deleted"}
    by_digest = family.walk(FromDigest("sha256:2"))
    assert {name for name in told(by_digest) if "/" in name} == {"churn/1", "churn/3"}
    by_address = family.walk(FromUri("s3://data/raw"), depth=1)
    assert len(by_address.starts) == 2
    assert {name for name in told(by_address) if "/" in name} == {"base/1", "churn/1"}


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (FromRun("run-2"), Reason.RUN_NOT_FOUND),
        (FromDigest("sha256:9"), Reason.DATASET_NOT_FOUND),
        (FromUri("s3://data"), Reason.DATASET_NOT_FOUND),
    ],
)
def test_what_no_readable_version_names_is_not_there(family: Family, start: Any, reason: Reason) -> None:
    with pytest.raises(RegistrarError) as caught:
        family.walk(start)
    assert caught.value.reason is reason
    with pytest.raises(RegistrarError) as caught:
        family.walk(FromRun("run-1"), "fraud")
    assert caught.value.reason is Reason.RUN_NOT_FOUND
    with pytest.raises(RegistrarError) as caught:
        family.walk(start, tenant="nobody")
    assert caught.value.reason is Reason.TENANT_NOT_FOUND


def test_the_newest_come_first_where_a_limit_leaves_others_out(family: Family) -> None:
    found = family.of(family.base, direction=Direction.DOWNSTREAM, depth=1, max_nodes=2)
    assert told(found) == {"base/1", "churn/2 deleted"}
    assert found.is_truncated
    assert [edge.type for edge in found.edges] == [EdgeType.DERIVED_FROM]


def test_what_a_run_brings_replaces_what_was_said_and_the_parent_stays(family: Family) -> None:
    brought = Provenance(run_id="run-7", training_data=(RAW, EVAL))
    with family.database.writing() as transaction:
        transaction.lineage.complete(Origin(family.child, "default", "", brought, at(1)))
    found = family.of(family.child, direction=Direction.UPSTREAM, depth=1)
    assert {name for name in told(found) if not name.startswith("dataset")} == {"churn/1", "base/1", "run:run-7"}
    assert edges(found).count(EdgeType.TRAINED_ON) == 2


def test_a_version_with_many_children_takes_no_more_statements_than_one_with_few(
    sqlite_database: SqlDatabase,
) -> None:
    with sqlite_database.writing() as transaction:
        model = add_model(transaction, "m")
        base = born(transaction, model, 1, Provenance(training_data=(RAW,)))
        for number in range(2, 152):
            born(transaction, model, number, Provenance(), parent=base, second=number)
    with listening(sqlite_database) as heard:
        found = Lineages(sqlite_database).get(
            LineageRequest(
                VersionRef(ModelKey("default", "m"), ByNumber(1)),
                LineageScope("default", EVERY_NAME),
                Direction.DOWNSTREAM,
                max_nodes=100,
            )
        )
    assert (len(found.nodes), len(found.edges), found.is_truncated) == (100, 99, True)
    # The start, and for each level of at most five hundred nodes: aliases and children.
    assert heard.count <= 2 + 2 * (1 + 2), [statement for statement, _ in heard.made]


READS: dict[str, Callable[[Family], object]] = {
    "up": lambda family: family.of(family.grandchild, direction=Direction.UPSTREAM),
    "down": lambda family: family.of(family.base, "ch*", "base", direction=Direction.DOWNSTREAM),
    "from a run": lambda family: family.walk(FromRun("run-1")),
    "from a digest": lambda family: family.walk(FromDigest("sha256:1")),
    "from an address": lambda family: family.walk(FromUri("s3://data/raw")),
    "the schema": lambda family: _schema(family.database),
    "the suggestion": lambda family: _advice(family.database),
}


def _schema(database: SqlDatabase) -> MetadataSchema:
    with database.reading() as transaction:
        return transaction.metadata_schemas.current("default")


def _advice(database: SqlDatabase) -> object:
    with database.reading() as transaction:
        model = transaction.models.get(ModelKey("default", "churn"))
        assert model is not None
        return advise(transaction, model.uid, None)


@pytest.mark.parametrize("name", READS)
def test_every_step_is_answered_from_indexes(family: Family, name: str) -> None:
    with listening(family.database) as heard:
        READS[name](family)
    url = family.database._engine.url
    if url.get_backend_name() == "sqlite":
        connection = sqlite3.connect(str(url.database))
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for statement, parameters in heard.made:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            assert not {row[3].split()[1] for row in plan if row[3].startswith("SCAN ")} & (tables - SMALL), plan
        connection.close()
        return
    shown = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(shown) as postgres:
        postgres.execute("SET enable_seqscan = off")
        for statement, values in heard.made:
            lines = [str(row[0]) for row in postgres.execute(f"EXPLAIN {statement}".encode(), values)]
            assert not [one for one in lines if "Seq Scan on" in one and not any(n in one for n in SMALL)], lines


def test_a_schema_is_read_as_it_was_written_and_every_revision_is_kept(database: SqlDatabase) -> None:
    fields = (
        MetadataField("tags.owner", Requirement.REQUIRED, MetadataType.STRING, ("ä", "b"), max_characters=9),
        MetadataField("metrics.f1", min=0.5, max=1e20, models=(NamePattern("risk-*"),), description="good enough"),
    )
    first = MetadataSchema("default", 1, fields, "local", NOON)
    with database.writing() as transaction:
        assert transaction.metadata_schemas.current("default") == MetadataSchema("default")
        transaction.metadata_schemas.add(first, 1)
    with database.writing() as transaction:
        assert transaction.metadata_schemas.current("default") == first
        transaction.metadata_schemas.add(replace(first, revision=2, fields=()), 2)
    with database.reading() as transaction:
        assert transaction.metadata_schemas.current("default").revision == 2
        assert transaction.metadata_schemas.current("acme-corp").revision == 0
    with database._engine.connect() as connection:
        assert len(connection.execute(select(metadata_schemas)).all()) == 2


def test_a_suggestion_is_as_it_was_when_the_version_was_registered(database: SqlDatabase) -> None:
    narrow, wide = Signature((TensorSpec("a", "long"),)), Signature((TensorSpec("a", "long"), TensorSpec("b", "long")))
    with database.writing() as transaction:
        model = add_model(transaction, "m")
        assert advise(transaction, model.uid, narrow).suggested == "1.0.0"
        uids = [
            add_version(
                transaction,
                model,
                number,
                facts=Facts(signature=narrow, semantic_version=text),
                content=f"{number:064x}",
            )
            for number, text in ((1, "1.0.0"), (2, "1.1.0-rc.1"), (3, ""), (4, "2.0.0"))
        ]
        assert advise(transaction, model.uid, narrow).suggested == "2.0.1"
        assert advise(transaction, model.uid, wide).suggested == "3.0.0"
        assert advise(transaction, model.uid, narrow, before=3).suggested == "1.1.0"
        assert advise(transaction, model.uid, wide, before=3).suggested == "2.0.0"
        transaction.versions.set_deleted(uids[-1], delete_time=NOON, purge_time=NOON, time=NOON)
        # What a deleted version has is not given again.
        assert advise(transaction, model.uid, wide).suggested == "3.0.0"
        ranked = transaction.versions.ranked(model.uid, limit=9)
        assert [version.facts.semantic_version for version in ranked] == ["1.1.0-rc.1", "1.0.0"]
        (release,) = transaction.versions.ranked(model.uid, below="1.1.0", is_release=True, limit=9)
        assert release.number == 1


def test_the_migration_writes_down_what_versions_have_said(database_url: str) -> None:
    database = SqlDatabase(database_url)
    with database.writing() as transaction:
        model = add_model(transaction, "m")
        key = model.key
        parents: list[Selector | None] = [
            None,
            ByNumber(1),
            ByAlias("champion"),
            BySemanticVersion("1.0.0"),
            ByNumber(9),
        ]
        uids: list[str] = []
        for number, parent in enumerate(parents, start=1):
            provenance = Provenance(
                run_id=f"run-{number}" if number == 2 else "",
                is_git_dirty=False,
                ci_build="ci/1",
                image="img",
                training_data=(RAW,) if number == 1 else (),
                parent=VersionRef(key, parent) if parent else None,
            )
            facts = Facts(semantic_version="1.0.0" if number == 2 else "", provenance=provenance)
            uid = add_version(transaction, model, number, facts=facts, content=f"{number:064x}", time=at(number))
            resolved = {2: 0, 3: 1, 4: 1}.get(number)
            origin = Origin(uid, "default", "" if resolved is None else uids[resolved], provenance, at(number))
            transaction.lineage.record(origin)
            uids.append(uid)
            registered = change(model, "version.registered", version_uid=uid, number=number)
            sequence = transaction.journal.record(registered)
            if number == 2:
                # Where it points later does not matter: it pointed at the second when the third was registered.
                move = AliasMove("champion", 0, 2, "local", "", at(2), sequence)
                transaction.aliases.add_move(model.uid, move)
        later = transaction.journal.record(change(model))
        transaction.aliases.add_move(model.uid, AliasMove("champion", 2, 1, "local", "", at(60), later))
    database.close()
    engine = open_engine(database_url)
    try:
        with engine.begin() as connection:
            kept = contents(connection)
            assert [len(rows) for rows in kept[:2]] == [3, 1]
            assert len(kept[2]) > len(uids) * 3
            command.downgrade(alembic_config(connection), "0008")
        migrate(database_url, tenant_names=TENANTS)
        with engine.connect() as connection:
            assert contents(connection) == kept
    finally:
        engine.dispose()


def contents(connection: Connection) -> Sequence[list[tuple[Any, ...]]]:
    """Rows of lineage, and the terms by which it is searched."""
    terms = select(search_fields.c.name, search_terms.c.sequence, search_terms.c.place, search_terms.c.text)
    terms = terms.join(search_fields, search_fields.c.id == search_terms.c.field_id)
    return [
        sorted((tuple(row) for row in connection.execute(query)), key=repr)
        for query in (select(version_origins), select(version_datasets), terms)
    ]
