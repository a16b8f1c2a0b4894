"""The past, against a plain evaluation of who held what when: whatever happened, at whatever times."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.history import PastVersion
from registrar_server.domain.errors import InvalidRequest, Reason, RegistrarError
from registrar_server.domain.lifecycle import AliasMove, Period
from registrar_server.domain.semantic_versions import SemanticRange
from registrar_server.domain.values import (
    ByAlias,
    ByNumber,
    BySemanticRange,
    BySemanticVersion,
    ByStage,
    ByUid,
    Selector,
    Stage,
)
from tests.fixtures.database import NOON, at, listening
from tests.fixtures.history import Past, State

ALIASES = ("canary", "champion")
HELD = (Stage.STAGING, Stage.PRODUCTION)
RANGES = ("*", "^1.0", "<1.1")
SEMANTIC_VERSIONS = ("", "1.0.0", "1.1.0", "2.0.0-rc.1")
MICROSECOND = timedelta(microseconds=1)
MOST_VERSIONS = 4


@pytest.fixture
def past(database: SqlDatabase) -> Past:
    return Past(database)


NUMBERS = st.integers(1, MOST_VERSIONS)
CHANGES: st.SearchStrategy[tuple[str, tuple[Any, ...]]] = st.one_of(
    st.tuples(st.just("register"), st.tuples(st.sampled_from(SEMANTIC_VERSIONS))),
    st.tuples(st.just("point"), st.tuples(st.sampled_from(ALIASES), NUMBERS)),
    st.tuples(st.just("remove"), st.tuples(st.sampled_from(ALIASES))),
    st.tuples(st.just("move"), st.tuples(NUMBERS, st.sampled_from(Stage))),
    st.tuples(st.just("move"), st.tuples(NUMBERS, st.just(Stage.PRODUCTION))),
    st.tuples(st.just("roll_back"), st.just(())),
    st.tuples(st.just("delete"), st.tuples(NUMBERS)),
    st.tuples(st.just("undelete"), st.tuples(NUMBERS)),
)
SECONDS = st.integers(0, 6)
"""Few, so that changes meet; and in any order, as clocks of several servers may give them."""


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(CHANGES, SECONDS), min_size=4, max_size=14),
    asked=st.lists(st.tuples(st.integers(-1, 7), st.integers(-1, 1)), min_size=2, max_size=4, unique=True),
)
def test_what_a_reference_named_is_what_a_plain_evaluation_says(
    database: SqlDatabase, changes: list[tuple[tuple[str, tuple[Any, ...]], int]], asked: list[tuple[int, int]]
) -> None:
    past = Past(database)
    past.register(SEMANTIC_VERSIONS[1])
    past.register(SEMANTIC_VERSIONS[2])
    for (name, arguments), seconds in changes:
        past.clock.time = at(seconds)
        _try(lambda name=name, arguments=arguments: getattr(past, name)(*arguments))  # type: ignore[misc]
    past.pass_by()
    for seconds, microseconds in asked:
        _compare(past, at(seconds) + microseconds * MICROSECOND)


def _try(do: Callable[[], None]) -> None:
    """What is refused changes nothing."""
    try:
        do()
    except RegistrarError:
        return


def _compare(past: Past, moment: datetime) -> None:
    was = past.as_of(moment)
    for selector, wanted, reason in _expected(was):
        if wanted and wanted in was.semantic_versions:
            found = past.history.get(past.ref(selector), moment)
            assert _told(found) == _known(was, wanted), (selector, moment)
        else:
            refused = _refusal(past, selector, moment)
            assert (refused.reason, "at_time" in refused.metadata) == (reason, True), (selector, moment)


def _expected(was: State) -> list[tuple[Selector, int, Reason]]:
    """Each reference with the number that it named (0: none), and why there is none."""
    found: list[tuple[Selector, int, Reason]] = []
    found += [(ByAlias(alias), was.aliases.get(alias, 0), Reason.ALIAS_NOT_FOUND) for alias in ALIASES]
    found += [(ByStage(stage), next(iter(was.holders(stage)), 0), Reason.STAGE_EMPTY) for stage in HELD]
    found += [(ByNumber(number), number, Reason.VERSION_NOT_FOUND) for number in range(1, MOST_VERSIONS + 1)]
    for text in SEMANTIC_VERSIONS[1:]:
        number = was.highest_in(SemanticRange.parse(text))
        found.append((BySemanticVersion(text), number, Reason.VERSION_NOT_FOUND))
    for text in RANGES:
        wanted = SemanticRange.parse(text)
        found.append((BySemanticRange(wanted), was.highest_in(wanted), Reason.VERSION_NOT_FOUND))
    return found


def _known(was: State, number: int) -> tuple[object, ...]:
    stage, time = was.stages.get(number, (Stage.NONE, None))
    return number, stage, time, was.named(number), number in was.deleted


def _told(found: PastVersion) -> tuple[object, ...]:
    version, moved = found.version, found.transition
    assert (moved is None) or (moved.number, moved.to_stage) == (version.number, version.stage)
    assert (found.alias_move is None) or found.alias_move.to_number == version.number
    return version.number, version.stage, moved and moved.time, list(version.aliases), found.is_deleted


def _refusal(past: Past, selector: Selector, moment: datetime) -> RegistrarError:
    with pytest.raises(RegistrarError) as caught:
        past.history.get(past.ref(selector), moment)
    return caught.value


def test_the_moment_of_a_move_belongs_to_the_new_holder(past: Past) -> None:
    past.register()
    past.register()
    past.clock.time = at(1)
    past.move(1, Stage.PRODUCTION)
    past.clock.time = at(2)
    past.move(2, Stage.PRODUCTION)
    past.pass_by()

    def holder(moment: datetime) -> int:
        return past.history.get(past.ref(ByStage(Stage.PRODUCTION)), moment).version.number

    assert _refusal(past, ByStage(Stage.PRODUCTION), at(1) - MICROSECOND).reason is Reason.STAGE_EMPTY
    assert [holder(at(1)), holder(at(2) - MICROSECOND), holder(at(2))] == [1, 1, 2]
    displaced = past.history.get(past.ref(ByNumber(1)), at(2))
    assert (displaced.version.stage, displaced.version.stage_time) == (Stage.ARCHIVED, at(2))
    assert displaced.transition is not None
    assert (displaced.transition.caused_by, displaced.transition.actor) == (2, "local")


def test_clocks_that_disagree_never_make_two_holders_of_one(past: Past) -> None:
    for _ in range(3):
        past.register()
    for number, seconds in ((1, 1), (2, 10), (3, 5)):
        past.clock.time = at(seconds)
        past.move(number, Stage.PRODUCTION)
    past.pass_by()
    found = [
        past.history.get(past.ref(ByStage(Stage.PRODUCTION)), at(seconds)).version.number for seconds in (4, 5, 7, 10)
    ]
    assert found == [1, 3, 3, 3]


def test_several_holders_of_a_stage_are_refused_as_of_then(past: Past) -> None:
    past.register()
    past.register()
    past.clock.time = at(1)
    for number in (1, 2):
        past.move(number, Stage.PRODUCTION)
    with past.database.writing() as transaction:
        # As where a policy allows several: nobody was displaced.
        connection = transaction.transitions._connection
        connection.exec_driver_sql("DELETE FROM transitions WHERE kind = 'displaced'")
    past.pass_by()
    refused = _refusal(past, ByStage(Stage.PRODUCTION), at(1))
    assert refused.reason is Reason.STAGE_HAS_SEVERAL_HOLDERS
    assert refused.metadata == {
        "stage": "production",
        "versions": "1, 2",
        "at_time": "2025-03-15T12:00:01Z",
    }


def test_a_version_that_was_deleted_since_still_was_what_it_was(past: Past) -> None:
    version_uid = past.register("1.0.0")
    past.clock.time = at(1)
    past.move(1, Stage.PRODUCTION)
    past.point("champion", 1)
    past.clock.time = at(2)
    past.move(1, Stage.ARCHIVED)
    past.remove("champion")
    past.delete(1)
    past.pass_by()
    selectors: list[Selector] = [
        ByStage(Stage.PRODUCTION),
        ByAlias("champion"),
        ByNumber(1),
        ByUid(version_uid),
        BySemanticVersion("1.0.0"),
        BySemanticRange(SemanticRange.parse("^1")),
    ]
    for selector in selectors:
        found = past.history.get(past.ref(selector), at(1))
        assert (found.version.stage, found.version.aliases) == (Stage.PRODUCTION, ("champion",))
        assert (found.is_deleted, found.version.delete_time) == (False, at(2))
    reasons = [
        Reason.STAGE_EMPTY,
        Reason.ALIAS_NOT_FOUND,
        None,
        None,
        Reason.VERSION_NOT_FOUND,
        Reason.VERSION_NOT_FOUND,
    ]
    for selector, reason in zip(selectors, reasons, strict=True):
        if reason is None:
            assert past.history.get(past.ref(selector), at(2)).is_deleted
        else:
            assert _refusal(past, selector, at(2)).reason is reason


def test_what_is_not_ready_was_not_there(past: Past) -> None:
    pending = past.register("1.0.0", is_ready=False)
    past.pass_by()
    for selector in (ByUid(pending), BySemanticVersion("1.0.0"), BySemanticRange(SemanticRange.parse("*"))):
        assert _refusal(past, selector, at(1)).reason is Reason.VERSION_NOT_FOUND


def test_versions_are_compared_as_they_were(past: Past) -> None:
    past.register()
    past.register()
    past.clock.time = at(1)
    past.move(1, Stage.PRODUCTION)
    past.clock.time = at(2)
    past.move(2, Stage.PRODUCTION)
    past.delete(1)
    past.pass_by()
    refs = [past.ref(ByNumber(2)), past.ref(ByNumber(1))]
    was = past.history.compare(refs, at(1))
    assert [version.stage for version in was.versions] == [Stage.NONE, Stage.PRODUCTION]
    with pytest.raises(RegistrarError) as caught:
        past.history.compare(refs, at(2))
    assert caught.value.reason is Reason.VERSION_DELETED
    assert caught.value.metadata["at_time"] == "2025-03-15T12:00:02Z"
    with pytest.raises(InvalidRequest):
        past.history.compare([past.ref(ByStage(Stage.PRODUCTION)), past.ref(ByNumber(1))], at(1))


def test_what_is_still_to_come_is_refused(past: Past) -> None:
    past.register()
    past.clock.time = at(5)
    assert past.history.get(past.ref(ByNumber(1)), at(5)).version.number == 1
    with pytest.raises(InvalidRequest) as caught:
        past.history.get(past.ref(ByNumber(1)), at(5) + MICROSECOND)
    assert [violation.field for violation in caught.value.violations] == ["at_time"]


def test_nothing_of_another_model_is_found(database: SqlDatabase) -> None:
    one, other = Past(database), Past(database)
    for past in (one, other):
        past.register("1.0.0")
    one.move(1, Stage.PRODUCTION)
    one.point("champion", 1)
    other.pass_by()
    for selector in (ByStage(Stage.PRODUCTION), ByAlias("champion")):
        _refusal(other, selector, at(9))
    assert other.history.get(other.ref(ByNumber(1)), at(9)).version.aliases == ()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    times=st.lists(SECONDS, min_size=1, max_size=8),
    start=st.none() | SECONDS,
    end=st.none() | SECONDS,
    size=st.integers(1, 3),
)
def test_a_history_within_a_period_has_what_happened_then(
    database: SqlDatabase, times: list[int], start: int | None, end: int | None, size: int
) -> None:
    past = Past(database)
    past.register()
    past.register()
    for index, seconds in enumerate(times):
        past.clock.time = at(seconds)
        past.point("champion", index % 2 + 1)
        past.move(1, Stage.STAGING if index % 2 else Stage.NONE)
        past.move(1, Stage.NONE if index % 2 else Stage.STAGING)
    period = Period(None if start is None else at(start), None if end is None else at(end))

    def is_meant(time: datetime) -> bool:
        return (period.start is None or time >= period.start) and (period.end is None or time < period.end)

    key = past.model.key
    moves = past.aliases.history(key, alias="", before=0, limit=99)
    assert len(moves) == len(times)
    found: list[AliasMove] = []
    while page := past.aliases.history(
        key, alias="champion", before=found[-1].sequence if found else 0, limit=size, period=period
    ):
        found += page
    assert found == [move for move in moves if is_meant(move.time)]
    transitions = past.lifecycle.history(key, number=0, before=None, limit=99)
    meant = [one for one in transitions if is_meant(one[1].time)]
    assert past.lifecycle.history(key, number=1, before=None, limit=99, period=period) == meant


SELECTORS: dict[str, Callable[[str], Selector]] = {
    "by number": lambda _: ByNumber(1),
    "by uid": ByUid,
    "by alias": lambda _: ByAlias("champion"),
    "by stage": lambda _: ByStage(Stage.PRODUCTION),
    "by semantic version": lambda _: BySemanticVersion("1.0.0"),
    "by range": lambda _: BySemanticRange(SemanticRange.parse("^1.0")),
}


def _reads(database: SqlDatabase, name: str) -> list[tuple[str, Any]]:
    """The statements of one read of a past that has something of everything."""
    past = Past(database)
    version_uid = past.register("1.0.0")
    past.move(1, Stage.PRODUCTION)
    past.point("champion", 1)
    period = Period(NOON, at(1))
    with listening(database) as heard:
        if name == "transitions":
            assert past.lifecycle.history(past.model.key, number=1, before=(99, 9), limit=9, period=period)
        elif name == "alias moves":
            assert past.aliases.history(past.model.key, alias="champion", before=99, limit=9, period=period)
        else:
            assert past.history.get(past.ref(SELECTORS[name](version_uid)), NOON).version.number == 1
    return heard.made


READS = [*SELECTORS, "transitions", "alias moves"]


@pytest.mark.parametrize("name", READS)
def test_the_past_is_so_many_statements_and_no_more(database: SqlDatabase, name: str) -> None:
    wanted = {"transitions": 2, "alias moves": 2, "by alias": 7, "by stage": 7}
    assert len(_reads(database, name)) == wanted.get(name, 6)


@pytest.mark.parametrize("name", READS)
def test_sqlite_reads_the_past_from_indexes(sqlite_database: SqlDatabase, name: str) -> None:
    made = _reads(sqlite_database, name)
    connection = sqlite3.connect(str(sqlite_database._engine.url.database))
    try:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for statement, parameters in made:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            scanned = {row[3].split()[1] for row in plan if row[3].startswith("SCAN ")}
            assert not scanned & (tables | {"later", "each"}), plan
    finally:
        connection.close()


@pytest.mark.postgresql
@pytest.mark.parametrize("name", READS)
def test_postgresql_has_an_index_for_the_past(postgres_database: SqlDatabase, name: str) -> None:
    made = _reads(postgres_database, name)
    url = postgres_database._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        # A scan of a table this small is the best plan there is: forbidden, it is left only where there is no index.
        connection.execute("SET enable_seqscan = off")
        for statement, parameters in made:
            plan = [str(row[0]) for row in connection.execute(f"EXPLAIN {statement}".encode(), parameters)]
            assert [line for line in plan if "Seq Scan on" in line] == [], plan
