"""Upload sessions that many use at once: writers that interleave, workers that lease, commits that race."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import TypeVar

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.ports.database import PartKey
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.database import NOON, at
from tests.fixtures.sessions import (
    PART,
    Session,
    claim_bundle,
    commit_bundle,
    file_of,
    lease_files,
    open_session,
    receive_all,
    session_of,
)

WAIT_SECONDS = 60
Outcome = TypeVar("Outcome")


def together(works: Sequence[Callable[[], Outcome]]) -> list[Outcome]:
    """Run them at once, each in a thread."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], Outcome]) -> Outcome:
        start.wait(WAIT_SECONDS)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def claim_missing(database: SqlDatabase, session: Session, wanted: Sequence[PartKey]) -> tuple[int, list[PartKey]]:
    """Become the writer of what is missing of these parts, as a stream does when it begins."""
    with database.writing() as transaction:
        assert transaction.uploads.lock(session.uid) is not None
        received = transaction.uploads.received(session.uid)
        parts = [(file, number) for file, number in wanted if number not in received.get(file, ())]
        return transaction.uploads.claim_parts(session.uid, parts), parts


def record(database: SqlDatabase, session: Session, epoch: int, etags: dict[PartKey, str]) -> bool:
    """All of them or none."""
    with database.writing() as transaction:
        is_recorded = transaction.uploads.record_parts(session.uid, epoch, etags)
        if not is_recorded:
            transaction.discard()
        return is_recorded


def etag_of(epoch: int, part: PartKey) -> str:
    return f"{part[0]}-{part[1]} by {epoch}"


def test_of_writers_that_claim_the_same_parts_at_once_the_last_has_them(database: SqlDatabase) -> None:
    with database.writing() as transaction:
        session = session_of(transaction, 40 * PART, 40 * PART)
    parts = [(file, number) for file in range(2) for number in range(1, 41)]

    def claim(wanted: Sequence[PartKey]) -> list[int]:
        return [claim_missing(database, session, wanted)[0] for _ in range(5)]

    # Each in an order of its own: that must not become a deadlock.
    orders = [parts, parts[::-1], parts[1::2] + parts[::2], parts[40:] + parts[:40]]
    epochs = [epoch for part in together([partial(claim, o) for o in orders]) for epoch in part]
    assert len(set(epochs)) == len(epochs) == 20
    last = max(epochs)
    for epoch in epochs:
        with database.reading() as transaction:
            assert transaction.uploads.owns(session.uid, epoch, parts) == (epoch == last)
        assert record(database, session, epoch, {part: etag_of(epoch, part) for part in parts}) == (epoch == last)


def test_a_part_that_a_zombie_records_late_is_never_in_the_file(database: SqlDatabase) -> None:
    """Writers take each other's parts over again and again; what was recorded stays, and each part has one etag."""
    count, writers = 60, 4
    with database.writing() as transaction:
        session = session_of(transaction, count * PART)
    wanted = [(0, number) for number in range(1, count + 1)]

    def write(order: int) -> dict[PartKey, str]:
        mine: dict[PartKey, str] = {}
        while True:
            epoch, parts = claim_missing(database, session, wanted[:: 1 if order % 2 else -1])
            if not parts:
                return mine
            for start in range(0, len(parts), 3):
                some = {part: etag_of(epoch, part) for part in parts[start : start + 3]}
                if not record(database, session, epoch, some):
                    break
                mine |= some
                # Let another come in between: a writer that is alone is no race.
                if start >= 9 * (order + 1):
                    break

    told = together([partial(write, n) for n in range(writers)])
    recorded: dict[PartKey, str] = {}
    for some in told:
        assert not recorded.keys() & some.keys()
        recorded |= some
    assert sorted(recorded) == wanted
    with database.reading() as transaction:
        assert list(transaction.uploads.etags(session.uid, 0)) == [recorded[part] for part in wanted]


def test_a_claim_in_the_middle_of_a_record_waits_for_it(database: SqlDatabase) -> None:
    with database.writing() as transaction:
        session = session_of(transaction, 3 * PART)
        first = transaction.uploads.claim_parts(session.uid, [(0, 1), (0, 2)])
    with ThreadPoolExecutor(1) as pool:
        with database.writing() as transaction:
            assert transaction.uploads.record_parts(session.uid, first, {(0, 1): "a"})
            claiming = pool.submit(claim_missing, database, session, [(0, 1), (0, 2)])
            assert wait([claiming], timeout=0.2).not_done
        later, parts = claiming.result(WAIT_SECONDS)
    assert parts == [(0, 2)]
    assert not record(database, session, first, {(0, 2): "old"})
    assert record(database, session, later, {(0, 2): "new"})


def test_workers_that_lease_at_once_never_take_the_same_file(database: SqlDatabase) -> None:
    with database.writing() as transaction:
        sessions = [
            open_session(transaction, [file_of(n, n % 5, source_key="k", content=f"{s} {n}") for n in range(15)])
            for s in range(3)
        ]

    def work(holder: str) -> list[tuple[str, int]]:
        taken: list[tuple[str, int]] = []
        misses = 0
        # Rows that another is about to take are passed over: nothing found is not yet nothing left.
        while misses < 5:
            with database.writing() as transaction:
                tasks = lease_files(transaction, holder, at(1), at(99), limit=2)
                assert all(
                    transaction.uploads.keep_lease(t.session.uid, t.file.index, holder, until=at(99)) for t in tasks
                )
            taken += [(task.session.uid, task.file.index) for task in tasks]
            misses = 0 if tasks else misses + 1
        return taken

    taken = Counter(key for part in together([partial(work, f"h{n}:1") for n in range(4)]) for key in part)
    assert taken == Counter((session.uid, n) for session in sessions for n in range(15))


def test_of_workers_that_take_over_a_lease_at_once_one_has_it(database: SqlDatabase) -> None:
    with database.writing() as transaction:
        session = open_session(transaction, [file_of(0, 25, source_key="k")])
        assert len(lease_files(transaction, "dead:1", NOON, at(1))) == 1
    holders = [f"h{n}:1" for n in range(4)]

    def take_over(holder: str) -> int:
        with database.writing() as transaction:
            return len(lease_files(transaction, holder, at(2), at(99)))

    assert sorted(together([partial(take_over, h) for h in holders])) == [0, 0, 0, 1]

    def store(holder: str) -> bool:
        with database.writing() as transaction:
            return transaction.uploads.set_stored(session.uid, 0, holder)

    assert sorted(together([partial(store, h) for h in [*holders, "dead:1"]])) == [False] * 4 + [True]


def test_of_callers_that_open_a_session_at_once_one_does(database: SqlDatabase) -> None:
    files = [file_of(index, 25) for index in range(20)]
    with database.writing() as transaction:
        model = open_session(transaction, [file_of(0, 1)]).model
    manifest = Session("", model, tuple(files)).manifest

    def open_it() -> tuple[str, bool]:
        with database.writing() as transaction:
            transaction.models.lock_reserved(model.key)
            claim = claim_bundle(transaction, model, manifest, at(60))
            size = manifest.size_bytes
            return claim.uid, transaction.uploads.open(claim.uid, files, size_bytes=size, created_by="a", time=NOON)

    outcomes = together([open_it] * 4)
    assert len({uid for uid, _ in outcomes}) == 1
    assert sorted(is_opened for _, is_opened in outcomes) == [False, False, False, True]
    with database.reading() as transaction:
        assert list(transaction.uploads.files(outcomes[0][0])) == files


def test_writers_that_begin_a_store_upload_at_once_agree_on_one(database: SqlDatabase) -> None:
    with database.writing() as transaction:
        session = session_of(transaction, 25)

    def begin(store_upload_id: str) -> str:
        with database.writing() as transaction:
            return transaction.uploads.set_store_upload(session.uid, 0, store_upload_id)

    assert len(set(together([partial(begin, f"up-{n}") for n in range(4)]))) == 1


def test_a_failure_is_told_to_one_of_those_who_ask_at_once(database: SqlDatabase) -> None:
    with database.writing() as transaction:
        session = session_of(transaction, *[25] * 6)
        receive_all(transaction, session, *range(6))
        transaction.uploads.begin(session.uid, range(6), time=NOON)
        lease_files(transaction, "a:1", at(1), at(99))
        for index in range(6):
            assert transaction.uploads.reset(session.uid, index, "a:1", failure="digest")

    def take() -> list[int]:
        with database.writing() as transaction:
            return list(transaction.uploads.take_failures(session.uid))

    with ThreadPoolExecutor(1) as pool:
        with database.writing() as transaction:
            first = list(transaction.uploads.take_failures(session.uid))
            second = pool.submit(take)
            assert wait([second], timeout=0.2).not_done
        assert (first, second.result(WAIT_SECONDS)) == (list(range(6)), [])


def test_a_wipe_is_announced_before_the_commit_or_not_at_all(database: SqlDatabase) -> None:
    with database.writing() as transaction:
        sessions = [session_of(transaction, size) for size in range(1, 13)]

    def commit(session: Session) -> bool:
        try:
            with database.writing() as transaction:
                return commit_bundle(transaction, session)
        except RegistrarError as exc:
            assert exc.reason is Reason.DATABASE_BUSY
            return False

    def wipe(session: Session) -> bool:
        with database.writing() as transaction:
            return transaction.uploads.begin_wipe(session.uid)

    for session in sessions:
        is_committed, is_wiped = together([partial(commit, session), partial(wipe, session)])
        assert is_committed != is_wiped


def test_a_reset_and_a_late_record_leave_no_part(database: SqlDatabase) -> None:
    with database.writing() as transaction:
        sessions = [session_of(transaction, 30 * PART) for _ in range(6)]
        epochs = [receive_all(transaction, session, 0) for session in sessions]
        for session in sessions:
            transaction.uploads.begin(session.uid, [0], time=NOON)
        lease_files(transaction, "a:1", at(1), at(99))

    def reset(session: Session) -> bool:
        with database.writing() as transaction:
            return transaction.uploads.reset(session.uid, 0, "a:1", failure="digest")

    for session, epoch in zip(sessions, epochs, strict=True):
        etags: dict[PartKey, str] = {(0, number): f"etag-{(0, number)}" for number in range(30, 0, -1)}
        is_reset, _ = together([partial(reset, session), partial(record, database, session, epoch, etags)])
        assert is_reset
        with database.reading() as transaction:
            assert transaction.uploads.received(session.uid) == {}
