"""From a filter to a condition on one version, whose sequence is at hand.

What is not in its row of `search_versions` is asked for by the sequence: one seek. The subqueries say OFFSET 0, which
keeps PostgreSQL from turning them into joins of whole tables, whatever its statistics say.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    and_,
    cast,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from registrar_server.adapters.database.search.tables import search_terms, search_texts, search_texts_sqlite
from registrar_server.adapters.database.search.terms import field_name
from registrar_server.domain.search import (
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
    Present,
    Property,
    Restriction,
    Test,
    Words,
)
from registrar_server.domain.semantic_versions import CORE_CHARACTERS, RELEASE, SemanticRange

_OPERATORS: Mapping[Operator, Callable[[Any, Any], ColumnElement[bool]]] = {
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.GREATER: operator.gt,
    Operator.AT_LEAST: operator.ge,
}
_COLUMNS = {
    Column.NAME: "name",
    Column.NUMBER: "number",
    Column.STAGE: "stage",
    Column.CREATOR: "creator",
    Column.GIT_COMMIT: "git_commit",
    Column.RUN_ID: "run_id",
    Column.CREATE_TIME: "created_at",
    Column.UPDATE_TIME: "updated_at",
    Column.SEMANTIC_VERSION: "semantic_version_key",
}
_NEVER_EMPTY = (Column.NUMBER, Column.STAGE, Column.CREATE_TIME, Column.UPDATE_TIME)
_HIGHEST_CHARACTER = "\U0010ffff"


class Conditions:
    """Conditions for one database. `field_ids` has the properties that the filter names, as far as they exist."""

    def __init__(self, field_ids: Mapping[str, int], *, is_sqlite: bool) -> None:
        self._field_ids = field_ids
        self._is_sqlite = is_sqlite

    def holds(self, part: Filter, sequence: ColumnElement[int], version: FromClause) -> ColumnElement[bool]:
        """Whether a part holds for the version with a sequence, whose row is that of `version`."""
        match part:
            case Every(parts):
                return and_(true(), *(self.holds(one, sequence, version) for one in parts))
            case Either(parts):
                return or_(false(), *(self.holds(one, sequence, version) for one in parts))
            case Not(one):
                # Where a comparison with an absent value is NULL, so would its negation be.
                return not_(func.coalesce(self.holds(one, sequence, version), false()))
            case Restriction(field, test):
                if isinstance(field, Property):
                    return self._has_term(sequence, field, test)
                return self.compares(_unindexed(column_of(version, field)), field, test)
            case Words():
                return self._has_words(sequence, part)

    def compares(self, value: ColumnElement[Any], column: Column, test: Test) -> ColumnElement[bool]:
        """A test of a column."""
        if isinstance(test, Present):
            if column is Column.SEMANTIC_VERSION:
                return value.is_not(None)
            return true() if column in _NEVER_EMPTY else value != ""
        return self._text_or_number(value, test)

    def terms(
        self, rows: FromClause, field: Property, test: Test, *, is_by_index: bool = True
    ) -> ColumnElement[bool] | None:
        """A test of `rows` of `search_terms`; None: no version has such a field.

        `is_by_index`: the index of values is to answer it. Else it must not: the rows are found by their key.
        """
        field_id = self._field_ids.get(field_name(field))
        if field_id is None:
            return None
        of_field = rows.c.field_id == field_id
        if isinstance(test, Present):
            return and_(of_field, _is_present(rows, field))
        if isinstance(test, Contains | Ends):
            return and_(of_field, self._text_or_number(func.coalesce(rows.c.whole, rows.c.text), test))
        is_number = isinstance(test, Compared) and not isinstance(test.value, str)
        value = rows.c.number if is_number else rows.c.text
        return and_(of_field, self._text_or_number(value if is_by_index else _unindexed(value), test))

    def matches(self, words: Words) -> ColumnElement[bool]:
        """A row of the full texts has the words: to be answered by their index."""
        if self._is_sqlite:
            return search_texts_sqlite.c.search_texts.bool_op("MATCH")(_fts5_query(words))
        return _contain(search_texts.c.words, search_texts.c.model_words, words)

    def _has_term(self, sequence: ColumnElement[int], field: Property, test: Test) -> ColumnElement[bool]:
        term = search_terms.alias("term")
        wanted = self.terms(term, field, test, is_by_index=False)
        if wanted is None:
            return false()
        query = select(term.c.sequence).where(term.c.sequence == sequence, wanted)
        return exists(query.correlate_except(term).offset(0))

    def _has_words(self, sequence: ColumnElement[int], words: Words) -> ColumnElement[bool]:
        if self._is_sqlite:
            # Answered once, as a list: FTS5 takes as long for one row as for a hundred in order.
            query = select(search_texts_sqlite.c.rowid).where(self.matches(words))
            return sequence.in_(query.correlate(None))
        texts = search_texts.alias("texts")
        # The other way round than the index has them, so that the row is found by its key.
        have_words = _contain(texts.c.model_words, texts.c.words, words)
        query = select(texts.c.sequence).where(texts.c.sequence == sequence, have_words)
        return exists(query.correlate_except(texts).offset(0))

    def _text_or_number(self, value: ColumnElement[Any], test: Test) -> ColumnElement[bool]:
        match test:
            case Compared(compared, wanted):
                return _OPERATORS[compared](value, wanted)
            case Begins(text):
                return _begins(value, text)
            case Ends(text):
                end = func.substr(value, -len(text)) if self._is_sqlite else func.right(value, len(text))
                return end == text
            case Contains(text):
                place = func.instr(value, text) if self._is_sqlite else func.strpos(value, text)
                return place > 0
            case InRange(semantic_range):
                return _in_range(value, semantic_range)
            case Present():
                return value.is_not(None)


def _is_present(rows: FromClause, field: Property) -> ColumnElement[bool]:
    """What the index of the field's kind of value has."""
    if field.facet in (Facet.METRIC, Facet.SLICE):
        return rows.c.number.is_not(None)
    return true() if field.facet is Facet.PARAMETER else rows.c.text.is_not(None)


def _unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The same value, for which no planner takes an index: what is tested here was found by a better one."""
    return func.coalesce(column, column)


def column_of(version: FromClause, column: Column) -> ColumnElement[Any]:
    """A column of `search_versions`, or of another name of it."""
    return version.c[_COLUMNS[column]]


def _begins(value: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """A range and not LIKE: it needs no escaping, and uses an index."""
    return and_(value >= text, value < text + _HIGHEST_CHARACTER)


def _in_range(key: ColumnElement[Any], wanted: SemanticRange) -> ColumnElement[bool]:
    is_release = func.substr(key, CORE_CHARACTERS + 1, 1) == RELEASE
    is_open = or_(is_release, *(_begins(key, core) for core in wanted.opened))
    return and_(key >= wanted.low, key < wanted.high, is_open)


def _contain(some: ColumnElement[Any], others: ColumnElement[Any], words: Words) -> ColumnElement[bool]:
    return some.op("||")(others).bool_op("@@")(_tsquery(words))


def _fts5_query(words: Words) -> str:
    return " AND ".join(f'"{word.text}"{" *" if word.is_prefix else ""}' for word in words.words)


def _tsquery(words: Words) -> ColumnElement[Any]:
    query = " & ".join(f"'{word.text}'{':*' if word.is_prefix else ''}" for word in words.words)
    return cast(literal(query), TSQUERY)
