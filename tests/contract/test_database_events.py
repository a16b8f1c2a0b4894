"""What a cache needs of the database: a sequence without gaps in the order of commits, and reads outside transactions."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.event_tail import EventTail
from registrar_server.application.ports.database import ModelEvent
from registrar_server.application.reply_cache import Freshness, ReplyCache
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import (
    ByAlias,
    ByNumber,
    BySemanticVersion,
    ByStage,
    ByUid,
    ModelKey,
    Selector,
    Stage,
)
from registrar_server.domain.versions import Facts
from tests.fixtures.database import NOON, add_model, add_version, change
from tests.fixtures.proxy import TcpProxy
from tests.fixtures.stores import wait_until

KEY = ModelKey("default", "m")
WRITERS, CHANGES = 8, 25
WAIT_SECONDS = 20.0


def record(database: SqlDatabase, name: str, *, times: int = 1) -> list[int]:
    """Make a model and change it, each in a transaction of its own; the sequences."""
    with database.writing() as transaction:
        model = add_model(transaction, name)
        sequences = [transaction.journal.record(change(model))]
    for _ in range(times - 1):
        with database.writing() as transaction:
            sequences.append(transaction.journal.record(change(model)))
    return sequences


def test_a_database_without_events_begins_at_zero(database: SqlDatabase) -> None:
    assert database.events_after(0, limit=9) == (0, ())


def test_events_come_in_order_in_pages_with_their_models(database: SqlDatabase) -> None:
    sequences = [*record(database, "a", times=2), *record(database, "b")]
    assert sequences == [1, 2, 3]
    head, events = database.events_after(0, limit=2)
    assert (head, events) == (3, [ModelEvent(1, ModelKey("default", "a")), ModelEvent(2, ModelKey("default", "a"))])
    assert database.events_after(2, limit=2) == (3, [ModelEvent(3, ModelKey("default", "b"))])
    assert database.events_after(3, limit=2) == (3, ())


def test_a_tail_beside_many_writers_sees_every_event_once_and_never_steps_over_one(database: SqlDatabase) -> None:
    is_done = threading.Event()

    def write(writer: int) -> None:
        record(database, f"m{writer}", times=CHANGES)

    def follow() -> list[int]:
        seen: list[int] = []
        while True:
            was_done = is_done.is_set()
            _, events = database.events_after(seen[-1] if seen else 0, limit=50)
            seen += [event.sequence for event in events]
            if was_done and not events:
                return seen

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        following = pool.submit(follow)
        writing = [pool.submit(write, writer) for writer in range(WRITERS)]
        for one in writing:
            one.result()
        is_done.set()
        assert following.result() == list(range(1, WRITERS * CHANGES + 1))


def test_what_is_rolled_back_leaves_no_gap(database: SqlDatabase) -> None:
    record(database, "a")
    with pytest.raises(ZeroDivisionError), database.writing() as transaction:
        transaction.journal.record(change(add_model(transaction, "b")))
        _ = 1 / 0
    with database.writing() as transaction:
        transaction.journal.record(change(add_model(transaction, "c")))
        transaction.discard()
    assert record(database, "d") == [2]


def test_commits_are_told_when_they_are_there_for_all_and_nothing_else_is(database: SqlDatabase) -> None:
    told: list[tuple[Sequence[ModelEvent], int]] = []
    database.tell_commits(lambda events: told.append((list(events), database.events_after(0, limit=0)[0])))
    record(database, "a")
    with pytest.raises(ZeroDivisionError), database.writing() as transaction:
        transaction.journal.record(change(add_model(transaction, "b")))
        _ = 1 / 0
    with database.writing() as transaction:
        add_model(transaction, "without an event")
    with database.writing() as transaction:
        transaction.journal.record(change(add_model(transaction, "c")))
        transaction.discard()
    assert told == [([ModelEvent(1, ModelKey("default", "a"))], 1)]


def test_a_read_without_a_transaction_finds_what_one_within_finds(database: SqlDatabase) -> None:
    with database.writing() as transaction:
        model = add_model(transaction, "m")
        uids = [
            add_version(transaction, model, 1, facts=Facts(metrics={"auc": 0.5}, parameters={"depth": 7, "rate": 1.0})),
            add_version(transaction, model, 2, facts=Facts(semantic_version="1.0.0")),
            add_version(transaction, model),
        ]
        transaction.versions.set_stage(uids[1], Stage.PRODUCTION, is_exclusive=True, time=NOON)
        transaction.versions.set_deleted(uids[0], delete_time=NOON, purge_time=NOON, time=NOON)
        for alias in ("champion", "blue"):
            transaction.aliases.set(model.uid, alias, uids[1], 2)
    selectors: list[Selector] = [
        *(ByNumber(1), ByNumber(2), ByNumber(9), ByUid(uids[2]), ByUid("0" * 32), ByStage(Stage.PRODUCTION)),
        *(ByStage(Stage.STAGING), ByAlias("champion"), ByAlias("absent"), BySemanticVersion("1.0.0")),
    ]
    for selector in selectors:
        with database.reading() as transaction:
            within = transaction.versions.get(KEY, selector)
        assert list(database.resolve(KEY, selector)) == list(within), selector
        assert not database.resolve(ModelKey("acme-corp", "m"), selector)


def test_reads_go_on_when_every_idle_connection_was_cut(postgres_database: SqlDatabase) -> None:
    url = postgres_database._engine.url
    with TcpProxy(str(url.host), int(url.port or 0)) as proxy:
        through = url.set(drivername="postgresql", host="127.0.0.1", port=proxy.port)
        database = SqlDatabase(through.render_as_string(hide_password=False))
        try:
            record(database, "a")
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda _: database.events_after(0, limit=1), range(40)))
            proxy.cut()
            proxy.resume()
            assert database.events_after(0, limit=1)[0] == 1
            proxy.cut()
            with pytest.raises(RegistrarError) as caught:
                database.events_after(0, limit=1)
            assert caught.value.reason is Reason.DATABASE_UNAVAILABLE
        finally:
            database.close()


def test_a_statement_that_fails_says_why_in_our_words(postgres_database: SqlDatabase) -> None:
    url = postgres_database._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as holder:
        impatient = SqlDatabase(url, lock_timeout_seconds=0.2)
        try:
            holder.execute("LOCK TABLE counters IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(RegistrarError) as caught:
                impatient.events_after(0, limit=1)
            assert caught.value.reason is Reason.DATABASE_BUSY
            holder.rollback()
            assert impatient.events_after(0, limit=1) == (0, ())
        finally:
            impatient.close()


class TestEventTail:
    def test_a_change_elsewhere_empties_the_cache(self, database: SqlDatabase, database_url: str) -> None:
        elsewhere, cache = SqlDatabase(database_url), ReplyCache(300)
        tail = EventTail(database, cache, pause_seconds=0.01)
        tail.start()
        try:
            with elsewhere.writing() as transaction:
                model = add_model(transaction, "a")
                transaction.journal.record(change(model))
            wait_until(lambda: cache.position == 1, WAIT_SECONDS)
            _read(cache, "a", b"one")
            record(elsewhere, "b")
            wait_until(lambda: cache.position == 2, WAIT_SECONDS)
            assert _read(cache, "a", b"two") == b"one"
            with elsewhere.writing() as transaction:
                transaction.models.update(model.uid, description="x", tags={}, metric_goals={}, time=NOON)
                transaction.journal.record(change(model))
            wait_until(lambda: cache.position == 3, WAIT_SECONDS)
            assert _read(cache, "a", b"two") == b"two"
        finally:
            tail.stop()
            elsewhere.close()

    def test_it_begins_where_the_sequence_stands(self, database: SqlDatabase) -> None:
        record(database, "a", times=3)
        cache = ReplyCache(300)
        tail = EventTail(database, cache)
        tail.follow()
        assert (cache.position, tail.events_behind, tail.is_degraded) == (3, 0, False)

    def test_it_starts_anew_when_the_database_went_back_in_time(self, database: SqlDatabase) -> None:
        record(database, "a", times=2)
        cache = ReplyCache(300)
        cache.restart(7)
        tail = EventTail(database, cache)
        tail.follow()
        assert cache.position == 2

    def test_without_the_database_entries_live_on_and_it_says_so(self, postgres_database: SqlDatabase) -> None:
        url = postgres_database._engine.url
        with TcpProxy(str(url.host), int(url.port or 0)) as proxy:
            through = url.set(drivername="postgresql", host="127.0.0.1", port=proxy.port)
            database, cache = SqlDatabase(through.render_as_string(hide_password=False)), ReplyCache(300)
            tail = EventTail(database, cache, pause_seconds=0.01, patience_seconds=0.3)
            tail.start()
            try:
                record(database, "a")
                wait_until(lambda: cache.position == 1, WAIT_SECONDS)
                _read(cache, "a", b"one")
                proxy.cut()
                wait_until(lambda: tail.is_degraded, WAIT_SECONDS)
                assert _read(cache, "a", b"?") == b"one"
                record(postgres_database, "b")
                proxy.resume()
                wait_until(lambda: cache.position == 2 and not tail.is_degraded, WAIT_SECONDS)
            finally:
                tail.stop()
                database.close()


def _read(cache: ReplyCache, name: str, reply: bytes) -> bytes:
    return cache.read(ModelKey("default", name), "key", Freshness(), lambda: (reply, True))
