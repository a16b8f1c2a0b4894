"""What every mutation has in common: one transaction, a request id that replays, a wake-up after the commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database, RequestKey, Transaction
from registrar_server.application.ports.signals import Signals
from registrar_server.domain.access import Caller
from registrar_server.domain.errors import Reason, RegistrarError

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Mutation(Generic[Result]):
    """A call that changes something: who, which RPC, its request id (empty: none), and how its answer is written.

    The answer is kept as the bytes that were sent, so a replay is the first answer by construction.
    """

    caller: Caller
    rpc: str
    request_id: str
    body_digest: str
    encode: Callable[[Result], bytes]

    @property
    def key(self) -> RequestKey | None:
        """What its request id is filed under."""
        if not self.request_id:
            return None
        return RequestKey(self.caller.tenant, self.caller.actor, self.rpc, self.request_id)

    def require_same_body(self, body_digest: str) -> None:
        """Refuse a request id that came before with another body."""
        if body_digest != self.body_digest:
            raise RegistrarError(
                Reason.REQUEST_ID_REUSED,
                "the request id was used before with another request body",
                metadata={"request_id": self.request_id},
            )


class Mutations:
    """Runs mutations that are one transaction."""

    def __init__(self, database: Database, clock: Clock, signals: Signals) -> None:
        self._database = database
        self._clock = clock
        self._signals = signals

    def run(
        self,
        mutation: Mutation[Result],
        action: Callable[[Transaction, datetime], Result],
        *,
        is_validate_only: bool = False,
    ) -> bytes:
        """The encoded answer: of `action`, or of the call that had this request id first.

        With `is_validate_only` the same code runs and nothing stays.
        """
        with self._database.writing() as transaction:
            now = self._clock.now()
            key = None if is_validate_only else mutation.key
            if key is not None:
                stored = transaction.requests.claim(key, mutation.body_digest, version_uid=None, time=now)
                if stored is not None:
                    mutation.require_same_body(stored.body_digest)
                    if stored.answer is not None:
                        return stored.answer
            answer = mutation.encode(action(transaction, now))
            if key is not None:
                transaction.requests.answer(key, answer)
            if is_validate_only:
                transaction.discard()
        self._signals.wake_background()
        return answer
