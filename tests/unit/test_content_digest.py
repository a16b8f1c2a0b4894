"""The identity of what a version says and holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar_server.domain.values import Parameter, RiskLevel
from registrar_server.domain.versions import Facts, MetricSlice, Provenance, content_digest

MANIFEST = f"sha256:{'a' * 64}"
SLICES = (
    MetricSlice("region", "eu", "", {"f1": 0.8, "auc": 0.9}),
    MetricSlice("region", "us", "", {"f1": 0.7}),
)
FACTS = Facts(metrics={"f1": 0.9, "auc": 0.97}, metric_slices=SLICES, parameters={"n": 200, "rate": 0.05})


def test_the_order_in_which_facts_are_said_does_not_count() -> None:
    turned = Facts(
        metrics={"auc": 0.97, "f1": 0.9},
        metric_slices=(SLICES[1], replace(SLICES[0], metrics={"auc": 0.9, "f1": 0.8})),
        parameters={"rate": 0.05, "n": 200},
    )
    assert content_digest(MANIFEST, FACTS) == content_digest(MANIFEST, turned)


def test_provenance_and_risk_do_not_count() -> None:
    other = replace(FACTS, provenance=Provenance(ci_build="124"), risk_level=RiskLevel.HIGH, semantic_version="1.0.0")
    assert content_digest(MANIFEST, FACTS) == content_digest(MANIFEST, other)


@pytest.mark.parametrize(
    "other",
    [
        replace(FACTS, metrics={"f1": 0.9}),
        replace(FACTS, metrics={"f1": 0.9, "auc": 0.96}),
        replace(FACTS, metric_slices=SLICES[:1]),
        replace(FACTS, metric_slices=(replace(SLICES[0], dataset="holdout"), SLICES[1])),
        replace(FACTS, parameters={"n": 200.0, "rate": 0.05}),
        replace(FACTS, parameters={"n": "200", "rate": 0.05}),
    ],
)
def test_every_measure_and_parameter_counts_with_its_type(other: Facts) -> None:
    assert content_digest(MANIFEST, FACTS) != content_digest(MANIFEST, other)


def test_the_bundle_counts() -> None:
    assert content_digest(MANIFEST, FACTS) != content_digest(f"sha256:{'b' * 64}", FACTS)


PARAMETERS = st.one_of(
    st.booleans(), st.integers(0, 2), st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from(["1", "True"])
)


@given(PARAMETERS, PARAMETERS)
def test_two_parameters_are_the_same_only_if_value_and_type_are(one: Parameter, other: Parameter) -> None:
    is_same = type(one) is type(other) and one == other
    digests = {content_digest(MANIFEST, Facts(parameters={"p": value})) for value in (one, other)}
    assert (len(digests) == 1) == is_same
