"""Many values in one statement: a list in pieces, or rows to select from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Integer, Subquery, Text, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

_Item = TypeVar("_Item")
_AT_ONCE = 500


def chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """The items, some hundreds at a time: databases limit the parameters of one statement."""
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


def asked_for(
    connection: Connection, columns: Mapping[str, TypeEngine[Any]], rows: Sequence[tuple[str | int, ...]]
) -> Subquery:
    """Any number of rows to select from: they are one parameter, as JSON, and the statement is compiled once."""
    return asked_in(literal(as_document(rows), Text()), columns, is_sqlite=connection.dialect.name == "sqlite")


def as_document(rows: Sequence[tuple[str | int, ...]]) -> str:
    """The rows as one value."""
    return json.dumps(rows)


def asked_in(document: ColumnElement[str], columns: Mapping[str, TypeEngine[Any]], *, is_sqlite: bool) -> Subquery:
    """The rows that `as_document` made a document of."""
    cells: Sequence[ColumnElement[Any]]
    if is_sqlite:
        each = func.json_each(document).table_valued("value", name="each")
        cells = [func.json_extract(each.c.value, literal(f"$[{place}]", Text())) for place in range(len(columns))]
    else:
        each = func.jsonb_array_elements(cast(document, JSONB())).table_valued("value", name="each")
        cells = [each.c.value.op("->>")(literal(place, Integer())) for place in range(len(columns))]
    named = (cast(cell, kind).label(name) for cell, (name, kind) in zip(cells, columns.items(), strict=True))
    return select(*named).subquery("asked")
