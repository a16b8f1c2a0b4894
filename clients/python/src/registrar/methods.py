"""Methods of `Registry` made of described calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

from registrar.calls.call import Call, Listing
from registrar.connection import Connection
from registrar.context import CallContext

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Item = TypeVar("Item")


class Calls:
    """What the parts of `Registry` share: a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection


def unary(
    describe: Callable[Concatenate[CallContext, Arguments], Call[Result]],
) -> Callable[Concatenate[Calls, Arguments], Result]:
    """The method that makes the call and gives its result, with the arguments and the docstring of its description."""

    def method(calls: Calls, /, *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        connection = calls._connection  # noqa: SLF001  (it becomes a method of that class)
        return connection.run(describe(connection, *arguments, **named))

    return as_described(method, describe, gives="{}")


def listing(
    describe: Callable[Concatenate[CallContext, Arguments], Listing[Item]],
) -> Callable[Concatenate[Calls, Arguments], Iterator[Item]]:
    """The method that iterates over the list, with the arguments and the docstring of its description."""

    def method(calls: Calls, /, *arguments: Arguments.args, **named: Arguments.kwargs) -> Iterator[Item]:
        connection = calls._connection  # noqa: SLF001
        return connection.iterate(describe(connection, *arguments, **named))

    return as_described(method, describe, gives="Iterator[{}]")


Method = TypeVar("Method", bound=Callable[..., Any])


def as_described(method: Method, describe: Callable[..., Any], *, gives: str) -> Method:
    """Make `help` show a method by its description's name, docstring and arguments, and by what the method gives.

    `gives` is an annotation with a place for what the description describes: `{}` for the X of its `Call[X]`.
    """
    update_wrapper(method, describe)
    described = inspect.signature(describe)
    _, _, inner = described.return_annotation.partition("[")
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    _, *parameters = described.parameters.values()
    signature = described.replace(
        parameters=[this, *parameters], return_annotation=gives.format(inner.removesuffix("]"))
    )
    setattr(method, "__signature__", signature)  # noqa: B010  (functions declare no such attribute)
    return method
