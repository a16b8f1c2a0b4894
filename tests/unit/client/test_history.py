"""The past: what the SDK asks for and gives, and what the commands print of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import registrar
import registrar.aio
from registrar.cli import main
from registrar.v1.lifecycle_service_pb2 import ListTransitionsRequest
from registrar.v1.model_version_service_pb2 import (
    CompareModelVersionsRequest,
    GetModelVersionRequest,
    ListAliasHistoryRequest,
)
from tests.unit.client.fake_state import State

THEN = datetime(2026, 3, 3, 14, 5, 0, 250_000, tzinfo=UTC)
SECONDS = 1_772_546_700
RUN = "runs:/1/model"


@pytest.fixture
def filled(registry: registrar.Registry) -> registrar.Registry:
    """Two versions, the second in production and champion."""
    for _ in range(2):
        registry.register("churn", run_artifact=RUN)
    registry.promote("churn/2", to=registrar.Stage.PRODUCTION, comment="better")
    registry.set_alias("churn", "champion", 2, comment="the best")
    return registry


def test_a_moment_goes_out_to_the_microsecond_and_its_decisions_come_back(
    filled: registrar.Registry, state: State
) -> None:
    version = filled.get("churn@champion", at=THEN.astimezone(timezone(timedelta(hours=2))))
    asked = state.seen(GetModelVersionRequest)[-1].at_time
    assert (asked.seconds, asked.nanos) == (SECONDS, 250_000_000)
    as_of = version.as_of
    assert as_of is not None
    assert as_of.time == THEN
    assert as_of.transition is not None
    assert (as_of.transition.to_stage, as_of.transition.version) == (registrar.Stage.PRODUCTION, 2)
    assert as_of.alias_move is not None
    assert (as_of.alias_move.to_version, as_of.alias_move.comment) == (2, "the best")


def test_what_is_read_as_it_is_now_is_as_of_no_moment(filled: registrar.Registry, state: State) -> None:
    assert filled.get("churn@champion").as_of is None
    assert not state.seen(GetModelVersionRequest)[-1].HasField("at_time")


def test_a_comparison_and_the_histories_say_their_times(filled: registrar.Registry, state: State) -> None:
    filled.compare("churn", [1, 2], at=THEN)
    assert state.seen(CompareModelVersionsRequest)[-1].at_time.seconds == SECONDS
    until = THEN + timedelta(seconds=1)
    list(filled.transitions("churn", start_time=THEN, end_time=until))
    list(filled.alias_history("churn", end_time=until))
    asked = state.seen(ListTransitionsRequest)[-1]
    assert (asked.start_time.seconds, asked.end_time.seconds) == (SECONDS, SECONDS + 1)
    moves = state.seen(ListAliasHistoryRequest)[-1]
    assert (moves.HasField("start_time"), moves.end_time.seconds) == (False, SECONDS + 1)


NAIVE = THEN.replace(tzinfo=None)
WITHOUT_A_ZONE: dict[str, Callable[[registrar.Registry], Any]] = {
    "get": lambda registry: registry.get("churn/1", at=NAIVE),
    "compare": lambda registry: registry.compare("churn", [1, 2], at=NAIVE),
    "transitions": lambda registry: list(registry.transitions("churn", start_time=NAIVE)),
    "alias_history": lambda registry: list(registry.alias_history("churn", end_time=NAIVE)),
}


@pytest.mark.parametrize("name", WITHOUT_A_ZONE)
def test_a_time_without_a_zone_is_refused_before_anything_is_sent(registry: registrar.Registry, name: str) -> None:
    with pytest.raises(registrar.InvalidArgument, match="does not say its time zone"):
        WITHOUT_A_ZONE[name](registry)


def test_the_client_of_asyncio_reads_the_past_too(filled: registrar.Registry, target: str) -> None:
    async def read() -> registrar.ModelVersion:
        async with registrar.aio.connect(target) as registry:
            return await registry.get("churn:production", at=THEN)

    version = asyncio.run(read())
    assert version == filled.get("churn:production", at=THEN)


@pytest.fixture
def run(
    filled: registrar.Registry, target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("REGISTRAR_SERVER", target)

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return command


def test_get_says_as_of_when_and_who_decided(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = run("get", "churn@champion", "--at", "2026-03-03T14:05:00.25Z")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "as of 2026-03-03T14:05:00.250000Z" in lines
    assert "alias by local 2025-10-09T08:53:20Z @champion the best" in lines
    assert "stage by local 2025-10-09T08:53:20Z none to production better" in lines
    assert "as of" not in run("get", "churn@champion")[1]


def test_json_holds_the_moment_and_the_decisions(run: Callable[..., tuple[int, str, str]]) -> None:
    found = json.loads(run("get", "churn:production", "--at", "2026-03-03", "--json")[1])
    assert found["as_of"]["time"] == "2026-03-03T00:00:00Z"
    assert (found["as_of"]["transition"]["actor"], found["as_of"]["alias_move"]) == ("local", None)


def test_histories_are_bounded_by_since_and_until(run: Callable[..., tuple[int, str, str]], state: State) -> None:
    assert run("history", "churn", "--since", "2026-03-03T14:05", "--until", "2026-03-04")[0] == 0
    asked = state.seen(ListTransitionsRequest)[-1]
    assert (asked.start_time.seconds, asked.end_time.seconds) == (SECONDS, 1_772_582_400)
    assert run("alias", "history", "churn", "--since", "2026-03-03T14:05")[0] == 0
    assert state.seen(ListAliasHistoryRequest)[-1].start_time.seconds == SECONDS


def test_a_comparison_says_as_of_when(run: Callable[..., tuple[int, str, str]], state: State) -> None:
    assert run("compare", "churn", "1", "2", "--at", "2026-03-03T14:05")[0] == 0
    assert state.seen(CompareModelVersionsRequest)[-1].at_time.seconds == SECONDS


@pytest.mark.parametrize("command", ["get churn/1 --at", "history churn --since", "compare churn 1 2 --at"])
def test_what_is_no_time_is_refused(run: Callable[..., tuple[int, str, str]], command: str) -> None:
    code, out, err = run(*command.split(), "yesterday")
    assert (code, out) == (2, "")
    assert "'yesterday' is not of the form" in err
