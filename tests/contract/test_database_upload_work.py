"""What every implementation of the port `Database` must do: files of upload sessions that are to be copied or verified."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.ports.database import Transaction
from registrar_server.domain.uploads import FileState
from tests.fixtures.database import NOON, at
from tests.fixtures.sessions import (
    Session,
    commit_bundle,
    file_of,
    lease_files,
    open_session,
    receive_all,
    session_of,
)

LATE = at(10_000)


def leased(
    transaction: Transaction, holder: str, now: datetime, until: datetime = LATE, limit: int = 100
) -> Sequence[tuple[str, int]]:
    tasks = lease_files(transaction, holder, now, until, limit)
    return [(task.session.uid, task.file.index) for task in tasks]


def verifying(transaction: Transaction, *sizes: int) -> Session:
    """A session of which every file is to be verified since noon."""
    session = session_of(transaction, *sizes)
    receive_all(transaction, session, *range(len(sizes)))
    transaction.uploads.begin(session.uid, range(len(sizes)), time=NOON)
    return session


class TestLeases:
    """One worker at a time."""

    def test_a_file_with_a_source_is_due_at_once_and_one_without_never(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session_of(transaction, 7, 25)
            assert not transaction.uploads.is_any_due(LATE)
            session = open_session(transaction, [file_of(0, 7), file_of(1, 7, source_key="default/m/x/ä")])
            assert not transaction.uploads.is_any_due(at(-1))
            assert transaction.uploads.is_any_due(NOON)
            (task,) = lease_files(transaction, "a:1", NOON, at(9))
            assert task.file == session.files[1]
            assert task.session == transaction.uploads.find(session.uid)

    def test_a_file_is_verified_when_that_was_begun_and_it_was_missing(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = open_session(transaction, [file_of(0, 25), file_of(1, 25), file_of(2, 7, source_key="k")])
            receive_all(transaction, session, 0)
            assert transaction.uploads.record_stored(session.uid, receive_all(transaction, session, 1), [1])
            transaction.uploads.begin(session.uid, [0, 1, 2], time=at(5))
            counts = {FileState.VERIFYING: 1, FileState.COPYING: 1}
            assert transaction.uploads.count_unfinished(session.uid) == counts
            assert leased(transaction, "a:1", at(4)) == [(session.uid, 2)]
            assert leased(transaction, "a:1", at(5)) == [(session.uid, 0)]

    def test_the_smallest_files_come_first_whatever_their_sessions(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            one, other = verifying(transaction, 300, 10, 200), verifying(transaction, 250, 0)
            assert leased(transaction, "a:1", at(1), limit=2) == [(other.uid, 1), (one.uid, 1)]
            assert leased(transaction, "a:1", at(1), limit=2) == [(one.uid, 2), (other.uid, 0)]
            assert leased(transaction, "a:1", at(1), limit=2) == [(one.uid, 0)]
            assert leased(transaction, "a:1", at(1), limit=2) == []

    def test_a_file_has_one_holder_until_the_lease_runs_out(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = verifying(transaction, 25)
            assert leased(transaction, "a:1", at(1), at(61)) == [(session.uid, 0)]
            assert not transaction.uploads.is_any_due(at(61))
            assert leased(transaction, "b:1", at(61)) == []
            assert transaction.uploads.keep_lease(session.uid, 0, "a:1", until=at(90))
            assert not transaction.uploads.keep_lease(session.uid, 0, "b:1", until=at(999))
            assert leased(transaction, "b:1", at(89)) == []
            assert transaction.uploads.is_any_due(at(91))
            assert leased(transaction, "b:1", at(91)) == [(session.uid, 0)]

    def test_who_has_lost_a_lease_changes_nothing(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = verifying(transaction, 25)
            assert leased(transaction, "a:1", at(1), at(2)) == leased(transaction, "b:1", at(3), at(99))
            assert not transaction.uploads.keep_lease(session.uid, 0, "a:1", until=at(99))
            assert not transaction.uploads.set_stored(session.uid, 0, "a:1")
            assert not transaction.uploads.reset(session.uid, 0, "a:1", failure="digest")
            transaction.uploads.postpone(session.uid, 0, "a:1", until=NOON)
            assert leased(transaction, "c:1", at(4)) == []
            assert transaction.uploads.count_unfinished(session.uid) == {FileState.VERIFYING: 1}
            assert transaction.uploads.received(session.uid) == {0: [1, 2, 3]}
            assert transaction.uploads.take_failures(session.uid) == {}
            assert transaction.uploads.set_stored(session.uid, 0, "b:1")

    def test_a_postponed_file_is_due_again_when_it_is_time(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = verifying(transaction, 25)
            leased(transaction, "a:1", at(1))
            transaction.uploads.postpone(session.uid, 0, "a:1", until=at(30))
            assert not transaction.uploads.keep_lease(session.uid, 0, "a:1", until=LATE)
            assert not transaction.uploads.is_any_due(at(29))
            assert leased(transaction, "b:1", at(29)) == []
            assert leased(transaction, "b:1", at(30)) == [(session.uid, 0)]

    def test_a_restarted_node_releases_its_own_leases_and_no_others(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = verifying(transaction, 1, 2, 3)
            for holder in ("node:1", "node_2:1", "nodex:1"):
                assert len(leased(transaction, holder, at(1), limit=1)) == 1
            for name in ("node", "node%", "nod_x", "n"):
                transaction.uploads.release(name)
            assert leased(transaction, "node:2", at(2)) == [(session.uid, 0)]
            assert not transaction.uploads.keep_lease(session.uid, 0, "node:1", until=LATE)
            assert transaction.uploads.keep_lease(session.uid, 1, "node_2:1", until=LATE)

    @pytest.mark.parametrize("end", ["given up", "expired", "committed", "cleared away"])
    def test_nobody_works_for_a_session_that_is_over(self, database: SqlDatabase, end: str) -> None:
        with database.writing() as transaction:
            session = verifying(transaction, 25, 35)
            assert leased(transaction, "a:1", at(1), limit=1) == [(session.uid, 0)]
            if end == "committed":
                assert commit_bundle(transaction, session)
            elif end == "given up":
                assert transaction.uploads.expire(session.uid, time=at(2))
            else:
                assert len(transaction.bundles.lease_abandoned(now=at(61), until=at(90), limit=9)) == 1
                assert end == "expired" or transaction.bundles.forget(session.uid, lease=at(90))
            assert not transaction.uploads.keep_lease(session.uid, 0, "a:1", until=LATE)
            assert not transaction.uploads.set_stored(session.uid, 0, "a:1")
            assert not transaction.uploads.reset(session.uid, 0, "a:1", failure="digest")
            assert not transaction.uploads.is_any_due(LATE)
            assert leased(transaction, "b:1", LATE) == []

    def test_a_session_that_ran_out_and_is_still_written_to_goes_on(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = verifying(transaction, 25)
            assert leased(transaction, "a:1", at(61)) == [(session.uid, 0)]
            transaction.uploads.extend(session.uid, until=at(120))
            assert list(transaction.bundles.lease_abandoned(now=at(62), until=at(90), limit=9)) == []


class TestOutcomes:
    """What becomes of the work."""

    def test_a_stored_file_is_done(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = open_session(transaction, [file_of(0, 25, source_key="default/m/x/ä")])
            leased(transaction, "a:1", at(1))
            assert transaction.uploads.set_stored(session.uid, 0, "a:1")
            (file,) = transaction.uploads.files(session.uid)
            assert (file.state, file.source_key) == (FileState.STORED, "")
            assert not transaction.uploads.is_any_due(LATE)
            assert not transaction.uploads.keep_lease(session.uid, 0, "a:1", until=LATE)
            assert transaction.uploads.count_unfinished(session.uid) == {}

    def test_a_file_that_was_reset_is_missing_whole_and_is_written_anew(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 25, 35)
            transaction.uploads.set_store_upload(session.uid, 0, "up-1")
            before = receive_all(transaction, session, 0)
            receive_all(transaction, session, 1)
            transaction.uploads.begin(session.uid, [0], time=NOON)
            leased(transaction, "a:1", at(1))
            assert transaction.uploads.reset(session.uid, 0, "a:1", failure="digest")
            assert list(transaction.uploads.files(session.uid)) == list(session.files)
            assert transaction.uploads.received(session.uid) == {1: [1, 2, 3, 4]}
            assert not transaction.uploads.is_any_due(LATE)
            assert not transaction.uploads.keep_lease(session.uid, 0, "a:1", until=LATE)
            assert not transaction.uploads.record_parts(session.uid, before, {(0, 1): "etag-(0, 1)"})
            assert not transaction.uploads.record_stored(session.uid, before, [0])
            assert transaction.uploads.set_store_upload(session.uid, 0, "up-2") == "up-2"
            assert receive_all(transaction, session, 0) > before
            transaction.uploads.begin(session.uid, [0], time=at(2))
            assert leased(transaction, "b:1", at(2)) == [(session.uid, 0)]

    def test_a_copy_that_is_given_up_is_missing_and_asks_for_its_bytes(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = open_session(transaction, [file_of(0, 25, source_key="default/m/x/ä")])
            leased(transaction, "a:1", at(1))
            assert transaction.uploads.reset(session.uid, 0, "a:1", failure="")
            (file,) = transaction.uploads.files(session.uid)
            assert (file.state, file.source_key) == (FileState.MISSING, "")
            assert transaction.uploads.take_failures(session.uid) == {}
            receive_all(transaction, session, 0)
            assert commit_bundle(transaction, session)

    def test_a_failure_is_told_once(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session, other = verifying(transaction, 25, 35, 45), verifying(transaction, 25)
            leased(transaction, "a:1", at(1))
            assert transaction.uploads.reset(session.uid, 2, "a:1", failure="parts")
            assert transaction.uploads.reset(session.uid, 0, "a:1", failure="digest")
            assert transaction.uploads.take_failures(other.uid) == {}
            assert transaction.uploads.take_failures(session.uid) == {0: "digest", 2: "parts"}
            assert transaction.uploads.take_failures(session.uid) == {}

    def test_a_failure_that_was_mended_since_is_not_told(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = verifying(transaction, 7, 25, 35)
            leased(transaction, "a:1", at(1))
            for index in range(3):
                assert transaction.uploads.reset(session.uid, index, "a:1", failure="digest")
            assert transaction.uploads.record_stored(session.uid, receive_all(transaction, session, 0), [0])
            receive_all(transaction, session, 1)
            transaction.uploads.begin(session.uid, [1], time=at(2))
            leased(transaction, "a:1", at(2))
            assert transaction.uploads.set_stored(session.uid, 1, "a:1")
            assert transaction.uploads.take_failures(session.uid) == {2: "digest"}
