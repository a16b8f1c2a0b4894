"""What a reference named at a moment in the past, over the wire."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

import registrar
from registrar.v1 import lifecycle_service_pb2 as lifecycle_pb
from registrar.v1 import model_service_pb2 as models_pb
from registrar.v1 import model_version_service_pb2 as pb
from registrar.v1.lifecycle_pb2 import TRANSITION_KIND_DISPLACED, StageTransition
from registrar.v1.model_version_pb2 import AliasMove
from registrar.v1.reference_pb2 import (
    STAGE_ARCHIVED,
    STAGE_NONE,
    STAGE_PRODUCTION,
    STAGE_STAGING,
    ModelVersionRef,
)
from tests.end_to_end.api import CODE, Api, by_alias, by_number, by_stage, model_ref, refused, violated

MICROSECOND = timedelta(microseconds=1)


def stamp(time: datetime | None) -> Timestamp | None:
    """The time as a message."""
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message


@dataclass
class Story:
    """Versions 1 and 2; each was champion and in production, the second after the first."""

    api: Api
    name: str
    registered: datetime
    moves: list[AliasMove]
    transitions: list[StageTransition]
    """Both the oldest first."""

    def get(self, ref: ModelVersionRef, at: datetime | Timestamp) -> pb.GetModelVersionResponse:
        moment = at if isinstance(at, Timestamp) else stamp(at)
        return self.api.versions.GetModelVersion(pb.GetModelVersionRequest(ref=ref, at_time=moment))

    def promoted(self, number: int) -> datetime:
        """When it came into production."""
        (found,) = (t for t in self.transitions if (t.version, t.to_stage) == (number, STAGE_PRODUCTION))
        return found.transition_time.ToDatetime(UTC)

    def transitions_within(
        self, version: int = 0, start_time: datetime | None = None, end_time: datetime | None = None
    ) -> list[StageTransition]:
        request = lifecycle_pb.ListTransitionsRequest(
            model=model_ref(self.name), version=version, start_time=stamp(start_time), end_time=stamp(end_time)
        )
        return list(self.api.lifecycle.ListTransitions(request).transitions)

    def moves_within(
        self, alias: str = "", start_time: datetime | None = None, end_time: datetime | None = None
    ) -> list[AliasMove]:
        request = pb.ListAliasHistoryRequest(
            model=model_ref(self.name), alias=alias, start_time=stamp(start_time), end_time=stamp(end_time)
        )
        return list(self.api.versions.ListAliasHistory(request).moves)


@pytest.fixture
def story(channel: grpc.Channel, unique_name: str) -> Story:
    api, name = Api(channel), unique_name
    first = api.register(name, metrics={"auc": 0.8})
    api.register(name, metrics={"auc": 0.9})
    for number in (1, 2):
        api.move(name, number, STAGE_PRODUCTION, comment=f"promote {number}")
        alias = pb.SetAliasRequest(ref=by_number(name, number), alias="champion", comment=f"point at {number}")
        api.versions.SetAlias(alias)
    told = Story(api, name, first.create_time.ToDatetime(UTC), [], [])
    told.moves, told.transitions = told.moves_within()[::-1], told.transitions_within()[::-1]
    return told


def test_what_was_in_production_then_comes_with_who_put_it_there(story: Story) -> None:
    before = story.promoted(2) - MICROSECOND
    response = story.get(by_stage(story.name, STAGE_PRODUCTION), before)
    version = response.model_version
    assert (version.version, version.stage, list(version.aliases)) == (1, STAGE_PRODUCTION, ["champion"])
    assert version.stage_time.ToDatetime(UTC) == story.promoted(1)
    assert response.as_of_time.ToDatetime(UTC) == before
    assert response.transition == story.transitions[0]
    assert (response.transition.actor, response.transition.comment) == ("local", "promote 1")
    assert response.transition.event_sequence > 0
    assert not response.HasField("alias_move")


def test_the_moment_of_a_move_belongs_to_the_new_holder(story: Story) -> None:
    response = story.get(by_stage(story.name, STAGE_PRODUCTION), story.promoted(2))
    assert response.model_version.version == 2
    displaced = story.get(by_number(story.name, 1), story.promoted(2))
    assert displaced.model_version.stage == STAGE_ARCHIVED
    assert (displaced.transition.kind, displaced.transition.caused_by_version) == (TRANSITION_KIND_DISPLACED, 2)


def test_what_an_alias_named_then_comes_with_who_pointed_it_there(story: Story) -> None:
    first, second = (move.move_time.ToDatetime(UTC) for move in story.moves)
    ref = by_alias(story.name, "champion")
    was = story.get(ref, second - MICROSECOND)
    assert (was.model_version.version, was.alias_move) == (1, story.moves[0])
    assert story.get(ref, second).alias_move == story.moves[1]
    found = refused(lambda: story.get(ref, first - MICROSECOND), CODE.NOT_FOUND, "ALIAS_NOT_FOUND")
    assert found.metadata["at_time"] == (first - MICROSECOND).isoformat().replace("+00:00", "Z")


def test_before_anything_was_there_nothing_is_found(story: Story) -> None:
    before = story.registered - MICROSECOND
    wanted = {
        "STAGE_EMPTY": by_stage(story.name, STAGE_PRODUCTION),
        "ALIAS_NOT_FOUND": by_alias(story.name, "champion"),
        "VERSION_NOT_FOUND": by_number(story.name, 1),
    }
    for reason, ref in wanted.items():
        found = refused(lambda ref=ref: story.get(ref, before), CODE.NOT_FOUND, reason)  # type: ignore[misc]
        assert found.metadata["model"] == story.name
        assert "at_time" in found.metadata
    unknown = by_number("no-such-model", 1)
    refused(lambda: story.get(unknown, before), CODE.NOT_FOUND, "MODEL_NOT_FOUND")


def test_parts_of_a_microsecond_are_left_out(story: Story) -> None:
    moved = next(t for t in story.transitions if t.version == 2).transition_time
    ref = by_stage(story.name, STAGE_PRODUCTION)
    almost = Timestamp()
    almost.FromNanoseconds(moved.ToNanoseconds() - 1)
    just = Timestamp()
    just.FromNanoseconds(moved.ToNanoseconds() + 999)
    assert story.get(ref, almost).model_version.version == 1
    answer = story.get(ref, just)
    assert (answer.model_version.version, answer.as_of_time) == (2, moved)


def test_a_moment_that_is_to_come_or_is_none_is_refused(story: Story) -> None:
    ref = by_number(story.name, 1)
    for at in (datetime.now(UTC) + timedelta(hours=1), Timestamp(seconds=10**12), Timestamp(nanos=-1)):
        assert list(violated(lambda at=at: story.get(ref, at))) == ["at_time"]  # type: ignore[misc]


def test_the_past_and_the_present_are_not_taken_for_each_other(story: Story) -> None:
    ref, then = by_alias(story.name, "champion"), story.moves[1].move_time.ToDatetime(UTC) - MICROSECOND
    now = pb.GetModelVersionRequest(ref=ref)
    for _ in range(3):
        present = story.api.versions.GetModelVersion(now)
        assert (present.model_version.version, present.HasField("as_of_time")) == (2, False)
        assert story.get(ref, then).model_version.version == 1


def test_a_version_that_was_deleted_since_is_what_it_was(story: Story) -> None:
    story.api.versions.DeleteModelVersion(pb.DeleteModelVersionRequest(ref=by_number(story.name, 1)))
    was = story.get(by_stage(story.name, STAGE_PRODUCTION), story.promoted(1)).model_version
    assert (was.version, was.stage, was.HasField("delete_time")) == (1, STAGE_PRODUCTION, True)


def test_a_model_that_is_deleted_has_no_past_until_it_is_back(story: Story) -> None:
    moment = story.promoted(1)
    story.api.move(story.name, 2, STAGE_ARCHIVED)
    model = model_ref(story.name)
    story.api.models.DeleteModel(models_pb.DeleteModelRequest(model=model))
    ref = by_stage(story.name, STAGE_PRODUCTION)
    refused(lambda: story.get(ref, moment), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
    story.api.models.UndeleteModel(models_pb.UndeleteModelRequest(model=model))
    assert story.get(ref, moment).model_version.version == 1


def test_versions_are_compared_as_they_were(story: Story) -> None:
    refs = [by_stage(story.name, STAGE_PRODUCTION), by_number(story.name, 2)]
    request = pb.CompareModelVersionsRequest(refs=refs, at_time=stamp(story.promoted(1)))
    found = story.api.versions.CompareModelVersions(request)
    assert [(one.version, one.stage) for one in found.comparison] == [(1, STAGE_PRODUCTION), (2, STAGE_NONE)]
    assert (found.recommended_version, found.as_of_time.ToDatetime(UTC)) == (2, story.promoted(1))
    request.at_time.FromDatetime(story.registered)
    refused(lambda: story.api.versions.CompareModelVersions(request), CODE.NOT_FOUND, "STAGE_EMPTY")


def test_histories_are_of_a_period_that_begins_with_its_start_and_ends_before_its_end(story: Story) -> None:
    first, last = story.promoted(1), story.promoted(2)
    assert [t.version for t in story.transitions_within(start_time=first, end_time=last)] == [1]
    assert [t.version for t in story.transitions_within(start_time=last)] == [2, 1]
    assert [t.version for t in story.transitions_within(version=1, start_time=first)] == [1, 1]
    moved = story.moves[1].move_time.ToDatetime(UTC)
    assert story.moves_within(start_time=moved) == [story.moves[1]]
    assert story.moves_within(alias="champion", end_time=moved) == [story.moves[0]]
    for listed in (story.transitions_within, story.moves_within):
        assert list(violated(lambda listed=listed: listed(start_time=last, end_time=last))) == ["end_time"]  # type: ignore[misc]


def test_a_page_of_one_period_is_none_of_another(story: Story) -> None:
    request = lifecycle_pb.ListTransitionsRequest(
        model=model_ref(story.name), page_size=1, start_time=stamp(story.promoted(2))
    )
    page = story.api.lifecycle.ListTransitions(request)
    assert [t.version for t in page.transitions] == [2]
    request.page_token = page.next_page_token
    assert [t.version for t in story.api.lifecycle.ListTransitions(request).transitions] == [1]
    request.start_time.FromDatetime(story.promoted(1))
    refused(lambda: story.api.lifecycle.ListTransitions(request), CODE.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


def test_the_sdk_reads_the_past(registry: registrar.Registry, story: Story) -> None:
    version = registry.get(f"{story.name}:production", at=story.promoted(1))
    assert version.as_of is not None
    assert version.as_of.transition is not None
    assert (version.version, version.as_of.time, version.as_of.transition.comment) == (
        1,
        story.promoted(1),
        "promote 1",
    )
    moves = registry.alias_history(story.name, end_time=story.moves[1].move_time.ToDatetime(UTC))
    assert [move.to_version for move in moves] == [1]


def test_staging_has_a_past_of_its_own(story: Story) -> None:
    story.api.move(story.name, 1, STAGE_STAGING)
    staged = story.transitions_within()[0].transition_time.ToDatetime(UTC)
    story.api.move(story.name, 1, STAGE_ARCHIVED)
    assert story.get(by_stage(story.name, STAGE_STAGING), staged).model_version.version == 1
    gone = story.transitions_within()[0].transition_time.ToDatetime(UTC)
    refused(lambda: story.get(by_stage(story.name, STAGE_STAGING), gone), CODE.NOT_FOUND, "STAGE_EMPTY")
