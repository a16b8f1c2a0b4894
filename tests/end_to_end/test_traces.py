"""Traces: a span for each call, below the caller's, with what the call did outside below it, and no content."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.proto.trace.v1.trace_pb2 import Status as SpanStatus

from registrar.v1.admin_service_pb2 import GetServerInfoRequest
from registrar.v1.admin_service_pb2_grpc import AdminServiceStub
from registrar.v1.model_service_pb2 import GetModelRequest
from registrar.v1.model_service_pb2_grpc import ModelServiceStub
from registrar.v1.reference_pb2 import ModelRef
from tests.fixtures.collector import Collector, running_collector, texts
from tests.fixtures.server import MakeServer, RunningServer, running_server
from tests.fixtures.stores import wait_until

QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A receiver of traces."""
    with running_collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that sends its traces there."""
    settings = {**QUICK, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_RESOURCE_ATTRIBUTES": "team=models"}
    with running_server(tmp_path_factory.mktemp("traces"), settings) as started:
        yield started


def new_trace() -> tuple[bytes, bytes, tuple[tuple[str, str], ...]]:
    """A caller's trace: its id, the caller's span, and what is sent of them."""
    trace_id, span_id = secrets.token_bytes(16), secrets.token_bytes(8)
    return trace_id, span_id, (("traceparent", f"00-{trace_id.hex()}-{span_id.hex()}-01"),)


def server_span(spans: list[Span]) -> Span:
    (span,) = [one for one in spans if one.kind == Span.SPAN_KIND_SERVER]
    return span


def test_a_call_is_a_span_below_its_callers_with_the_request_id(traced: RunningServer, collector: Collector) -> None:
    trace_id, parent, metadata = new_trace()
    with traced.channel() as channel:
        sent = (*metadata, ("x-request-id", "trace-test-1"))
        AdminServiceStub(channel).GetServerInfo(GetServerInfoRequest(), metadata=sent, timeout=20)
    span = server_span(collector.trace(trace_id, count=2))
    assert (span.name, span.parent_span_id) == ("registrar.v1.AdminService/GetServerInfo", parent)
    attributes = texts(span.attributes)
    assert attributes["rpc.system.name"] == "grpc"
    assert attributes["rpc.response.status_code"] == "OK"
    assert attributes["registrar.request_id"] == "trace-test-1"
    assert span.status.code == SpanStatus.STATUS_CODE_UNSET


def test_what_a_call_asks_of_the_database_stands_below_it(traced: RunningServer, collector: Collector) -> None:
    trace_id, _, metadata = new_trace()
    with traced.channel() as channel:
        AdminServiceStub(channel).GetServerInfo(GetServerInfoRequest(), metadata=metadata, timeout=20)
    spans = collector.trace(trace_id, count=2)
    call = server_span(spans)
    below = [span for span in spans if span.parent_span_id == call.span_id]
    assert [span.name for span in below] == ["database read"]
    assert call.start_time_unix_nano <= below[0].start_time_unix_nano <= below[0].end_time_unix_nano


def test_requests_to_the_store_stand_below_a_transfer_whatever_thread_makes_them(
    traced: RunningServer, collector: Collector, unique_name: str, tmp_path: Path
) -> None:
    (tmp_path / "model.bin").write_bytes(os.urandom(9 << 20))
    with traced.connect() as registry:
        registry.push(tmp_path / "model.bin", name=unique_name, progress=False)
        registry.pull(f"{unique_name}/1", tmp_path / "pulled", progress=False)

    def below(method: str) -> set[str]:
        spans = collector.spans()
        calls = {span.span_id for span in spans if span.name.endswith(method)}
        return {span.name for span in spans if span.parent_span_id in calls}

    wait_until(lambda: "store GET" in below("/DownloadFile"), 30)
    wait_until(lambda: bool({"store PUT", "store POST"} & (below("/WriteUpload") | below("/UploadArtifact"))), 30)


def test_a_refusal_has_its_reason_and_is_no_failure_of_the_server(traced: RunningServer, collector: Collector) -> None:
    trace_id, _, metadata = new_trace()
    with traced.channel() as channel, pytest.raises(grpc.RpcError):
        request = GetModelRequest(model=ModelRef(name="no-such-model-anywhere"))
        ModelServiceStub(channel).GetModel(request, metadata=metadata, timeout=20)
    spans = collector.trace(trace_id, count=2)
    attributes = texts(server_span(spans).attributes)
    assert attributes["registrar.reason"] == "MODEL_NOT_FOUND"
    assert attributes["rpc.response.status_code"] == "NOT_FOUND"
    assert server_span(spans).status.code == SpanStatus.STATUS_CODE_UNSET
    for span in spans:
        assert b"no-such-model-anywhere" not in span.SerializeToString()
        assert not span.events


def test_a_caller_that_keeps_nothing_gets_nothing_kept(traced: RunningServer, collector: Collector) -> None:
    dropped, _, _ = new_trace()
    kept, _, metadata = new_trace()
    with traced.channel() as channel:
        stub = AdminServiceStub(channel)
        unsampled = (("traceparent", f"00-{dropped.hex()}-{secrets.token_hex(8)}-00"),)
        stub.GetServerInfo(GetServerInfoRequest(), metadata=unsampled, timeout=20)
        stub.GetServerInfo(GetServerInfoRequest(), metadata=metadata, timeout=20)
    collector.trace(kept, count=2)
    assert not [span for span in collector.spans() if span.trace_id == dropped]


def test_the_service_has_a_name_and_what_the_environment_says_of_it(
    traced: RunningServer, collector: Collector
) -> None:
    trace_id, _, metadata = new_trace()
    with traced.channel() as channel:
        AdminServiceStub(channel).GetServerInfo(GetServerInfoRequest(), metadata=metadata, timeout=20)
    collector.trace(trace_id, count=2)
    for resource in collector.resources():
        assert (resource["service.name"], resource["team"]) == ("registrar", "models")


def test_the_line_of_a_call_names_its_trace(traced: RunningServer) -> None:
    trace_id, _, metadata = new_trace()
    with traced.channel() as channel:
        AdminServiceStub(channel).GetServerInfo(GetServerInfoRequest(), metadata=metadata, timeout=20)

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in list(traced.log_lines) if trace_id.hex() in line]

    wait_until(lambda: bool(lines()), 10)
    (line,) = lines()
    assert line["event"] == "rpc.finished"
    assert len(str(line["span_id"])) == 16


def test_a_collector_that_is_away_costs_no_call(make_server: MakeServer) -> None:
    with running_collector() as gone:
        endpoint = gone.endpoint
    server = make_server(None, {**QUICK, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "REGISTRAR_DRAIN_SECONDS": "1"})
    with server.connect() as registry:
        for _ in range(50):
            assert registry.server_info().server_version
    assert server.stop() == 0
