"""A span for every call, below the caller's own if it sent one (`traceparent`), and its ids in the log.

Loaded where traces are configured only. Not opentelemetry-instrumentation-grpc: that copies what exceptions say into
spans, and knows neither our request ids nor what an interceptor further in made of an exception.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from structlog.contextvars import bound_contextvars

from registrar_server.transport.calls import current_call
from registrar_server.transport.interceptors.access_log import QUIET, code_name

# As the semantic conventions for gRPC have it: what a server is to blame for.
_SERVER_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


class TraceGuard:
    """Guard within `CallContext` and around `AccessLog`. Health checks and reflection have no spans."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def __call__(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:
        """Around one call."""
        if method.startswith(QUIET):
            yield
            return
        sent = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        span = self._tracer.start_span(method.removeprefix("/"), propagate.extract(sent), SpanKind.SERVER)
        token = contexts.attach(trace.set_span_in_context(span))
        ids = span.get_span_context()
        is_cut = False
        try:
            with bound_contextvars(
                trace_id=trace.format_trace_id(ids.trace_id), span_id=trace.format_span_id(ids.span_id)
            ):
                yield
        except GeneratorExit:
            is_cut = True
            raise
        finally:
            if span.is_recording():
                _describe(span, code_name(context, is_cut=is_cut))
            span.end()
            contexts.detach(token)


def _describe(span: Span, code: str) -> None:
    """What is known at the end. No payload, no names."""
    call = current_call.get()
    span.set_attributes(
        {
            "rpc.system.name": "grpc",
            "rpc.method": call.method.removeprefix("/"),
            "rpc.response.status_code": code,
            "registrar.request_id": call.request_id,
        }
    )
    if call.refusal:
        span.set_attribute("registrar.reason", call.refusal)
    if call.bytes_in or call.bytes_out:
        span.set_attributes({"registrar.bytes_in": call.bytes_in, "registrar.bytes_out": call.bytes_out})
    if code != "OK":
        span.set_attribute("error.type", code)
    if code in _SERVER_ERRORS:
        span.set_status(Status(StatusCode.ERROR))
