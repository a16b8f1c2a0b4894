"""Traces, where they are configured."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.metadata import version as distribution_version
from typing import TYPE_CHECKING

from registrar_server.config import Config

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from registrar_server.adapters.child_spans import ChildSpans
    from registrar_server.transport.interceptors.traces import TraceGuard


class ProcessTraces:
    """A process's tracer, and what makes spans with it."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def guard(self) -> TraceGuard:
        """Around every call."""
        from registrar_server.transport.interceptors.traces import TraceGuard

        return TraceGuard(self._tracer)

    def around(self, system: str) -> ChildSpans:
        """Around what a call does there."""
        from registrar_server.adapters.child_spans import ChildSpans

        return ChildSpans(self._tracer, system)


def open_traces(config: Config, process: str, stack: ExitStack) -> ProcessTraces | None:
    """This process's traces, until the end of `stack`; None where they are off."""
    if not config.otlp_endpoint:
        return None
    # OpenTelemetry is imported here and below only: it takes a tenth of a second.
    from registrar_server.adapters.traces import open_tracer

    return ProcessTraces(open_tracer(config.otlp_protocol, distribution_version("registrar-server"), process, stack))
