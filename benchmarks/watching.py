"""What metrics and traces cost a call, against the same server without them.

GetModel, which is answered from the cache: the shorter the call, the larger their share. CPU time of the answering process
is what counts; the spans are sent from it too. On a busy machine even that scatters more than metrics cost, so both are
measured alone as well: what stands around a call, around nothing, in a process that does nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import grpc

import registrar
from benchmarks.h2load import Load, Target, grpc_target, measure
from benchmarks.report import Figure, Report, Sample
from benchmarks.servers import Server, clean_environment, module_server, registrar_server, sink_environment, sink_server
from benchmarks.tools import require_h2load
from registrar.v1.model_service_pb2 import GetModelRequest, GetModelResponse
from registrar.v1.reference_pb2 import ModelRef

_METHOD = "/registrar.v1.ModelService/GetModel"
_MODEL = "watched"
_STREAMS = 16

_ALONE = """
import pathlib, sys, tempfile, time
from contextlib import ExitStack, nullcontext
from registrar_server.adapters.metrics.table import MetricTable
from registrar_server.adapters.traces import open_tracer
from registrar_server.domain.access import Caller
from registrar_server.transport.call_metrics import CallMetrics
from registrar_server.transport.calls import Call, current_call
from registrar_server.transport.interceptors.traces import TraceGuard

METHOD = "/registrar.v1.ModelService/GetModel"
call = Call(METHOD, "request", Caller("a", "default"), "ipv4:127.0.0.1:1")
current_call.set(call)

class Context:
    def invocation_metadata(self):
        return (("user-agent", "grpc"), ("x-request-id", "request"))
    def is_active(self):
        return True
    def code(self):
        return None

def microseconds(around, calls=5_000):
    trials = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(calls):
            around()
        trials.append((time.process_time() - began) / calls * 1e6)
    return min(trials)

def counted():
    metrics.begin(call)
    metrics.finish(call, "OK", 0.0001)

def traced():
    with guard(METHOD, context):
        pass

context = Context()
with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
    metrics = CallMetrics(MetricTable(pathlib.Path(directory)), threads=32)
    guard = TraceGuard(open_tracer("grpc", "0", "worker", stack))
    print(microseconds(counted), microseconds(traced))
"""
"""Around nothing: what metrics cost, and traces with the environment's sampler."""
_BARE = "neither"
# So that it is known which process answers.
_ONE_WORKER = {"REGISTRAR_WORKERS": "1"}


def run(*, is_quick: bool) -> Report:
    """See the module."""
    require_h2load()
    trials, seconds = (2, 1.0) if is_quick else (5, 3.0)
    loads: dict[str, list[Load]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="registrar-benchmark-") as directory, ExitStack() as stack:
        base = Path(directory)
        sink = stack.enter_context(sink_server(base / "sink"))
        collector = stack.enter_context(module_server("benchmarks.trace_sink", base / "collector"))
        targets = []
        for number, (name, settings) in enumerate(_settings(collector).items()):
            data = base / f"registrar-{number}"
            server = stack.enter_context(registrar_server(data, {**sink_environment(sink), **_ONE_WORKER, **settings}))
            targets.append(_target(name, server))
        for trial in range(trials):
            for target in targets:
                loads[target.name].append(measure(target, streams=_STREAMS, seconds=seconds, probe_calls=500))
            print(f"  … {trial + 1} of {trials}", flush=True)
        alone = _alone(min(trials, 3), collector)
    report = Report("watching", {"trials": trials, "seconds": seconds, "streams": _STREAMS})
    for field, label, unit in (
        ("cpu_microseconds", "CPU of a call", "µs"),
        ("calls_per_second", "calls", "calls/s"),
        ("p99_milliseconds", "p99", "ms"),
    ):
        bare = Sample(tuple(getattr(load, field) for load in loads[_BARE]))
        for name, measured in loads.items():
            if name != _BARE:
                watched = Sample(tuple(getattr(load, field) for load in measured))
                report.figures.append(Figure(f"{name}: {label}", unit, watched, bare, _BARE))
        if field == "cpu_microseconds":
            report.figures += alone
    report.notes = [
        f"GetModel from the cache, {_STREAMS} at once, one worker; the servers in turns. Log lines go to a file."
    ]
    return report


def _alone(trials: int, collector: Server) -> list[Figure]:
    dropped = [_microseconds(collector, "always_off") for _ in range(trials)]
    kept = [_microseconds(collector, "always_on") for _ in range(trials)]
    return [
        Figure("alone: metrics", "µs", Sample(tuple(metrics for metrics, _ in dropped))),
        Figure("alone: a trace that is dropped", "µs", Sample(tuple(traces for _, traces in dropped))),
        Figure("alone: a trace that is kept", "µs", Sample(tuple(traces for _, traces in kept))),
    ]


def _microseconds(collector: Server, sampler: str) -> tuple[float, float]:
    """CPU time that metrics and traces add to a call; what is kept is sent, as far as there is time."""
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}", "OTEL_TRACES_SAMPLER": sampler}
    command = [sys.executable, "-c", _ALONE]
    done = subprocess.run(command, env=clean_environment(settings), capture_output=True, text=True, check=True)
    metrics, traces = map(float, done.stdout.split())
    return metrics, traces


def _settings(collector: Server) -> dict[str, Mapping[str, str]]:
    traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}"}
    return {
        _BARE: {},
        "metrics": {"REGISTRAR_METRICS_LISTEN": "127.0.0.1:0"},
        "one trace in 100": {
            **traces,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        },
        "all traces": traces,
    }


def _target(name: str, server: Server) -> Target:
    with registrar.connect(server.address) as registry:
        registry.create_model(_MODEL, description="Gradient boosting on the accounts of the last quarter")
    request = GetModelRequest(model=ModelRef(name=_MODEL)).SerializeToString()
    with grpc.insecure_channel(server.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary(_METHOD, request_serializer=bytes, response_deserializer=bytes)
        reply = call(request, timeout=30)
    if GetModelResponse.FromString(reply).model.name != _MODEL:
        raise RuntimeError(f"GetModel answered {reply!r}")
    return grpc_target(name, server.address, _METHOD, request, reply, server.worker())
