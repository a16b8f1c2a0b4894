"""/metrics: one address for a server of several processes, whose counters outlive each of them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

import registrar
from registrar.v1.model_service_pb2 import CreateModelRequest
from registrar.v1.model_service_pb2_grpc import ModelServiceStub
from registrar.v1.reference_pb2 import ModelRef
from registrar_server.adapters.metrics.families import FAMILIES, Kind
from tests.fixtures.process_tree import child_of, descendants
from tests.fixtures.scrapes import scrape
from tests.fixtures.server import RunningServer, clean_environment, running_server
from tests.fixtures.stores import wait_until

ROOT = Path(__file__).resolve().parents[2]
SLOTS = 4
SETTINGS = {
    "REGISTRAR_METRICS_LISTEN": "127.0.0.1:0",
    "REGISTRAR_TRANSFER_SLOTS": str(SLOTS),
    "REGISTRAR_TENANTS": "acme-corp",
}
_ROW = re.compile(r"^\| `(registrar_\w+)` \| (\w+) \| (.*?) \| (.+) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of two workers, with metrics."""
    with running_server(tmp_path_factory.mktemp("metrics"), SETTINGS, ("--workers", "2")) as started:
        yield started


@pytest.fixture(scope="module")
def used(watched: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    """The same, after a version went in and out."""
    folder = tmp_path_factory.mktemp("used")
    (folder / "model.bin").write_bytes(os.urandom(3 << 20))
    with watched.connect() as registry:
        registry.push(folder / "model.bin", name="used-model", progress=False)
        registry.pull("used-model/1", folder / "pulled", progress=False)
    return watched


def test_calls_are_counted_by_method_and_code(watched: RunningServer, unique_name: str) -> None:
    before = scrape(watched)
    with watched.connect() as registry:
        for _ in range(5):
            registry.server_info()
        for _ in range(3):
            with pytest.raises(registrar.RegistrarError):
                registry.model(unique_name)
    after = scrape(watched)

    def grown(name: str, **labels: str) -> float:
        return after.total(name, **labels) - before.total(name, **labels)

    assert grown("registrar_rpcs_total", method="GetServerInfo", code="OK") >= 5
    assert grown("registrar_rpc_duration_seconds_count", method="GetServerInfo") >= 5
    assert grown("registrar_rpcs_total", method="GetModel", code="NOT_FOUND") == 3
    assert grown("registrar_refusals_total", method="GetModel", reason="MODEL_NOT_FOUND") == 3
    assert grown("registrar_rpcs_total", method="GetModel", code="OK") == 0


def test_wrong_fields_are_counted_one_by_one(watched: RunningServer) -> None:
    before = scrape(watched).total("registrar_field_violations_total", method="CreateModel")
    request = CreateModelRequest(model=ModelRef(name="NOT A NAME"), description="x" * 100_000)
    with watched.channel() as channel, pytest.raises(grpc.RpcError) as refused:
        ModelServiceStub(channel).CreateModel(request, timeout=20)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert scrape(watched).total("registrar_field_violations_total", method="CreateModel") == before + 2


def test_bytes_of_files_are_counted_both_ways_and_streams_are_timed_apart(used: RunningServer) -> None:
    now = scrape(used)
    assert now.total("registrar_received_bytes_total") >= 3 << 20
    assert now.total("registrar_sent_bytes_total", method="DownloadFile") >= 3 << 20
    assert now.total("registrar_stream_duration_seconds_count", method="DownloadFile") >= 1
    assert now.total("registrar_rpc_duration_seconds_count", method="DownloadFile") == 0


def test_the_mirror_is_shown_to_have_caught_up(used: RunningServer) -> None:
    def has_caught_up() -> bool:
        now = scrape(used)
        names = ("registrar_mirror_lag", "registrar_mirror_lag_seconds", "registrar_mirror_pending_models")
        return [now.values(name) for name in names] == [[0], [0], [0]]

    wait_until(has_caught_up, 60)
    now = scrape(used)
    assert now.total("registrar_event_sequence") >= 2
    assert now.total("registrar_background_work_total", loop="registering") >= 1


def test_reads_count_as_hits_or_misses_of_the_cache(used: RunningServer) -> None:
    before = scrape(used)
    with used.connect() as registry:
        for _ in range(10):
            registry.get("used-model/1")

    def counted() -> float:
        names = ("registrar_cache_hits_total", "registrar_cache_misses_total")
        now = scrape(used)
        return sum(now.total(name) - before.total(name) for name in names)

    wait_until(lambda: counted() >= 10, 20)
    wait_until(lambda: scrape(used).total("registrar_cache_entries") >= 1, 20)
    assert scrape(used).total("registrar_event_lag") == 0


def test_a_killed_worker_takes_its_gauges_along_and_leaves_its_counters(used: RunningServer) -> None:
    def slots() -> float:
        return scrape(used).total("registrar_slots", kind="uploads")

    with used.connect() as registry:
        registry.server_info()
    wait_until(lambda: slots() == 2 * SLOTS, 30)
    before = counters(used)
    killed = child_of(used.process.pid, "registrar_server.child worker")
    assert killed
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: slots() == SLOTS, 30)
    while_it_was_gone = counters(used)
    wait_until(lambda: slots() == 2 * SLOTS, 30)
    for later in (while_it_was_gone, counters(used)):
        assert not {series: (value, later.get(series)) for series, value in before.items() if later[series] < value}


def test_replacing_every_process_loses_no_count(used: RunningServer) -> None:
    def workers() -> set[int]:
        running = descendants(used.process.pid)
        return {pid for pid, line in running.items() if line.endswith("registrar_server.child worker")}

    with used.connect() as registry:
        registry.server_info()
    wait_until(lambda: len(workers()) == 2, 30)
    first, before = workers(), counters(used)
    used.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(workers()) == 2 and not workers() & first, 60)
    after = counters(used)
    assert not {series: (value, after.get(series)) for series, value in before.items() if after[series] < value}
    wait_until(lambda: scrape(used).total("registrar_slots", kind="uploads") == 2 * SLOTS, 30)


def test_every_process_shows_its_memory_and_its_cpu_time(watched: RunningServer) -> None:
    def processes() -> set[str]:
        now = scrape(watched)
        return {
            sample.labels["process"]
            for family in now.families()
            if family.name in ("registrar_process_resident_memory_bytes", "registrar_process_cpu_seconds")
            for sample in family.samples
            if sample.value > 0
        }

    wait_until(lambda: processes() == {"parent", "worker-1", "worker-2", "background"}, 30)


def test_nothing_says_whose_models_there_are(used: RunningServer) -> None:
    with used.connect() as registry, pytest.raises(registrar.RegistrarError):
        registry.get("acme-corp/used-model/77")
    text = scrape(used).text
    for word in ("used-model", "acme-corp", "default"):
        assert word not in text


def test_the_answer_is_openmetrics_for_who_asks_for_it(used: RunningServer) -> None:
    text = scrape(used, "application/openmetrics-text; version=1.0.0").text
    names = {family.name for family in read_openmetrics(text)}  # type: ignore[no-untyped-call]
    assert {"registrar_rpcs", "registrar_rpc_duration_seconds", "registrar_process_cpu_seconds"} <= names


def test_every_metric_has_its_row_in_the_operations_page(used: RunningServer) -> None:
    rows = {name: (kind, labels, meaning) for name, kind, labels, meaning in _ROW.findall(page())}
    ours = {
        family.name + ("_total" if family.kind is Kind.COUNTER else ""): (
            "gauge" if family.kind is Kind.HIGHEST else family.kind.value,
            ", ".join(f"`{label}`" for label in family.labels),
            family.meaning,
        )
        for family in FAMILIES.values()
    }
    assert {name: row for name, row in rows.items() if not name.startswith("registrar_process_")} == ours
    shown = {f.name + ("_total" if f.type == "counter" else "") for f in scrape(used).families()}
    assert rows.keys() == shown


def test_the_dashboard_asks_for_what_is_there(used: RunningServer) -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/registrar.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"registrar_\w+", query)}
    described = {line.split()[2] for line in scrape(used).text.splitlines() if line.startswith("# TYPE ")}
    known = described | {f"{name}_{part}" for name in described for part in ("bucket", "sum", "count")}
    assert asked <= known
    wanted = ("rpcs_total", "rpc_duration_seconds_bucket", "cache_hits_total", "mirror_lag", "event_lag_seconds")
    assert {f"registrar_{name}" for name in wanted} <= asked
    labels = {
        label for query in queries for label in re.findall(r"by \(([^)]*)\)", query) for label in label.split(", ")
    }
    assert labels <= {"le", "process", "job", "instance", *(label for f in FAMILIES.values() for label in f.labels)}


def test_a_taken_port_keeps_the_server_from_starting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [
                Path(sys.executable).parent / "registrar",
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--data",
                tmp_path / "data",
            ],
            env=clean_environment(REGISTRAR_METRICS_LISTEN=address),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert f"cannot listen on {address}" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_configuration_nothing_is_measured(server: RunningServer) -> None:
    wait_until(lambda: "  metrics    none" in server.welcome_lines, 10)
    assert not maps_a_table(server)


def test_a_worker_counts_in_a_table_that_others_can_read(watched: RunningServer) -> None:
    wait_until(lambda: maps_a_table(watched), 30)


def maps_a_table(server: RunningServer) -> bool:
    """Whether a worker has one in its memory."""
    worker = child_of(server.process.pid, "registrar_server.child worker")
    assert worker
    return "/metrics-" in Path(f"/proc/{worker}/maps").read_text()


def counters(server: RunningServer) -> dict[tuple[str, ...], float]:
    """Every counter and every bucket, but for what the kernel counts of each process."""
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in scrape(server).families()
        if family.type in ("counter", "histogram") and not family.name.startswith("registrar_process_")
        for sample in family.samples
    }


def page() -> str:
    return (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def panels(dashboard: dict[str, list[dict[str, list[dict[str, str]]]]]) -> list[dict[str, list[dict[str, str]]]]:
    """Those that query something, not the headings of rows."""
    return [panel for panel in dashboard["panels"] if "targets" in panel]
