"""Gates: what of a policy's rules a version does not meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar_server.domain.access import NamePattern
from registrar_server.domain.cards import CardSection, CardState
from registrar_server.domain.gates import FAILURES_NAMED, Evidence, failed_gates_of
from registrar_server.domain.policies import (
    ApprovalRule,
    ApproverRequirement,
    CardRule,
    CheckRule,
    FailedGate,
    MetricGate,
    MoveTarget,
    Policy,
    PolicyRules,
    PolicyScope,
    ProvenanceField,
    SignatureRule,
    SliceScope,
    SliceSelector,
)
from registrar_server.domain.policy_documents import read_document, write_document
from registrar_server.domain.reviews import CheckOutcome, CheckResult
from registrar_server.domain.values import MetricGoal, ModelKey, RiskLevel, Stage, VersionState
from registrar_server.domain.versions import (
    ArtifactLink,
    Dataset,
    Facts,
    MetricSlice,
    ModelVersion,
    Notes,
    Provenance,
    Signature,
    TensorSpec,
)

NOON = datetime(2025, 3, 15, 12, 0, tzinfo=UTC)


def version(number: int = 2, stage: Stage = Stage.STAGING, **facts: Any) -> ModelVersion:
    return ModelVersion(
        uid=f"{number:032x}",
        model=ModelKey("default", "m"),
        model_uid="0" * 32,
        number=number,
        state=VersionState.READY,
        stage=stage,
        stage_time=NOON,
        facts=Facts(**facts),
        notes=Notes(),
        artifact=ArtifactLink("s3://bucket/m", "1" * 32, f"sha256:{'a' * 64}"),
        run_id="",
        revision=1,
        created_by="alice",
        create_time=NOON,
        update_time=NOON,
    )


def policy_of(rules: PolicyRules, scope: PolicyScope | None = None) -> Policy:
    scope = scope or PolicyScope(target_stages=(Stage.PRODUCTION,))
    return Policy("default", "gate", 3, "", scope, rules, write_document(scope, rules), "root", NOON, NOON)


def failed(rules: PolicyRules, subject: ModelVersion | None = None, **evidence: Any) -> list[FailedGate]:
    return list(failed_gates_of(policy_of(rules), Evidence(subject or version(), NOON, **evidence)))


def said(rules: PolicyRules, subject: ModelVersion | None = None, **evidence: Any) -> list[tuple[str, str, str]]:
    return [(one.type.value, one.subject, one.description) for one in failed(rules, subject, **evidence)]


def measured(*gates: MetricGate) -> PolicyRules:
    return PolicyRules(metric_gates=gates)


def by_region(name: str = "f1", dataset: str = "", **values: float) -> tuple[MetricSlice, ...]:
    return tuple(MetricSlice("region", region, dataset, {name: value}) for region, value in values.items())


def test_a_policy_without_rules_fails_nothing() -> None:
    assert said(PolicyRules()) == []


def test_a_metric_below_its_minimum_or_above_its_maximum_fails_with_both_values() -> None:
    rules = measured(MetricGate("f1", min=0.9), MetricGate("p99_ms", max=20))
    assert said(rules, version(metrics={"f1": 0.81, "p99_ms": 20.5})) == [
        ("METRIC", "metrics/f1", "f1 is 0.81; at least 0.9 is demanded"),
        ("METRIC", "metrics/p99_ms", "p99_ms is 20.5; at most 20 is demanded"),
    ]
    assert said(rules, version(metrics={"f1": 0.9, "p99_ms": 20.0})) == []


def test_a_metric_that_was_not_measured_fails() -> None:
    assert said(measured(MetricGate("f1")), version(metrics={"auc": 1.0})) == [
        ("METRIC", "metrics/f1", "f1 was not measured")
    ]


@pytest.mark.parametrize(
    ("metric", "held", "value", "is_failed"),
    [
        ("f1", 0.9, 0.89, False),
        ("f1", 0.9, 0.8899, True),
        ("f1", 0.9, 0.95, False),
        ("log_loss", 0.3, 0.31, False),
        ("log_loss", 0.3, 0.3101, True),
        ("log_loss", 0.3, 0.1, False),
    ],
)
def test_a_regression_beyond_what_is_allowed_fails(metric: str, held: float, value: float, is_failed: bool) -> None:
    found = said(
        measured(MetricGate(metric, max_regression=0.01)),
        version(metrics={metric: value}),
        holder=version(1, metrics={metric: held}),
    )
    wanted = f"{metric} is {value}, 1 has {held}; at most 0.01 worse is allowed"
    assert found == ([("REGRESSION", f"metrics/{metric}", wanted)] if is_failed else [])


def test_the_models_goal_says_what_is_worse() -> None:
    rules = measured(MetricGate("f1", max_regression=0.0))
    goals: Mapping[str, MetricGoal] = {"f1": MetricGoal.MINIMIZE}
    better, worse = version(metrics={"f1": 0.1}), version(metrics={"f1": 0.3})
    holder = version(1, metrics={"f1": 0.2})
    assert said(rules, better, holder=holder, goals=goals) == []
    assert len(said(rules, worse, holder=holder, goals=goals)) == 1


def test_a_relative_regression_is_a_share_of_what_the_holder_has() -> None:
    rules = measured(MetricGate("rmse", max_relative_regression=0.1))
    holder = version(1, metrics={"rmse": 0.2})
    assert said(rules, version(metrics={"rmse": 0.22}), holder=holder) == []
    assert said(rules, version(metrics={"rmse": 0.2201}), holder=holder)[0][:2] == ("REGRESSION", "metrics/rmse")
    zero = version(1, metrics={"rmse": 0.0})
    assert said(rules, version(metrics={"rmse": 1e-9}), holder=zero)


def test_without_a_holder_or_its_metric_there_is_no_regression() -> None:
    rules = measured(MetricGate("f1", max_regression=0.0))
    assert said(rules, version(metrics={"f1": 0.1})) == []
    assert said(rules, version(metrics={"f1": 0.1}), holder=version(1)) == []


def test_a_gate_on_every_slice_looks_at_the_whole_and_at_each() -> None:
    rules = measured(MetricGate("f1", min=0.8, max_regression=0.1, slices=SliceScope.EVERY))
    holder = version(1, metrics={"f1": 0.85}, metric_slices=by_region(EU=0.95))
    subject = version(metrics={"f1": 0.9}, metric_slices=by_region(EU=0.84, US=0.7, AS=0.8))
    assert [one[:2] for one in said(rules, subject, holder=holder)] == [
        ("REGRESSION", "metrics/f1/region=EU"),
        ("SLICE", "metrics/f1/region=US"),
    ]
    assert said(rules, version(metrics={"f1": 0.9})) == [("SLICE", "metrics/f1", "f1 was measured on no slice")]


def test_named_slices_must_have_been_measured_and_others_do_not_count() -> None:
    named = (SliceSelector("region", "EU"), SliceSelector("region", "US", "holdout"), SliceSelector("age"))
    rules = measured(MetricGate("f1", min=0.8, slices=SliceScope.NAMED, named_slices=named))
    subject = version(metric_slices=by_region(EU=0.7, AS=0.1))
    assert said(rules, subject) == [
        ("SLICE", "metrics/f1/region=US@holdout", "f1 on region=US@holdout was not measured"),
        ("SLICE", "metrics/f1/age", "f1 on age was not measured"),
        ("SLICE", "metrics/f1/region=EU", "f1 on region=EU is 0.7; at least 0.8 is demanded"),
    ]


def test_a_gap_between_slices_of_one_dimension_and_data_set_fails() -> None:
    rules = measured(MetricGate("f1", max_slice_gap=0.1))
    slices = (*by_region(EU=0.9, US=0.79, AS=0.85), *by_region(dataset="old", EU=0.2, US=0.3))
    assert said(rules, version(metrics={"f1": 0.5}, metric_slices=slices)) == [
        (
            "SLICE_GAP",
            "metrics/f1/region",
            "f1 is 0.9 on region=EU and 0.79 on region=US; at most 0.1 apart is allowed",
        )
    ]
    assert said(rules, version(metrics={"f1": 0.5})) == [
        ("SLICE_GAP", "metrics/f1", "f1 was measured on no slice"),
    ]


def test_of_many_slices_that_fail_some_are_named_and_the_others_counted() -> None:
    slices = tuple(MetricSlice("store", str(n), "", {"f1": 0.1}) for n in range(FAILURES_NAMED + 5))
    rules = measured(MetricGate("f1", min=0.5, slices=SliceScope.EVERY))
    found = said(rules, version(metrics={"f1": 0.9}, metric_slices=slices))
    assert len(found) == FAILURES_NAMED + 1
    assert found[-1] == ("SLICE", "metrics/f1", "f1 fails 5 times more, on other slices")


def test_of_many_gaps_some_are_named_and_the_others_counted() -> None:
    dimensions = [f"d{number}" for number in range(FAILURES_NAMED + 5)]
    slices = tuple(MetricSlice(one, value, "", {"f1": float(value)}) for one in dimensions for value in "01")
    found = said(measured(MetricGate("f1", max_slice_gap=0.1)), version(metrics={"f1": 0.9}, metric_slices=slices))
    assert len(found) == FAILURES_NAMED + 1
    assert found[-1] == ("SLICE_GAP", "metrics/f1", "f1 fails 5 times more, on other slices")


def test_as_many_gates_on_as_many_slices_as_may_be_are_judged_against_a_holder_in_time() -> None:
    slices = tuple(MetricSlice("store", str(number), "", {"f1": 0.5}) for number in range(1_000))
    gates = [MetricGate("f1", slices=SliceScope.EVERY, max_regression=0.1) for _ in range(100)]
    holder = version(1, metrics={"f1": 0.5}, metric_slices=slices)
    assert said(measured(*gates), version(metrics={"f1": 0.45}, metric_slices=slices), holder=holder) == []


@pytest.mark.parametrize(
    ("pattern", "is_found"),
    [
        ("MLmodel", True),
        ("*.safetensors", True),
        ("data/*.bin", True),
        ("*", True),
        ("?Lmodel", True),
        ("mlmodel", False),
        ("model", False),
        ("[M]Lmodel", False),
        ("odd[1].txt", True),
        ("*.onnx", False),
    ],
)
def test_a_required_file_is_a_path_or_a_pattern(pattern: str, is_found: bool) -> None:
    paths = ["MLmodel", "data/part/1.bin", "weights/a.safetensors", "odd[1].txt"]
    found = said(PolicyRules(required_files=(pattern,)), paths=paths)
    assert found == ([] if is_found else [("FILE", f"files/{pattern}", f"no file matches {pattern}")])


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    assert len(said(PolicyRules(required_files=("*a" * 200 + "b",)), paths=["a" * 512] * 20)) == 1


def test_a_card_must_be_there_say_what_is_asked_be_fresh_and_written_by_somebody() -> None:
    rules = PolicyRules(
        card=CardRule((CardSection.FACTORS, CardSection.METRICS), timedelta(days=30), is_author_required=True)
    )
    assert said(rules) == [("CARD", "card", "there is no model card")]
    card = CardState(
        revision=2,
        digest="sha256:1",
        sections=frozenset({CardSection.METRICS}),
        author="registrar",
        is_prefilled=True,
        time=NOON - timedelta(days=31, hours=1),
    )
    assert said(rules, card=card) == [
        ("CARD", "card/factors", "the model card says nothing in factors"),
        (
            "CARD",
            "card/age",
            "revision 2 of the model card is 31 days, 1:00:00 old; at most 30 days, 0:00:00 is allowed",
        ),
        ("CARD", "card/author", "nobody has written the model card; the registry prefilled it"),
    ]
    good = replace(card, sections=frozenset(CardSection), is_prefilled=False, time=NOON - timedelta(days=30))
    assert said(rules, card=good) == []
    assert said(PolicyRules(card=CardRule()), card=card) == []


def test_each_field_of_the_provenance_can_be_demanded() -> None:
    rules = PolicyRules(required_provenance=tuple(ProvenanceField))
    assert [one[1] for one in said(rules)] == [f"provenance/{one.value}" for one in ProvenanceField]
    known = Provenance(
        run_id="r",
        git_commit="abcdef0",
        is_git_dirty=False,
        git_repository="g",
        ci_build="7",
        image="i",
        lock_digest="l",
        training_data=(Dataset("t", digest="1"),),
        validation_data=(Dataset("v", digest="2"),),
        parent=object(),  # type: ignore[arg-type]
        preprocessing="scaled",
    )
    assert said(rules, version(provenance=known)) == []
    lacking = replace(known, is_git_dirty=None, training_data=(Dataset("t", digest="1"), Dataset("u")))
    assert [one[1] for one in said(rules, version(provenance=lacking))] == [
        "provenance/clean_git_commit",
        "provenance/training_data",
    ]


OLD = Signature(inputs=(TensorSpec("amount", "double"),), outputs=(TensorSpec("score", "double"),))
NEW = Signature(inputs=(TensorSpec("amount", "string"),), outputs=(TensorSpec("score", "double"),))


def test_a_signature_must_be_there_and_serve_the_holders_callers_or_a_new_major_version_says_so() -> None:
    rules = PolicyRules(signature=SignatureRule(is_required=True, is_compatible=True))
    assert said(rules) == [("SIGNATURE", "signature", "the version has no signature")]
    holder = version(1, signature=OLD, semantic_version="1.4.0")
    assert said(rules, version(signature=OLD), holder=holder) == []
    broken = said(rules, version(signature=NEW, semantic_version="1.5.0"), holder=holder)
    assert [one[:2] for one in broken] == [("SIGNATURE", "signature/compatibility")]
    assert said(rules, version(signature=NEW, semantic_version="2.0.0"), holder=holder) == []
    assert said(rules, version(signature=NEW), holder=version(1)) == []
    assert said(rules, version(signature=NEW)) == []


def test_a_risk_must_be_assessed_with_level_and_id() -> None:
    rules = PolicyRules(is_risk_assessment_required=True)
    assert [one[1] for one in said(rules)] == ["risk/level", "risk/assessment_id"]
    assert said(rules, version(risk_level=RiskLevel.LOW, risk_assessment_id="RA-1")) == []


def test_it_must_come_from_a_stage_that_is_named() -> None:
    rules = PolicyRules(from_stages=(Stage.STAGING,))
    assert said(rules) == []
    assert said(rules, version(stage=Stage.NONE)) == [
        ("FROM_STAGE", "from_stages", "the version is in none; it must come from staging")
    ]


def test_a_check_must_have_passed_and_some_only_if_reported() -> None:
    rules = PolicyRules(checks=(CheckRule("scan"), CheckRule("signing", is_only_if_reported=True)))
    assert said(rules) == [("CHECK", "checks/scan", "check scan was not reported")]
    results = {name: result(name, CheckOutcome.FAILED) for name in ("scan", "signing")}
    assert [one[1] for one in said(rules, checks=results)] == ["checks/scan", "checks/signing"]
    assert said(rules, checks={"scan": result("scan", CheckOutcome.PASSED)}) == []


def result(name: str, outcome: CheckOutcome) -> CheckResult:
    return CheckResult("", 2, name, outcome, "", "", "ci", NOON, "")


def test_a_failed_gate_names_the_revision_of_the_policy_and_reads_as_a_precondition() -> None:
    rules = measured(MetricGate("f1", min=0.5))
    (gate,) = failed(rules)
    assert gate.policy == policy_of(rules).ref
    assert (gate.precondition.type, gate.precondition.subject) == ("METRIC", "gate/metrics/f1")


def test_a_scope_covers_models_targets_and_risks_and_rollbacks_only_where_it_says_so() -> None:
    scope = PolicyScope(
        model_patterns=(NamePattern("fraud-*"),),
        target_stages=(Stage.PRODUCTION,),
        alias_patterns=(NamePattern("champion*"),),
        risk_levels=(RiskLevel.HIGH, None),
    )
    production = MoveTarget(stage=Stage.PRODUCTION)
    assert scope.covers("fraud-eu", production, RiskLevel.HIGH)
    assert scope.covers("fraud-eu", MoveTarget(alias="champion-eu"), None)
    assert not scope.covers("fraud-eu", production, RiskLevel.LOW)
    assert not scope.covers("churn", production, RiskLevel.HIGH)
    assert not scope.covers("fraud-eu", MoveTarget(stage=Stage.STAGING), RiskLevel.HIGH)
    assert not scope.covers("fraud-eu", MoveTarget(alias="challenger"), RiskLevel.HIGH)
    assert not scope.covers("fraud-eu", production, RiskLevel.HIGH, is_rollback=True)
    assert replace(scope, is_with_rollbacks=True).covers("fraud-eu", production, None, is_rollback=True)


FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9)
ALLOWED = st.floats(min_value=0, max_value=1e9)
NAMES = st.text(min_size=1, max_size=8)
SCOPES = st.builds(
    PolicyScope,
    model_patterns=st.lists(st.sampled_from(["*", "a", "a*"]).map(NamePattern)).map(tuple),
    target_stages=st.lists(st.sampled_from(Stage)).map(tuple),
    alias_patterns=st.lists(st.sampled_from(["*", "b-*"]).map(NamePattern)).map(tuple),
    risk_levels=st.lists(st.sampled_from([None, *RiskLevel])).map(tuple),
    is_with_rollbacks=st.booleans(),
)
DURATIONS = st.none() | st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=3_650))
GATES = st.builds(
    MetricGate,
    NAMES,
    min=st.none() | FINITE,
    max=st.none() | FINITE,
    max_regression=st.none() | ALLOWED,
    max_relative_regression=st.none() | ALLOWED,
    slices=st.sampled_from(SliceScope),
    named_slices=st.lists(st.builds(SliceSelector, NAMES, NAMES, NAMES), max_size=2).map(tuple),
    max_slice_gap=st.none() | ALLOWED,
)
RULES = st.builds(
    PolicyRules,
    approval=st.none()
    | st.builds(
        ApprovalRule,
        st.lists(st.builds(ApproverRequirement, NAMES, st.integers(1, 20)), max_size=2).map(tuple),
        st.booleans(),
        st.booleans(),
        DURATIONS,
        st.booleans(),
        st.booleans(),
    ),
    metric_gates=st.lists(GATES, max_size=3).map(tuple),
    required_files=st.lists(NAMES, max_size=2).map(tuple),
    card=st.none() | st.builds(CardRule, st.lists(st.sampled_from(CardSection)).map(tuple), DURATIONS, st.booleans()),
    required_provenance=st.lists(st.sampled_from(ProvenanceField)).map(tuple),
    signature=st.none() | st.builds(SignatureRule, st.booleans(), st.booleans()),
    is_risk_assessment_required=st.booleans(),
    from_stages=st.lists(st.sampled_from(Stage)).map(tuple),
    max_holders=st.integers(0, 100),
    checks=st.lists(st.builds(CheckRule, NAMES, st.booleans()), max_size=2).map(tuple),
)


@given(SCOPES, RULES)
def test_what_is_stored_of_a_policy_says_all_of_it(scope: PolicyScope, rules: PolicyRules) -> None:
    assert read_document(write_document(scope, rules)) == (scope, rules)


@given(FINITE, FINITE, ALLOWED, st.sampled_from(MetricGoal))
def test_a_regression_is_judged_on_the_numbers_as_they_are_written(
    held: float, value: float, allowed: float, goal: MetricGoal
) -> None:
    found = said(
        measured(MetricGate("m", max_regression=allowed)),
        version(metrics={"m": value}),
        holder=version(1, metrics={"m": held}),
        goals={"m": goal},
    )
    old, new, most = (Decimal(repr(number)) for number in (held, value, allowed))
    worse = old - new if goal is MetricGoal.MAXIMIZE else new - old
    assert bool(found) == (worse > most)


@given(RULES, st.dictionaries(NAMES, FINITE, max_size=3))
def test_judging_twice_says_the_same_and_every_failure_says_why(rules: PolicyRules, metrics: dict[str, float]) -> None:
    subject = version(metrics=metrics)
    first, second = failed(rules, subject), failed(rules, subject)
    assert first == second
    assert all(gate.description and gate.subject for gate in first)
