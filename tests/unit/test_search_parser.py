"""The language of filters: what is written, and the tree that it means."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registrar_server.application.search.parser import LEVELS, RESTRICTIONS, SearchParser
from registrar_server.domain.errors import Reason, RegistrarError
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
    Present,
    Property,
    Restriction,
    Test,
    Word,
    Words,
)
from registrar_server.domain.semantic_versions import SemanticRange, SemanticVersion

PARSER = SearchParser()
TEAM = Property(Facet.TAG, ("team",))
A, B, C = (Words((Word(text),)) for text in "abc")


def equal(field: Column | Property, value: Any) -> Restriction:
    return Restriction(field, Compared(Operator.EQUAL, value))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", EVERYTHING),
        ("  \n", EVERYTHING),
        ("a b AND c", Every((A, B, C))),
        ("a b OR c", Every((A, Either((B, C))))),
        ("a AND b OR c", Every((A, Either((B, C))))),
        ("(a AND b) OR c", Either((Every((A, B)), C))),
        ("NOT a -b", Every((Not(A), Not(B)))),
        ("NOT (NOT a)", A),
        ("-(a OR b)", Not(Either((A, B)))),
        ("((((a))))", A),
        ('"a b"', Words((Word("a"), Word("b")))),
        ("a-b.c", Words((Word("a"), Word("b"), Word("c")))),
        ("chu* Café", Every((Words((Word("chu", is_prefix=True),)), Words((Word("cafe"),))))),
        ("ANDROID ORB NOTE", Every(tuple(Words((Word(w),)) for w in ("android", "orb", "note")))),
        ("name=x", equal(Column.NAME, "x")),
        ("name = 'it\\'s'", equal(Column.NAME, "it's")),
        ('name = "\\\\"', equal(Column.NAME, "\\")),
        ("name = x*", Restriction(Column.NAME, Begins("x"))),
        ("name = *x", Restriction(Column.NAME, Ends("x"))),
        ('name = "*x*"', Restriction(Column.NAME, Contains("x"))),
        ("name = *", Restriction(Column.NAME, Present())),
        ('name = "\\*"', equal(Column.NAME, "*")),
        ('name = "x\\\\*"', Restriction(Column.NAME, Begins("x\\"))),
        ("name != x*", Not(Restriction(Column.NAME, Begins("x")))),
        ("tags.team != x*", Every((Restriction(TEAM, Present()), Not(Restriction(TEAM, Begins("x")))))),
        ("name:x", Restriction(Column.NAME, Contains("x"))),
        ("created_by = ci/bot@x", equal(Column.CREATOR, "ci/bot@x")),
        ("version >= 3", Restriction(Column.NUMBER, Compared(Operator.AT_LEAST, 3))),
        ("version:3", equal(Column.NUMBER, 3)),
        ("stage = STAGE_PRODUCTION", equal(Column.STAGE, "production")),
        ("stage = (none OR staging)", Either((equal(Column.STAGE, "none"), equal(Column.STAGE, "staging")))),
        ("tags:team", Restriction(TEAM, Present())),
        ('tags:"a.b"', Restriction(Property(Facet.TAG, ("a.b",)), Present())),
        ("tags.team:*", Restriction(TEAM, Present())),
        ("tags.a.b = x", equal(Property(Facet.TAG, ("a.b",)), "x")),
        ('tags."a b".c = x', equal(Property(Facet.TAG, ("a b.c",)), "x")),
        ("tags.team < b", Restriction(TEAM, Compared(Operator.LESS, "b"))),
        ("metrics.f1 > -1.5e-3", Restriction(Property(Facet.METRIC, ("f1",)), Compared(Operator.GREATER, -1.5e-3))),
        ('metrics.f1 = ".5"', equal(Property(Facet.METRIC, ("f1",)), 0.5)),
        ("slices.region.eu.f1 = 1", equal(Property(Facet.SLICE, ("region", "eu", "f1")), 1.0)),
        ("parameters.depth = 5", equal(Property(Facet.PARAMETER, ("depth",)), 5.0)),
        ('parameters.depth = "5"', equal(Property(Facet.PARAMETER, ("depth",)), "5")),
        ("parameters.warm = true", equal(Property(Facet.PARAMETER, ("warm",)), "true")),
        ("alias:champion", equal(Property(Facet.ALIAS), "champion")),
        ("flavor != sklearn", Not(equal(Property(Facet.FLAVOR), "sklearn"))),
        ("flavor:sk*", Restriction(Property(Facet.FLAVOR), Begins("sk"))),
        ("create_time = 2025-03-15", equal(Column.CREATE_TIME, datetime(2025, 3, 15, tzinfo=UTC))),
        (
            "create_time = 2025-03-15T12:00:00.5Z",
            equal(Column.CREATE_TIME, datetime(2025, 3, 15, 12, 0, 0, 500_000, UTC)),
        ),
        ('create_time = "2025-03-15T12:00:00+02:00"', equal(Column.CREATE_TIME, datetime(2025, 3, 15, 10, tzinfo=UTC))),
        ("semantic_version = 2.1.0", equal(Column.SEMANTIC_VERSION, SemanticVersion(2, 1, 0).key)),
        ("semantic_version = ^2.1", Restriction(Column.SEMANTIC_VERSION, InRange(SemanticRange.parse("^2.1")))),
        (
            "semantic_version < 2.0.0-rc.1",
            Restriction(Column.SEMANTIC_VERSION, Compared(Operator.LESS, SemanticVersion(2, 0, 0, "rc.1").key)),
        ),
    ],
)
def test_a_filter_means_its_tree(text: str, tree: Filter) -> None:
    assert PARSER.filter(text) == tree


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("owner = x", 1, "there is no field owner"),
        ("a AND", 6, "expected a field"),
        ("AND a", 1, "expected a field"),
        ("a and b", 3, "written in capitals"),
        ("name =", 7, "expected a value"),
        ("name = AND", 8, "expected a value"),
        ("a)", 2, "no parenthesis can close here"),
        ("(a", 3, "not closed"),
        ("name = a*b", 8, "at the beginning or the end"),
        ("tags = x", 1, "write tags.KEY"),
        ("tags:*", 6, "name a key"),
        ("slices.a.b = 1", 1, "write slices.DIMENSION.VALUE.METRIC"),
        ("slices:a", 8, "write slices.DIMENSION.VALUE.METRIC:*"),
        ("stage > none", 9, "write = or !="),
        ("flavor < x", 10, "write = or !="),
        ("version = 1.5", 11, "whole number"),
        ("version = 9223372036854775808", 11, "whole number"),
        ("metrics.f1 = nan", 14, "metrics.f1 is a number"),
        ("metrics.f1 = 1e999", 14, "metrics.f1 is a number"),
        ("create_time > yesterday", 15, "create_time is a time"),
        ("create_time > 2025-02-30", 15, "create_time is a time"),
        ("semantic_version = two", 20, "semantic_version must be a version, or a range"),
        ("semantic_version > 2.1", 20, "semantic_version is a version"),
        ("stage != (none OR staging)", 7, "go with = and : only"),
        ("a\nversion = x", 13, "whole number"),
        (f"name = {'x' * 201}", 8, "at most 200"),
        ("ab*", 1, "at least 3 characters"),
        ('""', 1, "no word"),
        ("name:''", 6, "say what name must contain"),
    ],
)
def test_what_is_wrong_is_said_at_its_column(text: str, column: int, said: str) -> None:
    with pytest.raises(RegistrarError) as caught:
        PARSER.filter(text)
    assert caught.value.reason is Reason.FILTER_INVALID
    assert caught.value.metadata == {"field": "filter", "column": str(column)}
    assert said in caught.value.message


def test_size_and_depth_are_bounded() -> None:
    assert PARSER.filter("a " * RESTRICTIONS) == Every((A,) * RESTRICTIONS)
    nested = "a AND (b OR (" * ((LEVELS - 2) // 2)
    PARSER.filter(nested + "a c" + "))" * ((LEVELS - 2) // 2))
    for text in ("a " * (RESTRICTIONS + 1), nested + "a AND (b OR (a c))" + "))" * ((LEVELS - 2) // 2)):
        with pytest.raises(RegistrarError) as caught:
            PARSER.filter(text)
        assert caught.value.reason is Reason.FILTER_INVALID


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", Order()),
        ("name", Order(Column.NAME, is_descending=False)),
        ("version desc", Order(Column.NUMBER)),
        ("metrics.f1 asc", Order(Property(Facet.METRIC, ("f1",)), is_descending=False)),
        ('metrics."a b" desc', Order(Property(Facet.METRIC, ("a b",)))),
    ],
)
def test_an_order_names_a_field_and_a_direction(text: str, order: Order) -> None:
    assert PARSER.order(text) == order


@pytest.mark.parametrize(
    "text", ["stage", "metrics", "name, version", "name down", "tags.team", "desc", "name desc x", "("]
)
def test_an_order_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RegistrarError) as caught:
        PARSER.order(text)
    assert caught.value.reason is Reason.FILTER_INVALID
    assert caught.value.metadata["field"] == "order_by"


def test_a_query_is_refused_at_its_column() -> None:
    with pytest.raises(RegistrarError) as caught:
        PARSER.query("fraud a*")
    assert caught.value.metadata == {"field": "query", "column": "7"}


def test_a_query_is_words_that_must_all_occur() -> None:
    assert PARSER.query(" ") == EVERYTHING
    assert PARSER.query("fraud-detector V2 fraud*") == Words(
        (Word("fraud"), Word("detector"), Word("v2"), Word("fraud", is_prefix=True))
    )


_PIECES = st.sampled_from(
    [
        *("(", ")", "AND", "OR", "NOT", "-", "=", "!=", ":", "<=", ">", ".", ",", '"', "'", "\\", "*", " ", "\n", "\0"),
        *("name", "tags", "metrics.f1", "version", "stage", "semantic_version", "create_time", "production"),
        *("0.5", "7", "2025-01-01T00:00:00Z", "^2.1", "x*", "*x", "märz", "\ud7ff", "🦉", "tags.a", '"a.b"', "true"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=25).map(" ".join), st.lists(_PIECES).map("".join)))
@example("(" * 4_000)
@example("NOT (" * 700)
@example("a:" * 2_000)
@example('"' + "\\" * 3_000)
def test_any_text_is_a_tree_or_refused_at_a_column_within_it(text: str) -> None:
    for read in (PARSER.filter, PARSER.query, PARSER.order):
        try:
            read(text)
        except RegistrarError as exc:
            assert exc.reason is Reason.FILTER_INVALID
            assert 1 <= int(exc.metadata["column"]) <= len(text) + 1


_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
_FIELDS: st.SearchStrategy[Property] = st.one_of(
    _TEXT.map(lambda key: Property(Facet.TAG, (key,))),
    _TEXT.map(lambda key: Property(Facet.PARAMETER, (key,))),
)
_TEXT_TESTS: st.SearchStrategy[Test] = st.one_of(
    st.builds(Compared, st.sampled_from(Operator), _TEXT),
    *(st.builds(kind, _TEXT) for kind in (Begins, Ends, Contains)),
    st.just(Present()),
)
_LEAVES: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Restriction, _FIELDS, _TEXT_TESTS),
    st.builds(
        Restriction,
        st.tuples(_TEXT, _TEXT, _TEXT).map(lambda path: Property(Facet.SLICE, path)),
        st.builds(Compared, st.sampled_from(Operator), st.floats(allow_nan=False, allow_infinity=False)),
    ),
    st.builds(
        Restriction,
        st.just(Column.NUMBER),
        st.builds(Compared, st.sampled_from(Operator), st.integers(-(2**63), 2**63 - 1)),
    ),
    st.sampled_from(["fraud", "a1", "z"]).map(lambda text: Words((Word(text),))),
)
_TREES: st.SearchStrategy[Filter] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner.filter(lambda one: not isinstance(one, Every)), min_size=2, max_size=3).map(
            lambda parts: Every(tuple(parts))
        ),
        st.lists(inner.filter(lambda one: not isinstance(one, Either)), min_size=2, max_size=3).map(
            lambda parts: Either(tuple(parts))
        ),
        inner.filter(lambda one: not isinstance(one, Not)).map(Not),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(_TREES)
def test_what_a_tree_is_written_as_means_that_tree(tree: Filter) -> None:
    assert PARSER.filter(written(tree)) == tree


def written(tree: Filter) -> str:
    """One way to write a tree."""
    match tree:
        case Every(parts):
            return "(" + " AND ".join(map(written, parts)) + ")"
        case Either(parts):
            return "(" + " OR ".join(map(written, parts)) + ")"
        case Not(part):
            return f"NOT ({written(part)})"
        case Words(words):
            return " ".join(word.text for word in words)
        case Restriction(field, test):
            return f"{_path(field)} {_test(test)}"


def _path(field: Column | Property) -> str:
    if isinstance(field, Column):
        return field.value
    return ".".join([field.facet.value, *(_quoted(part) for part in field.path)])


def _test(test: Test) -> str:
    match test:
        case Compared(compared, value):
            return f"{compared.value} {_quoted(value) if isinstance(value, str) else repr(value)}"
        case Begins(text):
            return f'= "{_escaped(text)}*"'
        case Ends(text):
            return f'= "*{_escaped(text)}"'
        case Contains(text):
            return f'= "*{_escaped(text)}*"'
        case InRange() | Present():
            return ":*"


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in '\\"*' else character for character in text)
