"""The health service of gRPC: anybody may ask it, as often as they like."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

Send = Callable[[health_pb2.HealthCheckResponse | None], None]


class Health(health.HealthServicer):
    """grpcio-health's own keeps the name of every service that was ever watched; this one knows `names` only."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self._names = frozenset(names)

    def Watch(  # noqa: N802  (its own name)
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send_response_callback: Send | None = None,
    ) -> Any:
        """The status of a service and each change of it. Holds no thread. Of an unknown one: that it is, and the end."""
        if request.service in self._names or send_response_callback is None:
            return super().Watch(request, context, send_response_callback)
        send_response_callback(health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN))
        send_response_callback(None)
        return None
