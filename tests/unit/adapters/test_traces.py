"""The tracer: both protocols of OpenTelemetry, what is sent at the end, and nothing when nobody asked."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from registrar_server.adapters.child_spans import ChildSpans
from registrar_server.adapters.traces import open_tracer
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.collector import running_collector, texts

# A time that does not come: what arrives came at the end.
SETTINGS = {"OTEL_BSP_SCHEDULE_DELAY": "3600000", "NO_PROXY": "127.0.0.1"}


@contextmanager
def http_collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """An address that takes traces over HTTP, and what came there: path and body."""
    received: list[tuple[str, bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join()


def test_over_http_the_last_spans_are_sent_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_collector() as (endpoint, received):
        for name, value in {**SETTINGS, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}.items():
            monkeypatch.setenv(name, value)
        with ExitStack() as stack:
            open_tracer("http/protobuf", "1.2.3", "worker", stack).start_span("one").end()
            assert not received
    ((path, body),) = received
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert path == "/v1/traces"
    assert resource.scope_spans[0].spans[0].name == "one"
    attributes = texts(resource.resource.attributes)
    assert attributes["service.version"] == "1.2.3"
    assert attributes["registrar.process"] == "worker"


def test_the_environment_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_collector() as collector:
        settings = {**SETTINGS, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_SERVICE_NAME": "models-eu"}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        with ExitStack() as stack:
            open_tracer("grpc", "1.2.3", "worker", stack).start_span("one").end()
        assert [resource["service.name"] for resource in collector.resources()] == ["models-eu"]


def test_a_child_span_says_what_kind_of_failure_it_was_and_nothing_that_it_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running_collector() as collector:
        for name, value in {**SETTINGS, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}.items():
            monkeypatch.setenv(name, value)
        with ExitStack() as stack:
            tracer = open_tracer("grpc", "1.2.3", "worker", stack)
            around = ChildSpans(tracer, "database")
            with around("outside of any call"):
                pass
            with tracer.start_as_current_span("call"):
                with pytest.raises(RegistrarError), around("write"):
                    raise RegistrarError(Reason.DATABASE_BUSY, "secret words")
                with pytest.raises(OSError, match="secret"), around("read"):
                    raise OSError("secret words")
        spans = {span.name: span for span in collector.spans()}
    assert spans.keys() == {"call", "database write", "database read"}
    assert texts(spans["database write"].attributes) == {"error.type": "DATABASE_BUSY"}
    assert texts(spans["database read"].attributes) == {"error.type": "OSError"}
    assert not any(b"secret" in span.SerializeToString() for span in spans.values())


@pytest.mark.parametrize("module", ["registrar_server.wiring.worker", "registrar_server.processes"])
def test_what_is_off_is_not_even_imported(module: str) -> None:
    program = (
        f"import sys, {module}\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & {'opentelemetry', 'prometheus_client', 'mlflow'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
