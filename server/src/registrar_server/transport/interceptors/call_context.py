"""Name every call before anything else happens. Who it comes from is found out by `admission`, whose errors are answered."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from registrar_server.application.authentication import ANONYMOUS
from registrar_server.transport.calls import Call, current_call

REQUEST_ID_KEY = "x-request-id"
_AUTHORIZATION_KEY = "authorization"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@contextmanager
def call_context(method: str, context: grpc.ServicerContext) -> Iterator[None]:
    """Guard that sets `current_call` and sends the request id back in the trailers."""
    request_id, authorizations = "", []
    for key, value in context.invocation_metadata():
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            request_id = value
        elif key == _AUTHORIZATION_KEY:
            authorizations.append(str(value))
    # Of two, neither, also when one is empty: which one a proxy has looked at is unknown.
    authorization = "two" if len(authorizations) > 1 else "".join(authorizations)
    # Need not be hard to guess. `uuid4` asks the kernel, and lets go of the interpreter's lock for that.
    request_id = request_id or f"{random.getrandbits(128):032x}"
    context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
    token = current_call.set(Call(method, request_id, ANONYMOUS, str(context.peer()), authorization))
    try:
        yield
    finally:
        current_call.reset(token)
