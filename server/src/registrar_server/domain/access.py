"""Who may do what: rights, roles as sets of grants, and what the roles that one caller has come to.

Default deny: a caller may do what a grant of one of its roles says, in the tenant and on the models that it is bound to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from registrar_server.domain.values import Stage

EVERYWHERE = "*"
"""In place of a tenant: all tenants."""

ROLE_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
SERVICE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
MODEL_PATTERN = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9._-]{0,127}\*?")
ALIAS_PATTERN = re.compile(r"\*|[A-Za-z][A-Za-z0-9_-]{0,63}\*?")
MEMBER = re.compile(r"(user|group|certificate):[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,245}[^\s\x00-\x1f\x7f])?")


class Right(StrEnum):
    """One thing that a caller may do; see `protos/registrar/v1/access.proto`."""

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
class NamePattern:
    """A name, or the beginning of one with `*` behind."""

    text: str = "*"

    @property
    def is_everything(self) -> bool:
        """Whether every name matches."""
        return self.text == "*"

    @property
    def prefix(self) -> str | None:
        """How matching names begin; None: only one name matches."""
        return self.text[:-1] if self.text.endswith("*") else None

    def matches(self, name: str) -> bool:
        """Whether a name is meant. Case matters."""
        prefix = self.prefix
        return name == self.text if prefix is None else name.startswith(prefix)


EVERY_NAME = (NamePattern(),)


@dataclass(frozen=True, slots=True)
class Grant:
    """A right within a role. Empty limits limit nothing; each is meant for one right only."""

    right: Right
    stages: tuple[Stage, ...] = ()
    alias_patterns: tuple[NamePattern, ...] = ()
    approver_roles: tuple[str, ...] = ()

    @property
    def is_limited(self) -> bool:
        """Whether it gives a part of the right only."""
        return bool(self.stages or self.alias_patterns or self.approver_roles)

    def covers(self, target: Target) -> bool:
        """Whether it reaches what is asked for; a stage or an alias that nobody asks about is no hindrance."""
        return (
            (target.stage is None or not self.stages or target.stage in self.stages)
            and (
                not target.alias or not self.alias_patterns or any(p.matches(target.alias) for p in self.alias_patterns)
            )
            and (not target.approver_role or not self.approver_roles or target.approver_role in self.approver_roles)
        )


@dataclass(frozen=True, slots=True)
class Target:
    """What a right is asked for, beyond the model: nothing, a stage, an alias, an approver role."""

    stage: Stage | None = None
    alias: str = ""
    approver_role: str = ""


ANYTHING = Target()


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of grants. `tenant` is whose it is, or EVERYWHERE. Built-in ones have no times."""

    tenant: str
    name: str
    description: str
    grants: tuple[Grant, ...]
    revision: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None

    @property
    def is_built_in(self) -> bool:
        """Whether it comes with the registry."""
        return self.create_time is None

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return f"r{self.revision}"


def _built_in(name: str, description: str, *rights: Right) -> Role:
    return Role(EVERYWHERE, name, description, tuple(map(Grant, rights)))


BUILT_IN_ROLES: Mapping[str, Role] = {
    role.name: role
    for role in (
        _built_in("reader", "Sees models and versions, and downloads them.", Right.READ),
        _built_in("contributor", "Uploads, registers and describes.", Right.READ, Right.REGISTER),
        _built_in(
            "release-engineer",
            "Moves versions between stages, and aliases.",
            Right.READ,
            Right.PROMOTE,
            Right.MOVE_ALIAS,
        ),
        _built_in("approver", "Decides about approvals.", Right.READ, Right.APPROVE),
        _built_in("deployer", "Manages deployments.", Right.READ, Right.DEPLOY),
        _built_in("auditor", "Sees models and versions, and reads and verifies the audit.", Right.READ, Right.AUDIT),
        _built_in(
            "break-glass",
            "Acts against policies in an emergency; bind it for a short time.",
            Right.READ,
            Right.PROMOTE,
            Right.MOVE_ALIAS,
            Right.BREAK_GLASS,
        ),
        _built_in(
            "administrator",
            "Everything but breaking the glass; manages roles, bindings and tokens.",
            *(right for right in Right if right is not Right.BREAK_GLASS),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class HeldRole:
    """A role that a caller has: where, on which models, until when (None: for good)."""

    tenant: str
    role: str
    grants: tuple[Grant, ...]
    models: NamePattern = NamePattern()
    expire_time: datetime | None = None


class Access:
    """What one caller may do, made once from the roles that it has. Immutable; knows no time."""

    __slots__ = ("_held", "_whole")

    def __init__(self, held: Iterable[HeldRole] = ()) -> None:
        self._held = tuple(held)
        self._whole: dict[str, frozenset[Right]] = {}
        for one in self._held:
            if one.models.is_everything:
                rights = {grant.right for grant in one.grants if not grant.is_limited}
                self._whole[one.tenant] = self._whole.get(one.tenant, frozenset()) | rights

    @property
    def held(self) -> Sequence[HeldRole]:
        """The roles."""
        return self._held

    def may(self, right: Right, tenant: str, model: str, target: Target = ANYTHING) -> bool:
        """Whether it has the right on a model, which need not exist."""
        if right in self._whole.get(tenant, ()) or right in self._whole.get(EVERYWHERE, ()):
            return True
        return any(
            one.models.matches(model) and any(g.right is right and g.covers(target) for g in one.grants)
            for one in self._held_in(tenant)
        )

    def may_in_tenant(self, right: Right, tenant: str) -> bool:
        """Whether it has the right in a tenant as a whole."""
        return right in self._whole.get(tenant, ()) or right in self._whole.get(EVERYWHERE, ())

    def may_everywhere(self, right: Right) -> bool:
        """Whether it has the right in all tenants."""
        return right in self._whole.get(EVERYWHERE, ())

    def sees(self, tenant: str) -> bool:
        """Whether it may know that there is such a tenant: it has some role there."""
        return any(True for _ in self._held_in(tenant))

    def models(self, right: Right, tenant: str) -> tuple[NamePattern, ...]:
        """On which models of a tenant it has the right at all; none: on no model."""
        if self.may_in_tenant(right, tenant):
            return EVERY_NAME
        patterns = (one.models for one in self._held_in(tenant) if any(g.right is right for g in one.grants))
        found = tuple(dict.fromkeys(patterns))
        return EVERY_NAME if NamePattern() in found else found

    def roles_in(self, tenant: str) -> tuple[str, ...]:
        """Names of the roles that it has in a tenant, in the order of their names."""
        return tuple(sorted({one.role for one in self._held_in(tenant)}))

    @property
    def tenants(self) -> tuple[str, ...]:
        """Tenants in which it has a role, but for those that all tenants have."""
        return tuple(dict.fromkeys(one.tenant for one in self._held if one.tenant != EVERYWHERE))

    def _held_in(self, tenant: str) -> Iterable[HeldRole]:
        return (one for one in self._held if one.tenant in (tenant, EVERYWHERE))


NO_ACCESS = Access()
ALL_ACCESS = Access([HeldRole(EVERYWHERE, "administrator", tuple(map(Grant, Right)))])
"""Of whoever reaches a server on loopback that asks nobody who they are."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from, and for which tenant it speaks when it names none.

    Two callers are equal when actor and tenant are: what they may do is asked of `access`, each time anew.
    """

    actor: str
    tenant: str
    access: Access = field(default=NO_ACCESS, compare=False, repr=False)
    method: str = field(default="none", compare=False)
    """How it said who it is: `oidc`, `token`, `certificate`, `none`."""
    groups: tuple[str, ...] = field(default=(), compare=False)
    issue_time: datetime | None = field(default=None, compare=False)
    """When its credentials were issued; None: they do not say."""
    expire_time: datetime | None = field(default=None, compare=False)
    """When its credentials end."""
