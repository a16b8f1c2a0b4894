"""Name every call and its caller before anything else happens.

Until callers authenticate, whoever reaches the loopback address is the local user: it speaks for the default tenant,
and may name any other.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from registrar_server.domain.values import DEFAULT_TENANT, Caller
from registrar_server.transport.calls import Call, current_call

REQUEST_ID_KEY = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LOCAL = Caller(actor="local", tenant=DEFAULT_TENANT, roles=("administrator",))

Authenticate = Callable[[grpc.ServicerContext], Caller]


def local_caller(_context: grpc.ServicerContext) -> Caller:
    """The local user."""
    return _LOCAL


class CallContext:
    """Guard that sets `current_call` and sends the request id back in the trailers."""

    def __init__(self, authenticate: Authenticate = local_caller) -> None:
        self._authenticate = authenticate

    @contextmanager
    def __call__(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:
        """Around one call."""
        request_id = _request_id(context)
        context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
        call = Call(method, request_id, self._authenticate(context), str(context.peer()))
        token = current_call.set(call)
        try:
            yield
        finally:
            current_call.reset(token)


def _request_id(context: grpc.ServicerContext) -> str:
    """The caller's, where it is fit for a log; else a new one."""
    for key, value in context.invocation_metadata():
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    # Need not be hard to guess. `uuid4` asks the kernel, and lets go of the interpreter's lock for that.
    return f"{random.getrandbits(128):032x}"
