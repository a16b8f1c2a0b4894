"""The RPCs of AdminService about roles, and about who has them."""

from __future__ import annotations

import grpc

from registrar.v1 import admin_service_pb2 as pb
from registrar.v1 import admin_service_pb2_grpc
from registrar_server.application.administration.bindings import BindingChanged, NewBinding, RoleBindings
from registrar_server.application.administration.roles import RoleChanged, Roles, RoleUpdate
from registrar_server.domain import limits
from registrar_server.domain.validation import checking
from registrar_server.domain.values import UID
from registrar_server.transport.calls import current_caller, mutation_of
from registrar_server.transport.convert.access import (
    binding_to_proto,
    grants_from_proto,
    role_to_proto,
    scope_from_proto,
)
from registrar_server.transport.convert.masks import Mask
from registrar_server.transport.convert.values import time_from_proto
from registrar_server.transport.paging import decode_place, decode_token, encode_place, encode_token, page_size

_MUTABLE = ("description", "grants")


class RoleRpcs(admin_service_pb2_grpc.AdminServiceServicer):
    """Converts, calls, converts."""

    def __init__(self, roles: Roles, bindings: RoleBindings) -> None:
        self._roles = roles
        self._bindings = bindings

    def CreateRole(self, request: pb.CreateRoleRequest, context: grpc.ServicerContext) -> pb.CreateRoleResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
            name = check.role_name("name", request.name)
            description = check.text("description", request.description, limits.NOTE_CHARACTERS)
            grants = grants_from_proto(check, "grants", request.grants)
        mutation = mutation_of(request, request.request_id, _created)
        answer = self._roles.create(mutation, tenant, name, description=description, grants=grants)
        return pb.CreateRoleResponse.FromString(answer)

    def GetRole(self, request: pb.GetRoleRequest, context: grpc.ServicerContext) -> pb.GetRoleResponse:
        """See the contract."""
        with checking() as check:
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
            name = check.role_name("name", request.name)
        return pb.GetRoleResponse(role=role_to_proto(self._roles.get(tenant, name)))

    def ListRoles(self, request: pb.ListRolesRequest, context: grpc.ServicerContext) -> pb.ListRolesResponse:
        """See the contract."""
        with checking() as check:
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
        size = page_size(request.page_size)
        token = decode_token(request, request.page_token, int, str)
        after = (int(token[0]), str(token[1])) if token else (0, "")
        found = self._roles.list(tenant, after=after, limit=size + 1)
        response = pb.ListRolesResponse(roles=[role_to_proto(role) for _, role in found[:size]])
        if len(found) > size:
            kind, last = found[size - 1]
            response.next_page_token = encode_token(request, [kind, last.name])
        return response

    def UpdateRole(self, request: pb.UpdateRoleRequest, context: grpc.ServicerContext) -> pb.UpdateRoleResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
            name = check.role_name("name", request.name)
            mask = Mask.parse(check, request, _MUTABLE)
            description = check.text("description", request.description, limits.NOTE_CHARACTERS)
            grants = grants_from_proto(check, "grants", request.grants) if "grants" in mask else None
        wanted = RoleUpdate(description=description if "description" in mask else None, grants=grants)
        mutation = mutation_of(request, request.request_id, _updated)
        answer = self._roles.update(mutation, tenant, name, etag=request.etag, wanted=wanted)
        return pb.UpdateRoleResponse.FromString(answer)

    def DeleteRole(self, request: pb.DeleteRoleRequest, context: grpc.ServicerContext) -> pb.DeleteRoleResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
            name = check.role_name("name", request.name)
        mutation = mutation_of(request, request.request_id, _deleted)
        return pb.DeleteRoleResponse.FromString(self._roles.delete(mutation, tenant, name, etag=request.etag))

    def CreateRoleBinding(
        self, request: pb.CreateRoleBindingRequest, context: grpc.ServicerContext
    ) -> pb.CreateRoleBindingResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            is_ending = request.HasField("expire_time")
            wanted = NewBinding(
                tenant=scope_from_proto(check, "tenant", request.tenant, current_caller()),
                role=check.role_name("role", request.role),
                member=check.member("member", request.member),
                models=check.model_pattern("model_pattern", request.model_pattern),
                expire_time=time_from_proto(check, "expire_time", request.expire_time) if is_ending else None,
                comment=check.text("comment", request.comment, limits.NOTE_CHARACTERS),
            )
        mutation = mutation_of(request, request.request_id, _bound)
        return pb.CreateRoleBindingResponse.FromString(self._bindings.create(mutation, wanted))

    def ListRoleBindings(
        self, request: pb.ListRoleBindingsRequest, context: grpc.ServicerContext
    ) -> pb.ListRoleBindingsResponse:
        """See the contract."""
        with checking() as check:
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
            member = check.member("member", request.member) if request.member else ""
            role = check.role_name("role", request.role) if request.role else ""
        size = page_size(request.page_size)
        after = decode_place(request, request.page_token)
        found = self._bindings.list(tenant, member=member, role=role, after=after, limit=size + 1)
        response = pb.ListRoleBindingsResponse(bindings=map(binding_to_proto, found[:size]))
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = encode_place(request, last.create_time, last.id)
        return response

    def DeleteRoleBinding(
        self, request: pb.DeleteRoleBindingRequest, context: grpc.ServicerContext
    ) -> pb.DeleteRoleBindingResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
            binding_id = check.pattern("id", request.id, UID, "32 lower-case hex digits")
            comment = check.text("comment", request.comment, limits.NOTE_CHARACTERS)
        mutation = mutation_of(request, request.request_id, _unbound)
        return pb.DeleteRoleBindingResponse.FromString(
            self._bindings.delete(mutation, tenant, binding_id, comment=comment)
        )


def _created(changed: RoleChanged) -> pb.CreateRoleResponse:
    return pb.CreateRoleResponse(role=role_to_proto(changed.role), event_sequence=changed.sequence)


def _updated(changed: RoleChanged) -> pb.UpdateRoleResponse:
    return pb.UpdateRoleResponse(role=role_to_proto(changed.role), event_sequence=changed.sequence)


def _deleted(sequence: int) -> pb.DeleteRoleResponse:
    return pb.DeleteRoleResponse(event_sequence=sequence)


def _bound(changed: BindingChanged) -> pb.CreateRoleBindingResponse:
    return pb.CreateRoleBindingResponse(binding=binding_to_proto(changed.binding), event_sequence=changed.sequence)


def _unbound(sequence: int) -> pb.DeleteRoleBindingResponse:
    return pb.DeleteRoleBindingResponse(event_sequence=sequence)
