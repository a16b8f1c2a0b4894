"""What callers supply in the reference's examples goes in through gRPC and is read back equal."""

from __future__ import annotations

import secrets
from typing import Any

import grpc
import pytest

from registrar.v1 import model_service_pb2, model_version_service_pb2, reference_pb2, value_pb2
from registrar.v1.lifecycle_service_pb2 import ListTransitionsRequest, TransitionStageRequest
from tests.end_to_end.api import CODE, Api, by_number, by_stage, model_ref, refused

STAGING, PRODUCTION = reference_pb2.STAGE_STAGING, reference_pb2.STAGE_PRODUCTION
FILES = {
    "model.pkl": b"weights",
    "preprocessor.pkl": b"scaler",
    "config.json": b"{}",
    "metrics.json": b"{}",
    "requirements.txt": b"xgboost==2.0",
}

# "Register Model", verbatim.
REGISTER: dict[str, Any] = {
    "description": "XGBoost churn prediction model",
    "tags": {"algorithm": "xgboost", "dataset": "customer_churn_v2", "owner": "ml-team"},
    "metrics": {"f1_score": 0.895, "auc_roc": 0.96},
}
# "Get Model Version", verbatim, with its parameters typed as JSON has them.
THIRD: dict[str, Any] = {
    "metrics": {"f1_score": 0.912, "auc_roc": 0.97},
    "parameters": {
        "n_estimators": value_pb2.ParameterValue(int_value=200),
        "max_depth": value_pb2.ParameterValue(int_value=8),
        "learning_rate": value_pb2.ParameterValue(double_value=0.05),
    },
    "tags": {"algorithm": "xgboost", "training_job": "train-abc123"},
}
COMMENT = "Validated on holdout set with 0.91 F1 score"


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


@pytest.fixture(params=["", "acme-corp"])
def tenant(request: pytest.FixtureRequest) -> str:
    """The caller's own tenant, and the one of the example."""
    name: str = request.param
    return name


def test_the_reference_platform_s_examples(api: Api, unique_name: str, tenant: str) -> None:
    name = unique_name
    first = api.register(name, tenant)
    artifact = api.upload(name, FILES, tenant)
    second = api.register(name, tenant, artifact.id, **REGISTER)
    third = api.register(name, tenant, **THIRD)
    assert [version.version for version in (first, second, third)] == [1, 2, 3]

    found = api.get(by_number(name, 2, tenant))
    assert (found.name, found.artifact_id, found.description) == (name, artifact.id, REGISTER["description"])
    assert (dict(found.tags), dict(found.metrics)) == (REGISTER["tags"], REGISTER["metrics"])
    assert found.artifact_uri == artifact.uri
    assert artifact.file_count == len(FILES)

    for version, stage in ((2, PRODUCTION), (3, STAGING)):
        api.lifecycle.TransitionStage(TransitionStageRequest(ref=by_number(name, version, tenant), stage=stage))
    found = api.get(by_number(name, 3, tenant))
    assert found.stage == STAGING
    assert dict(found.metrics) == THIRD["metrics"]
    assert dict(found.parameters) == THIRD["parameters"]
    assert [found.parameters[p].WhichOneof("kind") for p in ("n_estimators", "max_depth", "learning_rate")] == [
        "int_value",
        "int_value",
        "double_value",
    ]
    assert dict(found.tags) == THIRD["tags"]
    assert found.HasField("create_time")

    listed = api.models.ListModels(model_service_pb2.ListModelsRequest(tenant=tenant, name_prefix=name))
    (model,) = listed.models
    assert (model.name, model.latest_version, model.production_version, model.staging_version) == (name, 3, 2, 3)
    assert model.update_time.ToDatetime() >= model.create_time.ToDatetime()

    compared = api.versions.CompareModelVersions(
        model_version_service_pb2.CompareModelVersionsRequest(refs=[by_number(name, n, tenant) for n in (2, 3)])
    )
    assert [(c.version, dict(c.metrics), c.stage) for c in compared.comparison] == [
        (2, {"f1_score": 0.895, "auc_roc": 0.96}, PRODUCTION),
        (3, {"f1_score": 0.912, "auc_roc": 0.97}, STAGING),
    ]
    assert compared.recommendation == "Version 3 shows improvement across all metrics"
    assert compared.recommended_version == 3

    api.lifecycle.TransitionStage(
        TransitionStageRequest(ref=by_number(name, 3, tenant), stage=PRODUCTION, comment=COMMENT)
    )
    history = api.lifecycle.ListTransitions(ListTransitionsRequest(model=model_ref(name, tenant))).transitions
    assert [(t.version, t.to_stage, t.comment) for t in history][:2] == [
        (3, PRODUCTION, COMMENT),
        (2, reference_pb2.STAGE_ARCHIVED, COMMENT),
    ]
    assert api.get(by_stage(name, PRODUCTION, tenant)).version == 3


def test_the_governance_example(api: Api, unique_name: str, tenant: str) -> None:
    signature = value_pb2.Signature(
        inputs=[value_pb2.TensorSpec(name="features", dtype="float32", shape=[-1, 128])],
        outputs=[value_pb2.TensorSpec(name="score", dtype="float32", shape=[-1, 1])],
    )
    run_id = secrets.token_hex(16)
    version = api.register(
        unique_name,
        tenant,
        metrics={"roc_auc": 0.92, "f1": 0.67},
        signature=signature,
        flavors=["pyfunc"],
        provenance=value_pb2.Provenance(
            git_commit="9f8e7d6",
            ci_build="github-actions/124",
            training_data=[
                value_pb2.Dataset(name="customers_v20251112", digest=f"sha256:{run_id}", version="v20251112")
            ],
            validation_data=[value_pb2.Dataset(name="holdout")],
            environment=value_pb2.Environment(lock_digest="sha256:abc"),
        ),
        risk=value_pb2.RiskAssessment(assessment_id="ra-2025-11-29-17"),
        documentation=value_pb2.Documentation(model_card_uri="s3://cards/3", datasheet_uri="s3://sheets/3"),
        drift_monitor_id="drift-7",
    )
    found = api.get(by_number(unique_name, version.version, tenant))
    assert found.signature == signature
    assert dict(found.metrics) == {"roc_auc": 0.92, "f1": 0.67}
    assert (found.provenance.git_commit, found.provenance.ci_build) == ("9f8e7d6", "github-actions/124")
    assert found.provenance.run_id
    assert [data.name for data in found.provenance.training_data] == ["customers_v20251112"]
    assert found.provenance.environment.lock_digest == "sha256:abc"
    assert found.risk.assessment_id == "ra-2025-11-29-17"
    assert (found.documentation.model_card_uri, found.documentation.datasheet_uri) == ("s3://cards/3", "s3://sheets/3")
    assert (found.drift_monitor_id, list(found.flavors)) == ("drift-7", ["pyfunc"])
    assert found.manifest_digest.startswith("sha256:")
    assert found.created_by == "local"


def test_tenants_with_a_model_of_the_same_name_do_not_see_each_other(api: Api, unique_name: str) -> None:
    ours = api.register(unique_name, metrics={"f1": 0.1})
    theirs = api.register(unique_name, "acme-corp", metrics={"f1": 0.2})
    again = api.register(unique_name, "acme-corp", metrics={"f1": 0.3})
    assert (ours.version, theirs.version, again.version) == (1, 1, 2)
    assert api.get(by_number(unique_name, 1)).metrics["f1"] == 0.1
    assert api.get(by_number(unique_name, 1, "acme-corp")).metrics["f1"] == 0.2
    refused(lambda: api.get(by_number(unique_name, 2)), CODE.NOT_FOUND, "VERSION_NOT_FOUND")
    assert ours.artifact_uri != theirs.artifact_uri
    assert "/acme-corp/" in theirs.artifact_uri


def test_a_bundle_of_another_tenant_cannot_be_registered(api: Api, unique_name: str) -> None:
    artifact = api.upload(unique_name, FILES, "acme-corp")
    api.register(unique_name)
    refused(lambda: api.register(unique_name, "", artifact.id), CODE.NOT_FOUND, "ARTIFACT_NOT_FOUND")


def test_a_tenant_that_does_not_exist_has_nothing_and_takes_nothing(api: Api, unique_name: str) -> None:
    request = model_service_pb2.ListModelsRequest(tenant="nobody")
    refused(lambda: api.models.ListModels(request), CODE.NOT_FOUND, "TENANT_NOT_FOUND")
    refused(lambda: api.upload(unique_name, FILES, "nobody"), CODE.NOT_FOUND, "TENANT_NOT_FOUND")
    created = model_service_pb2.CreateModelRequest(model=model_ref(unique_name, "nobody"))
    refused(lambda: api.models.CreateModel(created), CODE.NOT_FOUND, "TENANT_NOT_FOUND")
    refused(lambda: api.get(by_number(unique_name, 1, "nobody")), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
