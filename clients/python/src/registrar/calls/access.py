"""Who may do what: callers, roles, their bindings, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from registrar.access_types import ApiToken, CallerDetails, Grant, LoginOptions, Role, RoleBinding
from registrar.calls.call import Call, Listing, change, new_request_id
from registrar.context import CallContext
from registrar.convert.access import (
    binding_from_proto,
    caller_from_proto,
    duration_to_proto,
    grants_to_proto,
    login_options_from_proto,
    role_from_proto,
    time_to_proto,
    token_from_proto,
)
from registrar.convert.values import time_from_proto
from registrar.v1 import admin_service_pb2 as pb


def caller(context: CallContext) -> Call[CallerDetails]:
    """Who the server takes the caller for, and what it may do where. Errors: Unauthenticated."""
    return Call(context.admin.GetCaller, pb.GetCallerRequest(), caller_from_proto)


def login_options(context: CallContext) -> Call[LoginOptions]:
    """How people can log in. Needs no credentials."""
    return Call(context.admin.GetLoginOptions, pb.GetLoginOptionsRequest(), login_options_from_proto)


def create_role(
    context: CallContext,
    name: str,
    grants: Sequence[Grant],
    *,
    description: str = "",
    tenant: str = "",
    request_id: str | None = None,
) -> Call[Role]:
    """Make a role, of a tenant or EVERYWHERE. Errors: AlreadyExists, InvalidArgument, PermissionDenied."""
    request = pb.CreateRoleRequest(
        request_id=request_id or new_request_id(),
        tenant=tenant or context.tenant,
        name=name,
        description=description,
        grants=grants_to_proto(grants),
    )
    return change(context, context.admin.CreateRole, request, lambda response: role_from_proto(response.role))


def get_role(context: CallContext, name: str, *, tenant: str = "") -> Call[Role]:
    """Read one role. Errors: NotFound, PermissionDenied."""
    request = pb.GetRoleRequest(tenant=tenant or context.tenant, name=name)
    return Call(context.admin.GetRole, request, lambda response: role_from_proto(response.role))


def roles(context: CallContext, *, tenant: str = "", page_size: int = 0) -> Listing[Role]:
    """The roles that can be bound in a tenant: its own, those of all tenants, those built in."""
    request = pb.ListRolesRequest(tenant=tenant or context.tenant, page_size=page_size)
    return Listing(context.admin.ListRoles, request, lambda page: map(role_from_proto, page.roles))


def update_role(
    context: CallContext,
    name: str,
    *,
    description: str | None = None,
    grants: Sequence[Grant] | None = None,
    tenant: str = "",
    etag: str = "",
    request_id: str | None = None,
) -> Call[Role]:
    """Change what is not None, for everybody who has the role.

    Errors: NotFound, Aborted when the etag is old, FailedPrecondition when it is built in.
    """
    request = pb.UpdateRoleRequest(
        request_id=request_id or new_request_id(),
        tenant=tenant or context.tenant,
        name=name,
        etag=etag,
        description=description or "",
        grants=grants_to_proto(grants or ()),
    )
    given = {"description": description, "grants": grants}
    request.update_mask.paths.extend(path for path, value in given.items() if value is not None)
    return change(context, context.admin.UpdateRole, request, lambda response: role_from_proto(response.role))


def delete_role(
    context: CallContext, name: str, *, tenant: str = "", etag: str = "", request_id: str | None = None
) -> Call[None]:
    """Remove a role that nobody has.

    Errors: NotFound, Aborted when the etag is old, FailedPrecondition when it is built in or somebody has it.
    """
    request = pb.DeleteRoleRequest(
        request_id=request_id or new_request_id(), tenant=tenant or context.tenant, name=name, etag=etag
    )
    return change(context, context.admin.DeleteRole, request, lambda _: None)


def bind_role(
    context: CallContext,
    role: str,
    member: str,
    *,
    models: str = "*",
    expire_time: datetime | None = None,
    comment: str = "",
    tenant: str = "",
    request_id: str | None = None,
) -> Call[RoleBinding]:
    """Give `user:NAME`, `group:NAME` or `certificate:NAME` a role in a tenant, or EVERYWHERE; twice is once.

    `models` is a name, or the beginning of one with `*` behind. Errors: NotFound, InvalidArgument, PermissionDenied.
    """
    request = pb.CreateRoleBindingRequest(
        request_id=request_id or new_request_id(),
        tenant=tenant or context.tenant,
        role=role,
        member=member,
        model_pattern=models,
        comment=comment,
        expire_time=None if expire_time is None else time_to_proto(expire_time),
    )
    return change(
        context, context.admin.CreateRoleBinding, request, lambda response: binding_from_proto(response.binding)
    )


def role_bindings(
    context: CallContext, *, member: str = "", role: str = "", tenant: str = "", page_size: int = 0
) -> Listing[RoleBinding]:
    """Who has which role in a tenant, the oldest first. EVERYWHERE: the bindings that hold in all tenants."""
    request = pb.ListRoleBindingsRequest(tenant=tenant or context.tenant, member=member, role=role, page_size=page_size)
    return Listing(context.admin.ListRoleBindings, request, lambda page: map(binding_from_proto, page.bindings))


def unbind_role(
    context: CallContext,
    binding_id: str,
    *,
    comment: str = "",
    tenant: str = "",
    request_id: str | None = None,
) -> Call[None]:
    """Take a role from a member, by the id of the binding. Errors: NotFound, PermissionDenied."""
    request = pb.DeleteRoleBindingRequest(
        request_id=request_id or new_request_id(), tenant=tenant or context.tenant, id=binding_id, comment=comment
    )
    return change(context, context.admin.DeleteRoleBinding, request, lambda _: None)


def create_token(
    context: CallContext,
    name: str,
    *,
    role: str,
    models: str = "*",
    description: str = "",
    ttl_seconds: float | None = None,
    tenant: str = "",
    request_id: str | None = None,
) -> Call[ApiToken]:
    """Make a credential for the service `name`, with its `secret`: told this once, and kept nowhere.

    `ttl_seconds`: from a minute to 366 days; None: 90 days. A call that is repeated with its request id answers without
    the secret. Errors: NotFound (role), InvalidArgument, PermissionDenied.
    """
    request = pb.CreateTokenRequest(
        request_id=request_id or new_request_id(),
        tenant=tenant or context.tenant,
        name=name,
        role=role,
        model_pattern=models,
        description=description,
        ttl=None if ttl_seconds is None else duration_to_proto(ttl_seconds),
    )
    return change(
        context,
        context.admin.CreateToken,
        request,
        lambda response: token_from_proto(response.token, response.secret),
    )


def tokens(
    context: CallContext, *, show_ended: bool = False, tenant: str = "", page_size: int = 0
) -> Listing[ApiToken]:
    """The tokens of a tenant without their secrets, the oldest first."""
    request = pb.ListTokensRequest(tenant=tenant or context.tenant, show_ended=show_ended, page_size=page_size)
    return Listing(context.admin.ListTokens, request, lambda page: map(token_from_proto, page.tokens))


def revoke_token(
    context: CallContext, token_id: str, *, comment: str = "", tenant: str = "", request_id: str | None = None
) -> Call[ApiToken]:
    """End a token for good, within a second. Errors: NotFound, PermissionDenied."""
    request = pb.RevokeTokenRequest(
        request_id=request_id or new_request_id(), tenant=tenant or context.tenant, id=token_id, comment=comment
    )
    return change(context, context.admin.RevokeToken, request, lambda response: token_from_proto(response.token))


def revoke_sessions(
    context: CallContext, member: str, *, comment: str = "", request_id: str | None = None
) -> Call[datetime]:
    """Refuse every OIDC token that was issued to `user:NAME` up to now; answers the moment.

    Who may still log in gets a new one. Errors: InvalidArgument, PermissionDenied.
    """
    request = pb.RevokeSessionsRequest(request_id=request_id or new_request_id(), member=member, comment=comment)
    return change(context, context.admin.RevokeSessions, request, lambda response: time_from_proto(response.not_before))
