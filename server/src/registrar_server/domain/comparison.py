"""Metrics of several versions side by side, and which version they speak for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from registrar_server.domain.values import MetricGoal
from registrar_server.domain.versions import ModelVersion

MINIMIZED_WORDS = frozenset(
    [
        "loss",
        "error",
        "err",
        "rmse",
        "mse",
        "mae",
        "mape",
        "rmsle",
        "wer",
        "cer",
        "perplexity",
        "latency",
        "duration",
        "seconds",
        "ms",
        "logloss",
        "brier",
        "fpr",
        "fnr",
        "drift",
        "psi",
        "ece",
        "hamming",
        "cost",
    ]
)
"""Parts of a metric's name that mean "lower is better" when the model declares no goal."""

MINIMIZED_PHRASES = ("false_positive", "false_negative", "log_loss", "calibration_error")


@dataclass(frozen=True, slots=True)
class SliceKey:
    """Which part of the evaluation data; all empty: the whole."""

    dimension: str = ""
    value: str = ""
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One metric on one slice. `values` holds (number, value, delta to the first version or None)."""

    metric: str
    slice: SliceKey
    goal: MetricGoal
    is_goal_guessed: bool
    values: tuple[tuple[int, float, float | None], ...]
    winners: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome: the versions in the order asked, each metric, and a recommendation (number 0: none)."""

    versions: tuple[ModelVersion, ...]
    metrics: tuple[MetricComparison, ...]
    recommended: int
    recommendation: str


def guess_goal(metric: str) -> MetricGoal:
    """The direction that a metric's name suggests."""
    lowered = metric.lower()
    words = lowered.replace("-", "_").replace("/", "_").replace(".", "_").split("_")
    if MINIMIZED_WORDS.intersection(words) or any(phrase in lowered for phrase in MINIMIZED_PHRASES):
        return MetricGoal.MINIMIZE
    return MetricGoal.MAXIMIZE


def compare(versions: Sequence[ModelVersion], goals: Mapping[str, MetricGoal]) -> Comparison:
    """Compare versions of one model; the first is what the others are measured against."""
    rows = [_compare_metric(key, metric, versions, goals) for key, metric in _metric_keys(versions)]
    recommended, text = _recommend(versions, [row for row in rows if row.slice == SliceKey()], rows)
    return Comparison(tuple(versions), tuple(rows), recommended, text)


def _metric_tables(version: ModelVersion) -> Iterable[tuple[SliceKey, Mapping[str, float]]]:
    yield SliceKey(), version.facts.metrics
    for part in version.facts.metric_slices:
        yield SliceKey(part.dimension, part.value, part.dataset), part.metrics


def _metric_keys(versions: Sequence[ModelVersion]) -> list[tuple[SliceKey, str]]:
    keys = {(key, metric) for version in versions for key, table in _metric_tables(version) for metric in table}
    return sorted(keys, key=lambda k: (k[0].dimension, k[0].value, k[0].dataset, k[1]))


def _compare_metric(
    key: SliceKey, metric: str, versions: Sequence[ModelVersion], goals: Mapping[str, MetricGoal]
) -> MetricComparison:
    declared = goals.get(metric)
    goal = declared or guess_goal(metric)
    found = [(v.number, dict(_metric_tables(v)).get(key, {}).get(metric)) for v in versions]
    present = [(number, value) for number, value in found if value is not None]
    best = (max if goal is MetricGoal.MAXIMIZE else min)(value for _, value in present)
    baseline = found[0][1]
    return MetricComparison(
        metric=metric,
        slice=key,
        goal=goal,
        is_goal_guessed=declared is None,
        values=tuple((n, value, None if baseline is None else value - baseline) for n, value in present),
        winners=tuple(number for number, value in present if value == best),
    )


def _recommend(
    versions: Sequence[ModelVersion], overall: Sequence[MetricComparison], rows: Sequence[MetricComparison]
) -> tuple[int, str]:
    """Recommend the version that is best in the metrics that all versions have.

    The words count what the numbers show: a version that wins every metric "shows improvement across all metrics"
    (the first one, being the measure, "remains best across all metrics").
    """
    shared = [row for row in overall if len(row.values) == len(versions)]
    if not shared:
        return 0, "No metric is shared by all versions, so none can be recommended"
    decided = [row for row in shared if len(row.winners) < len(versions)]
    if not decided:
        return 0, "All versions have equal metrics"
    wins = {v.number: sum(v.number in row.winners for row in decided) for v in versions}
    first = versions[0].number
    best = max(wins.values())
    leaders = [number for number, count in wins.items() if count == best]
    if len(leaders) > 1:
        listed = ", ".join(str(number) for number in leaders)
        return 0, f"No version stands out: versions {listed} are each best in {best} of {len(decided)} metrics"
    leader = leaders[0]
    if best == len(shared):
        verb = "remains best" if leader == first else "shows improvement"
        scope = "all metrics" if len(shared) == len(overall) else "all metrics that the versions share"
        text = f"Version {leader} {verb} across {scope}"
    else:
        text = f"Version {leader} is best in {best} of {len(shared)} metrics" + _trade_off(leader, decided)
    return leader, text + _worse_slices(leader, first, rows)


def _trade_off(leader: int, decided: Sequence[MetricComparison]) -> str:
    lost = [row.metric for row in decided if leader not in row.winners]
    return f"; others lead in {', '.join(lost)}" if lost else ""


def _worse_slices(leader: int, first: int, rows: Sequence[MetricComparison]) -> str:
    """Name the slices on which the leader is worse than the first version: an average can hide them."""
    if leader == first:
        return ""
    worse: list[str] = []
    for row in rows:
        if row.slice == SliceKey():
            continue
        delta = {number: d for number, _, d in row.values}.get(leader)
        if delta is not None and (delta < 0 if row.goal is MetricGoal.MAXIMIZE else delta > 0):
            worse.append(f"{row.metric} on {row.slice.dimension}={row.slice.value}")
    return f"; worse: {', '.join(worse)}" if worse else ""
