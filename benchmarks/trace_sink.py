"""A receiver of OpenTelemetry's traces that discards them: `python -m benchmarks.trace_sink PORT`."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class _Discard(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        if handler_call_details.method != _EXPORT:
            return None
        # Bytes go in and out as they are; an empty answer is an ExportTraceServiceResponse.
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")


def main() -> None:
    """Serve until killed."""
    server = grpc.server(ThreadPoolExecutor(2), handlers=[_Discard()])
    server.add_insecure_port(f"127.0.0.1:{int(sys.argv[1])}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
