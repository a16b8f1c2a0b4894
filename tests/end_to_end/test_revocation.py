"""What is taken away is gone within a second, in every process, also for streams under way."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from registrar.v1 import access_pb2
from registrar.v1 import admin_service_pb2 as pb
from registrar.v1 import artifact_service_pb2 as artifacts_pb
from tests.end_to_end.api import CALL_SECONDS, CODE, Api, by_number, chunk, header, manifest_of, refusal_of
from tests.fixtures.guarded import GuardedServer, guarded_server, with_bearer
from tests.fixtures.replicas import channel_to_each_worker
from tests.fixtures.stores import wait_until

SECONDS = 1.0
"""The promise."""
LONG_SECONDS = 20.0
"""What a machine under load may take before a test calls it never."""


def whoami(channel: grpc.Channel) -> str:
    """The actor, or the reason of the refusal."""
    try:
        return Api(channel).admin.GetCaller(pb.GetCallerRequest(), timeout=CALL_SECONDS).actor
    except grpc.RpcError as exc:
        return refusal_of(exc).reason


def answer(channel: grpc.Channel, name: str) -> str:
    """Whether a version can be read."""
    try:
        Api(channel).get(by_number(name, 1))
    except grpc.RpcError as exc:
        return refusal_of(exc).reason
    return "OK"


@pytest.fixture
def admin(guarded: GuardedServer) -> Iterator[Api]:
    with guarded.channel(guarded.admin_secret) as channel:
        yield Api(channel)


def test_a_revoked_token_is_refused_by_every_worker_within_a_second(guarded: GuardedServer, admin: Api) -> None:
    token = guarded.create_token("acme", "reader")
    with channel_to_each_worker(guarded.server, 2) as channels:
        callers = [with_bearer(channel, token.secret) for channel in channels.values()]
        assert {whoami(caller) for caller in callers} == {f"service:{token.token.name}"}
        request = pb.RevokeTokenRequest(tenant="acme", id=token.token.id, comment="lost")
        admin.admin.RevokeToken(request, timeout=CALL_SECONDS)
        began = time.monotonic()
        wait_until(lambda: {whoami(caller) for caller in callers} == {"CREDENTIALS_INVALID"}, LONG_SECONDS)
        taken = time.monotonic() - began
        assert {whoami(caller) for caller in callers} == {"CREDENTIALS_INVALID"}
        # Far more than it takes, and not what a cache without news would: that is five minutes.
        assert taken < LONG_SECONDS


def test_a_role_that_changes_changes_what_its_holders_may(guarded: GuardedServer, admin: Api) -> None:
    name, role = f"model-{secrets.token_hex(4)}", f"role-{secrets.token_hex(4)}"
    read, register = access_pb2.Grant(right=access_pb2.RIGHT_READ), access_pb2.Grant(right=access_pb2.RIGHT_REGISTER)
    admin.register(name, "acme")
    admin.admin.CreateRole(pb.CreateRoleRequest(tenant="acme", name=role, grants=[read]), timeout=CALL_SECONDS)
    secret = guarded.secret("acme", role)
    with channel_to_each_worker(guarded.server, 2) as channels:
        callers = [with_bearer(channel, secret) for channel in channels.values()]
        assert {answer(caller, name) for caller in callers} == {"OK"}
        change = pb.UpdateRoleRequest(
            tenant="acme", name=role, grants=[register], update_mask=FieldMask(paths=["grants"])
        )
        admin.admin.UpdateRole(change, timeout=CALL_SECONDS)
        wait_until(lambda: {answer(caller, name) for caller in callers} == {"MODEL_NOT_FOUND"}, LONG_SECONDS)
        change.grants[0].CopyFrom(read)
        admin.admin.UpdateRole(change, timeout=CALL_SECONDS)
        wait_until(lambda: {answer(caller, name) for caller in callers} == {"OK"}, LONG_SECONDS)


def test_a_stream_of_a_revoked_token_is_cut_and_leaves_nothing(guarded: GuardedServer, admin: Api) -> None:
    token = guarded.create_token("acme", "contributor")
    name, data = f"model-{secrets.token_hex(4)}", b"x" * 1_000
    is_revoked = threading.Event()
    is_begun = threading.Event()

    def messages() -> Iterator[artifacts_pb.UploadArtifactRequest]:
        yield header(name, manifest_of({"model.pkl": data}))
        is_begun.set()
        is_revoked.wait(LONG_SECONDS)

    with guarded.channel(token.secret) as channel:
        call = Api(channel).artifacts.UploadArtifact.future(messages(), timeout=CALL_SECONDS)
        assert is_begun.wait(LONG_SECONDS)
        admin.admin.RevokeToken(pb.RevokeTokenRequest(tenant="acme", id=token.token.id), timeout=CALL_SECONDS)
        try:
            error = call.exception(timeout=LONG_SECONDS)
        finally:
            is_revoked.set()
        assert isinstance(error, grpc.RpcError)
        assert error.code() is CODE.CANCELLED
    assert not admin.has_bundle(name, manifest_of({"model.pkl": data}), "acme")


def test_what_others_stream_goes_on(guarded: GuardedServer, admin: Api) -> None:
    name, data = f"model-{secrets.token_hex(4)}", b"y" * 1_000
    other = guarded.create_token("acme", "reader")
    can_go_on = threading.Event()

    def messages() -> Iterator[artifacts_pb.UploadArtifactRequest]:
        yield header(name, manifest_of({"model.pkl": data}))
        can_go_on.wait(LONG_SECONDS)
        yield chunk(0, 0, data)

    with guarded.channel(guarded.secret("acme", "contributor")) as channel:
        call = Api(channel).artifacts.UploadArtifact.future(messages(), timeout=CALL_SECONDS)
        admin.admin.RevokeToken(pb.RevokeTokenRequest(tenant="acme", id=other.token.id), timeout=CALL_SECONDS)
        with guarded.channel(other.secret) as late:
            wait_until(lambda: whoami(late) == "CREDENTIALS_INVALID", LONG_SECONDS)
        time.sleep(SECONDS)
        can_go_on.set()
        assert call.result(timeout=CALL_SECONDS).artifact.size_bytes == len(data)


class TestTenants:
    """Suspended, brought back, deleted, undeleted."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[GuardedServer]:
        with guarded_server(tmp_path / "data", REGISTRAR_WORKERS="2") as started:
            yield started

    def test_a_tenant_comes_and_goes_everywhere_at_once(self, server: GuardedServer) -> None:
        with server.channel(server.admin_secret) as channel, channel_to_each_worker(server.server, 2) as channels:
            admin = Api(channel)
            admin.register("m", "acme")
            callers = [with_bearer(one, server.secret("acme", "administrator")) for one in channels.values()]

            def all_answer(expected: str) -> None:
                wait_until(lambda: {answer(caller, "m") for caller in callers} == {expected}, LONG_SECONDS)

            all_answer("OK")
            admin.admin.SuspendTenant(pb.SuspendTenantRequest(tenant="acme", comment="unpaid"), timeout=CALL_SECONDS)
            all_answer("TENANT_SUSPENDED")
            tokens = Api(callers[0]).admin.ListTokens(pb.ListTokensRequest(), timeout=CALL_SECONDS).tokens
            assert len(tokens) == len(callers)
            admin.admin.ResumeTenant(pb.ResumeTenantRequest(tenant="acme"), timeout=CALL_SECONDS)
            all_answer("OK")
            deleted = admin.admin.DeleteTenant(pb.DeleteTenantRequest(tenant="acme"), timeout=CALL_SECONDS).tenant
            assert deleted.purge_time.seconds - deleted.delete_time.seconds == 30 * 24 * 3600
            all_answer("TENANT_NOT_FOUND")
            tenants = admin.admin.ListTenants(pb.ListTenantsRequest(), timeout=CALL_SECONDS).tenants
            assert [tenant.name for tenant in tenants] == ["default", "globex"]
            admin.admin.UndeleteTenant(pb.UndeleteTenantRequest(tenant="acme"), timeout=CALL_SECONDS)
            all_answer("OK")
