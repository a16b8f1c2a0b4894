"""What is known about the call that a thread is working on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import Message

from registrar_server.application.mutations import Mutation
from registrar_server.domain.access import Caller


@dataclass(slots=True)
class Call:
    """One call: set by the interceptors, read by the servicers."""

    method: str
    request_id: str
    """The identity of this attempt in logs and trailers (`x-request-id`), not the mutation's."""
    caller: Caller
    peer: str
    authorization: str = field(default="", repr=False)
    """What the caller sent under that name: a secret."""
    bytes_in: int = 0
    bytes_out: int = 0
    refusal: str = ""
    """The reason that it was refused with; empty: it was not."""
    violations: int = 0
    """How many fields of the request were wrong."""
    counted_in: int = 0
    """As much of `bytes_in` as metrics have counted."""
    counted_out: int = 0


current_call: ContextVar[Call] = ContextVar("registrar_call")


Result = TypeVar("Result")


def current_caller() -> Caller:
    """Who the call comes from."""
    return current_call.get().caller


def mutation_of(request: Message, request_id: str, to_response: Callable[[Result], Message]) -> Mutation[Result]:
    """The mutation that a request asks for; its body is everything but its request id, which is checked already."""
    body = type(request)()
    body.CopyFrom(request)
    body.ClearField("request_id")
    call = current_call.get()
    return Mutation(
        caller=call.caller,
        rpc=call.method.rsplit("/", 1)[-1],
        request_id=request_id,
        body_digest=hashlib.sha256(body.SerializeToString(deterministic=True)).hexdigest(),
        encode=lambda result: to_response(result).SerializeToString(),
    )
