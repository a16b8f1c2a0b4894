"""What a hostile caller and a hostile administrator of a tenant try, beyond what they have no right to."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from registrar.v1 import access_pb2
from registrar.v1 import admin_service_pb2 as pb
from registrar.v1 import artifact_service_pb2 as artifacts_pb
from registrar.v1 import model_service_pb2 as models_pb
from registrar.v1 import model_version_service_pb2 as versions_pb
from registrar_server.domain import limits
from tests.end_to_end.api import (
    CALL_SECONDS,
    CODE,
    Api,
    by_number,
    header,
    manifest_of,
    model_ref,
    refusal_of,
    refused,
    violated,
)
from tests.fixtures.guarded import GuardedServer, guarded_server
from tests.fixtures.oidc import AUDIENCE, OidcProvider
from tests.fixtures.process_tree import child_of
from tests.fixtures.stores import wait_until

THREADS = 32
LONG_SECONDS = 20.0
SOON_SECONDS = 5.0
"""Within that a server answers that has a thread left."""


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory, oidc_provider: OidcProvider) -> Iterator[GuardedServer]:
    """One worker, which people call with tokens of a provider."""
    settings = {
        "REGISTRAR_OIDC_ISSUER": oidc_provider.issuer,
        "REGISTRAR_OIDC_AUDIENCE": AUDIENCE,
        "REGISTRAR_OIDC_TENANT_CLAIM": "org",
        "REGISTRAR_OIDC_CLOCK_SKEW": "0",
        "REGISTRAR_THREADS": str(THREADS),
    }
    with guarded_server(tmp_path_factory.mktemp("besieged"), **settings) as server:
        yield server


@pytest.fixture
def admin(besieged: GuardedServer) -> Iterator[Api]:
    with besieged.channel(besieged.admin_secret) as channel:
        yield Api(channel)


@pytest.fixture
def intruder(besieged: GuardedServer) -> Iterator[Api]:
    """Who administers globex, and nothing else."""
    with besieged.channel(besieged.secret("globex", "administrator")) as channel:
        yield Api(channel)


def bind(api: Api, tenant: str, role: str, member: str, models: str = "*") -> str:
    request = pb.CreateRoleBindingRequest(tenant=tenant, role=role, member=member, model_pattern=models)
    return api.admin.CreateRoleBinding(request, timeout=CALL_SECONDS).binding.id


def home_of(server: GuardedServer, token: str) -> str:
    with server.channel(token) as channel:
        return Api(channel).admin.GetCaller(pb.GetCallerRequest(), timeout=CALL_SECONDS).tenant


def a_person() -> str:
    return f"person-{secrets.token_hex(4)}"


def require_answer(server: GuardedServer) -> None:
    """Somebody without credentials is answered, over a connection of its own."""
    with grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        Api(channel).admin.GetLoginOptions(pb.GetLoginOptionsRequest(), timeout=SOON_SECONDS)


class TestThreads:
    """Nobody takes all of them, least of all somebody who has shown no credentials."""

    def test_whoever_watches_health_holds_none(self, besieged: GuardedServer) -> None:
        with besieged.channel() as channel, ExitStack() as stack:
            for _ in range(2 * THREADS):
                request = health_pb2.HealthCheckRequest(service="")
                stub: Any = health_pb2_grpc.HealthStub(channel)
                watch = stub.Watch(request, timeout=CALL_SECONDS)
                stack.callback(watch.cancel)
                assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            require_answer(besieged)

    def test_an_unknown_service_is_not_remembered_by_its_name(self, besieged: GuardedServer) -> None:
        worker = child_of(besieged.server.process.pid, "registrar_server.child worker")
        with besieged.channel() as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)

            def watch(times: int) -> None:
                for _ in range(times):
                    request = health_pb2.HealthCheckRequest(service=secrets.token_hex(1 << 20))
                    (answer,) = stub.Watch(request, timeout=CALL_SECONDS)
                    assert answer.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

            watch(20)
            before = resident_megabytes(worker)
            watch(40)
            # Remembered, they would be 80.
            assert resident_megabytes(worker) - before < 40

    def test_few_reflect_at_once(self, besieged: GuardedServer) -> None:
        is_over = threading.Event()

        def requests() -> Iterator[reflection_pb2.ServerReflectionRequest]:
            yield reflection_pb2.ServerReflectionRequest(list_services="")
            is_over.wait(LONG_SECONDS)

        codes = []
        with besieged.channel() as channel, ExitStack() as stack:
            stack.callback(is_over.set)
            for _ in range(4):
                stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
                call = stub.ServerReflectionInfo(requests(), timeout=CALL_SECONDS)
                stack.callback(call.cancel)
                try:
                    next(call)
                except grpc.RpcError as exc:
                    codes.append(exc.code())
            require_answer(besieged)
        assert codes == [CODE.RESOURCE_EXHAUSTED] * 2

    def test_a_stream_that_says_nothing_takes_no_slot_of_who_may_upload(
        self, besieged: GuardedServer, admin: Api
    ) -> None:
        is_over = threading.Event()

        def silence() -> Iterator[artifacts_pb.UploadArtifactRequest]:
            is_over.wait(LONG_SECONDS)
            yield from ()

        with besieged.channel(besieged.secret("globex", "reader")) as channel, ExitStack() as stack:
            stack.callback(is_over.set)
            calls = [Api(channel).artifacts.UploadArtifact.future(silence(), timeout=CALL_SECONDS) for _ in range(10)]
            for call in calls:
                refused(call.result, CODE.PERMISSION_DENIED, "PERMISSION_DENIED")
            admin.upload("anything", {"a": b"bytes"}, "acme")


class TestHomes:
    """The tenant that is meant where none is named."""

    def test_nobody_draws_the_calls_of_who_may_act_everywhere_into_a_tenant(
        self, besieged: GuardedServer, admin: Api, intruder: Api, oidc_provider: OidcProvider
    ) -> None:
        person = a_person()
        token = oidc_provider.token(person)
        bind(admin, "*", "contributor", f"user:{person}")
        assert home_of(besieged, token) == "default"
        bind(intruder, "globex", "reader", f"user:{person}")
        wait_until(lambda: len(roles_of(besieged, token)) == 2, LONG_SECONDS)
        assert home_of(besieged, token) == "default"

    @pytest.mark.parametrize("claimed", ["*", "x" * 64, "Acme", "acme/globex"])
    def test_a_token_speaks_for_what_can_be_a_tenant_only(
        self, besieged: GuardedServer, oidc_provider: OidcProvider, claimed: str
    ) -> None:
        token = oidc_provider.token(a_person(), claims={"org": claimed})
        refused(lambda: home_of(besieged, token), CODE.UNAUTHENTICATED, "CREDENTIALS_INVALID")

    def test_a_tenant_binds_nobody_to_more_roles_than_can_be_read_at_each_login(
        self, admin: Api, intruder: Api
    ) -> None:
        person = f"user:{a_person()}"
        for index in range(limits.BINDINGS):
            bind(intruder, "globex", "reader", person, f"m{index}")
        wanted = pb.CreateRoleBindingRequest(tenant="globex", role="reader", member=person, model_pattern="one-more")
        found = violated(lambda: intruder.admin.CreateRoleBinding(wanted, timeout=CALL_SECONDS))
        assert set(found) == {"member"}
        assert bind(intruder, "globex", "reader", person, "m0")
        assert bind(admin, "acme", "reader", person)


def roles_of(server: GuardedServer, token: str) -> list[str]:
    with server.channel(token) as channel:
        return [role.role for role in Api(channel).admin.GetCaller(pb.GetCallerRequest(), timeout=CALL_SECONDS).roles]


def take_the_role(admin: Api, person: str, binding: str) -> None:
    admin.admin.DeleteRoleBinding(pb.DeleteRoleBindingRequest(tenant="acme", id=binding), timeout=CALL_SECONDS)


def end_the_sessions(admin: Api, person: str, binding: str) -> None:
    admin.admin.RevokeSessions(pb.RevokeSessionsRequest(member=f"user:{person}"), timeout=CALL_SECONDS)


class TestStreams:
    """A stream that began with good credentials."""

    @pytest.mark.parametrize("take_away", [take_the_role, end_the_sessions])
    def test_it_goes_on_when_they_end_and_is_cut_when_they_are_taken_away_after_that(
        self,
        besieged: GuardedServer,
        admin: Api,
        oidc_provider: OidcProvider,
        take_away: Callable[[Api, str, str], None],
    ) -> None:
        person, other = a_person(), besieged.create_token("acme", "contributor")
        binding = bind(admin, "acme", "contributor", f"user:{person}")
        token = oidc_provider.token(person, ttl_seconds=3)
        with under_way(besieged, token) as (api, call), under_way(besieged, other.secret) as (_, beside):
            wait_until(lambda: has_ended(api), LONG_SECONDS)
            revoked = pb.RevokeTokenRequest(tenant="acme", id=other.token.id)
            admin.admin.RevokeToken(revoked, timeout=CALL_SECONDS)
            assert code_of(beside) is CODE.CANCELLED
            assert not call.done()
            take_away(admin, person, binding)
            assert code_of(call) is CODE.CANCELLED


@contextmanager
def under_way(server: GuardedServer, secret: str) -> Iterator[tuple[Api, Any]]:
    """An upload whose first message was sent; the rest comes when it is over."""
    is_begun, is_over = threading.Event(), threading.Event()

    def messages() -> Iterator[artifacts_pb.UploadArtifactRequest]:
        yield header(f"model-{secrets.token_hex(4)}", manifest_of({"a": b"bytes"}), "acme")
        is_begun.set()
        is_over.wait(LONG_SECONDS)

    with server.channel(secret) as channel:
        api = Api(channel)
        call = api.artifacts.UploadArtifact.future(messages(), timeout=CALL_SECONDS)
        try:
            assert is_begun.wait(LONG_SECONDS)
            yield api, call
        finally:
            is_over.set()


def code_of(call: Any) -> grpc.StatusCode:
    error = call.exception(timeout=LONG_SECONDS)
    assert isinstance(error, grpc.RpcError)
    return error.code()


def has_ended(api: Api) -> bool:
    try:
        api.admin.GetCaller(pb.GetCallerRequest(), timeout=CALL_SECONDS)
    except grpc.RpcError as exc:
        return refusal_of(exc).reason == "CREDENTIALS_EXPIRED"
    return False


class TestRequests:
    """Odd ones."""

    def test_what_nobody_reads_is_not_remembered(self, besieged: GuardedServer, admin: Api) -> None:
        name, size = f"model-{secrets.token_hex(4)}", 2 << 20
        admin.register(name, "acme")
        known = versions_pb.GetModelVersionRequest(ref=by_number(name, 1, "acme")).SerializeToString()
        worker = child_of(besieged.server.process.pid, "registrar_server.child worker")
        with besieged.channel(besieged.secret("acme", "reader")) as channel:
            get = channel.unary_unary(
                "/registrar.v1.ModelVersionService/GetModelVersion",
                request_serializer=lambda sent: sent,
                response_deserializer=lambda answer: answer,
            )

            def send(times: int) -> None:
                for _ in range(times):
                    get(known + unknown_field(secrets.token_bytes(16) * (size // 16)), timeout=CALL_SECONDS)

            send(30)
            before = resident_megabytes(worker)
            send(60)
            # Remembered, they would be 120.
            assert resident_megabytes(worker) - before < 60

    @pytest.mark.parametrize("alias", ["x" * 5_000, "\N{GRINNING FACE}" * 5_000, "a\nb\0c"])
    def test_a_refusal_fits_the_trailers_whatever_was_asked_for(
        self, besieged: GuardedServer, admin: Api, alias: str
    ) -> None:
        name, role = f"model-{secrets.token_hex(4)}", f"role-{secrets.token_hex(4)}"
        grants = [
            access_pb2.Grant(right=access_pb2.RIGHT_READ),
            access_pb2.Grant(right=access_pb2.RIGHT_MOVE_ALIAS, alias_patterns=["ok*"]),
        ]
        admin.admin.CreateRole(pb.CreateRoleRequest(tenant="acme", name=role, grants=grants), timeout=CALL_SECONDS)
        admin.models.CreateModel(models_pb.CreateModelRequest(model=model_ref(name, "acme")), timeout=CALL_SECONDS)
        with besieged.channel(besieged.secret("acme", role)) as channel:
            request = versions_pb.SetAliasRequest(ref=by_number(name, 1, "acme"), alias=alias)
            refused(
                lambda: Api(channel).versions.SetAlias(request, timeout=CALL_SECONDS),
                CODE.PERMISSION_DENIED,
                "PERMISSION_DENIED",
            )

    @pytest.mark.parametrize("is_first", [True, False])
    def test_an_empty_header_beside_a_token_is_one_too_many(self, besieged: GuardedServer, *, is_first: bool) -> None:
        good, empty = ("authorization", f"Bearer {besieged.admin_secret}"), ("authorization", "")
        metadata = (empty, good) if is_first else (good, empty)
        with closing(besieged.server.channel()) as channel:
            refused(
                lambda: Api(channel).admin.GetCaller(pb.GetCallerRequest(), timeout=CALL_SECONDS, metadata=metadata),
                CODE.UNAUTHENTICATED,
                "CREDENTIALS_INVALID",
            )


def resident_megabytes(pid: int | None) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def unknown_field(data: bytes) -> bytes:
    """On the wire: a field that the contract does not have."""
    return _varint(1000 << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    head, rest = number & 0x7F, number >> 7
    return bytes([head]) if not rest else bytes([head | 0x80]) + _varint(rest)
