"""Clients of the registry, each with a channel and a model of its own."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc

import registrar
from benchmarks.governance.load import Client
from benchmarks.servers import Server
from registrar.v1.lifecycle_service_pb2 import TransitionStageRequest
from registrar.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub
from registrar.v1.model_version_service_pb2 import RegisterModelVersionRequest
from registrar.v1.model_version_service_pb2_grpc import ModelVersionServiceStub
from registrar.v1.reference_pb2 import STAGE_PRODUCTION, STAGE_STAGING, ModelRef, ModelVersionRef

_TIMEOUT_SECONDS = 60.0


@contextmanager
def registrar_clients(server: Server, count: int) -> Iterator[Sequence[Client]]:
    """So many, each with two versions of one bundle."""
    with ExitStack() as stack:
        yield [_client(server, f"model-{number}", stack) for number in range(count)]


def _client(server: Server, name: str, stack: ExitStack) -> Client:
    artifact = _pushed(server, name)
    # A connection of its own, as another process would have: gRPC shares them between channels with equal options.
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    channel = stack.enter_context(grpc.insecure_channel(server.address, options=options))
    lifecycle, versions = LifecycleServiceStub(channel), ModelVersionServiceStub(channel)
    model = ModelRef(name=name)
    # One goes to staging and on to production, and the other, which it displaces, after it.
    moves = itertools.cycle((number, stage) for number in (1, 2) for stage in (STAGE_STAGING, STAGE_PRODUCTION))

    def promote() -> None:
        number, stage = next(moves)
        ref = ModelVersionRef(model=model, version=number)
        request = TransitionStageRequest(ref=ref, stage=stage, comment="better on the holdout")
        lifecycle.TransitionStage(request, timeout=_TIMEOUT_SECONDS)

    def register() -> None:
        request = RegisterModelVersionRequest(model=model, artifact_id=artifact, metrics={"f1": 0.91, "auc": 0.97})
        versions.RegisterModelVersion(request, timeout=_TIMEOUT_SECONDS)

    return Client(promote, register)


def _pushed(server: Server, name: str) -> str:
    """Two versions of a small bundle; the bundle's id."""
    with tempfile.TemporaryDirectory() as directory, registrar.connect(server.address) as registry:
        Path(directory, "model.txt").write_text("weights", encoding="utf-8")
        first = registry.push(directory, name=name, metrics={"f1": 0.91, "auc": 0.97}, progress=False)
        registry.register(name, artifact_id=first.artifact_id, metrics={"f1": 0.92, "auc": 0.97})
        return first.artifact_id
