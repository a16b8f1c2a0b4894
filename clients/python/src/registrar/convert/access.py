"""Roles, bindings, tokens, tenants and callers, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from registrar.access_types import (
    ApiToken,
    CallerDetails,
    Grant,
    HeldRole,
    LoginOptions,
    Quotas,
    Right,
    Role,
    RoleBinding,
    Tenant,
    TenantState,
    TenantUsage,
)
from registrar.convert.values import stage_from_proto, stage_to_proto, time_from_proto
from registrar.errors import InvalidArgument
from registrar.v1 import access_pb2, admin_service_pb2, tenant_pb2, token_pb2

_RIGHT_TO_PROTO = {right: access_pb2.Right.Value(f"RIGHT_{right.name}") for right in Right}
_RIGHT_FROM_PROTO = {number: right for right, number in _RIGHT_TO_PROTO.items()}
_STATES = {
    tenant_pb2.TENANT_STATE_SUSPENDED: TenantState.SUSPENDED,
    tenant_pb2.TENANT_STATE_DELETED: TenantState.DELETED,
}


def grants_to_proto(grants: Iterable[Grant]) -> list[access_pb2.Grant]:
    """What a role allows."""
    return [
        access_pb2.Grant(
            right=_RIGHT_TO_PROTO[grant.right],
            stages=map(stage_to_proto, grant.stages),
            alias_patterns=grant.alias_patterns,
            approver_roles=grant.approver_roles,
        )
        for grant in grants
    ]


def grants_from_proto(messages: Iterable[access_pb2.Grant]) -> tuple[Grant, ...]:
    """What a role allows; rights that this client does not know are left out."""
    return tuple(
        Grant(
            right=_RIGHT_FROM_PROTO[message.right],
            stages=tuple(map(stage_from_proto, message.stages)),
            alias_patterns=tuple(message.alias_patterns),
            approver_roles=tuple(message.approver_roles),
        )
        for message in messages
        if message.right in _RIGHT_FROM_PROTO
    )


def role_from_proto(message: access_pb2.Role) -> Role:
    """A role."""
    return Role(
        tenant=message.tenant,
        name=message.name,
        description=message.description,
        grants=grants_from_proto(message.grants),
        is_built_in=message.is_built_in,
        etag=message.etag,
        create_time=_time(message, "create_time", message.create_time),
        update_time=_time(message, "update_time", message.update_time),
    )


def binding_from_proto(message: access_pb2.RoleBinding) -> RoleBinding:
    """Who has a role."""
    return RoleBinding(
        id=message.id,
        tenant=message.tenant,
        role=message.role,
        member=message.member,
        model_pattern=message.model_pattern,
        expire_time=_time(message, "expire_time", message.expire_time),
        comment=message.comment,
        created_by=message.created_by,
        create_time=time_from_proto(message.create_time),
    )


def token_from_proto(message: token_pb2.ApiToken, secret: str = "") -> ApiToken:
    """A token, with its secret where that was told."""
    return ApiToken(
        id=message.id,
        tenant=message.tenant,
        name=message.name,
        role=message.role,
        model_pattern=message.model_pattern,
        description=message.description,
        expire_time=time_from_proto(message.expire_time),
        revoke_time=_time(message, "revoke_time", message.revoke_time),
        created_by=message.created_by,
        create_time=time_from_proto(message.create_time),
        last_use_time=_time(message, "last_use_time", message.last_use_time),
        secret=secret,
    )


def caller_from_proto(message: admin_service_pb2.GetCallerResponse) -> CallerDetails:
    """Who the caller is taken for."""
    roles = tuple(
        HeldRole(
            tenant=held.tenant,
            role=held.role,
            model_pattern=held.model_pattern,
            grants=grants_from_proto(held.grants),
            expire_time=_time(held, "expire_time", held.expire_time),
        )
        for held in message.roles
    )
    return CallerDetails(
        actor=message.actor,
        method=message.method,
        tenant=message.tenant,
        groups=tuple(message.groups),
        roles=roles,
        expire_time=_time(message, "expire_time", message.expire_time),
    )


def login_options_from_proto(message: admin_service_pb2.GetLoginOptionsResponse) -> LoginOptions:
    """How people can log in."""
    return LoginOptions(
        is_authentication_required=message.is_authentication_required,
        oidc_issuer=message.oidc_issuer,
        oidc_client_id=message.oidc_client_id,
        oidc_scopes=tuple(message.oidc_scopes),
        oidc_audience=message.oidc_audience,
    )


def quotas_to_proto(quotas: Quotas) -> tenant_pb2.Quotas:
    """What a tenant may hold."""
    return tenant_pb2.Quotas(
        models=quotas.models,
        versions=quotas.versions,
        bytes=quotas.bytes,
        concurrent_transfers=quotas.concurrent_transfers,
    )


def tenant_from_proto(message: tenant_pb2.Tenant) -> Tenant:
    """A tenant; a state that this client does not know counts as active."""
    quotas, usage = message.quotas, message.usage
    return Tenant(
        name=message.name,
        description=message.description,
        state=_STATES.get(message.state, TenantState.ACTIVE),
        quotas=Quotas(
            models=quotas.models if quotas.HasField("models") else None,
            versions=quotas.versions if quotas.HasField("versions") else None,
            bytes=quotas.bytes if quotas.HasField("bytes") else None,
            concurrent_transfers=quotas.concurrent_transfers if quotas.HasField("concurrent_transfers") else None,
        ),
        usage=TenantUsage(usage.models, usage.versions, usage.bytes, usage.concurrent_transfers)
        if message.HasField("usage")
        else None,
        etag=message.etag,
        create_time=time_from_proto(message.create_time),
        delete_time=_time(message, "delete_time", message.delete_time),
        purge_time=_time(message, "purge_time", message.purge_time),
    )


def time_to_proto(time: datetime) -> Timestamp:
    """The moment of an aware time. Errors: InvalidArgument for one that does not say its zone."""
    if time.tzinfo is None:
        raise InvalidArgument(f"{time.isoformat()} does not say its time zone", reason="INVALID_FIELD")
    message = Timestamp()
    message.FromDatetime(time)
    return message


def duration_to_proto(seconds: float) -> Duration:
    """A span of time."""
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message


def _time(message: Message, field: str, value: Timestamp) -> datetime | None:
    return time_from_proto(value) if message.HasField(field) else None
