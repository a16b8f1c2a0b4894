"""Roles, bindings, tokens and tenants in the registry of the client's tests, and who it lets in at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc

from registrar.v1 import access_pb2, metadata_schema_pb2, tenant_pb2, token_pb2
from registrar.v1 import admin_service_pb2 as pb
from tests.unit.client.fake_bundles import Admin
from tests.unit.client.fake_state import EPOCH_SECONDS, State, refuse

Item = TypeVar("Item")
OPEN_METHODS = ("/registrar.v1.AdminService/GetLoginOptions", "/grpc.health.v1.Health/Check")


@dataclass
class Access:
    """Who is let in, and what there is. Without `accepted` tokens everybody is."""

    accepted: set[str] | None = None
    reason: str = "CREDENTIALS_INVALID"
    """Why others are not."""
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Method and token of every call, in order; an empty token for none."""
    roles: dict[tuple[str, str], access_pb2.Role] = field(default_factory=dict)
    bindings: dict[str, access_pb2.RoleBinding] = field(default_factory=dict)
    tokens: dict[str, token_pb2.ApiToken] = field(default_factory=dict)
    tenants: dict[str, tenant_pb2.Tenant] = field(default_factory=dict)
    schema: metadata_schema_pb2.MetadataSchema = field(default_factory=metadata_schema_pb2.MetadataSchema)
    caller: pb.GetCallerResponse = field(
        default_factory=lambda: pb.GetCallerResponse(actor="local", method="none", tenant="default")
    )
    login: pb.GetLoginOptionsResponse = field(default_factory=pb.GetLoginOptionsResponse)

    def tokens_of(self, method: str) -> list[str]:
        """Tokens that came with a method, in order."""
        return [token for name, token in self.seen if name.endswith(f"/{method}")]


class Guard(grpc.ServerInterceptor):
    """Notes the token of every call, streams too, and refuses what is not accepted."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def intercept_service(self, continuation: Callable[..., Any], details: grpc.HandlerCallDetails) -> Any:
        header = dict(details.invocation_metadata or ()).get("authorization", "")
        token = header.removeprefix("Bearer ") if isinstance(header, str) else ""
        self._access.seen.append((details.method, token))
        handler = continuation(details)
        accepted = self._access.accepted
        if accepted is None or token in accepted or details.method in OPEN_METHODS:
            return handler
        reason = self._access.reason if token else "CREDENTIALS_MISSING"

        def refused(_request: Any, context: grpc.ServicerContext) -> Any:
            refuse(context, grpc.StatusCode.UNAUTHENTICATED, reason)

        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                refused, handler.request_deserializer, handler.response_serializer
            )
        make = (
            grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
        )
        return make(refused, handler.request_deserializer, handler.response_serializer)


class Administration(Admin):
    """AdminService: no model of the server's rules."""

    def __init__(self, state: State, access: Access) -> None:
        super().__init__(state)
        self.access = access

    def GetCaller(self, request: pb.GetCallerRequest, context: grpc.ServicerContext) -> pb.GetCallerResponse:
        return self.answer(request, context, lambda: self.access.caller)

    def GetLoginOptions(
        self, request: pb.GetLoginOptionsRequest, context: grpc.ServicerContext
    ) -> pb.GetLoginOptionsResponse:
        return self.answer(request, context, lambda: self.access.login)

    def GetMetadataSchema(
        self, request: pb.GetMetadataSchemaRequest, context: grpc.ServicerContext
    ) -> pb.GetMetadataSchemaResponse:
        return self.answer(request, context, lambda: pb.GetMetadataSchemaResponse(schema=self.access.schema))

    def UpdateMetadataSchema(
        self, request: pb.UpdateMetadataSchemaRequest, context: grpc.ServicerContext
    ) -> pb.UpdateMetadataSchemaResponse:
        def make() -> pb.UpdateMetadataSchemaResponse:
            self.access.schema = metadata_schema_pb2.MetadataSchema(
                tenant=_tenant(request.tenant), revision=self.access.schema.revision + 1, fields=request.fields
            )
            return pb.UpdateMetadataSchemaResponse(schema=self.access.schema)

        return self.answer(request, context, make)

    def CreateRole(self, request: pb.CreateRoleRequest, context: grpc.ServicerContext) -> pb.CreateRoleResponse:
        def make() -> pb.CreateRoleResponse:
            role = access_pb2.Role(
                tenant=_tenant(request.tenant),
                name=request.name,
                description=request.description,
                grants=request.grants,
                etag="r1",
            )
            role.create_time.seconds = role.update_time.seconds = EPOCH_SECONDS
            self.access.roles[role.tenant, role.name] = role
            return pb.CreateRoleResponse(role=role, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def _role(self, tenant: str, name: str, context: grpc.ServicerContext) -> access_pb2.Role:
        found = self.access.roles.get((_tenant(tenant), name))
        if found is None:
            refuse(context, grpc.StatusCode.NOT_FOUND, "ROLE_NOT_FOUND", role=name)
        return found

    def GetRole(self, request: pb.GetRoleRequest, context: grpc.ServicerContext) -> pb.GetRoleResponse:
        return self.answer(
            request, context, lambda: pb.GetRoleResponse(role=self._role(request.tenant, request.name, context))
        )

    def ListRoles(self, request: pb.ListRolesRequest, context: grpc.ServicerContext) -> pb.ListRolesResponse:
        def make() -> pb.ListRolesResponse:
            page, token = _page(list(self.access.roles.values()), request.page_token)
            return pb.ListRolesResponse(roles=page, next_page_token=token)

        return self.answer(request, context, make)

    def UpdateRole(self, request: pb.UpdateRoleRequest, context: grpc.ServicerContext) -> pb.UpdateRoleResponse:
        def make() -> pb.UpdateRoleResponse:
            role = self._role(request.tenant, request.name, context)
            if "description" in request.update_mask.paths:
                role.description = request.description
            if "grants" in request.update_mask.paths:
                del role.grants[:]
                role.grants.extend(request.grants)
            return pb.UpdateRoleResponse(role=role, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def DeleteRole(self, request: pb.DeleteRoleRequest, context: grpc.ServicerContext) -> pb.DeleteRoleResponse:
        def make() -> pb.DeleteRoleResponse:
            role = self._role(request.tenant, request.name, context)
            del self.access.roles[role.tenant, role.name]
            return pb.DeleteRoleResponse(event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def CreateRoleBinding(
        self, request: pb.CreateRoleBindingRequest, context: grpc.ServicerContext
    ) -> pb.CreateRoleBindingResponse:
        def make() -> pb.CreateRoleBindingResponse:
            binding = access_pb2.RoleBinding(
                id=f"{len(self.access.bindings) + 1:032x}",
                tenant=_tenant(request.tenant),
                role=request.role,
                member=request.member,
                model_pattern=request.model_pattern,
                expire_time=request.expire_time if request.HasField("expire_time") else None,
                comment=request.comment,
                created_by="local",
            )
            binding.create_time.seconds = EPOCH_SECONDS
            self.access.bindings[binding.id] = binding
            return pb.CreateRoleBindingResponse(binding=binding, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def ListRoleBindings(
        self, request: pb.ListRoleBindingsRequest, context: grpc.ServicerContext
    ) -> pb.ListRoleBindingsResponse:
        def make() -> pb.ListRoleBindingsResponse:
            found = [
                binding
                for binding in self.access.bindings.values()
                if request.member in {"", binding.member} and request.role in {"", binding.role}
            ]
            page, token = _page(found, request.page_token)
            return pb.ListRoleBindingsResponse(bindings=page, next_page_token=token)

        return self.answer(request, context, make)

    def DeleteRoleBinding(
        self, request: pb.DeleteRoleBindingRequest, context: grpc.ServicerContext
    ) -> pb.DeleteRoleBindingResponse:
        def make() -> pb.DeleteRoleBindingResponse:
            if self.access.bindings.pop(request.id, None) is None:
                refuse(context, grpc.StatusCode.NOT_FOUND, "ROLE_BINDING_NOT_FOUND", id=request.id)
            return pb.DeleteRoleBindingResponse(event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def CreateToken(self, request: pb.CreateTokenRequest, context: grpc.ServicerContext) -> pb.CreateTokenResponse:
        def make() -> pb.CreateTokenResponse:
            token = token_pb2.ApiToken(
                id=f"{len(self.access.tokens) + 1:032x}",
                tenant=_tenant(request.tenant),
                name=request.name,
                role=request.role,
                model_pattern=request.model_pattern,
                description=request.description,
                created_by="local",
            )
            token.create_time.seconds = EPOCH_SECONDS
            token.expire_time.seconds = EPOCH_SECONDS + request.ttl.seconds
            self.access.tokens[token.id] = token
            secret = f"rgt_{token.id}"
            return pb.CreateTokenResponse(token=token, secret=secret, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def ListTokens(self, request: pb.ListTokensRequest, context: grpc.ServicerContext) -> pb.ListTokensResponse:
        def make() -> pb.ListTokensResponse:
            tokens = self.access.tokens.values()
            found = [token for token in tokens if request.show_ended or not token.HasField("revoke_time")]
            page, token = _page(found, request.page_token)
            return pb.ListTokensResponse(tokens=page, next_page_token=token)

        return self.answer(request, context, make)

    def RevokeToken(self, request: pb.RevokeTokenRequest, context: grpc.ServicerContext) -> pb.RevokeTokenResponse:
        def make() -> pb.RevokeTokenResponse:
            token = self.access.tokens.get(request.id)
            if token is None:
                refuse(context, grpc.StatusCode.NOT_FOUND, "TOKEN_NOT_FOUND", id=request.id)
            token.revoke_time.seconds = EPOCH_SECONDS
            return pb.RevokeTokenResponse(token=token, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def RevokeSessions(
        self, request: pb.RevokeSessionsRequest, context: grpc.ServicerContext
    ) -> pb.RevokeSessionsResponse:
        def make() -> pb.RevokeSessionsResponse:
            response = pb.RevokeSessionsResponse(event_sequence=self.state.next_sequence())
            response.not_before.seconds = EPOCH_SECONDS
            return response

        return self.answer(request, context, make, request.request_id)

    def CreateTenant(self, request: pb.CreateTenantRequest, context: grpc.ServicerContext) -> pb.CreateTenantResponse:
        def make() -> pb.CreateTenantResponse:
            if request.tenant in self.access.tenants:
                refuse(context, grpc.StatusCode.ALREADY_EXISTS, "TENANT_EXISTS", tenant=request.tenant)
            tenant = tenant_pb2.Tenant(
                name=request.tenant,
                description=request.description,
                quotas=request.quotas,
                state=tenant_pb2.TENANT_STATE_ACTIVE,
                etag="r1",
            )
            tenant.create_time.seconds = EPOCH_SECONDS
            self.access.tenants[tenant.name] = tenant
            return pb.CreateTenantResponse(tenant=tenant, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def _known(self, name: str, context: grpc.ServicerContext) -> tenant_pb2.Tenant:
        found = self.access.tenants.get(_tenant(name))
        if found is None:
            refuse(context, grpc.StatusCode.NOT_FOUND, "TENANT_NOT_FOUND", tenant=name)
        return found

    def GetTenant(self, request: pb.GetTenantRequest, context: grpc.ServicerContext) -> pb.GetTenantResponse:
        def make() -> pb.GetTenantResponse:
            tenant = tenant_pb2.Tenant()
            tenant.CopyFrom(self._known(request.tenant, context))
            tenant.usage.CopyFrom(tenant_pb2.TenantUsage(models=3, versions=7, bytes=5 << 30))
            return pb.GetTenantResponse(tenant=tenant)

        return self.answer(request, context, make)

    def ListTenants(self, request: pb.ListTenantsRequest, context: grpc.ServicerContext) -> pb.ListTenantsResponse:
        def make() -> pb.ListTenantsResponse:
            deleted = tenant_pb2.TENANT_STATE_DELETED
            tenants = self.access.tenants.values()
            found = [tenant for tenant in tenants if request.show_deleted or tenant.state != deleted]
            page, token = _page(found, request.page_token)
            return pb.ListTenantsResponse(tenants=page, next_page_token=token)

        return self.answer(request, context, make)

    def UpdateTenant(self, request: pb.UpdateTenantRequest, context: grpc.ServicerContext) -> pb.UpdateTenantResponse:
        def make() -> pb.UpdateTenantResponse:
            tenant = self._known(request.tenant, context)
            if request.etag not in {"", tenant.etag}:
                refuse(context, grpc.StatusCode.ABORTED, "ETAG_MISMATCH", etag=tenant.etag)
            if "description" in request.update_mask.paths:
                tenant.description = request.description
            if "quotas" in request.update_mask.paths:
                tenant.quotas.CopyFrom(request.quotas)
            return pb.UpdateTenantResponse(tenant=tenant, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def SuspendTenant(
        self, request: pb.SuspendTenantRequest, context: grpc.ServicerContext
    ) -> pb.SuspendTenantResponse:
        def make() -> pb.SuspendTenantResponse:
            tenant = self._known(request.tenant, context)
            tenant.state = tenant_pb2.TENANT_STATE_SUSPENDED
            return pb.SuspendTenantResponse(tenant=tenant, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def ResumeTenant(self, request: pb.ResumeTenantRequest, context: grpc.ServicerContext) -> pb.ResumeTenantResponse:
        def make() -> pb.ResumeTenantResponse:
            tenant = self._known(request.tenant, context)
            tenant.state = tenant_pb2.TENANT_STATE_ACTIVE
            return pb.ResumeTenantResponse(tenant=tenant, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def DeleteTenant(self, request: pb.DeleteTenantRequest, context: grpc.ServicerContext) -> pb.DeleteTenantResponse:
        def make() -> pb.DeleteTenantResponse:
            tenant = self._known(request.tenant, context)
            tenant.state = tenant_pb2.TENANT_STATE_DELETED
            tenant.delete_time.seconds = EPOCH_SECONDS
            tenant.purge_time.seconds = EPOCH_SECONDS + 86_400
            return pb.DeleteTenantResponse(tenant=tenant, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def UndeleteTenant(
        self, request: pb.UndeleteTenantRequest, context: grpc.ServicerContext
    ) -> pb.UndeleteTenantResponse:
        def make() -> pb.UndeleteTenantResponse:
            tenant = self._known(request.tenant, context)
            tenant.state = tenant_pb2.TENANT_STATE_ACTIVE
            tenant.ClearField("delete_time")
            tenant.ClearField("purge_time")
            return pb.UndeleteTenantResponse(tenant=tenant, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)


def _tenant(name: str) -> str:
    return name or "default"


def _page(items: Sequence[Item], token: str) -> tuple[Sequence[Item], str]:
    """Pages are small, so that there are several."""
    begin = int(token or 0)
    return items[begin : begin + 2], str(begin + 2) if len(items) > begin + 2 else ""
