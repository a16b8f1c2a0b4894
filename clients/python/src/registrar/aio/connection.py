"""One channel to the registry for one event loop: calls with retries, errors as our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, TypeVar

import grpc

from registrar.attempts import Attempts
from registrar.authorized import authorized_aio
from registrar.calls.call import Call, Listing
from registrar.channel import Endpoint
from registrar.context import CallContext
from registrar.errors import Cancelled, InvalidArgument, RegistrarError
from registrar.retry import Patience
from registrar.settings import Settings

Result = TypeVar("Result")
Item = TypeVar("Item")


class Connection(CallContext):
    """A channel and how calls go over it. It belongs to the event loop that makes the first call, which opens it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: grpc.aio.Channel | None = None
        self._closing = asyncio.Event()

    def open(self) -> None:
        """Make ready for a call of the running event loop. Errors: InvalidArgument CLOSED, WRONG_EVENT_LOOP."""
        self.check_open()
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            self._channel = _open_channel(self.endpoint)
            self.use(authorized_aio(self._channel, self.settings.tokens))
        elif loop is not self._loop:
            raise InvalidArgument(
                "this registry belongs to another event loop: connect in each of them", reason="WRONG_EVENT_LOOP"
            )

    async def close(self) -> None:
        """End every call that runs, and the channel. May be called twice. Errors: InvalidArgument WRONG_EVENT_LOOP."""
        if self._channel is None:
            self.is_closed = True
        elif not self.is_closed:
            self.open()
            self.is_closed = True
            self._closing.set()
            await self._channel.close()

    async def run(self, call: Call[Result]) -> Result:
        """Make a described call until it succeeds, fails for good, or the time is up; raises RegistrarError.

        Cancelling the task cancels the call.
        """
        patience = Patience(self.timeout_seconds if call.timeout_seconds is None else call.timeout_seconds)
        attempts = Attempts(self, patience, attempt_seconds=call.attempt_seconds)
        while True:
            self.open()
            try:
                reply = await _reply(call.start(attempts.timeout_seconds))
            except (grpc.RpcError, RegistrarError) as failure:
                pause_seconds = attempts.failed(failure)
            else:
                attempts.succeeded()
                return call.answer(reply)
            await self._pause(pause_seconds)

    async def iterate(self, listing: Listing[Item]) -> AsyncIterator[Item]:
        """Every item of a list; pages are fetched as they are consumed."""
        token = ""
        while True:
            items, token = await self.run(listing.page(token))
            for item in items:
                yield item
            if not token:
                return

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()


async def _reply(rpc: Any) -> Any:
    try:
        return await rpc
    except asyncio.CancelledError:
        if is_cancelled_itself():
            raise
        raise Cancelled("the registry was closed while the call ran") from None


def is_cancelled_itself() -> bool:
    """Whether a CancelledError means the running task; otherwise only what it awaited was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _open_channel(endpoint: Endpoint) -> grpc.aio.Channel:
    if endpoint.credentials is not None:
        return grpc.aio.secure_channel(endpoint.address, endpoint.credentials, options=endpoint.options)
    return grpc.aio.insecure_channel(endpoint.address, options=endpoint.options)
