"""What watches a process: metrics, traces, both or neither, as configured."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from registrar_server.adapters.database.observed import ObservedDatabase
from registrar_server.application.ports.database import Database
from registrar_server.config import Config
from registrar_server.wiring.metrics import ProcessMetrics, open_metrics
from registrar_server.wiring.traces import ProcessTraces, open_traces

if TYPE_CHECKING:
    from registrar_server.adapters.child_spans import ChildSpans
    from registrar_server.application.event_tail import EventTail
    from registrar_server.application.ports.metrics import Metrics
    from registrar_server.application.reply_cache import ReplyCache
    from registrar_server.transport.interceptors.guard import Guard
    from registrar_server.transport.server import RegistrarServer


@dataclass(frozen=True, slots=True)
class Instruments:
    """What is off costs nothing and changes nothing."""

    metrics: ProcessMetrics | None
    traces: ProcessTraces | None

    @property
    def table(self) -> Metrics | None:
        """Where calls are counted."""
        return self.metrics.table if self.metrics else None

    @property
    def guards(self) -> tuple[Guard, ...]:
        """What goes around calls, within that which names them."""
        return (self.traces.guard(),) if self.traces else ()

    def around(self, system: str) -> ChildSpans | None:
        """What goes around each use of a system outside."""
        return self.traces.around(system) if self.traces else None

    def observe(self, database: Database) -> Database:
        """The database, watched."""
        if self.metrics is None and self.traces is None:
            return database
        observed = ObservedDatabase(database, self.around("database"))
        if self.metrics is not None:
            self.metrics.watch_failures(observed.failures)
        return observed

    def watch_server(self, server: RegistrarServer, replies: ReplyCache, tail: EventTail, stack: ExitStack) -> None:
        """Look at a server until the end of `stack`."""
        if self.metrics is not None:
            self.metrics.watch_server(server)
            self.metrics.watch_cache(replies, tail)
            self.metrics.start(stack)


def open_instruments(config: Config, run_directory: Path, process: str, stack: ExitStack) -> Instruments:
    """Those of a process that answers calls; `process` says which kind it is."""
    return Instruments(open_metrics(config, run_directory), open_traces(config, process, stack))
