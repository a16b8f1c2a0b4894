"""Tenants: parts of the registry that know nothing of each other, and what each may hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class TenantState(StrEnum):
    """Whether a tenant can be used."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a tenant may hold; None does not limit."""

    models: int | None = None
    versions: int | None = None
    bytes: int | None = None
    concurrent_transfers: int | None = None


@dataclass(frozen=True, slots=True)
class TenantUsage:
    """What a tenant holds."""

    models: int
    versions: int
    bytes: int
    concurrent_transfers: int


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as it stands."""

    name: str
    description: str
    quotas: Quotas
    revision: int
    create_time: datetime
    suspend_time: datetime | None = None
    delete_time: datetime | None = None
    purge_time: datetime | None = None

    @property
    def state(self) -> TenantState:
        """Deleted comes before suspended."""
        if self.delete_time is not None:
            return TenantState.DELETED
        return TenantState.ACTIVE if self.suspend_time is None else TenantState.SUSPENDED

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return f"r{self.revision}"
