"""What can be searched for: every field, and what a comparison with it means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from registrar_server.application.search.arguments import Argument
from registrar_server.application.search.refusal import Misplaced
from registrar_server.domain.search import (
    Column,
    Compared,
    Contains,
    Every,
    Facet,
    Field,
    Filter,
    Not,
    Operator,
    Order,
    Present,
    Property,
    Restriction,
    Test,
    Value,
)

HAS = ":"
_COLUMNS: Mapping[str, Column] = {column.value: column for column in Column} | {"created_by": Column.CREATOR}
_MAPS: Mapping[str, str] = {
    Facet.TAG.value: "tags.KEY",
    Facet.METRIC.value: "metrics.NAME",
    Facet.SLICE.value: "slices.DIMENSION.VALUE.METRIC",
    Facet.PARAMETER.value: "parameters.NAME",
}
_LISTS = tuple(facet.value for facet in Facet if facet.value not in _MAPS)
FIELDS = (*_COLUMNS, *_LISTS, *_MAPS.values())
"""Names of all fields, for people."""

_SORTABLE = (Column.NAME, Column.NUMBER, Column.CREATE_TIME, Column.UPDATE_TIME, Column.SEMANTIC_VERSION)
_ORDERS = (*(column.value for column in _SORTABLE), "metrics.NAME")


@dataclass(frozen=True, slots=True)
class Path:
    """A field as it was written, part by part, and where."""

    parts: tuple[str, ...]
    column: int

    def __str__(self) -> str:
        return ".".join(self.parts)


def restriction(path: Path, comparator: str, argument: Argument) -> Filter:
    """What `path comparator argument` asks for; Misplaced when that makes no sense."""
    if comparator == HAS and len(path.parts) == 1 and path.parts[0] in _MAPS:
        return Restriction(_member_of(path, argument), Present())
    field = _field(path)
    if isinstance(field, Property) and field.facet.value in _LISTS:
        return _of_list(path, field, comparator, argument)
    if comparator in (HAS, Operator.EQUAL) and argument.is_anything:
        return Restriction(field, Present())
    return _READINGS[_kind(field, argument)](path, field, comparator, argument)


def order(path: Path, *, is_descending: bool) -> Order:
    """What to sort by."""
    parts = path.parts
    if parts[0] == Facet.METRIC.value and len(parts) > 1:
        return Order(_field(path), is_descending)
    column = _COLUMNS.get(str(path))
    if column not in _SORTABLE:
        raise Misplaced(path.column, f"versions can be sorted by {', '.join(_ORDERS)}; {path} is none of them")
    return Order(column, is_descending)


def _field(path: Path) -> Field:
    first, *rest = path.parts
    if not rest and first in _COLUMNS:
        return _COLUMNS[first]
    if not rest and first in _LISTS:
        return Property(Facet(first))
    if first not in _MAPS:
        raise Misplaced(path.column, f"there is no field {path}; there are {', '.join(FIELDS)}")
    if not rest:
        raise Misplaced(path.column, f"{first} is not one value: write {_MAPS[first]}")
    if first != Facet.SLICE.value:
        # A name with dots need not be quoted.
        return Property(Facet(first), (".".join(rest),))
    if len(rest) != 3:
        raise Misplaced(path.column, f"write {_MAPS[first]}, with quotes around what has a dot in it")
    return Property(Facet.SLICE, tuple(rest))


def _member_of(path: Path, argument: Argument) -> Property:
    """`tags:KEY`."""
    first = path.parts[0]
    if first == Facet.SLICE.value or argument.is_anything or not argument.plain:
        raise Misplaced(argument.column, f"write {_MAPS[first]}:*" if first == Facet.SLICE.value else "name a key")
    return Property(Facet(first), (argument.plain,))


def _kind(field: Field, argument: Argument) -> str:
    if isinstance(field, Column):
        return _KINDS.get(field, "text")
    if field.facet in (Facet.METRIC, Facet.SLICE):
        return "number"
    return "number" if field.facet is Facet.PARAMETER and argument.is_number else "text"


def _of_text(path: Path, field: Field, comparator: str, argument: Argument) -> Filter:
    if comparator == HAS:
        text = argument.as_text().strip("*")
        if not text:
            raise Misplaced(argument.column, f"say what {path} must contain")
        return Restriction(field, Contains(text))
    operator = Operator(comparator)
    if operator not in (Operator.EQUAL, Operator.NOT_EQUAL):
        return Restriction(field, Compared(operator, argument.as_text()))
    return _equal(field, operator, argument.pattern())


def _of_list(path: Path, field: Field, comparator: str, argument: Argument) -> Filter:
    """One of the values is so; with `!=`: none is."""
    if comparator not in (HAS, Operator.EQUAL, Operator.NOT_EQUAL):
        raise _not_comparable(path, argument)
    wanted = Restriction(field, argument.pattern())
    return Not(wanted) if comparator == Operator.NOT_EQUAL else wanted


def _of_stage(path: Path, field: Field, comparator: str, argument: Argument) -> Filter:
    if comparator not in (HAS, Operator.EQUAL, Operator.NOT_EQUAL):
        raise _not_comparable(path, argument)
    return Restriction(field, Compared(_operator(comparator), argument.as_stage().value))


def _of_semantic_version(_path: Path, field: Field, comparator: str, argument: Argument) -> Filter:
    operator = _operator(comparator)
    if operator in (Operator.EQUAL, Operator.NOT_EQUAL):
        return _equal(field, operator, argument.as_semantic_range())
    return Restriction(field, Compared(operator, argument.as_semantic_version()))


def _ordered(read: Callable[[Path, Argument], Value]) -> Callable[[Path, Field, str, Argument], Filter]:
    """Numbers and times: `:` is `=`."""

    def restrict(path: Path, field: Field, comparator: str, argument: Argument) -> Filter:
        return Restriction(field, Compared(_operator(comparator), read(path, argument)))

    return restrict


def _equal(field: Field, operator: Operator, wanted: Test) -> Filter:
    """A pattern or its opposite: a value that is there, and is not so."""
    if operator is Operator.EQUAL:
        return Restriction(field, wanted)
    if isinstance(wanted, Compared):
        return Restriction(field, Compared(Operator.NOT_EQUAL, wanted.value))
    unlike = Not(Restriction(field, wanted))
    may_be_absent = isinstance(field, Property) or field is Column.SEMANTIC_VERSION
    return Every((Restriction(field, Present()), unlike)) if may_be_absent else unlike


def _operator(comparator: str) -> Operator:
    return Operator.EQUAL if comparator == HAS else Operator(comparator)


def _not_comparable(path: Path, argument: Argument) -> Misplaced:
    return Misplaced(argument.column, f"{path} is equal or not: write = or !=")


_KINDS: Mapping[Column, str] = {
    Column.NUMBER: "whole number",
    Column.STAGE: "stage",
    Column.CREATE_TIME: "time",
    Column.UPDATE_TIME: "time",
    Column.SEMANTIC_VERSION: "semantic version",
}
_READINGS: Mapping[str, Callable[[Path, Field, str, Argument], Filter]] = {
    "text": _of_text,
    "stage": _of_stage,
    "semantic version": _of_semantic_version,
    "number": _ordered(lambda path, argument: argument.as_number(str(path))),
    "whole number": _ordered(lambda path, argument: argument.as_whole_number(str(path))),
    "time": _ordered(lambda path, argument: argument.as_time(str(path))),
}
