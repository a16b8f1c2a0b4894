"""Several workers and replicas that cache: what one changes the others see, and nobody is told what is not so."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import grpc
import pytest
from grpc_health.v1 import health_pb2

import registrar
from registrar.v1.admin_service_pb2 import GetServerInfoRequest
from registrar.v1.model_service_pb2 import CreateModelRequest, GetModelRequest, UpdateModelRequest
from registrar.v1.model_version_pb2 import ModelVersion
from registrar.v1.model_version_service_pb2 import GetModelVersionRequest, UpdateModelVersionRequest
from registrar.v1.reference_pb2 import Consistency, ModelRef, ModelVersionRef
from tests.end_to_end.api import CODE, Api, by_number, refused
from tests.end_to_end.promotions import race
from tests.fixtures.process_tree import descendants
from tests.fixtures.replicas import Replicas, answering, channel_to_each_worker
from tests.fixtures.server import MakeServer, RunningServer
from tests.fixtures.stores import wait_until

LONG_SECONDS = 5.0
"""Fifty times what a change takes to be seen everywhere: more than the busiest machine needs."""
PATIENCE_SECONDS = 30.0


def get(api: Api, ref: ModelVersionRef, *, at_least: int = 0) -> ModelVersion:
    consistency = Consistency(at_least_sequence=at_least) if at_least else None
    request = GetModelVersionRequest(ref=ref, consistency=consistency)
    return api.versions.GetModelVersion(request, timeout=20).model_version


def describe(api: Api, ref: ModelVersionRef, text: str) -> int:
    """Change a version; the event's sequence."""
    request = UpdateModelVersionRequest(ref=ref, description=text)
    return api.versions.UpdateModelVersion(request, timeout=20).event_sequence


def cache_position(api: Api) -> int:
    """How far the cache of the process that answers has followed the events."""
    return api.admin.GetServerInfo(GetServerInfoRequest(), timeout=20).cache.event_sequence


def cache_health(channel: grpc.Channel) -> int:
    check: grpc.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return int(check(health_pb2.HealthCheckRequest(service="cache"), timeout=20).status)


@pytest.fixture
def workers(replicas: Replicas) -> Iterator[list[Api]]:
    """One of each worker: two of the first replica, one of the second."""
    with (
        channel_to_each_worker(replicas.first, 2) as first,
        channel_to_each_worker(replicas.second, 1) as second,
    ):
        yield [Api(channel) for channel in (*first.values(), *second.values())]


def test_what_one_process_changes_all_others_see_soon(workers: list[Api], unique_name: str) -> None:
    ref = by_number(unique_name, workers[0].register(unique_name).version)
    for number in range(6):
        writer = workers[number % len(workers)]
        for api in workers:
            get(api, ref)
        describe(writer, ref, f"text {number}")
        assert get(writer, ref).description == f"text {number}"
        wait_until(lambda: _all_see(workers, ref), PATIENCE_SECONDS)


def _all_see(workers: list[Api], ref: ModelVersionRef) -> bool:
    return len({get(api, ref).description for api in workers}) == 1


def test_a_caller_sees_its_own_writes_on_any_process(workers: list[Api], unique_name: str) -> None:
    ref = by_number(unique_name, workers[0].register(unique_name).version)
    for number in range(30):
        for api in workers:
            get(api, ref)
        sequence = describe(workers[number % len(workers)], ref, f"text {number}")
        for api in workers:
            assert get(api, ref, at_least=sequence).description == f"text {number}"


def test_a_strong_read_reflects_what_anybody_committed_before(workers: list[Api], unique_name: str) -> None:
    ref = by_number(unique_name, workers[0].register(unique_name).version)
    request = GetModelVersionRequest(ref=ref, consistency=Consistency(strong=True))
    for number in range(30):
        describe(workers[number % len(workers)], ref, f"text {number}")
        for api in workers:
            assert api.versions.GetModelVersion(request, timeout=20).model_version.description == f"text {number}"


def test_readers_beside_writers_on_every_process_are_never_told_less_than_they_ask_for(
    workers: list[Api], unique_name: str
) -> None:
    """A bound is kept to the letter; without one an answer is old for a moment only."""
    ref = by_number(unique_name, workers[0].register(unique_name).version)
    told: list[tuple[float, int, int]] = [(0.0, 0, 0)]
    """When, sequence, revision; appended in any order, by several writers."""
    is_done = threading.Event()

    def write(api: Api) -> None:
        for number in range(15):
            request = UpdateModelVersionRequest(ref=ref, description=str(number))
            response = api.versions.UpdateModelVersion(request, timeout=60)
            told.append((time.monotonic(), response.event_sequence, int(response.model_version.etag)))

    def read(api: Api) -> tuple[int, list[str]]:
        """How many reads; and which of them were wrong."""
        count, wrong = 0, []
        while not is_done.is_set():
            _, sequence, revision = told[-1]
            if (found := int(get(api, ref, at_least=sequence).etag)) < revision:
                wrong.append(f"{found} for {sequence}, which made {revision}")
            long_ago = time.monotonic() - LONG_SECONDS
            oldest = max((revision for when, _, revision in list(told) if when < long_ago), default=0)
            if (found := int(get(api, ref).etag)) < oldest:
                wrong.append(f"{found} when {oldest} was old")
            count += 1
        return count, wrong

    with ThreadPoolExecutor(len(workers) * 3) as pool:
        readers = [pool.submit(read, api) for api in workers for _ in range(2)]
        writers = [pool.submit(write, api) for api in workers]
        for writer in writers:
            writer.result()
        is_done.set()
        results = [reader.result() for reader in readers]
    assert all(count and not wrong for count, wrong in results), results
    sequences = [sequence for _, sequence, _ in told[1:]]
    assert len(set(sequences)) == len(workers) * 15


def test_of_promotions_at_once_over_two_servers_one_wins_each_round(workers: list[Api], unique_name: str) -> None:
    race(workers, unique_name)


def test_background_work_of_two_replicas_is_done_once(workers: list[Api], unique_name: str) -> None:
    """Each replica has a background process; rows are leased, so two never number the same version."""
    artifact = workers[0].upload(unique_name, {"model.pkl": b"bytes"})

    def register(index: int) -> int:
        api = workers[index % len(workers)]
        return api.register(unique_name, artifact_id=artifact.id, metrics={"f1": index / 100}).version

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(register, range(18))) == list(range(1, 19))

    def is_mirrored(api: Api) -> bool:
        mirror = api.admin.GetServerInfo(GetServerInfoRequest(), timeout=20).mirror
        return mirror.pending_models == 0 and mirror.mirrored_sequence == mirror.event_sequence

    wait_until(lambda: all(map(is_mirrored, workers)), PATIENCE_SECONDS)


def test_a_replica_without_its_database_answers_what_it_knows_until_its_time_is_up(
    replicas: Replicas, workers: list[Api], unique_name: str
) -> None:
    here, there = workers[0], workers[-1]
    ref = by_number(unique_name, here.register(unique_name).version)
    status = health_pb2.HealthCheckResponse
    described = describe(here, ref, "before")
    # A reply that was read before the change's event came by is dropped again: the one after it is kept.
    wait_until(lambda: cache_position(there) >= described, PATIENCE_SECONDS)
    assert get(there, ref).description == "before"
    replicas.wire.cut()
    try:
        wait_until(lambda: cache_health(there.channel) == status.NOT_SERVING, PATIENCE_SECONDS)
        sequence = describe(here, ref, "after")
        assert get(there, ref).description == "before"
        refused(lambda: get(there, ref, at_least=sequence), CODE.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        wait_until(lambda: _is_refused(lambda: get(there, ref)), 40)
    finally:
        replicas.wire.resume()
    wait_until(lambda: cache_health(there.channel) == status.SERVING, PATIENCE_SECONDS)
    assert get(there, ref).description == "after"


def _is_refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except grpc.RpcError:
        return True
    return False


def test_the_server_says_how_far_its_cache_follows(workers: list[Api], unique_name: str) -> None:
    sequence = describe(workers[0], by_number(unique_name, workers[0].register(unique_name).version), "x")

    def follows(api: Api) -> bool:
        return api.admin.GetServerInfo(GetServerInfoRequest(), timeout=20).cache.event_sequence >= sequence

    for api in workers:
        wait_until(lambda api=api: follows(api), PATIENCE_SECONDS)  # type: ignore[misc]
        # Nothing changes any more, so what is read now is kept.
        get(api, by_number(unique_name, 1))
        info = api.admin.GetServerInfo(GetServerInfoRequest(), timeout=20)
        assert info.cache.entries >= 1
        assert not info.cache.is_degraded
        assert info.cache_ttl.seconds in (10, 300)


def test_without_a_time_to_live_nothing_is_cached(make_server: MakeServer, unique_name: str) -> None:
    server = make_server(None, {"ML_REGISTRY_CACHE_TTL": "0", "REGISTRAR_WORKERS": "2"})
    model = ModelRef(name=unique_name)
    with channel_to_each_worker(server, 2) as channels:
        one, other = (Api(channel) for channel in channels.values())
        one.models.CreateModel(CreateModelRequest(model=model), timeout=20)
        for number in range(10):
            one.models.UpdateModel(UpdateModelRequest(model=model, description=f"text {number}"), timeout=20)
            found = other.models.GetModel(GetModelRequest(model=model), timeout=20).model
            assert found.description == f"text {number}"
        assert other.admin.GetServerInfo(GetServerInfoRequest(), timeout=20).cache.entries == 0


class Load:
    """Calls by several threads until told to stop; what failed is kept."""

    def __init__(self, call: Callable[[], object], threads: int = 4) -> None:
        self._call = call
        self._is_done = threading.Event()
        self.count = 0
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self.count > 20, PATIENCE_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        before = self.count
        wait_until(lambda: self.count > before + 20 or bool(self.failures), PATIENCE_SECONDS)
        self._is_done.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self) -> None:
        while not self._is_done.is_set():
            try:
                self._call()
            except (grpc.RpcError, registrar.RegistrarError) as exc:
                self.failures.append(exc)
                time.sleep(0.05)
            self.count += 1


def pids(server: RunningServer) -> dict[str, set[int]]:
    """Of the processes that do the server's work, by kind."""
    found: dict[str, set[int]] = {}
    for pid, line in descendants(server.process.pid).items():
        if "registrar_server.child" in line:
            found.setdefault(line.split()[-1], set()).add(pid)
    return found


def test_a_rolling_restart_replaces_every_process_and_loses_no_call(make_server: MakeServer, unique_name: str) -> None:
    server = make_server(None, {"REGISTRAR_WORKERS": "2", "REGISTRAR_DRAIN_SECONDS": "10"})
    with server.connect() as registry, server.channel() as channel:
        Api(channel).models.CreateModel(CreateModelRequest(model=ModelRef(name=unique_name)), timeout=20)
        before = pids(server)
        assert len(before["worker"]) == 2
        changes = iter(range(1_000_000))
        with (
            Load(lambda: registry.model(unique_name, strong=True)) as reads,
            Load(lambda: registry.update_model(unique_name, description=f"{next(changes)}"), threads=1) as writes,
        ):
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: _are_replaced(before, pids(server)), 90)
        assert (reads.failures, writes.failures) == ([], [])
        assert int(registry.model(unique_name, strong=True).description) == next(changes) - 1
    assert server.stop() == 0


def _are_replaced(before: dict[str, set[int]], now: dict[str, set[int]]) -> bool:
    is_whole = len(now.get("worker", ())) == 2 and len(now.get("background", ())) == 1
    return is_whole and not any(before[kind] & now[kind] for kind in ("worker", "background"))


def test_a_replica_that_is_told_to_stop_loses_no_call(
    replicas: Replicas, make_server: MakeServer, unique_name: str
) -> None:
    """Callers know both addresses, as a name with two of them would say."""
    settings = dict(_environment_of(replicas.first))
    third = make_server(None, settings)
    api_name = unique_name
    with replicas.first.channel() as channel:
        Api(channel).register(api_name)
    target = f"ipv4:{third.address},{replicas.first.address}"
    with registrar.connect(target) as registry, Load(lambda: registry.get(f"{api_name}/1", strong=True)) as load:
        assert third.stop() == 0
    assert load.failures == []


def _environment_of(server: RunningServer) -> dict[str, str]:
    entries = Path(f"/proc/{server.process.pid}/environ").read_bytes().split(b"\0")
    pairs = [entry.decode().partition("=") for entry in entries]
    return {name: value for name, _, value in pairs if name.startswith(("REGISTRAR_", "MLFLOW_", "AWS_"))}


def test_each_connection_stays_with_one_worker(replicas: Replicas) -> None:
    with channel_to_each_worker(replicas.first, 2) as channels:
        for name, channel in channels.items():
            assert {answering(replicas.first, channel) for _ in range(5)} == {name}
