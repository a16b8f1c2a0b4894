"""Tenants, roles and bindings that are declared beforehand: made where they are missing, at each start anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from registrar_server.application.administration.bindings import NewBinding, bind
from registrar_server.application.administration.changes import By
from registrar_server.application.administration.roles import add_role, replace_role
from registrar_server.application.administration.tenants import add_tenant
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database, Transaction
from registrar_server.domain.access import EVERYWHERE, Caller, Grant, Role
from registrar_server.domain.errors import InvalidRequest, Reason, RegistrarError, Violation
from registrar_server.domain.tenants import Quotas, Tenant
from registrar_server.domain.values import DEFAULT_TENANT

DECLARER = Caller("file:access", EVERYWHERE)
"""Who is said to have made what is declared."""

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class DeclaredTenant:
    """A tenant that is to be there."""

    name: str
    description: str
    quotas: Quotas


@dataclass(frozen=True, slots=True)
class DeclaredRole:
    """A role that is to be so. `tenant` is a name, or EVERYWHERE."""

    tenant: str
    name: str
    description: str
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is to be there."""

    tenants: tuple[DeclaredTenant, ...] = ()
    roles: tuple[DeclaredRole, ...] = ()
    bindings: tuple[NewBinding, ...] = ()


@dataclass(frozen=True, slots=True)
class Declared:
    """How many changes it took, and which tenants were passed over because they are deleted."""

    changes: int
    skipped: tuple[str, ...]


def declare(database: Database, clock: Clock, declaration: Declaration) -> Declared:
    """Make what is missing and change roles that differ, in one transaction; nothing is removed.

    A tenant that is there stays as it is, and one that somebody deleted stays deleted, with all that is declared of it.
    InvalidRequest with every tenant and role that is named and does not exist, by its place in the declaration.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with database.writing() as transaction:
                return _Declaring(transaction, By(DECLARER, clock.now())).run(declaration)
        except RegistrarError as exc:
            # An administrator who changes the same role at this moment locks in another order.
            if exc.reason is not Reason.DATABASE_BUSY or attempt == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")


class _Declaring:
    """One attempt."""

    def __init__(self, transaction: Transaction, by: By) -> None:
        self._transaction = transaction
        self._by = by
        self._violations: list[Violation] = []
        self._skipped: set[str] = set()

    def run(self, declaration: Declaration) -> Declared:
        """Everything, in the order in which it depends on each other."""
        # The one row that is always there: servers that start together take turns.
        self._transaction.tenants.lock(DEFAULT_TENANT)
        sequences = [*self._tenants(declaration), *self._roles(declaration), *self._bindings(declaration)]
        if self._violations:
            raise InvalidRequest(self._violations)
        return Declared(sum(map(bool, sequences)), tuple(sorted(self._skipped)))

    def _tenants(self, declaration: Declaration) -> Iterator[int]:
        for one in declaration.tenants:
            tenant = Tenant(one.name, one.description, one.quotas, revision=1, create_time=self._by.time)
            yield add_tenant(self._transaction, self._by, tenant)

    def _roles(self, declaration: Declaration) -> Iterator[int]:
        for index, one in enumerate(declaration.roles):
            if not self._is_usable(f"roles[{index}].tenant", one.tenant):
                continue
            time = self._by.time
            role = Role(one.tenant, one.name, one.description, one.grants, 1, create_time=time, update_time=time)
            yield add_role(self._transaction, self._by, role) or self._replace(role)

    def _replace(self, wanted: Role) -> int:
        role = self._transaction.access.lock_role(wanted.tenant, wanted.name)
        if role is None:
            return 0
        changed = replace(role, description=wanted.description, grants=wanted.grants)
        return replace_role(self._transaction, self._by, role, changed).sequence

    def _bindings(self, declaration: Declaration) -> Iterator[int]:
        for index, one in enumerate(declaration.bindings):
            at = f"bindings[{index}]"
            if not self._is_usable(f"{at}.tenant", one.tenant):
                continue
            if self._transaction.access.find_role(one.tenant, one.role) is None:
                self._violations.append(Violation(f"{at}.role", f"tenant {one.tenant} has no role {one.role}"))
                continue
            yield bind(self._transaction, self._by, one).sequence

    def _is_usable(self, field: str, name: str) -> bool:
        """Whether there is such a tenant, and not a deleted one."""
        if name == EVERYWHERE:
            return True
        tenant = self._transaction.tenants.get(name)
        if tenant is None:
            self._violations.append(Violation(field, f"there is no tenant {name}"))
            return False
        if tenant.delete_time is not None:
            self._skipped.add(name)
            return False
        return True
