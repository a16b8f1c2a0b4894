"""Roles, bindings, tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.protobuf.duration_pb2 import Duration

from registrar.v1 import access_pb2 as pb
from registrar.v1 import token_pb2
from registrar.v1.admin_service_pb2 import HeldRole as HeldRoleMessage
from registrar_server.application.ports.database import ApiToken, RoleBinding
from registrar_server.domain import limits
from registrar_server.domain.access import Caller, Grant, HeldRole, NamePattern, Right, Role
from registrar_server.domain.validation import Checker
from registrar_server.transport.convert.references import stage_from_proto, stage_to_proto
from registrar_server.transport.convert.values import time_to_proto

_RIGHTS = {
    Right.READ: pb.RIGHT_READ,
    Right.REGISTER: pb.RIGHT_REGISTER,
    Right.PROMOTE: pb.RIGHT_PROMOTE,
    Right.MOVE_ALIAS: pb.RIGHT_MOVE_ALIAS,
    Right.APPROVE: pb.RIGHT_APPROVE,
    Right.DEPLOY: pb.RIGHT_DEPLOY,
    Right.DELETE: pb.RIGHT_DELETE,
    Right.BREAK_GLASS: pb.RIGHT_BREAK_GLASS,
    Right.ADMINISTER: pb.RIGHT_ADMINISTER,
    Right.AUDIT: pb.RIGHT_AUDIT,
}
RIGHTS: Mapping[int, Right] = {message: right for right, message in _RIGHTS.items()}
"""By the value that stands on the wire."""


def scope_from_proto(check: Checker, field: str, tenant: str, caller: Caller) -> str:
    """The tenant named, `*` for all, or the caller's."""
    return check.tenant_or_all(field, tenant) if tenant else caller.tenant


def grants_from_proto(check: Checker, field: str, messages: Sequence[pb.Grant]) -> tuple[Grant, ...]:
    """What a role allows."""
    grants = [_grant_from_proto(check, f"{field}[{index}]", message) for index, message in enumerate(messages)]
    return check.grants(field, grants)


def role_to_proto(role: Role) -> pb.Role:
    """A role."""
    return pb.Role(
        tenant=role.tenant,
        name=role.name,
        description=role.description,
        grants=map(_grant_to_proto, role.grants),
        is_built_in=role.is_built_in,
        etag=role.etag,
        create_time=time_to_proto(role.create_time),
        update_time=time_to_proto(role.update_time),
    )


def held_role_to_proto(held: HeldRole) -> HeldRoleMessage:
    """A role that a caller has."""
    return HeldRoleMessage(
        tenant=held.tenant,
        role=held.role,
        model_pattern=held.models.text,
        grants=map(_grant_to_proto, held.grants),
        expire_time=time_to_proto(held.expire_time),
    )


def binding_to_proto(binding: RoleBinding) -> pb.RoleBinding:
    """A binding."""
    return pb.RoleBinding(
        id=binding.id,
        tenant=binding.tenant,
        role=binding.role,
        member=binding.member,
        model_pattern=binding.models.text,
        expire_time=time_to_proto(binding.expire_time),
        comment=binding.comment,
        created_by=binding.created_by,
        create_time=time_to_proto(binding.create_time),
    )


def token_to_proto(token: ApiToken) -> token_pb2.ApiToken:
    """A token, which knows no secret."""
    return token_pb2.ApiToken(
        id=token.id,
        tenant=token.tenant,
        name=token.name,
        role=token.role,
        model_pattern=token.models.text,
        description=token.description,
        expire_time=time_to_proto(token.expire_time),
        revoke_time=time_to_proto(token.revoke_time),
        created_by=token.created_by,
        create_time=time_to_proto(token.create_time),
        last_use_time=time_to_proto(token.last_use_time),
    )


def token_ttl_from_proto(check: Checker, field: str, ttl: Duration, *, is_given: bool) -> float:
    """How long a token holds, in seconds."""
    if not is_given:
        return limits.TOKEN_SECONDS
    # Not `ToTimedelta`, which raises for what nobody could wait for.
    return check.token_seconds(field, ttl.seconds + ttl.nanos / 1e9)


def _grant_to_proto(grant: Grant) -> pb.Grant:
    return pb.Grant(
        right=_RIGHTS[grant.right],
        stages=map(stage_to_proto, grant.stages),
        alias_patterns=[pattern.text for pattern in grant.alias_patterns],
        approver_roles=grant.approver_roles,
    )


def _grant_from_proto(check: Checker, field: str, message: pb.Grant) -> Grant:
    right = RIGHTS.get(message.right)
    if right is None:
        check.fail(f"{field}.right", "must be a right")
    return Grant(
        right=right or Right.READ,
        stages=tuple(
            stage_from_proto(check, f"{field}.stages[{index}]", stage) for index, stage in enumerate(message.stages)
        ),
        alias_patterns=tuple(map(NamePattern, message.alias_patterns)),
        approver_roles=tuple(message.approver_roles),
    )
