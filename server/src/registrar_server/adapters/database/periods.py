"""Columns of times within a period."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import ColumnElement

from registrar_server.domain.lifecycle import Period


def is_within(time: ColumnElement[datetime], period: Period) -> Iterator[ColumnElement[bool]]:
    """The conditions, none for an end that is open."""
    if period.start is not None:
        yield time >= period.start
    if period.end is not None:
        yield time < period.end
