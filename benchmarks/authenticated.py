"""Calls a second of a cached GetModelVersion by a caller with credentials, against one who is not asked who it is.

A JWT that was verified once, one of somebody who may see some models only, and an API token. The servers stand at the
same time and are called in turns.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import grpc

import registrar
from benchmarks.h2load import Load, Target, grpc_target, measure
from benchmarks.identity_provider import IdentityProvider, identity_provider
from benchmarks.report import Figure, Report, Sample
from benchmarks.servers import Server, clean_environment, registrar_server, sink_environment, sink_server
from benchmarks.tools import registrar_command, require_h2load
from registrar.v1.admin_service_pb2 import CreateRoleBindingRequest, CreateTokenRequest
from registrar.v1.admin_service_pb2_grpc import AdminServiceStub
from registrar.v1.model_version_service_pb2 import GetModelVersionRequest, GetModelVersionResponse
from registrar.v1.reference_pb2 import ModelRef, ModelVersionRef

_METHOD = "/registrar.v1.ModelVersionService/GetModelVersion"
_MODEL = "churn-model"
_STREAMS = 16
_NOBODY = "nobody asked"
# As each of several workers runs; a single one is left to the system, which moves it from core to core.
_PINNED = {"REGISTRAR_PIN_WORKERS": "true"}


def run(*, is_quick: bool) -> Report:
    """See the module."""
    require_h2load()
    trials, seconds = (2, 1.0) if is_quick else (7, 3.0)
    loads: dict[str, list[Load]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="registrar-benchmark-") as directory, ExitStack() as stack:
        base = Path(directory)
        sink = stack.enter_context(sink_server(base / "sink"))
        provider = stack.enter_context(identity_provider())
        guarded = {"REGISTRAR_AUTHENTICATION": "required", "REGISTRAR_OIDC_ISSUER": provider.issuer}
        environment = {**sink_environment(sink), **_PINNED}
        open_server = stack.enter_context(registrar_server(base / "open", environment))
        server = stack.enter_context(registrar_server(base / "guarded", {**environment, **guarded}))
        admin = _bootstrap_token(base / "guarded", environment)
        _register(open_server, base, "")
        _register(server, base, admin)
        targets = [_target(_NOBODY, open_server, "")]
        for name, credentials in _credentials(server, provider, admin).items():
            targets.append(_target(name, server, credentials))
        for trial in range(trials):
            for target in targets:
                loads[target.name].append(measure(target, streams=_STREAMS, seconds=seconds, probe_calls=500))
            print(f"  … {trial + 1} of {trials}", flush=True)
    report = Report("authenticated", {"trials": trials, "seconds": seconds, "streams": _STREAMS})
    for field, label, unit in (
        ("calls_per_second", "calls", "calls/s"),
        ("cpu_microseconds", "CPU of a call", "µs"),
        ("p99_milliseconds", "p99", "ms"),
    ):
        bare = Sample(tuple(getattr(load, field) for load in loads[_NOBODY]))
        for name, measured in loads.items():
            if name != _NOBODY:
                ours = Sample(tuple(getattr(load, field) for load in measured))
                report.figures.append(Figure(f"{name}: {label}", unit, ours, bare, _NOBODY))
    report.notes = [f"GetModelVersion from the cache, {_STREAMS} at once, one worker; the target is 0.85 of the calls."]
    return report


def _credentials(server: Server, provider: IdentityProvider, admin: str) -> Mapping[str, str]:
    """What is sent, by what it is."""
    with grpc.insecure_channel(server.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub, metadata = AdminServiceStub(channel), (("authorization", f"Bearer {admin}"),)
        for member, models in (("group:everybody", "*"), ("user:careful", "churn-*")):
            binding = CreateRoleBindingRequest(tenant="default", role="reader", member=member, model_pattern=models)
            stub.CreateRoleBinding(binding, metadata=metadata, timeout=30)
        wanted = CreateTokenRequest(tenant="default", name="scorer", role="reader")
        secret = stub.CreateToken(wanted, metadata=metadata, timeout=30).secret
    return {
        "JWT": provider.token("reader", ["everybody", "staff"]),
        "JWT, some models": provider.token("careful", ["staff"]),
        "API token": secret,
    }


def _bootstrap_token(data: Path, environment: Mapping[str, str]) -> str:
    command = [registrar_command(), "bootstrap-token", "--data", str(data)]
    done = subprocess.run(command, env=clean_environment(environment), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _register(server: Server, base: Path, token: str) -> None:
    folder = base / "files"
    folder.mkdir(exist_ok=True)
    (folder / "model.txt").write_text("weights", encoding="utf-8")
    with registrar.connect(server.address, token=token) as registry:
        registry.push(folder, name=_MODEL, metrics={"f1": 0.91, "auc": 0.97}, progress=False)


def _target(name: str, server: Server, credentials: str) -> Target:
    ref = ModelVersionRef(model=ModelRef(name=_MODEL), version=1)
    request = GetModelVersionRequest(ref=ref).SerializeToString()
    metadata = (("authorization", f"Bearer {credentials}"),) if credentials else ()
    with grpc.insecure_channel(server.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary(_METHOD, request_serializer=bytes, response_deserializer=bytes)
        reply = call(request, metadata=metadata, timeout=30)
    if GetModelVersionResponse.FromString(reply).model_version.version != 1:
        raise RuntimeError(f"GetModelVersion answered {reply!r}")
    target = grpc_target(name, server.address, _METHOD, request, reply, server.worker())
    return replace(target, headers=(*target.headers, *(f"{key}: {value}" for key, value in metadata)))
