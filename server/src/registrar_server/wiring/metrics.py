"""Metrics, where they are configured: a table in each process, and in the parent the address that adds them up."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from registrar_server.adapters.metrics.sampler import Sampler
from registrar_server.adapters.metrics.table import MetricTable
from registrar_server.addresses import split_address
from registrar_server.application.ports.database import Database
from registrar_server.application.ports.metrics import Counter, Gauge
from registrar_server.config import Config
from registrar_server.domain.errors import RegistrarError

if TYPE_CHECKING:
    from registrar_server.adapters.metrics.collector import RunningProcesses
    from registrar_server.application.background import Background
    from registrar_server.application.event_tail import EventTail
    from registrar_server.application.reply_cache import ReplyCache
    from registrar_server.transport.server import RegistrarServer

_SAMPLE_SECONDS = 1.0

_Sample = Callable[[], None]


class CountsFailures(Protocol):
    """What works for a loop of the background process."""

    @property
    def failures(self) -> Mapping[str, int]:
        """Failures so far, by reason."""


class ProcessMetrics:
    """A process's table, and what is looked at once a second because it counts by itself."""

    def __init__(self, run_directory: Path) -> None:
        self.table = MetricTable(run_directory)
        self._samples: list[_Sample] = []

    def watch_server(self, server: RegistrarServer) -> None:
        """Calls under way, slots."""
        if server.call_metrics is not None:
            self._samples.append(server.call_metrics.sample)
        for slots in server.slots:
            kind = slots.what.replace(" ", "_")
            self.table.gauge("slots", kind).set(slots.count)
            self._samples += [
                _showing(self.table.gauge("slots_in_use", kind), slots, "taken"),
                _following(self.table.counter("slot_refusals", kind), slots, "refused"),
            ]

    def watch_cache(self, cache: ReplyCache, tail: EventTail) -> None:
        """The cache, and what empties it."""
        self._samples += [
            _following(self.table.counter("cache_hits"), cache, "hits"),
            _following(self.table.counter("cache_misses"), cache, "misses"),
            _following(self.table.counter("cache_overtaken_fills"), cache, "overtaken"),
            _showing(self.table.gauge("cache_entries"), cache, "entries"),
            _showing(self.table.gauge("event_lag"), tail, "events_behind"),
            _showing(self.table.gauge("event_lag_seconds"), tail, "seconds_behind"),
        ]

    def watch_background(
        self, background: Background, workers: Mapping[str, CountsFailures], database: Database
    ) -> None:
        """The loops, by name what works in each, and how far MLflow follows."""
        self._follow_all("background_work", background.rounds)
        self._follow_all("background_failures", background.failures)
        for loop, worker in workers.items():
            self._follow_all("background_failures", worker.failures, loop)
        self._samples.append(_MirrorSample(self.table, database))

    def watch_failures(self, failures: Mapping[str, int]) -> None:
        """The database's failures so far, by kind."""
        self._follow_all("database_failures", failures)

    def start(self, stack: ExitStack) -> None:
        """Look, until the end of `stack`."""
        stack.callback(Sampler(self._samples, seconds=_SAMPLE_SECONDS).close)

    def _follow_all(self, family: str, counts: Mapping[Any, int], *labels: str) -> None:
        """Follow numbers that only grow; their keys are labels, after those that all have."""
        counted: dict[Any, int] = {}

        def sample() -> None:
            for key, value in dict(counts).items():
                own = key if isinstance(key, tuple) else (key,)
                self.table.counter(family, *labels, *own).add(value - counted.get(key, 0))
                counted[key] = value

        self._samples.append(sample)


class _MirrorSample:
    """How far MLflow follows. While the database does not answer, nothing is shown."""

    def __init__(self, table: MetricTable, database: Database) -> None:
        self._database = database
        self._sequence = table.gauge("event_sequence")
        self._lag = table.gauge("mirror_lag")
        self._lag_seconds = table.gauge("mirror_lag_seconds")
        self._models = table.gauge("mirror_pending_models")

    def __call__(self) -> None:
        try:
            with self._database.reading() as transaction:
                progress = transaction.mirror.progress()
        except RegistrarError:
            for gauge in (self._sequence, self._lag, self._lag_seconds, self._models):
                gauge.unset()
            return
        since = progress.pending_since
        self._sequence.set(progress.event_sequence)
        self._lag.set(progress.event_sequence - progress.mirrored_sequence)
        self._lag_seconds.set(max(0.0, (datetime.now(UTC) - since).total_seconds()) if since else 0.0)
        self._models.set(progress.pending_models)


def open_metrics(config: Config, run_directory: Path) -> ProcessMetrics | None:
    """This process's metrics; None where they are off."""
    return ProcessMetrics(run_directory) if config.metrics_listen else None


def serve_metrics(config: Config, run_directory: Path, processes: RunningProcesses, stack: ExitStack) -> int:
    """Answer Prometheus until the end of `stack`; the port bound. OSError: it cannot be bound."""
    # Imported where it is wanted: it takes a tenth of a second.
    from registrar_server.adapters.metrics.endpoint import serve_metrics as serve

    host, port = split_address(config.metrics_listen)
    bound = serve(host.strip("[]"), port, run_directory, processes, stack)
    versions = (distribution_version("registrar-server"), platform.python_version(), distribution_version("grpcio"))
    MetricTable(run_directory).gauge("build_info", *versions).set(1)
    return bound


def _showing(gauge: Gauge, owner: object, attribute: str) -> _Sample:
    return lambda: gauge.set(getattr(owner, attribute))


def _following(counter: Counter, owner: object, attribute: str) -> _Sample:
    """Adds to the counter what the attribute, which only grows, has grown by."""
    counted = 0

    def sample() -> None:
        nonlocal counted
        value: int = getattr(owner, attribute)
        counter.add(value - counted)
        counted = value

    return sample
