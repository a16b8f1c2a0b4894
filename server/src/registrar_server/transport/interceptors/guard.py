"""Put a context manager around a call, streams included.

An interceptor that wraps only the handler's call misses what is raised while a stream is iterated, so each of the four
kinds is wrapped again, and a response stream is iterated inside the guard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import grpc

Guard = Callable[[grpc.HandlerCallDetails, grpc.ServicerContext], AbstractContextManager[None]]


class GuardInterceptor(grpc.ServerInterceptor):
    """Runs every handler of every service within `guard`."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the handler, if there is one."""
        handler = continuation(handler_call_details)
        return None if handler is None else _wrap(handler, self._guard, handler_call_details)


def _wrap(
    handler: grpc.RpcMethodHandler[Any, Any], guard: Guard, details: grpc.HandlerCallDetails
) -> grpc.RpcMethodHandler[Any, Any]:
    inner: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream

    def respond(request: Any, context: grpc.ServicerContext) -> Any:
        with guard(details, context):
            return inner(request, context)

    def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with guard(details, context):
            yield from inner(request, context)

    makers: dict[tuple[bool, bool], tuple[Callable[..., Any], Callable[..., Any]]] = {
        (False, False): (grpc.unary_unary_rpc_method_handler, respond),
        (False, True): (grpc.unary_stream_rpc_method_handler, stream),
        (True, False): (grpc.stream_unary_rpc_method_handler, respond),
        (True, True): (grpc.stream_stream_rpc_method_handler, stream),
    }
    make, behaviour = makers[bool(handler.request_streaming), bool(handler.response_streaming)]
    wrapped: grpc.RpcMethodHandler[Any, Any] = make(
        behaviour, handler.request_deserializer, handler.response_serializer
    )
    return wrapped
