"""What every implementation of the port `SearchRecords` must do, on SQLite and PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.adapters.database.search import records as search_module
from registrar_server.application.ports.database import NewModel
from registrar_server.domain.access import EVERY_NAME
from registrar_server.domain.models import Model
from registrar_server.domain.search import (
    EVERYTHING,
    Begins,
    Column,
    Compared,
    Contains,
    Either,
    Ends,
    Every,
    Facet,
    Filter,
    InRange,
    Not,
    Operator,
    Order,
    Position,
    Present,
    Property,
    Restriction,
    Search,
    Word,
    Words,
)
from registrar_server.domain.semantic_versions import SemanticRange, SemanticVersion
from registrar_server.domain.values import ModelKey, Stage
from registrar_server.domain.versions import Dataset, Facts, MetricSlice, ModelVersion, Notes, Provenance
from tests.fixtures.database import NOON, at, change
from tests.fixtures.search import Shelf, in_order, matches

TEAM = Property(Facet.TAG, ("team",))
F1 = Property(Facet.METRIC, ("f1",))
ALIAS = Property(Facet.ALIAS)


def tagged(**tags: str) -> Notes:
    return Notes(tags=tags)


def equal(field: Column | Property, value: Any) -> Restriction:
    return Restriction(field, Compared(Operator.EQUAL, value))


def wanting(part: Filter, **fields: Any) -> Search:
    return Search("default", part, **fields)


def said(*texts: str) -> Words:
    return Words(tuple(Word(text) for text in texts))


@pytest.fixture
def shelf(database: SqlDatabase) -> Shelf:
    return Shelf(database)


@pytest.fixture
def model(shelf: Shelf) -> NewModel:
    return shelf.model("churn")


class TestFollowing:
    """What is searched is what is there, after every kind of change."""

    def test_a_version_is_found_when_it_is_ready_and_not_before(self, shelf: Shelf, model: NewModel) -> None:
        assert shelf.find(wanting(EVERYTHING)) == []
        first = shelf.register(model, 1)
        second = shelf.register(model, 2)
        assert shelf.find(wanting(EVERYTHING)) == [second, first]

    def test_a_found_version_is_as_a_read_gives_it(self, shelf: Shelf, model: NewModel) -> None:
        uid = shelf.register(model, 1, Facts(metrics={"f1": 0.5}), tagged(team="risk"))
        with shelf.database.reading() as transaction:
            (found,) = transaction.search.find(wanting(EVERYTHING))
            assert found.version == transaction.versions.get_by_uid(uid)
            assert found.position == Position(shelf.sequences[uid], "")

    def test_stages_of_all_who_moved_are_followed(self, shelf: Shelf, model: NewModel) -> None:
        old, new = shelf.register(model, 1), shelf.register(model, 2)
        shelf.move(model, old, 1, Stage.PRODUCTION, {})
        assert shelf.find(wanting(equal(Column.STAGE, "production"))) == [old]
        shelf.move(model, new, 2, Stage.PRODUCTION, {1: old})
        assert shelf.find(wanting(equal(Column.STAGE, "production"))) == [new]
        assert shelf.find(wanting(equal(Column.STAGE, "archived"))) == [old]
        later = Restriction(Column.UPDATE_TIME, Compared(Operator.GREATER, at(30)))
        assert shelf.find(wanting(later)) == [new, old]

    def test_tags_and_words_are_replaced_with_the_notes(self, shelf: Shelf, model: NewModel) -> None:
        facts = Facts(metrics={"f1": 0.5})
        uid = shelf.register(model, 1, facts, Notes(description="first words", tags={"team": "risk", "only": "here"}))
        shelf.note(model, uid, 1, Notes(description="other words", tags={"team": "growth"}))
        assert shelf.find(wanting(equal(TEAM, "growth"))) == [uid]
        assert shelf.find(wanting(equal(TEAM, "risk"))) == []
        assert shelf.find(wanting(Restriction(Property(Facet.TAG, ("only",)), Present()))) == []
        assert shelf.find(wanting(said("other"))) == [uid]
        assert shelf.find(wanting(said("first"))) == []
        assert shelf.find(wanting(equal(F1, 0.5))) == [uid]

    def test_words_of_the_model_are_words_of_its_versions(self, shelf: Shelf, model: NewModel) -> None:
        uid = shelf.register(model, 1, notes=Notes(description="trained on march"))
        other = shelf.register(shelf.model("other"), 1, notes=Notes(description="trained"))
        shelf.describe_model(model, "Who leaves the bank?", {"domain": "retail"})
        assert shelf.find(wanting(said("bank", "march"))) == [uid]
        assert shelf.find(wanting(said("retail"))) == [uid]
        later = shelf.register(model, 2)
        assert shelf.find(wanting(said("bank"))) == [later, uid]
        shelf.describe_model(model, "", {})
        assert shelf.find(wanting(said("bank"))) == []
        assert shelf.find(wanting(said("trained"))) == [other, uid]

    def test_an_alias_is_found_where_it_points(self, shelf: Shelf, model: NewModel) -> None:
        first, second = shelf.register(model, 1), shelf.register(model, 2)
        elsewhere = shelf.model("other")
        third = shelf.register(elsewhere, 1)
        shelf.point(model, "champion", first, 1)
        shelf.point(model, "canary", first, 1)
        shelf.point(elsewhere, "champion", third, 1)
        assert shelf.find(wanting(equal(ALIAS, "champion"))) == [third, first]
        shelf.point(model, "champion", second, 2)
        assert shelf.find(wanting(equal(ALIAS, "champion"))) == [third, second]
        shelf.point(model, "champion", "", 0)
        assert shelf.find(wanting(equal(ALIAS, "champion"))) == [third]
        shelf.point(model, "latest-good", first, 1)
        assert shelf.find(wanting(Restriction(ALIAS, Present()))) == [third, first]

    def test_what_is_deleted_is_not_found_until_it_is_back(self, shelf: Shelf, model: NewModel) -> None:
        first = shelf.register(model, 1, notes=tagged(team="risk"))
        second = shelf.register(model, 2, notes=tagged(team="risk"))
        asked = wanting(equal(TEAM, "risk"))
        shelf.hide(model, first, 1)
        assert shelf.find(wanting(EVERYTHING)) == shelf.find(asked) == [second]
        shelf.hide_model(model)
        assert shelf.find(wanting(EVERYTHING)) == shelf.find(asked) == []
        shelf.hide_model(model, is_deleted=False)
        assert shelf.find(wanting(EVERYTHING)) == shelf.find(asked) == [second]
        shelf.hide(model, first, 1, is_deleted=False)
        assert shelf.find(wanting(EVERYTHING)) == shelf.find(asked) == [second, first]

    def test_tenants_find_their_own_only(self, shelf: Shelf, model: NewModel) -> None:
        notes = Notes(description="the same words", tags={"team": "risk"})
        facts = Facts(metrics={"f1": 0.5})
        ours = shelf.register(model, 1, facts, notes)
        theirs = shelf.register(shelf.model("churn", "acme-corp"), 1, facts, notes)
        for part in (EVERYTHING, equal(TEAM, "risk"), said("same"), equal(Column.NAME, "churn"), equal(F1, 0.5)):
            for order in (Order(), Order(F1), Order(Column.NAME)):
                assert shelf.find(wanting(part, order=order)) == [ours]
                assert shelf.find(replace(wanting(part, order=order), tenant="acme-corp")) == [theirs]
        assert shelf.find(replace(wanting(EVERYTHING), tenant="nobody")) == []

    def test_a_change_that_is_discarded_is_not_found(self, shelf: Shelf, model: NewModel) -> None:
        uid = shelf.register(model, 1)
        with shelf.database.writing() as transaction:
            transaction.versions.set_stage(uid, Stage.STAGING, is_exclusive=True, time=at(1))
            transaction.journal.record(change(model, "version.stage_changed", version_uid=uid, number=1))
            assert [found.version.uid for found in transaction.search.find(wanting(equal(Column.STAGE, "staging")))]
            transaction.discard()
        assert shelf.find(wanting(equal(Column.STAGE, "none"))) == [uid]

    def test_long_texts_are_told_apart(self, shelf: Shelf, model: NewModel) -> None:
        long = "x" * 300
        first = shelf.register(model, 1, notes=Notes(tags={"team": long + "a", "k" * 128: "v"}))
        second = shelf.register(model, 2, notes=Notes(tags={"team": long + "b", "k" * 127 + "j": "v"}))
        assert shelf.find(wanting(Restriction(TEAM, Ends("xa")))) == [first]
        assert shelf.find(wanting(Restriction(TEAM, Contains("xb")))) == [second]
        assert shelf.find(wanting(Restriction(TEAM, Begins("x" * 200)))) == [second, first]
        assert shelf.find(wanting(equal(TEAM, "x" * 200))) == []
        assert shelf.find(wanting(equal(Property(Facet.TAG, ("k" * 128,)), "v"))) == [first]

    def test_more_words_than_are_indexed_do_no_harm(self, shelf: Shelf, model: NewModel) -> None:
        many = {f"k{i}": " ".join(f"w{i}x{j}é" for j in range(500)) for i in range(20)}
        uid = shelf.register(model, 1, notes=Notes(description="first", tags=many))
        shelf.describe_model(model, " ".join(f"m{i}ü" for i in range(900)), many)
        assert shelf.find(wanting(said("first", "w0x0e", "m7u"))) == [uid]


class TestPages:
    """Keyset pages."""

    @pytest.mark.parametrize(
        "order",
        [
            Order(),
            Order(Column.NAME, is_descending=False),
            Order(Column.NUMBER),
            Order(Column.CREATE_TIME, is_descending=False),
            Order(Column.UPDATE_TIME),
            Order(Column.SEMANTIC_VERSION),
            Order(F1),
            Order(F1, is_descending=False),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("gathered", [0, 2_000], ids=["walked", "gathered"])
    def test_pages_give_each_version_once_in_order(
        self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, order: Order, gathered: int
    ) -> None:
        monkeypatch.setattr(search_module, "GATHERED", gathered)
        model, other = shelf.model("b"), shelf.model("a")
        for number in range(1, 12):
            facts = Facts(
                metrics={"f1": (number % 3) / 10} if number % 4 else {},
                semantic_version=f"1.{number // 2}.{number % 2}" if number % 5 else "",
            )
            for of in (model, other):
                shelf.register(of, number, facts, tagged(team="risk"), time=NOON + timedelta(seconds=number % 2))
        asked = wanting(equal(TEAM, "risk"), order=order)
        whole = shelf.find(asked)
        assert whole == [shelf_uid(shelf, sequence) for sequence in in_order(order, everything(shelf))]
        assert list(pages(shelf, asked, 3)) == whole
        assert list(pages(shelf, asked, 1)) == whole

    def test_versions_registered_between_pages_move_no_other(self, shelf: Shelf, model: NewModel) -> None:
        before = [shelf.register(model, number) for number in range(1, 8)]
        found = []
        for number, uid in enumerate(pages(shelf, wanting(EVERYTHING), 2), start=8):
            found.append(uid)
            shelf.register(model, number)
        assert found == before[::-1]

    def test_pages_beside_registrations_give_each_version_that_was_there_once(
        self, shelf: Shelf, model: NewModel
    ) -> None:
        before = [shelf.register(model, number) for number in range(1, 8)]
        other = shelf.model("other")
        with ThreadPoolExecutor(3) as pool:
            made = [pool.submit(shelf.register, other, number) for number in range(1, 25)]
            while not all(one.done() for one in made):
                found = list(pages(shelf, wanting(EVERYTHING), 2))
                assert len(found) == len(set(found))
                assert [uid for uid in found if uid in before] == before[::-1]
        assert set(pages(shelf, wanting(EVERYTHING), 7)) == {*before, *(one.result() for one in made)}

    def test_a_version_deleted_between_pages_takes_no_other_with_it(self, shelf: Shelf, model: NewModel) -> None:
        uids = [shelf.register(model, number) for number in range(1, 8)]
        walk = pages(shelf, wanting(EVERYTHING), 2)
        found = list(islice(walk, 3))
        shelf.hide(model, uids[4], 5)
        shelf.hide(model, uids[0], 1)
        assert found + list(walk) == [uids[6], uids[5], uids[4], uids[3], uids[2], uids[1]]


WORDS = ["risk", "growth", "bank", "märz", "v2", "risky"]
TEXTS = ["risk", "risk-eu", "Risk", "", "50%", "a_b", "it's", "*", "x" * 230 + "end", "über", "risk\u0131", '"q"']
METRICS = ["f1", "auc", "a.b"]
NUMBERS = [-1.0, 0.0, 0.25, 0.5, 1e20]
VERSIONS = ["1.0.0", "1.2.0", "2.0.0-rc.1", "2.0.0", "2.1.3"]
STAGES = [Stage.NONE, Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION]


class TestMeaning:
    """Any filter finds what the same filter finds when each version is looked at in turn."""

    @pytest.mark.parametrize("gathered", [0, 6, 2_000])
    def test_a_filter_finds_what_it_says(self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, gathered: int) -> None:
        monkeypatch.setattr(search_module, "GATHERED", gathered)
        monkeypatch.setattr(search_module, "COUNTED", gathered * 2)
        fill(shelf)
        versions, models = everything(shelf), all_models(shelf)

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(part=filters(), order=orders(), size=st.sampled_from([7, 60]))
        def check(part: Filter, order: Order, size: int) -> None:
            kept = {s: v for s, v in versions.items() if matches(part, v, models[v.model])}
            expected = [versions[sequence].uid for sequence in in_order(order, kept)]
            assert list(pages(shelf, wanting(part, order=order), size)) == expected

        check()


def fill(shelf: Shelf) -> None:
    """Some dozens of versions in which everything occurs."""
    made = random.Random(4)
    for name, tenant in (("churn", "default"), ("risk-a", "default"), ("risk.b", "default"), ("churn", "acme-corp")):
        model = shelf.model(name, tenant)
        holders: dict[Stage, dict[int, str]] = {Stage.STAGING: {}, Stage.PRODUCTION: {}}
        for number in range(1, 16):
            uid = shelf.register(model, number, some_facts(made, number), some_notes(made), creator=made.choice("ab"))
            if made.random() < 0.5:
                stage = made.choice(STAGES[1:])
                shelf.move(model, uid, number, stage, holders.get(stage, {}))
                if stage in holders:
                    holders[stage] = {number: uid}
            if made.random() < 0.3:
                shelf.note(model, uid, number, some_notes(made))
            if made.random() < 0.3:
                shelf.point(model, made.choice(["champion", "canary"]), uid, number)
            if made.random() < 0.1:
                shelf.hide(model, uid, number)
        shelf.describe_model(model, made.choice(WORDS), {made.choice(WORDS): "tagged"})


def some_facts(made: random.Random, number: int) -> Facts:
    def some(keys: list[str], value: Callable[[], Any]) -> dict[str, Any]:
        return {key: value() for key in keys if made.random() < 0.6}

    parts = [
        MetricSlice("region", value, dataset, some(METRICS, lambda: made.choice(NUMBERS)))
        for value in ("eu", "us")
        for dataset in ("", "holdout")
    ]
    data = [Dataset(digest=digest) for digest in ("sha256:1", "sha256:2") if made.random() < 0.5]
    return Facts(
        metrics=some(METRICS, lambda: made.choice(NUMBERS)),
        metric_slices=tuple(parts),
        parameters=some(["depth", "algo"], lambda: made.choice([1, 0.5, True, "true", "risk"])),
        flavors=tuple(flavor for flavor in ("sklearn", "python_function") if made.random() < 0.5),
        semantic_version=f"{number // 4}.{number % 4}.0{made.choice(['', '-rc.1'])}" if made.random() < 0.7 else "",
        provenance=Provenance(
            run_id=made.choice(["", "r1"]),
            git_commit=made.choice(["", "abc1234"]),
            is_git_dirty=made.choice([None, True, False]),
            ci_build=made.choice(["", "risk", "x" * 200]),
            training_data=tuple(data),
            validation_data=tuple(data[:1]),
        ),
    )


def some_notes(made: random.Random) -> Notes:
    tags = {key: made.choice(TEXTS) for key in ("team", "a.b", "k" * 128) if made.random() < 0.7}
    return Notes(" ".join(made.sample(WORDS, 2)), tags, deprecation_note=made.choice(["", "old"]))


def filters() -> st.SearchStrategy[Filter]:
    return st.recursive(
        leaves(),
        lambda inner: st.one_of(
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: Every(tuple(parts))),
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: Either(tuple(parts))),
            inner.map(Not),
        ),
        max_leaves=5,
    )


def leaves() -> st.SearchStrategy[Filter]:
    texts, operators = st.sampled_from(TEXTS + ["champion", "sklearn", "sha256:1", "true"]), st.sampled_from(Operator)
    pieces = st.sampled_from(["r", "risk", "sk", "end", "%", "_", "x" * 200, "ü", "cha"])
    text_tests: st.SearchStrategy[Any] = st.one_of(
        st.builds(Compared, operators, texts.map(lambda text: text[:200])),
        st.builds(Begins, pieces),
        st.builds(Ends, pieces),
        st.builds(Contains, pieces),
        st.just(Present()),
    )
    text_fields = st.sampled_from(
        [
            *(Property(Facet.TAG, (key,)) for key in ("team", "a.b", "k" * 128, "none")),
            Property(Facet.FLAVOR),
            Property(Facet.ALIAS),
            Property(Facet.DATA_DIGEST),
            Property(Facet.DATA_NAME),
            Property(Facet.GIT_DIRTY),
            Property(Facet.CI_BUILD),
            *(Property(Facet.PARAMETER, (name,)) for name in ("depth", "algo")),
            Column.NAME,
            Column.CREATOR,
            Column.GIT_COMMIT,
            Column.RUN_ID,
        ]
    )
    number_fields = st.sampled_from(
        [
            *(Property(Facet.METRIC, (name,)) for name in METRICS),
            *(Property(Facet.SLICE, ("region", value, name)) for value in ("eu", "us") for name in METRICS),
            Property(Facet.PARAMETER, ("depth",)),
        ]
    )
    times = st.sampled_from([NOON, at(60), at(90), at(-1)])
    return st.one_of(
        st.builds(Restriction, text_fields, text_tests),
        st.builds(Restriction, number_fields, st.builds(Compared, operators, st.sampled_from(NUMBERS))),
        st.builds(Restriction, st.just(Column.NUMBER), st.builds(Compared, operators, st.integers(0, 16))),
        st.builds(
            Restriction,
            st.just(Column.STAGE),
            st.builds(
                Compared,
                st.sampled_from([Operator.EQUAL, Operator.NOT_EQUAL]),
                st.sampled_from([stage.value for stage in STAGES]),
            ),
        ),
        st.builds(
            Restriction,
            st.sampled_from([Column.CREATE_TIME, Column.UPDATE_TIME]),
            st.builds(Compared, operators, times),
        ),
        st.builds(
            Restriction,
            st.just(Column.SEMANTIC_VERSION),
            st.one_of(
                st.builds(Compared, operators, st.sampled_from([SemanticVersion.parse(v).key for v in VERSIONS])),
                st.sampled_from(["^1.1", ">=1 <3", "2.0.0-rc.1 - 2.1", "*"]).map(SemanticRange.parse).map(InRange),
                st.just(Present()),
            ),
        ),
        st.lists(
            st.builds(Word, st.sampled_from([*WORDS, "marz", "churn", "old", "tagged", "ris"]), st.booleans()),
            min_size=1,
            max_size=2,
        ).map(lambda found: Words(tuple(found))),
    )


def orders() -> st.SearchStrategy[Order]:
    columns = [Column.NAME, Column.NUMBER, Column.CREATE_TIME, Column.UPDATE_TIME, Column.SEMANTIC_VERSION]
    metrics = [Property(Facet.METRIC, (name,)) for name in (*METRICS, "none")]
    return st.one_of(st.just(Order()), st.builds(Order, st.sampled_from([*columns, *metrics]), st.booleans()))


def pages(shelf: Shelf, search: Search, size: int) -> Iterator[str]:
    """Uids of all pages, each asked for when it is needed."""
    after: Position | None = None
    while True:
        with shelf.database.reading() as transaction:
            page = transaction.search.find(replace(search, after=after, limit=size))
        yield from (found.version.uid for found in page)
        if len(page) < size:
            return
        after = page[-1].position


def everything(shelf: Shelf) -> Mapping[int, ModelVersion]:
    """Versions of the default tenant that can be found, by sequence, read without a search."""
    found = {}
    with shelf.database.reading() as transaction:
        for uid, sequence in shelf.sequences.items():
            version = transaction.versions.get_by_uid(uid)
            if version and version.model.tenant == "default" and version.delete_time is None:
                found[sequence] = version
    return found


def all_models(shelf: Shelf) -> Mapping[ModelKey, Model]:
    with shelf.database.reading() as transaction:
        models = transaction.models.list(
            "default", readable=EVERY_NAME, prefix="", after="", limit=100, is_deleted_shown=True
        )
    return {model.key: model for model in models}


def shelf_uid(shelf: Shelf, sequence: int) -> str:
    return next(uid for uid, known in shelf.sequences.items() if known == sequence)
