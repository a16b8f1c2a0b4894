"""What moves files, for asyncio: the synchronous client's methods, each in a thread of a pool.

Files are blocking I/O in any case, and hashing them would hold up the event loop. A transfer has a synchronous registry
to itself while it runs, because closing that is what ends it, whatever its thread waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

from registrar import connection as blocking
from registrar.aio.connection import Connection, is_cancelled_itself
from registrar.aio.methods import Calls
from registrar.client import Registry
from registrar.errors import Cancelled
from registrar.methods import as_described

TRANSFERS_AT_ONCE = 16
"""Threads of one registry; who comes later waits for one."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Item = TypeVar("Item")


class Worker:
    """A synchronous registry, and the thread that works with it; at most one piece of work at a time."""

    def __init__(self, connection: blocking.Connection, executor: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._registry = Registry(connection)
        self._executor = executor
        self._job: Future[Any] | None = None
        self.is_stopped = False

    def start(self, work: Callable[[Registry], Result]) -> Future[Result]:
        """Begin work as soon as there is a thread, with the caller's context variables."""
        if self.is_stopped:
            raise _closed()
        job = self._executor.submit(copy_context().run, work, self._registry)
        self._job = job
        return job

    async def finish(self, job: Future[Result]) -> Result:
        """What the work gave. Errors: what it raised; Cancelled when it was stopped."""
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            if is_cancelled_itself():
                raise
            raise _closed() from None
        except Exception as failure:
            if not self.is_stopped:
                raise
            # What a thread meets when its connection is gone depends on where it is.
            raise _closed() from failure

    async def stop(self) -> None:
        """End the work, and wait until its thread is free."""
        self.is_stopped = True
        self._connection.close()
        # In a thread: it waits for one that is just looking for the bulk endpoint.
        ends: list[Awaitable[object]] = [asyncio.to_thread(self._registry.close)]
        if self._job is not None and not self._job.cancel():
            ends.append(asyncio.wrap_future(self._job))
        await asyncio.gather(*ends, return_exceptions=True)


def _closed() -> Cancelled:
    return Cancelled("the registry was closed during the transfer")


class Workers:
    """What works for one asyncio registry. Whoever has ended well works again."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._executor = ThreadPoolExecutor(TRANSFERS_AT_ONCE, thread_name_prefix="registrar-aio")
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()

    async def run(self, work: Callable[[Registry], Result]) -> Result:
        """Work in a thread, and give its result."""
        async with self._worker() as worker:
            return await worker.finish(worker.start(work))

    async def iterate(self, work: Callable[[Registry], Iterator[Item]]) -> AsyncGenerator[Item, None]:
        """Iterate in a thread, one item ahead of who consumes them."""
        async with self._worker() as worker:
            items = await worker.finish(worker.start(work))
            ahead = worker.start(lambda _: next(items, None))
            while (item := await worker.finish(ahead)) is not None:
                ahead = worker.start(lambda _: next(items, None))
                yield item

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[Worker]:
        """A worker, which is stopped when the block ends with an exception, be it that the task was cancelled."""
        self._connection.open()
        worker = self._idle.pop() if self._idle else self._new_worker()
        self._busy.add(worker)
        try:
            yield worker
        except BaseException:
            await worker.stop()
            raise
        else:
            if not worker.is_stopped:
                self._idle.append(worker)
        finally:
            self._busy.discard(worker)

    def _new_worker(self) -> Worker:
        connection = blocking.Connection(self._connection.settings, self._connection.sequence)
        return Worker(connection, self._executor)

    async def close(self) -> None:
        """End every transfer, and wait for its thread."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*[worker.stop() for worker in (*self._busy, *idle)])
        self._executor.shutdown(wait=False)


class TransferCalls(Calls):
    """What the methods that move files share."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._workers = Workers(connection)


def in_thread(
    method: Callable[Concatenate[Registry, Arguments], Result],
) -> Callable[Concatenate[TransferCalls, Arguments], Coroutine[Any, Any, Result]]:
    """The method that runs one of the synchronous registry in a thread; cancelling the task ends it."""

    async def transfer(calls: TransferCalls, /, *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        workers = calls._workers  # noqa: SLF001  (it becomes a method of that class)
        return await workers.run(lambda registry: method(registry, *arguments, **named))

    update_wrapper(transfer, method)
    return transfer


def from_thread(
    method: Callable[Concatenate[Registry, Arguments], Iterator[Item]],
) -> Callable[Concatenate[TransferCalls, Arguments], AsyncGenerator[Item, None]]:
    """The method that iterates in a thread over what one of the synchronous registry gives."""

    def transfer(
        calls: TransferCalls, /, *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> AsyncGenerator[Item, None]:
        workers = calls._workers  # noqa: SLF001
        return workers.iterate(lambda registry: method(registry, *arguments, **named))

    return as_described(transfer, method, gives="AsyncGenerator[{}, None]")
