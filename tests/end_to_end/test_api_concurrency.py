"""Many callers at once: contiguous numbers, one holder of a stage at every moment, a history without gaps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import grpc
import pytest

import registrar
from registrar.errors import Aborted, RegistrarError
from registrar.v1 import reference_pb2
from registrar.v1.lifecycle_service_pb2 import ListTransitionsRequest
from registrar.v1.model_service_pb2 import GetModelRequest
from tests.end_to_end.api import Api, by_number, by_stage, model_ref
from tests.fixtures.server import RunningServer

PRODUCTION, ARCHIVED = reference_pb2.STAGE_PRODUCTION, reference_pb2.STAGE_ARCHIVED
WAIT_SECONDS = 100
Result = TypeVar("Result")


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


def together(works: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run them at once, each in a thread."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], Result]) -> Result:
        start.wait(WAIT_SECONDS)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works, timeout=WAIT_SECONDS))


def test_sixteen_registrations_of_one_new_model_get_contiguous_numbers(
    server: RunningServer, api: Api, unique_name: str, tmp_path: Path
) -> None:
    (tmp_path / "model.pkl").write_bytes(b"weights")
    with server.connect() as registry:
        artifact_id = registry.upload(tmp_path / "model.pkl", name=unique_name).id

    def register(index: int) -> tuple[int, str]:
        with server.connect() as registry:
            made = registry.register(unique_name, artifact_id=artifact_id, metrics={"index": index})
        return made.version, made.uid

    made = together([lambda i=index: register(i) for index in range(16)])  # type: ignore[misc]
    assert sorted(number for number, _ in made) == list(range(1, 17))
    assert len({uid for _, uid in made}) == 16
    for number, uid in made:
        assert api.get(by_number(unique_name, number)).uid == uid


def test_sixteen_calls_with_one_request_id_make_one_version(server: RunningServer, api: Api, unique_name: str) -> None:
    artifact_id = api.upload(unique_name, {"a": b"a"}).id

    def register() -> tuple[int, str]:
        with server.connect() as registry:
            made = registry.register(unique_name, artifact_id=artifact_id, request_id=unique_name)
        return made.version, made.uid

    assert len(set(together([register] * 16))) == 1
    assert api.register(unique_name, artifact_id=artifact_id).version == 2


def test_of_callers_that_want_one_semantic_version_one_gets_it(
    server: RunningServer, api: Api, unique_name: str
) -> None:
    artifact_id = api.upload(unique_name, {"a": b"a"}).id

    def register() -> str:
        with server.connect() as registry:
            try:
                registry.register(unique_name, artifact_id=artifact_id, semantic_version="1.0.0")
            except RegistrarError as exc:
                return exc.reason
        return "made"

    assert sorted(together([register] * 8)) == ["SEMANTIC_VERSION_EXISTS"] * 7 + ["made"]


def test_a_hundred_promotions_at_once_have_one_holder_at_every_moment(
    server: RunningServer, api: Api, unique_name: str
) -> None:
    artifact_id = api.register(unique_name).artifact_id
    for _ in range(4):
        api.register(unique_name, artifact_id=artifact_id)
    api.move(unique_name, 1, PRODUCTION)
    is_over = threading.Event()

    def watch() -> set[int]:
        seen: set[int] = set()
        while not is_over.is_set():
            # Raises when there is none or are several.
            seen.add(api.get(by_stage(unique_name, PRODUCTION)).version)
            model = api.models.GetModel(GetModelRequest(model=model_ref(unique_name))).model
            assert model.production_version
        return seen

    def promote(caller: int) -> int:
        made = 0
        with server.connect() as registry:
            for step in range(10):
                ref = f"{unique_name}/{1 + (caller + step) % 5}"
                found = registry.get(ref)
                if found.stage == "archived":
                    # With its etag, or a version that got into production meanwhile would be taken out of it.
                    made += moved(registry, ref, registrar.Stage.STAGING, found.etag)
                made += moved(registry, ref, registrar.Stage.PRODUCTION)
        return made

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        made = together([lambda c=caller: promote(c) for caller in range(10)])  # type: ignore[misc]
        is_over.set()
        assert watching.result(WAIT_SECONDS)
    assert sum(made) > 10
    _require_consistent(api, unique_name, 5)


def test_of_a_hundred_promotions_at_once_that_expect_one_holder_one_wins_while_versions_are_registered(
    server: RunningServer, api: Api, unique_name: str
) -> None:
    artifact_id = api.register(unique_name).artifact_id
    for _ in range(100):
        api.register(unique_name, artifact_id=artifact_id)
    api.move(unique_name, 1, PRODUCTION)

    def promote(number: int) -> str:
        try:
            registry.promote(f"{unique_name}/{number}", to=registrar.Stage.PRODUCTION, expected_holder=1)
        except Aborted as exc:
            return f"{exc.reason} {exc.metadata['holder']}"
        return f"holder {number}"

    def register() -> str:
        return f"registered {registry.register(unique_name, artifact_id=artifact_id).version}"

    with server.connect(timeout_seconds=WAIT_SECONDS) as registry:
        promotions = [lambda n=number: promote(n) for number in range(2, 102)]
        outcomes = together([*promotions, register, register])
    holder = api.get(by_stage(unique_name, PRODUCTION)).version
    assert sorted(outcomes) == sorted(
        [f"holder {holder}", "registered 102", "registered 103", *[f"STAGE_HOLDER_CHANGED {holder}"] * 99]
    )
    _require_consistent(api, unique_name, 103)


def moved(registry: registrar.Registry, ref: str, to: registrar.Stage, etag: str = "") -> int:
    """1 when something moved; a move that another caller made impossible meanwhile is no failure."""
    try:
        return 1 if registry.promote(ref, to=to, etag=etag).event_sequence else 0
    except RegistrarError as exc:
        assert exc.reason in ("ILLEGAL_TRANSITION", "ETAG_MISMATCH")
        return 0


def _require_consistent(api: Api, name: str, versions: int) -> None:
    """Replay the history: every move begins where the version was, and production never has two."""
    request = ListTransitionsRequest(model=model_ref(name), page_size=1_000)
    moves = list(reversed(api.lifecycle.ListTransitions(request).transitions))
    stages = dict.fromkeys(range(1, versions + 1), reference_pb2.STAGE_NONE)
    by_event: dict[int, list[object]] = {}
    for move in moves:
        assert stages[move.version] == move.from_stage
        stages[move.version] = move.to_stage
        by_event.setdefault(move.event_sequence, []).append(move)
        assert list(stages.values()).count(PRODUCTION) <= 1
    assert list(by_event) == sorted(by_event)
    assert {n: api.get(by_number(name, n)).stage for n in stages} == stages
    assert api.get(by_stage(name, PRODUCTION)).version == next(n for n, s in stages.items() if s == PRODUCTION)


def test_of_callers_that_expect_one_holder_one_wins(server: RunningServer, api: Api, unique_name: str) -> None:
    artifact_id = api.register(unique_name).artifact_id
    for _ in range(8):
        api.register(unique_name, artifact_id=artifact_id)
    api.move(unique_name, 1, PRODUCTION)

    def promote(number: int) -> str:
        with server.connect() as registry:
            try:
                registry.promote(f"{unique_name}/{number}", to=registrar.Stage.PRODUCTION, expected_holder=1)
            except Aborted as exc:
                return exc.reason
        return "won"

    outcomes = together([lambda n=number: promote(n) for number in range(2, 10)])  # type: ignore[misc]
    assert sorted(outcomes) == ["STAGE_HOLDER_CHANGED"] * 7 + ["won"]


def test_an_alias_that_moves_is_never_absent(server: RunningServer, api: Api, unique_name: str) -> None:
    artifact_id = api.register(unique_name).artifact_id
    api.register(unique_name, artifact_id=artifact_id)
    is_over = threading.Event()

    def move() -> int:
        with server.connect() as registry:
            for step in range(40):
                registry.set_alias(unique_name, "champion", 1 + step % 2)
        is_over.set()
        return 40

    def read() -> int:
        seen = 0
        with server.connect() as registry:
            while not is_over.is_set():
                assert registry.get(f"{unique_name}@champion").version in (1, 2)
                seen += 1
        return seen

    with server.connect() as registry:
        registry.set_alias(unique_name, "champion", 2)
    began = time.monotonic()
    assert together([move, read])[1] > 0
    assert time.monotonic() - began < WAIT_SECONDS
