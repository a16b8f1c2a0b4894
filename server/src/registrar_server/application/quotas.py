"""Keep a tenant within its quotas.

Each check comes after what it is about was written, in the same transaction, with the tenant locked: what is counted is
what there will be after the commit, however many try at once.
"""

from __future__ import annotations

from enum import StrEnum

from registrar_server.application.ports.database import Transaction
from registrar_server.domain.errors import ExceededQuota, Reason, RegistrarError


class Quota(StrEnum):
    """What is limited, by the name of its field."""

    MODELS = "models"
    VERSIONS = "versions"
    BYTES = "bytes"
    CONCURRENT_TRANSFERS = "concurrent_transfers"


def require_within(transaction: Transaction, tenant: str, *quotas: Quota) -> None:
    """QUOTA_EXCEEDED when the tenant holds more than one of these allows. Locks the tenant, if it has any quota."""
    allowed = transaction.tenants.quotas(tenant)
    limits = {quota: limit for quota in quotas if (limit := getattr(allowed, quota.value)) is not None}
    if not limits:
        return
    usage = transaction.tenants.usage(tenant)
    for quota, limit in limits.items():
        used: int = getattr(usage, quota.value)
        if used > limit:
            raise quota_exceeded(tenant, quota, limit, used=used)


def quota_exceeded(tenant: str, quota: Quota, limit: int, *, used: int) -> RegistrarError:
    """The refusal; `used` is what there would be."""
    what = quota.value.replace("_", " ")
    return RegistrarError(
        Reason.QUOTA_EXCEEDED,
        f"tenant {tenant} may have {limit} {what}, and this would make {used}",
        metadata={"tenant": tenant, "quota": quota.value, "limit": str(limit), "used": str(used)},
        quotas=[ExceededQuota(f"tenant:{tenant}", f"{limit} {what}")],
    )
