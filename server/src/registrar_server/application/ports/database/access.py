"""Records of who may do what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from registrar_server.domain.access import HeldRole, NamePattern, Role


@dataclass(frozen=True, slots=True)
class RoleBinding:
    """A member's role in a tenant, on the models of a pattern."""

    id: str
    tenant: str
    role: str
    member: str
    models: NamePattern
    expire_time: datetime | None
    comment: str
    created_by: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A service's credential, without its secret."""

    id: str
    tenant: str
    name: str
    role: str
    models: NamePattern
    description: str
    expire_time: datetime
    revoke_time: datetime | None
    created_by: str
    create_time: datetime
    last_use_time: datetime | None


class AccessRecords(Protocol):
    """Roles, bindings, tokens. Built-in roles are not among the rows; `find_role` and `held_by` know them."""

    def held_by(self, members: Sequence[str], *, now: datetime) -> Sequence[HeldRole]:
        """Every role that one of the members (`user:…`, `group:…`) is bound to now, in any tenant."""

    def find_role(self, tenant: str, name: str) -> Role | None:
        """The tenant's role of that name; else that of all tenants."""

    def lock_role(self, tenant: str, name: str) -> Role | None:
        """What `find_role` finds; nobody else locks, changes or deletes it until the transaction ends."""

    def list_roles(self, tenant: str, *, after: str, limit: int) -> Sequence[Role]:
        """Rows of exactly that tenant, by name, names after `after` only. Built-in ones are not among them."""

    def insert_role(self, role: Role) -> bool:
        """Add a role; False: the tenant has one of that name."""

    def update_role(self, role: Role) -> None:
        """Replace description and grants; the revision grows. Its times are the role's."""

    def delete_role(self, tenant: str, name: str) -> None:
        """Remove it."""

    def count_uses(self, tenant: str, role: str, *, now: datetime) -> tuple[int, int]:
        """How many bindings and living tokens name the role of exactly that tenant (EVERYWHERE: of any tenant)."""

    def bind(self, binding: RoleBinding) -> RoleBinding:
        """Add a binding; where the same are bound already (`find_bound`), that one with the new end and comment."""

    def find_bound(self, binding: RoleBinding) -> RoleBinding | None:
        """The binding of the same tenant, role, member and pattern."""

    def find_binding(self, tenant: str, binding_id: str) -> RoleBinding | None:
        """The binding of that tenant."""

    def list_bindings(
        self, tenant: str, *, member: str, role: str, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[RoleBinding]:
        """Bindings of exactly that tenant, the oldest first (create time, id); empty: every member, every role."""

    def unbind(self, binding_id: str) -> bool:
        """Remove it; False: it is gone already."""

    def insert_token(self, token: ApiToken, digest: str) -> None:
        """Add a token; `digest` is the SHA-256 of its secret, in hex."""

    def find_token_by_digest(self, digest: str) -> ApiToken | None:
        """The token with that secret, ended or not."""

    def find_token(self, tenant: str, token_id: str) -> ApiToken | None:
        """The token of that tenant."""

    def list_tokens(
        self, tenant: str, *, is_ended_shown: bool, now: datetime, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ApiToken]:
        """Tokens of exactly that tenant, the oldest first (create time, id)."""

    def revoke_token(self, token_id: str, *, time: datetime) -> bool:
        """End it; False: it was revoked before."""

    def note_uses(self, token_ids: Sequence[str], *, time: datetime) -> None:
        """Remember when tokens were last used."""

    def cut_sessions(self, member: str, *, not_before: datetime) -> None:
        """Have tokens that were issued to the member before that time refused."""

    def sessions_not_before(self, member: str) -> datetime | None:
        """Tokens issued to the member before that are refused; None: none are."""
