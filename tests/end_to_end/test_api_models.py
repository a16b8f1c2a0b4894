"""ModelService: what it refuses, what it replays, and how it pages."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

import registrar
from registrar.v1 import model_service_pb2 as pb
from registrar.v1 import reference_pb2, value_pb2
from tests.end_to_end.api import CODE, Api, model_ref, refused, violated

MAXIMIZE = value_pb2.METRIC_GOAL_MAXIMIZE


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


NOW = reference_pb2.Consistency(strong=True)


def create(api: Api, name: str, **fields: Any) -> pb.CreateModelResponse:
    return api.models.CreateModel(pb.CreateModelRequest(model=model_ref(name), **fields))


def get(api: Api, name: str) -> Any:
    return api.models.GetModel(pb.GetModelRequest(model=model_ref(name), consistency=NOW)).model


def test_a_model_is_read_back_as_it_was_made(api: Api, unique_name: str) -> None:
    made = create(api, unique_name, description="ü\n", tags={"k": "v"}, metric_goals={"rmse": MAXIMIZE})
    found = get(api, unique_name)
    assert made.model == found
    assert (found.description, dict(found.tags), dict(found.metric_goals)) == ("ü\n", {"k": "v"}, {"rmse": MAXIMIZE})
    assert (found.latest_version, found.production_version, found.staging_version) == (0, 0, 0)
    assert made.event_sequence > 0


def test_every_violation_of_a_new_model_is_reported_at_once_and_nothing_is_made(api: Api, unique_name: str) -> None:
    found = violated(
        lambda: create(
            api,
            f"{unique_name} ",
            request_id="with space",
            description="x" * 5_001,
            tags={"": "v", "mlflow.note": "x", "k" * 129: "v", "long": "v" * 5_001},
            metric_goals={"f1": value_pb2.METRIC_GOAL_UNSPECIFIED},
        )
    )
    assert set(found) == {
        "model.name",
        "request_id",
        "description",
        "tags[''] (key)",
        "tags['mlflow.note'] (key)",
        f"tags['{'k' * 64}'] (key)",
        "tags['long']",
        "metric_goals['f1']",
    }
    listed = api.models.ListModels(pb.ListModelsRequest(name_prefix=unique_name, show_deleted=True))
    assert list(listed.models) == []


@pytest.mark.parametrize("name", ["", "a" * 129, "../etc", "a/b", "-a", "ä", "a\n"])
@pytest.mark.parametrize("rpc", ["CreateModel", "GetModel", "UpdateModel", "DeleteModel", "UndeleteModel"])
def test_a_name_that_is_none_is_refused_by_every_rpc(api: Api, rpc: str, name: str) -> None:
    fields = {"description": "x"} if rpc == "UpdateModel" else {}
    request = getattr(pb, f"{rpc}Request")(model=model_ref(name), **fields)
    assert set(violated(lambda: getattr(api.models, rpc)(request))) == {"model.name"}


@pytest.mark.parametrize("rpc", ["CreateModel", "GetModel", "UpdateModel", "DeleteModel", "UndeleteModel"])
def test_a_tenant_that_is_none_is_refused_by_every_rpc(api: Api, unique_name: str, rpc: str) -> None:
    fields = {"description": "x"} if rpc == "UpdateModel" else {}
    request = getattr(pb, f"{rpc}Request")(model=model_ref(unique_name, "../etc"), **fields)
    assert set(violated(lambda: getattr(api.models, rpc)(request))) == {"model.tenant"}


@pytest.mark.parametrize("rpc", ["GetModel", "UpdateModel", "DeleteModel", "UndeleteModel"])
def test_an_unknown_model_is_not_found_by_every_rpc(api: Api, unique_name: str, rpc: str) -> None:
    fields = {"description": "x"} if rpc == "UpdateModel" else {}
    request = getattr(pb, f"{rpc}Request")(model=model_ref(unique_name), **fields)
    found = refused(lambda: getattr(api.models, rpc)(request), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
    assert found.metadata == {"tenant": "default", "model": unique_name}


def test_a_taken_name_is_refused_and_the_model_stays_as_it_is(api: Api, unique_name: str) -> None:
    before = create(api, unique_name, description="first").model
    refused(lambda: create(api, unique_name, description="second"), CODE.ALREADY_EXISTS, "MODEL_EXISTS")
    assert get(api, unique_name) == before


MUTATIONS: Mapping[str, Callable[[str, str], Any]] = {
    "CreateModel": lambda name, _: pb.CreateModelRequest(model=model_ref(f"{name}-new"), request_id=f"{name}-r"),
    "UpdateModel": lambda name, text: pb.UpdateModelRequest(
        model=model_ref(name), description=f"new{text}", request_id=f"{name}-r"
    ),
    "DeleteModel": lambda name, _: pb.DeleteModelRequest(model=model_ref(name), request_id=f"{name}-r"),
    "UndeleteModel": lambda name, _: pb.UndeleteModelRequest(model=model_ref(name), request_id=f"{name}-r"),
}


@pytest.mark.parametrize("rpc", MUTATIONS)
def test_a_repeated_request_id_answers_as_the_first_call_did(api: Api, unique_name: str, rpc: str) -> None:
    create(api, unique_name)
    request = MUTATIONS[rpc](unique_name, "")
    first = getattr(api.models, rpc)(request)
    create(api, f"{unique_name}-between")
    assert getattr(api.models, rpc)(request) == first


@pytest.mark.parametrize("rpc", MUTATIONS)
def test_a_request_id_with_another_body_is_refused_and_changes_nothing(api: Api, unique_name: str, rpc: str) -> None:
    create(api, unique_name)
    request = MUTATIONS[rpc](unique_name, "")
    getattr(api.models, rpc)(request)
    other = type(request)()
    other.CopyFrom(request)
    other.model.tenant = "default"
    shown = pb.ListModelsRequest(name_prefix=unique_name, show_deleted=True)
    before = api.models.ListModels(shown)
    found = refused(lambda: getattr(api.models, rpc)(other), CODE.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert found.metadata == {"request_id": f"{unique_name}-r"}
    assert api.models.ListModels(shown) == before


def test_a_request_id_of_one_rpc_means_nothing_to_another(api: Api, unique_name: str) -> None:
    create(api, unique_name, request_id=unique_name)
    api.models.DeleteModel(pb.DeleteModelRequest(model=model_ref(unique_name), request_id=unique_name))


def test_an_update_changes_what_its_mask_names_and_nothing_else(api: Api, unique_name: str) -> None:
    create(api, unique_name, description="old", tags={"k": "v"}, metric_goals={"f1": MAXIMIZE})
    request = pb.UpdateModelRequest(
        model=model_ref(unique_name), update_mask=FieldMask(paths=["tags"]), description="ignored", tags={}
    )
    changed = api.models.UpdateModel(request).model
    assert (changed.description, dict(changed.tags), dict(changed.metric_goals)) == ("old", {}, {"f1": MAXIMIZE})


def test_an_update_without_a_mask_changes_what_is_filled(api: Api, unique_name: str) -> None:
    create(api, unique_name, description="old", tags={"k": "v"})
    changed = api.models.UpdateModel(pb.UpdateModelRequest(model=model_ref(unique_name), description="new")).model
    assert (changed.description, dict(changed.tags)) == ("new", {"k": "v"})


@pytest.mark.parametrize("path", ["name", "uid", "latest_version", "*", "tags.k", ""])
def test_a_mask_that_names_what_cannot_change_is_refused(api: Api, unique_name: str, path: str) -> None:
    before = create(api, unique_name).model
    request = pb.UpdateModelRequest(model=model_ref(unique_name), update_mask=FieldMask(paths=["tags", path]))
    assert list(violated(lambda: api.models.UpdateModel(request))) == ["update_mask.paths[1]"]
    assert get(api, unique_name) == before


def test_an_update_that_names_nothing_is_refused(api: Api, unique_name: str) -> None:
    create(api, unique_name)
    request = pb.UpdateModelRequest(model=model_ref(unique_name))
    assert list(violated(lambda: api.models.UpdateModel(request))) == ["update_mask"]


@pytest.mark.parametrize("rpc", ["UpdateModel", "DeleteModel"])
def test_an_old_etag_is_refused_and_changes_nothing(api: Api, unique_name: str, rpc: str) -> None:
    old = create(api, unique_name).model.etag
    changed = api.models.UpdateModel(
        pb.UpdateModelRequest(model=model_ref(unique_name), description="new", etag=old)
    ).model
    assert changed.etag != old
    fields = {"description": "newer"} if rpc == "UpdateModel" else {}
    request = getattr(pb, f"{rpc}Request")(model=model_ref(unique_name), etag=old, **fields)
    found = refused(lambda: getattr(api.models, rpc)(request), CODE.ABORTED, "ETAG_MISMATCH")
    assert found.metadata == {"etag": changed.etag}
    assert get(api, unique_name) == changed


def test_a_deleted_model_is_hidden_keeps_its_name_and_comes_back_as_it_was(api: Api, unique_name: str) -> None:
    version = api.register(unique_name)
    before = get(api, unique_name)
    deleted = api.models.DeleteModel(pb.DeleteModelRequest(model=model_ref(unique_name))).model
    assert (deleted.purge_time.ToDatetime() - deleted.delete_time.ToDatetime()).days == 30
    refused(lambda: get(api, unique_name), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
    refused(lambda: create(api, unique_name), CODE.ALREADY_EXISTS, "MODEL_EXISTS")
    refused(lambda: api.upload(unique_name, {"a": b"a"}), CODE.FAILED_PRECONDITION, "MODEL_DELETED")
    gone = lambda: api.register(unique_name, artifact_id=version.artifact_id)  # noqa: E731
    refused(gone, CODE.FAILED_PRECONDITION, "MODEL_DELETED")
    assert list(api.models.ListModels(pb.ListModelsRequest(name_prefix=unique_name)).models) == []
    shown = pb.ListModelsRequest(name_prefix=unique_name, show_deleted=True)
    assert [model.name for model in api.models.ListModels(shown).models] == [unique_name]
    back = api.models.UndeleteModel(pb.UndeleteModelRequest(model=model_ref(unique_name))).model
    assert (back.uid, back.latest_version, back.HasField("delete_time")) == (before.uid, 1, False)
    assert api.register(unique_name).version == 2


@pytest.mark.parametrize("stage", [reference_pb2.STAGE_STAGING, reference_pb2.STAGE_PRODUCTION])
def test_a_model_with_a_version_in_use_is_not_deleted(
    api: Api, unique_name: str, stage: reference_pb2.Stage.ValueType
) -> None:
    api.register(unique_name)
    api.move(unique_name, 1, stage)
    request = pb.DeleteModelRequest(model=model_ref(unique_name))
    found = refused(lambda: api.models.DeleteModel(request), CODE.FAILED_PRECONDITION, "MODEL_IN_USE")
    assert found.metadata["versions"] == "1"
    assert not get(api, unique_name).HasField("delete_time")
    api.move(unique_name, 1, reference_pb2.STAGE_ARCHIVED)
    api.models.DeleteModel(request)


def test_pages_are_stable_while_models_come_in(api: Api, registry: registrar.Registry) -> None:
    prefix = f"page-{secrets.token_hex(4)}-"
    for index in range(5, 15):
        create(api, f"{prefix}{index:02}")
    found: list[str] = []
    for model in registry.models(prefix=prefix, page_size=3):
        found.append(model.name)
        if len(found) == 4:
            create(api, f"{prefix}00")
            create(api, f"{prefix}99")
    assert found == [f"{prefix}{index:02}" for index in range(5, 15)] + [f"{prefix}99"]


def test_a_page_token_of_another_list_or_made_up_is_refused(api: Api) -> None:
    prefix = f"token-{secrets.token_hex(4)}-"
    for index in range(2):
        create(api, f"{prefix}{index}")
    page = api.models.ListModels(pb.ListModelsRequest(name_prefix=prefix, page_size=1))
    assert page.next_page_token
    for request in (
        pb.ListModelsRequest(name_prefix="other", page_token=page.next_page_token),
        pb.ListModelsRequest(name_prefix=prefix, show_deleted=True, page_token=page.next_page_token),
        pb.ListModelsRequest(name_prefix=prefix, page_token="garbage"),
        pb.ListModelsRequest(name_prefix=prefix, page_token="ü"),
    ):
        refused(lambda r=request: api.models.ListModels(r), CODE.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")  # type: ignore[misc]


@pytest.mark.parametrize("size", [-1, 0, 1_000_000])
def test_any_page_size_is_coerced(api: Api, unique_name: str, size: int) -> None:
    create(api, unique_name)
    listed = api.models.ListModels(pb.ListModelsRequest(name_prefix=unique_name, page_size=size))
    assert [model.name for model in listed.models] == [unique_name]


def test_a_name_that_only_a_bundle_was_pushed_for_is_no_model_yet(api: Api, unique_name: str) -> None:
    api.upload(unique_name, {"a": b"a"})
    refused(lambda: get(api, unique_name), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
    assert list(api.models.ListModels(pb.ListModelsRequest(name_prefix=unique_name, show_deleted=True)).models) == []
    assert create(api, unique_name, description="now").model.description == "now"
