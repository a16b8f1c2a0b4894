"""ModelVersionService.SearchModelVersions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import pytest

import registrar
from registrar.v1 import model_service_pb2, reference_pb2, value_pb2
from registrar.v1 import model_version_service_pb2 as pb
from tests.end_to_end.api import CODE, Api, by_number, model_ref, refused, violated

PRODUCTION = reference_pb2.STAGE_PRODUCTION


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


def search(api: Api, filter_: str = "", **fields: Any) -> Sequence[tuple[str, int]]:
    """Name and number of what one page has."""
    request = pb.SearchModelVersionsRequest(filter=filter_, **fields)
    found = api.versions.SearchModelVersions(request, timeout=30).model_versions
    return [(version.name, version.version) for version in found]


def within(name: str, filter_: str = "") -> str:
    """Of one model: the server is shared by all tests."""
    return f'name = "{name}" ({filter_})' if filter_ else f'name = "{name}"'


def test_every_field_of_a_version_can_be_searched(api: Api, unique_name: str) -> None:
    api.register(unique_name)
    version = api.register(
        unique_name,
        description="Trained on märz",
        tags={"team": "risk", "mlops.owner": "core"},
        metrics={"f1": 0.91},
        metric_slices=[value_pb2.MetricSlice(dimension="region", value="eu.west", metrics={"f1": 0.8})],
        parameters={
            "depth": value_pb2.ParameterValue(int_value=7),
            "warm": value_pb2.ParameterValue(bool_value=True),
            "algo": value_pb2.ParameterValue(string_value="5"),
        },
        flavors=["sklearn"],
        semantic_version="2.1.0",
        provenance=value_pb2.Provenance(
            git_commit="abc1234", training_data=[value_pb2.Dataset(digest="md5:77", name="d")]
        ),
    )
    request = pb.SetAliasRequest(ref=by_number(unique_name, 2), alias="champion")
    api.versions.SetAlias(request)
    api.move(unique_name, 2, PRODUCTION)
    for part in (
        "version = 2",
        "version > 1",
        "stage = production",
        "stage = (staging OR production)",
        "alias = champion",
        "alias:*",
        "flavor:sklearn",
        f"creator = {version.created_by} version != 1",
        f'create_time >= "{version.create_time.ToJsonString()}"',
        'update_time > "2025-01-01" semantic_version:*',
        "semantic_version = 2.1.0",
        "semantic_version = ^2",
        "semantic_version > 1.9.9",
        "tags.team = risk",
        "tags.team = r*",
        "tags:team",
        'tags."mlops.owner" = core',
        "tags.mlops.owner:or",
        "metrics.f1 >= 0.91",
        "metrics:f1",
        'slices.region."eu.west".f1 < 0.85',
        "parameters.depth = 7",
        "parameters.warm = true",
        'parameters.algo = "5"',
        "git_commit = abc1234",
        'data_digest = "md5:77"',
        f"run_id = {version.provenance.run_id}",
        "MARZ trained",
        "-version=1",
        "NOT (version=1)",
    ):
        assert search(api, within(unique_name, part)) == [(unique_name, 2)], part
    assert search(api, within(unique_name, "parameters.algo = 5")) == []
    assert search(api, within(unique_name), query="risk märz") == [(unique_name, 2)]


def test_or_binds_tighter_than_what_stands_side_by_side(api: Api, unique_name: str) -> None:
    for team, env in (("a", "x"), ("b", "x"), ("a", "y")):
        api.register(unique_name, tags={"team": team, "env": env})
    found = search(api, within(unique_name, "tags.env = x tags.team = a OR tags.team = c"))
    assert found == [(unique_name, 1)]
    found = search(api, within(unique_name, "(tags.env = x tags.team = a) OR tags.env = y"))
    assert found == [(unique_name, 3), (unique_name, 1)]


def test_changes_are_found_at_once(api: Api, unique_name: str) -> None:
    api.register(unique_name, tags={"team": "risk"})
    update = pb.UpdateModelVersionRequest(ref=by_number(unique_name, 1), tags={"team": "growth"})
    update.update_mask.paths.append("tags")
    api.versions.UpdateModelVersion(update)
    assert search(api, within(unique_name, "tags.team = growth")) == [(unique_name, 1)]
    assert search(api, within(unique_name, "tags.team = risk")) == []
    api.models.UpdateModel(
        model_service_pb2.UpdateModelRequest(model=model_ref(unique_name), description="Who leaves, quokka?")
    )
    assert search(api, within(unique_name), query="quokka") == [(unique_name, 1)]
    api.versions.DeleteModelVersion(pb.DeleteModelVersionRequest(ref=by_number(unique_name, 1)))
    assert search(api, within(unique_name)) == []
    api.versions.UndeleteModelVersion(pb.UndeleteModelVersionRequest(ref=by_number(unique_name, 1)))
    api.models.DeleteModel(model_service_pb2.DeleteModelRequest(model=model_ref(unique_name)))
    assert search(api, within(unique_name)) == []
    api.models.UndeleteModel(model_service_pb2.UndeleteModelRequest(model=model_ref(unique_name)))
    assert search(api, within(unique_name)) == [(unique_name, 1)]


def test_who_is_displaced_or_rolled_back_is_found_in_its_new_stage(api: Api, unique_name: str) -> None:
    for _ in range(2):
        api.register(unique_name)
    api.move(unique_name, 1, PRODUCTION)
    api.move(unique_name, 2, PRODUCTION)
    assert search(api, within(unique_name, "stage = production")) == [(unique_name, 2)]
    assert search(api, within(unique_name, "stage = archived")) == [(unique_name, 1)]
    api.roll_back(unique_name)
    assert search(api, within(unique_name, "stage = production")) == [(unique_name, 1)]
    assert search(api, within(unique_name, "stage = archived")) == [(unique_name, 2)]


def test_a_rehearsed_move_is_not_found(api: Api, unique_name: str) -> None:
    api.register(unique_name)
    api.move(unique_name, 1, PRODUCTION, validate_only=True)
    assert search(api, within(unique_name, "stage = none")) == [(unique_name, 1)]


def test_orders_and_pages(api: Api, registry: registrar.Registry, unique_name: str) -> None:
    for f1 in (0.3, 0.9, 0.6):
        api.register(unique_name, metrics={"f1": f1})
    api.register(unique_name)
    for order_by, expected in (
        ("", [4, 3, 2, 1]),
        ("version", [1, 2, 3, 4]),
        ("create_time desc", [4, 3, 2, 1]),
        ("metrics.f1 desc", [2, 3, 1]),
        ("metrics.f1", [1, 3, 2]),
        ("semantic_version", []),
        ("metrics.none", []),
    ):
        found = registry.search(within(unique_name), order_by=order_by, page_size=1)
        assert [version.version for version in found] == expected, order_by


def test_a_token_is_bound_to_its_search(api: Api, unique_name: str) -> None:
    for _ in range(3):
        api.register(unique_name)
    request = pb.SearchModelVersionsRequest(filter=within(unique_name), page_size=1)
    token = api.versions.SearchModelVersions(request).next_page_token
    assert len(token) < 1_000
    assert search(api, within(unique_name), page_size=5, page_token=token) == [(unique_name, 2), (unique_name, 1)]
    changes: Sequence[Mapping[str, Any]] = (
        {"filter": within(unique_name, "version > 0")},
        {"query": "x"},
        {"order_by": "version"},
        {"tenant": "acme-corp"},
        {"page_token": "AAAA"},
        {"page_token": token[:-4]},
    )
    for change in changes:
        other = pb.SearchModelVersionsRequest(**{"filter": within(unique_name), "page_token": token, **change})
        refused(lambda o=other: api.versions.SearchModelVersions(o), CODE.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")  # type: ignore[misc]


def test_tenants_do_not_find_each_others_versions(api: Api, unique_name: str) -> None:
    api.register(unique_name, tenant="acme-corp", description="secretword")
    assert search(api, within(unique_name)) == []
    assert search(api, query="secretword") == []
    assert search(api, within(unique_name), tenant="acme-corp") == [(unique_name, 1)]
    request = pb.SearchModelVersionsRequest(tenant="nobody")
    refused(lambda: api.versions.SearchModelVersions(request), CODE.NOT_FOUND, "TENANT_NOT_FOUND")
    request = pb.SearchModelVersionsRequest(tenant="A")
    assert "tenant" in violated(lambda: api.versions.SearchModelVersions(request))


@pytest.mark.parametrize(
    ("fields", "field", "column", "said"),
    [
        ({"filter": "version = abc"}, "filter", 11, 'version is a whole number; "abc" is none'),
        ({"filter": "stage = live"}, "filter", 9, "stage is one of none, staging, production, archived"),
        ({"filter": "a AND owner = x"}, "filter", 7, "there is no field owner; there are name, version"),
        ({"filter": "tags.team = "}, "filter", 12, "expected a value"),
        ({"filter": "(stage = none"}, "filter", 14, "a parenthesis is not closed"),
        ({"filter": "name = 'x"}, "filter", 8, "the quote is not closed"),
        ({"filter": "a\0"}, "filter", 2, "NUL"),
        ({"filter": "x " * 2_001}, "filter", 4_001, "at most 4000"),
        ({"filter": "x " * 31}, "filter", 1, "at most 30"),
        ({"filter": "(" * 2_000}, "filter", 2_001, "expected a field"),
        ({"filter": "a OR (b " * 11 + ")" * 11}, "filter", 1, "levels"),
        ({"query": "!!"}, "query", 1, "no word"),
        ({"query": "x" * 1_001}, "query", 1_001, "at most 1000"),
        ({"order_by": "stage"}, "order_by", 1, "can be sorted by name, version"),
        ({"order_by": "name down"}, "order_by", 6, "asc or desc"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_column(
    api: Api, fields: Mapping[str, Any], field: str, column: int, said: str
) -> None:
    request = pb.SearchModelVersionsRequest(**fields)
    found = refused(lambda: api.versions.SearchModelVersions(request), CODE.INVALID_ARGUMENT, "FILTER_INVALID")
    assert found.metadata == {"field": field, "column": str(column)}
    assert found.message.startswith(f"{field}, column {column}: ")
    assert said in found.message
    assert set(found.violations) == {field}


def test_the_largest_search_that_is_allowed_is_answered(api: Api, unique_name: str) -> None:
    api.register(unique_name, metrics={"f1": 0.5})
    parts = [f"(metrics.f1 > 0.{i} OR NOT tags.k{i} = 'x*')" for i in range(14)]
    assert search(api, f"{within(unique_name)} {' '.join(parts)}") == [(unique_name, 1)]
    nested = "metrics.f1 > 0 AND (version = 9 OR (stage = none AND (version = 8 OR (stage = none AND (version = 1)))))"
    assert search(api, within(unique_name, nested)) == [(unique_name, 1)]


def test_times_are_compared_to_the_microsecond(api: Api, unique_name: str) -> None:
    version = api.register(unique_name)
    time = version.create_time.ToJsonString()
    assert search(api, within(unique_name, f"create_time = {time}")) == [(unique_name, 1)]
    assert search(api, within(unique_name, f"create_time > {time}")) == []


@pytest.mark.parametrize("is_strong", [False, True])
def test_a_search_sees_what_was_changed_before_it(api: Api, unique_name: str, is_strong: bool) -> None:
    api.register(unique_name)
    consistency = reference_pb2.Consistency(strong=is_strong)
    assert search(api, within(unique_name), consistency=consistency) == [(unique_name, 1)]
