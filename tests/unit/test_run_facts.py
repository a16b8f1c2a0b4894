"""What a run of MLflow knows, joined to what the caller said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar_server.application.ports.mlflow_registry import DatasetInput, RunFacts
from registrar_server.application.run_import import merge_facts, typed_parameter
from registrar_server.domain.validation import Checker
from registrar_server.domain.values import Parameter
from registrar_server.domain.versions import Dataset, Facts, Provenance

RUN = RunFacts(
    run_id="b7f9",
    metrics={"f1": 0.5, "auc": 0.97},
    parameters={"n_estimators": "200", "learning_rate": "0.05", "name": "007"},
    tags={"mlflow.source.git.repoURL": "https://example.org/churn.git"},
    git_commit="9f8e7d6",
    datasets=[
        DatasetInput("customers", "d1", "s3://data/customers", "training"),
        DatasetInput("holdout", "d2", "s3://data/holdout", "validation"),
        DatasetInput("judged", "d3", "s3://data/judged", "eval"),
    ],
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("200", 200),
        ("-7", -7),
        ("0", 0),
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), -(2**63)),
        ("0.05", 0.05),
        ("1e-05", 1e-05),
        ("2.0", 2.0),
        ("1e+20", 1e20),
        ("True", True),
        ("false", False),
    ],
)
def test_a_parameter_that_is_written_as_its_type_writes_it_gets_the_type(text: str, value: Parameter) -> None:
    found = typed_parameter(text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    "text",
    ["007", "1.10", "1_000", " 1", "+1", "1e5", "nan", "inf", "-inf", "", "TRUE", "²", "0x10", str(2**63), "9" * 5000],
)
def test_a_parameter_that_may_be_a_name_stays_text(text: str) -> None:
    assert typed_parameter(text) == text


@given(st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)))
def test_every_number_that_the_contract_can_carry_keeps_type_and_value(value: float) -> None:
    found = typed_parameter(str(value))
    assert (type(found), found) == (type(value), value)


@given(st.text())
def test_every_text_becomes_a_parameter_that_may_be_stored(text: str) -> None:
    found = typed_parameter(text)
    check = Checker()
    if isinstance(found, float):
        check.finite("p", found)
    check.finish()
    assert isinstance(found, bool | float | str) or -(2**63) <= found < 2**63
    assert isinstance(found, bool) or str(found) == text


def test_a_run_completes_what_the_caller_left_out() -> None:
    facts = merge_facts(Facts(), RUN)
    assert facts.metrics == {"f1": 0.5, "auc": 0.97}
    assert facts.parameters == {"n_estimators": 200, "learning_rate": 0.05, "name": "007"}
    assert facts.provenance.git_commit == "9f8e7d6"
    assert facts.provenance.git_repository == "https://example.org/churn.git"
    assert facts.provenance.training_data == (Dataset("customers", "s3://data/customers", "d1"),)
    assert [data.name for data in facts.provenance.validation_data] == ["holdout", "judged"]


def test_the_word_of_the_caller_wins_name_by_name() -> None:
    said = Facts(
        metrics={"f1": 0.9},
        parameters={"n_estimators": "many"},
        provenance=Provenance(git_commit="abcdef0", training_data=(Dataset("mine"),)),
    )
    facts = merge_facts(said, RUN)
    assert facts.metrics == {"f1": 0.9, "auc": 0.97}
    assert facts.parameters["n_estimators"] == "many"
    assert facts.provenance.git_commit == "abcdef0"
    assert facts.provenance.training_data == (Dataset("mine"),)


def test_the_run_is_the_one_that_the_files_come_from() -> None:
    assert merge_facts(Facts(provenance=Provenance(run_id="other")), RUN).provenance.run_id == "b7f9"


def test_what_is_no_commit_is_not_taken_for_one() -> None:
    run = RunFacts("b7f9", {}, {}, {}, "main", [])
    assert merge_facts(Facts(), run).provenance.git_commit == ""
