"""The one address that Prometheus scrapes, served by the parent."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server

from registrar_server.adapters.metrics.collector import ProcessesCollector, RunningProcesses, TotalsCollector
from registrar_server.adapters.metrics.totals import TableTotals


def serve_metrics(host: str, port: int, run_directory: Path, processes: RunningProcesses, stack: ExitStack) -> int:
    """Answer scrapes until the end of `stack`, in threads of their own; the port bound. OSError: it cannot be bound."""
    registry = CollectorRegistry()
    registry.register(TotalsCollector(TableTotals(run_directory)))
    registry.register(ProcessesCollector(processes))
    server, thread = start_http_server(port, host, registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    stack.callback(stop)
    bound: int = server.server_port
    return bound
