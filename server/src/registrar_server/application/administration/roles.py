"""Use cases about roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from registrar_server.application.administration.changes import By, record, role_document
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.database import Database, Transaction
from registrar_server.application.resolution import require_etag, require_tenant_or_all
from registrar_server.domain.access import BUILT_IN_ROLES, EVERYWHERE, Grant, Role
from registrar_server.domain.errors import Reason, RegistrarError


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """A role after a change, and the change's event; 0: nothing changed."""

    role: Role
    sequence: int


@dataclass(frozen=True, slots=True)
class RoleUpdate:
    """New values; None leaves as it is."""

    description: str | None = None
    grants: tuple[Grant, ...] | None = None


class Roles:
    """Creates, reads, changes and deletes roles. A tenant is a name, or EVERYWHERE."""

    def __init__(self, database: Database, mutations: Mutations) -> None:
        self._database = database
        self._mutations = mutations

    def create(
        self, mutation: Mutation[RoleChanged], tenant: str, name: str, *, description: str, grants: Sequence[Grant]
    ) -> bytes:
        """Make a role; ROLE_EXISTS when the name is taken, also by one that is built in."""

        def action(transaction: Transaction, now: datetime) -> RoleChanged:
            require_tenant_or_all(transaction, tenant)
            by = By(mutation.caller, now, mutation.request_id)
            role = Role(tenant, name, description, tuple(grants), revision=1, create_time=now, update_time=now)
            sequence = add_role(transaction, by, role)
            if not sequence:
                raise RegistrarError(
                    Reason.ROLE_EXISTS, f"there is a role {name} already", metadata={"role": name, "tenant": tenant}
                )
            return RoleChanged(role, sequence)

        return self._mutations.run(mutation, action)

    def get(self, tenant: str, name: str) -> Role:
        """The role that a binding in that tenant would mean."""
        with self._database.reading() as transaction:
            require_tenant_or_all(transaction, tenant)
            return find_role(transaction, tenant, name)

    def list(self, tenant: str, *, after: tuple[int, str], limit: int) -> Sequence[tuple[int, Role]]:
        """Roles that can be bound in a tenant: its own, those of all tenants, those built in; each kind by name.

        With each its kind: 0, 1, 2. `after` is kind and name of the last one known; names after that only.
        """
        kind, name = after
        with self._database.reading() as transaction:
            require_tenant_or_all(transaction, tenant)
            found: list[tuple[int, Role]] = []
            for place, owner in enumerate((tenant, EVERYWHERE)):
                # Those of all tenants come once where they are asked for themselves.
                if place < kind or (place == 1 and tenant == EVERYWHERE) or len(found) >= limit:
                    continue
                beginning = name if place == kind else ""
                some = transaction.access.list_roles(owner, after=beginning, limit=limit - len(found))
                found += [(place, role) for role in some]
        built_in = sorted(BUILT_IN_ROLES.items())
        found += [(2, role) for key, role in built_in if kind < 2 or key > name]
        return found[:limit]

    def update(
        self, mutation: Mutation[RoleChanged], tenant: str, name: str, *, etag: str, wanted: RoleUpdate
    ) -> bytes:
        """Change description or grants, for everybody who has the role."""

        def action(transaction: Transaction, now: datetime) -> RoleChanged:
            role = _lock(transaction, tenant, name)
            require_etag(etag, role.etag)
            changed = replace(
                role,
                description=role.description if wanted.description is None else wanted.description,
                grants=role.grants if wanted.grants is None else wanted.grants,
            )
            return replace_role(transaction, By(mutation.caller, now, mutation.request_id), role, changed)

        return self._mutations.run(mutation, action)

    def delete(self, mutation: Mutation[int], tenant: str, name: str, *, etag: str) -> bytes:
        """Remove a role that nobody has; ROLE_IN_USE."""

        def action(transaction: Transaction, now: datetime) -> int:
            role = _lock(transaction, tenant, name)
            require_etag(etag, role.etag)
            bindings, tokens = transaction.access.count_uses(tenant, name, now=now)
            if bindings or tokens:
                raise RegistrarError(
                    Reason.ROLE_IN_USE,
                    f"role {name} has {bindings} bindings and {tokens} tokens",
                    metadata={"role": name, "bindings": str(bindings), "tokens": str(tokens)},
                )
            transaction.access.delete_role(tenant, name)
            by = By(mutation.caller, now, mutation.request_id)
            return record(transaction, by, "role.deleted", tenant, before=role_document(role))

        return self._mutations.run(mutation, action)


def find_role(transaction: Transaction, tenant: str, name: str, *, is_locked: bool = False) -> Role:
    """The role that a binding in that tenant would mean; ROLE_NOT_FOUND. Locked, nobody can delete it meanwhile."""
    role = transaction.access.lock_role(tenant, name) if is_locked else transaction.access.find_role(tenant, name)
    if role is None:
        raise _not_found(tenant, name)
    return role


def add_role(transaction: Transaction, by: By, role: Role) -> int:
    """Add a role and record it; the event's sequence, 0 when the name is taken.

    Names of built-in roles are: what bindings mean must not change behind their backs.
    """
    if role.name in BUILT_IN_ROLES or not transaction.access.insert_role(role):
        return 0
    return record(transaction, by, "role.created", role.tenant, after=role_document(role))


def replace_role(transaction: Transaction, by: By, role: Role, wanted: Role) -> RoleChanged:
    """Write what is wanted of a role, and record it; nothing where it is so already."""
    if wanted == role:
        return RoleChanged(role, 0)
    changed = replace(wanted, revision=role.revision + 1, update_time=by.time)
    transaction.access.update_role(changed)
    before, after = role_document(role), role_document(changed)
    return RoleChanged(changed, record(transaction, by, "role.updated", role.tenant, before=before, after=after))


def _lock(transaction: Transaction, tenant: str, name: str) -> Role:
    """A role of exactly that tenant, to be changed."""
    require_tenant_or_all(transaction, tenant)
    role = find_role(transaction, tenant, name, is_locked=True)
    if role.is_built_in:
        raise RegistrarError(
            Reason.ROLE_BUILT_IN, f"role {name} comes with the registry and stays as it is", metadata={"role": name}
        )
    if role.tenant != tenant:
        raise _not_found(tenant, name)
    return role


def _not_found(tenant: str, name: str) -> RegistrarError:
    return RegistrarError(
        Reason.ROLE_NOT_FOUND, f"tenant {tenant} has no role {name}", metadata={"role": name, "tenant": tenant}
    )
