"""Metrics side by side, and the version that they speak for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar_server.domain.comparison import SliceKey, compare, guess_goal
from registrar_server.domain.values import MetricGoal, Stage
from registrar_server.domain.versions import MetricSlice, ModelVersion
from tests.unit.made import made_version

MAXIMIZE, MINIMIZE = MetricGoal.MAXIMIZE, MetricGoal.MINIMIZE


def test_the_reference_example_recommends_version_3_in_its_own_words() -> None:
    comparison = compare(
        [
            made_version(2, {"f1_score": 0.895, "auc_roc": 0.96}, stage=Stage.PRODUCTION),
            made_version(3, {"f1_score": 0.912, "auc_roc": 0.97}, stage=Stage.STAGING),
        ],
        {},
    )
    assert comparison.recommendation == "Version 3 shows improvement across all metrics"
    assert comparison.recommended == 3
    assert [version.number for version in comparison.versions] == [2, 3]
    assert [row.metric for row in comparison.metrics] == ["auc_roc", "f1_score"]
    assert [row.winners for row in comparison.metrics] == [(3,), (3,)]


def test_the_first_version_remains_best_instead_of_improving() -> None:
    comparison = compare([made_version(3, {"f1": 0.9}), made_version(2, {"f1": 0.8})], {})
    assert comparison.recommendation == "Version 3 remains best across all metrics"


def test_a_delta_is_the_difference_to_the_first_version() -> None:
    (row,) = compare([made_version(1, {"f1": 0.5}), made_version(2, {"f1": 0.75})], {}).metrics
    assert row.values == ((1, 0.5, 0.0), (2, 0.75, 0.25))


def test_without_a_value_of_the_first_version_there_is_no_delta() -> None:
    (row,) = compare([made_version(1, {}), made_version(2, {"f1": 0.75})], {}).metrics
    assert row.values == ((2, 0.75, None),)


@pytest.mark.parametrize(
    "metric",
    [
        "loss",
        "val_loss",
        "RMSE",
        "test/mae",
        "log_loss",
        "latency_p99_ms",
        "false_positive_rate",
        "expected-calibration_error",
        "word.error.rate",
    ],
)
def test_metrics_that_sound_like_losses_are_minimized(metric: str) -> None:
    assert guess_goal(metric) is MINIMIZE


@pytest.mark.parametrize("metric", ["f1_score", "auc_roc", "accuracy", "glossary_hits", "terror_recall", "merry"])
def test_all_other_metrics_are_maximized(metric: str) -> None:
    assert guess_goal(metric) is MAXIMIZE


def test_a_guessed_goal_says_so_and_decides_the_winner() -> None:
    (row,) = compare([made_version(1, {"rmse": 2.0}), made_version(2, {"rmse": 1.0})], {}).metrics
    assert (row.goal, row.is_goal_guessed, row.winners) == (MINIMIZE, True, (2,))


def test_a_declared_goal_wins_over_the_guess() -> None:
    versions = [made_version(1, {"rmse": 2.0}), made_version(2, {"rmse": 1.0})]
    comparison = compare(versions, {"rmse": MAXIMIZE})
    (row,) = comparison.metrics
    assert (row.goal, row.is_goal_guessed, row.winners) == (MAXIMIZE, False, (1,))
    assert comparison.recommended == 1


def test_no_shared_metric_recommends_nobody() -> None:
    comparison = compare([made_version(1, {"a": 1.0}), made_version(2, {"b": 1.0})], {})
    assert comparison.recommended == 0
    assert "No metric is shared" in comparison.recommendation


def test_equal_metrics_recommend_nobody() -> None:
    comparison = compare([made_version(1, {"a": 1.0}), made_version(2, {"a": 1.0})], {})
    assert (comparison.recommended, comparison.recommendation) == (0, "All versions have equal metrics")
    assert comparison.metrics[0].winners == (1, 2)


def test_a_draw_recommends_nobody_and_names_the_leaders() -> None:
    versions = [made_version(1, {"a": 1.0, "b": 0.0}), made_version(2, {"a": 0.0, "b": 1.0})]
    comparison = compare(versions, {})
    assert comparison.recommended == 0
    assert comparison.recommendation == "No version stands out: versions 1, 2 are each best in 1 of 2 metrics"


def test_a_trade_off_is_named() -> None:
    versions = [made_version(1, {"a": 0.0, "b": 0.0, "c": 1.0}), made_version(2, {"a": 1.0, "b": 1.0, "c": 0.0})]
    comparison = compare(versions, {})
    assert comparison.recommendation == "Version 2 is best in 2 of 3 metrics; others lead in c"


def test_a_metric_that_not_all_have_does_not_count() -> None:
    versions = [made_version(1, {"a": 0.0, "only": 9.0}), made_version(2, {"a": 1.0})]
    expected = "Version 2 shows improvement across all metrics that the versions share"
    assert compare(versions, {}).recommendation == expected


def test_a_slice_that_became_worse_is_named_though_the_whole_became_better() -> None:
    def sliced(number: int, whole: float, part: float) -> ModelVersion:
        return made_version(number, {"f1": whole}, (MetricSlice("region", "eu", "holdout", {"f1": part}),))

    comparison = compare([sliced(1, 0.8, 0.7), sliced(2, 0.9, 0.6)], {})
    assert comparison.recommended == 2
    assert comparison.recommendation.endswith("; worse: f1 on region=eu")
    assert [row.slice for row in comparison.metrics] == [SliceKey(), SliceKey("region", "eu", "holdout")]


METRICS = st.dictionaries(st.sampled_from(["f1", "auc", "rmse", "loss"]), st.floats(-1e6, 1e6), max_size=4)


@given(st.lists(METRICS, min_size=2, max_size=5))
def test_who_is_recommended_wins_more_shared_metrics_than_any_other(tables: list[dict[str, float]]) -> None:
    versions = [made_version(number, metrics) for number, metrics in enumerate(tables, 1)]
    comparison = compare(versions, {})
    shared = [row for row in comparison.metrics if len(row.values) == len(versions)]
    wins = {v.number: sum(v.number in r.winners for r in shared if len(r.winners) < len(versions)) for v in versions}
    if comparison.recommended:
        best = wins.pop(comparison.recommended)
        assert all(best > count for count in wins.values())
    is_across_all = all(row.winners and len(row.winners) < len(versions) for row in shared)
    if "across all metrics" in comparison.recommendation:
        assert is_across_all
        assert all(comparison.recommended in row.winners for row in shared)
