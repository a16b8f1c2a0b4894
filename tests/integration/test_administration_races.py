"""Who may do what stays whole when several change it at once, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.administration.administration import Administration
from registrar_server.application.administration.bindings import NewBinding
from registrar_server.application.administration.roles import RoleUpdate
from registrar_server.application.administration.tenants import TenantUpdate
from registrar_server.application.administration.tokens import NewToken
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.clock import SystemClock
from registrar_server.domain.access import Grant, NamePattern, Right
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.tenants import Quotas
from tests.fixtures.database import CALLER
from tests.fixtures.faults import NoSignals

CLOCK = SystemClock()
ALL = NamePattern()


@pytest.fixture
def administration(database: SqlDatabase) -> Administration:
    return Administration.on(database, Mutations(database, CLOCK, NoSignals()), CLOCK)


def mutation(request_id: str = "") -> Any:
    """A change whose answer nobody reads."""
    return Mutation(CALLER, "Any", request_id, "digest", lambda result: repr(result).encode())


def at_once(calls: Sequence[Callable[[], object]]) -> list[str]:
    """How each call ended: `ok`, or the reason that it was refused with."""

    def run(call: Callable[[], object]) -> str:
        try:
            call()
        except RegistrarError as exc:
            return exc.reason.value
        return "ok"

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.mark.parametrize("_", range(3))
def test_no_binding_and_no_token_is_left_of_a_role_that_is_deleted_meanwhile(
    administration: Administration, database: SqlDatabase, _: int
) -> None:
    grants = (Grant(Right.READ),)
    administration.roles.create(mutation(), "default", "short", description="", grants=grants)
    binds = [
        partial(administration.bindings.create, mutation(), NewBinding("default", "short", f"user:{n}", ALL))
        for n in range(3)
    ]
    tokens = [
        partial(administration.tokens.create, mutation(), NewToken("default", f"s{n}", "short", 60, ALL, ""))
        for n in range(3)
    ]
    delete = partial(administration.roles.delete, mutation(), "default", "short", etag="")
    ended = at_once([*binds, delete, *tokens])
    with database.reading() as transaction:
        is_there = transaction.access.find_role("default", "short") is not None
        uses = transaction.access.count_uses("default", "short", now=CLOCK.now())
    assert ended[3] == (Reason.ROLE_IN_USE.value if is_there else "ok")
    assert sum(uses) == (6 if is_there else 0)
    others = [*ended[:3], *ended[4:]]
    assert set(others) == ({"ok"} if is_there else {Reason.ROLE_NOT_FOUND.value})


def test_of_updates_under_one_etag_one_wins(administration: Administration) -> None:
    grants = (Grant(Right.READ),)
    administration.roles.create(mutation(), "default", "r", description="", grants=grants)
    of_role = [
        partial(administration.roles.update, mutation(), "default", "r", etag="r1", wanted=RoleUpdate(f"d{n}"))
        for n in range(4)
    ]
    of_tenant = [
        partial(administration.tenants.update, mutation(), "acme-corp", etag="r1", wanted=TenantUpdate(f"d{n}"))
        for n in range(4)
    ]
    ended = at_once([*of_role, *of_tenant])
    for some in (ended[:4], ended[4:]):
        assert Counter(some) == {"ok": 1, Reason.ETAG_MISMATCH.value: 3}


def test_a_request_id_at_once_makes_one_token_and_tells_its_secret_once(
    administration: Administration, database: SqlDatabase
) -> None:
    wanted = NewToken("default", "ci", "reader", 60, ALL, "")

    def create(_: int) -> tuple[bytes, str]:
        return administration.tokens.create(mutation("once"), wanted)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(create, range(4)))
    assert len({answer for answer, _ in found}) == 1
    assert len([secret for _, secret in found if secret]) == 1
    with database.reading() as transaction:
        listed = transaction.access.list_tokens("default", is_ended_shown=True, now=CLOCK.now(), after=None, limit=9)
    assert len(listed) == 1


def test_administration_of_one_tenant_and_of_all_wait_for_each_other_without_end(
    administration: Administration,
) -> None:
    everything: list[Callable[[], object]] = []
    for n in range(4):
        name = f"t{n}-north"
        everything += [
            partial(administration.tenants.create, mutation(), name, description="", quotas=Quotas()),
            partial(administration.bindings.create, mutation(), NewBinding("*", "reader", f"user:{n}", ALL)),
            partial(administration.tenants.suspend, mutation(), "acme-corp", comment=""),
            partial(administration.tokens.revoke_sessions, mutation(), f"user:{n}", comment=""),
            partial(administration.tokens.create, mutation(), NewToken("acme-corp", "s", "reader", 60, ALL, "")),
        ]
    assert set(at_once(everything)) == {"ok"}
