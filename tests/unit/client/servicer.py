"""A registry in memory, on a real socket: enough of the contract for the client's tests.

It is no model of the server's rules. Tests make it misbehave through `State`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from registrar.v1 import (
    admin_service_pb2_grpc,
    artifact_service_pb2_grpc,
    audit_service_pb2_grpc,
    lifecycle_service_pb2_grpc,
    model_service_pb2_grpc,
    model_version_service_pb2_grpc,
)
from tests.unit.client.fake_access import Access, Administration, Guard
from tests.unit.client.fake_audit import Audit
from tests.unit.client.fake_bundles import Artifacts, Lifecycle
from tests.unit.client.fake_catalogue import Models, Versions
from tests.unit.client.fake_state import State


@contextmanager
def serve(
    state: State, access: Access | None = None, credentials: grpc.ServerCredentials | None = None
) -> Iterator[str]:
    """Serve on a port that the system gives, with TLS if there are credentials; the address."""
    access = access or Access()
    executor = ThreadPoolExecutor(16)
    server = grpc.server(executor, interceptors=[Guard(access)])
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Models(state), server)
    model_version_service_pb2_grpc.add_ModelVersionServiceServicer_to_server(Versions(state), server)
    lifecycle_service_pb2_grpc.add_LifecycleServiceServicer_to_server(Lifecycle(state), server)
    artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server(Artifacts(state), server)
    audit_service_pb2_grpc.add_AuditServiceServicer_to_server(Audit(state), server)
    admin_service_pb2_grpc.add_AdminServiceServicer_to_server(Administration(state, access), server)

    def check(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        return b"\x08\x01" if state.is_serving else b"\x08\x02"

    health: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": health}),))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        if state.hold_downloads is not None:
            state.hold_downloads.set()
        server.stop(None).wait()
        executor.shutdown()
