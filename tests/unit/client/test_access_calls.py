"""Roles, bindings, tokens, tenants and callers through the client, waiting and awaited."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.rpc import error_details_pb2

import registrar
from registrar import aio
from registrar.access_types import EVERYWHERE, Grant, Quotas, Right, TenantState, TenantUsage
from registrar.errors import QuotaViolation
from registrar.v1 import access_pb2
from registrar.v1 import admin_service_pb2 as pb
from registrar.values import Stage
from tests.unit.client.fake_access import Access
from tests.unit.client.fake_state import EPOCH_SECONDS, Failure, State

EPOCH = datetime.fromtimestamp(EPOCH_SECONDS, UTC)
GRANTS = [
    Grant(Right.READ),
    Grant(Right.PROMOTE, stages=[Stage.STAGING, Stage.NONE]),
    Grant(Right.MOVE_ALIAS, alias_patterns=["champion", "canary-*"]),
    Grant(Right.APPROVE, approver_roles=["risk"]),
]


def test_every_right_of_the_contract_is_known() -> None:
    assert {f"RIGHT_{right.name}" for right in Right} == set(access_pb2.Right.keys()) - {"RIGHT_UNSPECIFIED"}


def test_a_role_comes_back_as_it_was_made(registry: registrar.Registry) -> None:
    made = registry.create_role("releaser", GRANTS, description="Releases", tenant=EVERYWHERE)
    assert (made.tenant, made.name, made.description, made.is_built_in) == ("*", "releaser", "Releases", False)
    assert [str(grant) for grant in made.grants] == [
        "read",
        "promote:staging,none",
        "move_alias:champion,canary-*",
        "approve:risk",
    ]
    assert (made.create_time, made.update_time) == (EPOCH, EPOCH)
    assert registry.get_role("releaser", tenant="*") == made


def test_only_what_is_said_of_a_role_changes(registry: registrar.Registry) -> None:
    registry.create_role("releaser", GRANTS, description="Releases")
    assert registry.update_role("releaser", description="").grants == registry.get_role("releaser").grants
    changed = registry.update_role("releaser", grants=[Grant(Right.DEPLOY)])
    assert (changed.description, [grant.right for grant in changed.grants]) == ("", [Right.DEPLOY])


def test_lists_are_fetched_page_by_page(registry: registrar.Registry) -> None:
    for number in range(5):
        registry.create_role(f"role-{number}", GRANTS)
        registry.bind_role(f"role-{number}", f"user:{number}")
        registry.create_token(f"service-{number}", role="reader")
        registry.create_tenant(f"tenant-{number}")
    assert len(list(registry.roles())) == 5
    assert len(list(registry.role_bindings())) == 5
    assert len(list(registry.tokens())) == 5
    assert len(list(registry.tenants())) == 5


def test_a_role_is_gone_after_its_deletion(registry: registrar.Registry) -> None:
    registry.create_role("releaser", GRANTS)
    registry.delete_role("releaser")
    with pytest.raises(registrar.NotFound) as caught:
        registry.get_role("releaser")
    assert (caught.value.reason, caught.value.metadata["role"]) == ("ROLE_NOT_FOUND", "releaser")


def test_a_role_is_given_for_a_while_and_taken(registry: registrar.Registry) -> None:
    end = EPOCH + timedelta(hours=8)
    bound = registry.bind_role("reader", "group:Risk & Co", models="churn-*", expire_time=end, comment="audit")
    assert (bound.member, bound.model_pattern, bound.expire_time, bound.comment) == (
        "group:Risk & Co",
        "churn-*",
        end,
        "audit",
    )
    assert registry.bind_role("reader", "user:bob").expire_time is None
    assert [found.id for found in registry.role_bindings(member="group:Risk & Co")] == [bound.id]
    registry.unbind_role(bound.id)
    assert [found.member for found in registry.role_bindings()] == ["user:bob"]


def test_a_time_without_its_zone_is_refused(registry: registrar.Registry) -> None:
    with pytest.raises(registrar.InvalidArgument):
        registry.bind_role("reader", "user:bob", expire_time=datetime(2030, 1, 1))  # noqa: DTZ001


def test_a_secret_is_told_once_and_not_shown(registry: registrar.Registry, state: State) -> None:
    made = registry.create_token("ci", role="contributor", ttl_seconds=3600, request_id="once")
    assert made.secret.startswith("rgt_")
    assert made.secret not in repr(made)
    assert made.expire_time == EPOCH + timedelta(hours=1)
    assert [found.secret for found in registry.tokens()] == [""]
    registry.create_token("ci", role="contributor")
    first, second = state.seen(pb.CreateTokenRequest)
    assert (first.ttl.seconds, second.HasField("ttl")) == (3600, False)


def test_a_token_that_was_revoked_is_listed_when_asked_for(registry: registrar.Registry) -> None:
    made = registry.create_token("ci", role="reader")
    assert registry.revoke_token(made.id).revoke_time == EPOCH
    assert (list(registry.tokens()), len(list(registry.tokens(show_ended=True)))) == ([], 1)


def test_sessions_are_revoked_up_to_a_moment(registry: registrar.Registry) -> None:
    assert registry.revoke_sessions("user:bob") == EPOCH


def test_a_tenants_quotas_tell_none_from_zero(registry: registrar.Registry, state: State) -> None:
    made = registry.create_tenant("acme", description="Acme", quotas=Quotas(models=0, bytes=1 << 40))
    assert made.quotas == Quotas(models=0, bytes=1 << 40)
    assert (made.state, made.usage) == (TenantState.ACTIVE, None)
    registry.update_tenant("acme", quotas=Quotas())
    assert registry.get_tenant("acme").quotas == Quotas()
    assert registry.get_tenant("acme").usage == TenantUsage(3, 7, 5 << 30, 0)
    assert list(state.seen(pb.UpdateTenantRequest)[0].update_mask.paths) == ["quotas"]


def test_a_tenant_is_suspended_deleted_and_brought_back(registry: registrar.Registry) -> None:
    registry.create_tenant("acme")
    assert registry.suspend_tenant("acme", comment="unpaid").state is TenantState.SUSPENDED
    assert registry.resume_tenant("acme").state is TenantState.ACTIVE
    deleted = registry.delete_tenant("acme")
    assert (deleted.state, deleted.purge_time) == (TenantState.DELETED, EPOCH + timedelta(days=1))
    assert (list(registry.tenants()), len(list(registry.tenants(show_deleted=True)))) == ([], 1)
    assert registry.undelete_tenant("acme").delete_time is None


def test_the_connections_tenant_is_meant_where_none_is_named(target: str, state: State) -> None:
    with registrar.connect(target, tenant="acme") as registry:
        registry.create_role("releaser", GRANTS)
        registry.create_token("ci", role="reader", tenant="*")
    assert state.seen(pb.CreateRoleRequest)[0].tenant == "acme"
    assert state.seen(pb.CreateTokenRequest)[0].tenant == "*"


def test_a_change_is_repeated_with_its_id(registry: registrar.Registry, state: State, access: Access) -> None:
    state.fail_next("CreateToken", Failure(grpc.StatusCode.UNAVAILABLE, is_late=True))
    registry.create_token("ci", role="reader")
    first, second = state.seen(pb.CreateTokenRequest)
    assert first == second
    assert len(access.tokens) == 1


def test_a_caller_is_told_what_it_may_do(registry: registrar.Registry, access: Access) -> None:
    held = pb.HeldRole(tenant="acme", role="reader", model_pattern="churn-*")
    held.grants.add(right=access_pb2.RIGHT_READ)
    held.grants.add(right=99)
    access.caller = pb.GetCallerResponse(
        actor="user:alice", method="oidc", tenant="acme", groups=["risk"], roles=[held]
    )
    caller = registry.caller()
    assert (caller.actor, caller.method, caller.tenant, caller.groups) == ("user:alice", "oidc", "acme", ("risk",))
    assert (caller.expire_time, caller.roles[0].expire_time) == (None, None)
    assert (caller.roles[0].tenant, caller.roles[0].model_pattern) == ("acme", "churn-*")
    assert caller.roles[0].grants == (Grant(Right.READ),)


def test_how_to_log_in_is_told_to_everybody(target: str, access: Access) -> None:
    access.accepted = set()
    access.login = pb.GetLoginOptionsResponse(
        is_authentication_required=True, oidc_issuer="https://id.example", oidc_scopes=["openid"]
    )
    with registrar.connect(target, token="") as registry:
        options = registry.login_options()
    assert (options.is_authentication_required, options.oidc_issuer) == (True, "https://id.example")
    assert (options.oidc_client_id, options.oidc_scopes) == ("", ("openid",))


def test_a_used_up_quota_names_itself(registry: registrar.Registry, state: State) -> None:
    exceeded = error_details_pb2.QuotaFailure()
    exceeded.violations.add(subject="tenant:acme", description="at most 3 models")
    state.fail_next("CreateModel", Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", (exceeded,)))
    with pytest.raises(registrar.ResourceExhausted) as caught:
        registry.create_model("churn")
    assert caught.value.quotas == (QuotaViolation("tenant:acme", "at most 3 models"),)


def test_an_event_loop_has_the_same(target: str) -> None:
    async def calls() -> list[str]:
        async with aio.connect(target) as registry:
            await registry.create_role("releaser", GRANTS)
            await registry.bind_role("releaser", "user:bob")
            made = await registry.create_token("ci", role="releaser")
            await registry.create_tenant("acme")
            assert (await registry.caller()).actor == "local"
            return [
                *[role.name async for role in registry.roles()],
                *[bound.member async for bound in registry.role_bindings()],
                *[token.id async for token in registry.tokens() if token.id == made.id],
                *[tenant.name async for tenant in registry.tenants()],
            ]

    assert asyncio.run(calls()) == ["releaser", "user:bob", f"{1:032x}", "acme"]
