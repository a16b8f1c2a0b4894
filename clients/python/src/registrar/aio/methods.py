"""Methods of `aio.Registry` made of described calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from registrar.aio.connection import Connection
from registrar.calls.call import Call, Listing
from registrar.context import CallContext
from registrar.methods import as_described

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Item = TypeVar("Item")


class Calls:
    """What the parts of `aio.Registry` share: a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection


def unary(
    describe: Callable[Concatenate[CallContext, Arguments], Call[Result]],
) -> Callable[Concatenate[Calls, Arguments], Coroutine[Any, Any, Result]]:
    """The method that makes the call and gives its result, with the arguments and the docstring of its description."""

    async def method(calls: Calls, /, *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        connection = calls._connection  # noqa: SLF001  (it becomes a method of that class)
        connection.open()
        return await connection.run(describe(connection, *arguments, **named))

    return as_described(method, describe, gives="{}")


def listing(
    describe: Callable[Concatenate[CallContext, Arguments], Listing[Item]],
) -> Callable[Concatenate[Calls, Arguments], AsyncIterator[Item]]:
    """The method that iterates over the list, with the arguments and the docstring of its description."""

    def method(calls: Calls, /, *arguments: Arguments.args, **named: Arguments.kwargs) -> AsyncIterator[Item]:
        connection = calls._connection  # noqa: SLF001
        connection.open()
        return connection.iterate(describe(connection, *arguments, **named))

    return as_described(method, describe, gives="AsyncIterator[{}]")
