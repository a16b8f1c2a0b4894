"""How long GetModelVersion takes while every slot for uploads and downloads is busy, against the same server idle.

Once with the streams in the worker that answers, and once in the bulk process; each on cores that all share, and with what
moves bytes (the bulk process, the streams' clients, the store) kept off the worker's cores, as clients and a store on other
machines are. The calls come at a steady rate, far below what an idle server can do, so that their latency and not its
capacity is seen.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import registrar
from benchmarks.h2load import Load, Target, grpc_target, measure_paced
from benchmarks.process_tree import cpu_seconds, listener
from benchmarks.report import Figure, Report, Sample
from benchmarks.servers import ROOT, Server, clean_environment, registrar_server, sink_environment, sink_server
from benchmarks.tools import require_h2load
from benchmarks.transfer_load import CHUNK_BYTES, DOWNLOAD_BYTES, NICENESS, Moved, file_of_zeros, open_channel, upload
from registrar.v1.model_version_service_pb2 import GetModelVersionRequest
from registrar.v1.reference_pb2 import ModelRef, ModelVersionRef

_METHOD = "/registrar.v1.ModelVersionService/GetModelVersion"
_SLOTS = 8
_CALLS_PER_SECOND = 100
CASES = ("bulk process, apart", "same process, apart", "bulk process", "same process")
_BULK = {"REGISTRAR_BULK_LISTEN": "127.0.0.1:0"}
_WARM_UP_CHUNKS = 4
"""What each stream has moved when the measurement begins."""


@dataclass(frozen=True)
class Place:
    """A server, where its transfers go, and what is called meanwhile."""

    server: Server
    transfers: str
    artifact_id: str
    """What is downloaded."""
    target: Target

    def transfer_process(self) -> int:
        """The process that moves bytes."""
        return listener(self.server.pid, int(self.transfers.rpartition(":")[2]))


@dataclass(frozen=True)
class Trial:
    """Small calls, and what was moved meanwhile."""

    load: Load
    megabytes_per_second: float = 0.0
    cores: float = 0.0
    """CPU seconds for each second of the process that moves bytes."""


def run(*, is_quick: bool) -> Report:
    """See the module."""
    require_h2load()
    trials, seconds = (1, 4.0) if is_quick else (3, 10.0)
    seen: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="registrar-benchmark-") as directory, ExitStack() as stack:
        base = Path(directory)
        sink = stack.enter_context(sink_server(base / "sink"))
        settings = {**sink_environment(sink), "REGISTRAR_TRANSFER_SLOTS": str(_SLOTS)}
        places = {
            "same process": _prepared(stack.enter_context(registrar_server(base / "one", settings))),
            "bulk process": _prepared(stack.enter_context(registrar_server(base / "two", {**settings, **_BULK}))),
        }
        for _ in range(trials):
            for case in CASES:
                place = places["bulk process" if case.startswith("bulk") else "same process"]
                cores = _Cores(place, sink) if case.endswith("apart") else None
                seen[case, "idle"].append(_measure(place, seconds, cores=cores))
                with _busy(place, base) as streams:
                    seen[case, "busy"].append(_measure(place, seconds, streams, cores))
                busy, idle = seen[case, "busy"][-1], seen[case, "idle"][-1]
                print(
                    f"  … {case}: p99 {idle.load.p99_milliseconds:.1f} ms idle, {busy.load.p99_milliseconds:.1f} busy, "
                    f"{busy.megabytes_per_second:.0f} MB/s",
                    flush=True,
                )
    report = Report(
        "small_calls_under_load",
        {"slots": _SLOTS, "calls_per_second": _CALLS_PER_SECOND, "seconds": seconds, "trials": trials},
        _figures(seen),
    )
    report.notes = [
        f"Ours: while {_SLOTS} uploads and {_SLOTS} downloads go on without a pause, {_CALLS_PER_SECOND} calls a second. Their clients have",
        f"niceness {NICENESS}. Apart: the bulk process, the clients and the store are kept off the cores of the worker.",
        "Goal: p99 at most 4 times idle with the bulk process.",
    ]
    return report


def _prepared(server: Server) -> Place:
    """With a version to ask for; it is asked for once by a real client."""
    with registrar.connect(server.address) as registry, open_channel(server.address) as channel:
        registry.create_model("asked")
        artifact_id = upload(channel, "asked", file_of_zeros(DOWNLOAD_BYTES), Moved())
        metrics = {f"metric_{index}": 0.5 + index / 100 for index in range(8)}
        version = registry.register("asked", artifact_id=artifact_id, metrics=metrics)
        registry.wait_mirrored(timeout_seconds=120)
        call = channel.unary_unary(_METHOD, request_serializer=bytes, response_deserializer=bytes)
        ref = ModelVersionRef(model=ModelRef(name="asked"), version=version.version)
        request = GetModelVersionRequest(ref=ref).SerializeToString()
        reply = call(request, timeout=30)
        transfers = registry.server_info().bulk_endpoint or server.address
    target = grpc_target("GetModelVersion", server.address, _METHOD, request, reply, server.worker())
    return Place(server, transfers, artifact_id, target)


class _Streams:
    """A process that keeps all slots of one kind busy."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def moved(self) -> int:
        """Bytes so far."""
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("no pipes")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the streams have ended:\n{self._log.read_text(encoding='utf-8')[-3000:]}")
        return int(line)


@contextmanager
def _busy(place: Place, base: Path) -> Iterator[list[_Streams]]:
    """Every slot taken, for as long as the block runs."""
    with ExitStack() as stack:
        streams = [stack.enter_context(_streaming(place, base, direction)) for direction in ("up", "down")]
        while not all(one.moved() > _SLOTS * _WARM_UP_CHUNKS * CHUNK_BYTES for one in streams):
            time.sleep(0.05)
        yield streams


@contextmanager
def _streaming(place: Place, base: Path, direction: str) -> Iterator[_Streams]:
    command = [sys.executable, "-m", "benchmarks.transfer_load", direction, place.transfers, str(_SLOTS)]
    if direction == "down":
        command.append(place.artifact_id)
    with (base / f"{direction}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=clean_environment({}),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield _Streams(process, base / f"{direction}.log")
        finally:
            process.kill()
            process.communicate()


class _Cores:
    """Half of the cores for what moves bytes, the other half for the worker and its callers."""

    def __init__(self, place: Place, store: Server) -> None:
        self._all = sorted(os.sched_getaffinity(0))
        self._worker = place.server.worker()
        self._movers = {store.pid, place.transfer_process()} - {self._worker}

    @contextmanager
    def apart(self, streams: list[_Streams]) -> Iterator[None]:
        """While the block runs."""
        half = len(self._all) // 2
        movers = self._movers | {one.pid for one in streams}
        try:
            for pid in movers:
                _keep_to(pid, self._all[:half])
            for pid in (self._worker, os.getpid()):
                _keep_to(pid, self._all[half:])
            yield
        finally:
            for pid in (*movers, self._worker, os.getpid()):
                _keep_to(pid, self._all)


def _keep_to(pid: int, cores: list[int]) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        # One that has just ended needs no core.
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)


def _measure(place: Place, seconds: float, streams: list[_Streams] | None = None, cores: _Cores | None = None) -> Trial:
    streams = streams or []
    process = place.transfer_process()
    with cores.apart(streams) if cores else nullcontext():
        began, moved, cpu = time.perf_counter(), sum(one.moved() for one in streams), cpu_seconds([process])
        load = measure_paced(place.target, calls_per_second=_CALLS_PER_SECOND, seconds=seconds)
        moved, cpu = sum(one.moved() for one in streams) - moved, cpu_seconds([process]) - cpu
        # Calls that are not answered in time make it longer.
        took = time.perf_counter() - began
    return Trial(load, moved / 1e6 / took, cpu / took)


def _figures(seen: dict[tuple[str, str], list[Trial]]) -> list[Figure]:
    def small_calls(case: str, state: str, field: str) -> Sample:
        return Sample(tuple(getattr(trial.load, field) for trial in seen[case, state]))

    def transfers(case: str, field: str) -> Sample:
        return Sample(tuple(getattr(trial, field) for trial in seen[case, "busy"]))

    figures = [
        Figure(f"{case}: {label}", "ms", small_calls(case, "busy", field), small_calls(case, "idle", field), "idle")
        for field, label in (("p99_milliseconds", "p99"), ("median_milliseconds", "median"))
        for case in CASES
    ]
    figures += [Figure(f"{case}: moved", "MB/s", transfers(case, "megabytes_per_second")) for case in CASES]
    figures += [Figure(f"{case}: cores of who moves", "", transfers(case, "cores")) for case in CASES]
    return figures
