"""MLflow shows what was decided here, whatever the order of changes, failures and interference."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.aliases import AliasRequest
from registrar_server.application.background import Background
from registrar_server.application.clearing import Clearing
from registrar_server.application.lifecycle import MoveRequest, RollbackRequest
from registrar_server.application.models import ModelUpdate
from registrar_server.application.provisioning import Provisioning
from registrar_server.application.upload_finishing import UploadFinishing
from registrar_server.application.versions import NotesUpdate
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import ModelKey, Stage
from tests.fixtures.faults import Desk, Hooked, MovableClock, NoSignals, fail, mutation, new_database, once, ref
from tests.fixtures.mlflow import open_registry, unique
from tests.fixtures.stores import wait_until

pytestmark = [
    # MLflow 3.17 maps a relation with the loader strategy that SQLAlchemy 2.1 deprecates.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
]

VERSIONS = 3
STAGES = {Stage.NONE: "None", Stage.STAGING: "Staging", Stage.PRODUCTION: "Production", Stage.ARCHIVED: "Archived"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, mlflow_environment: None) -> Iterator[Desk]:
    """One database and one MLflow for the module; tests keep apart by model."""
    directory = tmp_path_factory.mktemp("mirror")
    database = new_database(directory / "registrar.db")
    registry = open_registry(f"sqlite:///{directory}/mlflow.db")
    yield Desk(database, Hooked(registry))
    registry.close()
    database.close()


@pytest.fixture
def desk(shared: Desk) -> Iterator[Desk]:
    yield shared
    shared.mlflow.before.clear()
    shared.mlflow.after.clear()
    settle(shared)


def with_versions(desk: Desk, count: int = VERSIONS) -> ModelKey:
    model = ModelKey("default", unique("model-"))
    bundle = desk.commit_bundle(model)
    for _ in range(count):
        desk.submit(model, bundle, tags={"made": "here"})
        desk.work_all()
    return model


def settle(desk: Desk) -> None:
    """Mirror until nothing is left, over every pause."""
    for _ in range(50):
        if desk.mirror() == 0:
            with desk.database.reading() as transaction:
                if transaction.mirror.progress().pending_models == 0:
                    return
            desk.clock.advance(60)
    raise AssertionError("the mirror does not come to an end")


def in_mlflow(desk: Desk, model: ModelKey) -> Any:
    with desk.mlflow._inner._stores.call("test", model.tenant) as stores:
        found = stores.registry.get_registered_model(model.name)
        versions = stores.registry.search_model_versions(f"name = '{model.name}'", max_results=100)
    return found, {int(version.version): version for version in versions}


def require_equal(desk: Desk, model: ModelKey, *, lost: frozenset[int] = frozenset()) -> None:
    """MLflow's aliases, stages, tags and descriptions are ours; `lost` are versions that MLflow no longer has."""
    with desk.database.reading() as transaction:
        ours = transaction.models.get(model, is_deleted_shown=True)
        assert ours is not None
        versions = transaction.versions.list(ours.uid, before=0, limit=100, stage=None, is_deleted_shown=True)
        aliases = dict(transaction.aliases.all(ours.uid))
    theirs, numbered = in_mlflow(desk, model)
    holders = {"production": ours.production_version, "staging": ours.staging_version}
    wanted = aliases | {stage: number for stage, number in holders.items() if number}
    assert {a: int(n) for a, n in theirs.aliases.items()} == {a: n for a, n in wanted.items() if n not in lost}
    assert theirs.description == (ours.description or theirs.description)
    tags = dict(theirs.tags)
    assert ("registrar.deleted" in tags) == (ours.delete_time is not None)
    tags.pop("registrar.deleted", None)
    assert tags == dict(ours.tags)
    for version in versions:
        if version.number in lost:
            assert version.number not in numbered
            continue
        shown = numbered[version.number]
        assert shown.current_stage == STAGES[version.stage], version.number
        assert (shown.description or "") == version.notes.description
        tags = {key: value for key, value in shown.tags.items() if not key.startswith("registrar.")}
        assert tags == dict(version.notes.tags), version.number
        assert ("registrar.deleted" in shown.tags) == (version.delete_time is not None)
        assert shown.tags.get("registrar.deprecation_note", "") == version.notes.deprecation_note


Step = tuple[Any, ...]
NUMBERS = st.integers(1, VERSIONS)
TAGS = st.dictionaries(st.sampled_from(["a", "b", "a b", "a/b"]), st.text("xyz ", max_size=3), max_size=3)
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.tuples(st.just("move"), NUMBERS, st.sampled_from(list(Stage))),
        st.tuples(st.just("rollback")),
        st.tuples(st.just("alias"), st.sampled_from(["champion", "Champion", "shadow"]), NUMBERS),
        st.tuples(st.just("unalias"), st.sampled_from(["champion", "Champion", "shadow"])),
        st.tuples(st.just("tags"), NUMBERS, TAGS),
        st.tuples(st.just("note"), NUMBERS, st.sampled_from(["", "old", "very old"])),
        st.tuples(st.just("delete"), NUMBERS),
        st.tuples(st.just("undelete"), NUMBERS),
        st.tuples(st.just("model-tags"), TAGS),
        st.tuples(st.just("delete-model")),
        st.tuples(st.just("undelete-model")),
        st.tuples(st.just("mirror")),
        st.tuples(st.just("fail"), st.sampled_from(["set_alias", "set_version_tags", "set_version_stage"])),
    ),
    max_size=14,
)


def take(desk: Desk, model: ModelKey, step: Step) -> None:  # noqa: C901, PLR0912  (a case for each kind of step)
    """One change; what is refused changes nothing and is part of the game."""
    kind, *rest = step
    try:
        match kind:
            case "move":
                desk.lifecycle.transition(mutation("TransitionStage"), MoveRequest(ref(model, rest[0]), rest[1]))
            case "rollback":
                desk.lifecycle.rollback(mutation("Rollback"), RollbackRequest(model))
            case "alias":
                wanted = ref(model, rest[1])
                desk.aliases.set(mutation("SetAlias"), AliasRequest(wanted, rest[0]))
            case "unalias":
                desk.aliases.delete(mutation("DeleteAlias"), model, rest[0], expected=None, comment="")
            case "tags":
                desk.versions.update(mutation("Update"), ref(model, rest[0]), "", NotesUpdate(tags=rest[1]))
            case "note":
                note = NotesUpdate(deprecation_note=rest[1], description=rest[1])
                desk.versions.update(mutation("Update"), ref(model, rest[0]), "", note)
            case "delete":
                desk.versions.delete(mutation("Delete"), ref(model, rest[0]), "")
            case "undelete":
                desk.versions.undelete(mutation("Undelete"), ref(model, rest[0]))
            case "model-tags":
                desk.models.update(_model_mutation(), model, "", ModelUpdate(tags=rest[0]))
            case "delete-model":
                desk.models.delete(_model_mutation(), model, "")
            case "undelete-model":
                desk.models.undelete(_model_mutation(), model)
            case "mirror":
                desk.mirror()
            case "fail":
                desk.mlflow.before[rest[0]] = once(fail(Reason.MLFLOW_UNAVAILABLE))
            case _:
                raise AssertionError(kind)
    except RegistrarError as exc:
        assert exc.reason not in (Reason.MLFLOW_UNAVAILABLE, Reason.DATABASE_BUSY)


def _model_mutation() -> Any:
    from dataclasses import replace

    return replace(mutation("Model"), encode=lambda _: b"")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_after_any_sequence_of_changes_mlflow_shows_our_state(shared: Desk, steps: list[Step]) -> None:
    shared.mlflow.before.clear()
    model = with_versions(shared)
    for step in steps:
        take(shared, model, step)
    shared.mlflow.before.clear()
    settle(shared)
    require_equal(shared, model)


def test_what_happened_before_a_model_was_deleted_is_there_when_it_comes_back(desk: Desk) -> None:
    model = with_versions(desk, 2)
    take(desk, model, ("move", 1, Stage.STAGING))
    settle(desk)
    for step in (
        ("move", 1, Stage.ARCHIVED),
        ("tags", 2, {"late": "yes"}),
        ("delete-model",),
        ("mirror",),
        ("undelete-model",),
    ):
        take(desk, model, step)
    settle(desk)
    require_equal(desk, model)


def test_a_displaced_version_loses_stage_and_alias(desk: Desk) -> None:
    model = with_versions(desk)
    for number in (1, 2, 3):
        take(desk, model, ("move", number, Stage.PRODUCTION))
        settle(desk)
        require_equal(desk, model)
    take(desk, model, ("rollback",))
    settle(desk)
    require_equal(desk, model)
    theirs, numbered = in_mlflow(desk, model)
    assert {alias: int(number) for alias, number in theirs.aliases.items()} == {"production": 2}
    assert [numbered[number].current_stage for number in (1, 2, 3)] == ["Archived", "Production", "Archived"]


def test_a_version_deleted_in_mlflow_holds_up_nothing_else(desk: Desk) -> None:
    model = with_versions(desk)
    take(desk, model, ("alias", "champion", 1))
    settle(desk)
    desk.mlflow._inner.delete_version(model.tenant, model.name, 1)
    for step in (
        ("tags", 1, {"touched": "yes"}),
        ("move", 1, Stage.PRODUCTION),
        ("alias", "shadow", 1),
        ("tags", 2, {"touched": "yes"}),
        ("move", 2, Stage.PRODUCTION),
        ("alias", "champion", 3),
        ("move", 3, Stage.STAGING),
    ):
        take(desk, model, step)
    settle(desk)
    require_equal(desk, model, lost=frozenset({1}))


def test_mlflow_down_holds_back_one_models_changes_and_they_arrive_in_the_end(desk: Desk) -> None:
    model, other = with_versions(desk), with_versions(desk)
    settle(desk)

    def only_first(_tenant: str, name: str, *_: object) -> None:
        if name == model.name:
            raise RegistrarError(Reason.MLFLOW_UNAVAILABLE, "cut")

    desk.mlflow.before["set_version_stage"] = only_first
    for key in (model, other):
        take(desk, key, ("move", 1, Stage.STAGING))
        take(desk, key, ("move", 1, Stage.PRODUCTION))
    head = progress(desk).event_sequence
    desk.mirror()
    require_equal(desk, other)
    assert progress(desk).pending_models == 1
    assert progress(desk).mirrored_sequence < head
    desk.mlflow.before.clear()
    settle(desk)
    require_equal(desk, model)
    assert progress(desk).mirrored_sequence == progress(desk).event_sequence == head


def test_a_change_in_the_middle_of_mirroring_is_not_lost(desk: Desk) -> None:
    model = with_versions(desk)
    settle(desk)
    take(desk, model, ("move", 1, Stage.PRODUCTION))
    desk.mlflow.after["set_version_stage"] = once(lambda: take(desk, model, ("move", 2, Stage.PRODUCTION)))
    desk.mirror()
    desk.mlflow.after.clear()
    settle(desk)
    require_equal(desk, model)


def test_a_mirror_that_died_in_the_middle_is_taken_up_after_the_restart(desk: Desk) -> None:
    model = with_versions(desk)
    settle(desk)
    take(desk, model, ("move", 1, Stage.PRODUCTION))
    take(desk, model, ("tags", 1, {"b": "2"}))

    class Died(BaseException):
        pass

    def die() -> None:
        raise Died

    desk.mlflow.before["set_alias"] = once(die)
    with pytest.raises(Died):
        desk.mirror()
    assert desk.mirror() == 0, "the lease is still held"
    desk.release_leases()
    settle(desk)
    require_equal(desk, model)


def test_a_thousand_promotions_are_mirrored_as_one_state(desk: Desk) -> None:
    model = with_versions(desk, 2)
    with desk.database.reading() as transaction:
        before = transaction.journal.head()
    for number in range(1_100):
        take(desk, model, ("alias", "champion", number % 2 + 1))
    assert progress(desk).event_sequence == before + 1_100
    settle(desk)
    require_equal(desk, model)
    assert progress(desk).mirrored_sequence == progress(desk).event_sequence


def progress(desk: Desk) -> Any:
    with desk.database.reading() as transaction:
        return transaction.mirror.progress()


def background_of(desk: Desk, database: SqlDatabase) -> Background:
    """The loops, of which clearing has nothing to do."""
    finishing = UploadFinishing(database, desk.store, desk.clock, NoSignals(), "node:one")
    provisioning = Provisioning(database, desk.mlflow, desk.clock)
    return Background(database, desk.clock, desk.registering, desk.mirroring, finishing, NoClearing(), provisioning)


class NoClearing(Clearing):
    """Nothing to clear."""

    def __init__(self) -> None: ...

    def work(self) -> int:
        return 0


class TestBackground:
    """The loops around it."""

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[SqlDatabase]:
        opened = new_database(tmp_path / "registrar.db")
        yield opened
        opened.close()

    def test_a_slow_registration_holds_up_no_other(self, shared: Desk, database: SqlDatabase) -> None:
        mlflow = Hooked(shared.mlflow._inner)
        desk = Desk(database, mlflow)
        slow, quick = (ModelKey("default", unique(f"{name}-")) for name in ("slow", "quick"))
        is_slow, may_end = threading.Event(), threading.Event()

        def hold(_tenant: str, name: str, *_: object) -> None:
            if name == slow.name:
                is_slow.set()
                assert may_end.wait(30)

        mlflow.before["ensure_model"] = hold
        slow_uid, _, _ = desk.submit(slow, desk.commit_bundle(slow))
        background = background_of(desk, database)
        background.start()
        try:
            assert is_slow.wait(10)
            uid, _, _ = desk.submit(quick, desk.commit_bundle(quick))
            background.wake()
            wait_until(lambda: desk.version(uid).number == 1, 10)
            assert desk.version(slow_uid).number == 0
            may_end.set()
            wait_until(lambda: desk.version(slow_uid).number == 1, 10)
        finally:
            may_end.set()
            background.stop(10)

    def test_a_task_whose_lease_ran_out_is_not_worked_on_twice_by_one_process(
        self, shared: Desk, database: SqlDatabase
    ) -> None:
        mlflow = Hooked(shared.mlflow._inner)
        desk = Desk(database, mlflow, clock=MovableClock())
        model = ModelKey("default", unique("slow-"))
        is_slow, may_end = threading.Event(), threading.Event()

        def hold(*_: object) -> None:
            is_slow.set()
            assert may_end.wait(30)

        mlflow.before["ensure_model"] = hold
        uid, _, _ = desk.submit(model, desk.commit_bundle(model))
        background = background_of(desk, database)
        background.start()
        try:
            assert is_slow.wait(10)
            desk.clock.advance(120)
            background.wake()
            wait_until(lambda: not _is_due(desk), 10)
            may_end.set()
            wait_until(lambda: desk.version(uid).number == 1, 10)
        finally:
            may_end.set()
            background.stop(10)
        assert mlflow.calls.count("create_version") == 1

    def test_stopping_keeps_to_its_grace(self, shared: Desk, database: SqlDatabase) -> None:
        mlflow = Hooked(shared.mlflow._inner)
        desk = Desk(database, mlflow)
        model = ModelKey("default", unique("slow-"))
        is_slow, may_end = threading.Event(), threading.Event()

        def hold(*_: object) -> None:
            is_slow.set()
            may_end.wait(30)

        mlflow.before["ensure_model"] = hold
        desk.submit(model, desk.commit_bundle(model))
        background = background_of(desk, database)
        background.start()
        assert is_slow.wait(10)
        stopping = threading.Thread(target=background.stop, args=(0.3,), daemon=True)
        stopping.start()
        try:
            stopping.join(3)
            assert not stopping.is_alive()
        finally:
            may_end.set()
        wait_until(lambda: not any(t.name.startswith("background") for t in threading.enumerate()), 10)


def _is_due(desk: Desk) -> bool:
    with desk.database.reading() as transaction:
        return bool(transaction.registrations.is_any_due(desk.clock.now()))
