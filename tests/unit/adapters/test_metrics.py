"""Metrics: what a process counts is seen by another, and outlives it; what holds for a process ends with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from registrar_server.adapters.metrics.collector import TotalsCollector
from registrar_server.adapters.metrics.families import CALL_BOUNDS, FAMILIES, Kind
from registrar_server.adapters.metrics.sampler import Sampler
from registrar_server.adapters.metrics.table import CELLS, MetricTable
from registrar_server.adapters.metrics.totals import TableTotals

_COUNTING = """
import sys
from pathlib import Path
from registrar_server.adapters.metrics.table import MetricTable

table = MetricTable(Path(sys.argv[1]))
table.counter("cache_hits").add(3)
table.gauge("cache_entries").set(5)
table.gauge("event_lag").set(7)
table.histogram("rpc_duration_seconds", "GetModel").observe(0.002)
print("counted", flush=True)
sys.stdin.read()
"""


@contextmanager
def counting_process(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has counted and goes on living."""
    process = subprocess.Popen(
        [sys.executable, "-c", _COUNTING, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "counted\n"
        yield process
        process.kill()


def test_a_killed_process_leaves_its_counters_and_takes_its_gauges_with_it(tmp_path: Path) -> None:
    totals = TableTotals(tmp_path)
    with counting_process(tmp_path) as first, counting_process(tmp_path) as second:
        both = totals.read()
        assert both["cache_hits", ()] == [6]
        assert both["cache_entries", ()] == [10]
        assert both["event_lag", ()] == [7]
        assert sum(both["rpc_duration_seconds", ("GetModel",)][1:]) == 2
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        # Twice: what was taken over from an ended process must not be taken over again.
        for _ in range(2):
            one = totals.read()
            assert one["cache_hits", ()] == [6]
            assert one["cache_entries", ()] == [5]
            assert sum(one["rpc_duration_seconds", ("GetModel",)][1:]) == 2
        second.send_signal(signal.SIGKILL)
        second.wait(10)
    assert totals.read()["cache_hits", ()] == [6]
    assert ("cache_entries", ()) not in totals.read()
    assert not list(tmp_path.iterdir())


def test_the_table_of_a_running_process_is_left_alone(tmp_path: Path) -> None:
    table, totals = MetricTable(tmp_path), TableTotals(tmp_path)
    for counted in (1, 2):
        table.counter("cache_hits").add()
        assert totals.read()["cache_hits", ()] == [counted]


def test_the_same_labels_give_the_same_number(tmp_path: Path) -> None:
    table = MetricTable(tmp_path)
    table.counter("rpcs", "GetModel", "OK").add()
    table.counter("rpcs", "GetModel", "OK").add()
    table.counter("rpcs", "GetModel", "NOT_FOUND").add()
    read = TableTotals(tmp_path).read()
    assert read["rpcs", ("GetModel", "OK")] == [2]
    assert read["rpcs", ("GetModel", "NOT_FOUND")] == [1]


def test_labels_must_be_those_of_the_family(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="labels"):
        MetricTable(tmp_path).counter("rpcs", "GetModel")


def test_no_addition_of_another_thread_is_lost(tmp_path: Path) -> None:
    table = MetricTable(tmp_path)
    counter, histogram = table.counter("cache_hits"), table.histogram("rpc_duration_seconds", "GetModel")

    def count() -> None:
        for _ in range(5_000):
            counter.add()
            histogram.observe(0.5)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = TableTotals(tmp_path).read()
    assert read["cache_hits", ()] == [40_000]
    assert read["rpc_duration_seconds", ("GetModel",)][0] == 20_000


def test_a_gauge_is_not_shown_until_it_is_set_nor_after_it_is_unset(tmp_path: Path) -> None:
    gauge, totals = MetricTable(tmp_path).gauge("mirror_lag"), TableTotals(tmp_path)
    assert ("mirror_lag", ()) not in totals.read()
    gauge.set(4)
    assert totals.read()["mirror_lag", ()] == [4]
    gauge.unset()
    assert ("mirror_lag", ()) not in totals.read()


def test_a_full_table_goes_on_counting_what_it_holds(tmp_path: Path) -> None:
    table = MetricTable(tmp_path)
    table.counter("cache_hits").add()
    for number in range(CELLS + 10):
        table.counter("refusals", "GetModel", f"REASON_{number}").add()
    table.histogram("rpc_duration_seconds", "GetModel").observe(1.0)
    table.counter("cache_hits").add()
    read = TableTotals(tmp_path).read()
    assert read["cache_hits", ()] == [2]
    assert ("rpc_duration_seconds", ("GetModel",)) not in read


def test_a_line_that_is_still_being_written_is_passed_over(tmp_path: Path) -> None:
    table = MetricTable(tmp_path)
    table.counter("cache_hits").add()
    (index,) = tmp_path.glob("*.index")
    with index.open("a") as file:
        file.write(json.dumps(["cache_misses", [], 1, 1])[:-3])
    assert set(TableTotals(tmp_path).read()) == {("cache_hits", ())}


def test_buckets_are_cumulative_and_end_with_the_count(tmp_path: Path) -> None:
    histogram = MetricTable(tmp_path).histogram("rpc_duration_seconds", "GetModel")
    for seconds in (0.00005, 0.0001, 0.003, 1_000.0):
        histogram.observe(seconds)
    buckets = shown(tmp_path, "registrar_rpc_duration_seconds_bucket", "le")
    assert len(buckets) == len(CALL_BOUNDS) + 1
    assert list(buckets.values()) == sorted(buckets.values())
    # A bound belongs to its bucket.
    assert (buckets["0.0001"], buckets["0.005"], buckets["+Inf"]) == (2, 3, 4)
    assert shown(tmp_path, "registrar_rpc_duration_seconds_count", "method") == {"GetModel": 4}


def test_every_family_is_described_before_anything_happened(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(TotalsCollector(TableTotals(tmp_path)))
    text = generate_latest(registry).decode()
    for family in FAMILIES.values():
        suffix = "_total" if family.kind is Kind.COUNTER else ""
        assert f"# HELP {family.name}{suffix} {family.meaning}" in text


def test_a_sample_that_raises_does_not_keep_others_from_being_taken() -> None:
    taken = threading.Event()

    def fail() -> None:
        raise OSError

    sampler = Sampler([fail, taken.set], seconds=0.01)
    assert taken.wait(10)
    taken.clear()
    assert taken.wait(10)
    sampler.close()


def test_the_last_sample_is_taken_when_the_process_ends() -> None:
    taken: list[int] = []
    with ExitStack() as stack:
        stack.callback(Sampler([lambda: taken.append(os.getpid())], seconds=3600).close)
    assert taken == [os.getpid()]


def shown(directory: Path, name: str, label: str) -> dict[str, float]:
    """The samples of that name as Prometheus would read them, by one of their labels."""
    registry = CollectorRegistry()
    registry.register(TotalsCollector(TableTotals(directory)))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {s.labels[label]: s.value for family in families for s in family.samples if s.name == name}
