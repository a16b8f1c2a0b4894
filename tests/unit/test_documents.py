"""Facts and notes as text in the database: what comes out is what went in, types included."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar_server.adapters.database.documents import dump, dump_facts, dump_notes, load, load_facts, load_notes
from registrar_server.domain.values import (
    ByAlias,
    ByNumber,
    BySemanticVersion,
    ByStage,
    ByUid,
    ModelKey,
    Parameter,
    RiskLevel,
    Stage,
    VersionRef,
)
from registrar_server.domain.versions import Dataset, Facts, MetricSlice, Notes, Provenance, Signature, TensorSpec

TEXT = st.text(max_size=8)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
METRICS = st.dictionaries(TEXT, FINITE, max_size=4)
PARAMETERS = st.dictionaries(TEXT, st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), FINITE, TEXT), max_size=5)
TENSORS = st.lists(
    st.builds(TensorSpec, TEXT, TEXT, st.lists(st.integers(-1, 2**40), max_size=3).map(tuple), st.booleans()),
    max_size=3,
).map(tuple)
DATASETS = st.lists(st.builds(Dataset, TEXT, TEXT, TEXT, TEXT), max_size=2).map(tuple)
SELECTORS = st.one_of(
    st.builds(ByNumber, st.integers(1, 2**63 - 1)),
    st.builds(ByAlias, TEXT),
    st.builds(ByStage, st.sampled_from(Stage)),
    st.builds(BySemanticVersion, TEXT),
    st.builds(ByUid, TEXT),
)
PROVENANCE = st.builds(
    Provenance,
    run_id=TEXT,
    git_commit=TEXT,
    is_git_dirty=st.sampled_from([None, False, True]),
    git_repository=TEXT,
    ci_build=TEXT,
    image=TEXT,
    lock_digest=TEXT,
    training_data=DATASETS,
    validation_data=DATASETS,
    parent=st.one_of(st.none(), st.builds(VersionRef, st.builds(ModelKey, TEXT, TEXT), SELECTORS)),
    preprocessing=TEXT,
)
FACTS = st.builds(
    Facts,
    metrics=METRICS,
    metric_slices=st.lists(st.builds(MetricSlice, TEXT, TEXT, TEXT, METRICS), max_size=2).map(tuple),
    parameters=PARAMETERS,
    signature=st.one_of(st.none(), st.builds(Signature, TENSORS, TENSORS)),
    flavors=st.lists(TEXT, max_size=3).map(tuple),
    semantic_version=TEXT,
    provenance=PROVENANCE,
    risk_level=st.one_of(st.none(), st.sampled_from(RiskLevel)),
    risk_assessment_id=TEXT,
)
NOTES = st.builds(Notes, TEXT, st.dictionaries(TEXT, TEXT, max_size=3), TEXT, TEXT, TEXT, TEXT)


@given(FACTS)
def test_facts_come_back_as_they_went_in(facts: Facts) -> None:
    found = load_facts(dump_facts(facts))
    assert found == facts
    assert {k: type(v) for k, v in found.parameters.items()} == {k: type(v) for k, v in facts.parameters.items()}


@given(NOTES)
def test_notes_come_back_as_they_went_in(notes: Notes) -> None:
    found = load_notes(dump_notes(notes), description=notes.description, tags=dump(notes.tags))
    assert found == notes


@pytest.mark.parametrize(
    "value",
    [1e20, 2**63 - 1, -(2**63), True, False, 1, 0, 2, 2.0, 1.0, -0.0, 5e-324, 1.7976931348623157e308, "1", "True", ""],
)
def test_a_parameter_keeps_type_and_value(value: Parameter) -> None:
    found = load_facts(dump_facts(Facts(parameters={"p": value}))).parameters["p"]
    assert (type(found), repr(found)) == (type(value), repr(value))


@pytest.mark.parametrize("value", [1e20, 2.0, -0.0, 5e-324, float(2**53 + 2), 0.1])
def test_a_metric_is_a_double_and_stays_the_same_to_the_last_bit(value: float) -> None:
    found = load_facts(dump_facts(Facts(metrics={"m": value}))).metrics["m"]
    assert type(found) is float
    assert math.copysign(1, found) == math.copysign(1, value)
    assert found.hex() == value.hex()


def test_a_signature_without_tensors_is_not_the_same_as_no_signature() -> None:
    assert load_facts(dump_facts(Facts(signature=Signature()))).signature == Signature()
    assert load_facts(dump_facts(Facts())).signature is None


def test_what_is_empty_takes_no_room() -> None:
    assert dump_facts(Facts()) == "{}"
    assert dump_notes(Notes()) == "{}"


@given(st.dictionaries(TEXT, TEXT))
def test_equal_documents_are_equal_text(document: dict[str, str]) -> None:
    turned = dict(reversed(document.items()))
    assert dump(document) == dump(turned)
    assert load(dump(document)) == document
    json.loads(dump(document))
