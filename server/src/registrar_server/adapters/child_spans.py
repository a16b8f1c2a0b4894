"""Spans for what a call does outside: database and store. Only within a call that is traced, and without any content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from registrar_server.domain.errors import RegistrarError


class ChildSpans:
    """Called with a name, gives what a piece of work runs in: a span of its own, if there is one that it belongs to."""

    def __init__(self, tracer: Tracer, system: str) -> None:
        self._tracer = tracer
        self._system = system

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Around one piece of work."""
        if not trace.get_current_span().is_recording():
            yield
            return
        # What an exception says stays here: it may quote a statement or an address.
        with self._tracer.start_as_current_span(
            f"{self._system} {name}", kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except RegistrarError as exc:
                span.set_attribute("error.type", exc.reason.value)
                raise
            except Exception as exc:
                span.set_attribute("error.type", type(exc).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise
