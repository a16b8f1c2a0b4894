"""OpenTelemetry's SDK, set up as its own variables say: where spans go, how many are kept, what the service is called.

Never the global provider: MLflow, in the background process, has tracing of its own.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack

from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Tracer

_NAME = "registrar"
_END_SECONDS = 3.0
"""For the last spans. The exporter itself would try for half a minute when nobody takes them."""


def open_tracer(protocol: str, server_version: str, process: str, stack: ExitStack) -> Tracer:
    """A tracer that exports until the end of `stack`. `protocol` is grpc or http/protobuf.

    Nothing is sent yet, and nobody need be there to take it: what finds no taker is dropped.
    """
    detected = Resource.create({SERVICE_VERSION: server_version, "registrar.process": process})
    if str(detected.attributes[SERVICE_NAME]).startswith("unknown_service"):
        detected = detected.merge(Resource({SERVICE_NAME: _NAME}))
    provider = TracerProvider(resource=detected, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_exporter(protocol)))
    stack.callback(_shut_down, provider)
    return provider.get_tracer(_NAME, server_version)


def _exporter(protocol: str) -> SpanExporter:
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter()


def _shut_down(provider: TracerProvider) -> None:
    ending = threading.Thread(target=provider.shutdown, name="traces", daemon=True)
    ending.start()
    ending.join(_END_SECONDS)
