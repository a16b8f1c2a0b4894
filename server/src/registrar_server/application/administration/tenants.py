"""Use cases about tenants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from registrar_server.application.administration.changes import By, record, tenant_document, time_text
from registrar_server.application.authorization import tenant_not_found
from registrar_server.application.models import PURGE_AFTER
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.database import Database, Transaction
from registrar_server.application.resolution import require_etag
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.tenants import Quotas, Tenant, TenantUsage
from registrar_server.domain.values import DEFAULT_TENANT

_MODELS_NAMED = 20


@dataclass(frozen=True, slots=True)
class TenantChanged:
    """A tenant after a change, and the change's event; 0: nothing changed."""

    tenant: Tenant
    sequence: int


@dataclass(frozen=True, slots=True)
class TenantUpdate:
    """New values; None leaves as it is."""

    description: str | None = None
    quotas: Quotas | None = None


class Tenants:
    """Creates, reads, changes, suspends and deletes tenants."""

    def __init__(self, database: Database, mutations: Mutations) -> None:
        self._database = database
        self._mutations = mutations

    def create(self, mutation: Mutation[TenantChanged], name: str, *, description: str, quotas: Quotas) -> bytes:
        """Make a tenant; TENANT_EXISTS when the name is taken, also by a deleted one."""

        def action(transaction: Transaction, now: datetime) -> TenantChanged:
            tenant = Tenant(name, description, quotas, revision=1, create_time=now)
            sequence = add_tenant(transaction, By(mutation.caller, now, mutation.request_id), tenant)
            if not sequence:
                raise RegistrarError(
                    Reason.TENANT_EXISTS, f"there is a tenant {name} already", metadata={"tenant": name}
                )
            return TenantChanged(tenant, sequence)

        return self._mutations.run(mutation, action)

    def get(self, name: str) -> tuple[Tenant, TenantUsage]:
        """A tenant, deleted or not, and what it holds."""
        with self._database.reading() as transaction:
            tenant = transaction.tenants.get(name)
            if tenant is None:
                raise tenant_not_found(name)
            return tenant, transaction.tenants.usage(name)

    def list(self, *, after: str, limit: int, is_deleted_shown: bool) -> Sequence[Tenant]:
        """Tenants by name, names after `after` only."""
        with self._database.reading() as transaction:
            return transaction.tenants.list(after=after, limit=limit, is_deleted_shown=is_deleted_shown)

    def update(self, mutation: Mutation[TenantChanged], name: str, *, etag: str, wanted: TenantUpdate) -> bytes:
        """Change description or quotas."""

        def action(transaction: Transaction, now: datetime) -> TenantChanged:
            tenant = _lock(transaction, name)
            require_etag(etag, tenant.etag)
            changed = replace(
                tenant,
                description=tenant.description if wanted.description is None else wanted.description,
                quotas=tenant.quotas if wanted.quotas is None else wanted.quotas,
            )
            return _replace(
                transaction,
                By(mutation.caller, now, mutation.request_id),
                "tenant.updated",
                tenant,
                changed,
                before=tenant_document(tenant),
                after=tenant_document(changed),
            )

        return self._mutations.run(mutation, action)

    def suspend(self, mutation: Mutation[TenantChanged], name: str, *, comment: str) -> bytes:
        """Have a tenant refuse everything but its administration; nothing where it does already."""
        return self._move(
            mutation,
            name,
            "tenant.suspended",
            comment,
            lambda tenant, now: replace(tenant, suspend_time=tenant.suspend_time or now),
        )

    def resume(self, mutation: Mutation[TenantChanged], name: str, *, comment: str) -> bytes:
        """End a suspension; nothing where there is none."""
        return self._move(
            mutation, name, "tenant.resumed", comment, lambda tenant, _: replace(tenant, suspend_time=None)
        )

    def delete(
        self, mutation: Mutation[TenantChanged], name: str, *, etag: str, comment: str, is_forced: bool
    ) -> bytes:
        """Make a tenant vanish with all that it holds; nothing where it is gone already.

        TENANT_IN_USE for the default tenant, and, unless forced, while a version is in production.
        """

        def action(transaction: Transaction, now: datetime) -> TenantChanged:
            tenant = _lock(transaction, name, is_deleted_shown=True)
            if tenant.delete_time is not None:
                return TenantChanged(tenant, 0)
            require_etag(etag, tenant.etag)
            _require_unused(transaction, name, is_forced=is_forced)
            return _replace(
                transaction,
                By(mutation.caller, now, mutation.request_id),
                "tenant.deleted",
                tenant,
                replace(tenant, delete_time=now, purge_time=now + PURGE_AFTER),
                comment=comment,
            )

        return self._mutations.run(mutation, action)

    def undelete(self, mutation: Mutation[TenantChanged], name: str, *, comment: str) -> bytes:
        """Bring a deleted tenant back as it was; nothing where it is not deleted."""
        return self._move(
            mutation,
            name,
            "tenant.undeleted",
            comment,
            lambda tenant, _: replace(tenant, delete_time=None, purge_time=None),
            is_deleted_shown=True,
        )

    def _move(
        self,
        mutation: Mutation[TenantChanged],
        name: str,
        action_name: str,
        comment: str,
        change: Callable[[Tenant, datetime], Tenant],
        *,
        is_deleted_shown: bool = False,
    ) -> bytes:
        def action(transaction: Transaction, now: datetime) -> TenantChanged:
            tenant = _lock(transaction, name, is_deleted_shown=is_deleted_shown)
            by = By(mutation.caller, now, mutation.request_id)
            return _replace(transaction, by, action_name, tenant, change(tenant, now), comment=comment)

        return self._mutations.run(mutation, action)


def add_tenant(transaction: Transaction, by: By, tenant: Tenant) -> int:
    """Add a tenant and record it; the event's sequence, 0 when the name is taken."""
    if not transaction.tenants.insert(tenant):
        return 0
    return record(transaction, by, "tenant.created", tenant.name, after=tenant_document(tenant))


def _replace(
    transaction: Transaction,
    by: By,
    action: str,
    tenant: Tenant,
    wanted: Tenant,
    *,
    comment: str = "",
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> TenantChanged:
    """Write what is wanted of a tenant, and record it; nothing where it is so already."""
    if wanted == tenant:
        return TenantChanged(tenant, 0)
    transaction.tenants.update(wanted)
    sequence = record(
        transaction,
        by,
        action,
        tenant.name,
        before=before or _times(tenant),
        after=after or _times(wanted),
        comment=comment,
    )
    return TenantChanged(replace(wanted, revision=tenant.revision + 1), sequence)


def _lock(transaction: Transaction, name: str, *, is_deleted_shown: bool = False) -> Tenant:
    tenant = transaction.tenants.lock(name)
    if tenant is None or (tenant.delete_time is not None and not is_deleted_shown):
        raise tenant_not_found(name)
    return tenant


def _require_unused(transaction: Transaction, name: str, *, is_forced: bool) -> None:
    if name == DEFAULT_TENANT:
        raise RegistrarError(
            Reason.TENANT_IN_USE, f"tenant {name} cannot be deleted", metadata={"tenant": name, "models": ""}
        )
    models = [] if is_forced else transaction.tenants.in_production(name, limit=_MODELS_NAMED)
    if models:
        listed = ", ".join(models)
        raise RegistrarError(
            Reason.TENANT_IN_USE,
            f"tenant {name} has versions in production: {listed}",
            metadata={"tenant": name, "models": listed},
        )


def _times(tenant: Tenant) -> dict[str, object]:
    """What says whether a tenant can be used."""
    times = {"suspend_time": tenant.suspend_time, "delete_time": tenant.delete_time, "purge_time": tenant.purge_time}
    return {name: time_text(time) for name, time in times.items() if time is not None}
