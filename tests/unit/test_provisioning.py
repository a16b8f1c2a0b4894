"""MLflow learns of every tenant, once, and of one that it does not take again later."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.provisioning import Provisioning
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.database import at


class Workspaces:
    """MLflow, as far as it has workspaces; refuses those that are named."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refused: set[str] = set()

    def ensure_tenant(self, tenant: str) -> None:
        self.asked.append(tenant)
        if tenant in self.refused:
            raise RegistrarError(Reason.MLFLOW_UNAVAILABLE, "no")


@pytest.fixture
def workspaces() -> Workspaces:
    return Workspaces()


class StandingClock:
    """Noon, until it is set."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return at(self.seconds)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


def missing(database: SqlDatabase) -> list[str]:
    with database.reading() as transaction:
        return list(transaction.tenants.without_workspace(limit=9))


def made(database: SqlDatabase, workspaces: Workspaces, clock: StandingClock) -> Provisioning:
    mlflow: Any = workspaces
    return Provisioning(database, mlflow, clock)


def test_every_tenant_gets_a_workspace_once(
    sqlite_database: SqlDatabase, workspaces: Workspaces, clock: StandingClock
) -> None:
    step = made(sqlite_database, workspaces, clock)
    assert step.work()
    assert not step.work()
    assert workspaces.asked == ["acme-corp", "default"]
    assert missing(sqlite_database) == []


def test_one_that_fails_is_tried_again_after_growing_pauses_and_hinders_no_other(
    sqlite_database: SqlDatabase, workspaces: Workspaces, clock: StandingClock
) -> None:
    workspaces.refused.add("acme-corp")
    step = made(sqlite_database, workspaces, clock)
    assert step.work()
    assert missing(sqlite_database) == ["acme-corp"]
    for now, is_asked in ((0.9, False), (1.0, True), (2.9, False), (3.0, True), (10_000.0, True)):
        clock.seconds = now
        before = len(workspaces.asked)
        assert not step.work()
        assert (len(workspaces.asked) > before) is is_asked, now
    workspaces.refused.clear()
    clock.seconds = 20_000.0
    assert step.work()
    assert missing(sqlite_database) == []
