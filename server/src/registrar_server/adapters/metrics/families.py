"""Every metric there is: its name, what it means, its labels. docs/operations.md lists the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

# fmt: off
CALL_BOUNDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)
# fmt: on
"""Seconds, for calls of one answer: from a cached read to a registration that waits for MLflow."""
STREAM_BOUNDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds, for streams: from a small file to hours."""


class Kind(StrEnum):
    """How a family behaves, and how processes' numbers become one."""

    COUNTER = "counter"
    """Added up; what ended processes counted stays."""
    GAUGE = "gauge"
    """Added up over the processes that run."""
    HIGHEST = "highest"
    """A gauge of which the highest of the processes that run is shown."""
    HISTOGRAM = "histogram"
    """Added up like a counter."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric. `name` is as Prometheus shows it, but for the `_total` of counters."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


def _family(name: str, kind: Kind, meaning: str, *labels: str, bounds: tuple[float, ...] = ()) -> tuple[str, Family]:
    return name, Family(f"registrar_{name}", kind, meaning, labels, bounds)


FAMILIES: Mapping[str, Family] = dict(
    (
        _family("rpcs", Kind.COUNTER, "Finished calls, by status code", "method", "code"),
        _family(
            "rpc_duration_seconds",
            Kind.HISTOGRAM,
            "How long calls of one request and one answer took",
            "method",
            bounds=CALL_BOUNDS,
        ),
        _family("stream_duration_seconds", Kind.HISTOGRAM, "How long streams took", "method", bounds=STREAM_BOUNDS),
        _family("rpcs_in_progress", Kind.GAUGE, "Calls under way"),
        _family("rpc_threads", Kind.GAUGE, "Threads for calls: so many can be under way at once"),
        _family("refusals", Kind.COUNTER, "Calls refused, by the reason that the caller is told", "method", "reason"),
        _family("field_violations", Kind.COUNTER, "Wrong fields in requests refused with INVALID_FIELD", "method"),
        _family("received_bytes", Kind.COUNTER, "Bytes of files taken in, while they come", "method"),
        _family("sent_bytes", Kind.COUNTER, "Bytes of files given out, while they go", "method"),
        _family("slots", Kind.GAUGE, "Slots for transfers and for calls that wait", "kind"),
        _family("slots_in_use", Kind.GAUGE, "Slots that are taken", "kind"),
        _family("slot_refusals", Kind.COUNTER, "Calls refused because all slots were taken", "kind"),
        _family("cache_hits", Kind.COUNTER, "Reads answered from the cache"),
        _family("cache_misses", Kind.COUNTER, "Reads that the cache could not answer"),
        _family(
            "cache_overtaken_fills", Kind.COUNTER, "Answers not kept because a change overtook them while they were read"
        ),
        _family("cache_entries", Kind.GAUGE, "Answers in the cache"),
        _family("event_lag", Kind.HIGHEST, "Events that the worker furthest behind has not applied to its cache"),
        _family(
            "event_lag_seconds", Kind.HIGHEST, "Seconds since the worker furthest behind last knew of all events"
        ),
        _family("event_sequence", Kind.HIGHEST, "Sequence of the newest event: how many changes there were"),
        _family("mirror_lag", Kind.GAUGE, "Events that are not all in MLflow yet"),
        _family("mirror_lag_seconds", Kind.GAUGE, "Age of the oldest event that is not in MLflow yet; 0: none"),
        _family("mirror_pending_models", Kind.GAUGE, "Models that MLflow has to catch up with"),
        _family("background_work", Kind.COUNTER, "Rounds of a background loop that found work", "loop"),
        _family("background_failures", Kind.COUNTER, "What a background loop tried in vain, by reason", "loop", "reason"),
        _family("database_failures", Kind.COUNTER, "Transactions and reads that the database refused or lost", "kind"),
        _family("build_info", Kind.HIGHEST, "1; its labels say what runs", "version", "python", "grpc"),
    )
)  # fmt: skip
"""By the short name that code uses."""
