"""`connect`, and the registry that it gives."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

import grpc

from registrar.aliases import AliasCalls
from registrar.artifacts import ArtifactCalls
from registrar.connection import Connection
from registrar.convert.results import server_info_from_proto
from registrar.errors import DeadlineExceeded
from registrar.lifecycle import LifecycleCalls
from registrar.models import ModelCalls
from registrar.retry import Patience, RetryPolicy
from registrar.types import ServerInfo
from registrar.v1.admin_service_pb2 import GetServerInfoRequest

DEFAULT_TARGET = "127.0.0.1:50051"
_MIRROR_POLL_SECONDS = 0.1
_SERVING = b"\x08\x01"
"""A HealthCheckResponse with the status SERVING: one field, not worth a dependency on grpcio-health-checking."""


def connect(
    target: str | None = None,
    *,
    tenant: str | None = None,
    timeout_seconds: float = 60.0,
    connect_timeout_seconds: float = 10.0,
    retry: RetryPolicy | None = None,
    credentials: grpc.ChannelCredentials | None = None,
) -> Registry:
    """A registry, to be closed after use: `with registrar.connect() as registry: …`.

    `target` is `host:port`, with TLS when `grpcs://` stands in front; None: REGISTRAR_SERVER, or 127.0.0.1:50051.
    `tenant` is where references without one belong; None: REGISTRAR_TENANT, or what the server takes the caller for.
    `timeout_seconds` bounds a call with all its retries; for transfers, how long nothing may move. While no server has
    answered yet, `connect_timeout_seconds` bounds it. No connection is made before the first call.
    """
    return Registry(
        Connection(
            target or os.environ.get("REGISTRAR_SERVER") or DEFAULT_TARGET,
            tenant=tenant if tenant is not None else os.environ.get("REGISTRAR_TENANT", ""),
            timeout_seconds=timeout_seconds,
            connect_timeout_seconds=connect_timeout_seconds,
            retry=retry or RetryPolicy(),
            credentials=credentials,
        )
    )


class Registry(ModelCalls, ArtifactCalls, AliasCalls, LifecycleCalls):
    """A model registry. Thread-safe; made by `connect`.

    Every change carries a request id (a new one unless given), so it is tried again after a broken connection without
    being made twice. What another caller's change makes impossible raises Aborted and is never tried again by itself.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def target(self) -> str:
        """Where it is."""
        return self._connection.target

    @property
    def event_sequence(self) -> int:
        """Sequence of the last change that was made through this object; 0: none."""
        return self._connection.sequence.value

    def server_info(self) -> ServerInfo:
        """What the server is and allows, who it takes the caller for, how far MLflow follows."""
        response = self._connection.unary(self._connection.admin.GetServerInfo, GetServerInfoRequest())
        return server_info_from_proto(response)

    def is_serving(self, *, timeout_seconds: float | None = None) -> bool:
        """Ask gRPC's health service, without retries beyond `timeout_seconds`. Errors: Unavailable."""
        check = self._connection.channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes
        )
        left = self._connection.timeout_seconds if timeout_seconds is None else timeout_seconds
        return self._connection.attempts(lambda: check(b"", timeout=left), Patience(left)) == _SERVING

    def wait_mirrored(self, sequence: int | None = None, *, timeout_seconds: float = 30.0) -> None:
        """Wait until MLflow has every change up to a sequence; None: up to the last one made through this object.

        Errors: DeadlineExceeded when it has not in time; the change itself stands all the same.
        """
        wanted = self.event_sequence if sequence is None else sequence
        patience = Patience(timeout_seconds)
        while (mirrored := self.server_info().mirror.mirrored_sequence) < wanted:
            if not patience.wait(_MIRROR_POLL_SECONDS):
                raise DeadlineExceeded(
                    f"MLflow has the changes up to {mirrored}, not yet {wanted}", reason="MIRROR_BEHIND"
                )
