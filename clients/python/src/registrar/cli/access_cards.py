"""How roles, bindings, tokens, tenants and callers look to a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from registrar.access_types import (
    EVERYWHERE,
    ApiToken,
    CallerDetails,
    Grant,
    Quotas,
    Role,
    RoleBinding,
    Tenant,
    TenantState,
)
from registrar.amounts import moment, size
from registrar.cli.text import ago, ahead, columns, plain, shortened

_WIDTH = 48


def caller_card(caller: CallerDetails) -> str:
    """Who somebody is, and a line for each role."""
    facts = [
        ("known by", caller.method),
        ("tenant", caller.tenant),
        ("groups", ", ".join(caller.groups)),
        ("until", f"{ahead(caller.expire_time)}   {moment(caller.expire_time)}" if caller.expire_time else ""),
    ]
    rows = [("ROLE", "TENANT", "MODELS", "ENDS", "ALLOWS")]
    rows += [
        (held.role, _where(held.tenant), held.model_pattern, _end(held.expire_time), _allows(held.grants))
        for held in caller.roles
    ]
    head = f"{plain(caller.actor)}\n\n" + columns([(name, text) for name, text in facts if text], indent="  ")
    return f"{head}\n\n" + (columns(rows, indent="  ") if caller.roles else "No roles.")


def roles_table(roles: Sequence[Role]) -> str:
    """One line a role."""
    rows = [("ROLE", "OF", "ALLOWS", "")]
    rows += [
        (
            role.name,
            "registry" if role.is_built_in else _where(role.tenant),
            _allows(role.grants),
            shortened(role.description, _WIDTH),
        )
        for role in roles
    ]
    return columns(rows)


def role_card(role: Role) -> str:
    """A role, a line for each grant."""
    of = "comes with the registry" if role.is_built_in else f"of {_where(role.tenant)}"
    changed = [f"changed {ago(role.update_time)}   {moment(role.update_time)}"] if role.update_time else []
    lines = [f"{plain(role.name)}  {plain(of)}", *changed]
    lines += [plain(role.description)] if role.description else []
    return "\n".join(lines) + "\n\n" + "\n".join(f"  {plain(grant)}" for grant in role.grants)


def bindings_table(bindings: Sequence[RoleBinding]) -> str:
    """One line a binding."""
    if not bindings:
        return "Nobody has a role by a binding here."
    rows = [("ID", "MEMBER", "ROLE", "MODELS", "TENANT", "ENDS", "BY", "")]
    rows += [
        (
            binding.id,
            binding.member,
            binding.role,
            binding.model_pattern,
            _where(binding.tenant),
            _end(binding.expire_time),
            binding.created_by,
            shortened(binding.comment, _WIDTH),
        )
        for binding in bindings
    ]
    return columns(rows)


def binding_line(binding: RoleBinding) -> str:
    """A binding in one sentence, with its id."""
    models = "all models" if binding.model_pattern == "*" else binding.model_pattern
    until = f"; it ends {ahead(binding.expire_time)}" if binding.expire_time else ""
    return plain(f"{binding.member} is {binding.role} of {models} in {_where(binding.tenant)}{until}; id {binding.id}")


def tokens_table(tokens: Sequence[ApiToken]) -> str:
    """One line a token."""
    if not tokens:
        return "There are no tokens."
    rows = [("ID", "SERVICE", "ROLE", "MODELS", "TENANT", "ENDS", "USED", "BY", "")]
    rows += [
        (
            token.id,
            token.name,
            token.role,
            token.model_pattern,
            _where(token.tenant),
            "revoked" if token.revoke_time else _end(token.expire_time),
            ago(token.last_use_time) if token.last_use_time else "never",
            token.created_by,
            shortened(token.description, _WIDTH),
        )
        for token in tokens
    ]
    return columns(rows)


def tenants_table(tenants: Sequence[Tenant]) -> str:
    """One line a tenant."""
    rows = [("TENANT", "STATE", "MADE", "MAY HOLD", "")]
    rows += [
        (
            tenant.name,
            tenant.state,
            ago(tenant.create_time),
            _quotas(tenant.quotas),
            shortened(tenant.description, _WIDTH),
        )
        for tenant in tenants
    ]
    return columns(rows)


def tenant_card(tenant: Tenant) -> str:
    """A tenant, and what it holds and may hold."""
    lines = [f"{plain(tenant.name)}  {tenant.state}"]
    if tenant.description:
        lines.append(plain(tenant.description))
    facts = [("made", f"{ago(tenant.create_time)}   {moment(tenant.create_time)}")]
    if tenant.state is TenantState.DELETED and tenant.purge_time:
        facts.append(("can come back", f"until {moment(tenant.purge_time)}"))
    if tenant.usage is None:
        facts.append(("may hold", _quotas(tenant.quotas)))
    card = "\n".join(lines) + "\n\n" + columns(facts, indent="  ")
    if tenant.usage is None:
        return card
    used, may = tenant.usage, tenant.quotas
    rows = [
        ("", "HOLDS", "MAY HOLD"),
        ("models", str(used.models), _limit(may.models)),
        ("versions", str(used.versions), _limit(may.versions)),
        ("bytes", size(used.bytes), "-" if may.bytes is None else size(may.bytes)),
        ("transfers", str(used.concurrent_transfers), _limit(may.concurrent_transfers)),
    ]
    return f"{card}\n\n" + columns(rows, right=(1, 2), indent="  ")


def _quotas(quotas: Quotas) -> str:
    limits = {
        "models": quotas.models,
        "versions": quotas.versions,
        "transfers": quotas.concurrent_transfers,
    }
    told = [f"{limit} {name}" for name, limit in limits.items() if limit is not None]
    if quotas.bytes is not None:
        told.append(size(quotas.bytes))
    return ", ".join(told) or "-"


def _limit(limit: int | None) -> str:
    return "-" if limit is None else str(limit)


def _where(tenant: str) -> str:
    return "all tenants" if tenant == EVERYWHERE else tenant


def _end(time: datetime | None) -> str:
    return "-" if time is None else ahead(time)


def _allows(grants: Sequence[Grant]) -> str:
    return " ".join(map(str, grants))
