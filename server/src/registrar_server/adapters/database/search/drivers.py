"""Lists of sequences to begin a search with: what an index has for one part of a filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, false, select, union_all

from registrar_server.adapters.database.search.conditions import Conditions, column_of
from registrar_server.adapters.database.search.tables import (
    IS_VISIBLE,
    search_terms,
    search_texts,
    search_texts_sqlite,
    search_versions,
)
from registrar_server.domain.search import (
    Column,
    Compared,
    Contains,
    Either,
    Ends,
    Every,
    Filter,
    Not,
    Operator,
    Present,
    Property,
    Restriction,
    Test,
    Words,
)


@dataclass(frozen=True, slots=True, eq=False)
class Driver:
    """Every version for which a part of a filter holds; maybe others too, and one more than once."""

    part: Filter
    query: Select[Any]
    """One column: the sequence."""
    sequence: ColumnElement[int]
    is_ordered: bool = False
    """The index has it in the order of sequences, each once."""
    is_exact: bool = True
    """For no other version."""

    @property
    def is_of_versions(self) -> bool:
        """Its rows are those of `search_versions`."""
        return self.sequence is search_versions.c.sequence


class Drivers:
    """Makes drivers for one tenant in one database."""

    def __init__(self, conditions: Conditions, tenant: str, *, is_sqlite: bool) -> None:
        self._conditions = conditions
        self._tenant = tenant
        self._is_sqlite = is_sqlite

    def of(self, part: Filter) -> Driver | None:
        """The driver of a part; None where no index helps."""
        match part:
            case Restriction(field, test):
                if isinstance(field, Property):
                    return self._of_terms(part, field, test)
                return self._of_column(part, field, test)
            case Words():
                return self._of_words(part)
            case Either(parts):
                return self._of_either(part, [self.of(one) for one in parts])
            case Every(parts):
                found = [driver for one in parts if (driver := self.of(one))]
                best = next((driver for driver in found if driver.is_ordered), found[0] if found else None)
                return best and Driver(part, best.query, best.sequence, is_exact=False)
            case Not():
                return None

    def _of_column(self, part: Restriction, column: Column, test: Test) -> Driver | None:
        if _is_unequal(test) or isinstance(test, Contains | Ends | Present):
            return None
        value = column_of(search_versions, column)
        wanted = self._conditions.compares(value, column, test)
        sequence = search_versions.c.sequence
        query = select(sequence).where(search_versions.c.tenant == self._tenant, IS_VISIBLE, wanted)
        if _is_equal(test):
            return Driver(part, query, sequence, is_ordered=True)
        # Every index of the table begins with the tenant: the order tells PostgreSQL which one is meant.
        return Driver(part, query.order_by(value), sequence)

    def _of_terms(self, part: Restriction, field: Property, test: Test) -> Driver:
        sequence = search_terms.c.sequence
        is_presence_enough = _is_unequal(test) or isinstance(test, Contains | Ends)
        wanted = self._conditions.terms(search_terms, field, Present() if is_presence_enough else test)
        query = select(sequence).where(false() if wanted is None else wanted)
        return Driver(part, query, sequence, is_ordered=_is_equal(test), is_exact=not is_presence_enough)

    def _of_words(self, part: Words) -> Driver:
        sequence = search_texts_sqlite.c.rowid if self._is_sqlite else search_texts.c.sequence
        query = select(sequence).where(self._conditions.matches(part))
        # FTS5 has its rows in order; PostgreSQL's index has none.
        return Driver(part, query, sequence, is_ordered=self._is_sqlite)

    def _of_either(self, part: Either, drivers: list[Driver | None]) -> Driver | None:
        known = [driver for driver in drivers if driver is not None]
        if not known or len(known) < len(drivers):
            return None
        queries = (select(driver.query.subquery().c[0].label("sequence")) for driver in known)
        united = union_all(*queries).subquery()
        is_exact = all(driver.is_exact for driver in known)
        return Driver(part, select(united.c.sequence), united.c.sequence, is_exact=is_exact)


def _is_unequal(test: Test) -> bool:
    return isinstance(test, Compared) and test.operator is Operator.NOT_EQUAL


def _is_equal(test: Test) -> bool:
    return isinstance(test, Compared) and test.operator is Operator.EQUAL
