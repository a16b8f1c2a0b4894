"""Policies in the database: revisions that stay, what was in force when, and their order among the moves."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Event
from typing import Any

import pytest

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.governance.policies import NewPolicy, Policies, PolicyChanged, PolicyUpdate
from registrar_server.application.governance.standing import policies_for
from registrar_server.application.governance.trials import GATES, TrialRequest, Trials
from registrar_server.application.lifecycle import MoveRequest
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.clock import SystemClock
from registrar_server.application.ports.database import Transaction
from registrar_server.domain.access import EVERYWHERE, NamePattern
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.policies import MetricGate, MoveTarget, Policy, PolicyRules, PolicyScope
from registrar_server.domain.policy_documents import write_document
from registrar_server.domain.values import ByNumber, RiskLevel, Stage, VersionRef
from registrar_server.domain.versions import Facts
from tests.fixtures.database import CALLER, NOON, add_model, add_version, at
from tests.fixtures.faults import NoSignals
from tests.fixtures.history import Past

STAGING = PolicyScope(target_stages=(Stage.STAGING,))
STRICT = PolicyRules(metric_gates=(MetricGate("f1", min=0.9),))
LENIENT = PolicyRules()
CLOCK = SystemClock()
WAIT_SECONDS = 60


def policy(name: str = "gate", revision: int = 1, tenant: str = "default", rules: PolicyRules = STRICT) -> Policy:
    document = write_document(STAGING, rules)
    return Policy(tenant, name, revision, "why", STAGING, rules, document, "root", NOON, at(revision))


def mutation() -> Any:
    """A change whose answer is the result's text."""
    return Mutation(CALLER, "Any", "", "digest", lambda result: repr(result).encode())


def names(policies: object) -> list[tuple[str, str, int]]:
    return [(one.tenant, one.name, one.revision) for one in policies]  # type: ignore[attr-defined]


def test_a_revision_is_read_back_whole(database: SqlDatabase) -> None:
    wanted = policy()
    with database.writing() as transaction:
        transaction.policies.add(wanted, 7)
    with database.reading() as transaction:
        found = transaction.policies.get("default", "gate")
    assert found == wanted
    assert found.digest == wanted.digest


def test_what_was_in_force_at_a_sequence_is_told_from_the_rows(database: SqlDatabase) -> None:
    with database.writing() as transaction:
        records = transaction.policies
        records.add(policy(), 2)
        records.add(policy("b", tenant=EVERYWHERE), 3)
        records.add(policy(revision=2), 5)
        records.add(policy("other", tenant="acme-corp"), 6)
        records.delete(replace(policy("b", tenant=EVERYWHERE), delete_time=NOON), 8)
        records.add(policy("a"), 9)
    shared, first, second, late = ("*", "b", 1), ("default", "gate", 1), ("default", "gate", 2), ("default", "a", 1)
    expected = {
        1: [],
        2: [first],
        3: [shared, first],
        4: [shared, first],
        5: [shared, second],
        7: [shared, second],
        8: [second],
        9: [late, second],
    }
    with database.reading() as transaction:
        found = {sequence: names(transaction.policies.in_force("default", sequence)) for sequence in expected}
        assert found == expected
        assert names(transaction.policies.in_force("default")) == [late, second]
        assert all(one.delete_time is None for one in transaction.policies.in_force("default", 5))
        deleted = transaction.policies.get(EVERYWHERE, "b")
        assert deleted is not None
        assert (deleted.delete_time, deleted.etag) == (NOON, "p1d")


def test_lists_are_of_last_revisions_by_name_and_revisions_the_newest_first(database: SqlDatabase) -> None:
    with database.writing() as transaction:
        for place, one in enumerate([policy("c"), policy("a"), policy("a", 2), policy("b"), policy("a", 3)]):
            transaction.policies.add(one, place + 1)
        transaction.policies.delete(replace(policy("b"), delete_time=NOON), 9)
    with database.reading() as transaction:
        listed = partial(transaction.policies.list, "default")
        assert [name for _, name, _ in names(listed(after="", limit=9, is_deleted_shown=False))] == ["a", "c"]
        assert names(listed(after="", limit=1, is_deleted_shown=False)) == [("default", "a", 3)]
        assert [name for _, name, _ in names(listed(after="a", limit=9, is_deleted_shown=True))] == ["b", "c"]
        revisions = partial(transaction.policies.revisions, "default", "a")
        assert [number for *_, number in names(revisions(before=0, limit=9))] == [3, 2, 1]
        assert [number for *_, number in names(revisions(before=3, limit=1))] == [2]
        assert transaction.policies.get("default", "a", 4) is None


def test_policies_cover_what_their_scope_says(database: SqlDatabase) -> None:
    scope = PolicyScope((NamePattern("m"),), (Stage.STAGING,), (NamePattern("champ*"),), (RiskLevel.HIGH,))
    with database.writing() as transaction:
        model = add_model(transaction, "m")
        high = add_version(transaction, model, 1, facts=Facts(risk_level=RiskLevel.HIGH))
        low = add_version(transaction, model, 2, facts=Facts(risk_level=RiskLevel.LOW))
        document = write_document(scope, STRICT)
        transaction.policies.add(replace(policy(tenant=EVERYWHERE), scope=scope, document=document), 1)
    with database.reading() as transaction:
        assert covered(transaction, high, MoveTarget(stage=Stage.STAGING)) == ["gate"]
        assert covered(transaction, high, MoveTarget(alias="champion")) == ["gate"]
        assert covered(transaction, high, MoveTarget(stage=Stage.PRODUCTION)) == []
        assert covered(transaction, low, MoveTarget(stage=Stage.STAGING)) == []
        assert covered(transaction, high, MoveTarget(stage=Stage.STAGING), is_rollback=True) == []


def covered(transaction: Transaction, uid: str, target: MoveTarget, *, is_rollback: bool = False) -> list[str]:
    version = transaction.versions.get_by_uid(uid)
    assert version is not None
    return [one.name for one in policies_for(transaction, version, target, is_rollback=is_rollback)]


@pytest.mark.postgresql
def test_two_movers_do_not_wait_for_each_other(postgres_database: SqlDatabase) -> None:
    with postgres_database.writing() as first, postgres_database.writing() as second:
        first.policies.hold()
        second.policies.hold()


def test_a_move_obeys_every_policy_that_stands_before_it_in_the_order_of_events(database: SqlDatabase) -> None:
    """Policies and moves change at once; afterwards each move is held against what was in force just before it."""
    policies = Policies(database, Mutations(database, CLOCK, NoSignals()))
    pasts, rounds = [Past(database) for _ in range(3)], 12
    for past in pasts:
        past.register()
    policies.create(mutation(), NewPolicy("default", "gate", "", STAGING, LENIENT))
    for past in pasts:
        # One that never comes to move, because the others are faster, has obeyed nothing.
        past.lifecycle.transition(mutation(), MoveRequest(past.ref(ByNumber(1)), Stage.STAGING))
    is_over = Event()

    def govern() -> None:
        for step in range(rounds):
            wanted = PolicyUpdate(rules=LENIENT if step % 2 else STRICT)
            policies.update(mutation(), "default", "gate", etag="", wanted=wanted)
        is_over.set()

    with ThreadPoolExecutor(len(pasts) + 1) as pool:
        moving = [pool.submit(_to_and_fro, past, is_over) for past in pasts]
        pool.submit(govern).result(WAIT_SECONDS)
        for one in moving:
            one.result(WAIT_SECONDS)
    with database.reading() as transaction:
        for past in pasts:
            moves = transaction.transitions.history(past.model.uid, number=1, before=None, limit=10_000)
            obeyed = [transaction.policies.in_force("default", move.sequence)[0].rules for _, move in moves]
            assert LENIENT in obeyed
            for (_, move), rules in zip(moves, obeyed, strict=True):
                assert move.to_stage is not Stage.STAGING or rules == LENIENT
        revisions = transaction.policies.revisions("default", "gate", before=0, limit=99)
        assert [one.revision for one in revisions] == list(range(rounds + 1, 0, -1))


def _to_and_fro(past: Past, is_over: Event) -> None:
    """Into staging and out again, as often as policies let it."""
    while not is_over.is_set():
        for stage in (Stage.STAGING, Stage.NONE):
            try:
                past.lifecycle.transition(mutation(), MoveRequest(past.ref(ByNumber(1)), stage))
            except RegistrarError as exc:
                assert exc.reason is Reason.POLICY_NOT_MET


def test_broken_glass_lets_no_files_into_production_that_nobody_verified(database: SqlDatabase) -> None:
    past = Past(database)
    with database.writing() as transaction:
        model = add_model(transaction, "external")
        add_version(transaction, model, 1)
    request = MoveRequest(VersionRef(model.key, ByNumber(1)), Stage.PRODUCTION, "now", is_break_glass=True)
    with pytest.raises(RegistrarError) as caught:
        past.lifecycle.transition(mutation(), request)
    assert caught.value.reason is Reason.ARTIFACT_UNVERIFIED


def test_of_creations_of_one_name_at_once_one_wins(database: SqlDatabase) -> None:
    policies = Policies(database, Mutations(database, CLOCK, NoSignals()))
    create: Callable[[Mutation[PolicyChanged]], bytes] = partial(
        policies.create, new=NewPolicy("default", "gate", "", STAGING, STRICT)
    )

    def outcome(_: int) -> str:
        try:
            create(mutation())
        except RegistrarError as exc:
            return exc.reason.value
        return "made"

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(outcome, range(6))) == ["POLICY_EXISTS"] * 5 + ["made"]


def test_a_trial_that_fails_at_very_many_gates_says_that_it_looked_no_further(database: SqlDatabase) -> None:
    files, versions = 100, GATES // 100 + 5
    with database.writing() as transaction:
        model = add_model(transaction, "many")
        for number in range(1, versions + 1):
            add_version(transaction, model, number)
    rules = PolicyRules(required_files=tuple(f"file-{number}" for number in range(files)))
    request = TrialRequest("default", "", (STAGING, rules), "many", (), versions)
    outcome = Trials(database, CLOCK).run(request)
    assert outcome.is_truncated
    assert [trial.number for trial in outcome.trials] == list(range(versions, versions - GATES // files, -1))
    assert sum(len(trial.failed) for trial in outcome.trials) == GATES
