"""Count calls: how many, how they ended, how long they took, the bytes of files that they moved."""

from __future__ import annotations

import threading

from registrar.v1 import artifact_service_pb2
from registrar_server.application.ports.metrics import Counter, Histogram, Metrics
from registrar_server.transport.calls import Call

_OURS = "/registrar.v1."
_STREAMS = frozenset(
    method.name
    for method in artifact_service_pb2.DESCRIPTOR.services_by_name["ArtifactService"].methods
    if method.client_streaming or method.server_streaming
)


class CallMetrics:
    """Told of every call, once when it begins and once when it ends. Health, reflection and channelz do not count.

    Methods are labelled by their short name, which is unique in the contract; only methods that exist come here.
    """

    def __init__(self, metrics: Metrics, *, threads: int) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._open: dict[int, Call] = {}
        self._counts: dict[tuple[str, str], Counter] = {}
        self._durations: dict[str, Histogram] = {}
        self._in_progress = metrics.gauge("rpcs_in_progress")
        metrics.gauge("rpc_threads").set(threads)

    def begin(self, call: Call) -> None:
        """A call comes in."""
        self._open[id(call)] = call

    def finish(self, call: Call, code: str, seconds: float) -> None:
        """It has ended, with the status code of that name."""
        self._open.pop(id(call), None)
        method = call.method
        if not method.startswith(_OURS):
            return
        count = self._counts.get((method, code))
        if count is None:
            count = self._counts[method, code] = self._metrics.counter("rpcs", _short(method), code)
        count.add()
        duration = self._durations.get(method)
        if duration is None:
            family = "stream_duration_seconds" if _short(method) in _STREAMS else "rpc_duration_seconds"
            duration = self._durations[method] = self._metrics.histogram(family, _short(method))
        duration.observe(seconds)
        if call.bytes_in or call.bytes_out:
            self._count_bytes(call)
        if call.refusal:
            self._metrics.counter("refusals", _short(method), call.refusal).add()
        if call.violations:
            self._metrics.counter("field_violations", _short(method)).add(call.violations)

    def sample(self) -> None:
        """Count what streams have moved so far: one of an hour must not look like an hour's bytes in its last second."""
        calls = list(self._open.values())
        self._in_progress.set(len(calls))
        for call in calls:
            if call.bytes_in or call.bytes_out:
                self._count_bytes(call)

    def _count_bytes(self, call: Call) -> None:
        method = _short(call.method)
        with self._lock:
            received, sent = call.bytes_in - call.counted_in, call.bytes_out - call.counted_out
            call.counted_in += received
            call.counted_out += sent
        if received:
            self._metrics.counter("received_bytes", method).add(received)
        if sent:
            self._metrics.counter("sent_bytes", method).add(sent)


def _short(method: str) -> str:
    return method.rpartition("/")[2]
