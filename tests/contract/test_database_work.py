"""What every implementation of the port `Database` must do: bundles, request ids, leases and the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.ports.database import (
    BundleClaim,
    MirrorTask,
    NewModel,
    RequestKey,
    StoredAnswer,
    Transaction,
)
from registrar_server.domain.bundles import BundleFile, FileType, Manifest
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.database import NOON, add_model, add_version, at, change, uid

FILES = (
    BundleFile("z.bin", 5, "a" * 64, FileType.MODEL),
    BundleFile("A/b.txt", 0, "b" * 64, FileType.OTHER),
    BundleFile("a.json", 2**42, "c" * 64, FileType.CONFIG),
    BundleFile("ä", 1, "d" * 64, FileType.OTHER),
)
MANIFEST = Manifest(FILES)
KEY = RequestKey("default", "local", "CreateModel", "r-1")
WAIT_SECONDS = 30


def claimed(transaction: Transaction, model: NewModel, until: datetime, manifest: Manifest = MANIFEST) -> BundleClaim:
    wanted = BundleClaim(uid(), f"default/{model.uid}/x")
    return transaction.bundles.claim(wanted, model.uid, "default", manifest.digest, until=until)


def committed(transaction: Transaction, claim: BundleClaim, manifest: Manifest = MANIFEST) -> bool:
    return transaction.bundles.commit(
        claim.uid, manifest, wipes=claim.wipes, uri="s3://b/x", created_by="local", time=at(1)
    )


class TestBundles:
    """Bundles."""

    def test_a_claim_shows_nowhere_and_a_commit_shows_every_file_in_the_order_of_bytes(
        self, database: SqlDatabase
    ) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            claim = claimed(transaction, model, at(60))
            assert transaction.bundles.get(claim.uid) is None
            assert transaction.bundles.find(model.uid, MANIFEST.digest) is None
            assert committed(transaction, claim)
            bundle = transaction.bundles.get(claim.uid)
            assert bundle == transaction.bundles.find(model.uid, MANIFEST.digest)
            assert bundle is not None
            assert (bundle.size_bytes, bundle.file_count, bundle.uri) == (6 + 2**42, 4, "s3://b/x")
            assert (bundle.model, bundle.create_time, bundle.verify_time) == (model.key, at(1), at(1))
            expected = sorted(FILES, key=lambda file: file.path.encode())
            assert list(transaction.bundles.files(claim.uid, after="", limit=9)) == expected
            assert list(transaction.bundles.files(claim.uid, after="a.json", limit=1)) == [FILES[0]]
            assert transaction.bundles.file(claim.uid, "A/b.txt") == FILES[1]
            assert transaction.bundles.file(claim.uid, "a/b.txt") is None

    def test_two_writers_of_one_bundle_join_and_one_of_them_commits(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            first, second = claimed(transaction, model, at(60)), claimed(transaction, model, at(30))
            assert first == second
            assert committed(transaction, first)
            assert not committed(transaction, second)

    def test_another_model_has_a_bundle_of_its_own(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            one, other = add_model(transaction, "m"), add_model(transaction, "n")
            first, second = claimed(transaction, one, at(60)), claimed(transaction, other, at(60))
            assert first.uid != second.uid
            committed(transaction, first)
            assert transaction.bundles.find(other.uid, MANIFEST.digest) is None

    def test_an_abandoned_claim_is_cleared_and_then_free_again(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            claim = claimed(transaction, model, at(60))
            assert lease_abandoned(transaction, at(59), at(70)) == []
            assert lease_abandoned(transaction, at(61), at(70)) == [claim]
            assert lease_abandoned(transaction, at(62), at(70)) == []
        with pytest.raises(RegistrarError) as caught, database.writing() as transaction:
            claimed(transaction, model, at(100))
        assert caught.value.reason is Reason.DATABASE_BUSY
        assert caught.value.retry_after_seconds
        with database.writing() as transaction:
            assert not transaction.bundles.keep_claim(claim.uid, until=at(100))
            assert not committed(transaction, claim)
            assert transaction.bundles.forget(claim.uid, lease=at(70))
            assert claimed(transaction, model, at(100)).uid != claim.uid

    def test_a_clearing_that_was_abandoned_is_taken_up_again(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            claim = claimed(transaction, add_model(transaction, "m"), at(1))
            assert lease_abandoned(transaction, at(2), at(10)) == [claim]
            assert lease_abandoned(transaction, at(11), at(20)) == [claim]

    def test_only_who_has_the_clearing_keeps_it_gives_it_up_or_ends_it(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            claim = claimed(transaction, add_model(transaction, "m"), at(1))
            bundles = transaction.bundles
            assert not bundles.keep_clearing(claim.uid, lease=at(1), until=at(50))
            assert not bundles.forget(claim.uid, lease=at(1))
            assert lease_abandoned(transaction, at(2), at(10)) == [claim]
            assert bundles.keep_clearing(claim.uid, lease=at(10), until=at(20))
            assert lease_abandoned(transaction, at(15), at(30)) == []
            assert lease_abandoned(transaction, at(21), at(40)) == [claim]
            assert not bundles.keep_clearing(claim.uid, lease=at(20), until=at(99))
            assert not bundles.forget(claim.uid, lease=at(20))
            bundles.release_clearing(claim.uid, lease=at(20), until=NOON)
            assert lease_abandoned(transaction, at(22), at(50)) == []
            assert bundles.forget(claim.uid, lease=at(40))
            assert not bundles.forget(claim.uid, lease=at(40))

    def test_a_clearing_that_failed_is_taken_up_again_when_it_is_time(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            claim = claimed(transaction, add_model(transaction, "m"), at(1))
            assert lease_abandoned(transaction, at(2), at(600)) == [claim]
            transaction.bundles.release_clearing(claim.uid, lease=at(600), until=at(60))
            assert not transaction.bundles.is_any_abandoned(at(60))
            assert lease_abandoned(transaction, at(60), at(700)) == []
            assert transaction.bundles.is_any_abandoned(at(61))
            assert lease_abandoned(transaction, at(61), at(700)) == [claim]

    def test_a_sign_of_life_never_shortens_a_claim(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            claim = claimed(transaction, model, at(3_600))
            assert transaction.bundles.keep_claim(claim.uid, until=at(60))
            claimed(transaction, model, at(90))
            assert lease_abandoned(transaction, at(3_599), at(9_999)) == []

    def test_a_commit_is_refused_when_an_object_may_have_been_wiped_since_the_claim(
        self, database: SqlDatabase
    ) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            before = claimed(transaction, model, at(60))
            assert transaction.uploads.begin_wipe(before.uid)
        with pytest.raises(RegistrarError) as caught, database.writing() as transaction:
            committed(transaction, before)
        assert caught.value.reason is Reason.DATABASE_BUSY
        assert caught.value.retry_after_seconds
        with database.writing() as transaction:
            after = claimed(transaction, model, at(60))
            assert (after.uid, after.wipes) == (before.uid, before.wipes + 1)
            assert transaction.bundles.get(after.uid) is None
            assert committed(transaction, after)
            assert not committed(transaction, before)
            assert not transaction.uploads.begin_wipe(after.uid)

    def test_a_sign_of_life_keeps_a_claim(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            claim = claimed(transaction, add_model(transaction, "m"), at(60))
            assert transaction.bundles.keep_claim(claim.uid, until=at(120))
            assert lease_abandoned(transaction, at(61), at(70)) == []

    def test_a_committed_bundle_is_never_cleared_nor_forgotten(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            claim = claimed(transaction, add_model(transaction, "m"), at(60))
            committed(transaction, claim)
            assert lease_abandoned(transaction, at(999), at(1_000)) == []
            assert not transaction.bundles.forget(claim.uid, lease=at(60))
            assert transaction.bundles.get(claim.uid) is not None

    def test_a_verification_moves_its_time(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            claim = claimed(transaction, add_model(transaction, "m"), at(60))
            committed(transaction, claim)
            transaction.bundles.set_verified(claim.uid, at(9))
            bundle = transaction.bundles.get(claim.uid)
            assert bundle is not None
            assert (bundle.create_time, bundle.verify_time) == (at(1), at(9))


def lease_abandoned(transaction: Transaction, now: datetime, until: datetime) -> list[BundleClaim]:
    return list(transaction.bundles.lease_abandoned(now=now, until=until, limit=10))


class TestRequests:
    """Answers by request id."""

    def test_the_first_claim_is_new_and_the_second_finds_the_answer(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            assert transaction.requests.find(KEY) is None
            assert transaction.requests.claim(KEY, "body", version_uid=None, time=NOON) is None
            transaction.requests.answer(KEY, b"answer")
        with database.writing() as transaction:
            found = transaction.requests.claim(KEY, "other body", version_uid="x", time=NOON)
            assert found == StoredAnswer("body", b"answer", None)

    def test_a_first_answer_is_never_replaced(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            transaction.requests.claim(KEY, "body", version_uid="a" * 32, time=NOON)
            assert transaction.requests.find(KEY) == StoredAnswer("body", None, "a" * 32)
            transaction.requests.answer(KEY, b"first")
            transaction.requests.answer(KEY, b"second")
            assert transaction.requests.find(KEY) == StoredAnswer("body", b"first", "a" * 32)

    @pytest.mark.parametrize("part", ["tenant", "actor", "rpc", "request_id"])
    def test_an_id_means_nothing_to_another_tenant_caller_or_rpc(self, database: SqlDatabase, part: str) -> None:
        facts = {"tenant": "default", "actor": "local", "rpc": "CreateModel", "request_id": "r-1"}
        with database.writing() as transaction:
            transaction.requests.claim(KEY, "body", version_uid=None, time=NOON)
            other = RequestKey(**{**facts, part: "other"})
            assert transaction.requests.claim(other, "body", version_uid=None, time=NOON) is None

    def test_old_ids_are_forgotten(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            transaction.requests.claim(KEY, "body", version_uid=None, time=NOON)
            transaction.requests.forget_before(NOON)
            assert transaction.requests.find(KEY) is not None
            transaction.requests.forget_before(at(1))
            assert transaction.requests.find(KEY) is None

    def test_a_concurrent_claim_waits_and_finds_the_answer(self, database: SqlDatabase) -> None:
        has_claimed, found = threading.Event(), []

        def second() -> None:
            has_claimed.wait(WAIT_SECONDS)
            with database.writing() as transaction:
                found.append(transaction.requests.claim(KEY, "body", version_uid=None, time=NOON))

        thread = threading.Thread(target=second)
        thread.start()
        with database.writing() as transaction:
            assert transaction.requests.claim(KEY, "body", version_uid=None, time=NOON) is None
            has_claimed.set()
            thread.join(0.2)
            assert thread.is_alive()
            transaction.requests.answer(KEY, b"answer")
        thread.join(WAIT_SECONDS)
        assert found == [StoredAnswer("body", b"answer", None)]

    def test_a_claim_whose_transaction_failed_is_free(self, database: SqlDatabase) -> None:
        with pytest.raises(RuntimeError), database.writing() as transaction:
            transaction.requests.claim(KEY, "body", version_uid=None, time=NOON)
            raise RuntimeError
        with database.writing() as transaction:
            assert transaction.requests.claim(KEY, "body", version_uid=None, time=NOON) is None


class TestRegistrations:
    """The tasks behind PENDING versions."""

    def test_a_task_has_one_holder_until_its_lease_runs_out(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            version = add_version(transaction, add_model(transaction, "m"))
            assert transaction.registrations.is_any_due(at(1))
            assert leased(transaction, "a:1", at(1), at(61)) == [(version, 1)]
            assert not transaction.registrations.is_any_due(at(2))
            assert leased(transaction, "b:1", at(2), at(62)) == []
            assert transaction.registrations.is_leased_by(version, "a:1", at(60))
            assert not transaction.registrations.is_leased_by(version, "b:1", at(60))
            assert not transaction.registrations.is_leased_by(version, "a:1", at(61))
            assert leased(transaction, "b:1", at(62), at(99)) == [(version, 2)]
            assert not transaction.registrations.keep_lease(version, "a:1", until=at(200))
            assert transaction.registrations.keep_lease(version, "b:1", until=at(200))
            assert transaction.registrations.is_leased_by(version, "b:1", at(150))

    def test_each_model_has_one_task_at_a_time_and_the_oldest_first(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            one, other = add_model(transaction, "m"), add_model(transaction, "n")
            first = [add_version(transaction, one) for _ in range(3)]
            second = add_version(transaction, other)
            taken = leased(transaction, "a:1", at(1), at(61))
            assert sorted(version for version, _ in taken) == sorted([first[0], second])
            assert leased(transaction, "b:1", at(2), at(62)) == []
            assert transaction.versions.set_ready(first[0], 1, at(3))
            assert leased(transaction, "b:1", at(4), at(64)) == [(first[1], 1)]

    def test_a_task_that_looks_older_by_another_clock_waits_for_the_one_under_way(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            first = add_version(transaction, model)
            assert leased(transaction, "a:1", at(1), at(61)) == [(first, 1)]
            second = add_version(transaction, model, time=at(-30))
            assert leased(transaction, "b:1", at(2), at(62)) == []
            assert transaction.versions.set_ready(first, 1, at(3))
            assert leased(transaction, "b:1", at(4), at(64)) == [(second, 1)]

    def test_a_postponed_task_keeps_its_model_waiting_until_it_is_due(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            first, second = add_version(transaction, model), add_version(transaction, model)
            leased(transaction, "a:1", at(1), at(61))
            postpone = transaction.registrations.postpone
            postpone(first, "b:1", next_attempt=at(2), reason="STORE_FULL", message="not mine")
            assert transaction.registrations.last_failure(first) is None
            postpone(first, "a:1", next_attempt=at(30), reason="MLFLOW_UNAVAILABLE", message="away")
            assert transaction.registrations.last_failure(first) == ("MLFLOW_UNAVAILABLE", "away")
            assert transaction.registrations.last_failure(second) is None
            assert leased(transaction, "a:1", at(29), at(90)) == []
            assert leased(transaction, "a:1", at(30), at(90)) == [(first, 2)]

    def test_hastening_makes_a_postponed_task_due_and_leaves_a_leased_one_alone(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            version = add_version(transaction, add_model(transaction, "m"))
            leased(transaction, "a:1", at(1), at(61))
            transaction.registrations.hasten(version, at(2))
            assert leased(transaction, "b:1", at(3), at(63)) == []
            transaction.registrations.postpone(
                version, "a:1", next_attempt=at(500), reason="MLFLOW_UNAVAILABLE", message="away"
            )
            transaction.registrations.hasten(version, at(4))
            assert transaction.registrations.last_failure(version) is None
            assert leased(transaction, "b:1", at(4), at(64)) == [(version, 2)]

    def test_a_restarted_node_releases_its_own_leases_and_no_others(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            versions = [add_version(transaction, add_model(transaction, name)) for name in ("m", "n")]
            for holder in ("node:1", "node_2:1"):
                assert len(transaction.registrations.lease(holder, now=at(1), until=at(99), limit=1)) == 1
            transaction.registrations.release("node")
            transaction.registrations.release("node%")
            (again,) = leased(transaction, "node:2", at(2), at(99))
            assert again in [(version, 2) for version in versions]

    def test_a_settled_version_has_no_task(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            ready, failed = add_version(transaction, model), add_version(transaction, model)
            transaction.versions.set_ready(ready, 1, NOON)
            transaction.versions.set_failed(failed, "REGISTRATION_FAILED", "no", NOON)
            assert not transaction.registrations.is_any_due(at(9))

    def test_processes_that_lease_at_once_never_take_the_same_task(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            for index in range(12):
                add_version(transaction, add_model(transaction, f"m{index}"))

        def work(holder: str) -> list[str]:
            taken: list[str] = []
            for _ in range(6):
                with database.writing() as transaction:
                    taken += [version for version, _ in leased(transaction, holder, at(1), at(99), limit=2)]
            return taken

        taken = together([lambda n=n: work(f"h{n}:1") for n in range(4)])  # type: ignore[misc]
        flat = [version for part in taken for version in part]
        assert len(flat) == len(set(flat)) == 12


def leased(
    transaction: Transaction, holder: str, now: datetime, until: datetime, limit: int = 10
) -> list[tuple[str, int]]:
    tasks = transaction.registrations.lease(holder, now=now, until=until, limit=limit)
    return [(task.version_uid, task.attempts) for task in tasks]


def together(works: Sequence[Callable[[], list[str]]]) -> list[list[str]]:
    """Run them at once, each in a thread."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], list[str]]) -> list[str]:
        start.wait(WAIT_SECONDS)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


class TestMirror:
    """Which models MLflow has to catch up with."""

    def test_a_change_makes_its_model_due_and_finishing_it_ends_that(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            first, last = (transaction.journal.record(change(model)) for _ in range(2))
            assert transaction.mirror.is_any_due(at(1))
            (task,) = mirror_leased(transaction, "a:1", at(1))
            assert task == MirrorTask(model.uid, model.key, first - 1, last, 1)
            assert not transaction.mirror.is_any_due(at(2))
            transaction.mirror.finish(model.uid, "a:1", last)
            assert not transaction.mirror.is_any_due(at(999))
            assert mirror_leased(transaction, "a:1", at(999)) == []

    def test_what_came_in_meanwhile_keeps_the_model_due(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            first = transaction.journal.record(change(model))
            mirror_leased(transaction, "a:1", at(1))
            second = transaction.journal.record(change(model))
            transaction.mirror.finish(model.uid, "a:1", first)
            (task,) = mirror_leased(transaction, "a:1", at(1))
            assert (task.mirrored_sequence, task.wanted_sequence, task.attempts) == (first, second, 1)

    def test_only_the_holder_finishes_and_postpones(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            sequence = transaction.journal.record(change(model))
            mirror_leased(transaction, "a:1", at(1))
            transaction.mirror.finish(model.uid, "b:1", sequence)
            transaction.mirror.postpone(model.uid, "b:1", next_attempt=NOON, reason="MLFLOW_UNAVAILABLE")
            assert mirror_leased(transaction, "b:1", at(2)) == []
            assert transaction.mirror.progress().pending_models == 1
            transaction.mirror.postpone(model.uid, "a:1", next_attempt=at(30), reason="MLFLOW_UNAVAILABLE")
            assert mirror_leased(transaction, "b:1", at(29)) == []
            assert [task.attempts for task in mirror_leased(transaction, "b:1", at(30))] == [2]

    def test_a_lease_that_ran_out_is_taken_over_and_a_dead_node_s_is_released(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            transaction.journal.record(change(add_model(transaction, "m")))
            assert len(mirror_leased(transaction, "a:1", at(1))) == 1
            assert len(mirror_leased(transaction, "b:1", at(999))) == 1
            transaction.mirror.release("a")
            assert mirror_leased(transaction, "c:1", at(1_000)) == []
            transaction.mirror.release("b")
            assert len(mirror_leased(transaction, "c:1", at(1_000))) == 1

    def test_the_longest_behind_comes_first(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            models = [add_model(transaction, name) for name in ("m", "n", "o")]
            for index in (1, 0, 2, 1):
                transaction.journal.record(change(models[index]))
            order = [transaction.mirror.lease("a:1", now=at(1), until=at(9), limit=1)[0].model_uid for _ in models]
            assert order == [models[1].uid, models[0].uid, models[2].uid]

    def test_progress_counts_what_is_pending_and_never_goes_back(self, database: SqlDatabase) -> None:
        reached: list[int] = []

        def look(transaction: Transaction) -> int:
            progress = transaction.mirror.progress()
            reached.append(progress.mirrored_sequence)
            return progress.pending_models

        with database.writing() as transaction:
            assert look(transaction) == 0
            models = [add_model(transaction, name) for name in ("m", "n")]
            sequences = [transaction.journal.record(change(model)) for model in (*models, models[0])]
            assert look(transaction) == 2
            mirror_leased(transaction, "a:1", at(1))
            transaction.mirror.finish(models[1].uid, "a:1", sequences[1])
            assert look(transaction) == 1
            transaction.mirror.finish(models[0].uid, "a:1", sequences[2])
            assert look(transaction) == 0
            transaction.journal.record(change(models[1]))
            assert look(transaction) == 1
            assert transaction.mirror.progress().event_sequence == transaction.journal.head()
        assert reached == sorted(reached)
        assert reached[-1] == sequences[2]

    def test_progress_tells_since_when_the_oldest_change_waits(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            assert transaction.mirror.progress().pending_since is None
            models = [add_model(transaction, name) for name in ("m", "n")]
            for model, second in zip((*models, models[0]), (1, 2, 3), strict=True):
                transaction.journal.record(replace(change(model), time=at(second)))
            assert transaction.mirror.progress().pending_since == at(1)
            tasks = {task.model_uid: task for task in mirror_leased(transaction, "a:1", at(4))}
            for model, left in zip(models, (at(2), None), strict=True):
                transaction.mirror.finish(model.uid, "a:1", tasks[model.uid].wanted_sequence)
                assert transaction.mirror.progress().pending_since == left

    def test_a_change_that_mlflow_need_not_know_makes_nothing_due(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            sequence = transaction.journal.record(change(add_model(transaction, "m"), is_mirrored=False))
            assert not transaction.mirror.is_any_due(at(9))
            assert transaction.mirror.progress().mirrored_sequence == sequence


def mirror_leased(transaction: Transaction, holder: str, now: datetime) -> list[MirrorTask]:
    """Taken for a minute."""
    return list(transaction.mirror.lease(holder, now=now, until=now + timedelta(minutes=1), limit=10))


class TestJournal:
    """Audit and events."""

    def test_sequences_are_contiguous_and_events_tell_what_changed(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model, other = add_model(transaction, "m"), add_model(transaction, "n", tenant="acme-corp")
            facts: dict[str, Any] = {
                "number": 3,
                "alias": "champion",
                "before": {"version": 2},
                "after": {"version": 3, "ü": [1e20]},
            }
            changes = (change(model), change(other), change(model, "alias.moved", **facts))
            assert [transaction.journal.record(made) for made in changes] == [1, 2, 3]
            assert transaction.journal.head() == 3
            (last,) = transaction.journal.events(model.uid, after=1, until=3)
            assert (last.sequence, last.type, last.number, last.alias) == (3, "alias.moved", 3, "champion")
            assert (last.before, last.after) == (facts["before"], facts["after"])
            assert [e.sequence for e in transaction.journal.events(model.uid, after=0, until=2)] == [1]

    def test_the_last_event_of_a_type_about_a_version_is_found(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            for action in ("version.deleted", "version.updated", "version.updated"):
                transaction.journal.record(change(model, action, version_uid="a" * 32))
            assert transaction.journal.find_sequence("a" * 32, "version.updated") == 3
            assert transaction.journal.find_sequence("a" * 32, "version.deleted") == 1
            assert transaction.journal.find_sequence("b" * 32, "version.deleted") == 0

    def test_who_tails_the_events_never_sees_one_before_its_predecessor(self, database: SqlDatabase) -> None:
        writers, each = 8, 15
        with database.writing() as transaction:
            tenants = ("default", "acme-corp")
            models = [add_model(transaction, f"m{n}", tenant=tenants[n % 2]) for n in range(writers)]
        is_over = threading.Event()

        def tail() -> list[str]:
            seen: list[int] = []
            while True:
                is_last = is_over.is_set()
                with database.reading() as transaction:
                    head = transaction.journal.head()
                    pages = [transaction.journal.events(m.uid, after=len(seen), until=head) for m in models]
                found = sorted(event.sequence for page in pages for event in page)
                assert found == list(range(len(seen) + 1, head + 1))
                seen += found
                if is_last:
                    return [str(len(seen))]

        def write(model: NewModel) -> list[str]:
            made: list[str] = []
            for _ in range(each):
                with database.writing() as transaction:
                    made.append(str(transaction.journal.record(change(model))))
            return made

        with ThreadPoolExecutor(1) as pool:
            tailing = pool.submit(tail)
            made = together([lambda m=m: write(m) for m in models])  # type: ignore[misc]
            is_over.set()
            assert tailing.result(WAIT_SECONDS) == [str(writers * each)]
        assert sorted(int(sequence) for part in made for sequence in part) == list(range(1, writers * each + 1))
