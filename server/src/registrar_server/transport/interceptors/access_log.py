"""One line for each call, and the hook that metrics hang on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import grpc
import structlog

from registrar_server.transport.calls import Call, current_call

_log = structlog.get_logger()


class Observer(Protocol):
    """Told of every call, in the call's own thread."""

    def begin(self, call: Call) -> None:
        """It comes in."""

    def finish(self, call: Call, code: str, seconds: float) -> None:
        """It has ended, with the status code of that name."""


QUIET = ("/grpc.health.", "/grpc.reflection.", "/grpc.channelz.")
"""Methods that come every few seconds and tell nobody anything, as their full names begin."""


class AccessLog:
    """Guard that times a call. Health checks and reflection go to the debug level: they come every few seconds."""

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer

    @contextmanager
    def __call__(self, _method: str, context: grpc.ServicerContext) -> Iterator[None]:
        """Around one call."""
        if self._observer is not None:
            self._observer.begin(current_call.get())
        began = time.perf_counter()
        is_cut = False
        try:
            yield
        except GeneratorExit:
            is_cut = True
            raise
        finally:
            self._finish(context, time.perf_counter() - began, is_cut=is_cut)

    def _finish(self, context: grpc.ServicerContext, seconds: float, *, is_cut: bool) -> None:
        call = current_call.get()
        code = code_name(context, is_cut=is_cut)
        log = _log.debug if call.method.startswith(QUIET) else _log.info
        log(
            "rpc.finished",
            method=call.method,
            code=code,
            milliseconds=round(seconds * 1000, 2),
            request_id=call.request_id,
            actor=call.caller.actor,
            peer=call.peer,
            bytes_in=call.bytes_in,
            bytes_out=call.bytes_out,
        )
        if self._observer is not None:
            self._observer.finish(call, code, seconds)


def code_name(context: grpc.ServicerContext, *, is_cut: bool) -> str:
    """The name of the status code that a call ended with; `is_cut`: its response stream was closed before its end."""
    if is_cut or not context.is_active():
        return "CANCELLED"
    # Public in grpcio, and missing in its stubs.
    code: grpc.StatusCode | int | None = context.code()  # type: ignore[attr-defined]
    if code is None:
        return "OK"
    if isinstance(code, grpc.StatusCode):
        return code.name
    # `abort_with_status` leaves the number where `abort` leaves the enum.
    return next((known.name for known in grpc.StatusCode if known.value[0] == code), str(code))
