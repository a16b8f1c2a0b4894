"""Write down what known callers were refused: who tries again and again what it may not is worth knowing."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock

import structlog

from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Change, Database
from registrar_server.domain.access import EVERYWHERE, Caller
from registrar_server.domain.errors import FailedPrecondition, Reason, RegistrarError
from registrar_server.domain.values import ModelKey

_log = structlog.get_logger()

BURST = 20
PER_SECOND = 0.5
"""Of one caller: so many at once, and so many a second over time."""
_CALLERS_REMEMBERED = 1_000
_CONDITIONS = 20
_CONDITION_CHARACTERS = 300

# What is nobody's decision: the request could not be read, somebody else was faster by chance, or something is down.
_NOT_DECIDED = frozenset(
    {
        Reason.INVALID_FIELD,
        Reason.STREAM_MALFORMED,
        Reason.PAGE_TOKEN_INVALID,
        Reason.FILTER_INVALID,
        Reason.CREDENTIALS_MISSING,
        Reason.CREDENTIALS_INVALID,
        Reason.CREDENTIALS_EXPIRED,
        Reason.IDENTITY_PROVIDER_UNAVAILABLE,
        Reason.DATABASE_BUSY,
        Reason.DATABASE_UNAVAILABLE,
        Reason.MLFLOW_UNAVAILABLE,
        Reason.STORE_UNAVAILABLE,
        Reason.NO_TRANSFER_SLOT,
        Reason.TRANSFER_STALLED,
        Reason.SERVER_STOPPING,
        Reason.REGISTRATION_PENDING,
        Reason.UPLOAD_PENDING,
        Reason.METHOD_NOT_IMPLEMENTED,
    }
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody wanted: the action by the RPC's name, the model (None: none), and what else tells it apart."""

    action: str
    tenant: str
    model: str = ""
    number: int = 0
    alias: str = ""
    comment: str = ""
    request_id: str = ""
    wanted: Mapping[str, object] | None = None


class Refusals:
    """Thread-safe. Each entry is a transaction of its own; one that cannot be written is logged, and changes no answer."""

    def __init__(self, database: Database, clock: Clock, *, now: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._now = now
        self._lock = Lock()
        self._callers: OrderedDict[str, _Allowance] = OrderedDict()

    def note(self, caller: Caller, attempt: Attempt, refusal: RegistrarError) -> None:
        """Write an entry, unless it is nobody's decision or the caller has had too many.

        It stands in the audit of the tenant that it is about, if the caller has a role there; else in that of its own.
        """
        if refusal.reason in _NOT_DECIDED:
            return
        omitted = self._take(caller.actor)
        if omitted is None:
            return
        tenant, wanted = attempt.tenant, dict(attempt.wanted or {})
        if not caller.access.sees(tenant):
            wanted["tenant"] = tenant
            tenant = caller.tenant if caller.access.sees(caller.tenant) else EVERYWHERE
        if omitted:
            wanted["omitted"] = omitted
        if refusal.preconditions:
            wanted["failed"] = [_condition(one) for one in refusal.preconditions[:_CONDITIONS]]
            wanted["failed_count"] = len(refusal.preconditions)
        change = Change(
            action=attempt.action,
            caller=caller,
            time=self._clock.now(),
            model=ModelKey(tenant, attempt.model),
            model_uid="",
            number=attempt.number,
            alias=attempt.alias,
            comment=attempt.comment,
            after=wanted,
            request_id=attempt.request_id,
            is_mirrored=False,
        )
        try:
            with self._database.writing() as transaction:
                if tenant != EVERYWHERE and not transaction.tenants.exists(tenant):
                    change = replace(
                        change, model=ModelKey(EVERYWHERE, attempt.model), after={**wanted, "tenant": tenant}
                    )
                transaction.journal.refuse(change, refusal.reason.value)
        except RegistrarError as exc:
            _log.warning("audit.refusal_not_written", reason=exc.reason.value, action=attempt.action)

    def _take(self, actor: str) -> int | None:
        """How many refusals of the actor were left out since the last that was written; None: this one is, too."""
        with self._lock:
            allowance = self._callers.setdefault(actor, _Allowance(BURST, self._now()))
            self._callers.move_to_end(actor)
            if len(self._callers) > _CALLERS_REMEMBERED:
                self._callers.popitem(last=False)
            return allowance.take(self._now())


def _condition(failed: FailedPrecondition) -> str:
    """What did not hold, in short."""
    return f"{failed.type} {failed.subject}: {failed.description}"[:_CONDITION_CHARACTERS]


class _Allowance:
    """What one caller may still have written down."""

    def __init__(self, left: float, since: float) -> None:
        self._left = left
        self._since = since
        self._omitted = 0

    def take(self, now: float) -> int | None:
        self._left = min(BURST, self._left + (now - self._since) * PER_SECOND)
        self._since = now
        if self._left < 1:
            self._omitted += 1
            return None
        self._left -= 1
        omitted, self._omitted = self._omitted, 0
        return omitted
