"""Finds versions: which index to begin with is decided here, by counting, and not by a planner.

Neither database can tell how two tags overlap, SQLite keeps no statistics, and PostgreSQL's may be old. So each part of
the filter that an index answers is counted, up to a bound. Where one is rare, its versions are gathered and sorted;
else an index in the order of the page is walked until the page is full. Either way each version on the way is tested
by its sequence. The number of statements does not depend on what is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, BindParameter, Connection, Dialect, Text, bindparam, func, select

from registrar_server.adapters.database.many import as_document, asked_in
from registrar_server.adapters.database.reader import Prepared, prepare
from registrar_server.adapters.database.search.conditions import Conditions
from registrar_server.adapters.database.search.drivers import Driver, Drivers
from registrar_server.adapters.database.search.field_ids import known_ids
from registrar_server.adapters.database.search.page import PageStatement
from registrar_server.adapters.database.search.tables import search_versions
from registrar_server.adapters.database.search.terms import field_name
from registrar_server.adapters.database.tables import model_versions
from registrar_server.adapters.database.versions import to_version, version_query
from registrar_server.application.ports.database.search import Found
from registrar_server.domain.search import Every, Filter, Order, Position, Property, Search, Words, fields_of, has_words
from registrar_server.domain.versions import ModelVersion

GATHERED = 2_000
"""Fewer hits than this are gathered and sorted."""
COUNTED = 4_000
"""Up to so many are counted, to tell which of several common parts is the rarest."""


class SqlSearch:
    """The port `SearchRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_sqlite = connection.dialect.name == "sqlite"

    def find(self, search: Search) -> Sequence[Found]:
        """See the port."""
        if not self._is_sqlite:
            self._connection.exec_driver_sql(_settings(search.filter))
        ids = self._field_ids(search)
        if isinstance(search.order.field, Property) and field_name(search.order.field) not in ids:
            return []
        conditions = Conditions(ids, is_sqlite=self._is_sqlite)
        drivers = Drivers(conditions, search.tenant, is_sqlite=self._is_sqlite)
        page = PageStatement(search, conditions, ids)
        conjuncts = _conjuncts(search.filter)
        found = [driver for part in conjuncts if (driver := drivers.of(part))]
        query = page.of(conjuncts, *self._choice(found, search.order))
        rows = self._connection.execute(query).all()
        versions = self._versions([row[0] for row in rows])
        return [
            Found(versions[row[0]], Position(row[0], row[1] if len(row) > 1 else ""))
            for row in rows
            if row[0] in versions
        ]

    def _choice(self, drivers: Sequence[Driver], order: Order) -> tuple[Driver | None, bool]:
        """The driver to begin with, if any, and whether its versions are gathered before they are sorted."""
        in_order = [driver for driver in drivers if driver.is_ordered] if order.field is None else []
        if self._is_sqlite and len(drivers) == len(in_order) == 1:
            return in_order[0], False
        counts = self._counts(drivers, COUNTED if len(in_order) > 1 else GATHERED)

        def rarity(driver: Driver) -> tuple[int, bool]:
            # Where neither was counted to its end: a tag is rarer than a stage.
            return counts[driver], driver.is_of_versions

        rarest = min(drivers, key=rarity, default=None)
        # SQLite goes through an index in its order whatever it holds; PostgreSQL might take the wrong one.
        is_walked = self._is_sqlite and rarest in in_order
        if rarest is not None and counts[rarest] < GATHERED and not is_walked:
            return rarest, True
        return min(in_order, key=rarity, default=None), False

    def _counts(self, drivers: Sequence[Driver], bound: int) -> Mapping[Driver, int]:
        if not drivers:
            return {}
        columns = []
        for driver in drivers:
            # Words are costly to count: no index has their versions side by side.
            limit = GATHERED if isinstance(driver.part, Words) else bound
            columns.append(select(func.count()).select_from(driver.query.limit(limit).subquery()).scalar_subquery())
        return dict(zip(drivers, self._connection.execute(select(*columns)).one(), strict=True))

    def _field_ids(self, search: Search) -> Mapping[str, int]:
        names = {field_name(field) for field in fields_of(search.filter) if isinstance(field, Property)}
        if isinstance(search.order.field, Property):
            names.add(field_name(search.order.field))
        return known_ids(self._connection, search.tenant, names) if names else {}

    def _versions(self, sequences: Sequence[int]) -> Mapping[int, ModelVersion]:
        if not sequences:
            return {}
        prepared = _of_sequences(self._connection.dialect)
        bound: Any = prepared.bind({"asked": as_document([(sequence,) for sequence in sequences])})
        rows = self._connection.exec_driver_sql(prepared.text, tuple(bound) if self._is_sqlite else bound).all()
        return {row.sequence: to_version(row) for row in prepared.to_rows([tuple(row) for row in rows])}


@cache
def _of_sequences(dialect: Dialect) -> Prepared:
    """The versions of a page. Put together once: it is the same for every search."""
    document: BindParameter[str] = bindparam("asked", type_=Text())
    asked = asked_in(document, {"sequence": BigInteger()}, is_sqlite=dialect.name == "sqlite")
    statement = (
        version_query()
        .add_columns(search_versions.c.sequence)
        .join(search_versions, search_versions.c.version_uid == model_versions.c.uid)
        .join(asked, asked.c.sequence == search_versions.c.sequence)
    )
    return prepare(statement, dialect)


def _conjuncts(part: Filter) -> Sequence[Filter]:
    """What must hold together, words at once."""
    parts = list(part.parts) if isinstance(part, Every) else [part]
    words = [word for one in parts if isinstance(one, Words) for word in one.words]
    others = [one for one in parts if not isinstance(one, Words)]
    return [*others, Words(tuple(dict.fromkeys(words)))] if words else others


def _settings(part: Filter) -> str:
    """PostgreSQL's, for this transaction.

    Each statement here is to find its rows one after the other by an index, and to end when it has enough: what is built
    up first (bitmaps, hashes, machine code) is built for nothing. Only words are found by bitmaps.
    """
    unwanted = ["enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"]
    if not has_words(part):
        unwanted.append("enable_bitmapscan")
    return "; ".join(f"SET LOCAL {setting} = off" for setting in unwanted)
