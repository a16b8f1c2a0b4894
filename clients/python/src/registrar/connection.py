"""One channel to the registry, for callers that wait: calls with retries, errors as our own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import grpc

from registrar.attempts import Attempts
from registrar.authorized import authorized
from registrar.calls.call import Call, Listing
from registrar.channel import open_channel
from registrar.context import AnyModelRef, AnyVersionRef, CallContext, EventSequence
from registrar.errors import RegistrarError
from registrar.retry import Patience, is_retryable
from registrar.settings import Settings

__all__ = ["AnyModelRef", "AnyVersionRef", "Connection", "pages"]

Result = TypeVar("Result")
Item = TypeVar("Item")
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class Connection(CallContext):
    """A channel and how calls go over it. Thread-safe; `close` may be called twice."""

    def __init__(self, settings: Settings, sequence: EventSequence | None = None) -> None:
        super().__init__(settings, sequence)
        self._closing = threading.Event()
        self.channel = authorized(open_channel(self.endpoint), settings.tokens)
        self.use(self.channel)

    def close(self) -> None:
        """End every call that runs or waits for its next attempt, and the channel."""
        self.is_closed = True
        self._closing.set()
        self.channel.close()

    def pause(self, seconds: float) -> None:
        """Sleep, unless and until the connection is closed: what a `Patience` may sleep with."""
        self._closing.wait(seconds)

    def to_endpoint(self, target: str) -> Connection:
        """Another connection with the same settings: with TLS if this one has it. Errors: InvalidArgument INSECURE_CHANNEL."""
        scheme, separator, _ = self.target.partition("://")
        return Connection(
            replace(
                self.settings,
                target=f"{scheme}://{target}" if separator and "://" not in target else target,
                credentials=self.endpoint.credentials,
            )
        )

    def run(self, call: Call[Result]) -> Result:
        """Make a described call until it succeeds, fails for good, or the time is up; raises RegistrarError."""
        seconds = self.timeout_seconds if call.timeout_seconds is None else call.timeout_seconds
        patience = Patience(seconds, sleep=self.pause)
        attempts = Attempts(self, patience, attempt_seconds=call.attempt_seconds)
        return call.answer(self._repeat(lambda: call.start(attempts.timeout_seconds), patience, attempts))

    def iterate(self, listing: Listing[Item]) -> Iterator[Item]:
        """Every item of a list; pages are fetched as they are consumed."""
        return pages(lambda token: self.run(listing.page(token)))

    def unary(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout_seconds: float | None = None,
        attempt_seconds: float | None = None,
    ) -> ResponseT:
        """Make a call that nobody described, and give its reply; otherwise as `run`.

        `attempt_seconds` bounds one attempt: then DEADLINE_EXCEEDED is tried again while time is left.
        """
        return self.run(Call(method, request, _reply, timeout_seconds=timeout_seconds, attempt_seconds=attempt_seconds))

    def attempts(
        self,
        attempt: Callable[[], Result],
        patience: Patience,
        *,
        is_retryable: Callable[[RegistrarError], bool] = is_retryable,
    ) -> Result:
        """Run `attempt` with retries; RpcErrors of it become RegistrarErrors.

        While no server has ever answered, patience is short: nobody waits a minute to learn of a wrong address.
        """
        return self._repeat(attempt, patience, Attempts(self, patience, is_retryable=is_retryable))

    def _repeat(self, attempt: Callable[[], Result], patience: Patience, attempts: Attempts) -> Result:
        while True:
            self.check_open()
            try:
                result = attempt()
            except (grpc.RpcError, RegistrarError) as failure:
                pause_seconds = attempts.failed(failure)
            except ValueError:  # gRPC's word for a channel that was closed a moment ago
                self.check_open()
                raise
            else:
                attempts.succeeded()
                return result
            patience.sleep(pause_seconds)


def _reply(response: ResponseT) -> ResponseT:
    return response


def pages(fetch: Callable[[str], tuple[list[Item], str]]) -> Iterator[Item]:
    """Every item of a list, fetched page by page as it is consumed; `fetch` takes a token and gives the next."""
    token = ""
    while True:
        items, token = fetch(token)
        yield from items
        if not token:
            return
