"""What the registry answers about who may do what. All of it is frozen; times are aware datetimes in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from registrar.values import Stage

EVERYWHERE = "*"
"""In place of a tenant: all tenants."""


class Right(StrEnum):
    """One thing that a caller may do."""

    READ = "read"
    REGISTER = "register"
    PROMOTE = "promote"
    MOVE_ALIAS = "move_alias"
    APPROVE = "approve"
    DEPLOY = "deploy"
    DELETE = "delete"
    BREAK_GLASS = "break_glass"
    ADMINISTER = "administer"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class Grant:
    """A right within a role. Empty limits limit nothing; each goes with one right only.

    PROMOTE: to and from these stages. MOVE_ALIAS: aliases that match one of these, a name or the beginning of one with `*`
    behind. APPROVE: in the name of these approver roles.
    """

    right: Right
    stages: Sequence[Stage] = ()
    alias_patterns: Sequence[str] = ()
    approver_roles: Sequence[str] = ()

    def __str__(self) -> str:
        limits = (*self.stages, *self.alias_patterns, *self.approver_roles)
        return f"{self.right}:{','.join(limits)}" if limits else str(self.right)


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of grants. `tenant` is whose it is, or EVERYWHERE. Built-in ones have no times, and never change."""

    tenant: str
    name: str
    description: str
    grants: Sequence[Grant]
    is_built_in: bool
    etag: str
    create_time: datetime | None
    update_time: datetime | None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class RoleBinding:
    """Gives a member (`user:NAME`, `group:NAME`, `certificate:NAME`) a role in a tenant, or EVERYWHERE.

    `model_pattern` is a name, or the beginning of one with `*` behind. An `expire_time` of None: for good.
    """

    id: str
    tenant: str
    role: str
    member: str
    model_pattern: str
    expire_time: datetime | None
    comment: str
    created_by: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class HeldRole:
    """A role that a caller has: in a tenant or EVERYWHERE, on which models, until when (None: for good)."""

    tenant: str
    role: str
    model_pattern: str
    grants: Sequence[Grant]
    expire_time: datetime | None


@dataclass(frozen=True, slots=True)
class CallerDetails:
    """Who the server takes the caller for, and what it may do where.

    `actor` is `user:NAME`, `service:NAME`, `certificate:NAME` or `local`; `method` how it said so: `oidc`, `token`,
    `certificate`, `none`. An `expire_time` of None: its credentials do not end.
    """

    actor: str
    method: str
    tenant: str
    groups: Sequence[str]
    roles: Sequence[HeldRole]
    expire_time: datetime | None


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """How people can log in. Empty texts: not at all."""

    is_authentication_required: bool
    oidc_issuer: str
    oidc_client_id: str
    oidc_scopes: Sequence[str]
    oidc_audience: str


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A credential of a service, whose actor is `service:NAME`.

    `secret` is what the service sends, so it is not shown. It is told by `create_token` alone; elsewhere it is empty.
    """

    id: str
    tenant: str
    name: str
    role: str
    model_pattern: str
    description: str
    expire_time: datetime
    revoke_time: datetime | None
    created_by: str
    create_time: datetime
    last_use_time: datetime | None
    """To about a minute; None: never."""
    secret: str = field(default="", repr=False)


class TenantState(StrEnum):
    """Whether a tenant can be used."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a tenant may hold. None does not limit, 0 allows nothing. `concurrent_transfers` are streams at once."""

    models: int | None = None
    versions: int | None = None
    bytes: int | None = None
    concurrent_transfers: int | None = None


@dataclass(frozen=True, slots=True)
class TenantUsage:
    """What a tenant holds, counted as Quotas says; `concurrent_transfers` only while there is a quota of them."""

    models: int
    versions: int
    bytes: int
    concurrent_transfers: int


@dataclass(frozen=True, slots=True)
class Tenant:
    """A part of the registry that knows nothing of the others. `usage` is known to `get_tenant` alone."""

    name: str
    description: str
    state: TenantState
    quotas: Quotas
    usage: TenantUsage | None
    etag: str
    create_time: datetime
    delete_time: datetime | None
    purge_time: datetime | None

    def __str__(self) -> str:
        return self.name
