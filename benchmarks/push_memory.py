"""Peak memory of the process that takes an upload: it must not depend on the size.

The peak is the kernel's own record (VmHWM), so nothing between two samples is missed. Every trial begins with a fresh
server, and idle is what it holds before its first upload. Bytes go into a sink that discards; the peer is MLflow's
artifact proxy, really proxying, into the same sink.
"""

from __future__ import annotations

import secrets
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.made_upload import MadeFile, push, put
from benchmarks.process_tree import cpu_seconds, peak_bytes, reset_peak, resident_bytes, tree, watching_tree
from benchmarks.report import Figure, Report, Sample
from benchmarks.servers import Server, mlflow_server, registrar_server, sink_environment, sink_server
from benchmarks.tools import require_mlflow_server

_MEBIBYTE = 1 << 20
_PEER_TRIALS = 2
"""They take a minute each, and what the peer keeps in memory hardly varies."""
BOUND_MEBIBYTES = 96.0
"""What a transfer may add to the worker's memory."""


@dataclass(frozen=True)
class Push:
    """What one trial saw."""

    idle_mebibytes: float
    above_mebibytes: float
    tree_mebibytes: float
    megabytes_per_second: float
    cpu_seconds_per_gibibyte: float


class Trials:
    """Pushes by server and case, and the columns of them."""

    def __init__(self) -> None:
        self._pushes: dict[tuple[str, str], list[Push]] = defaultdict(list)

    def add(self, server: str, case: str, pushed: Push) -> None:
        self._pushes[server, case].append(pushed)
        print(
            f"  … {server}, {case}: {pushed.above_mebibytes:.0f} MiB above {pushed.idle_mebibytes:.0f}, "
            f"{pushed.megabytes_per_second:.0f} MB/s",
            flush=True,
        )

    def column(self, server: str, case: str, field: str) -> Sample:
        return Sample(tuple(getattr(pushed, field) for pushed in self._pushes[server, case]))


def run(*, is_quick: bool) -> Report:
    """See the module."""
    require_mlflow_server()
    small, large, count = (64, 512, 2) if is_quick else (256, 4096, 3)
    several = [large // 16] * 16
    report = Report(
        "push_memory",
        {"small_mebibytes": small, "large_mebibytes": large, "at_once": 4, "trials": count, "chunk_bytes": _MEBIBYTE},
    )
    names = Names(f"{small} MiB", _size(large), f"{_size(large)} in 16 files", f"4 at once, {_size(large // 8)} each")
    trials = Trials()
    with tempfile.TemporaryDirectory(prefix="registrar-benchmark-") as directory:
        base = Path(directory)
        with sink_server(base / "sink") as sink:
            for number in range(count):
                place = base / str(number)
                _push_each(trials, place, sink, {names.small: [[small]], names.large: [[large]]})
                _push_each(trials, place, sink, {names.files: [several], names.at_once: [[large // 8]] * 4})
                if number < _PEER_TRIALS:
                    _put_each(trials, place / "mlflow", sink, {names.small: small, names.large: large})
        for number in range(count):
            with registrar_server(base / f"embedded-{number}") as server:
                trials.add("embedded", names.small, _measure_push(server, [[small]]))
    report.figures = _figures(trials, names)
    report.notes = [
        f"(!) over the bound of {BOUND_MEBIBYTES:g} MiB for each transfer, by the highest trial.",
        "MLflow's proxy writes each upload to a temporary file on its disk first; the registry's disk is not touched.",
        "Client, server and sink share the cores: MB/s is of all three together.",
    ]
    return report


@dataclass(frozen=True)
class Names:
    """What the cases are called."""

    small: str
    large: str
    files: str
    at_once: str


def _push_each(trials: Trials, place: Path, sink: Server, cases: dict[str, list[list[int]]]) -> None:
    """Each case on a fresh server, so that what one leaves behind is not taken for the idle of the next."""
    for case, transfers in cases.items():
        with registrar_server(place / secrets.token_hex(4), sink_environment(sink)) as server:
            trials.add("registrar", case, _measure_push(server, transfers))


def _put_each(trials: Trials, place: Path, sink: Server, cases: dict[str, int]) -> None:
    environment = {**sink_environment(sink), "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required"}
    for case, size in cases.items():
        directory = place / secrets.token_hex(4)
        with mlflow_server(directory, artifacts="s3://benchmark", environment=environment) as server:
            trials.add("mlflow", case, _measure(server, [_Upload(_put_of(server, size), size)]))


def _measure_push(server: Server, transfers: Sequence[Sequence[int]]) -> Push:
    """Upload bundles at once, each of files of so many MiB."""
    uploads = []
    for sizes in transfers:
        files = [MadeFile.of_size(size * _MEBIBYTE) for size in sizes]
        uploads.append(_Upload(_push_of(server, files), sum(sizes)))
    return _measure(server, uploads)


def _push_of(server: Server, files: Sequence[MadeFile]) -> Callable[[], float]:
    return lambda: push(server.address, files, model=f"model-{secrets.token_hex(8)}")


def _put_of(server: Server, mebibytes: int) -> Callable[[], float]:
    file = MadeFile.of_size(mebibytes * _MEBIBYTE)
    return lambda: put(server.port, file, path=f"{secrets.token_hex(8)}/model.safetensors")


@dataclass(frozen=True)
class _Upload:
    """Something that sends so many MiB and says how long it took."""

    send: Callable[[], float]
    mebibytes: int


def _measure(server: Server, uploads: Sequence[_Upload]) -> Push:
    worker = server.worker()
    idle = resident_bytes([worker])
    reset_peak(worker)
    cpu_before = cpu_seconds(tree(server.pid))
    with watching_tree(server.pid) as whole, ThreadPoolExecutor(len(uploads)) as threads:
        seconds = max(threads.map(lambda upload: upload.send(), uploads))
    mebibytes = sum(upload.mebibytes for upload in uploads)
    return Push(
        idle_mebibytes=idle / _MEBIBYTE,
        above_mebibytes=(peak_bytes(worker) - idle) / _MEBIBYTE / len(uploads),
        tree_mebibytes=whole.bytes / _MEBIBYTE,
        megabytes_per_second=mebibytes * _MEBIBYTE / 1e6 / seconds,
        cpu_seconds_per_gibibyte=(cpu_seconds(tree(server.pid)) - cpu_before) * 1024 / mebibytes,
    )


def _figures(trials: Trials, names: Names) -> list[Figure]:
    peer_name = "MLflow's proxy"

    def compared(name: str, unit: str, case: str, field: str, bound: float | None = None) -> Figure:
        peer = trials.column("mlflow", case, field)
        return Figure(name, unit, trials.column("registrar", case, field), peer, peer_name, bound)

    def alone(name: str, unit: str, server: str, case: str, field: str, bound: float | None = None) -> Figure:
        return Figure(name, unit, trials.column(server, case, field), bound=bound)

    above = "above_mebibytes"
    return [
        compared("idle worker", "MiB", names.large, "idle_mebibytes"),
        compared(f"{names.small}: peak above idle", "MiB", names.small, above, BOUND_MEBIBYTES),
        compared(f"{names.large}: peak above idle", "MiB", names.large, above, BOUND_MEBIBYTES),
        alone(f"{names.files}: peak above idle", "MiB", "registrar", names.files, above, BOUND_MEBIBYTES),
        alone(f"{names.at_once}: above idle, of each", "MiB", "registrar", names.at_once, above, BOUND_MEBIBYTES),
        alone(f"{names.small}, embedded store: above idle", "MiB", "embedded", names.small, above, BOUND_MEBIBYTES),
        compared(f"{names.large}: peak of all processes", "MiB", names.large, "tree_mebibytes"),
        alone(f"{names.small}, embedded store: all processes", "MiB", "embedded", names.small, "tree_mebibytes"),
        compared(f"{names.large}: throughput", "MB/s", names.large, "megabytes_per_second"),
        compared(f"{names.large}: CPU of the server", "s/GiB", names.large, "cpu_seconds_per_gibibyte"),
    ]


def _size(mebibytes: int) -> str:
    return f"{mebibytes // 1024} GiB" if mebibytes % 1024 == 0 else f"{mebibytes} MiB"
