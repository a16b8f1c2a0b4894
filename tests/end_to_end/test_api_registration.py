"""RegisterModelVersion: what it refuses, replays, reuses and waits for."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from registrar.v1 import value_pb2
from registrar.v1.model_service_pb2 import ListModelsRequest
from registrar.v1.model_version_pb2 import MODEL_VERSION_STATE_PENDING, MODEL_VERSION_STATE_READY
from registrar.v1.model_version_service_pb2 import ListModelVersionsRequest, RegisterModelVersionResponse
from registrar.v1.reference_pb2 import ModelVersionRef
from tests.end_to_end.api import CALL_SECONDS, CODE, Api, by_number, model_ref, refusal, refused, register, violated

UNKNOWN = "0" * 32
READY_WITHIN_SECONDS = 30
TYPED = {
    "count": value_pb2.ParameterValue(int_value=2**63 - 1),
    "one": value_pb2.ParameterValue(int_value=1),
    "on": value_pb2.ParameterValue(bool_value=True),
    "two": value_pb2.ParameterValue(double_value=2.0),
    "large": value_pb2.ParameterValue(double_value=1e20),
    "text": value_pb2.ParameterValue(string_value="1"),
}


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


def send(api: Api, name: str, artifact_id: str, **fields: Any) -> RegisterModelVersionResponse:
    return api.versions.RegisterModelVersion(register(name, artifact_id, **fields), timeout=CALL_SECONDS)


def numbers(api: Api, name: str) -> list[int]:
    listed = api.versions.ListModelVersions(ListModelVersionsRequest(model=model_ref(name), show_deleted=True))
    return [version.version for version in listed.model_versions]


def test_parameters_keep_their_types_and_metrics_every_bit(api: Api, unique_name: str) -> None:
    metrics = {"large": 1e20, "small": 5e-324, "third": 1 / 3, "weird name: ☃ / %": -0.0}
    version = api.register(unique_name, metrics=metrics, parameters=TYPED)
    found = api.get(by_number(unique_name, version.version))
    assert dict(found.parameters) == TYPED
    assert {name: value.hex() for name, value in found.metrics.items()} == {n: v.hex() for n, v in metrics.items()}


def test_every_violation_is_reported_at_once_and_nothing_is_made(api: Api, unique_name: str) -> None:
    tensor = value_pb2.TensorSpec(dtype="", shape=[-2])
    part = value_pb2.MetricSlice(dimension="region", value="eu", metrics={"f1": math.inf})
    found = violated(
        lambda: send(
            api,
            f"{unique_name}/",
            "no uid",
            request_id="ü",
            description="x" * 5_001,
            tags={"registrar.uid": "x"},
            metrics={"nan": math.nan, "": 1.0},
            metric_slices=[part, part],
            parameters={"none": value_pb2.ParameterValue(), "inf": value_pb2.ParameterValue(double_value=-math.inf)},
            signature=value_pb2.Signature(inputs=[tensor]),
            flavors=["a", "a"],
            semantic_version="1.0",
            provenance=value_pb2.Provenance(git_commit="main", run_id="r" * 33, parent=ModelVersionRef()),
            risk=value_pb2.RiskAssessment(assessment_id="a" * 257),
            documentation=value_pb2.Documentation(model_card_uri="u" * 2_001),
            drift_monitor_id="d" * 257,
            wait_timeout=Duration(seconds=-1),
        )
    )
    assert set(found) == {
        "request_id",
        "model.name",
        "artifact_id",
        "description",
        "tags['registrar.uid'] (key)",
        "metrics['nan']",
        "metrics[''] (key)",
        "metric_slices[0].metrics['f1']",
        "metric_slices[1].metrics['f1']",
        "metric_slices[1]",
        "parameters['none']",
        "parameters['inf']",
        "signature.inputs[0].dtype",
        "signature.inputs[0].shape",
        "flavors[1]",
        "semantic_version",
        "provenance.git_commit",
        "provenance.run_id",
        "provenance.parent.model.name",
        "provenance.parent",
        "risk.assessment_id",
        "documentation.model_card_uri",
        "drift_monitor_id",
        "wait_timeout",
    }
    assert list(api.models.ListModels(ListModelsRequest(name_prefix=unique_name)).models) == []


@pytest.mark.parametrize(
    ("field", "value", "at"),
    [
        ("metrics", {f"m{i}": 0.0 for i in range(1_001)}, "metrics"),
        ("tags", {f"t{i}": "" for i in range(101)}, "tags"),
        ("parameters", {f"p{i}": value_pb2.ParameterValue(int_value=i) for i in range(1_001)}, "parameters"),
        ("flavors", [f"f{i}" for i in range(51)], "flavors"),
        ("metrics", {"m" * 251: 0.0}, f"metrics['{'m' * 64}'] (key)"),
        ("description", "a\0b", "description"),
    ],
)
def test_what_is_too_much_is_refused_and_the_versions_stay_as_they_are(
    api: Api, unique_name: str, field: str, value: Any, at: str
) -> None:
    first = api.register(unique_name)
    fields: dict[str, Any] = {field: value}
    assert list(violated(lambda: send(api, unique_name, first.artifact_id, **fields))) == [at]
    assert numbers(api, unique_name) == [1]
    assert api.get(by_number(unique_name, 1)) == first


def test_a_source_is_required(api: Api, unique_name: str) -> None:
    request = register(unique_name, "")
    request.ClearField("artifact_id")
    assert list(violated(lambda: api.versions.RegisterModelVersion(request))) == ["source"]


@pytest.mark.parametrize("address", ["runs:/", "file:///etc/passwd", "s3://bucket/x", "runs:/../x", "models:/a/1", ""])
def test_an_address_that_is_no_run_s_is_refused(api: Api, unique_name: str, address: str) -> None:
    request = register(unique_name, "")
    request.run_artifact = address
    assert list(violated(lambda: api.versions.RegisterModelVersion(request))) == ["run_artifact"]


def test_an_unknown_bundle_and_one_of_another_model_are_not_found_and_make_no_model(api: Api, unique_name: str) -> None:
    other = api.upload(f"{unique_name}-other", {"a": b"a"})
    for artifact_id in (UNKNOWN, other.id):
        refused(lambda a=artifact_id: send(api, unique_name, a), CODE.NOT_FOUND, "ARTIFACT_NOT_FOUND")  # type: ignore[misc]
    assert list(api.models.ListModels(ListModelsRequest(name_prefix=unique_name)).models) == []


def test_a_run_that_mlflow_does_not_have_is_not_found_and_takes_no_number(api: Api, unique_name: str) -> None:
    request = register(unique_name, "")
    request.run_artifact = f"runs:/{UNKNOWN}/model"
    call = lambda: api.versions.RegisterModelVersion(request, timeout=CALL_SECONDS)  # noqa: E731
    refused(call, CODE.NOT_FOUND, "RUN_NOT_FOUND")
    assert numbers(api, unique_name) == []
    assert api.register(unique_name).version == 1


def test_a_repeated_request_id_answers_as_the_first_call_did_and_makes_no_second_version(
    api: Api, unique_name: str
) -> None:
    artifact = api.upload(unique_name, {"a": b"a"})
    first = send(api, unique_name, artifact.id, request_id=unique_name)
    assert first.event_sequence > 0
    send(api, unique_name, artifact.id)
    assert send(api, unique_name, artifact.id, request_id=unique_name) == first
    assert numbers(api, unique_name) == [2, 1]


def test_a_request_id_with_another_body_is_refused(api: Api, unique_name: str) -> None:
    artifact = api.upload(unique_name, {"a": b"a"})
    send(api, unique_name, artifact.id, request_id=unique_name)
    other = lambda: send(api, unique_name, artifact.id, request_id=unique_name, metrics={"f1": 0.1})  # noqa: E731
    refused(other, CODE.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert numbers(api, unique_name) == [1]


def test_a_request_id_of_a_refused_call_is_free(api: Api, unique_name: str) -> None:
    refused(lambda: send(api, unique_name, UNKNOWN, request_id=unique_name), CODE.NOT_FOUND, "ARTIFACT_NOT_FOUND")
    artifact = api.upload(unique_name, {"a": b"a"})
    assert send(api, unique_name, artifact.id, request_id=unique_name).model_version.version == 1


def test_equal_content_is_reused_when_asked_and_only_then(api: Api, unique_name: str) -> None:
    first = api.register(unique_name, metrics={"f1": 0.9}, parameters=TYPED)

    def again(**fields: Any) -> tuple[int, bool]:
        answer = send(api, unique_name, first.artifact_id, parameters=TYPED, **fields)
        return answer.model_version.version, answer.is_existing

    assert again(metrics={"f1": 0.9}, reuse_same_content=True) == (1, True)
    assert again(metrics={"f1": 0.9}) == (2, False)
    assert again(metrics={"f1": 0.9}, reuse_same_content=True) == (2, True)
    assert again(metrics={"f1": 0.8}, reuse_same_content=True) == (3, False)


def test_a_semantic_version_belongs_to_one_version_of_a_model(api: Api, unique_name: str) -> None:
    first = api.register(unique_name, semantic_version="1.4.0")
    found = refused(
        lambda: send(api, unique_name, first.artifact_id, semantic_version="1.4.0"),
        CODE.ALREADY_EXISTS,
        "SEMANTIC_VERSION_EXISTS",
    )
    assert found.metadata == {"version": "1", "semantic_version": "1.4.0"}
    assert numbers(api, unique_name) == [1]
    assert api.get(ModelVersionRef(model=model_ref(unique_name), semantic_version="1.4.0")) == first
    api.register(f"{unique_name}-other", semantic_version="1.4.0")
    assert send(api, unique_name, first.artifact_id, semantic_version="1.4.0-rc.1").model_version.version == 2


def test_validate_only_changes_nothing_and_refuses_what_the_call_would(api: Api, unique_name: str) -> None:
    artifact = api.upload(unique_name, {"a": b"a"})
    answer = send(api, unique_name, artifact.id, validate_only=True, semantic_version="1.0.0", request_id=unique_name)
    assert answer == RegisterModelVersionResponse(suggested_semantic_version="1.0.0")
    assert list(api.models.ListModels(ListModelsRequest(name_prefix=unique_name)).models) == []
    made = send(api, unique_name, artifact.id, semantic_version="1.0.0", request_id=unique_name)
    assert made.model_version.version == 1
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"semantic_version": "1.0.0"}, "SEMANTIC_VERSION_EXISTS"),
        ({"metrics": {"f1": math.nan}}, "INVALID_FIELD"),
    ]
    for fields, reason in refusals:
        for is_validate_only in (True, False):
            call = partial(send, api, unique_name, artifact.id, validate_only=is_validate_only, **fields)
            assert refusal(call).reason == reason
    reused = send(api, unique_name, artifact.id, validate_only=True, reuse_same_content=True)
    assert reused == RegisterModelVersionResponse()
    assert numbers(api, unique_name) == [1]


def test_without_waiting_the_answer_is_pending_and_the_version_gets_ready_by_itself(api: Api, unique_name: str) -> None:
    artifact = api.upload(unique_name, {"a": b"a"})
    pending = send(api, unique_name, artifact.id, wait_timeout=Duration(), request_id=unique_name).model_version
    assert (pending.state, pending.version) == (MODEL_VERSION_STATE_PENDING, 0)
    by_uid = ModelVersionRef(model=model_ref(unique_name), uid=pending.uid)
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while (found := api.get(by_uid)).state == MODEL_VERSION_STATE_PENDING:
        assert time.monotonic() < deadline
    assert (found.state, found.version) == (MODEL_VERSION_STATE_READY, 1)
    again = send(api, unique_name, artifact.id, wait_timeout=Duration(), request_id=unique_name)
    assert (again.model_version.uid, again.model_version.version) == (pending.uid, 1)


def test_a_bundle_s_mlmodel_file_says_flavors_and_signature_unless_the_caller_does(api: Api, unique_name: str) -> None:
    text = b"""flavors: {sklearn: {}, python_function: {}}
signature: {inputs: '[{"type": "double", "name": "age"}]'}
"""
    artifact = api.upload(unique_name, {"MLmodel": text, "model.pkl": b"x"})
    found = api.register(unique_name, artifact_id=artifact.id)
    assert list(found.flavors) == ["python_function", "sklearn"]
    assert [(tensor.name, tensor.dtype) for tensor in found.signature.inputs] == [("age", "double")]
    said = api.register(unique_name, artifact_id=artifact.id, flavors=["mine"])
    assert list(said.flavors) == ["mine"]
    assert said.signature == found.signature


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b"{a: " * 50_000,
        b"signature: {inputs: '" + b"[" * 50_000 + b"'}",
        b'signature: {inputs: \'[{"type":"tensor","tensor-spec":{"dtype":"x","shape":[99999999999999999999]}}]\'}',
        b'signature: {inputs: \'[{"type":"double","name":"\\ud800"}]\'}',
        b'flavors: {"\\ud800": 1}',
        b"\xff\xfe",
    ],
)
def test_no_mlmodel_file_harms_the_server(api: Api, unique_name: str, text: bytes) -> None:
    artifact = api.upload(unique_name, {"MLmodel": text})
    version = api.register(unique_name, artifact_id=artifact.id)
    assert api.get(by_number(unique_name, version.version)).state == MODEL_VERSION_STATE_READY


@pytest.mark.parametrize("key", ["a b/c", "weird ☃ key", "..", "a//b", "x" * 128, "plain", "'\"`"])
def test_any_key_of_a_tag_gets_through_to_ready(api: Api, unique_name: str, key: str) -> None:
    version = api.register(unique_name, tags={key: "value ☃ '\"`"}, parameters={key: TYPED["one"]}, metrics={key: 1.0})
    assert (version.state, dict(version.tags)) == (MODEL_VERSION_STATE_READY, {key: "value ☃ '\"`"})
