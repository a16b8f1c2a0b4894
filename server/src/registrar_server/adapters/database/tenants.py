"""Statements about tenants, what they hold and the streams that they have under way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, collate, delete, func, insert, or_, select, update

from registrar_server.adapters.database.many import chunks
from registrar_server.adapters.database.tables import (
    COMMITTED,
    WRITING,
    bundles,
    model_versions,
    models,
    tenants,
    transfers,
)
from registrar_server.adapters.database.upsert import insert_for
from registrar_server.domain.access import EVERYWHERE
from registrar_server.domain.tenants import Quotas, Tenant, TenantState, TenantUsage
from registrar_server.domain.values import Stage, VersionState

_REAL = tenants.c.name != EVERYWHERE
_HAS_QUOTA = or_(
    tenants.c.quota_models.is_not(None),
    tenants.c.quota_versions.is_not(None),
    tenants.c.quota_bytes.is_not(None),
    tenants.c.quota_transfers.is_not(None),
)


class SqlTenants:
    """The port `TenantRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # In the order of bytes; names in PostgreSQL have the collation of the database.
        self._name = collate(tenants.c.name, "BINARY" if connection.dialect.name == "sqlite" else "C")

    def exists(self, name: str) -> bool:
        """See the port."""
        query = select(tenants.c.name).where(tenants.c.name == name, tenants.c.deleted_at.is_(None), _REAL)
        return self._connection.execute(query).first() is not None

    def get(self, name: str) -> Tenant | None:
        """See the port."""
        row = self._connection.execute(_one(name)).first()
        return None if row is None else _to_tenant(row)

    def lock(self, name: str) -> Tenant | None:
        """See the port."""
        row = self._connection.execute(_locked(_one(name))).first()
        return None if row is None else _to_tenant(row)

    def list(self, *, after: str, limit: int, is_deleted_shown: bool) -> Sequence[Tenant]:
        """See the port."""
        query = select(tenants).where(_REAL, self._name > after)
        if not is_deleted_shown:
            query = query.where(tenants.c.deleted_at.is_(None))
        return [_to_tenant(row) for row in self._connection.execute(query.order_by(self._name).limit(limit))]

    def unusable(self) -> Mapping[str, TenantState]:
        """See the port."""
        query = select(tenants).where(or_(tenants.c.suspended_at.is_not(None), tenants.c.deleted_at.is_not(None)))
        found = map(_to_tenant, self._connection.execute(query))
        return {tenant.name: tenant.state for tenant in found}

    def insert(self, tenant: Tenant) -> bool:
        """See the port."""
        values = _columns(tenant) | {"revision": tenant.revision, "created_at": tenant.create_time}
        statement = insert_for(self._connection, tenants).values(name=tenant.name, **values)
        return self._connection.execute(statement.on_conflict_do_nothing(index_elements=["name"])).rowcount == 1

    def update(self, tenant: Tenant) -> None:
        """See the port."""
        statement = update(tenants).where(tenants.c.name == tenant.name)
        self._connection.execute(statement.values(revision=tenants.c.revision + 1, **_columns(tenant)))

    def usage(self, name: str) -> TenantUsage:
        """See the port. A version that failed is none, and one of a deleted model went with it."""
        living = and_(models.c.tenant == name, models.c.deleted_at.is_(None), models.c.is_reserved.is_(False))
        versions = (
            select(func.count())
            .select_from(model_versions.join(models, model_versions.c.model_uid == models.c.uid))
            .where(living, model_versions.c.deleted_at.is_(None), model_versions.c.state != VersionState.FAILED.value)
        )
        # A sum of big integers is a decimal in PostgreSQL.
        held = select(func.coalesce(func.sum(bundles.c.size_bytes), 0)).where(
            bundles.c.tenant == name, bundles.c.state.in_([WRITING, COMMITTED])
        )
        streams = (
            select(func.count())
            .select_from(transfers)
            .where(transfers.c.tenant == name, transfers.c.until > datetime.now(UTC))
        )
        counts = select(
            select(func.count()).select_from(models).where(living).scalar_subquery(),
            versions.scalar_subquery(),
            held.scalar_subquery(),
            streams.scalar_subquery(),
        )
        return TenantUsage(*map(int, self._connection.execute(counts).one()))

    def quotas(self, name: str) -> Quotas:
        """See the port. Locked in the statement that finds a quota, so that what was locked is what is answered."""
        row = self._connection.execute(_locked(_one(name).where(_HAS_QUOTA))).first()
        return Quotas() if row is None else _to_quotas(row)

    def in_production(self, name: str, *, limit: int) -> Sequence[str]:
        """See the port."""
        holder = select(model_versions.c.uid).where(
            model_versions.c.model_uid == models.c.uid,
            model_versions.c.stage == Stage.PRODUCTION.value,
            model_versions.c.deleted_at.is_(None),
        )
        query = select(models.c.name).where(models.c.tenant == name, models.c.deleted_at.is_(None), holder.exists())
        return self._connection.execute(query.order_by(models.c.name).limit(limit)).scalars().all()

    def without_workspace(self, *, limit: int) -> Sequence[str]:
        """See the port."""
        query = select(tenants.c.name).where(_REAL, tenants.c.workspace_at.is_(None), tenants.c.deleted_at.is_(None))
        return self._connection.execute(query.order_by(self._name).limit(limit)).scalars().all()

    def set_workspace(self, name: str, *, time: datetime) -> None:
        """See the port."""
        self._connection.execute(update(tenants).where(tenants.c.name == name).values(workspace_at=time))

    def transfer_limits(self) -> Mapping[str, int]:
        """See the port."""
        query = select(tenants.c.name, tenants.c.quota_transfers).where(tenants.c.quota_transfers.is_not(None))
        return {row.name: row.quota_transfers for row in self._connection.execute(query)}

    def begin_transfer(self, transfer_id: str, tenant: str, *, until: datetime, now: datetime, limit: int) -> bool:
        """See the port. Those of one tenant begin one after the other: each counts what the one before has added."""
        self._connection.execute(_locked(_one(tenant)))
        self._connection.execute(delete(transfers).where(transfers.c.tenant == tenant, transfers.c.until <= now))
        query = select(func.count()).select_from(transfers).where(transfers.c.tenant == tenant)
        if self._connection.execute(query).scalar_one() >= limit:
            return False
        self._connection.execute(insert(transfers).values(id=transfer_id, tenant=tenant, until=until))
        return True

    def keep_transfers(self, transfer_ids: Sequence[str], *, until: datetime) -> None:
        """See the port."""
        for ids in chunks(sorted(transfer_ids)):
            self._connection.execute(update(transfers).where(transfers.c.id.in_(ids)).values(until=until))

    def end_transfer(self, transfer_id: str) -> None:
        """See the port."""
        self._connection.execute(delete(transfers).where(transfers.c.id == transfer_id))


def _one(name: str) -> Select[Any]:
    return select(tenants).where(tenants.c.name == name, _REAL)


def _locked(query: Select[Any]) -> Select[Any]:
    """Not FOR UPDATE, which would wait for everybody who has added a row that names the tenant, and they for us."""
    return query.with_for_update(key_share=True)


def _columns(tenant: Tenant) -> dict[str, Any]:
    return {
        "description": tenant.description,
        "suspended_at": tenant.suspend_time,
        "deleted_at": tenant.delete_time,
        "purge_at": tenant.purge_time,
        "quota_models": tenant.quotas.models,
        "quota_versions": tenant.quotas.versions,
        "quota_bytes": tenant.quotas.bytes,
        "quota_transfers": tenant.quotas.concurrent_transfers,
    }


def _to_quotas(row: Row[Any]) -> Quotas:
    return Quotas(row.quota_models, row.quota_versions, row.quota_bytes, row.quota_transfers)


def _to_tenant(row: Row[Any]) -> Tenant:
    return Tenant(
        name=row.name,
        description=row.description,
        quotas=_to_quotas(row),
        revision=row.revision,
        create_time=row.created_at,
        suspend_time=row.suspended_at,
        delete_time=row.deleted_at,
        purge_time=row.purge_at,
    )
