"""The database with its failures counted and each use of it surrounded, by a span for example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from registrar_server.application.ports.database import Database, ModelEvent, Transaction
from registrar_server.domain.access import NamePattern
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.models import Model
from registrar_server.domain.values import ModelKey, Selector
from registrar_server.domain.versions import ModelVersion

Around = Callable[[str], AbstractContextManager[None]]
"""Given the name of a use, what surrounds it."""

_FAILURES = {Reason.DATABASE_BUSY: "busy", Reason.DATABASE_UNAVAILABLE: "unavailable"}


class ObservedDatabase:
    """The port `Database` by another one."""

    def __init__(self, database: Database, around: Around | None = None) -> None:
        self._database = database
        self._around = around or (lambda _: nullcontext())
        self.failures: Counter[str] = Counter()
        """So far, by kind: `busy` (others held a lock for too long) and `unavailable`."""

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """See the port."""
        with self._counting(), self._around("read"), self._database.reading() as transaction:
            yield transaction

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """See the port."""
        with self._counting(), self._around("write"), self._database.writing() as transaction:
            yield transaction

    def resolve(self, model: ModelKey, selector: Selector) -> Sequence[ModelVersion]:
        """See the port."""
        with self._counting(), self._around("resolve"):
            return self._database.resolve(model, selector)

    def list_models(
        self,
        tenant: str,
        *,
        readable: Sequence[NamePattern],
        prefix: str,
        after: str,
        limit: int,
        is_deleted_shown: bool,
    ) -> Sequence[Model]:
        """See the port."""
        with self._counting(), self._around("list_models"):
            return self._database.list_models(
                tenant, readable=readable, prefix=prefix, after=after, limit=limit, is_deleted_shown=is_deleted_shown
            )

    def events_after(self, sequence: int, *, limit: int) -> tuple[int, Sequence[ModelEvent]]:
        """See the port."""
        with self._counting():
            return self._database.events_after(sequence, limit=limit)

    def tell_commits(self, listener: Callable[[Sequence[ModelEvent]], None]) -> None:
        """See the port."""
        self._database.tell_commits(listener)

    def check(self) -> None:
        """See the port."""
        with self._counting():
            self._database.check()

    def close(self) -> None:
        """See the port."""
        self._database.close()

    @contextmanager
    def _counting(self) -> Iterator[None]:
        try:
            yield
        except RegistrarError as exc:
            kind = _FAILURES.get(exc.reason)
            if kind is not None:
                self.failures[kind] += 1
            raise
