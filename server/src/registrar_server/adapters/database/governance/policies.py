"""Statements about policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, or_, select, text, update

from registrar_server.adapters.database.governance.tables import policies
from registrar_server.domain.access import EVERYWHERE
from registrar_server.domain.policies import Policy
from registrar_server.domain.policy_documents import read_document

# Any number that no other program on the same PostgreSQL takes for its advisory lock.
_LOCK = 7_232_001_945_110_402
# Not a row's lock: new holders of a shared row lock pass by who waits for the row, and could do so for ever.
_HOLD = text("SELECT pg_advisory_xact_lock_shared(:key)")
_TAKE = text("SELECT pg_advisory_xact_lock(:key)")
_LASTING = policies.c.ended_sequence.is_(None)


class SqlPolicies:
    """The port `PolicyRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def hold(self) -> None:
        """See the port. SQLite's writers are alone anyway."""
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(_HOLD, {"key": _LOCK})

    def lock(self) -> None:
        """See the port."""
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(_TAKE, {"key": _LOCK})

    def in_force(self, tenant: str, at_sequence: int | None = None) -> Sequence[Policy]:
        """See the port."""
        query = select(policies).where(policies.c.tenant.in_(sorted({tenant, EVERYWHERE})))
        if at_sequence is None:
            query = query.where(_LASTING)
        else:
            is_not_ended = or_(_LASTING, policies.c.ended_sequence > at_sequence)
            query = query.where(policies.c.sequence <= at_sequence, is_not_ended)
        found = self._all(query.order_by(policies.c.tenant, policies.c.name))
        # Of what was deleted since it was not known then.
        return [replace(policy, delete_time=None) for policy in found]

    def get(self, tenant: str, name: str, revision: int = 0) -> Policy | None:
        """See the port."""
        query = select(policies).where(policies.c.tenant == tenant, policies.c.name == name)
        if revision:
            query = query.where(policies.c.revision == revision)
        row = self._connection.execute(query.order_by(policies.c.revision.desc()).limit(1)).first()
        return None if row is None else _to_policy(row)

    def list(self, tenant: str, *, after: str, limit: int, is_deleted_shown: bool) -> Sequence[Policy]:
        """See the port."""
        is_last = or_(_LASTING, policies.c.deleted_at.is_not(None)) if is_deleted_shown else _LASTING
        query = select(policies).where(policies.c.tenant == tenant, policies.c.name > after, is_last)
        return self._all(query.order_by(policies.c.name).limit(limit))

    def revisions(self, tenant: str, name: str, *, before: int, limit: int) -> Sequence[Policy]:
        """See the port."""
        query = select(policies).where(policies.c.tenant == tenant, policies.c.name == name)
        if before:
            query = query.where(policies.c.revision < before)
        return self._all(query.order_by(policies.c.revision.desc()).limit(limit))

    def add(self, policy: Policy, sequence: int) -> None:
        """See the port."""
        self._end(policy.tenant, policy.name, ended_sequence=sequence)
        self._connection.execute(
            insert(policies).values(
                tenant=policy.tenant,
                name=policy.name,
                revision=policy.revision,
                description=policy.description,
                document=policy.document,
                updated_by=policy.updated_by,
                created_at=policy.create_time,
                updated_at=policy.update_time,
                sequence=sequence,
            )
        )

    def delete(self, policy: Policy, sequence: int) -> None:
        """See the port."""
        self._end(policy.tenant, policy.name, ended_sequence=sequence, deleted_at=policy.delete_time)

    def _end(self, tenant: str, name: str, **values: object) -> None:
        statement = update(policies).where(policies.c.tenant == tenant, policies.c.name == name, _LASTING)
        self._connection.execute(statement.values(values))

    def _all(self, query: Select[Any]) -> Sequence[Policy]:
        return [_to_policy(row) for row in self._connection.execute(query)]


def _to_policy(row: Row[Any]) -> Policy:
    scope, rules = read_document(row.document)
    return Policy(
        tenant=row.tenant,
        name=row.name,
        revision=row.revision,
        description=row.description,
        scope=scope,
        rules=rules,
        document=row.document,
        updated_by=row.updated_by,
        create_time=row.created_at,
        update_time=row.updated_at,
        delete_time=row.deleted_at,
    )
