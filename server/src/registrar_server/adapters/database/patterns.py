"""Conditions of patterns of names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, or_, true

from registrar_server.domain.access import NamePattern

_RANGES = 50
"""More are not looked up one by one: a condition that is a thousand deep is refused by SQLite."""


def matches_any(column: ColumnElement[Any], patterns: Sequence[NamePattern]) -> ColumnElement[bool]:
    """The name in a column matches one of the patterns. No LIKE: that would need escaping, and finds no index."""
    if any(pattern.is_everything for pattern in patterns):
        return true()
    names = [pattern.text for pattern in patterns if pattern.prefix is None]
    prefixes = [pattern.prefix for pattern in patterns if pattern.prefix is not None]
    conditions = _ranges(column, prefixes) if len(prefixes) <= _RANGES else _beginnings(column, prefixes)
    if names:
        conditions.append(column.in_(names))
    return or_(false(), *conditions)


def _ranges(column: ColumnElement[Any], prefixes: Sequence[str]) -> list[ColumnElement[bool]]:
    # Names are ASCII, so that the last ASCII character ends a prefix.
    return [and_(column >= prefix, column < prefix + "\x7f") for prefix in prefixes]


def _beginnings(column: ColumnElement[Any], prefixes: Sequence[str]) -> list[ColumnElement[bool]]:
    by_length: dict[int, list[str]] = defaultdict(list)
    for prefix in prefixes:
        by_length[len(prefix)].append(prefix)
    return [func.substr(column, 1, length).in_(texts) for length, texts in by_length.items()]
