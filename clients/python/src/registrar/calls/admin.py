"""What the server says of itself."""

from __future__ import annotations

from registrar.calls.call import Call
from registrar.context import CallContext
from registrar.convert.results import server_info_from_proto
from registrar.errors import DeadlineExceeded
from registrar.types import ServerInfo
from registrar.v1.admin_service_pb2 import GetServerInfoRequest

MIRROR_POLL_SECONDS = 0.1
"""How often to ask whether MLflow has caught up: the mirror is normally done within a second."""

_SERVING = b"\x08\x01"
"""A HealthCheckResponse with the status SERVING: one field, not worth a dependency on grpcio-health-checking."""


def server_info(context: CallContext) -> Call[ServerInfo]:
    """What the server is and allows, who it takes the caller for, how far MLflow follows."""
    return Call(context.admin.GetServerInfo, GetServerInfoRequest(), server_info_from_proto)


def is_serving(context: CallContext, *, timeout_seconds: float | None = None) -> Call[bool]:
    """Ask gRPC's health service, without retries beyond `timeout_seconds`. Errors: Unavailable."""
    return Call(context.health, b"", lambda status: status == _SERVING, timeout_seconds=timeout_seconds)


def mirror_behind(mirrored: int, wanted: int) -> DeadlineExceeded:
    """What `wait_mirrored` ends with when MLflow does not catch up in time."""
    return DeadlineExceeded(f"MLflow has the changes up to {mirrored}, not yet {wanted}", reason="MIRROR_BEHIND")
