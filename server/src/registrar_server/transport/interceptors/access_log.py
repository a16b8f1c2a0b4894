"""One line for each call, and the hook that metrics will hang on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import structlog

from registrar_server.transport.calls import Call, current_call

_log = structlog.get_logger()

Observe = Callable[[Call, str, float], None]
"""Told of every finished call: the call, its code's name, seconds."""

_QUIET = ("/grpc.health.", "/grpc.reflection.", "/grpc.channelz.")


class AccessLog:
    """Guard that times a call. Health checks and reflection go to the debug level: they come every few seconds."""

    def __init__(self, observe: Observe | None = None) -> None:
        self._observe = observe

    @contextmanager
    def __call__(self, details: grpc.HandlerCallDetails, context: grpc.ServicerContext) -> Iterator[None]:
        """Around one call."""
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
        code = "CANCELLED" if is_cut or not context.is_active() else _code_name(context)
        log = _log.debug if call.method.startswith(_QUIET) else _log.info
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
        if self._observe is not None:
            self._observe(call, code, seconds)


def _code_name(context: grpc.ServicerContext) -> str:
    # Public in grpcio, and missing in its stubs.
    code: grpc.StatusCode | int | None = context.code()  # type: ignore[attr-defined]
    if code is None:
        return "OK"
    if isinstance(code, grpc.StatusCode):
        return code.name
    # `abort_with_status` leaves the number where `abort` leaves the enum.
    return next((known.name for known in grpc.StatusCode if known.value[0] == code), str(code))
