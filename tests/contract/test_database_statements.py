"""How much a read asks of the database: few statements, each by an index."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.administration.bindings import RoleBindings
from registrar_server.application.administration.roles import Roles
from registrar_server.application.administration.tenants import Tenants
from registrar_server.application.aliases import Aliases
from registrar_server.application.artifacts import Artifacts, ByContent, ById
from registrar_server.application.authorization import Permit
from registrar_server.application.downloads import Downloads
from registrar_server.application.event_tail import EventTail
from registrar_server.application.lifecycle import Lifecycle
from registrar_server.application.models import Models
from registrar_server.application.ports.database import ApiToken, BundleClaim, RoleBinding, Transaction
from registrar_server.application.reply_cache import ReplyCache
from registrar_server.application.server_status import ServerStatus
from registrar_server.application.versions import Versions
from registrar_server.domain.access import EVERY_NAME, Grant, NamePattern, Right, Role
from registrar_server.domain.bundles import BundleFile, FileType, Manifest
from registrar_server.domain.lifecycle import AliasMove
from registrar_server.domain.policies import Policy, PolicyRules, PolicyScope
from registrar_server.domain.policy_documents import write_document
from registrar_server.domain.semantic_versions import SemanticRange
from registrar_server.domain.values import (
    ByAlias,
    ByNumber,
    BySemanticRange,
    BySemanticVersion,
    ByStage,
    ByUid,
    ModelKey,
    Selector,
    Stage,
    VersionRef,
)
from registrar_server.domain.versions import Facts
from tests.fixtures.database import CALLER, NOON, Read, add_model, add_version, change, listening, move, uid

KEY = ModelKey("default", "m")
MANIFEST = Manifest((BundleFile("model.pkl", 1, "a" * 64, FileType.MODEL),))
SMALL = {"tenants", "counters"}
"""Tables of a handful of rows."""


@dataclass(frozen=True)
class Reads:
    """The use cases behind the RPCs that read, on a database with something in it."""

    database: SqlDatabase
    bundle_uid: str
    version_uid: str

    def run(self, name: str) -> object:
        """Do what the RPC of that name does."""
        return READS[name][0](self)

    @property
    def models(self) -> Models:
        return Models(self.database, NOBODY)

    @property
    def versions(self) -> Versions:
        return Versions(self.database, NOBODY)

    @property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.database, NOBODY)

    @property
    def downloads(self) -> Downloads:
        return Downloads(self.database, NOBODY, NOBODY)


class _Nobody:
    """Stands where a read must call no collaborator."""


NOBODY: Any = _Nobody()


def get(selector: Selector) -> Callable[[Reads], object]:
    return lambda reads: reads.versions.get(VersionRef(KEY, selector))


PERMIT = Permit(CALLER, Right.READ, "default")
READS: dict[str, tuple[Callable[[Reads], object], int]] = {
    "GetModelVersion by number": (get(ByNumber(2)), 1),
    "GetModelVersion by alias": (get(ByAlias("champion")), 1),
    "GetModelVersion by stage": (get(ByStage(Stage.PRODUCTION)), 1),
    "GetModelVersion by semantic version": (get(BySemanticVersion("1.0.0")), 1),
    "GetModelVersion by range": (get(BySemanticRange(SemanticRange.parse("^1.0"))), 1),
    "GetModelVersion by uid": (lambda reads: get(ByUid(reads.version_uid))(reads), 1),
    "GetModel": (lambda reads: reads.models.get(KEY), 1),
    "ListModels": (lambda reads: _list_models(reads, ""), 1),
    "ListModels with a prefix": (lambda reads: _list_models(reads, "m"), 1),
    "ListModelVersions": (lambda reads: _list_versions(reads, None), 2),
    "ListModelVersions of a stage": (lambda reads: _list_versions(reads, Stage.PRODUCTION), 2),
    "CompareModelVersions": (
        lambda reads: reads.versions.compare([VersionRef(KEY, ByNumber(number)) for number in (1, 2)]),
        3,
    ),
    "ListAliasHistory": (lambda reads: _alias_history(reads, ""), 2),
    "ListAliasHistory of an alias": (lambda reads: _alias_history(reads, "champion"), 2),
    "ListTransitions": (lambda reads: _transitions(reads, 0), 2),
    "ListTransitions of a version": (lambda reads: _transitions(reads, 2), 2),
    "GetArtifact by id": (
        lambda reads: reads.artifacts.get(ById(PERMIT, reads.bundle_uid), after="", limit=9),
        2,
    ),
    "GetArtifact by content": (
        lambda reads: reads.artifacts.get(ByContent(KEY, MANIFEST.digest), after="", limit=9),
        3,
    ),
    "DownloadFile": (
        lambda reads: reads.downloads.find_file(ById(PERMIT, reads.bundle_uid), "model.pkl"),
        2,
    ),
    "the event tail, with nothing new": (lambda reads: reads.database.events_after(9, limit=9), 1),
    "the event tail": (lambda reads: reads.database.events_after(0, limit=9), 2),
    "GetServerInfo": (lambda reads: _mirror_progress(reads.database), 1),
    "what members may do": (lambda reads: _read(reads, lambda t: t.access.held_by(["user:a", "group:b"], now=NOON)), 1),
    "what a token may do": (lambda reads: _read(reads, _token_role), 2),
    "whose sessions are revoked": (lambda reads: _read(reads, lambda t: t.access.sessions_not_before("user:a")), 1),
    "GetTenant": (lambda reads: Tenants(reads.database, NOBODY).get("default"), 2),
    "ListRoles": (lambda reads: Roles(reads.database, NOBODY).list("default", after=(0, ""), limit=9), 3),
    "ListRoleBindings": (
        lambda reads: RoleBindings(reads.database, NOBODY).list(
            "default", member="", role="", after=(NOON, "0"), limit=9
        ),
        2,
    ),
    "the policies in force": (lambda reads: _read(reads, lambda t: t.policies.in_force("default")), 1),
    "the policies in force then": (lambda reads: _read(reads, lambda t: t.policies.in_force("default", 9)), 1),
    "GetPolicy": (lambda reads: _read(reads, lambda t: t.policies.get("default", "gate")), 1),
    "ListPolicies": (
        lambda reads: _read(reads, lambda t: t.policies.list("default", after="a", limit=9, is_deleted_shown=True)),
        1,
    ),
    "ListPolicyRevisions": (
        lambda reads: _read(reads, lambda t: t.policies.revisions("default", "gate", before=9, limit=9)),
        1,
    ),
    "ListTokens": (
        lambda reads: _read(
            reads,
            lambda t: t.access.list_tokens("default", is_ended_shown=True, now=NOON, after=(NOON, "0"), limit=9),
        ),
        1,
    ),
}


def _read(reads: Reads, read: Read) -> object:
    with reads.database.reading() as transaction:
        return read(transaction)


def _token_role(transaction: Transaction) -> object:
    token = transaction.access.find_token_by_digest("a" * 64)
    assert token is not None
    return transaction.access.find_role(token.tenant, token.role)


def _mirror_progress(database: SqlDatabase) -> object:
    replies = ReplyCache(0)
    return ServerStatus(database, replies, EventTail(database, replies)).mirror_progress()


def _list_models(reads: Reads, prefix: str) -> object:
    return reads.models.list("default", readable=EVERY_NAME, prefix=prefix, after="a", limit=9, is_deleted_shown=False)


def _list_versions(reads: Reads, stage: Stage | None) -> object:
    return reads.versions.list(KEY, before=9, limit=9, stage=stage, is_deleted_shown=False)


def _alias_history(reads: Reads, alias: str) -> object:
    return Aliases(reads.database, NOBODY).history(KEY, alias=alias, before=9, limit=9)


def _transitions(reads: Reads, number: int) -> object:
    return Lifecycle(reads.database, NOBODY, NOBODY).history(KEY, number=number, before=(9, 9), limit=9)


@pytest.fixture
def reads(database: SqlDatabase) -> Reads:
    return filled(database)


@pytest.fixture
def sqlite_reads(sqlite_database: SqlDatabase) -> Reads:
    return filled(sqlite_database)


@pytest.fixture
def postgres_reads(postgres_database: SqlDatabase) -> Reads:
    return filled(postgres_database)


def filled(database: SqlDatabase) -> Reads:
    """Something for every read to find."""
    with database.writing() as transaction:
        model = add_model(transaction, "m")
        uids = [
            add_version(transaction, model, 1),
            add_version(transaction, model, 2, facts=Facts(semantic_version="1.0.0")),
        ]
        transaction.versions.set_stage(uids[1], Stage.PRODUCTION, is_exclusive=True, time=NOON)
        transaction.aliases.set(model.uid, "champion", uids[1], 2)
        sequence = transaction.journal.record(change(model))
        transaction.aliases.add_move(model.uid, AliasMove("champion", 0, 2, "local", "", NOON, sequence))
        transaction.transitions.add(model.uid, [move(2, sequence)])
        scope, rules = PolicyScope(target_stages=(Stage.STAGING,)), PolicyRules()
        document = write_document(scope, rules)
        policy = Policy("default", "gate", 1, "", scope, rules, document, "local", NOON, NOON)
        transaction.policies.add(policy, sequence)
        access, every = transaction.access, NamePattern()
        access.insert_role(Role("default", "stager", "", (Grant(Right.READ),), 1, create_time=NOON, update_time=NOON))
        access.bind(RoleBinding(uid(), "default", "stager", "user:a", every, None, "", "local", NOON))
        access.insert_token(ApiToken(uid(), "default", "a", "stager", every, "", NOON, None, "", NOON, None), "a" * 64)
        access.cut_sessions("user:a", not_before=NOON)
        claim = BundleClaim(uid(), "x")
        transaction.bundles.claim(claim, model.uid, "default", MANIFEST.digest, until=NOON)
        transaction.bundles.commit(claim.uid, MANIFEST, wipes=0, uri="s3://b/x", created_by="local", time=NOON)
    return Reads(database, claim.uid, uids[1])


@pytest.mark.parametrize("name", READS)
def test_a_read_is_so_many_statements_and_no_more(reads: Reads, name: str) -> None:
    with listening(reads.database) as heard:
        assert reads.run(name)
    assert heard.count == READS[name][1], [statement for statement, _ in heard.made]


def test_the_number_of_statements_does_not_grow_with_the_rows(reads: Reads) -> None:
    with reads.database.writing() as transaction:
        for index in range(20):
            model = add_model(transaction, f"n{index}")
            version = add_version(transaction, model, 1)
            transaction.aliases.set(model.uid, "champion", version, 1)
    with listening(reads.database) as heard:
        found = reads.models.list(
            "default", readable=EVERY_NAME, prefix="", after="", limit=100, is_deleted_shown=False
        )
        assert len(found) == 21
    assert heard.count == 1


@pytest.mark.parametrize("name", READS)
def test_sqlite_answers_a_read_from_indexes(sqlite_reads: Reads, name: str) -> None:
    with listening(sqlite_reads.database) as heard:
        sqlite_reads.run(name)
    path = sqlite_reads.database._engine.url.database
    connection = sqlite3.connect(str(path))
    try:
        for statement, parameters in heard.made:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            scanned = {row[3].split()[1] for row in plan if row[3].startswith("SCAN ")} - SMALL
            # What is not a table is a constant row or a subquery's result.
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            assert not scanned & tables, plan
    finally:
        connection.close()


@pytest.mark.postgresql
@pytest.mark.parametrize("name", READS)
def test_postgresql_has_an_index_for_a_read(postgres_reads: Reads, name: str) -> None:
    with listening(postgres_reads.database) as heard:
        postgres_reads.run(name)
    url = postgres_reads.database._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        # A scan of a table this small is the best plan there is: forbidden, it is left only where there is no index.
        connection.execute("SET enable_seqscan = off")
        for statement, parameters in heard.made:
            plan = [str(row[0]) for row in connection.execute(f"EXPLAIN {statement}".encode(), parameters)]
            scans = [line for line in plan if "Seq Scan on" in line and not any(name in line for name in SMALL)]
            assert scans == [], plan


def _resolve_range(database: SqlDatabase) -> tuple[str, Any]:
    """The statement that was made."""
    with listening(database) as heard, database.reading() as transaction:
        assert transaction.versions.get(KEY, BySemanticRange(SemanticRange.parse("^1.0")))
    ((statement, parameters),) = heard.made
    return statement, parameters


def test_sqlite_walks_an_index_to_the_first_version_in_a_range(sqlite_reads: Reads) -> None:
    statement, parameters = _resolve_range(sqlite_reads.database)
    connection = sqlite3.connect(str(sqlite_reads.database._engine.url.database))
    try:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    finally:
        connection.close()
    assert any("ix_model_versions_model_uid_semantic_version_key" in line for line in plan), plan
    assert not any("TEMP B-TREE" in line for line in plan), plan


@pytest.mark.postgresql
def test_postgresql_walks_an_index_to_the_first_version_in_a_range(postgres_reads: Reads) -> None:
    statement, parameters = _resolve_range(postgres_reads.database)
    url = postgres_reads.database._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        # Of the few rows here it would rather sort; forbidden, that is left only where there is no other way.
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET enable_sort = off")
        plan = [str(row[0]) for row in connection.execute(f"EXPLAIN {statement}".encode(), parameters)]
    assert any("Scan Backward using ix_model_versions_model_uid_semantic_version_key" in line for line in plan), plan
    assert not any("Sort" in line for line in plan), plan


def _lease(database: SqlDatabase, records: str) -> object:
    with database.writing() as transaction:
        return getattr(transaction, records).lease("a:1", now=NOON, until=NOON, limit=4)


def _is_any_due(database: SqlDatabase, records: str) -> object:
    with database.reading() as transaction:
        return getattr(transaction, records).is_any_due(NOON)


def _lease_abandoned(database: SqlDatabase) -> object:
    with database.writing() as transaction:
        return transaction.bundles.lease_abandoned(now=NOON, until=NOON, limit=4)


def _forget(database: SqlDatabase) -> None:
    with database.writing() as transaction:
        transaction.requests.forget_before(NOON)


WORK: dict[str, Callable[[SqlDatabase], object]] = {
    "lease registrations": lambda database: _lease(database, "registrations"),
    "lease files of uploads": lambda database: _lease(database, "uploads"),
    "lease the mirror": lambda database: _lease(database, "mirror"),
    "look for registrations": lambda database: _is_any_due(database, "registrations"),
    "look for files of uploads": lambda database: _is_any_due(database, "uploads"),
    "look for the mirror": lambda database: _is_any_due(database, "mirror"),
    "lease abandoned uploads": _lease_abandoned,
    "forget old requests": _forget,
}

BACKLOGS = {"registrations"}
"""Holds what is pending and nothing else, so that a scan of it is as short as the backlog."""


@pytest.mark.parametrize("name", WORK)
def test_sqlite_finds_background_work_by_indexes(sqlite_reads: Reads, name: str) -> None:
    with listening(sqlite_reads.database) as heard:
        WORK[name](sqlite_reads.database)
    connection = sqlite3.connect(str(sqlite_reads.database._engine.url.database))
    try:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for statement, parameters in heard.made:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            scanned = {row[3].split()[1] for row in plan if row[3].startswith("SCAN ")}
            assert not scanned & tables - SMALL - BACKLOGS, plan
    finally:
        connection.close()
