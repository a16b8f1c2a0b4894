"""Trials: fresh servers on a fresh store, fresh files, and every peer in its turn."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bytes.cases import Case, paths_below, read_all
from benchmarks.bytes.client_process import ClientProcess, Move, running_client
from benchmarks.bytes.measurement import Key, Measurement, Results
from benchmarks.bytes.mover import SkippedError
from benchmarks.bytes.peers import Peer, ServerKind
from benchmarks.bytes.plan import Plan
from benchmarks.bytes.profiler import Profiler
from benchmarks.bytes.stores import REGION, Store, StoreKind, open_store, why_missing
from benchmarks.bytes.tables import BytesReport
from benchmarks.bytes.usage import Counters, Usage
from benchmarks.process_tree import resident_bytes, tree
from benchmarks.servers import Server, mlflow_server, module_server, registrar_server
from benchmarks.tools import MissingToolError, require_mlflow_server

_MEBIBYTE = 1 << 20
_ALWAYS_PROXIED_AT_LEAST = 0.95


def run_plan(plan: Plan, *, directory: str | None = None) -> BytesReport:
    """Every trial of a plan, below a directory (None: the system's for temporary files).

    Errors: MissingToolError when the disk has not the room, or no store that was asked for is here.
    """
    if any(peer.server is ServerKind.MLFLOW for peer in plan.peers):
        require_mlflow_server()
    results = Results({}, {}, [])
    stores = [store for store in plan.stores if not _note_missing(store, results)]
    if not stores:
        raise MissingToolError("none of the stores is here: " + "; ".join(results.skipped.values()))
    with tempfile.TemporaryDirectory(prefix="registrar-benchmark-", dir=directory) as base:
        _require_room(Path(base), plan.needed_bytes())
        # Stores and sizes in turns within a trial too, so that an hour of a busy machine meets all of them.
        for number in range(plan.trials):
            for store in stores:
                for case in plan.cases:
                    place = Path(base) / "trial"
                    _Trial(plan, results, store, case, number, place).run()
                    shutil.rmtree(place)
                    # Hours of a run that somebody ends are not lost.
                    BytesReport.of(plan, results).write()
    return BytesReport.of(plan, results)


@dataclass
class _Standing:
    """A server that runs, and what all its processes held before the first transfer."""

    server: Server
    idle_bytes: int = 0


class _Trial:
    """One case on one store, once by every peer."""

    def __init__(self, plan: Plan, results: Results, store: StoreKind, case: Case, number: int, place: Path) -> None:
        self._plan = plan
        self._results = results
        self._store_kind = store
        self._case = case
        self._number = number
        self._place = place
        self._source = place / "files"
        self._small = place / "small"
        self._servers: dict[ServerKind, _Standing] = {}

    def run(self) -> None:
        print(
            f"  trial {self._number + 1} of {self._plan.trials}, {self._store_kind.title}, {self._case.name}",
            flush=True,
        )
        peers = self._plan.peers_on(self._store_kind)
        self._small.mkdir(parents=True)
        (self._small / "small.bin").write_bytes(os.urandom(1024))
        with ExitStack() as stack:
            store = stack.enter_context(open_store(self._store_kind.name, self._place / "store"))
            for kind in dict.fromkeys(peer.server for peer in peers):
                self._start(stack, store, kind)
            self._case.make(self._source)
            read_all(self._source)
            for peer in peers:
                if peer.server is ServerKind.NONE or peer.server in self._servers:
                    self._run_peer(store, peer)

    def _start(self, stack: ExitStack, store: Store, kind: ServerKind) -> None:
        bucket = f"benchmark-{kind.value}"
        store.make_bucket(bucket)
        if kind is ServerKind.NONE:
            return
        try:
            opened = _server(kind, self._place / kind.value, store.environment(bucket))
            self._servers[kind] = _Standing(stack.enter_context(opened))
        except RuntimeError as exc:
            self._fail(kind.value, exc)

    def _run_peer(self, store: Store, peer: Peer) -> None:
        place = self._place / f"peer-{peer.letter}"
        job = {
            "peer": peer.letter,
            "warm_up": str(self._small),
            "warm_up_destination": str(place / "warm") if self._store_kind.keeps_bytes else "",
            **self._target(store, peer),
        }
        try:
            with running_client(job, place) as client:
                self._move_both_ways(store, peer, client, place / "came")
        except SkippedError as exc:
            self._results.skipped[self._store_kind.name, peer.letter] = str(exc)
            print(f"    {peer.name}: skipped: {exc}", flush=True)
        except (RuntimeError, OSError) as exc:
            # The others are measured all the same: a run takes an hour.
            self._fail(peer.name, exc)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _fail(self, what: str, error: Exception) -> None:
        short = str(error).strip().rpartition("\n")[2]
        self._results.failed.append(f"{self._store_kind.title}, {self._case.name}, {what}: {short}")
        print(f"    {what}: failed: {error}", flush=True)

    def _target(self, store: Store, peer: Peer) -> dict[str, object]:
        if peer.server is not ServerKind.NONE:
            return {"address": self._servers[peer.server].server.address}
        return {
            "store": {
                "endpoint": store.endpoint,
                "access_key": store.access_key,
                "secret_key": store.secret_key,
                "region": REGION,
                "bucket": f"benchmark-{peer.server.value}",
            }
        }

    def _move_both_ways(self, store: Store, peer: Peer, client: ClientProcess, came: Path) -> None:
        standing = self._servers.get(peer.server)
        if standing is not None and not standing.idle_bytes:
            standing.idle_bytes = resident_bytes(tree(standing.server.pid))
        self._move(store, peer, client, "up", self._source)
        if self._store_kind.keeps_bytes:
            self._move(store, peer, client, "down", came)
            if peer.server is not ServerKind.STREAM:
                _require_same(self._source, came)

    def _move(self, store: Store, peer: Peer, client: ClientProcess, direction: str, folder: Path) -> None:
        """Measure one transfer and keep what was found."""
        # What the one before left to be written to the disk is not this one's.
        os.sync()
        standing = self._servers.get(peer.server)
        root = None if standing is None else standing.server.pid
        before = Counters.begin(root, store.pid, client.pid)
        with self._profiler(peer, direction, client) as profiler:
            move = client.move(direction, folder)
        used = before.until_now()
        gibibytes = self._case.gibibytes
        found = Measurement(
            megabytes_per_second=self._case.size_bytes / 1e6 / move.seconds,
            seconds=move.seconds,
            client_cpu=move.cpu_seconds / gibibytes,
            server_cpu=used.server_cpu_seconds / gibibytes,
            store_cpu=used.store_cpu_seconds / gibibytes,
            client_mebibytes=used.client_peak_bytes / _MEBIBYTE,
            server_mebibytes=0.0 if standing is None else (used.server_peak_bytes - standing.idle_bytes) / _MEBIBYTE,
            passed_share=used.server_written_bytes / self._case.size_bytes,
            others_cores=_others_cores(used, move),
        )
        if peer.letter == "d" and found.passed_share < _ALWAYS_PROXIED_AT_LEAST:
            raise RuntimeError(f"only {found.passed_share:.0%} of the bytes passed MLflow's processes")
        key = Key(self._store_kind.name, self._case, peer.letter, direction)
        self._results.add(key, self._number, found)
        print(f"    {peer.name}, {direction}: {found.megabytes_per_second:.0f} MB/s", flush=True)
        for line in profiler.summary():
            print(f"      {line}", flush=True)

    def _profiler(self, peer: Peer, direction: str, client: ClientProcess) -> Profiler:
        """Of the client and of the server's processes; of none when another peer is to be profiled."""
        if peer.letter != self._plan.profiled:
            return Profiler({}, "")
        processes = {"client": [client.pid]}
        if (standing := self._servers.get(peer.server)) is not None:
            processes["server"] = tree(standing.server.pid)
        return Profiler(processes, f"{self._store_kind.name}-{self._case.kind}-{peer.letter}-{direction}")


def _server(kind: ServerKind, place: Path, environment: dict[str, str]) -> AbstractContextManager[Server]:
    match kind:
        case ServerKind.REGISTRAR | ServerKind.REGISTRAR_DIRECT:
            return registrar_server(place, environment)
        case ServerKind.MLFLOW:
            return mlflow_server(place, artifacts=environment["MLFLOW_ARTIFACT_ROOT"], environment=environment)
        case ServerKind.STREAM:
            return module_server("benchmarks.bytes.bare_stream", place)
        case ServerKind.NONE:
            raise ValueError("no server")


def _others_cores(used: Usage, move: Move) -> float:
    ours = used.server_cpu_seconds + used.store_cpu_seconds + move.cpu_seconds
    return max(0.0, used.machine_cpu_seconds - ours) / move.seconds


def _require_same(source: Path, came: Path) -> None:
    """Every byte came back, whoever brought it: a fast peer that loses some is not fast."""
    names = [path.relative_to(source) for path in paths_below(source)]
    if names != [path.relative_to(came) for path in paths_below(came)]:
        raise RuntimeError("other files came back")
    if wrong := [name for name in names if not filecmp.cmp(source / name, came / name, shallow=False)]:
        raise RuntimeError(f"other bytes came back: {', '.join(map(str, wrong[:3]))}")


def _require_room(base: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(base).free
    print(f"  {base}: {free / 2**30:.0f} GiB free, up to {needed_bytes / 2**30:.0f} GiB needed", flush=True)
    if free < needed_bytes:
        raise MissingToolError("the disk has not the room; --directory names another, --small needs less")


def _note_missing(store: StoreKind, results: Results) -> bool:
    why = why_missing(store.name)
    if why:
        results.skipped[store.name, ""] = why
        print(f"  {store.title}: skipped: {why}", flush=True)
    return bool(why)
