"""One version by number, stage and alias, against MLflow's REST on the same rows.

The rows are registered through the registry, whose MLflow is the very server that is the peer: both hold the same ones.
One load generator, h2load, calls both. The peers of the three selectors are what MLflow's own client calls for them. The
ceiling is a health check of the same process: what grpc and the guards around every call cost without a registry.
"""

from __future__ import annotations

import http.client
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

import registrar
from benchmarks.h2load import Load, Target, grpc_target, measure
from benchmarks.report import Figure, Report, Sample
from benchmarks.servers import Server, mlflow_server, registrar_server, sink_environment, sink_server
from benchmarks.tools import require_h2load, require_mlflow_server
from registrar.v1.model_version_service_pb2 import GetModelVersionRequest, GetModelVersionResponse
from registrar.v1.reference_pb2 import STAGE_PRODUCTION, ModelRef, ModelVersionRef

_METHOD = "/registrar.v1.ModelVersionService/GetModelVersion"
_HEALTH = "/grpc.health.v1.Health/Check"
_PEER_METHODS = {"number": "model-versions/get", "stage": "get-latest-versions", "alias": "registered-models/alias"}
_STREAMS = (1, 16)

Loads = dict[tuple[str, int], list[Load]]


def run(*, is_quick: bool) -> Report:
    """See the module."""
    require_h2load()
    require_mlflow_server()
    models, versions, trials, seconds = (1, 3, 2, 1.0) if is_quick else (5, 8, 5, 2.0)
    loads: Loads = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="registrar-benchmark-") as directory:
        base = Path(directory)
        with sink_server(base / "sink") as sink, mlflow_server(base / "mlflow") as mlflow:
            settings = {**sink_environment(sink), "MLFLOW_TRACKING_URI": f"http://{mlflow.address}"}
            with registrar_server(base / "registrar", settings) as server:
                targets = _targets(server, mlflow, _register(server, base, models, versions))
                for _ in range(trials):
                    for streams in _STREAMS:
                        for target in targets:
                            loads[target.name, streams].append(
                                measure(target, streams=streams, seconds=seconds, probe_calls=100)
                            )
                    print(f"  … {len(loads[targets[0].name, 1])} of {trials}", flush=True)
    report = Report(
        "get_version",
        {
            "models": models,
            "versions_of_each": versions,
            "trials": trials,
            "seconds": seconds,
            "reply_bytes": {target.name: target.reply_bytes for target in targets},
        },
        _figures(loads),
    )
    report.notes = [
        "Each trial is one run of h2load, the targets in turns. 16 at once: 16 streams of one connection for gRPC,",
        "16 connections for HTTP/1.1. CPU is that of the process that answers. Bytes of one reply: "
        + ", ".join(f"{target.name} {target.reply_bytes}" for target in targets)
        + ".",
        "The registry's reply holds parameters and metrics as well; MLflow's needs runs/get for those.",
    ]
    return report


def _register(server: Server, base: Path, models: int, versions: int) -> registrar.ModelVersion:
    """Models with versions as people register them; the one that is asked for stands in production, as champion."""
    folder = base / "files"
    folder.mkdir()
    asked: registrar.ModelVersion | None = None
    with registrar.connect(server.address) as registry:
        for number in range(models):
            name = f"churn-{number}"
            for version in range(versions):
                (folder / "model.txt").write_text(f"{number} {version}", encoding="utf-8")
                asked = registry.push(
                    folder,
                    name=name,
                    progress=False,
                    description="Gradient boosting on the accounts of the last quarter",
                    tags={"team": "growth", "task": "classification", "framework": "sklearn"},
                    metrics={f"metric_{index}": 0.5 + index / 100 for index in range(8)},
                    parameters={f"parameter_{index}": index * 3 for index in range(8)},
                )
        if asked is None:
            raise ValueError("at least one model with one version")
        registry.set_alias(asked.name, "champion", asked.version)
        registry.promote(asked, to=registrar.Stage.STAGING)
        registry.promote(asked, to=registrar.Stage.PRODUCTION)
        registry.wait_mirrored(timeout_seconds=120)
        return registry.get(asked.ref)


def _targets(server: Server, mlflow: Server, version: registrar.ModelVersion) -> list[Target]:
    """Every call that is measured; each has been made once by a real client, and answered what was registered."""
    model = ModelRef(name=version.name)
    refs = {
        "number": ModelVersionRef(model=model, version=version.version),
        "stage": ModelVersionRef(model=model, stage=STAGE_PRODUCTION),
        "alias": ModelVersionRef(model=model, alias="champion"),
    }
    targets = []
    worker, peer = server.worker(), mlflow.worker()
    with grpc.insecure_channel(server.address, options=[("grpc.enable_http_proxy", 0)]) as channel:

        def add(name: str, method: str, request: bytes, check: Callable[[bytes], bool]) -> None:
            call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
            reply = call(request, timeout=30)
            if not check(reply):
                raise RuntimeError(f"{method} by {name} answered {reply!r}")
            targets.append(grpc_target(name, server.address, method, request, reply, worker))

        for name, ref in refs.items():
            request = GetModelVersionRequest(ref=ref).SerializeToString()
            add(name, _METHOD, request, lambda reply: _version_of(reply) == version.version)
        add("health", _HEALTH, b"", lambda reply: reply == b"\x08\x01")
    queries: dict[str, tuple[str, dict[str, Any] | None]] = {
        "number": (f"model-versions/get?name={version.name}&version={version.version}", None),
        "stage": ("registered-models/get-latest-versions", {"name": version.name, "stages": ["Production"]}),
        "alias": (f"registered-models/alias?name={version.name}&alias=champion", None),
        "run": (f"runs/get?run_id={version.provenance.run_id}", None),
    }
    for name, (path, body) in queries.items():
        targets.append(_peer_target(name, mlflow, path, body, version, peer))
    return targets


def _peer_target(
    name: str, mlflow: Server, path: str, body: dict[str, Any] | None, version: registrar.ModelVersion, pid: int
) -> Target:
    url = f"/api/2.0/mlflow/{path}"
    data = None if body is None else json.dumps(body).encode()
    connection = http.client.HTTPConnection("127.0.0.1", mlflow.port, timeout=30)
    headers = {} if data is None else {"Content-Type": "application/json"}
    connection.request("GET" if data is None else "POST", url, body=data, headers=headers)
    reply = connection.getresponse().read()
    connection.close()
    wanted = '"metric_0"' if name == "run" else f'"{version.version}"'
    if wanted.encode() not in reply:
        raise RuntimeError(f"MLflow answered {reply[:500]!r} to {path}")
    lines = tuple(f"{key}: {value}" for key, value in headers.items())
    return Target(f"mlflow {name}", f"http://{mlflow.address}{url}", data, lines, len(reply), pid, is_grpc=False)


def _version_of(reply: bytes) -> int:
    return GetModelVersionResponse.FromString(reply).model_version.version


def _figures(loads: Loads) -> list[Figure]:
    def column(name: str, streams: int, field: str) -> Sample:
        return Sample(tuple(getattr(load, field) for load in loads[name, streams]))

    figures = []
    for streams in _STREAMS:
        at_once = "1 at once" if streams == 1 else f"{streams} at once"
        for field, label, unit in (
            ("calls_per_second", "", "calls/s"),
            ("median_milliseconds", ", median", "ms"),
            ("p99_milliseconds", ", p99", "ms"),
            ("cpu_microseconds", ", CPU of a call", "µs"),
        ):
            for selector, method in _PEER_METHODS.items():
                figures.append(
                    Figure(
                        f"by {selector}, {at_once}{label}",
                        unit,
                        column(selector, streams, field),
                        column(f"mlflow {selector}", streams, field),
                        method,
                    )
                )
                if field in ("p99_milliseconds", "cpu_microseconds"):
                    break
        rate = column("number", streams, "calls_per_second")
        both = zip(loads["mlflow number", streams], loads["mlflow run", streams], strict=True)
        whole = Sample(tuple(1 / (1 / one.calls_per_second + 1 / run.calls_per_second) for one, run in both))
        health = column("health", streams, "calls_per_second")
        figures.append(Figure(f"with metrics, {at_once}", "calls/s", rate, whole, "model-versions/get, then runs/get"))
        figures.append(Figure(f"by number, {at_once}", "calls/s", rate, health, "health check of ours (ceiling)"))
    return figures
