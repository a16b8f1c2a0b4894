"""The first revision of a card: what the registry knows, and what the bundle says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from registrar_server.application.cards.document import load_card
from registrar_server.application.cards.prefill import first_revision, known_card
from registrar_server.application.cards.texts import parse
from registrar_server.domain.cards import CARD_BYTES, CardDataset, CardFormat, CardSection, GroupMetrics
from registrar_server.domain.values import RiskLevel
from registrar_server.domain.versions import Dataset, Facts, MetricSlice, Notes, Provenance, Signature, TensorSpec
from tests.fixtures.cards import TEMPLATE
from tests.unit.made import NOON, made_version

FACTS = Facts(
    metrics={"auc": 0.97},
    metric_slices=(
        MetricSlice("card_type", "visa", "", {"auc": 0.95}),
        MetricSlice("age", "young", "holdout", {"auc": 0.9}),
    ),
    parameters={"depth": 8, "eta": 0.05, "balanced": True},
    signature=Signature((TensorSpec("amount", "double"),), (TensorSpec("", "float32", (-1, 2), is_optional=True),)),
    flavors=("python_function", "xgboost"),
    semantic_version="1.4.0",
    provenance=Provenance(
        git_commit="a" * 40,
        is_git_dirty=True,
        git_repository="https://example.com/fraud.git",
        image="fraud@sha256:00",
        training_data=(Dataset("transactions", "s3://data/t", "sha256:11", "7"),),
        preprocessing="SMOTE",
    ),
    risk_level=RiskLevel.HIGH,
    risk_assessment_id="RA-12",
)
VERSION = replace(
    made_version(3, {}),
    facts=FACTS,
    notes=Notes(description="Finds fraud. ", datasheet_uri="https://example.com/sheet"),
)


def test_a_card_begins_with_what_the_registry_knows() -> None:
    revision = first_revision(VERSION, 3, None, NOON)
    card = load_card(revision.content)
    details = card.model_details
    assert (details.name, details.version, details.framework) == (VERSION.model.name, "1.4.0", "xgboost")
    assert details.description == "Finds fraud."
    assert details.registry_uri == f"models:/{VERSION.model.name}/3"
    assert details.parameters == ("balanced: True", "depth: 8", "eta: 0.05")
    assert (details.inputs, details.outputs) == (("amount: double",), ("float32[][2] (optional)",))
    assert f"commit {'a' * 40} (with local changes)" in details.source
    assert card.metrics.overall == {"auc": 0.97}
    assert card.quantitative_analyses.per_group == (
        GroupMetrics("age", "young", "holdout", {"auc": 0.9}),
        GroupMetrics("card_type", "visa", "", {"auc": 0.95}),
    )
    assert card.training_data.datasets == (CardDataset("transactions", "s3://data/t", "sha256:11", "7"),)
    assert (card.training_data.preprocessing, card.training_data.datasheet_uri) == (
        "SMOTE",
        "https://example.com/sheet",
    )
    assert card.ethical_considerations.risk_assessment == "high, RA-12"
    assert card.hugging_face.library_name == "xgboost"
    state = revision.state
    assert (state.revision, state.author, state.is_prefilled, state.time) == (1, "registrar", True, NOON)
    assert state.sections == card.sections
    assert CardSection.INTENDED_USE not in state.sections


def test_the_card_of_a_bundle_wins_and_is_filled_up_where_it_says_nothing() -> None:
    own = parse(TEMPLATE, CardFormat.YAML)
    card = load_card(first_revision(VERSION, 3, own, NOON).content)
    assert card.model_details.name == "fraud-transaction-detector"
    assert card.model_details.source.startswith("repository https://example.com/fraud.git")
    assert card.intended_use == own.intended_use
    assert card.metrics.overall == {**own.metrics.overall, "auc": 0.97}
    assert card.quantitative_analyses == own.quantitative_analyses
    assert card.title == VERSION.model.name


@pytest.mark.parametrize(
    "facts",
    [
        Facts(
            metric_slices=tuple(MetricSlice("d", f"v{i}", "", {f"m{j}": 0.1 for j in range(40)}) for i in range(900))
        ),
        Facts(parameters={f"p{i}": "x" * 2_000 for i in range(400)}),
        Facts(metrics={"m" * 240 + str(i): 0.1 for i in range(1_000)}, parameters={"p": "x" * 5_000}),
    ],
    ids=["slices", "parameters", "metrics"],
)
def test_what_would_be_too_large_is_left_out(facts: Facts) -> None:
    revision = first_revision(replace(VERSION, facts=facts), 3, None, NOON)
    assert len(revision.content.encode()) <= CARD_BYTES
    assert load_card(revision.content).model_details.name == VERSION.model.name


def test_a_version_about_which_nothing_is_known_has_a_card_all_the_same() -> None:
    assert known_card(made_version(1, {}), 1).sections == {CardSection.MODEL_DETAILS}
