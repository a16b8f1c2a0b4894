"""Aliases: compare-and-set, reserved names, history."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

import registrar
from registrar.v1 import model_version_service_pb2 as pb
from tests.end_to_end.api import CODE, Api, by_alias, by_number, model_ref, refused, violated


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


@pytest.fixture
def name(api: Api, unique_name: str) -> str:
    """A model with two versions."""
    artifact_id = api.register(unique_name).artifact_id
    api.register(unique_name, artifact_id=artifact_id)
    return unique_name


def put(api: Api, name: str, version: int, alias: str = "champion", **fields: Any) -> pb.SetAliasResponse:
    return api.versions.SetAlias(pb.SetAliasRequest(ref=by_number(name, version), alias=alias, **fields))


def remove(api: Api, name: str, alias: str = "champion", **fields: Any) -> pb.DeleteAliasResponse:
    return api.versions.DeleteAlias(pb.DeleteAliasRequest(model=model_ref(name), alias=alias, **fields))


def history(api: Api, name: str, **fields: Any) -> list[tuple[str, int, int, str]]:
    found = api.versions.ListAliasHistory(pb.ListAliasHistoryRequest(model=model_ref(name), **fields))
    return [(move.alias, move.from_version, move.to_version, move.comment) for move in found.moves]


def test_an_alias_moves_and_its_history_tells_how(api: Api, name: str) -> None:
    assert put(api, name, 1, comment="first").previous_version == 0
    moved = put(api, name, 2, comment="better")
    assert (moved.previous_version, list(moved.model_version.aliases)) == (1, ["champion"])
    put(api, name, 1, "canary")
    assert remove(api, name, comment="over").previous_version == 2
    refused(lambda: api.get(by_alias(name, "champion")), CODE.NOT_FOUND, "ALIAS_NOT_FOUND")
    assert history(api, name) == [
        ("champion", 2, 0, "over"),
        ("canary", 0, 1, ""),
        ("champion", 1, 2, "better"),
        ("champion", 0, 1, "first"),
    ]
    assert history(api, name, alias="canary") == [("canary", 0, 1, "")]


def test_setting_an_alias_where_it_points_changes_nothing(api: Api, name: str) -> None:
    put(api, name, 1)
    again = put(api, name, 1)
    assert (again.previous_version, again.event_sequence) == (1, 0)
    assert len(history(api, name)) == 1


@pytest.mark.parametrize(("held", "expected"), [(0, 1), (1, 0), (1, 2), (2, 1)])
def test_an_alias_that_points_elsewhere_than_expected_stays(api: Api, name: str, held: int, expected: int) -> None:
    if held:
        put(api, name, held)
    before = history(api, name)
    for action in (
        lambda: put(api, name, 1, expected_version=expected),
        lambda: remove(api, name, expected_version=expected),
    ):
        found = refused(action, CODE.ABORTED, "ALIAS_MOVED")
        assert found.metadata == {"alias": "champion", "version": str(held)}
    assert history(api, name) == before


def test_an_alias_that_points_where_expected_moves(api: Api, name: str) -> None:
    put(api, name, 1, expected_version=0)
    put(api, name, 2, expected_version=1)
    assert api.get(by_alias(name, "champion")).version == 2
    remove(api, name, expected_version=2)


@pytest.mark.parametrize("alias", ["production", "Staging", "none", "archived", "latest", "LATEST", "v1", "V22"])
def test_a_reserved_name_is_refused(api: Api, name: str, alias: str) -> None:
    (description,) = violated(lambda: put(api, name, 1, alias)).values()
    assert "reserved" in description
    assert history(api, name) == []


def test_every_violation_is_reported_at_once(api: Api) -> None:
    found = violated(lambda: put(api, "/", 0, "1x", request_id=" ", comment="x" * 5_001))
    assert set(found) == {"request_id", "ref.model.name", "ref.version", "alias", "comment"}
    found = violated(lambda: remove(api, "/", "", request_id=" ", comment="x" * 5_001))
    assert set(found) == {"request_id", "model.name", "alias", "comment"}


def test_an_absent_alias_is_not_found(api: Api, name: str) -> None:
    refused(lambda: remove(api, name), CODE.NOT_FOUND, "ALIAS_NOT_FOUND")
    refused(lambda: remove(api, f"{name}-none"), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
    refused(lambda: history(api, f"{name}-none"), CODE.NOT_FOUND, "MODEL_NOT_FOUND")


def test_a_request_id_replays_and_is_refused_with_another_body(api: Api, name: str) -> None:
    first = put(api, name, 1, request_id=name)
    put(api, name, 2)
    assert put(api, name, 1, request_id=name) == first
    assert api.get(by_alias(name, "champion")).version == 2
    refused(lambda: put(api, name, 2, request_id=name), CODE.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    gone = remove(api, name, request_id=name)
    assert remove(api, name, request_id=name) == gone
    refused(lambda: remove(api, name, "other", request_id=name), CODE.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


def test_aliases_differ_by_case(api: Api, name: str) -> None:
    put(api, name, 1, "Champion")
    put(api, name, 2, "champion")
    assert api.get(by_alias(name, "Champion")).version == 1


def test_history_pages_are_stable_while_aliases_move(api: Api, registry: registrar.Registry, name: str) -> None:
    for index in range(6):
        put(api, name, 1 + index % 2)
    found = []
    for move in registry.alias_history(name, page_size=2):
        found.append((move.from_version, move.to_version))
        if len(found) == 3:
            put(api, name, 1)
    assert found == [(1, 2), (2, 1), (1, 2), (2, 1), (1, 2), (None, 1)]
    bad = pb.ListAliasHistoryRequest(model=model_ref(name), page_token="x")
    refused(lambda: api.versions.ListAliasHistory(bad), CODE.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
