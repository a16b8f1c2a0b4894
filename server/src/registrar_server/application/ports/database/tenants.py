"""Records of tenants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from registrar_server.domain.tenants import Quotas, Tenant, TenantState, TenantUsage


class TenantRecords(Protocol):
    """Tenants. That of EVERYWHERE, which holds the audit of what concerns all, is never among them."""

    def exists(self, name: str) -> bool:
        """Whether there is one that is not deleted."""

    def get(self, name: str) -> Tenant | None:
        """The tenant, deleted or not."""

    def lock(self, name: str) -> Tenant | None:
        """The same, locked until the transaction ends. Comes after a model's lock."""

    def list(self, *, after: str, limit: int, is_deleted_shown: bool) -> Sequence[Tenant]:
        """Tenants by name, names after `after` only."""

    def unusable(self) -> Mapping[str, TenantState]:
        """Those that are suspended or deleted."""

    def insert(self, tenant: Tenant) -> bool:
        """Add a tenant; False: the name is taken."""

    def update(self, tenant: Tenant) -> None:
        """Replace description, quotas and the times of suspension, deletion and purge; the revision grows."""

    def usage(self, name: str) -> TenantUsage:
        """What a tenant holds."""

    def quotas(self, name: str) -> Quotas:
        """What it may hold, its row locked where there is any quota: what is counted next stays true until the commit."""

    def in_production(self, name: str, *, limit: int) -> Sequence[str]:
        """Names of models with a version in production."""

    def without_workspace(self, *, limit: int) -> Sequence[str]:
        """Tenants that MLflow does not know yet."""

    def set_workspace(self, name: str, *, time: datetime) -> None:
        """MLflow knows it."""

    def transfer_limits(self) -> Mapping[str, int]:
        """How many streams those tenants may have at once that have a quota of them."""

    def begin_transfer(self, transfer_id: str, tenant: str, *, until: datetime, now: datetime, limit: int) -> bool:
        """Count a stream in, unless `limit` of the tenant are under way; what ran out is not counted."""

    def keep_transfers(self, transfer_ids: Sequence[str], *, until: datetime) -> None:
        """Those are still under way."""

    def end_transfer(self, transfer_id: str) -> None:
        """Count a stream out."""
