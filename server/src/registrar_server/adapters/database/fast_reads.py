"""The reads that are made thousands of times a second, each one statement without a transaction around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, Select, bindparam, select

from registrar_server.adapters.database.models import LIST, list_values, to_model
from registrar_server.adapters.database.reader import Prepared, SqlReader, prepare
from registrar_server.adapters.database.tables import counters, events
from registrar_server.adapters.database.versions import statement_of, to_version
from registrar_server.application.ports.database import ModelEvent
from registrar_server.domain.models import Model
from registrar_server.domain.values import ModelKey, Selector
from registrar_server.domain.versions import ModelVersion

_HEAD = select(counters.c.value).where(counters.c.name == "events")
_NEXT = (
    select(events.c.sequence, events.c.tenant, events.c.model_name)
    .where(events.c.sequence > bindparam("after"))
    .order_by(events.c.sequence)
    .limit(bindparam("limit"))
)


class FastReads:
    """What `Database` promises of reads without a transaction."""

    def __init__(self, engine: Engine) -> None:
        self._dialect = engine.dialect
        self._reader = SqlReader(engine)
        self._resolving: dict[int, Prepared] = {}
        self._head = prepare(_HEAD, engine.dialect)
        self._next = prepare(_NEXT, engine.dialect)

    def resolve(self, model: ModelKey, selector: Selector) -> Sequence[ModelVersion]:
        """See the port."""
        statement, values = statement_of(selector)
        prepared = self._prepared(statement)
        rows = self._reader.rows(prepared, {"tenant": model.tenant, "name": model.name, **values})
        return [to_version(row) for row in prepared.to_rows(rows)]

    def list_models(
        self, tenant: str, *, prefix: str, after: str, limit: int, is_deleted_shown: bool
    ) -> Sequence[Model]:
        """See the port."""
        prepared = self._prepared(LIST)
        asked = list_values(tenant, prefix=prefix, after=after, limit=limit, is_deleted_shown=is_deleted_shown)
        return [to_model(row) for row in prepared.to_rows(self._reader.rows(prepared, asked))]

    def events_after(self, sequence: int, *, limit: int) -> tuple[int, Sequence[ModelEvent]]:
        """See the port. The head alone tells most callers that there is nothing new."""
        head: int = self._reader.rows(self._head, {})[0][0]
        if head <= sequence:
            return head, ()
        rows = self._reader.rows(self._next, {"after": sequence, "limit": limit})
        return head, [ModelEvent(number, ModelKey(tenant, name)) for number, tenant, name in rows]

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()

    def _prepared(self, statement: Select[Any]) -> Prepared:
        """Put together once: the statements live as long as the program."""
        found = self._resolving.get(id(statement))
        if found is None:
            found = self._resolving[id(statement)] = prepare(statement, self._dialect)
        return found
