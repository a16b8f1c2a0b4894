"""What a metadata schema finds wrong with a version."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from registrar.metadata_types import fields_of_document
from registrar_server.domain.access import NamePattern
from registrar_server.domain.metadata_schemas import (
    FieldKind,
    MetadataField,
    MetadataSchema,
    MetadataType,
    Requirement,
    kind_of,
    read,
)
from registrar_server.domain.values import ByNumber, ModelKey, RiskLevel, VersionRef
from registrar_server.domain.versions import (
    Dataset,
    Facts,
    MetricSlice,
    Notes,
    Provenance,
    Signature,
    TensorSpec,
)

DATA = (Dataset("d", "s3://b/d", "sha256:1", "2"),)
FULL = Facts(
    metrics={"f1": 0.9},
    metric_slices=(MetricSlice("region", "eu", "", {"f1": 0.8}),),
    parameters={"depth": 8, "warm": True, "algo": "gbm"},
    signature=Signature((TensorSpec("a", "double"),), (TensorSpec("b", "double"),)),
    flavors=("sklearn",),
    semantic_version="1.0.0",
    provenance=Provenance(
        "run",
        "abc1234",
        False,
        "https://git",
        "ci/1",
        "img@sha256:2",
        "sha256:3",
        DATA,
        DATA,
        VersionRef(ModelKey("default", "base"), ByNumber(1)),
        "scaled",
    ),
    risk_level=RiskLevel.HIGH,
    risk_assessment_id="ra-1",
)
TOLD = Notes("d", {"owner": "core"}, "", "https://card", "https://sheet", "monitor")
FIXED = [
    "description",
    "semantic_version",
    "drift_monitor_id",
    "documentation.model_card_uri",
    "documentation.datasheet_uri",
    "risk.level",
    "risk.assessment_id",
    "metrics",
    "metric_slices",
    "parameters",
    "signature",
    "signature.inputs",
    "signature.outputs",
    "flavors",
    "provenance.run_id",
    "provenance.git_commit",
    "provenance.is_git_dirty",
    "provenance.git_repository",
    "provenance.ci_build",
    "provenance.environment.image",
    "provenance.environment.lock_digest",
    "provenance.parent",
    "provenance.preprocessing",
    *(f"provenance.{role}_data" for role in ("training", "validation")),
    *(
        f"provenance.{role}_data.{part}"
        for role in ("training", "validation")
        for part in ("name", "uri", "digest", "version")
    ),
]
KEYED = ["tags.owner", "metrics.f1", "parameters.depth", "parameters.warm", "parameters.algo"]


def schema(*fields: MetadataField) -> MetadataSchema:
    return MetadataSchema("default", 1, fields)


def problems(field: MetadataField, facts: Facts = FULL, notes: Notes = TOLD) -> list[str]:
    return [violation.description for violation in schema(field).violations("m", facts, notes)]


@pytest.mark.parametrize("path", [*FIXED, *KEYED])
def test_every_path_finds_what_is_there_and_misses_what_is_not(path: str) -> None:
    field = MetadataField(path, Requirement.REQUIRED)
    assert kind_of(path) is not None
    assert read(path, FULL, TOLD)
    assert not problems(field)
    (missing,) = schema(field).violations("m", Facts(), Notes())
    assert (missing.field, missing.description) == (path, "is required by the metadata schema")
    wished = replace(field, requirement=Requirement.RECOMMENDED)
    assert schema(wished, wished).missing_recommended("m", Facts(), Notes()) == [path]
    assert not schema(wished).violations("m", Facts(), Notes())


@pytest.mark.parametrize("path", ["", "tags", "tags.", "owner", "metrics.", "provenance", "provenance.nothing", "risk"])
def test_a_path_that_leads_nowhere_is_none(path: str) -> None:
    assert kind_of(path) is None


@pytest.mark.parametrize(
    ("kind", "text", "fits"),
    [
        (MetadataType.STRING, " ", False),
        (MetadataType.INTEGER, "-30", True),
        (MetadataType.INTEGER, "3.0", False),
        (MetadataType.INTEGER, "٣", False),
        (MetadataType.NUMBER, "1e-3", True),
        (MetadataType.NUMBER, "1e999", False),
        (MetadataType.NUMBER, "nan", False),
        (MetadataType.BOOLEAN, "true", True),
        (MetadataType.BOOLEAN, "yes", False),
        (MetadataType.DATE, "2025-11-29", True),
        (MetadataType.DATE, "2025-02-29", False),
        (MetadataType.DATE, "20251129", False),
        (MetadataType.URI, "s3://bucket/key", True),
        (MetadataType.URI, "bucket/key", False),
        (MetadataType.URI, "https://a b", False),
    ],
)
def test_a_text_is_of_its_type_whatever_the_requirement(kind: MetadataType, text: str, fits: bool) -> None:
    found = problems(MetadataField("tags.t", type=kind), notes=Notes(tags={"t": text}))
    assert (not found) is fits


@pytest.mark.parametrize(
    ("field", "fits"),
    [
        (MetadataField("metrics.f1", min=0.9), True),
        (MetadataField("metrics.f1", min=0.91), False),
        (MetadataField("metrics.f1", max=0.5), False),
        (MetadataField("parameters.depth", min=1, max=8), True),
        (MetadataField("parameters.warm", min=0), False),
        (MetadataField("parameters.algo", allowed_values=("gbm", "nn")), True),
        (MetadataField("parameters.warm", allowed_values=("true",)), True),
        (MetadataField("provenance.is_git_dirty", allowed_values=("false",)), True),
        (MetadataField("risk.level", allowed_values=("low", "limited")), False),
        (MetadataField("flavors", allowed_values=("sklearn", "onnx")), True),
        (MetadataField("flavors", allowed_values=("onnx",)), False),
        (MetadataField("description", max_characters=1), True),
        (MetadataField("provenance.git_repository", max_characters=3), False),
    ],
)
def test_a_value_that_is_there_has_to_fit(field: MetadataField, fits: bool) -> None:
    assert (not problems(field)) is fits


def test_data_has_a_part_when_every_data_set_has_it() -> None:
    provenance = Provenance(training_data=(*DATA, Dataset("other", "s3://b/o")))
    field = MetadataField("provenance.training_data.digest", Requirement.REQUIRED)
    assert problems(field, Facts(provenance=provenance))
    assert not problems(replace(field, path="provenance.training_data.uri"), Facts(provenance=provenance))


def test_a_demand_is_about_the_models_that_match() -> None:
    found = schema(MetadataField("tags.t", Requirement.REQUIRED, models=(NamePattern("risk-*"), NamePattern("fraud"))))
    assert [bool(found.violations(name, Facts(), Notes())) for name in ("risk-eu", "fraud", "fraud-2", "churn")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("path", [*FIXED, *KEYED])
def test_what_a_run_can_bring_is_not_missing_before_it_is_read(path: str) -> None:
    field = schema(MetadataField(path, Requirement.REQUIRED))
    brought = ("metrics", "parameters", "signature", "flavors")
    is_awaited = path.startswith((*(f"{name}." for name in brought), "provenance.training", "provenance.validation"))
    is_awaited = is_awaited or path in (
        *brought,
        "provenance.run_id",
        "provenance.git_commit",
        "provenance.git_repository",
    )
    assert (not field.violations("m", Facts(), Notes(), is_run_awaited=True)) is is_awaited


def test_everything_that_is_wrong_is_told_at_once_with_what_it_is_for() -> None:
    found = schema(
        MetadataField("tags.owner", Requirement.REQUIRED, description="who answers for it"),
        MetadataField("metrics.f1", min=0.95),
        MetadataField("semantic_version", Requirement.REQUIRED),
    ).violations("m", replace(FULL, semantic_version=""), Notes())
    assert [(one.field, one.description) for one in found] == [
        ("tags.owner", "is required by the metadata schema: who answers for it"),
        ("metrics.f1", "must be at least 0.95"),
        ("semantic_version", "is required by the metadata schema"),
    ]


@given(
    st.sampled_from([*FIXED, *KEYED]),
    st.sampled_from(MetadataType),
    st.lists(st.text(max_size=5), max_size=2).map(tuple),
    st.text(max_size=20),
)
def test_no_text_and_no_demand_is_too_strange(
    path: str, kind: MetadataType, allowed: tuple[str, ...], text: str
) -> None:
    field: Any = MetadataField(path, Requirement.REQUIRED, kind, allowed, min=0.0)
    notes = Notes(text, {"owner": text})
    assert len(schema(field).violations("m", FULL, notes)) <= 4
    assert isinstance(kind_of(path), FieldKind)


def test_the_schema_of_the_page_can_be_read_and_leads_somewhere() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "lineage.md"
    (written,) = re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    fields = fields_of_document(yaml.safe_load(written))
    assert len(fields) > 10
    assert all(kind_of(field.path) for field in fields)
    assert [field.path for field in fields if field.allowed_values == ["false"]] == ["provenance.is_git_dirty"]
