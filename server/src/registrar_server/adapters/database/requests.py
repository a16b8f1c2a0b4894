"""Statements about request ids and the answers they stand for."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, select, update

from registrar_server.adapters.database.tables import requests
from registrar_server.adapters.database.upsert import insert_for
from registrar_server.application.ports.database import RequestKey, StoredAnswer


class SqlRequests:
    """The port `RequestRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def claim(
        self, key: RequestKey, body_digest: str, *, version_uid: str | None, time: datetime
    ) -> StoredAnswer | None:
        """See the port. The insert waits for a concurrent call with the same id to end."""
        statement = insert_for(self._connection, requests).values(
            tenant=key.tenant,
            actor=key.actor,
            rpc=key.rpc,
            request_id=key.request_id,
            body_digest=body_digest,
            version_uid=version_uid,
            created_at=time,
        )
        statement = statement.on_conflict_do_nothing(index_elements=["tenant", "actor", "rpc", "request_id"])
        if self._connection.execute(statement).rowcount == 1:
            return None
        return self.find(key)

    def find(self, key: RequestKey) -> StoredAnswer | None:
        """See the port."""
        query = select(requests.c.body_digest, requests.c.answer, requests.c.version_uid).where(_matches(key))
        row = self._connection.execute(query).first()
        return None if row is None else StoredAnswer(row.body_digest, row.answer, row.version_uid)

    def answer(self, key: RequestKey, answer: bytes) -> None:
        """See the port."""
        statement = update(requests).where(_matches(key), requests.c.answer.is_(None))
        self._connection.execute(statement.values(answer=answer))

    def forget_before(self, time: datetime) -> None:
        """See the port."""
        self._connection.execute(delete(requests).where(requests.c.created_at < time))


def _matches(key: RequestKey) -> ColumnElement[bool]:
    return and_(
        requests.c.tenant == key.tenant,
        requests.c.actor == key.actor,
        requests.c.rpc == key.rpc,
        requests.c.request_id == key.request_id,
    )
