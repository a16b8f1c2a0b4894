"""How changes of who may do what are recorded: audit and event of a tenant, and of no model.

An event without a model has every process forget what callers may do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from registrar_server.application.ports.database import ApiToken, Change, RoleBinding, Transaction
from registrar_server.domain.access import Caller, Grant, Role
from registrar_server.domain.tenants import Quotas, Tenant
from registrar_server.domain.values import ModelKey


@dataclass(frozen=True, slots=True)
class By:
    """Who makes a change, when, and under which request id (empty: none)."""

    caller: Caller
    time: datetime
    request_id: str = ""


def record(
    transaction: Transaction,
    by: By,
    action: str,
    tenant: str,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
    comment: str = "",
) -> int:
    """Write audit entry and event; the event's sequence. `tenant` is EVERYWHERE for what concerns all."""
    change = Change(
        action=action,
        caller=by.caller,
        time=by.time,
        model=ModelKey(tenant, ""),
        model_uid="",
        comment=comment,
        before=before,
        after=after,
        request_id=by.request_id,
        is_mirrored=False,
    )
    return transaction.journal.record(change)


def role_document(role: Role) -> dict[str, object]:
    """A role as the audit shows it."""
    return {"role": role.name, "description": role.description, "grants": _grants_document(role.grants)}


def binding_document(binding: RoleBinding) -> dict[str, object]:
    """A binding as the audit shows it."""
    return {
        "id": binding.id,
        "role": binding.role,
        "member": binding.member,
        "model_pattern": binding.models.text,
        "expire_time": time_text(binding.expire_time),
    }


def token_document(token: ApiToken) -> dict[str, object]:
    """A token as the audit shows it; it knows no secret."""
    return {
        "id": token.id,
        "name": token.name,
        "role": token.role,
        "model_pattern": token.models.text,
        "description": token.description,
        "expire_time": time_text(token.expire_time),
    }


def tenant_document(tenant: Tenant) -> dict[str, object]:
    """What of a tenant may be changed, as the audit shows it; a quota that does not limit is left out."""
    return {"description": tenant.description, "quotas": _quotas_document(tenant.quotas)}


def time_text(time: datetime | None) -> str | None:
    """A time as the audit shows it."""
    return None if time is None else time.isoformat()


def _grants_document(grants: Sequence[Grant]) -> list[dict[str, object]]:
    return [
        {
            "right": grant.right.value,
            **({"stages": [stage.value for stage in grant.stages]} if grant.stages else {}),
            **({"alias_patterns": [one.text for one in grant.alias_patterns]} if grant.alias_patterns else {}),
            **({"approver_roles": list(grant.approver_roles)} if grant.approver_roles else {}),
        }
        for grant in grants
    ]


def _quotas_document(quotas: Quotas) -> dict[str, object]:
    named = {
        "models": quotas.models,
        "versions": quotas.versions,
        "bytes": quotas.bytes,
        "concurrent_transfers": quotas.concurrent_transfers,
    }
    return {name: limit for name, limit in named.items() if limit is not None}
