"""What is declared beforehand is made once, however often and by however many, on SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.adapters.database.tables import audit_entries
from registrar_server.application.administration.bindings import NewBinding
from registrar_server.application.administration.declaration import (
    Declaration,
    Declared,
    DeclaredRole,
    DeclaredTenant,
    declare,
)
from registrar_server.application.ports.clock import SystemClock
from registrar_server.domain.access import EVERYWHERE, Grant, NamePattern, Right
from registrar_server.domain.errors import InvalidRequest
from registrar_server.domain.tenants import Quotas
from tests.fixtures.database import NOON, at

CLOCK = SystemClock()
ALL = NamePattern()
STAGER = DeclaredRole("north", "stager", "Stages", (Grant(Right.READ),))
WHOLE = Declaration(
    (DeclaredTenant("north", "Ours", Quotas(models=7)), DeclaredTenant("south", "", Quotas())),
    (STAGER, DeclaredRole(EVERYWHERE, "inspector", "", (Grant(Right.READ),))),
    (
        NewBinding("north", "stager", "user:anna", ALL),
        NewBinding("south", "inspector", "group:audit", NamePattern("m*"), comment="why"),
        NewBinding(EVERYWHERE, "administrator", "group:platform", ALL),
    ),
)


def recorded(database: SqlDatabase) -> list[Any]:
    """Tenant, action and actor of every audit entry, in the order of commits."""
    columns = select(audit_entries.c.tenant, audit_entries.c.action, audit_entries.c.actor)
    with database._engine.connect() as connection:
        return [tuple(row) for row in connection.execute(columns.order_by(audit_entries.c.event_sequence))]


def test_what_is_declared_is_there_and_audited(database: SqlDatabase) -> None:
    assert declare(database, CLOCK, WHOLE) == Declared(7, ())
    with database.reading() as transaction:
        north = transaction.tenants.get("north")
        assert north is not None
        assert (north.description, north.quotas) == ("Ours", Quotas(models=7))
        held = transaction.access.held_by(["user:anna", "group:audit", "group:platform"], now=CLOCK.now())
        assert {(one.tenant, one.role, one.models.text) for one in held} == {
            ("north", "stager", "*"),
            ("south", "inspector", "m*"),
            (EVERYWHERE, "administrator", "*"),
        }
    assert recorded(database) == [
        (tenant, action, "file:access")
        for tenant, action in [
            ("north", "tenant.created"),
            ("south", "tenant.created"),
            ("north", "role.created"),
            (EVERYWHERE, "role.created"),
            ("north", "role_binding.created"),
            ("south", "role_binding.created"),
            (EVERYWHERE, "role_binding.created"),
        ]
    ]


def test_the_same_declaration_again_changes_nothing(database: SqlDatabase) -> None:
    declare(database, CLOCK, WHOLE)
    before = recorded(database)
    assert declare(database, CLOCK, WHOLE) == Declared(0, ())
    assert recorded(database) == before


def test_a_role_that_differs_is_changed_and_what_is_not_declared_any_more_stays(database: SqlDatabase) -> None:
    declare(database, CLOCK, WHOLE)
    less = replace(STAGER, grants=(Grant(Right.READ), Grant(Right.DEPLOY)))
    quotas = (DeclaredTenant("north", "Theirs", Quotas(models=1)),)
    assert declare(database, CLOCK, Declaration(quotas, (less,))) == Declared(1, ())
    with database.reading() as transaction:
        role = transaction.access.find_role("north", "stager")
        assert role is not None
        assert (role.grants, role.revision) == (less.grants, 2)
        assert transaction.access.find_role(EVERYWHERE, "inspector") is not None
        north = transaction.tenants.get("north")
        # A tenant that is there is its administrators' business.
        assert north is not None
        assert (north.description, north.quotas) == ("Ours", Quotas(models=7))
        assert len(transaction.access.held_by(["user:anna", "group:audit"], now=CLOCK.now())) == 2


def test_a_binding_that_was_removed_or_has_ended_is_made_again(database: SqlDatabase) -> None:
    declare(database, CLOCK, WHOLE)
    with database.writing() as transaction:
        (binding,) = transaction.access.list_bindings("north", member="", role="", after=None, limit=9)
        transaction.access.unbind(binding.id)
        (other,) = transaction.access.list_bindings("south", member="", role="", after=None, limit=9)
        transaction.access.bind(replace(other, expire_time=NOON))
        assert transaction.access.held_by(["user:anna", "group:audit"], now=at(1)) == []
    assert declare(database, CLOCK, WHOLE).changes == 2
    with database.reading() as transaction:
        assert len(transaction.access.held_by(["user:anna", "group:audit"], now=CLOCK.now())) == 2


def test_a_deleted_tenant_stays_deleted_and_does_not_hinder_the_rest(database: SqlDatabase) -> None:
    declare(database, CLOCK, WHOLE)
    with database.writing() as transaction:
        north = transaction.tenants.get("north")
        assert north is not None
        transaction.tenants.update(replace(north, delete_time=NOON, purge_time=at(60)))
    assert declare(database, CLOCK, WHOLE) == Declared(0, ("north",))
    with database.reading() as transaction:
        assert not transaction.tenants.exists("north")


def test_whatever_does_not_exist_is_named_and_nothing_is_changed(database: SqlDatabase) -> None:
    wrong = Declaration(
        (DeclaredTenant("north", "", Quotas()),),
        (DeclaredRole("nobody", "a", "", STAGER.grants), STAGER),
        (NewBinding("none", "reader", "user:a", ALL), NewBinding("north", "nothing", "user:a", ALL)),
    )
    with pytest.raises(InvalidRequest) as caught:
        declare(database, CLOCK, wrong)
    assert [violation.field for violation in caught.value.violations] == [
        "roles[0].tenant",
        "bindings[0].tenant",
        "bindings[1].role",
    ]
    assert recorded(database) == []


def test_starts_at_once_make_everything_once(database: SqlDatabase) -> None:
    backwards = Declaration(WHOLE.tenants[::-1], WHOLE.roles[::-1], WHOLE.bindings[::-1])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: declare(database, CLOCK, one), [WHOLE, backwards] * 4))
    assert sorted(one.changes for one in found) == [0] * 7 + [7]
    assert len(recorded(database)) == 7
