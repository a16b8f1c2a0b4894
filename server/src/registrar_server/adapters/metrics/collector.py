"""What Prometheus is told: all processes' numbers, and what the kernel knows of each process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from registrar_server.adapters.metrics.families import FAMILIES, Family, Kind
from registrar_server.adapters.metrics.totals import TableTotals

RunningProcesses = Callable[[], Mapping[str, int]]
"""The processes of this server that run now: pid by name."""


class TotalsCollector(Collector):
    """The families of `FAMILIES`, added up over the processes."""

    def __init__(self, totals: TableTotals) -> None:
        self._totals = totals
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is to tell depends on what has happened."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family, those without a series too, so that each has its description from the beginning."""
        with self._lock:
            totals = self._totals.read()
        for short, family in FAMILIES.items():
            metric = _metric(family)
            for (name, labels), cells in totals.items():
                if name == short:
                    _add(metric, family, labels, cells)
            yield metric


class ProcessesCollector(Collector):
    """The library's own process metrics, for each process of the server, with its name as a label."""

    def __init__(self, processes: RunningProcesses) -> None:
        self._processes = processes

    def describe(self) -> Iterable[Metric]:
        """See `TotalsCollector`."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """CPU time, memory, descriptors and start of each."""
        found: dict[str, Metric] = {}
        for process, pid in {"parent": os.getpid(), **self._processes()}.items():
            # A registry of its own that nothing is registered with: the library's default one is global.
            own = ProcessCollector(namespace="registrar", pid=lambda pid=pid: pid, registry=CollectorRegistry())  # type: ignore[misc]
            for one in own.collect():
                metric = found.setdefault(one.name, Metric(one.name, one.documentation, one.type))
                for sample in one.samples:
                    metric.add_sample(sample.name, {"process": process}, sample.value)
        yield from found.values()


def _metric(family: Family) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    if family.kind is Kind.COUNTER:
        return CounterMetricFamily(family.name, family.meaning, labels=family.labels)
    if family.kind is Kind.HISTOGRAM:
        return HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
    return GaugeMetricFamily(family.name, family.meaning, labels=family.labels)


def _add(metric: Metric, family: Family, labels: tuple[str, ...], cells: list[float]) -> None:
    if isinstance(metric, HistogramMetricFamily):
        total, *buckets = cells
        bounds = [*(str(bound) for bound in family.bounds), "+Inf"]
        metric.add_metric(labels, list(zip(bounds, accumulate(buckets), strict=True)), sum_value=total)
    elif isinstance(metric, CounterMetricFamily | GaugeMetricFamily):
        metric.add_metric(labels, cells[0])
