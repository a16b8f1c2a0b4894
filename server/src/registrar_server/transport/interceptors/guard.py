"""Put a context manager around a call, streams included.

An interceptor that wraps only the handler's call misses what is raised while a stream is iterated, so each of the four
kinds is wrapped again, and a response stream is iterated inside the guard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import grpc

from registrar_server.transport.handlers import Handler, behaviour_of, served_by

Guard = Callable[[str, grpc.ServicerContext], AbstractContextManager[None]]
"""Around a call of the method with that full name."""
Admit: TypeAlias = "Callable[[str, Handler], Handler]"
"""Puts the demand of a method before its handler; see `admission`."""


class GuardInterceptor(grpc.ServerInterceptor):
    """Runs every handler of every service within `guards`, the first of them the outermost, and behind `admit`.

    But for what `admit` leaves open and holds no thread: watching health.
    """

    def __init__(self, *guards: Guard, admit: Admit) -> None:
        self._guards = guards
        self._admit = admit
        # A method is wrapped when it is first called: doing so for each call is a tenth of what a small one costs.
        self._wrapped: dict[str, Handler] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The wrapped handler, if there is one."""
        method = str(handler_call_details.method)
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = continuation(handler_call_details)
            if handler is None:
                return None
            wrapped = self._admit(method, handler)
            if wrapped is not handler or not _holds_no_thread(handler):
                for guard in reversed(self._guards):
                    wrapped = _wrap(wrapped, guard, method)
            self._wrapped[method] = wrapped
        return wrapped


def _holds_no_thread(handler: Handler) -> bool:
    """Whether it answers a stream without a thread, as watching health does. Wrapped it would need one for each watcher,
    and anybody may watch.
    """
    return bool(getattr(handler.unary_stream, "experimental_non_blocking", False))


def _wrap(handler: Handler, guard: Guard, method: str) -> Handler:
    inner = behaviour_of(handler)

    def respond(request: Any, context: grpc.ServicerContext) -> Any:
        with guard(method, context):
            return inner(request, context)

    def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with guard(method, context):
            yield from inner(request, context)

    return served_by(stream if handler.response_streaming else respond, handler)
