"""A registration survives whatever happens between two of its steps: nothing lost, doubled or numbered twice.

The crashes are real: a process of its own ends with `os._exit` before each commit of either database (so all that can
have happened between two steps is tried, the inside of MLflow's calls included), and another one takes over. All run
in one program that imports MLflow once and forks, on copies of databases that are migrated once.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import select

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.adapters.database.migrate import migrate
from registrar_server.adapters.database.tables import audit_entries, events, model_versions, registrations
from registrar_server.application.lifecycle import MoveRequest
from registrar_server.application.ports.mlflow_registry import NewVersion
from registrar_server.application.registering import LEASE_SECONDS
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import ModelKey, Stage, VersionState
from registrar_server.domain.versions import Facts
from tests.fixtures.faults import Desk, Hooked, MovableClock, fail, mutation, new_database, once, ref
from tests.fixtures.mlflow import open_registry, unique
from tests.fixtures.postgres import fresh_database
from tests.fixtures.stores import wait_until

pytestmark = [
    # MLflow 3.17 maps a relation with the loader strategy that SQLAlchemy 2.1 deprecates.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
]

MODEL = ModelKey("default", "crashing")
CRASHED = 9

PROGRAM = """
import json, os, sys
from pathlib import Path
from registrar_server.adapters.mlflow.environment import prepare_environment
prepare_environment(30)
import registrar_server.adapters.mlflow.stores, registrar_server.adapters.mlflow.versions
import registrar_server.adapters.mlflow.runs, registrar_server.adapters.mlflow.run_files
from tests.integration.test_registration_crashes import crash, recover

for line in sys.stdin:
    job = json.loads(line)
    if job["do"] == "warm":
        # What is compiled and mapped once need not be in every fork.
        print(recover(job), flush=True)
        continue
    pid = os.fork()
    if not pid:
        try:
            code = {"crash": crash, "recover": recover}[job["do"]](job)
        except BaseException:
            import traceback
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Countdown:
    """Ends the process at its Nth step."""

    def __init__(self, left: int) -> None:
        self._left = left

    def step(self, *_: object, **__: object) -> None:
        self._left -= 1
        if self._left == 0:
            os._exit(CRASHED)


def crash(job: dict[str, Any]) -> int:
    """Register one version and die at step N; 0 when it was done before."""
    from sqlalchemy import Engine, event

    countdown = Countdown(job["step"])
    event.listen(Engine, "commit", countdown.step)
    desk = Desk(SqlDatabase(job["database"]), open_registry(job["mlflow"]), holder="first")
    desk.submit(MODEL, job["artifact_id"], request_id="one")
    desk.work_all()
    desk.submit(MODEL, job["artifact_id"], request_id="one", wait_seconds=5)
    return 0


def recover(job: dict[str, Any]) -> int:
    """Start again on the same node: the client repeats its call, and then makes another version."""
    desk = Desk(SqlDatabase(job["database"]), open_registry(job["mlflow"]), holder="second")
    desk.release_leases()
    desk.submit(MODEL, job["artifact_id"], request_id="one")
    desk.work_all()
    answers = [desk.submit(MODEL, job["artifact_id"], request_id="one", wait_seconds=5) for _ in range(2)]
    desk.submit(MODEL, job["artifact_id"], request_id="two")
    desk.work_all()
    desk.mirror()
    Path(job["answers"]).write_text(json.dumps(answers))
    return 0


class Zygote:
    """The program, and its forks one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, **job: object) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        # What the forks log goes to the same pipe; the exit code is the line that is a number.
        return next(int(line) for line in self._process.stdout if line.strip().lstrip("-").isdigit())

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory, mlflow_environment: None) -> Path:
    """MLflow's database, migrated."""
    path = tmp_path_factory.mktemp("mlflow-template") / "mlflow.db"
    registry = open_registry(f"sqlite:///{path}")
    registry.check()
    registry.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Our database, migrated, with one bundle: its path, and the bundle's id."""
    path = tmp_path_factory.mktemp("template") / "registrar.db"
    database = new_database(path)
    artifact_id = Desk(database, None).commit_bundle(MODEL)
    database.close()
    return path, artifact_id


@pytest.fixture(scope="module")
def zygote(
    mlflow_template: Path, template: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Zygote]:
    started = Zygote()
    warm = _attempt(tmp_path_factory.mktemp("warm"), 0, mlflow_template, template)
    assert warm.run(started, "warm") == 0
    yield started
    started.close()


def _attempt(directory: Path, step: int, mlflow_template: Path, template: tuple[Path, str]) -> Attempt:
    path, artifact_id = template
    shutil.copy(path, directory / f"{step}.db")
    shutil.copy(mlflow_template, directory / f"{step}-mlflow.db")
    url = f"sqlite:///{directory}/{step}.db"
    return Attempt(url, directory / f"{step}-mlflow.db", artifact_id, directory / f"{step}.json")


@dataclass
class Attempt:
    """Databases of one crash."""

    database: str
    mlflow: Path
    artifact_id: str
    answers: Path

    def run(self, zygote: Zygote, do: str, step: int = 0) -> int:
        return zygote.run(
            do=do,
            step=step,
            database=self.database,
            mlflow=f"sqlite:///{self.mlflow}",
            artifact_id=self.artifact_id,
            answers=str(self.answers),
        )

    def require_whole(self, note: str) -> None:
        """One version for each request id, numbered 1 and 2 here and in MLflow, with one event and audit entry each."""
        (first, again) = json.loads(self.answers.read_text())
        database = SqlDatabase(self.database)
        with database._engine.connect() as connection:
            rows = connection.execute(
                select(
                    model_versions.c.uid, model_versions.c.number, model_versions.c.state, model_versions.c.run_id
                ).order_by(model_versions.c.number)
            ).all()
            happened = connection.execute(select(events.c.version_uid, events.c.type)).all()
            audited = connection.execute(select(audit_entries.c.version_uid, audit_entries.c.action)).all()
            left = connection.execute(select(registrations.c.version_uid)).all()
        database.close()
        assert [(row.number, row.state) for row in rows] == [(1, "ready"), (2, "ready")], note
        assert first == again == [rows[0].uid, 1, "ready"], note
        assert not left, note
        for row in rows:
            assert [tuple(e) for e in happened].count((row.uid, "version.registered")) == 1, note
            assert [tuple(e) for e in audited].count((row.uid, "version.registered")) == 1, note
        assert [e.type for e in happened].count("model.created") == 1, note
        assert _living(self.mlflow) == [(1, rows[0].uid, rows[0].run_id), (2, rows[1].uid, rows[1].run_id)], note
        assert _runs(self.mlflow) == {rows[0].uid: 1, rows[1].uid: 1}, note


def _living(mlflow: Path) -> list[tuple[int, str, str]]:
    """MLflow's living versions: number, our uid, run."""
    with closing(sqlite3.connect(mlflow)) as connection:
        return connection.execute(
            "SELECT v.version, t.value, v.run_id FROM model_versions v JOIN model_version_tags t"
            " ON t.name = v.name AND t.version = v.version AND t.workspace = v.workspace"
            " WHERE t.key = 'registrar.uid' AND v.current_stage != 'Deleted_Internal' ORDER BY v.version"
        ).fetchall()


def _runs(mlflow: Path) -> dict[str, int]:
    """How many runs each version has."""
    with closing(sqlite3.connect(mlflow)) as connection:
        rows = connection.execute("SELECT value, count(*) FROM tags WHERE key = 'registrar.uid' GROUP BY value")
        return dict(rows.fetchall())


def test_a_crash_before_any_commit_loses_and_doubles_nothing(
    zygote: Zygote, mlflow_template: Path, template: tuple[Path, str], tmp_path: Path
) -> None:
    step, code = 0, CRASHED
    while code == CRASHED:
        step += 1
        attempt = _attempt(tmp_path, step, mlflow_template, template)
        code = attempt.run(zygote, "crash", step)
        assert code in (0, CRASHED), f"step {step}"
        assert attempt.run(zygote, "recover") == 0, f"step {step}"
        attempt.require_whole(f"step {step}")
    assert step > 10, "the crashes did not reach the steps"


@pytest.mark.postgresql
def test_a_crash_is_survived_on_postgresql_too(
    zygote: Zygote, mlflow_template: Path, tmp_path: Path, postgres_admin_url: str
) -> None:
    with fresh_database(postgres_admin_url) as template:
        migrate(template, tenant_names=["default"])
        database = SqlDatabase(template)
        artifact_id = Desk(database, None).commit_bundle(MODEL)
        database.close()
        for step in (1, 2, 3, 5, 8, 10, 11, 12, 13):
            with fresh_database(postgres_admin_url) as url:
                _copy(postgres_admin_url, template, url)
                attempt = Attempt(url, tmp_path / f"{step}-mlflow.db", artifact_id, tmp_path / f"{step}.json")
                shutil.copy(mlflow_template, attempt.mlflow)
                assert attempt.run(zygote, "crash", step) in (0, CRASHED)
                assert attempt.run(zygote, "recover") == 0
                attempt.require_whole(f"step {step}")


def _copy(admin_url: str, template: str, url: str) -> None:
    source, target = (sql.Identifier(name.rpartition("/")[2]) for name in (template, url))
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {}").format(target))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(target, source))


@pytest.fixture(scope="module")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory, mlflow_template: Path) -> str:
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    shutil.copy(mlflow_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def mlflow(mlflow_uri: str) -> Iterator[Hooked]:
    registry = open_registry(mlflow_uri)
    yield Hooked(registry)
    registry.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqlDatabase]:
    opened = new_database(tmp_path / "registrar.db")
    yield opened
    opened.close()


@pytest.fixture
def desk(database: SqlDatabase, mlflow: Hooked) -> Desk:
    return Desk(database, mlflow)


@pytest.fixture
def model() -> ModelKey:
    return ModelKey("default", unique("model-"))


def living(desk: Desk, model: ModelKey, uid: str) -> list[int]:
    return list(desk.mlflow._inner.find_versions(model.tenant, model.name, uid))


def event_types(database: SqlDatabase, uid: str) -> list[str]:
    with database._engine.connect() as connection:
        query = select(events.c.type).where(events.c.version_uid == uid).order_by(events.c.sequence)
        return list(connection.execute(query).scalars())


class TestSlowFirstCall:
    def test_a_call_that_took_effect_and_failed_is_found_again(self, desk: Desk, model: ModelKey) -> None:
        desk.mlflow.after["create_version"] = once(fail(Reason.MLFLOW_UNAVAILABLE))
        uid, _, _ = desk.submit(model, desk.commit_bundle(model))
        desk.work()
        assert desk.version(uid).state is VersionState.PENDING
        with pytest.raises(RegistrarError) as refused:
            desk.registration._look(uid, is_pending_enough=False)
        assert refused.value.reason is Reason.MLFLOW_UNAVAILABLE
        assert refused.value.retry_after_seconds
        desk.clock.advance(60)
        desk.work()
        assert desk.version(uid).number == 1
        assert living(desk, model, uid) == [1]
        assert desk.mlflow.calls.count("create_version") == 1
        assert desk.register(model, b"next").number == 2

    def test_of_two_the_lower_number_wins_and_the_other_is_tombstoned(self, desk: Desk, model: ModelKey) -> None:
        late: list[Any] = []

        def hold_back(*arguments: Any) -> None:
            late.append(arguments)
            fail(Reason.MLFLOW_UNAVAILABLE)()

        def arrive() -> None:
            # The first call's effect, after the second attempt has looked and before it makes its own.
            desk.mlflow._inner.create_version(*late[0])

        desk.mlflow.before["create_version"] = hold_back
        uid, _, _ = desk.submit(model, desk.commit_bundle(model))
        desk.work()
        desk.mlflow.before["create_version"] = once(arrive)
        desk.clock.advance(60)
        desk.work()
        assert desk.version(uid).number == 1
        assert living(desk, model, uid) == [1]
        assert event_types(desk.database, uid) == ["version.registered"]
        # MLflow never gives the tombstone's number again.
        assert desk.register(model, b"next").number == 3

    def test_a_first_call_that_arrives_after_the_second_ones_is_tombstoned(self, desk: Desk, model: ModelKey) -> None:
        late: list[Any] = []

        def hold_back(*arguments: Any) -> None:
            late.append(arguments)
            fail(Reason.MLFLOW_UNAVAILABLE)()

        desk.mlflow.before["create_version"] = hold_back
        uid, _, _ = desk.submit(model, desk.commit_bundle(model))
        desk.work()
        del desk.mlflow.before["create_version"]
        desk.mlflow.after["create_version"] = once(lambda: desk.mlflow._inner.create_version(*late[0]))
        desk.clock.advance(60)
        desk.work()
        assert desk.version(uid).number == 1
        assert living(desk, model, uid) == [1]
        assert desk.register(model, b"next").number == 3

    def test_a_failed_tombstone_is_made_up_for(self, desk: Desk, model: ModelKey) -> None:
        uid, _, _ = desk.submit(model, desk.commit_bundle(model))
        desk.mlflow.after["create_version"] = once(fail(Reason.MLFLOW_UNAVAILABLE))
        desk.work()
        # Somebody else's copy of the call, with the same tag.
        desk.mlflow.before["delete_version"] = once(fail(Reason.MLFLOW_UNAVAILABLE))
        inner = desk.mlflow._inner
        inner.create_version(model.tenant, model.name, NewVersion(uid, "s3://bundles/registrar/x", "", ""))
        for _ in range(2):
            desk.clock.advance(60)
            desk.work()
        assert desk.version(uid).number == 1
        assert living(desk, model, uid) == [1]


class TestLeases:
    def test_a_lease_that_was_taken_over_ends_the_first_holders_work(
        self, desk: Desk, database: SqlDatabase, model: ModelKey
    ) -> None:
        clock = MovableClock()
        other = Desk(database, Hooked(desk.mlflow._inner), node="other", clock=clock)

        def take_over() -> None:
            clock.advance(LEASE_SECONDS + 1)
            assert other.work() == 1

        uid, _, _ = desk.submit(model, desk.commit_bundle(model))
        desk.mlflow.before["create_run"] = once(take_over)
        desk.work()
        assert desk.version(uid).number == 1
        assert living(desk, model, uid) == [1]
        assert "create_version" not in desk.mlflow.calls
        assert event_types(database, uid) == ["version.registered"]
        assert desk.register(model, b"next").number == 2

    def test_a_lease_lost_within_mlflows_call_makes_no_second_version_here(
        self, desk: Desk, database: SqlDatabase, model: ModelKey
    ) -> None:
        clock = MovableClock()
        other = Desk(database, Hooked(desk.mlflow._inner), node="other", clock=clock)

        def take_over() -> None:
            clock.advance(LEASE_SECONDS + 1)
            assert other.work() == 1

        uid, _, _ = desk.submit(model, desk.commit_bundle(model))
        desk.mlflow.after["create_version"] = once(take_over)
        desk.work()
        assert desk.version(uid).number == 1
        assert living(desk, model, uid) == [1]
        assert event_types(database, uid) == ["version.registered"]

    def test_the_failure_of_one_who_lost_the_lease_changes_nothing(
        self, desk: Desk, database: SqlDatabase, model: ModelKey
    ) -> None:
        clock = MovableClock()
        other = Desk(database, Hooked(desk.mlflow._inner), node="other", clock=clock)

        def take_over() -> None:
            clock.advance(LEASE_SECONDS + 1)
            assert other.work() == 1
            fail(Reason.MLFLOW_DRIFT)()

        uid, _, _ = desk.submit(model, desk.commit_bundle(model))
        desk.mlflow.before["ensure_model"] = once(take_over)
        desk.work()
        assert desk.version(uid).state is VersionState.READY
        assert event_types(database, uid) == ["version.registered"]

    def test_leases_of_other_nodes_are_not_released(self, desk: Desk, database: SqlDatabase, model: ModelKey) -> None:
        desk.submit(model, desk.commit_bundle(model))
        assert len(desk.registering.lease(10)) == 1
        other = Desk(database, desk.mlflow, node="nod")
        other.release_leases()
        assert other.work() == 0
        desk.release_leases()
        assert other.work() == 1

    def test_two_versions_of_a_model_are_never_worked_on_at_once(self, desk: Desk, model: ModelKey) -> None:
        bundle = desk.commit_bundle(model)
        uids = [desk.submit(model, bundle)[0] for _ in range(3)]
        assert [task.version_uid for task in desk.registering.lease(10)] == uids[:1]
        assert desk.registering.lease(10) == []

    @pytest.mark.postgresql
    def test_the_order_of_registrations_is_that_of_the_models_lock(
        self, postgres_url: str, mlflow: Hooked, model: ModelKey
    ) -> None:
        """Else a version that waited for the lock goes before one whose number is being made, which then is drift."""
        migrate(postgres_url, tenant_names=["default"])
        database = SqlDatabase(postgres_url)
        desk = Desk(database, mlflow)
        bundle = desk.commit_bundle(model)
        desk.register(model, b"first")
        uids: list[str] = []
        with database.writing() as transaction:
            transaction.models.lock(model)
            late = threading.Thread(target=lambda: uids.append(desk.submit(model, bundle)[0]))
            late.start()
            wait_until(lambda: _is_waiting_for_a_lock(postgres_url), 10)
            locked_until = desk.clock.now()
        late.join(10)
        with database._engine.connect() as connection:
            created = connection.execute(select(registrations.c.created_at)).scalar_one()
        database.close()
        assert created >= locked_until


def _is_waiting_for_a_lock(url: str) -> bool:
    with psycopg.connect(url) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        row = connection.execute(query).fetchone()
    return row is not None and row[0] > 0


class TestDrift:
    def test_a_number_given_again_is_refused_and_touches_nothing(
        self, desk: Desk, database: SqlDatabase, model: ModelKey
    ) -> None:
        before = [desk.register(model, content) for content in (b"one", b"two")]
        _delete_in_mlflow(desk, model)
        uid, _, _ = desk.submit(model, desk.commit_bundle(model, b"three"))
        desk.work()
        failed = desk.version(uid)
        assert (failed.state, failed.failure_reason, failed.number) == (VersionState.FAILED, "MLFLOW_DRIFT", 0)
        with pytest.raises(RegistrarError) as refused:
            desk.registration._look(uid, is_pending_enough=False)
        assert refused.value.reason is Reason.MLFLOW_DRIFT
        assert event_types(database, uid) == ["version.failed"]
        assert [desk.version(version.uid) for version in before] == before

    def test_what_was_numbered_again_is_not_left_in_mlflow_as_ours(self, desk: Desk, model: ModelKey) -> None:
        """Else the mirror would hang `production` on it, and plain MLflow load other bytes than were promoted."""
        first = desk.register(model, b"one")
        _delete_in_mlflow(desk, model)
        uid, _, _ = desk.submit(model, desk.commit_bundle(model, b"two"))
        desk.work()
        assert desk.version(uid).state is VersionState.FAILED
        assert living(desk, model, uid) == []
        desk.lifecycle.transition(mutation("TransitionStage"), MoveRequest(ref(model, first.number), Stage.STAGING))
        desk.mirror()
        with desk.mlflow._inner._stores.call("test", model.tenant) as stores:
            found = stores.registry.get_registered_model(model.name)
        assert not found.aliases
        assert not found.latest_versions


def _delete_in_mlflow(desk: Desk, model: ModelKey) -> None:
    with desk.mlflow._inner._stores.call("test", model.tenant) as stores:
        stores.registry.delete_registered_model(model.name)


class TestOutcomes:
    def test_an_unexpected_failure_is_tried_again_and_then_final(self, desk: Desk, model: ModelKey) -> None:
        def explode(*_: object) -> None:
            raise ZeroDivisionError

        desk.mlflow.before["ensure_model"] = explode
        uid, _, _ = desk.submit(model, desk.commit_bundle(model))
        for attempt in range(1, 11):
            assert desk.version(uid).state is VersionState.PENDING, attempt
            assert desk.work() == 1
            desk.clock.advance(60)
        failed = desk.version(uid)
        assert (failed.state, failed.failure_reason) == (VersionState.FAILED, "REGISTRATION_FAILED")
        assert "Zero" not in failed.failure
        del desk.mlflow.before["ensure_model"]
        assert desk.register(model, b"next").number == 1

    def test_a_failed_versions_semantic_version_is_free_again(self, desk: Desk, model: ModelKey) -> None:
        desk.mlflow.before["ensure_model"] = once(fail(Reason.MLFLOW_DRIFT))
        bundle = desk.commit_bundle(model)
        uid, _, _ = desk.submit(model, bundle, facts=Facts(semantic_version="1.0.0"))
        desk.work()
        assert desk.version(uid).state is VersionState.FAILED
        again, _, _ = desk.submit(model, bundle, facts=Facts(semantic_version="1.0.0"))
        desk.work()
        assert desk.version(again).number == 1
