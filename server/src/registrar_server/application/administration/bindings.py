"""Use cases about who has which role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from registrar_server.application.administration.changes import By, binding_document, record
from registrar_server.application.administration.roles import find_role
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.clock import new_uid
from registrar_server.application.ports.database import Database, RoleBinding, Transaction
from registrar_server.application.resolution import require_tenant_or_all
from registrar_server.domain import limits
from registrar_server.domain.access import NamePattern
from registrar_server.domain.errors import InvalidRequest, Reason, RegistrarError, Violation


@dataclass(frozen=True, slots=True)
class BindingChanged:
    """A binding after a change, and the change's event; 0: nothing changed."""

    binding: RoleBinding
    sequence: int


@dataclass(frozen=True, slots=True)
class NewBinding:
    """What is wanted of a binding. `expire_time` None: it does not end by itself."""

    tenant: str
    role: str
    member: str
    models: NamePattern
    expire_time: datetime | None = None
    comment: str = ""


class RoleBindings:
    """Binds members to roles. A tenant is a name, or EVERYWHERE."""

    def __init__(self, database: Database, mutations: Mutations) -> None:
        self._database = database
        self._mutations = mutations

    def create(self, mutation: Mutation[BindingChanged], wanted: NewBinding) -> bytes:
        """Give a member a role; what is bound already gets the new end and comment. ROLE_NOT_FOUND."""

        def action(transaction: Transaction, now: datetime) -> BindingChanged:
            if wanted.expire_time is not None and wanted.expire_time <= now:
                raise InvalidRequest([Violation("expire_time", "must be in the future")])
            return bind(transaction, By(mutation.caller, now, mutation.request_id), wanted)

        return self._mutations.run(mutation, action)

    def list(
        self, tenant: str, *, member: str, role: str, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[RoleBinding]:
        """Bindings of exactly that tenant, the oldest first; empty: every member, every role."""
        with self._database.reading() as transaction:
            require_tenant_or_all(transaction, tenant)
            return transaction.access.list_bindings(tenant, member=member, role=role, after=after, limit=limit)

    def delete(self, mutation: Mutation[int], tenant: str, binding_id: str, *, comment: str) -> bytes:
        """Take a role from a member; ROLE_BINDING_NOT_FOUND."""

        def action(transaction: Transaction, now: datetime) -> int:
            require_tenant_or_all(transaction, tenant)
            binding = transaction.access.find_binding(tenant, binding_id)
            if binding is None or not transaction.access.unbind(binding_id):
                raise RegistrarError(
                    Reason.ROLE_BINDING_NOT_FOUND, "there is no such binding", metadata={"id": binding_id}
                )
            return record(
                transaction,
                By(mutation.caller, now, mutation.request_id),
                "role_binding.deleted",
                tenant,
                before=binding_document(binding),
                comment=comment,
            )

        return self._mutations.run(mutation, action)


def bind(transaction: Transaction, by: By, wanted: NewBinding) -> BindingChanged:
    """Bind a member, and record it; nothing where it is bound so already. TENANT_NOT_FOUND, ROLE_NOT_FOUND."""
    require_tenant_or_all(transaction, wanted.tenant)
    find_role(transaction, wanted.tenant, wanted.role, is_locked=True)
    new = RoleBinding(
        id=new_uid(),
        tenant=wanted.tenant,
        role=wanted.role,
        member=wanted.member,
        models=wanted.models,
        expire_time=wanted.expire_time,
        comment=wanted.comment,
        created_by=by.caller.actor,
        create_time=by.time,
    )
    before = transaction.access.find_bound(new)
    if before is not None and replace(before, expire_time=new.expire_time, comment=new.comment) == before:
        return BindingChanged(before, 0)
    if before is None:
        _require_few(transaction, wanted)
    binding = transaction.access.bind(new)
    sequence = record(
        transaction,
        by,
        "role_binding.created",
        wanted.tenant,
        before=binding_document(before) if before is not None else None,
        after=binding_document(binding),
        comment=wanted.comment,
    )
    return BindingChanged(binding, sequence)


def _require_few(transaction: Transaction, wanted: NewBinding) -> None:
    """All that a member is bound to is read when it first calls, in other tenants as well."""
    bound = transaction.access.list_bindings(
        wanted.tenant, member=wanted.member, role="", after=None, limit=limits.BINDINGS
    )
    if len(bound) == limits.BINDINGS:
        problem = f"has {limits.BINDINGS} bindings in tenant {wanted.tenant}, and may not have more: use patterns"
        raise InvalidRequest([Violation("member", problem)])
