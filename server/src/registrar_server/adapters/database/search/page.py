"""The statement that finds one page: where it begins, what it tests, in which order it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    case,
    exists,
    false,
    literal,
    select,
    tuple_,
    type_coerce,
)

from registrar_server.adapters.database.search.conditions import Conditions, column_of
from registrar_server.adapters.database.search.drivers import Driver
from registrar_server.adapters.database.search.tables import IS_VISIBLE, search_terms, search_versions
from registrar_server.adapters.database.search.terms import field_name
from registrar_server.adapters.database.tables import Timestamp
from registrar_server.domain.search import Column, Filter, Order, Property, Search, has_column

_Query: TypeAlias = Select[*tuple[Any, ...]]

_VERSION = search_versions.alias("version")


class PageStatement:
    """The statement of one page: sequence, and the order's value where it has a field."""

    def __init__(self, search: Search, conditions: Conditions, field_ids: Mapping[str, int]) -> None:
        self._search = search
        self._conditions = conditions
        self._field_ids = field_ids

    def of(self, parts: Sequence[Filter], driver: Driver | None, is_gathered: bool) -> _Query:
        """Begin with `driver`, or (None) with the index in the order asked for."""
        if driver is None:
            return self._walk(parts)
        rest = [part for part in parts if part is not driver.part or not driver.is_exact]
        if is_gathered:
            return self._gather(driver, rest)
        query = driver.query.where(*self._found(driver.sequence, rest))
        return self._cut(query, driver.sequence, None)

    def _walk(self, parts: Sequence[Filter]) -> _Query:
        field = self._search.order.field
        query: _Query
        value: ColumnElement[Any] | None = None
        if isinstance(field, Property):
            sequence, value = search_terms.c.sequence, search_terms.c.number
            query = select(sequence, value).where(search_terms.c.field_id == self._field_ids[field_name(field)])
        else:
            sequence = search_versions.c.sequence
            value = None if field is None else _comparable(column_of(search_versions, field))
            query = select(sequence) if value is None else select(sequence, value)
            query = query.where(search_versions.c.tenant == self._search.tenant, IS_VISIBLE)
        if value is not None:
            query = query.where(value.is_not(None))
        return self._cut(query.where(*self._found(sequence, parts)), sequence, value)

    def _gather(self, driver: Driver, parts: Sequence[Filter]) -> _Query:
        field, after = self._search.order.field, self._search.after
        query = driver.query
        if field is None and after is not None:
            query = query.where(_behind(driver.sequence, after.sequence, self._search.order))
        if driver.is_of_versions:
            query = query.where(*self._found(driver.sequence, parts))
        # DISTINCT, also for PostgreSQL's planner: it looks at what is inside by itself.
        rare = select(query.subquery().c[0]).distinct().subquery()
        sequence = rare.c[0]
        found = () if driver.is_of_versions else self._found(sequence, parts)
        if field is None:
            return self._cut(select(sequence).where(*found), sequence, None)
        valued = (
            select(sequence.label("sequence"), self._value(field, sequence).label("value")).where(*found).subquery()
        )
        valued_query = select(valued.c.sequence, valued.c.value).where(valued.c.value.is_not(None))
        return self._cut(valued_query, valued.c.sequence, valued.c.value)

    def _value(self, field: Column | Property, sequence: ColumnElement[int]) -> ColumnElement[Any]:
        """What a gathered version is sorted by."""
        query: _Query
        if isinstance(field, Property):
            of_field = search_terms.c.field_id == self._field_ids[field_name(field)]
            query = select(search_terms.c.number).where(search_terms.c.sequence == sequence, of_field).limit(1)
        else:
            query = select(_comparable(column_of(search_versions, field))).where(search_versions.c.sequence == sequence)
        return query.correlate(sequence.table).scalar_subquery()

    def _found(self, sequence: ColumnElement[int], parts: Sequence[Filter]) -> Sequence[ColumnElement[bool]]:
        """That the version of a sequence is the tenant's, visible, and as the parts say."""
        if sequence is search_versions.c.sequence:
            # Its row is at hand, and known to be the tenant's.
            return [self._conditions.holds(part, sequence, search_versions) for part in parts]
        own = [part for part in parts if not has_column(part)]
        others = [part for part in parts if has_column(part)]
        query = select(_VERSION.c.sequence).where(
            _VERSION.c.sequence == sequence,
            _VERSION.c.tenant == self._search.tenant,
            _VERSION.c.is_visible.is_(True),
            *(self._conditions.holds(part, sequence, _VERSION) for part in others),
        )
        is_there = exists(query.correlate_except(_VERSION).offset(0))
        if not own:
            return [is_there]
        # CASE, and not AND: the parts keep most away, and PostgreSQL is not to ask for the version before.
        holds = and_(*(self._conditions.holds(part, sequence, _VERSION) for part in own))
        return [case((holds, is_there), else_=false())]

    def _cut(self, query: _Query, sequence: ColumnElement[int], value: ColumnElement[Any] | None) -> _Query:
        """Only what is behind the position, in order, one page of it."""
        search = self._search
        is_descending = search.order.is_descending
        keys = [sequence] if value is None else [value, sequence]
        if search.after is not None:
            place = [literal(search.after.sequence, BigInteger())]
            if value is not None:
                place.insert(0, literal(search.after.value, value.type))
            left, right = (keys[0], place[0]) if value is None else (tuple_(*keys), tuple_(*place))
            query = query.where(_behind(left, right, search.order))
        return query.order_by(*(key.desc() if is_descending else key for key in keys)).limit(search.limit)


def _comparable(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """As the database holds it: a time as its microseconds."""
    return type_coerce(column, BigInteger()) if isinstance(column.type, Timestamp) else column


def _behind(key: Any, place: Any, order: Order) -> ColumnElement[bool]:
    """Behind a place in the order."""
    is_behind: ColumnElement[bool] = key < place if order.is_descending else key > place
    return is_behind
