"""How many calls a second: ours by a cache and without, MLflow's REST server on the same rows, and an empty call of ours.

All servers stand at the same time, each is called in its turn, and a trial has every call once: a ratio is of one trial.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.h2load import Load, Target, grpc_target, measure
from benchmarks.process_tree import Memory, memory, wait_until_idle
from benchmarks.reads.backends import open_backend
from benchmarks.reads.calls import HEALTH, MODELS, VERSIONS, Caller, get_version, refs_of, searches
from benchmarks.reads.catalogue import VERSIONS_EACH
from benchmarks.reads.filling import fill
from benchmarks.reads.mlflow_calls import mlflow_targets
from benchmarks.reads.mlflow_rows import fill_mlflow
from benchmarks.reads.plan import Plan
from benchmarks.report import Sample
from benchmarks.servers import Server, mlflow_server, registrar_server, sink_environment, sink_server
from registrar.v1.model_service_pb2 import GetModelRequest, ListModelsRequest

STREAMS = (1, 16, 64)
FEW_STREAMS = (1, 16)
"""Of lists and searches."""
_CONNECTIONS = 8
"""Of the load generator: workers that share a port share connections."""
_PROBE_CALLS, _SLOW_PROBE_CALLS = 64, 4
"""To see how many calls fill the time: of ours, and of a peer that may need a second for one."""
_MODEL = 7
"""Which model's versions are asked for."""
OURS, TWO, MLFLOW, MLFLOW_TWO, AS_IT_COMES = (
    "ours",
    "ours, 2 workers",
    "mlflow",
    "mlflow, 2 workers",
    "mlflow as it comes",
)


@dataclass(frozen=True)
class Key:
    """What was called, where, and how many calls were under way at once."""

    backend: str
    server: str
    call: str
    streams: int


@dataclass
class Loads:
    """Trials by call, and the memory of each server's workers when all was over."""

    by_key: dict[Key, list[Load]] = field(default_factory=lambda: defaultdict(list))
    memories: dict[str, list[Memory]] = field(default_factory=dict)

    def rates(self, key: Key) -> Sample:
        """Calls a second of each trial."""
        return Sample(tuple(load.calls_per_second for load in self.by_key[key]))

    def ratio(self, ours: Key, peer: Key) -> Sample:
        """Of calls a second, trial by trial; empty where neither was called yet."""
        pairs = zip(self.by_key.get(ours, ()), self.by_key.get(peer, ()), strict=True)
        return Sample(tuple(one.calls_per_second / other.calls_per_second for one, other in pairs))


def measure_load(plan: Plan, directory: Path, loads: Loads, save: Callable[[], None]) -> None:
    """Every call, on every backend; `save` is called after each trial."""
    for backend in plan.backends:
        with ExitStack() as stack:
            _Backend(plan, backend, directory / f"load-{backend}", loads, save).measure(stack)


class _Backend:
    """The servers on one database each, ours and MLflow's."""

    def __init__(self, plan: Plan, backend: str, directory: Path, loads: Loads, save: Callable[[], None]) -> None:
        self._plan = plan
        self._backend = backend
        self._directory = directory
        self._loads = loads
        self._save = save
        self._models = max(plan.model_counts)

    def measure(self, stack: ExitStack) -> None:
        """Start all, call all."""
        new_database = stack.enter_context(open_backend(self._backend, self._directory))
        ours, theirs = new_database("registrar"), new_database("mlflow")
        fill(ours, model_count=self._models, versions=VERSIONS_EACH)
        fill_mlflow(theirs, model_count=self._models, versions=VERSIONS_EACH)
        print(f"  {self._backend}: {self._models * VERSIONS_EACH:,} versions filled, twice", flush=True)
        sink = stack.enter_context(sink_server(self._directory / "sink"))
        settings = {**sink_environment(sink), "REGISTRAR_DATABASE_URL": ours}
        # As two of them are by themselves: on two cores, the one would be moved between them.
        settings["REGISTRAR_PIN_WORKERS"] = "true"
        one, two = (
            stack.enter_context(registrar_server(self._directory / f"server-{count}", settings, workers=count))
            for count in (1, 2)
        )
        peer, peer_two = (
            stack.enter_context(mlflow_server(self._directory / f"mlflow-{count}", backend_url=theirs, workers=count))
            for count in (1, 2)
        )
        targets = {OURS: self._our_targets(one), MLFLOW: self._their_targets(peer)}
        pairs = {
            TWO: self._few(self._our_targets(two, is_whole=False)),
            MLFLOW_TWO: self._few(self._their_targets(peer_two)),
        }
        wait_until_idle([one.pid, two.pid, peer.pid, peer_two.pid])
        for number in range(self._plan.trials):
            self._call(targets)
            self._call(pairs, streams=(16,))
            self._save()
            print(f"  {self._backend}: trial {number + 1} of {self._plan.trials}", flush=True)
        for server, running in ((OURS, one), (TWO, two)):
            self._loads.memories[f"{self._backend}, {server}"] = [memory(pid) for pid in running.workers()]
        self._measure_as_it_comes(stack, theirs, targets[OURS])

    def _measure_as_it_comes(self, stack: ExitStack, url: str, ours: Mapping[str, Target]) -> None:
        """Last, since its job runner is there and uses the machine whatever else is measured."""
        settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "true"}
        directory = self._directory / "mlflow-as-it-comes"
        server = stack.enter_context(mlflow_server(directory, backend_url=url, environment=settings))
        theirs = self._few(self._their_targets(server))
        for _ in range(self._plan.trials):
            self._call({f"{OURS} beside it": self._few(ours), AS_IT_COMES: theirs}, streams=(16,))

    def _our_targets(self, server: Server, *, is_whole: bool = True) -> dict[str, Target]:
        """By name: what is resolved, and, if they are asked for, lists and searches."""
        caller, pid = Caller(server.address), server.worker()

        def target(name: str, method: str, request: bytes) -> Target:
            return grpc_target(name, server.address, method, request, caller.call(method, request), pid)

        try:
            found = {"empty": target("empty", HEALTH, b"")}
            refs = refs_of(_MODEL, VERSIONS_EACH)
            for kind in ("number", "stage", "alias", "range"):
                for name, is_cached in ((kind, True), (f"{kind}, uncached", False)):
                    request = get_version(refs[kind], is_cached=is_cached)
                    found[name] = target(name, f"{VERSIONS}/GetModelVersion", request)
            if is_whole:
                get_model = GetModelRequest(model=refs["number"].model).SerializeToString()
                found["GetModel"] = target("GetModel", f"{MODELS}/GetModel", get_model)
                page = ListModelsRequest(page_size=100).SerializeToString()
                found["ListModels"] = target("ListModels", f"{MODELS}/ListModels", page)
                for read in searches(caller, model_count=self._models, versions=VERSIONS_EACH):
                    found[read.name] = target(read.name, read.method, read.requests[0])
        finally:
            caller.close()
        return found

    def _their_targets(self, server: Server) -> dict[str, Target]:
        return mlflow_targets(server, model=_MODEL, model_count=self._models, versions=VERSIONS_EACH)

    def _few(self, targets: Mapping[str, Target]) -> dict[str, Target]:
        return {name: targets[name] for name in ("empty", "number", "number, uncached") if name in targets}

    def _call(self, targets: Mapping[str, Mapping[str, Target]], streams: tuple[int, ...] = STREAMS) -> None:
        """Once each, and one right after the other what will be compared."""
        names = dict.fromkeys(name for calls in targets.values() for name in calls)
        for count in streams:
            for name in names:
                if name.startswith(("search", "List")) and count not in FEW_STREAMS:
                    continue
                for server, calls in targets.items():
                    if name in calls:
                        key = Key(self._backend, server, name, count)
                        self._loads.by_key[key].append(self._measure(calls[name], count))

    def _measure(self, target: Target, streams: int) -> Load:
        return measure(
            target,
            streams=streams,
            seconds=self._plan.seconds,
            probe_calls=_PROBE_CALLS if target.is_grpc else _SLOW_PROBE_CALLS,
            connections=_CONNECTIONS,
        )
