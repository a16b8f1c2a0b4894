"""The attempts of one call: the same rules for a client that waits and for one that awaits."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from registrar.context import CallContext
from registrar.errors import Code, RegistrarError
from registrar.retry import Patience, is_retryable
from registrar.rpc_errors import error_from_rpc


class Attempts:
    """Says after each failure how long to wait before the next attempt, or that there is none.

    While no server has ever answered, patience is short: nobody waits a minute to learn of a wrong address.
    `attempt_seconds` bounds one attempt: then DEADLINE_EXCEEDED is tried again while time is left.
    """

    def __init__(
        self,
        context: CallContext,
        patience: Patience,
        *,
        attempt_seconds: float | None = None,
        is_retryable: Callable[[RegistrarError], bool] = is_retryable,
    ) -> None:
        self._context = context
        self._patience = patience
        self._connecting = patience.shorten(context.settings.connect_timeout_seconds)
        self._attempt_seconds = attempt_seconds
        self._is_retryable = is_retryable
        self._failures = 0

    @property
    def timeout_seconds(self) -> float | None:
        """What the next attempt may take; None: as long as it likes."""
        bounds = [seconds for seconds in (self._patience.left, self._attempt_seconds) if seconds is not None]
        return min(bounds, default=None)

    def succeeded(self) -> None:
        """The last attempt was answered."""
        self._context.has_answered = True

    def failed(self, failure: grpc.RpcError | RegistrarError) -> float:
        """Seconds to wait before the next attempt; raises the failure, as our own exception, when there is none."""
        error = failure if isinstance(failure, RegistrarError) else error_from_rpc(failure)
        if error is not failure:
            error.__cause__ = failure
        context = self._context
        context.has_answered = context.has_answered or bool(error.reason)
        patience = self._patience if context.has_answered else self._connecting
        pause_seconds = context.retry.delay(self._failures, error.retry_after)
        if not self._may_repeat(error) or not patience.allows(pause_seconds):
            raise self._explained(error)
        self._failures += 1
        return pause_seconds

    def _may_repeat(self, error: RegistrarError) -> bool:
        if self._context.is_closed:
            return False
        is_overdue = self._attempt_seconds is not None and error.code is Code.DEADLINE_EXCEEDED
        return is_overdue or self._is_retryable(error)

    def _explained(self, error: RegistrarError) -> RegistrarError:
        if error.code is Code.UNAVAILABLE and not error.reason and not self._context.has_answered:
            explained = type(error)(f"no registry answers at {self._context.target}", reason="UNREACHABLE")
            explained.__cause__ = error.__cause__
            return explained
        return error
