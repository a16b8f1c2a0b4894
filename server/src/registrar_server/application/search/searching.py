"""The use case: find versions by a filter and by words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from registrar_server.application.ports.database import Database, Found
from registrar_server.application.resolution import require_tenant
from registrar_server.application.search.parser import SearchParser
from registrar_server.domain.access import NamePattern
from registrar_server.domain.search import (
    Begins,
    Column,
    Compared,
    Either,
    Every,
    Operator,
    Order,
    Position,
    Property,
    Restriction,
    Search,
)

_TEXTS_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What SearchModelVersions asks for, as it was written, and on which models its caller may ask."""

    tenant: str
    readable: tuple[NamePattern, ...]
    filter: str = ""
    query: str = ""
    order_by: str = ""


class Searching:
    """Reads requests and answers them page by page."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._parser = SearchParser()
        # Each page of a search comes with its whole text again.
        self._read = lru_cache(_TEXTS_REMEMBERED)(self._parse)

    def read(self, request: SearchRequest) -> Search:
        """What is meant, of the first page; FILTER_INVALID."""
        return self._read(request)

    def _parse(self, request: SearchRequest) -> Search:
        parts = [self._parser.filter(request.filter), self._parser.query(request.query)]
        if not any(pattern.is_everything for pattern in request.readable):
            parts.append(Either(tuple(map(_named, request.readable))))
        wanted = Every(tuple(parts))
        return Search(tenant=request.tenant, filter=_flat(wanted), order=self._parser.order(request.order_by))

    def find(self, search: Search) -> Sequence[Found]:
        """The next versions, at most `search.limit`; TENANT_NOT_FOUND."""
        with self._database.reading() as transaction:
            found = transaction.search.find(search)
            if not found:
                require_tenant(transaction, search.tenant)
            return found


def position(order: Order, sequence: int, value: str) -> Position:
    """The position that a page token has as text; ValueError when it is none of this order."""
    match order.field:
        case None:
            return Position(sequence)
        case Property():
            return Position(sequence, float(value))
        case Column.NUMBER | Column.CREATE_TIME | Column.UPDATE_TIME:
            number = int(value)
            if not 0 <= number < 2**63:
                raise ValueError("beyond 64 bits")
            return Position(sequence, number)
        case _:
            return Position(sequence, value)


def _named(pattern: NamePattern) -> Restriction:
    """That a version is of a model that the caller may read."""
    prefix = pattern.prefix
    test = Compared(Operator.EQUAL, pattern.text) if prefix is None else Begins(prefix)
    return Restriction(Column.NAME, test)


def _flat(wanted: Every) -> Every:
    parts = [one for part in wanted.parts for one in (part.parts if isinstance(part, Every) else (part,))]
    return Every(tuple(parts))
