"""ModelVersionService: resolving, listing, changing, deleting, comparing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

import registrar
from registrar.v1 import model_version_service_pb2 as pb
from registrar.v1 import reference_pb2, value_pb2
from registrar.v1.lifecycle_service_pb2 import TransitionStageRequest
from registrar.v1.reference_pb2 import ModelVersionRef
from tests.end_to_end.api import CODE, Api, by_alias, by_number, by_stage, model_ref, refused, violated
from tests.fixtures.server import RunningServer

STAGING, PRODUCTION = reference_pb2.STAGE_STAGING, reference_pb2.STAGE_PRODUCTION


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


NAMING: Mapping[str, Callable[[ModelVersionRef], Any]] = {
    "GetModelVersion": lambda ref: pb.GetModelVersionRequest(ref=ref),
    "UpdateModelVersion": lambda ref: pb.UpdateModelVersionRequest(ref=ref, description="new"),
    "DeleteModelVersion": lambda ref: pb.DeleteModelVersionRequest(ref=ref),
    "UndeleteModelVersion": lambda ref: pb.UndeleteModelVersionRequest(ref=ref),
    "SetAlias": lambda ref: pb.SetAliasRequest(ref=ref, alias="champion"),
    "CompareModelVersions": lambda ref: pb.CompareModelVersionsRequest(refs=[ref, ref]),
}
"""Every RPC that names a version."""


def call(api: Api, rpc: str, ref: ModelVersionRef) -> Any:
    return getattr(api.versions, rpc)(NAMING[rpc](ref))


@pytest.mark.parametrize("rpc", NAMING)
def test_what_there_is_not_is_not_found_by_its_own_reason_and_nothing_changes(
    api: Api, unique_name: str, rpc: str
) -> None:
    before = api.register(unique_name)
    model = model_ref(unique_name)
    for ref, reason in (
        (by_number(f"{unique_name}-none", 1), "MODEL_NOT_FOUND"),
        (by_number(unique_name, 2), "VERSION_NOT_FOUND"),
        (by_number(unique_name, 2**63 - 1), "VERSION_NOT_FOUND"),
        (by_alias(unique_name, "canary"), "ALIAS_NOT_FOUND"),
        (by_stage(unique_name, PRODUCTION), "STAGE_EMPTY"),
        (ModelVersionRef(model=model, semantic_version="1.0.0"), "VERSION_NOT_FOUND"),
        (ModelVersionRef(model=model, uid="0" * 32), "VERSION_NOT_FOUND"),
    ):
        refused(lambda r=ref: call(api, rpc, r), CODE.NOT_FOUND, reason)  # type: ignore[misc]
    assert api.get(by_number(unique_name, 1)) == before


@pytest.mark.parametrize("rpc", NAMING)
def test_a_reference_that_is_none_is_refused(api: Api, rpc: str) -> None:
    field = "refs[0]" if rpc == "CompareModelVersions" else "ref"
    model = model_ref("m")
    for ref, at in (
        (ModelVersionRef(), {f"{field}.model.name", field}),
        (ModelVersionRef(model=model), {field}),
        (ModelVersionRef(model=model, version=0), {f"{field}.version"}),
        (ModelVersionRef(model=model, version=-(2**63)), {f"{field}.version"}),
        (ModelVersionRef(model=model, alias="1x"), {f"{field}.alias"}),
        (ModelVersionRef(model=model, alias="a\0"), {f"{field}.alias"}),
        (ModelVersionRef(model=model, stage=reference_pb2.STAGE_NONE), {f"{field}.stage"}),
        (ModelVersionRef(model=model, stage=reference_pb2.STAGE_ARCHIVED), {f"{field}.stage"}),
        (ModelVersionRef(model=model, stage=77), {f"{field}.stage"}),  # type: ignore[arg-type]
        (ModelVersionRef(model=model, semantic_version=""), {f"{field}.semantic_version"}),
        (ModelVersionRef(model=model, semantic_version="one"), {f"{field}.semantic_version"}),
        (ModelVersionRef(model=model, semantic_version="^1 || ^2"), {f"{field}.semantic_version"}),
        (ModelVersionRef(model=model, semantic_version="1 " * 129), {f"{field}.semantic_version"}),
        (ModelVersionRef(model=model, uid="A" * 32), {f"{field}.uid"}),
    ):
        found = violated(lambda r=ref: call(api, rpc, r))  # type: ignore[misc]
        assert at <= set(found)


def test_every_reference_resolves_to_the_number(api: Api, unique_name: str) -> None:
    api.register(unique_name)
    made = api.register(unique_name, semantic_version="2.0.0")
    api.move(unique_name, 2, PRODUCTION)
    api.versions.SetAlias(pb.SetAliasRequest(ref=by_number(unique_name, 2), alias="champion"))
    model = model_ref(unique_name)
    found = [
        api.get(ref)
        for ref in (
            by_number(unique_name, 2),
            by_alias(unique_name, "champion"),
            by_stage(unique_name, PRODUCTION),
            ModelVersionRef(model=model, semantic_version="2.0.0"),
            ModelVersionRef(model=model, uid=made.uid),
        )
    ]
    assert [version.version for version in found] == [2] * 5
    assert all(version == found[0] for version in found)
    assert (list(found[0].aliases), found[0].stage) == (["champion"], PRODUCTION)


def by_range(name: str, text: str) -> ModelVersionRef:
    return ModelVersionRef(model=model_ref(name), semantic_version=text)


def test_a_range_resolves_to_the_highest_semantic_version_in_it_and_follows_the_next_registration(
    server: RunningServer, api: Api, unique_name: str
) -> None:
    artifact_id = api.upload(unique_name, {"a": b"a"}).id
    for text in ("2.10.0", "2.9.0", "3.0.0-rc.1", "1.0.0"):
        api.register(unique_name, artifact_id=artifact_id, semantic_version=text)
    api.register(unique_name, artifact_id=artifact_id)
    found = {text: api.get(by_range(unique_name, text)).version for text in ("^2.1", "2", "<2.10", "*", "^3.0.0-0")}
    assert found == {"^2.1": 1, "2": 1, "<2.10": 2, "*": 1, "^3.0.0-0": 3}
    absent = refused(lambda: api.get(by_range(unique_name, "^2.11")), CODE.NOT_FOUND, "VERSION_NOT_FOUND")
    assert absent.metadata == {"model": unique_name, "version": "^2.11"}
    with server.connect() as registry:
        registry.register(unique_name, artifact_id=artifact_id, semantic_version="2.11.0")
        assert registry.get(f"{unique_name}@>=2,<3").semantic_version == "2.11.0"
        registry.delete(f"{unique_name}/2.11.0")
        assert registry.get(f"{unique_name}@^2.1").version == 1
        assert registry.verify(f"{unique_name}@^2.1").id == artifact_id
    compared = pb.CompareModelVersionsRequest(refs=[by_range(unique_name, "2.x"), by_range(unique_name, "1.x")])
    assert [row.version for row in api.versions.CompareModelVersions(compared).comparison] == [1, 4]


CHANGES = ("UpdateModelVersion", "DeleteModelVersion", "UndeleteModelVersion", "SetAlias")


@pytest.mark.parametrize("rpc", CHANGES)
def test_a_change_is_refused_that_names_its_version_by_a_range(api: Api, unique_name: str, rpc: str) -> None:
    before = api.register(unique_name, semantic_version="2.1.0")
    assert list(violated(lambda: call(api, rpc, by_range(unique_name, "^2.1")))) == ["ref.semantic_version"]
    move = TransitionStageRequest(ref=by_range(unique_name, "2.1"), stage=STAGING)
    assert list(violated(lambda: api.lifecycle.TransitionStage(move))) == ["ref.semantic_version"]
    parent = value_pb2.Provenance(parent=by_range(unique_name, "*"))
    found = violated(lambda: api.register(unique_name, artifact_id=before.artifact_id, provenance=parent))
    assert list(found) == ["provenance.parent.semantic_version"]
    assert api.get(by_range(unique_name, "^2.1")) == before


def update(api: Api, name: str, **fields: Any) -> Any:
    return api.versions.UpdateModelVersion(pb.UpdateModelVersionRequest(ref=by_number(name, 1), **fields)).model_version


def test_an_update_changes_what_its_mask_names_and_never_what_a_version_consists_of(api: Api, unique_name: str) -> None:
    before = api.register(unique_name, metrics={"f1": 0.9}, description="old", tags={"k": "v"})
    documents = value_pb2.Documentation(model_card_uri="s3://cards/1")
    changed = update(
        api,
        unique_name,
        update_mask=FieldMask(paths=["tags", "deprecation_note", "documentation"]),
        deprecation_note="worse",
        documentation=documents,
        description="ignored",
    )
    assert (changed.description, dict(changed.tags), changed.deprecation_note) == ("old", {}, "worse")
    assert changed.documentation == documents
    assert changed.etag != before.etag
    for field in ("metrics", "artifact_id", "manifest_digest", "provenance", "version", "uid", "stage"):
        assert getattr(changed, field) == getattr(before, field)
        mask = FieldMask(paths=[field])
        assert list(violated(lambda m=mask: update(api, unique_name, update_mask=m))) == ["update_mask.paths[0]"]  # type: ignore[misc]
    assert api.get(by_number(unique_name, 1)) == changed


def test_every_violation_of_an_update_is_reported_at_once(api: Api, unique_name: str) -> None:
    before = api.register(unique_name)
    found = violated(
        lambda: update(
            api,
            unique_name,
            request_id="with space",
            update_mask=FieldMask(paths=["stage"]),
            description="x" * 5_001,
            tags={"mlflow.x": ""},
            deprecation_note="x" * 1_001,
            documentation=value_pb2.Documentation(model_card_uri="u" * 2_001, datasheet_uri="\0"),
            drift_monitor_id="d" * 257,
        )
    )
    assert set(found) == {
        "request_id",
        "update_mask.paths[0]",
        "description",
        "tags['mlflow.x'] (key)",
        "deprecation_note",
        "documentation.model_card_uri",
        "documentation.datasheet_uri",
        "drift_monitor_id",
    }
    assert api.get(by_number(unique_name, 1)) == before


def test_an_old_etag_is_refused_and_changes_nothing(api: Api, unique_name: str) -> None:
    old = api.register(unique_name).etag
    changed = update(api, unique_name, description="new", etag=old)
    for action in (
        lambda: update(api, unique_name, description="newer", etag=old),
        lambda: api.versions.DeleteModelVersion(pb.DeleteModelVersionRequest(ref=by_number(unique_name, 1), etag=old)),
        lambda: api.move(unique_name, 1, STAGING, etag=old),
    ):
        assert refused(action, CODE.ABORTED, "ETAG_MISMATCH").metadata == {"etag": changed.etag}
    assert api.get(by_number(unique_name, 1)) == changed


def test_a_version_in_use_is_not_deleted(api: Api, unique_name: str) -> None:
    api.register(unique_name)
    request = pb.DeleteModelVersionRequest(ref=by_number(unique_name, 1))
    delete = lambda: api.versions.DeleteModelVersion(request)  # noqa: E731
    api.move(unique_name, 1, STAGING)
    assert refused(delete, CODE.FAILED_PRECONDITION, "VERSION_IN_USE").metadata["stage"] == "staging"
    api.move(unique_name, 1, reference_pb2.STAGE_ARCHIVED)
    api.versions.SetAlias(pb.SetAliasRequest(ref=by_number(unique_name, 1), alias="champion"))
    assert refused(delete, CODE.FAILED_PRECONDITION, "VERSION_IN_USE").metadata["aliases"] == "champion"
    assert not api.get(by_number(unique_name, 1)).HasField("delete_time")
    api.versions.DeleteAlias(pb.DeleteAliasRequest(model=model_ref(unique_name), alias="champion"))
    api.versions.DeleteModelVersion(request)


def test_a_deleted_version_is_hidden_keeps_its_number_and_comes_back_as_it_was(api: Api, unique_name: str) -> None:
    api.register(unique_name)
    before = api.register(unique_name, semantic_version="2.0.0", metrics={"f1": 0.9})
    ref = by_number(unique_name, 2)
    deleted = api.versions.DeleteModelVersion(pb.DeleteModelVersionRequest(ref=ref)).model_version
    assert (deleted.purge_time.ToDatetime() - deleted.delete_time.ToDatetime()).days == 30
    assert api.get(ref) == api.get(ModelVersionRef(model=model_ref(unique_name), uid=before.uid)) == deleted
    semantic = ModelVersionRef(model=model_ref(unique_name), semantic_version="2.0.0")
    refused(lambda: api.get(semantic), CODE.NOT_FOUND, "VERSION_NOT_FOUND")
    for rpc in ("UpdateModelVersion", "DeleteModelVersion", "SetAlias"):
        refused(lambda r=rpc: call(api, r, ref), CODE.FAILED_PRECONDITION, "VERSION_DELETED")  # type: ignore[misc]
    refused(lambda: api.move(unique_name, 2, STAGING), CODE.FAILED_PRECONDITION, "VERSION_DELETED")
    listed = pb.ListModelVersionsRequest(model=model_ref(unique_name))
    assert [version.version for version in api.versions.ListModelVersions(listed).model_versions] == [1]
    assert api.register(unique_name).version == 3
    back = api.versions.UndeleteModelVersion(pb.UndeleteModelVersionRequest(ref=ref)).model_version
    assert (back.version, dict(back.metrics), back.HasField("delete_time")) == (2, {"f1": 0.9}, False)
    assert api.versions.UndeleteModelVersion(pb.UndeleteModelVersionRequest(ref=ref)).event_sequence == 0


MUTATIONS: Mapping[str, Any] = {
    "UpdateModelVersion": {"description": "new"},
    "DeleteModelVersion": {},
    "UndeleteModelVersion": {},
}


@pytest.mark.parametrize("rpc", MUTATIONS)
def test_a_request_id_replays_and_is_refused_with_another_body(api: Api, unique_name: str, rpc: str) -> None:
    api.register(unique_name)
    make = getattr(pb, f"{rpc}Request")
    request = make(ref=by_number(unique_name, 1), request_id=unique_name, **MUTATIONS[rpc])
    first = getattr(api.versions, rpc)(request)
    api.register(unique_name)
    assert getattr(api.versions, rpc)(request) == first
    other = make(ref=by_number(unique_name, 2), request_id=unique_name, **MUTATIONS[rpc])
    before = api.get(by_number(unique_name, 2))
    refused(lambda: getattr(api.versions, rpc)(other), CODE.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert api.get(by_number(unique_name, 2)) == before


def test_pages_are_stable_while_versions_come_in(api: Api, registry: registrar.Registry, unique_name: str) -> None:
    artifact_id = api.register(unique_name).artifact_id
    for _ in range(5):
        api.register(unique_name, artifact_id=artifact_id)
    found: list[int] = []
    for version in registry.versions(unique_name, page_size=2):
        found.append(version.version)
        if len(found) == 3:
            api.register(unique_name, artifact_id=artifact_id)
    assert found == [6, 5, 4, 3, 2, 1]


def test_a_list_refuses_what_is_none(api: Api, unique_name: str) -> None:
    api.register(unique_name)
    listing = api.versions.ListModelVersions
    model = model_ref(unique_name)
    unknown = pb.ListModelVersionsRequest(model=model_ref(f"{unique_name}-none"))
    refused(lambda: listing(unknown), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
    stage = pb.ListModelVersionsRequest(model=model, stage=77)  # type: ignore[arg-type]
    assert list(violated(lambda: listing(stage))) == ["stage"]
    token = pb.ListModelVersionsRequest(model=model, page_token="x")
    refused(lambda: listing(token), CODE.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


def compare(api: Api, refs: list[ModelVersionRef]) -> pb.CompareModelVersionsResponse:
    return api.versions.CompareModelVersions(pb.CompareModelVersionsRequest(refs=refs))


def test_a_comparison_refuses_what_is_none(api: Api, unique_name: str) -> None:
    api.register(unique_name)
    api.register(f"{unique_name}-other")
    one, other = by_number(unique_name, 1), by_number(f"{unique_name}-other", 1)
    for refs, at in (
        ([], "refs"),
        ([one], "refs"),
        ([one] * 21, "refs"),
        ([one, other], "refs"),
        ([one] * 2, "refs[1]"),
    ):
        assert list(violated(lambda r=refs: compare(api, r))) == [at]  # type: ignore[misc]
    api.register(unique_name)
    api.versions.DeleteModelVersion(pb.DeleteModelVersionRequest(ref=by_number(unique_name, 2)))
    deleted = [one, by_number(unique_name, 2)]
    refused(lambda: compare(api, deleted), CODE.FAILED_PRECONDITION, "VERSION_DELETED")


def test_a_comparison_goes_by_declared_goals_and_slices(api: Api, unique_name: str) -> None:
    part = value_pb2.MetricSlice(dimension="region", value="eu", metrics={"cost_saved": 1.0})
    api.register(unique_name, metrics={"cost_saved": 1.0}, metric_slices=[part])
    part.metrics["cost_saved"] = 0.5
    api.register(unique_name, metrics={"cost_saved": 2.0}, metric_slices=[part])
    refs = [by_number(unique_name, number) for number in (1, 2)]
    assert compare(api, refs).recommended_version == 1
    from registrar.v1.model_service_pb2 import UpdateModelRequest

    goals = {"cost_saved": value_pb2.METRIC_GOAL_MAXIMIZE}
    api.models.UpdateModel(UpdateModelRequest(model=model_ref(unique_name), metric_goals=goals))
    compared = compare(api, refs)
    assert compared.recommended_version == 2
    assert compared.recommendation.endswith("; worse: cost_saved on region=eu")
    assert [(row.slice_dimension, list(row.winners)) for row in compared.metrics] == [("", [2]), ("region", [1])]
    assert [value.delta for value in compared.metrics[0].values] == [0.0, 1.0]
