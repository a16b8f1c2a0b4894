"""AdminService: roles, bindings, tokens and tenants, and what of them is audited."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from registrar.v1 import access_pb2 as access
from registrar.v1 import admin_service_pb2 as pb
from registrar.v1 import reference_pb2, tenant_pb2
from registrar.v1.admin_service_pb2_grpc import AdminServiceStub
from registrar.v1.lifecycle_service_pb2 import TransitionStageRequest
from tests.end_to_end.api import CODE, Api, refused, violated
from tests.fixtures.server import READY_SECONDS, RunningServer

BUILT_IN = [
    "administrator",
    "approver",
    "auditor",
    "break-glass",
    "contributor",
    "deployer",
    "reader",
    "release-engineer",
]
GRANTS = [
    access.Grant(right=access.RIGHT_READ),
    access.Grant(right=access.RIGHT_PROMOTE, stages=[reference_pb2.STAGE_STAGING]),
    access.Grant(right=access.RIGHT_MOVE_ALIAS, alias_patterns=["canary-*"]),
    access.Grant(right=access.RIGHT_APPROVE, approver_roles=["risk"]),
]
ANNA = "user:anna@acme.example"
LONG = "x" * 1_001
NOBODY = "0" * 32
DAY = 86_400


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


@pytest.fixture
def admin(api: Api) -> AdminServiceStub:
    return api.admin


@pytest.fixture
def tenant(admin: AdminServiceStub) -> str:
    """A tenant of the test's own."""
    name = f"t-{secrets.token_hex(6)}"
    admin.CreateTenant(pb.CreateTenantRequest(tenant=name))
    return name


@pytest.fixture
def role(admin: AdminServiceStub, tenant: str) -> access.Role:
    """A role of that tenant."""
    return create_role(admin, tenant)


def create_role(admin: AdminServiceStub, tenant: str, name: str = "stager", **fields: Any) -> access.Role:
    request = pb.CreateRoleRequest(tenant=tenant, name=name, **{"description": "d", "grants": GRANTS, **fields})
    return admin.CreateRole(request).role


def bind(admin: AdminServiceStub, tenant: str, role: str = "reader", **fields: Any) -> pb.CreateRoleBindingResponse:
    request = pb.CreateRoleBindingRequest(tenant=tenant, role=role, **{"member": ANNA, **fields})
    return admin.CreateRoleBinding(request)


def create_token(admin: AdminServiceStub, tenant: str, **fields: Any) -> pb.CreateTokenResponse:
    return admin.CreateToken(pb.CreateTokenRequest(tenant=tenant, **{"name": "ci", "role": "contributor", **fields}))


def in_future(seconds: float = DAY) -> Timestamp:
    time = Timestamp()
    time.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return time


def audited(server: RunningServer, tenant: str) -> list[tuple[str, dict[str, Any], dict[str, Any], str]]:
    """Action, what was before and after, and comment of what was done in a tenant's audit, in order."""
    with closing(sqlite3.connect(f"file:{server.data / 'registrar.db'}?mode=ro", uri=True)) as database:
        query = (
            "SELECT action, before, after, comment FROM audit_entries"
            " WHERE tenant = ? AND model_name = '' AND model_uid = '' AND actor = 'local' AND outcome = 'done' ORDER BY position"
        )
        return [(a, json.loads(b), json.loads(c), d) for a, b, c, d in database.execute(query, (tenant,))]


def stored(server: RunningServer) -> Iterator[str]:
    """Every value of every row of the database, as text."""
    with closing(sqlite3.connect(f"file:{server.data / 'registrar.db'}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            yield from (str(value) for row in database.execute(f'SELECT * FROM "{table}"') for value in row)


def pages(list_some: Callable[[str], Any], field: str) -> list[Any]:
    """What is on all pages of a list."""
    found: list[Any] = []
    token = ""
    while True:
        page = list_some(token)
        found += getattr(page, field)
        token = page.next_page_token
        if not token:
            return found


class TestCallers:
    """GetCaller, GetLoginOptions."""

    def test_where_nobody_is_asked_the_caller_is_local_and_may_do_everything(self, admin: AdminServiceStub) -> None:
        caller = admin.GetCaller(pb.GetCallerRequest())
        assert (caller.actor, caller.method, caller.tenant, list(caller.groups)) == ("local", "none", "default", [])
        (held,) = caller.roles
        assert (held.tenant, held.role, held.model_pattern) == ("*", "administrator", "*")
        assert {grant.right for grant in held.grants} == set(access.Right.values()) - {access.RIGHT_UNSPECIFIED}
        assert not caller.HasField("expire_time")

    def test_where_nobody_is_asked_there_is_no_login(self, admin: AdminServiceStub) -> None:
        assert admin.GetLoginOptions(pb.GetLoginOptionsRequest()) == pb.GetLoginOptionsResponse()


class TestRoles:
    """Roles."""

    def test_a_role_is_created_read_changed_and_deleted_and_each_is_audited(
        self, admin: AdminServiceStub, tenant: str, server: RunningServer
    ) -> None:
        made = admin.CreateRole(pb.CreateRoleRequest(tenant=tenant, name="stager", description="d", grants=GRANTS))
        role = made.role
        assert (role.tenant, role.name, role.description, list(role.grants)) == (tenant, "stager", "d", GRANTS)
        assert (role.is_built_in, role.create_time) == (False, role.update_time)
        assert admin.GetRole(pb.GetRoleRequest(tenant=tenant, name="stager")).role == role
        changed = admin.UpdateRole(
            pb.UpdateRoleRequest(tenant=tenant, name="stager", etag=role.etag, grants=GRANTS[:1])
        )
        assert changed.event_sequence > made.event_sequence
        assert (list(changed.role.grants), changed.role.description) == (GRANTS[:1], "d")
        assert changed.role.etag != role.etag
        assert admin.GetRole(pb.GetRoleRequest(tenant=tenant, name="stager")).role == changed.role
        cleared = pb.UpdateRoleRequest(tenant=tenant, name="stager", update_mask=FieldMask(paths=["description"]))
        assert admin.UpdateRole(cleared).role.description == ""
        assert admin.UpdateRole(cleared).event_sequence == 0
        assert admin.DeleteRole(pb.DeleteRoleRequest(tenant=tenant, name="stager")).event_sequence
        gone = partial(admin.GetRole, pb.GetRoleRequest(tenant=tenant, name="stager"))
        refused(gone, CODE.NOT_FOUND, "ROLE_NOT_FOUND")
        reading = [{"right": "read"}]
        granted = [
            *reading,
            {"right": "promote", "stages": ["staging"]},
            {"right": "move_alias", "alias_patterns": ["canary-*"]},
            {"right": "approve", "approver_roles": ["risk"]},
        ]
        first = {"role": "stager", "description": "d", "grants": granted}
        second, third = {**first, "grants": reading}, {**first, "grants": reading, "description": ""}
        assert audited(server, tenant)[1:] == [
            ("role.created", {}, first, ""),
            ("role.updated", first, second, ""),
            ("role.updated", second, third, ""),
            ("role.deleted", third, {}, ""),
        ]

    def test_every_violation_is_reported_at_once(self, admin: AdminServiceStub) -> None:
        grants = [
            access.Grant(),
            access.Grant(
                right=access.RIGHT_READ,
                stages=[reference_pb2.STAGE_NONE] * 2,
                alias_patterns=["a"],
                approver_roles=["a"],
            ),
            access.Grant(right=access.RIGHT_PROMOTE, stages=[reference_pb2.STAGE_UNSPECIFIED]),
            access.Grant(right=access.RIGHT_MOVE_ALIAS, alias_patterns=["*a"]),
            access.Grant(right=access.RIGHT_APPROVE, approver_roles=["A"]),
        ]
        create = pb.CreateRoleRequest(request_id=" ", name="A", description=LONG, grants=grants)
        of_grants = {
            "grants[0].right",
            *(f"grants[1].{field}" for field in ("stages", "stages[1]", "alias_patterns", "approver_roles")),
            "grants[2].stages[0]",
            "grants[3].alias_patterns[0]",
            "grants[4].approver_roles[0]",
        }
        wrong = {"request_id", "name", "description"}
        assert set(violated(lambda: admin.CreateRole(create))) == wrong | of_grants
        update = pb.UpdateRoleRequest(request_id=" ", name="A", description=LONG, grants=grants)
        assert set(violated(lambda: admin.UpdateRole(update))) == wrong | of_grants
        assert set(violated(lambda: admin.CreateRole(pb.CreateRoleRequest()))) == {"name", "grants"}
        many = [GRANTS[0]] * 51
        found = violated(lambda: admin.CreateRole(pb.CreateRoleRequest(name="a", grants=many)))
        assert set(found) == {"grants"}
        assert set(violated(lambda: admin.UpdateRole(pb.UpdateRoleRequest(name="a")))) == {"update_mask"}
        masked = pb.UpdateRoleRequest(name="a", update_mask=FieldMask(paths=["grants", "name"]))
        assert set(violated(lambda: admin.UpdateRole(masked))) == {"grants", "update_mask.paths[1]"}
        assert set(violated(lambda: admin.GetRole(pb.GetRoleRequest()))) == {"name"}
        deletion = pb.DeleteRoleRequest(request_id=" ")
        assert set(violated(lambda: admin.DeleteRole(deletion))) == {"request_id", "name"}

    def test_what_is_no_tenant_is_refused_before_all_else(self, admin: AdminServiceStub) -> None:
        for call, request in (
            (admin.CreateRole, pb.CreateRoleRequest),
            (admin.GetRole, pb.GetRoleRequest),
            (admin.ListRoles, pb.ListRolesRequest),
            (admin.UpdateRole, pb.UpdateRoleRequest),
            (admin.DeleteRole, pb.DeleteRoleRequest),
            (admin.CreateRoleBinding, pb.CreateRoleBindingRequest),
            (admin.ListRoleBindings, pb.ListRoleBindingsRequest),
            (admin.DeleteRoleBinding, pb.DeleteRoleBindingRequest),
            (admin.CreateToken, pb.CreateTokenRequest),
            (admin.ListTokens, pb.ListTokensRequest),
            (admin.RevokeToken, pb.RevokeTokenRequest),
            (admin.GetTenant, pb.GetTenantRequest),
        ):
            make: Any = request
            send: Any = call
            assert "tenant" in violated(partial(send, make(tenant="X")))

    def test_an_unknown_tenant_or_role_is_not_found(self, admin: AdminServiceStub, tenant: str) -> None:
        for where, reason in (("nobody-here", "TENANT_NOT_FOUND"), (tenant, "ROLE_NOT_FOUND"), ("*", "ROLE_NOT_FOUND")):
            for call in (
                partial(admin.GetRole, pb.GetRoleRequest(tenant=where, name="none")),
                partial(admin.UpdateRole, pb.UpdateRoleRequest(tenant=where, name="none", description="x")),
                partial(admin.DeleteRole, pb.DeleteRoleRequest(tenant=where, name="none")),
                partial(bind, admin, where, "none"),
                partial(create_token, admin, where, role="none"),
            ):
                refused(call, CODE.NOT_FOUND, reason)
        for unknown in (
            partial(create_role, admin, "nobody-here"),
            partial(admin.ListRoles, pb.ListRolesRequest(tenant="nobody-here")),
            partial(admin.ListRoleBindings, pb.ListRoleBindingsRequest(tenant="nobody-here")),
            partial(admin.ListTokens, pb.ListTokensRequest(tenant="nobody-here")),
        ):
            refused(unknown, CODE.NOT_FOUND, "TENANT_NOT_FOUND")

    def test_a_name_is_taken_once_also_by_built_in_roles_and_by_many_at_once(
        self, admin: AdminServiceStub, tenant: str
    ) -> None:
        def create(_: int) -> str:
            try:
                return create_role(admin, tenant).name
            except grpc.RpcError:
                refused(lambda: create_role(admin, tenant), CODE.ALREADY_EXISTS, "ROLE_EXISTS")
                return ""

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(create, range(8))) == [*[""] * 7, "stager"]
        for name in BUILT_IN:
            for where in (tenant, "*"):
                refused(partial(create_role, admin, where, name), CODE.ALREADY_EXISTS, "ROLE_EXISTS")

    def test_a_built_in_role_is_there_and_stays_as_it_is(self, admin: AdminServiceStub, tenant: str) -> None:
        for where in (tenant, "*"):
            role = admin.GetRole(pb.GetRoleRequest(tenant=where, name="approver")).role
            assert (role.is_built_in, role.tenant) == (True, "*")
            assert [grant.right for grant in role.grants] == [access.RIGHT_READ, access.RIGHT_APPROVE]
            assert not role.HasField("create_time")
            update = pb.UpdateRoleRequest(tenant=where, name="approver", description="x")
            refused(partial(admin.UpdateRole, update), CODE.FAILED_PRECONDITION, "ROLE_BUILT_IN")
            deletion = pb.DeleteRoleRequest(tenant=where, name="approver")
            refused(partial(admin.DeleteRole, deletion), CODE.FAILED_PRECONDITION, "ROLE_BUILT_IN")

    def test_a_role_of_all_tenants_can_be_bound_in_each_and_changed_in_none(
        self, admin: AdminServiceStub, tenant: str
    ) -> None:
        name = f"r-{secrets.token_hex(6)}"
        shared = create_role(admin, "*", name)
        assert admin.GetRole(pb.GetRoleRequest(tenant=tenant, name=name)).role == shared
        binding = bind(admin, tenant, name).binding
        update = pb.UpdateRoleRequest(tenant=tenant, name=name, description="x")
        refused(partial(admin.UpdateRole, update), CODE.NOT_FOUND, "ROLE_NOT_FOUND")
        deletion = pb.DeleteRoleRequest(tenant=tenant, name=name)
        refused(partial(admin.DeleteRole, deletion), CODE.NOT_FOUND, "ROLE_NOT_FOUND")
        everywhere = partial(admin.DeleteRole, pb.DeleteRoleRequest(tenant="*", name=name))
        refused(everywhere, CODE.FAILED_PRECONDITION, "ROLE_IN_USE")
        admin.DeleteRoleBinding(pb.DeleteRoleBindingRequest(tenant=tenant, id=binding.id))
        everywhere()

    def test_a_role_that_somebody_has_is_not_deleted(self, admin: AdminServiceStub, role: access.Role) -> None:
        binding = bind(admin, role.tenant, role.name).binding
        token = create_token(admin, role.tenant, role=role.name).token
        deletion = partial(admin.DeleteRole, pb.DeleteRoleRequest(tenant=role.tenant, name=role.name))
        found = refused(deletion, CODE.FAILED_PRECONDITION, "ROLE_IN_USE")
        assert found.metadata == {"role": role.name, "bindings": "1", "tokens": "1"}
        admin.DeleteRoleBinding(pb.DeleteRoleBindingRequest(tenant=role.tenant, id=binding.id))
        assert refused(deletion, CODE.FAILED_PRECONDITION, "ROLE_IN_USE").metadata["tokens"] == "1"
        admin.RevokeToken(pb.RevokeTokenRequest(tenant=role.tenant, id=token.id))
        assert deletion().event_sequence

    def test_a_role_that_changed_since_is_neither_changed_nor_deleted(
        self, admin: AdminServiceStub, role: access.Role
    ) -> None:
        where: dict[str, Any] = {"tenant": role.tenant, "name": role.name}
        now = admin.UpdateRole(pb.UpdateRoleRequest(**where, description="new")).role
        stale = pb.UpdateRoleRequest(**where, etag=role.etag, description="newer")
        found = refused(partial(admin.UpdateRole, stale), CODE.ABORTED, "ETAG_MISMATCH")
        assert found.metadata == {"etag": now.etag}
        deletion = pb.DeleteRoleRequest(**where, etag=role.etag)
        refused(partial(admin.DeleteRole, deletion), CODE.ABORTED, "ETAG_MISMATCH")
        assert admin.GetRole(pb.GetRoleRequest(**where)).role == now

    def test_a_list_has_the_tenant_s_roles_those_of_all_and_those_built_in(
        self, admin: AdminServiceStub, tenant: str
    ) -> None:
        prefix = f"r-{secrets.token_hex(6)}"
        for name in ("zebra", "ape", prefix):
            create_role(admin, tenant, name)
        for name in (f"{prefix}-2", f"{prefix}-1"):
            create_role(admin, "*", name)

        def listed(where: str, size: int) -> list[tuple[str, str]]:
            found: Sequence[access.Role] = pages(
                lambda token: admin.ListRoles(pb.ListRolesRequest(tenant=where, page_size=size, page_token=token)),
                "roles",
            )
            ours = [role for role in found if role.tenant == tenant or role.is_built_in or prefix in role.name]
            return [(role.tenant, role.name) for role in ours]

        shared = [("*", f"{prefix}-1"), ("*", f"{prefix}-2"), *(("*", name) for name in BUILT_IN)]
        own = [(tenant, name) for name in ("ape", prefix, "zebra")]
        for size in (1, 3, 4, 100):
            assert listed(tenant, size) == own + shared
            assert listed("*", size) == shared


class TestBindings:
    """Bindings."""

    def test_a_binding_is_made_listed_and_removed_and_each_is_audited(
        self, admin: AdminServiceStub, tenant: str, server: RunningServer
    ) -> None:
        end = in_future()
        made = bind(admin, tenant, model_pattern="churn-*", expire_time=end, comment="why")
        binding = made.binding
        assert re.fullmatch("[0-9a-f]{32}", binding.id)
        assert (binding.tenant, binding.role, binding.member, binding.model_pattern) == (
            tenant,
            "reader",
            ANNA,
            "churn-*",
        )
        assert (binding.comment, binding.created_by) == ("why", "local")
        assert abs(binding.expire_time.ToMicroseconds() - end.ToMicroseconds()) <= 1
        assert list(admin.ListRoleBindings(pb.ListRoleBindingsRequest(tenant=tenant)).bindings) == [binding]
        gone = pb.DeleteRoleBindingRequest(tenant=tenant, id=binding.id, comment="left")
        assert admin.DeleteRoleBinding(gone).event_sequence > made.event_sequence
        assert list(admin.ListRoleBindings(pb.ListRoleBindingsRequest(tenant=tenant)).bindings) == []
        refused(lambda: admin.DeleteRoleBinding(gone), CODE.NOT_FOUND, "ROLE_BINDING_NOT_FOUND")
        _, created, deleted = audited(server, tenant)
        assert (created[0], created[1], created[3]) == ("role_binding.created", {}, "why")
        wanted = {"id": binding.id, "role": "reader", "member": ANNA, "model_pattern": "churn-*"}
        assert {**created[2], **wanted} == created[2]
        assert deleted == ("role_binding.deleted", created[2], {}, "left")

    def test_the_same_binding_twice_is_one_with_the_new_end_and_comment(
        self, admin: AdminServiceStub, tenant: str, server: RunningServer
    ) -> None:
        first = bind(admin, tenant, expire_time=in_future(), comment="a while")
        longer = bind(admin, tenant, comment="for good")
        assert longer.binding.id == first.binding.id
        assert (longer.binding.HasField("expire_time"), longer.binding.comment) == (False, "for good")
        assert longer.event_sequence > first.event_sequence
        again = bind(admin, tenant, comment="for good")
        assert (again.binding, again.event_sequence) == (longer.binding, 0)
        assert bind(admin, tenant, model_pattern="m").binding.id != first.binding.id
        entries = audited(server, tenant)[1:]
        assert [(entry[0], bool(entry[1]["expire_time"]) if entry[1] else None) for entry in entries] == [
            ("role_binding.created", None),
            ("role_binding.created", True),
            ("role_binding.created", None),
        ]

    def test_the_same_binding_by_many_at_once_is_one(self, admin: AdminServiceStub, tenant: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: bind(admin, tenant), range(8)))
        assert len({one.binding.id for one in made}) == 1
        assert len(admin.ListRoleBindings(pb.ListRoleBindingsRequest(tenant=tenant)).bindings) == 1

    def test_every_violation_is_reported_at_once(self, admin: AdminServiceStub) -> None:
        request = pb.CreateRoleBindingRequest(
            request_id=" ",
            role="A",
            member="anna",
            model_pattern="*a",
            comment=LONG,
            expire_time=Timestamp(seconds=2**40),
        )
        fields = {"request_id", "role", "member", "model_pattern", "comment", "expire_time"}
        assert set(violated(lambda: admin.CreateRoleBinding(request))) == fields
        empty = pb.CreateRoleBindingRequest()
        assert set(violated(lambda: admin.CreateRoleBinding(empty))) == {"role", "member"}
        listing = pb.ListRoleBindingsRequest(member="x", role="X")
        assert set(violated(lambda: admin.ListRoleBindings(listing))) == {"member", "role"}
        deletion = pb.DeleteRoleBindingRequest(request_id=" ", id="x", comment=LONG)
        assert set(violated(lambda: admin.DeleteRoleBinding(deletion))) == {"request_id", "id", "comment"}

    @pytest.mark.parametrize("member", ["local", "service:ci", "user:", "user: a", "user:a\n", f"user:{'a' * 252}"])
    def test_what_cannot_be_bound_is_refused(self, admin: AdminServiceStub, member: str) -> None:
        assert set(violated(lambda: bind(admin, "default", member=member))) == {"member"}

    def test_a_binding_must_end_in_the_future(self, admin: AdminServiceStub, tenant: str) -> None:
        assert set(violated(lambda: bind(admin, tenant, expire_time=in_future(-1)))) == {"expire_time"}

    def test_a_binding_of_another_tenant_is_not_found(self, admin: AdminServiceStub, tenant: str) -> None:
        binding = bind(admin, tenant).binding
        for where, key in (("default", binding.id), ("*", binding.id), (tenant, NOBODY)):
            gone = pb.DeleteRoleBindingRequest(tenant=where, id=key)
            refused(partial(admin.DeleteRoleBinding, gone), CODE.NOT_FOUND, "ROLE_BINDING_NOT_FOUND")
        assert list(admin.ListRoleBindings(pb.ListRoleBindingsRequest(tenant=tenant)).bindings) == [binding]

    def test_pages_give_each_binding_once_the_oldest_first(self, admin: AdminServiceStub, tenant: str) -> None:
        made = [
            bind(admin, tenant, role, member=f"group:{number}").binding
            for number, role in enumerate(["reader", "deployer"] * 3)
        ]

        def listed(**fields: Any) -> list[access.RoleBinding]:
            return pages(
                lambda token: admin.ListRoleBindings(
                    pb.ListRoleBindingsRequest(tenant=tenant, page_size=2, page_token=token, **fields)
                ),
                "bindings",
            )

        assert listed() == made
        assert listed(role="deployer") == made[1::2]
        assert listed(member="group:3") == [made[3]]
        first = admin.ListRoleBindings(pb.ListRoleBindingsRequest(tenant=tenant, page_size=2))
        for other in (
            pb.ListRoleBindingsRequest(tenant="default", page_token=first.next_page_token),
            pb.ListRoleBindingsRequest(tenant=tenant, role="reader", page_token=first.next_page_token),
            pb.ListRoleBindingsRequest(tenant=tenant, page_token="x"),
        ):
            refused(partial(admin.ListRoleBindings, other), CODE.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


class TestTokens:
    """Tokens."""

    def test_a_token_s_secret_is_told_once_and_kept_nowhere(
        self, admin: AdminServiceStub, tenant: str, server: RunningServer
    ) -> None:
        made = create_token(admin, tenant, request_id=tenant, model_pattern="churn-*", description="for CI")
        token = made.token
        assert re.fullmatch(r"rgt_[A-Za-z0-9_-]{43}", made.secret)
        assert (token.tenant, token.name, token.role, token.model_pattern) == (tenant, "ci", "contributor", "churn-*")
        assert (token.description, token.created_by) == ("for CI", "local")
        assert token.expire_time.ToMicroseconds() - token.create_time.ToMicroseconds() == 90 * DAY * 1_000_000
        assert not token.HasField("revoke_time")
        assert not token.HasField("last_use_time")
        again = create_token(admin, tenant, request_id=tenant, model_pattern="churn-*", description="for CI")
        assert again == pb.CreateTokenResponse(token=token, event_sequence=made.event_sequence)
        assert list(admin.ListTokens(pb.ListTokensRequest(tenant=tenant)).tokens) == [token]
        assert not any(made.secret in text or made.secret[4:] in text for text in stored(server))
        assert not any(made.secret[4:] in line for line in server.log_lines)
        (entry,) = audited(server, tenant)[1:]
        assert entry[:2] == ("token.created", {})
        assert set(entry[2]) == {"id", "name", "role", "model_pattern", "description", "expire_time"}

    def test_a_token_is_revoked_for_good(self, admin: AdminServiceStub, tenant: str, server: RunningServer) -> None:
        token = create_token(admin, tenant).token
        revoked = admin.RevokeToken(pb.RevokeTokenRequest(tenant=tenant, id=token.id, comment="leaked"))
        assert revoked.token.HasField("revoke_time")
        again = admin.RevokeToken(pb.RevokeTokenRequest(tenant=tenant, id=token.id))
        assert again == pb.RevokeTokenResponse(token=revoked.token)
        assert list(admin.ListTokens(pb.ListTokensRequest(tenant=tenant)).tokens) == []
        assert list(admin.ListTokens(pb.ListTokensRequest(tenant=tenant, show_ended=True)).tokens) == [revoked.token]
        _, created, ended = audited(server, tenant)
        assert (ended[0], ended[1], ended[3]) == ("token.revoked", created[2], "leaked")
        assert ended[2]["id"] == token.id

    def test_a_token_of_another_tenant_is_not_found(self, admin: AdminServiceStub, tenant: str) -> None:
        token = create_token(admin, tenant).token
        for where, key in (("default", token.id), ("*", token.id), (tenant, NOBODY)):
            request = pb.RevokeTokenRequest(tenant=where, id=key)
            refused(partial(admin.RevokeToken, request), CODE.NOT_FOUND, "TOKEN_NOT_FOUND")
        assert list(admin.ListTokens(pb.ListTokensRequest(tenant=tenant)).tokens) == [token]

    def test_every_violation_is_reported_at_once(self, admin: AdminServiceStub) -> None:
        request = pb.CreateTokenRequest(
            request_id=" ",
            name="A",
            role="A",
            model_pattern="*a",
            description=LONG,
            ttl=Duration(seconds=59),
        )
        fields = {"request_id", "name", "role", "model_pattern", "description", "ttl"}
        assert set(violated(lambda: admin.CreateToken(request))) == fields
        assert set(violated(lambda: admin.CreateToken(pb.CreateTokenRequest()))) == {"name", "role"}
        for seconds in (0, -1, 366 * DAY + 1, 2**60):
            wrong = partial(create_token, admin, "default", ttl=Duration(seconds=seconds))
            assert set(violated(wrong)) == {"ttl"}
        revoke = pb.RevokeTokenRequest(request_id=" ", id="x", comment=LONG)
        assert set(violated(lambda: admin.RevokeToken(revoke))) == {"request_id", "id", "comment"}

    def test_pages_give_each_token_once_the_oldest_first(self, admin: AdminServiceStub, tenant: str) -> None:
        made = [create_token(admin, tenant, ttl=Duration(seconds=60 + number)).token for number in range(5)]
        found = pages(
            lambda token: admin.ListTokens(pb.ListTokensRequest(tenant=tenant, page_size=2, page_token=token)), "tokens"
        )
        assert found == made
        bad = pb.ListTokensRequest(tenant=tenant, page_token="x")
        refused(lambda: admin.ListTokens(bad), CODE.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")

    def test_sessions_of_a_user_are_revoked_up_to_now(
        self, admin: AdminServiceStub, unique_name: str, server: RunningServer
    ) -> None:
        before = datetime.now(UTC)
        member = f"user:{unique_name}"
        found = admin.RevokeSessions(pb.RevokeSessionsRequest(member=member, comment="stolen laptop"))
        assert before <= found.not_before.ToDatetime(UTC) <= datetime.now(UTC)
        assert found.event_sequence
        (entry,) = [entry for entry in audited(server, "*") if entry[2].get("member") == member]
        assert (entry[0], entry[3]) == ("sessions.revoked", "stolen laptop")

    def test_sessions_are_those_of_users(self, admin: AdminServiceStub) -> None:
        for member in ("", "group:a", "certificate:a", "user:", "a"):
            request = pb.RevokeSessionsRequest(member=member)
            assert set(violated(partial(admin.RevokeSessions, request))) == {"member"}
        wrong = pb.RevokeSessionsRequest(request_id=" ", member="user:a", comment=LONG)
        assert set(violated(lambda: admin.RevokeSessions(wrong))) == {"request_id", "comment"}


class TestTenants:
    """Tenants."""

    def test_a_tenant_is_created_read_and_changed(self, admin: AdminServiceStub, server: RunningServer) -> None:
        name = f"t-{secrets.token_hex(6)}"
        quotas = tenant_pb2.Quotas(models=1, bytes=0)
        made = admin.CreateTenant(pb.CreateTenantRequest(tenant=name, description="d", quotas=quotas))
        assert made.event_sequence
        tenant = made.tenant
        assert (tenant.name, tenant.description, tenant.quotas) == (name, "d", quotas)
        assert (tenant.state, tenant.HasField("usage")) == (tenant_pb2.TENANT_STATE_ACTIVE, False)
        read = admin.GetTenant(pb.GetTenantRequest(tenant=name)).tenant
        assert read.usage == tenant_pb2.TenantUsage()
        assert read.HasField("usage")
        read.ClearField("usage")
        assert read == tenant
        wanted = tenant_pb2.Quotas(versions=5)
        changed = admin.UpdateTenant(pb.UpdateTenantRequest(tenant=name, etag=tenant.etag, quotas=wanted)).tenant
        assert (changed.description, changed.quotas) == ("d", wanted)
        assert changed.etag != tenant.etag
        unlimited = pb.UpdateTenantRequest(tenant=name, update_mask=FieldMask(paths=["quotas"]))
        assert admin.UpdateTenant(unlimited).tenant.quotas == tenant_pb2.Quotas()
        assert admin.UpdateTenant(unlimited).event_sequence == 0
        stale = pb.UpdateTenantRequest(tenant=name, etag=tenant.etag, description="x")
        refused(lambda: admin.UpdateTenant(stale), CODE.ABORTED, "ETAG_MISMATCH")
        assert audited(server, name) == [
            ("tenant.created", {}, {"description": "d", "quotas": {"models": 1, "bytes": 0}}, ""),
            (
                "tenant.updated",
                {"description": "d", "quotas": {"models": 1, "bytes": 0}},
                {"description": "d", "quotas": {"versions": 5}},
                "",
            ),
            (
                "tenant.updated",
                {"description": "d", "quotas": {"versions": 5}},
                {"description": "d", "quotas": {}},
                "",
            ),
        ]

    def test_a_tenant_s_usage_is_what_it_holds(self, api: Api, tenant: str, unique_name: str) -> None:
        artifact = api.upload(unique_name, {"model.pkl": b"x" * 1_000, "a": b"y"}, tenant)
        api.register(unique_name, tenant, artifact.id)
        api.register(unique_name, tenant, artifact.id, metrics={"f1": 1})
        usage = api.admin.GetTenant(pb.GetTenantRequest(tenant=tenant)).tenant.usage
        assert usage == tenant_pb2.TenantUsage(models=1, versions=2, bytes=1_001)

    def test_mlflow_knows_a_new_tenant_before_anything_is_registered_in_it(
        self, tenant: str, server: RunningServer
    ) -> None:
        workspace = "SELECT count(*) FROM tenants WHERE name = ? AND workspace_at IS NOT NULL"
        deadline = time.monotonic() + READY_SECONDS
        with closing(sqlite3.connect(f"file:{server.data / 'registrar.db'}?mode=ro", uri=True)) as database:
            while not database.execute(workspace, (tenant,)).fetchone()[0]:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        with closing(sqlite3.connect(f"file:{server.data / 'mlflow.db'}?mode=ro", uri=True)) as mlflow:
            assert mlflow.execute("SELECT count(*) FROM workspaces WHERE name = ?", (tenant,)).fetchone() == (1,)

    def test_a_suspended_tenant_goes_on_when_it_is_resumed(
        self, admin: AdminServiceStub, tenant: str, server: RunningServer
    ) -> None:
        suspended = admin.SuspendTenant(pb.SuspendTenantRequest(tenant=tenant, comment="unpaid"))
        assert suspended.tenant.state == tenant_pb2.TENANT_STATE_SUSPENDED
        again = admin.SuspendTenant(pb.SuspendTenantRequest(tenant=tenant))
        assert again == pb.SuspendTenantResponse(tenant=suspended.tenant)
        # Its administration goes on.
        bind(admin, tenant)
        resumed = admin.ResumeTenant(pb.ResumeTenantRequest(tenant=tenant, comment="paid"))
        assert resumed.tenant.state == tenant_pb2.TENANT_STATE_ACTIVE
        assert admin.ResumeTenant(pb.ResumeTenantRequest(tenant=tenant)).event_sequence == 0
        found = [(entry[0], entry[3]) for entry in audited(server, tenant)]
        assert found == [
            ("tenant.created", ""),
            ("tenant.suspended", "unpaid"),
            ("role_binding.created", ""),
            ("tenant.resumed", "paid"),
        ]

    def test_a_deleted_tenant_vanishes_and_comes_back_as_it_was(
        self, api: Api, tenant: str, unique_name: str, server: RunningServer
    ) -> None:
        admin = api.admin
        api.register(unique_name, tenant)
        binding = bind(admin, tenant).binding
        deleted = admin.DeleteTenant(pb.DeleteTenantRequest(tenant=tenant, comment="over"))
        assert deleted.tenant.state == tenant_pb2.TENANT_STATE_DELETED
        window = deleted.tenant.purge_time.ToDatetime() - deleted.tenant.delete_time.ToDatetime()
        assert window == timedelta(days=30)
        again = admin.DeleteTenant(pb.DeleteTenantRequest(tenant=tenant, etag="stale"))
        assert again == pb.DeleteTenantResponse(tenant=deleted.tenant)
        assert admin.GetTenant(pb.GetTenantRequest(tenant=tenant)).tenant.state == tenant_pb2.TENANT_STATE_DELETED
        for call in (
            partial(create_role, admin, tenant),
            partial(bind, admin, tenant),
            partial(create_token, admin, tenant),
            partial(admin.SuspendTenant, pb.SuspendTenantRequest(tenant=tenant)),
            partial(admin.UpdateTenant, pb.UpdateTenantRequest(tenant=tenant, description="x")),
        ):
            refused(call, CODE.NOT_FOUND, "TENANT_NOT_FOUND")
        taken = pb.CreateTenantRequest(tenant=tenant)
        refused(lambda: admin.CreateTenant(taken), CODE.ALREADY_EXISTS, "TENANT_EXISTS")
        back = admin.UndeleteTenant(pb.UndeleteTenantRequest(tenant=tenant, comment="sorry")).tenant
        assert (back.state, back.HasField("purge_time")) == (tenant_pb2.TENANT_STATE_ACTIVE, False)
        assert admin.UndeleteTenant(pb.UndeleteTenantRequest(tenant=tenant)).event_sequence == 0
        assert list(admin.ListRoleBindings(pb.ListRoleBindingsRequest(tenant=tenant)).bindings) == [binding]
        assert api.register(unique_name, tenant).version == 2
        found = [(entry[0], entry[3]) for entry in audited(server, tenant)]
        assert found[2:] == [("tenant.deleted", "over"), ("tenant.undeleted", "sorry")]

    def test_a_tenant_with_a_version_in_production_is_deleted_by_force_only(
        self, api: Api, tenant: str, unique_name: str
    ) -> None:
        api.register(unique_name, tenant)
        ref = reference_pb2.ModelVersionRef(model=reference_pb2.ModelRef(tenant=tenant, name=unique_name), version=1)
        for stage in (reference_pb2.STAGE_STAGING, reference_pb2.STAGE_PRODUCTION):
            api.lifecycle.TransitionStage(TransitionStageRequest(ref=ref, stage=stage))
        deletion = partial(api.admin.DeleteTenant, pb.DeleteTenantRequest(tenant=tenant))
        found = refused(deletion, CODE.FAILED_PRECONDITION, "TENANT_IN_USE")
        assert found.metadata == {"tenant": tenant, "models": unique_name}
        stale = pb.DeleteTenantRequest(tenant=tenant, force=True, etag="r9")
        refused(lambda: api.admin.DeleteTenant(stale), CODE.ABORTED, "ETAG_MISMATCH")
        assert api.admin.DeleteTenant(pb.DeleteTenantRequest(tenant=tenant, force=True)).event_sequence

    def test_the_default_tenant_stays(self, admin: AdminServiceStub) -> None:
        request = pb.DeleteTenantRequest(tenant="default", force=True)
        refused(lambda: admin.DeleteTenant(request), CODE.FAILED_PRECONDITION, "TENANT_IN_USE")

    def test_a_name_is_taken_once_by_many_at_once(self, admin: AdminServiceStub) -> None:
        name = f"t-{secrets.token_hex(6)}"

        def create(_: int) -> bool:
            try:
                return bool(admin.CreateTenant(pb.CreateTenantRequest(tenant=name)).event_sequence)
            except grpc.RpcError as exc:
                assert exc.code() is CODE.ALREADY_EXISTS
                return False

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(create, range(8))) == 1

    def test_an_unknown_tenant_is_not_found(self, admin: AdminServiceStub) -> None:
        for call in (
            partial(admin.GetTenant, pb.GetTenantRequest(tenant="nobody-here")),
            partial(admin.UpdateTenant, pb.UpdateTenantRequest(tenant="nobody-here", description="x")),
            partial(admin.SuspendTenant, pb.SuspendTenantRequest(tenant="nobody-here")),
            partial(admin.ResumeTenant, pb.ResumeTenantRequest(tenant="nobody-here")),
            partial(admin.DeleteTenant, pb.DeleteTenantRequest(tenant="nobody-here")),
            partial(admin.UndeleteTenant, pb.UndeleteTenantRequest(tenant="nobody-here")),
        ):
            refused(call, CODE.NOT_FOUND, "TENANT_NOT_FOUND")

    def test_every_violation_is_reported_at_once(self, admin: AdminServiceStub) -> None:
        quotas = tenant_pb2.Quotas(models=-1, versions=-1, bytes=-1, concurrent_transfers=-1)
        of_quotas = {f"quotas.{name}" for name in ("models", "versions", "bytes", "concurrent_transfers")}
        wrong = {"request_id", "tenant", "description"}
        create = pb.CreateTenantRequest(request_id=" ", tenant="*", description=LONG, quotas=quotas)
        assert set(violated(lambda: admin.CreateTenant(create))) == wrong | of_quotas
        update = pb.UpdateTenantRequest(request_id=" ", tenant="*", description=LONG, quotas=quotas)
        assert set(violated(lambda: admin.UpdateTenant(update))) == wrong | of_quotas
        assert set(violated(lambda: admin.CreateTenant(pb.CreateTenantRequest()))) == {"tenant"}
        assert set(violated(lambda: admin.GetTenant(pb.GetTenantRequest(tenant="*")))) == {"tenant"}
        assert set(violated(lambda: admin.UpdateTenant(pb.UpdateTenantRequest()))) == {"tenant", "update_mask"}
        for call in (
            partial(admin.SuspendTenant, pb.SuspendTenantRequest(request_id=" ", tenant="*", comment=LONG)),
            partial(admin.ResumeTenant, pb.ResumeTenantRequest(request_id=" ", tenant="*", comment=LONG)),
            partial(admin.DeleteTenant, pb.DeleteTenantRequest(request_id=" ", tenant="*", comment=LONG)),
            partial(admin.UndeleteTenant, pb.UndeleteTenantRequest(request_id=" ", tenant="*", comment=LONG)),
        ):
            assert set(violated(call)) == {"request_id", "tenant", "comment"}

    def test_pages_give_each_tenant_once_by_name_and_deleted_ones_on_request(self, admin: AdminServiceStub) -> None:
        prefix = f"t-{secrets.token_hex(6)}"
        names = [f"{prefix}-{number}" for number in range(4)]
        for name in reversed(names):
            admin.CreateTenant(pb.CreateTenantRequest(tenant=name))
        admin.DeleteTenant(pb.DeleteTenantRequest(tenant=names[1]))

        def listed(*, show_deleted: bool) -> list[str]:
            found: Sequence[tenant_pb2.Tenant] = pages(
                lambda token: admin.ListTenants(
                    pb.ListTenantsRequest(page_size=3, page_token=token, show_deleted=show_deleted)
                ),
                "tenants",
            )
            assert "*" not in [tenant.name for tenant in found]
            return [tenant.name for tenant in found if tenant.name.startswith(prefix)]

        assert listed(show_deleted=False) == [names[0], *names[2:]]
        assert listed(show_deleted=True) == names
        bad = pb.ListTenantsRequest(page_token="x")
        refused(lambda: admin.ListTenants(bad), CODE.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


def test_a_request_id_replays_and_is_refused_with_another_body(admin: AdminServiceStub, tenant: str) -> None:
    made = create_role(admin, tenant, "kept")
    binding = bind(admin, tenant, "kept").binding
    token = create_token(admin, tenant).token
    requests: list[tuple[Callable[[Any], Any], Any, str]] = [
        (admin.CreateRole, pb.CreateRoleRequest(tenant=tenant, name="once", grants=GRANTS), "description"),
        (admin.UpdateRole, pb.UpdateRoleRequest(tenant=tenant, name="kept", etag=made.etag, description="n"), "etag"),
        (admin.DeleteRole, pb.DeleteRoleRequest(tenant=tenant, name="once"), "etag"),
        (admin.CreateRoleBinding, pb.CreateRoleBindingRequest(tenant=tenant, role="kept", member="user:b"), "comment"),
        (admin.DeleteRoleBinding, pb.DeleteRoleBindingRequest(tenant=tenant, id=binding.id), "comment"),
        (admin.RevokeToken, pb.RevokeTokenRequest(tenant=tenant, id=token.id), "comment"),
        (admin.RevokeSessions, pb.RevokeSessionsRequest(member=f"user:{tenant}"), "comment"),
        (admin.CreateTenant, pb.CreateTenantRequest(tenant=f"{tenant}-2"), "description"),
        (admin.UpdateTenant, pb.UpdateTenantRequest(tenant=tenant, description="new"), "etag"),
        (admin.SuspendTenant, pb.SuspendTenantRequest(tenant=tenant), "comment"),
        (admin.ResumeTenant, pb.ResumeTenantRequest(tenant=tenant), "comment"),
        (admin.DeleteTenant, pb.DeleteTenantRequest(tenant=tenant), "comment"),
        (admin.UndeleteTenant, pb.UndeleteTenantRequest(tenant=tenant), "comment"),
    ]
    for call, request, field in requests:
        request.request_id = tenant
        first = call(request)
        assert first.event_sequence
        assert call(request) == first
        setattr(request, field, "other")
        refused(partial(call, request), CODE.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
