"""People by OIDC against a running server: groups give roles, keys rotate, the provider is down, sessions are revoked."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from registrar.v1 import admin_service_pb2 as pb
from registrar.v1 import lifecycle_service_pb2 as lifecycle_pb
from registrar.v1 import policy_pb2
from registrar.v1.approval_pb2 import DECISION_APPROVE
from registrar.v1.model_version_pb2 import APPROVAL_STATUS_APPROVED
from registrar.v1.reference_pb2 import STAGE_STAGING, ModelRef
from tests.end_to_end.api import CALL_SECONDS, CODE, Api, by_number, refusal_of, refused
from tests.fixtures.guarded import GuardedServer, guarded_server
from tests.fixtures.oidc import DEVICE_CLIENT, OidcProvider
from tests.fixtures.stores import wait_until

LONG_SECONDS = 20.0


@pytest.fixture(scope="module")
def company(oidc_provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """A server that knows people by the provider; the group `scientists` registers in acme, `staff` reads everywhere."""
    settings = {
        "REGISTRAR_OIDC_ISSUER": oidc_provider.issuer,
        "REGISTRAR_OIDC_CLIENT_ID": DEVICE_CLIENT,
        "REGISTRAR_OIDC_TENANT_CLAIM": "tenant",
        "REGISTRAR_WORKERS": "2",
    }
    with guarded_server(tmp_path_factory.mktemp("company"), **settings) as server:
        with server.channel(server.admin_secret) as channel:
            for tenant, role, member in (
                ("acme", "contributor", "group:scientists"),
                ("*", "reader", "group:staff"),
                ("globex", "reader", "user:erin"),
            ):
                binding = pb.CreateRoleBindingRequest(tenant=tenant, role=role, member=member)
                Api(channel).admin.CreateRoleBinding(binding, timeout=CALL_SECONDS)
        yield server


def caller(server: GuardedServer, token: str) -> pb.GetCallerResponse:
    with server.channel(token) as channel:
        return Api(channel).admin.GetCaller(pb.GetCallerRequest(), timeout=CALL_SECONDS)


def reason(server: GuardedServer, token: str) -> str:
    """OK, or why the token was refused."""
    try:
        caller(server, token)
    except grpc.RpcError as exc:
        return refusal_of(exc).reason
    return "OK"


def test_groups_give_roles(company: GuardedServer, oidc_provider: OidcProvider) -> None:
    found = caller(company, oidc_provider.token("carol", ["scientists", "staff"]))
    assert (found.actor, found.method, found.tenant) == ("user:carol", "oidc", "default")
    assert list(found.groups) == ["scientists", "staff"]
    assert {(role.tenant, role.role) for role in found.roles} == {("acme", "contributor"), ("*", "reader")}
    assert found.expire_time.seconds > time.time()


def test_what_a_person_changes_is_written_down_under_its_name(
    company: GuardedServer, oidc_provider: OidcProvider
) -> None:
    name = f"model-{secrets.token_hex(4)}"
    with company.channel(oidc_provider.token("carol", ["scientists"])) as channel:
        version = Api(channel).register(name)
    assert version.created_by == "user:carol"
    assert version.tenant == "acme"
    with company.channel(oidc_provider.token("dan", ["staff"])) as channel:
        assert Api(channel).get(by_number(name, 1, "acme")).uid == version.uid
        refused(lambda: Api(channel).register(name, "acme"), CODE.PERMISSION_DENIED, "PERMISSION_DENIED")
    with company.channel(oidc_provider.token("erin", [])) as channel:
        refused(lambda: Api(channel).get(by_number(name, 1, "acme")), CODE.NOT_FOUND, "TENANT_NOT_FOUND")


def test_a_group_that_calls_itself_a_user_is_a_group(company: GuardedServer, oidc_provider: OidcProvider) -> None:
    found = caller(company, oidc_provider.token("mallory", ["user:erin", "group:staff", "erin"]))
    assert not found.roles


def test_the_tenant_that_a_token_names_is_the_one_that_it_speaks_for(
    company: GuardedServer, oidc_provider: OidcProvider
) -> None:
    found = caller(company, oidc_provider.token("dan", ["staff"], claims={"tenant": "globex"}))
    assert found.tenant == "globex"


def test_a_token_ends(company: GuardedServer, oidc_provider: OidcProvider) -> None:
    assert reason(company, oidc_provider.token("carol", ttl_seconds=-3600)) == "CREDENTIALS_EXPIRED"
    # The clock's skew is 30 s: this one ends two seconds from now, when it was remembered already.
    ending = oidc_provider.token("carol", ttl_seconds=-28)
    assert reason(company, ending) == "OK"
    wait_until(lambda: reason(company, ending) == "CREDENTIALS_EXPIRED", LONG_SECONDS)


def test_sessions_end_when_they_are_revoked_and_a_new_one_does_not(
    company: GuardedServer, oidc_provider: OidcProvider
) -> None:
    old = oidc_provider.token("frank", ["staff"])
    other = oidc_provider.token("grace", ["staff"])
    assert reason(company, old) == reason(company, other) == "OK"
    with company.channel(company.admin_secret) as channel:
        request = pb.RevokeSessionsRequest(member="user:frank", comment="laptop lost")
        Api(channel).admin.RevokeSessions(request, timeout=CALL_SECONDS)
    wait_until(lambda: reason(company, old) == "CREDENTIALS_INVALID", LONG_SECONDS)
    assert reason(company, other) == "OK"
    wait_until(lambda: reason(company, oidc_provider.token("frank", ["staff"])) == "OK", LONG_SECONDS)


def test_keys_rotate_under_way_and_old_tokens_end_with_their_key(
    company: GuardedServer, oidc_provider: OidcProvider
) -> None:
    old = oidc_provider.token("heidi", ["staff"])
    assert reason(company, old) == "OK"
    oidc_provider.rotate_keys()
    new = oidc_provider.token("heidi", ["staff"])
    # Who brings an unknown key has them fetched anew; every worker finds out that the old one is gone.
    wait_until(lambda: [reason(company, new) for _ in range(8)] == ["OK"] * 8, 3 * LONG_SECONDS)
    wait_until(lambda: [reason(company, old) for _ in range(8)] == ["CREDENTIALS_INVALID"] * 8, 3 * LONG_SECONDS)


def test_who_is_known_goes_on_while_the_provider_is_down(company: GuardedServer, oidc_provider: OidcProvider) -> None:
    known, unknown = oidc_provider.token("ivan", ["staff"]), oidc_provider.token("judy", ["staff"])
    wait_until(lambda: reason(company, known) == "OK", LONG_SECONDS)
    oidc_provider.stop()
    try:
        assert reason(company, known) == "OK"
        assert reason(company, unknown) == "OK", "its key is known"
    finally:
        oidc_provider.start()


def test_a_server_starts_while_the_provider_is_down_and_takes_its_tokens_later(
    oidc_provider: OidcProvider, tmp_path: Path
) -> None:
    token = oidc_provider.token("kim", [])
    oidc_provider.stop()
    try:
        with guarded_server(tmp_path / "data", REGISTRAR_OIDC_ISSUER=oidc_provider.issuer) as server:
            assert reason(server, token) == "IDENTITY_PROVIDER_UNAVAILABLE"
            assert reason(server, server.admin_secret) == "OK"
            oidc_provider.start()
            wait_until(lambda: reason(server, token) == "OK", 3 * LONG_SECONDS)
    finally:
        oidc_provider.start()


def test_who_has_not_logged_in_is_told_how(company: GuardedServer, oidc_provider: OidcProvider) -> None:
    with company.channel() as channel:
        options = Api(channel).admin.GetLoginOptions(pb.GetLoginOptionsRequest(), timeout=CALL_SECONDS)
        assert options.is_authentication_required
        assert (options.oidc_issuer, options.oidc_client_id) == (oidc_provider.issuer, DEVICE_CLIENT)
        denied = refused(
            lambda: Api(channel).admin.GetCaller(pb.GetCallerRequest(), timeout=CALL_SECONDS),
            CODE.UNAUTHENTICATED,
            "CREDENTIALS_MISSING",
        )
        assert denied.metadata == {"accepted": "oidc,token"}


def test_where_a_policy_wants_people_a_person_decides_and_a_token_does_not(
    company: GuardedServer, oidc_provider: OidcProvider
) -> None:
    name, role = f"model-{secrets.token_hex(4)}", f"risk-{secrets.token_hex(4)}"
    with company.channel(company.secret("acme", "administrator")) as channel:
        admin = Api(channel)
        admin.register(name)
        binding = pb.CreateRoleBindingRequest(tenant="acme", role="approver", member=f"user:{role}")
        admin.admin.CreateRoleBinding(binding, timeout=CALL_SECONDS)
        rule = policy_pb2.ApprovalRule(approvers=[policy_pb2.ApproverRequirement(role="risk")], people_only=True)
        scope = policy_pb2.PolicyScope(model_patterns=[name], target_stages=[STAGE_STAGING])
        rules = policy_pb2.PolicyRules(approval=rule)
        policy = lifecycle_pb.CreatePolicyRequest(name=role, scope=scope, rules=rules)
        admin.lifecycle.CreatePolicy(policy, timeout=CALL_SECONDS)
        asked = lifecycle_pb.RequestApprovalRequest(ref=by_number(name, 1), stage=STAGE_STAGING)
        approval = admin.lifecycle.RequestApproval(asked, timeout=CALL_SECONDS).approval
        decision = lifecycle_pb.DecideApprovalRequest(
            model=ModelRef(name=name, tenant="acme"),
            approval_id=approval.id,
            approver_role="risk",
            decision=DECISION_APPROVE,
        )
        refused(lambda: admin.lifecycle.DecideApproval(decision), CODE.PERMISSION_DENIED, "PEOPLE_ONLY")
    with company.channel(oidc_provider.token(role, [])) as channel:
        decided = Api(channel).lifecycle.DecideApproval(decision, timeout=CALL_SECONDS).approval
    assert [(one.approver, one.method) for one in decided.decisions] == [(f"user:{role}", "oidc")]
    assert decided.status == APPROVAL_STATUS_APPROVED
