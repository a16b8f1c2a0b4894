"""Tenants."""

from __future__ import annotations

from registrar.v1 import tenant_pb2 as pb
from registrar_server.domain.tenants import Quotas, Tenant, TenantState, TenantUsage
from registrar_server.domain.validation import Checker
from registrar_server.transport.convert.values import time_to_proto

_STATES = {
    TenantState.ACTIVE: pb.TENANT_STATE_ACTIVE,
    TenantState.SUSPENDED: pb.TENANT_STATE_SUSPENDED,
    TenantState.DELETED: pb.TENANT_STATE_DELETED,
}


def tenant_to_proto(tenant: Tenant, usage: TenantUsage | None = None) -> pb.Tenant:
    """A tenant, with what it holds where that was counted."""
    return pb.Tenant(
        name=tenant.name,
        description=tenant.description,
        state=_STATES[tenant.state],
        quotas=_quotas_to_proto(tenant.quotas),
        usage=None if usage is None else _usage_to_proto(usage),
        etag=tenant.etag,
        create_time=time_to_proto(tenant.create_time),
        delete_time=time_to_proto(tenant.delete_time),
        purge_time=time_to_proto(tenant.purge_time),
    )


def quotas_from_proto(check: Checker, field: str, message: pb.Quotas) -> Quotas:
    """What a tenant may hold."""
    return check.quotas(
        field,
        Quotas(
            models=message.models if message.HasField("models") else None,
            versions=message.versions if message.HasField("versions") else None,
            bytes=message.bytes if message.HasField("bytes") else None,
            concurrent_transfers=message.concurrent_transfers if message.HasField("concurrent_transfers") else None,
        ),
    )


def _quotas_to_proto(quotas: Quotas) -> pb.Quotas:
    return pb.Quotas(
        models=quotas.models,
        versions=quotas.versions,
        bytes=quotas.bytes,
        concurrent_transfers=quotas.concurrent_transfers,
    )


def _usage_to_proto(usage: TenantUsage) -> pb.TenantUsage:
    return pb.TenantUsage(
        models=usage.models,
        versions=usage.versions,
        bytes=usage.bytes,
        concurrent_transfers=usage.concurrent_transfers,
    )
