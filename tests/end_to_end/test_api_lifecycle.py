"""LifecycleService: moves, rollbacks, history."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
import pytest

import registrar
from registrar.v1 import lifecycle_pb2, reference_pb2
from registrar.v1 import lifecycle_service_pb2 as pb
from registrar.v1.model_version_service_pb2 import DeleteModelVersionRequest
from registrar.v1.reference_pb2 import ModelVersionRef
from tests.end_to_end.api import CODE, Api, by_number, by_stage, model_ref, refused, violated

NONE, STAGING = reference_pb2.STAGE_NONE, reference_pb2.STAGE_STAGING
PRODUCTION, ARCHIVED = reference_pb2.STAGE_PRODUCTION, reference_pb2.STAGE_ARCHIVED
ALL = (NONE, STAGING, PRODUCTION, ARCHIVED)
LEGAL = {
    NONE: {STAGING, PRODUCTION, ARCHIVED},
    STAGING: {NONE, PRODUCTION, ARCHIVED},
    PRODUCTION: {STAGING, ARCHIVED},
    ARCHIVED: {NONE, STAGING},
}


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


@pytest.fixture
def make(api: Api, unique_name: str) -> Callable[..., str]:
    """A model with so many versions, some of them promoted one after the other."""

    def made(count: int, *promoted: int) -> str:
        artifact_id = api.register(unique_name).artifact_id
        for _ in range(count - 1):
            api.register(unique_name, artifact_id=artifact_id)
        for number in promoted:
            promote(api, unique_name, number)
        return unique_name

    return made


def promote(api: Api, name: str, number: int) -> None:
    if api.get(by_number(name, number)).stage == ARCHIVED:
        api.move(name, number, STAGING)
    api.move(name, number, PRODUCTION)


def in_production(api: Api, name: str) -> int:
    return api.get(by_stage(name, PRODUCTION)).version


def history(api: Api, name: str, **fields: Any) -> list[lifecycle_pb2.StageTransition]:
    return list(api.lifecycle.ListTransitions(pb.ListTransitionsRequest(model=model_ref(name), **fields)).transitions)


@pytest.mark.parametrize("from_stage", ALL)
def test_only_legal_moves_are_made_and_a_refusal_names_them(
    api: Api, make: Callable[..., str], from_stage: reference_pb2.Stage.ValueType
) -> None:
    name = make(1)
    if from_stage != NONE:
        api.move(name, 1, from_stage)
    for to_stage in ALL:
        request = pb.TransitionStageRequest(ref=by_number(name, 1), stage=to_stage, validate_only=True)
        if to_stage == from_stage or to_stage in LEGAL[from_stage]:
            assert api.lifecycle.TransitionStage(request).model_version.stage == to_stage
            continue
        for is_validate_only in (True, False):
            request.validate_only = is_validate_only
            found = refused(
                partial(api.lifecycle.TransitionStage, request), CODE.FAILED_PRECONDITION, "ILLEGAL_TRANSITION"
            )
            names = {reference_pb2.Stage.Name(stage).removeprefix("STAGE_").lower() for stage in LEGAL[from_stage]}
            assert set(found.metadata["legal"].split(", ")) == names
            assert found.preconditions == ("LEGAL_TRANSITION",)
    assert api.get(by_number(name, 1)).stage == from_stage


@pytest.mark.parametrize("stage", [STAGING, PRODUCTION])
def test_who_takes_a_stage_archives_its_holder_in_the_same_step(
    api: Api, make: Callable[..., str], stage: reference_pb2.Stage.ValueType
) -> None:
    name = make(2)
    api.move(name, 1, stage)
    made = api.move(name, 2, stage, comment="better")
    assert [(v.version, v.stage) for v in made.displaced] == [(1, ARCHIVED)]
    assert made.model_version.stage == stage
    last, displaced = history(api, name)[:2]
    assert (last.version, last.kind, last.comment) == (2, lifecycle_pb2.TRANSITION_KIND_REQUESTED, "better")
    assert (displaced.version, displaced.kind) == (1, lifecycle_pb2.TRANSITION_KIND_DISPLACED)
    assert displaced.caused_by_version == 2
    assert displaced.event_sequence == last.event_sequence == made.event_sequence


def test_moving_a_version_to_where_it_is_changes_nothing(api: Api, make: Callable[..., str]) -> None:
    name = make(1, 1)
    before, moves = api.get(by_number(name, 1)), history(api, name)
    again = api.move(name, 1, PRODUCTION)
    assert (again.event_sequence, again.model_version) == (0, before)
    assert history(api, name) == moves


@pytest.mark.parametrize(("holder", "expected"), [(0, 1), (1, 0), (1, 2)])
def test_another_holder_than_expected_is_refused_and_stays(
    api: Api, make: Callable[..., str], holder: int, expected: int
) -> None:
    name = make(2, *([holder] if holder else []))
    moves = history(api, name)
    for action in (
        lambda: api.move(name, 2, PRODUCTION, expected_holder=expected),
        lambda: api.roll_back(name, expected_holder=expected),
    ):
        found = refused(action, CODE.ABORTED, "STAGE_HOLDER_CHANGED")
        assert found.metadata == {"stage": "production", "holder": str(holder)}
    assert history(api, name) == moves


def test_validate_only_answers_what_would_be_and_changes_nothing(api: Api, make: Callable[..., str]) -> None:
    name = make(2, 1)
    moves, before = history(api, name), api.get(by_number(name, 2))
    would = api.move(name, 2, PRODUCTION, validate_only=True, request_id=name)
    assert (would.model_version.stage, [v.version for v in would.displaced]) == (PRODUCTION, [1])
    assert (history(api, name), api.get(by_number(name, 2))) == (moves, before)
    assert api.move(name, 2, PRODUCTION, request_id=name).event_sequence > 0
    moves = history(api, name)
    assert api.roll_back(name, validate_only=True, request_id=name).model_version.version == 1
    assert (history(api, name), in_production(api, name)) == (moves, 2)


def test_every_violation_is_reported_at_once(api: Api) -> None:
    found = violated(lambda: api.move("/", 0, 0, request_id=" ", comment="x" * 5_001))  # type: ignore[arg-type]
    assert set(found) == {"request_id", "ref.model.name", "ref.version", "stage", "comment"}
    found = violated(lambda: api.roll_back("/", request_id=" ", comment="\0", to_version=-1))
    assert set(found) == {"request_id", "model.name", "comment", "to_version"}
    listing = pb.ListTransitionsRequest(model=model_ref("/"), version=-1)
    assert set(violated(lambda: api.lifecycle.ListTransitions(listing))) == {"model.name", "version"}


def test_what_there_is_not_is_not_found(api: Api, make: Callable[..., str]) -> None:
    name = make(1)
    none = f"{name}-none"
    refused(lambda: api.move(none, 1, STAGING), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
    refused(lambda: api.move(name, 2, STAGING), CODE.NOT_FOUND, "VERSION_NOT_FOUND")
    refused(lambda: api.roll_back(none), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
    refused(lambda: history(api, none), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
    assert history(api, name) == history(api, name, version=7) == []


def test_the_holder_of_a_stage_can_be_moved_by_that_stage(api: Api, make: Callable[..., str]) -> None:
    name = make(1)
    api.move(name, 1, STAGING)
    ref = ModelVersionRef(model=model_ref(name), stage=STAGING)
    api.lifecycle.TransitionStage(pb.TransitionStageRequest(ref=ref, stage=PRODUCTION))
    assert in_production(api, name) == 1
    refused(lambda: api.get(by_stage(name, STAGING)), CODE.NOT_FOUND, "STAGE_EMPTY")


def test_two_rollbacks_go_back_two_versions_and_the_third_has_nowhere_to_go(api: Api, make: Callable[..., str]) -> None:
    name = make(3, 1, 2, 3)
    first = api.roll_back(name, comment="worse")
    assert (first.model_version.version, [v.version for v in first.displaced]) == (2, [3])
    assert api.roll_back(name).model_version.version == 1
    moves = history(api, name)
    refused(lambda: api.roll_back(name), CODE.FAILED_PRECONDITION, "NO_PREVIOUS_PRODUCTION")
    assert (history(api, name), in_production(api, name)) == (moves, 1)
    assert [api.get(by_number(name, number)).stage for number in (2, 3)] == [ARCHIVED, ARCHIVED]
    kinds = [(move.version, move.kind) for move in moves[2:4]]
    assert kinds == [
        (2, lifecycle_pb2.TRANSITION_KIND_ROLLED_BACK_TO),
        (3, lifecycle_pb2.TRANSITION_KIND_ROLLED_BACK_FROM),
    ]
    promote(api, name, 3)
    assert api.roll_back(name).model_version.version == 1


def test_a_rollback_can_name_a_version_that_was_in_production(api: Api, make: Callable[..., str]) -> None:
    name = make(4, 1, 2, 3)
    assert api.roll_back(name, to_version=1).model_version.version == 1
    for number in (1, 2, 4, 9):
        refused(partial(api.roll_back, name, to_version=number), CODE.FAILED_PRECONDITION, "NO_PREVIOUS_PRODUCTION")
    assert in_production(api, name) == 1


def test_a_rollback_passes_over_deleted_versions_and_refuses_one_that_is_named(
    api: Api, make: Callable[..., str]
) -> None:
    name = make(3, 1, 2, 3)
    api.versions.DeleteModelVersion(DeleteModelVersionRequest(ref=by_number(name, 2)))
    refused(lambda: api.roll_back(name, to_version=2), CODE.FAILED_PRECONDITION, "VERSION_DELETED")
    assert api.roll_back(name).model_version.version == 1


def test_a_request_id_replays_and_is_refused_with_another_body(api: Api, make: Callable[..., str]) -> None:
    name = make(2, 1)
    moved = api.move(name, 2, PRODUCTION, request_id=name)
    back = api.roll_back(name, request_id=name)
    moves = history(api, name)
    assert api.move(name, 2, PRODUCTION, request_id=name) == moved
    assert api.roll_back(name, request_id=name) == back
    refused(lambda: api.move(name, 1, ARCHIVED, request_id=name), CODE.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    other = lambda: api.roll_back(name, comment="other", request_id=name)  # noqa: E731
    refused(other, CODE.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert history(api, name) == moves


def test_pages_of_history_are_stable_while_versions_move(
    api: Api, registry: registrar.Registry, make: Callable[..., str]
) -> None:
    name = make(2, 1, 2, 1, 2)
    expected = [(t.version, t.to_stage, t.event_sequence) for t in history(api, name)]
    found: list[tuple[int, str, int]] = []
    for move in registry.transitions(name, page_size=2):
        found.append((move.version, move.to_stage, move.event_sequence))
        if len(found) == 3:
            promote(api, name, 1)
    names = {number: reference_pb2.Stage.Name(number).removeprefix("STAGE_").lower() for number in ALL}
    assert found == [(version, names[stage], sequence) for version, stage, sequence in expected]
    assert {t.version for t in history(api, name, version=2)} == {2}
    bad = pb.ListTransitionsRequest(model=model_ref(name), page_token="x")
    refused(lambda: api.lifecycle.ListTransitions(bad), CODE.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
