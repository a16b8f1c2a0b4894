"""Ids of the fields that terms belong to: a number for each name in a tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, select

from registrar_server.adapters.database.search.tables import search_fields


def known_ids(connection: Connection, tenant: str, names: Iterable[str]) -> Mapping[str, int]:
    """By name, of those that have one."""
    query = select(search_fields.c.name, search_fields.c.id).where(
        search_fields.c.tenant == tenant, search_fields.c.name.in_(sorted(names))
    )
    return {row.name: row.id for row in connection.execute(query)}
