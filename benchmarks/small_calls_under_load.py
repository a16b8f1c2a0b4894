"""How long GetModelVersion takes while every slot for uploads and downloads is busy, against the same server idle.

With the streams in the worker that answers; in the bulk process; in the bulk process on cores of its own. The calls come at
a steady rate, far below what an idle server can do, so that their latency and not its capacity is seen. The clients of the
streams and the store share all cores with the server, but give way to it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
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
_BULK = {"REGISTRAR_BULK_LISTEN": "127.0.0.1:0"}
_CORES = sorted(os.sched_getaffinity(0))
_HALF = ",".join(map(str, _CORES[: len(_CORES) // 2]))
CASES: Mapping[str, Mapping[str, str]] = {
    "bulk process, own cores": {**_BULK, "REGISTRAR_BULK_CORES": _HALF},
    "bulk process": _BULK,
    "same process": {},
}
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
    trials, seconds = (1, 4.0) if is_quick else (5, 8.0)
    seen: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="registrar-benchmark-") as directory, ExitStack() as stack:
        base = Path(directory)
        sink = stack.enter_context(sink_server(base / "sink"))
        os.setpriority(os.PRIO_PROCESS, sink.pid, NICENESS)
        settings = {**sink_environment(sink), "REGISTRAR_TRANSFER_SLOTS": str(_SLOTS)}
        places = {
            case: _prepared(stack.enter_context(registrar_server(base / str(number), {**settings, **own})))
            for number, (case, own) in enumerate(CASES.items())
        }
        for _ in range(trials):
            for case, place in places.items():
                seen[case, "idle"].append(_measure(place, seconds))
                with _busy(place, base) as streams:
                    seen[case, "busy"].append(_measure(place, seconds, streams))
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
        f"Ours: {_CALLS_PER_SECOND} calls a second while {_SLOTS} uploads and {_SLOTS} downloads go on without a pause; the peer",
        "is the same server idle. The streams' clients and the store share the cores of the machine with the server; in",
        f"earnest they are other machines, so they have niceness {NICENESS}. Own cores: REGISTRAR_BULK_CORES={_HALF}.",
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


def _measure(place: Place, seconds: float, streams: Sequence[_Streams] = ()) -> Trial:
    process = place.transfer_process()
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
