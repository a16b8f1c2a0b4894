"""Tenants: create, read, list, update, suspend, resume, delete, undelete."""

from __future__ import annotations

from registrar.access_types import Quotas, Tenant
from registrar.calls.call import Call, Listing, change, new_request_id
from registrar.context import CallContext
from registrar.convert.access import quotas_to_proto, tenant_from_proto
from registrar.v1 import admin_service_pb2 as pb


def create_tenant(
    context: CallContext,
    name: str,
    *,
    description: str = "",
    quotas: Quotas | None = None,
    request_id: str | None = None,
) -> Call[Tenant]:
    """Make a tenant. Errors: AlreadyExists, InvalidArgument, PermissionDenied."""
    request = pb.CreateTenantRequest(
        request_id=request_id or new_request_id(),
        tenant=name,
        description=description,
        quotas=None if quotas is None else quotas_to_proto(quotas),
    )
    return change(context, context.admin.CreateTenant, request, lambda response: tenant_from_proto(response.tenant))


def get_tenant(context: CallContext, name: str = "") -> Call[Tenant]:
    """Read a tenant and what it holds; empty: the caller's. Errors: NotFound, PermissionDenied."""
    request = pb.GetTenantRequest(tenant=name or context.tenant)
    return Call(context.admin.GetTenant, request, lambda response: tenant_from_proto(response.tenant))


def tenants(context: CallContext, *, show_deleted: bool = False, page_size: int = 0) -> Listing[Tenant]:
    """All tenants, by name; pages are fetched as they are consumed. Errors: PermissionDenied."""
    request = pb.ListTenantsRequest(show_deleted=show_deleted, page_size=page_size)
    return Listing(context.admin.ListTenants, request, lambda page: map(tenant_from_proto, page.tenants))


def update_tenant(
    context: CallContext,
    name: str,
    *,
    description: str | None = None,
    quotas: Quotas | None = None,
    etag: str = "",
    request_id: str | None = None,
) -> Call[Tenant]:
    """Change what is not None; quotas as a whole. A quota below what is there only stops more from coming.

    Errors: NotFound, Aborted when the etag is old, PermissionDenied.
    """
    request = pb.UpdateTenantRequest(
        request_id=request_id or new_request_id(),
        tenant=name,
        etag=etag,
        description=description or "",
        quotas=None if quotas is None else quotas_to_proto(quotas),
    )
    given = {"description": description, "quotas": quotas}
    request.update_mask.paths.extend(path for path, value in given.items() if value is not None)
    return change(context, context.admin.UpdateTenant, request, lambda response: tenant_from_proto(response.tenant))


def suspend_tenant(
    context: CallContext, name: str, *, comment: str = "", request_id: str | None = None
) -> Call[Tenant]:
    """Have a tenant refuse everything but its administration. Errors: NotFound, PermissionDenied."""
    request = pb.SuspendTenantRequest(request_id=request_id or new_request_id(), tenant=name, comment=comment)
    return change(context, context.admin.SuspendTenant, request, lambda response: tenant_from_proto(response.tenant))


def resume_tenant(context: CallContext, name: str, *, comment: str = "", request_id: str | None = None) -> Call[Tenant]:
    """End a suspension. Errors: NotFound, PermissionDenied."""
    request = pb.ResumeTenantRequest(request_id=request_id or new_request_id(), tenant=name, comment=comment)
    return change(context, context.admin.ResumeTenant, request, lambda response: tenant_from_proto(response.tenant))


def delete_tenant(
    context: CallContext,
    name: str,
    *,
    comment: str = "",
    etag: str = "",
    force: bool = False,
    request_id: str | None = None,
) -> Call[Tenant]:
    """Make a tenant and all that it holds vanish; until `purge_time` it can be undeleted.

    `force`: also while versions are in production. Errors: NotFound, Aborted when the etag is old, FailedPrecondition
    when it is in use, PermissionDenied.
    """
    request = pb.DeleteTenantRequest(
        request_id=request_id or new_request_id(), tenant=name, comment=comment, etag=etag, force=force
    )
    return change(context, context.admin.DeleteTenant, request, lambda response: tenant_from_proto(response.tenant))


def undelete_tenant(
    context: CallContext, name: str, *, comment: str = "", request_id: str | None = None
) -> Call[Tenant]:
    """Bring a deleted tenant back as it was. Errors: NotFound, PermissionDenied."""
    request = pb.UndeleteTenantRequest(request_id=request_id or new_request_id(), tenant=name, comment=comment)
    return change(context, context.admin.UndeleteTenant, request, lambda response: tenant_from_proto(response.tenant))
