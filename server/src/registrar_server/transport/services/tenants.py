"""The RPCs of AdminService about tenants."""

from __future__ import annotations

import grpc

from registrar.v1 import admin_service_pb2 as pb
from registrar.v1 import admin_service_pb2_grpc
from registrar_server.application.administration.tenants import TenantChanged, Tenants, TenantUpdate
from registrar_server.domain import limits
from registrar_server.domain.validation import checking
from registrar_server.transport.calls import current_caller, mutation_of
from registrar_server.transport.convert.masks import Mask
from registrar_server.transport.convert.references import tenant_from_proto
from registrar_server.transport.convert.tenants import quotas_from_proto, tenant_to_proto
from registrar_server.transport.paging import decode_token, encode_token, page_size

_MUTABLE = ("description", "quotas")


class TenantRpcs(admin_service_pb2_grpc.AdminServiceServicer):
    """Converts, calls, converts."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    def CreateTenant(self, request: pb.CreateTenantRequest, context: grpc.ServicerContext) -> pb.CreateTenantResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            name = check.tenant("tenant", request.tenant)
            description = check.text("description", request.description, limits.NOTE_CHARACTERS)
            quotas = quotas_from_proto(check, "quotas", request.quotas)
        mutation = mutation_of(request, request.request_id, _created)
        answer = self._tenants.create(mutation, name, description=description, quotas=quotas)
        return pb.CreateTenantResponse.FromString(answer)

    def GetTenant(self, request: pb.GetTenantRequest, context: grpc.ServicerContext) -> pb.GetTenantResponse:
        """See the contract."""
        with checking() as check:
            name = tenant_from_proto(check, "tenant", request.tenant, current_caller())
        tenant, usage = self._tenants.get(name)
        return pb.GetTenantResponse(tenant=tenant_to_proto(tenant, usage))

    def ListTenants(self, request: pb.ListTenantsRequest, context: grpc.ServicerContext) -> pb.ListTenantsResponse:
        """See the contract."""
        size = page_size(request.page_size)
        token = decode_token(request, request.page_token, str)
        after = str(token[0]) if token else ""
        found = self._tenants.list(after=after, limit=size + 1, is_deleted_shown=request.show_deleted)
        response = pb.ListTenantsResponse(tenants=map(tenant_to_proto, found[:size]))
        if len(found) > size:
            response.next_page_token = encode_token(request, [found[size - 1].name])
        return response

    def UpdateTenant(self, request: pb.UpdateTenantRequest, context: grpc.ServicerContext) -> pb.UpdateTenantResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            name = check.tenant("tenant", request.tenant)
            mask = Mask.parse(check, request, _MUTABLE)
            description = check.text("description", request.description, limits.NOTE_CHARACTERS)
            quotas = quotas_from_proto(check, "quotas", request.quotas)
        wanted = TenantUpdate(
            description=description if "description" in mask else None, quotas=quotas if "quotas" in mask else None
        )
        mutation = mutation_of(request, request.request_id, _updated)
        return pb.UpdateTenantResponse.FromString(
            self._tenants.update(mutation, name, etag=request.etag, wanted=wanted)
        )

    def SuspendTenant(
        self, request: pb.SuspendTenantRequest, context: grpc.ServicerContext
    ) -> pb.SuspendTenantResponse:
        """See the contract."""
        name, comment = _named(request)
        mutation = mutation_of(request, request.request_id, _suspended)
        return pb.SuspendTenantResponse.FromString(self._tenants.suspend(mutation, name, comment=comment))

    def ResumeTenant(self, request: pb.ResumeTenantRequest, context: grpc.ServicerContext) -> pb.ResumeTenantResponse:
        """See the contract."""
        name, comment = _named(request)
        mutation = mutation_of(request, request.request_id, _resumed)
        return pb.ResumeTenantResponse.FromString(self._tenants.resume(mutation, name, comment=comment))

    def DeleteTenant(self, request: pb.DeleteTenantRequest, context: grpc.ServicerContext) -> pb.DeleteTenantResponse:
        """See the contract."""
        name, comment = _named(request)
        mutation = mutation_of(request, request.request_id, _deleted)
        answer = self._tenants.delete(mutation, name, etag=request.etag, comment=comment, is_forced=request.force)
        return pb.DeleteTenantResponse.FromString(answer)

    def UndeleteTenant(
        self, request: pb.UndeleteTenantRequest, context: grpc.ServicerContext
    ) -> pb.UndeleteTenantResponse:
        """See the contract."""
        name, comment = _named(request)
        mutation = mutation_of(request, request.request_id, _undeleted)
        return pb.UndeleteTenantResponse.FromString(self._tenants.undelete(mutation, name, comment=comment))


def _named(
    request: pb.SuspendTenantRequest | pb.ResumeTenantRequest | pb.DeleteTenantRequest | pb.UndeleteTenantRequest,
) -> tuple[str, str]:
    """Tenant and comment."""
    with checking() as check:
        check.request_id("request_id", request.request_id)
        name = check.tenant("tenant", request.tenant)
        comment = check.text("comment", request.comment, limits.NOTE_CHARACTERS)
    return name, comment


def _created(changed: TenantChanged) -> pb.CreateTenantResponse:
    return pb.CreateTenantResponse(tenant=tenant_to_proto(changed.tenant), event_sequence=changed.sequence)


def _updated(changed: TenantChanged) -> pb.UpdateTenantResponse:
    return pb.UpdateTenantResponse(tenant=tenant_to_proto(changed.tenant), event_sequence=changed.sequence)


def _suspended(changed: TenantChanged) -> pb.SuspendTenantResponse:
    return pb.SuspendTenantResponse(tenant=tenant_to_proto(changed.tenant), event_sequence=changed.sequence)


def _resumed(changed: TenantChanged) -> pb.ResumeTenantResponse:
    return pb.ResumeTenantResponse(tenant=tenant_to_proto(changed.tenant), event_sequence=changed.sequence)


def _deleted(changed: TenantChanged) -> pb.DeleteTenantResponse:
    return pb.DeleteTenantResponse(tenant=tenant_to_proto(changed.tenant), event_sequence=changed.sequence)


def _undeleted(changed: TenantChanged) -> pb.UndeleteTenantResponse:
    return pb.UndeleteTenantResponse(tenant=tenant_to_proto(changed.tenant), event_sequence=changed.sequence)
