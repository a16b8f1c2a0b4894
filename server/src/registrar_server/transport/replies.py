"""Replies that are bytes already, sent as they are.

A servicer's signature names messages. Where it has the message's bytes (kept by a cache), it returns them by
`as_sent`; services registered by `add_service` send them without a message being made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar, cast

import grpc
from google.protobuf.message import Message

Reply = TypeVar("Reply", bound=Message)
Servicer = TypeVar("Servicer")
Handlers: TypeAlias = "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"


def as_sent(reply: bytes, _kind: type[Reply]) -> Reply:
    """Bytes of a message of that kind, in its place."""
    return cast(Reply, reply)


def serialize(reply: Message | bytes) -> bytes:
    """What goes out."""
    return reply if isinstance(reply, bytes) else reply.SerializeToString()


def add_service(
    add: Callable[[Servicer, grpc.Server], None],
    servicer: Servicer,
    server: grpc.Server,
    change: Callable[[str, grpc.RpcMethodHandler[Any, Any]], grpc.RpcMethodHandler[Any, Any]],
) -> None:
    """Register a service as the generated `add` does, each method's handler passed through `change`."""
    generated = _Handlers()
    add(servicer, cast(grpc.Server, generated))
    handlers = {method: change(method, handler) for method, handler in generated.by_name.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(generated.service, handlers),))
    server.add_registered_method_handlers(generated.service, handlers)


def sends_bytes(_method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
    """For `add_service`: unary methods may answer bytes."""
    if handler.unary_unary is None:
        return handler
    return grpc.unary_unary_rpc_method_handler(handler.unary_unary, handler.request_deserializer, serialize)


class _Handlers:
    """Takes a server's place while generated code registers a service."""

    def __init__(self) -> None:
        self.service = ""
        self.by_name: Handlers = {}

    def add_generic_rpc_handlers(self, _handlers: object) -> None:
        """The same handlers, without their names."""

    def add_registered_method_handlers(self, service: str, handlers: Handlers) -> None:
        self.service, self.by_name = service, handlers
