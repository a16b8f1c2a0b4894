"""Who may do what, over the wire: each RPC needs its right, and says which one was missing."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from registrar.v1 import access_pb2
from registrar.v1 import admin_service_pb2 as pb
from registrar.v1 import model_service_pb2 as models_pb
from registrar.v1 import model_version_service_pb2 as versions_pb
from registrar.v1.reference_pb2 import ModelRef, Stage
from registrar_server.transport.admission import access_of
from registrar_server.transport.convert.access import RIGHTS
from tests.end_to_end import sessions
from tests.end_to_end.api import CALL_SECONDS, CODE, Api, by_number, refused
from tests.end_to_end.every_call import ABOUT_NOBODY, METHODS, Everything, Things, call, make_things
from tests.fixtures.guarded import GuardedServer

OPEN_SERVICES = (
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)


def top_channels(channel: grpc.Channel) -> bytes:
    """What channelz tells."""
    listing: grpc.UnaryUnaryMultiCallable[bytes, bytes]
    listing = channel.unary_unary("/grpc.channelz.v1.Channelz/GetTopChannels", bytes, bytes)
    return listing(b"", timeout=CALL_SECONDS)


def scope_of(name: str) -> int:
    return access_of(f"/{METHODS[name].containing_service.full_name}/{name}").scope


@pytest.fixture(scope="module")
def things(guarded: GuardedServer) -> Things:
    with guarded.channel(guarded.secret("acme", "administrator")) as channel:
        return make_things(Api(channel), "acme")


@pytest.fixture(scope="module")
def lacking(guarded: GuardedServer) -> dict[int, str]:
    """By right: the secret of a service that has every other right in tenant acme."""
    secrets_by_right = {}
    with guarded.channel(guarded.admin_secret) as channel:
        admin = Api(channel).admin
        for right in RIGHTS:
            name = "all-but-" + access_pb2.Right.Name(access_pb2.Right.ValueType(right))[6:].lower().replace("_", "-")
            grants = [access_pb2.Grant(right=access_pb2.Right.ValueType(other)) for other in RIGHTS if other != right]
            admin.CreateRole(pb.CreateRoleRequest(tenant="acme", name=name, grants=grants), timeout=CALL_SECONDS)
            secrets_by_right[right] = guarded.secret("acme", name)
    return secrets_by_right


def test_all_services_that_reflection_knows_are_guarded(guarded: GuardedServer) -> None:
    with guarded.channel() as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        ours = {service for service in services if service.startswith("registrar.")}
        assert ours == {method.containing_service.full_name for method in METHODS.values()}
        assert services - ours - set(OPEN_SERVICES) == {"grpc.channelz.v1.Channelz"}
        refused(lambda: top_channels(channel), CODE.UNAUTHENTICATED, "CREDENTIALS_MISSING")
    with guarded.channel(guarded.secret("acme", "administrator")) as channel:
        refused(lambda: top_channels(channel), CODE.PERMISSION_DENIED, "PERMISSION_DENIED")


@pytest.mark.parametrize("name", sorted(METHODS))
def test_nobody_is_answered_without_credentials(guarded: GuardedServer, name: str) -> None:
    with guarded.channel() as channel:
        answer = call(channel, METHODS[name], {})
    if scope_of(name) == access_pb2.ACCESS_SCOPE_OPEN:
        assert isinstance(answer, list)
    else:
        assert answer[:3] == ("UNAUTHENTICATED", "CREDENTIALS_MISSING", {"accepted": "token"})


@pytest.mark.parametrize("name", sorted(set(METHODS) - ABOUT_NOBODY))
def test_each_rpc_is_refused_for_want_of_its_right_alone(
    guarded: GuardedServer, things: Things, lacking: dict[int, str], name: str
) -> None:
    right = access_of(f"/{METHODS[name].containing_service.full_name}/{name}").right
    with guarded.channel(lacking[right]) as channel:
        for document in Everything(things).requests(name):
            code, reason, metadata, *_ = call(channel, METHODS[name], document)
            if right == access_pb2.RIGHT_READ and scope_of(name) == access_pb2.ACCESS_SCOPE_MODEL:
                # Who may not read does not learn what is there.
                assert code in ("NOT_FOUND", "PERMISSION_DENIED"), (document, reason)
            else:
                assert (code, reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED"), document
            if code == "PERMISSION_DENIED":
                assert metadata["right"] == RIGHTS[right].value


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("reader", {"get"}),
        ("contributor", {"get", "register"}),
        ("release-engineer", {"get", "promote", "alias"}),
        ("approver", {"get"}),
        ("deployer", {"get"}),
        ("break-glass", {"get", "promote", "alias"}),
        ("administrator", {"get", "register", "promote", "alias", "delete"}),
    ],
)
def test_a_built_in_role_allows_what_its_name_says(guarded: GuardedServer, role: str, may: set[str]) -> None:
    name = f"model-{secrets.token_hex(4)}"
    with guarded.channel(guarded.secret("acme", "administrator")) as channel:
        Api(channel).register(name)
    with guarded.channel(guarded.secret("acme", role)) as channel:
        api = Api(channel)
        done: dict[str, Callable[[], object]] = {
            "get": lambda: api.get(by_number(name, 1)),
            "register": lambda: api.register(name),
            "promote": lambda: api.move(name, 1, Stage.STAGE_STAGING),
            "alias": lambda: api.versions.SetAlias(versions_pb.SetAliasRequest(ref=by_number(name, 1), alias="a")),
            "delete": lambda: api.models.DeleteModel(models_pb.DeleteModelRequest(model=ModelRef(name="none-such"))),
        }
        for action, attempt in done.items():
            if action == "delete" and action in may:
                refused(attempt, CODE.NOT_FOUND, "MODEL_NOT_FOUND")
            elif action in may:
                attempt()
            else:
                refused(attempt, CODE.PERMISSION_DENIED, "PERMISSION_DENIED")


class TestLimits:
    """Roles on a part of the models, the stages, the aliases."""

    @pytest.fixture
    def name(self) -> str:
        return f"fraud-{secrets.token_hex(4)}"

    @pytest.fixture
    def careful(self, guarded: GuardedServer, name: str) -> Iterator[Api]:
        """Somebody who may move to staging, back to none, and aliases that begin with `canary-`."""
        role = f"careful-{secrets.token_hex(4)}"
        grants = [
            access_pb2.Grant(right=access_pb2.RIGHT_READ),
            access_pb2.Grant(right=access_pb2.RIGHT_PROMOTE, stages=[Stage.STAGE_STAGING, Stage.STAGE_ARCHIVED]),
            access_pb2.Grant(right=access_pb2.RIGHT_MOVE_ALIAS, alias_patterns=["canary-*"]),
        ]
        with guarded.channel(guarded.admin_secret) as channel:
            admin = Api(channel)
            admin.admin.CreateRole(pb.CreateRoleRequest(tenant="acme", name=role, grants=grants), timeout=CALL_SECONDS)
            admin.register(name, "acme")
        with guarded.channel(guarded.secret("acme", role, "fraud-*")) as channel:
            yield Api(channel)

    def test_a_stage_that_is_not_named_is_out_of_reach(self, careful: Api, name: str) -> None:
        careful.move(name, 1, Stage.STAGE_STAGING)
        denied = refused(
            lambda: careful.move(name, 1, Stage.STAGE_PRODUCTION), CODE.PERMISSION_DENIED, "PERMISSION_DENIED"
        )
        assert denied.metadata == {"right": "promote", "tenant": "acme", "model": name, "stage": "production"}
        refused(lambda: careful.roll_back(name), CODE.PERMISSION_DENIED, "PERMISSION_DENIED")

    def test_nobody_takes_a_version_out_of_a_stage_that_is_out_of_reach(
        self, guarded: GuardedServer, careful: Api, name: str
    ) -> None:
        careful.move(name, 1, Stage.STAGE_STAGING)
        with guarded.channel(guarded.secret("acme", "release-engineer")) as channel:
            Api(channel).move(name, 1, Stage.STAGE_PRODUCTION)
        denied = refused(
            lambda: careful.move(name, 1, Stage.STAGE_ARCHIVED), CODE.PERMISSION_DENIED, "PERMISSION_DENIED"
        )
        assert denied.metadata["stage"] == "production"
        assert careful.get(by_number(name, 1)).stage == Stage.STAGE_PRODUCTION

    def test_an_alias_that_does_not_match_is_out_of_reach(self, careful: Api, name: str) -> None:
        set_alias = careful.versions.SetAlias
        set_alias(versions_pb.SetAliasRequest(ref=by_number(name, 1), alias="canary-eu"), timeout=CALL_SECONDS)
        denied = refused(
            lambda: set_alias(versions_pb.SetAliasRequest(ref=by_number(name, 1), alias="champion")),
            CODE.PERMISSION_DENIED,
            "PERMISSION_DENIED",
        )
        assert denied.metadata["alias"] == "champion"
        refused(
            lambda: careful.versions.DeleteAlias(
                versions_pb.DeleteAliasRequest(model=ModelRef(name=name), alias="champion")
            ),
            CODE.PERMISSION_DENIED,
            "PERMISSION_DENIED",
        )

    def test_other_models_are_not_there(self, guarded: GuardedServer, careful: Api, name: str) -> None:
        other = f"churn-{secrets.token_hex(4)}"
        with guarded.channel(guarded.secret("acme", "administrator")) as channel:
            artifact = Api(channel).upload(other, {"model.pkl": b"shared bytes"})
            Api(channel).register(other, artifact_id=artifact.id)
        refused(lambda: careful.get(by_number(other, 1)), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
        models = careful.models.ListModels(models_pb.ListModelsRequest(page_size=1000), timeout=CALL_SECONDS).models
        assert name in {model.name for model in models}
        assert all(model.name.startswith("fraud-") for model in models)
        search = versions_pb.SearchModelVersionsRequest(page_size=1000)
        for query in ("", 'name = "churn*" OR name = "fraud*"', 'NOT name = "fraud*"'):
            search.filter = query
            found = careful.versions.SearchModelVersions(search, timeout=CALL_SECONDS).model_versions
            assert all(version.name.startswith("fraud-") for version in found)
            assert bool(found) is not query.startswith("NOT")
        by_id = {"artifactId": artifact.id}
        assert call(careful.channel, METHODS["GetArtifact"], by_id)[1] == "ARTIFACT_NOT_FOUND"

    def test_a_file_that_its_sender_may_not_read_is_sent_and_not_copied(
        self, guarded: GuardedServer, name: str
    ) -> None:
        data = {"model.pkl": secrets.token_bytes(64)}
        with guarded.channel(guarded.secret("acme", "administrator")) as channel:
            Api(channel).upload(f"churn-{secrets.token_hex(4)}", data)
            everything = sessions.create(Api(channel), f"other-{secrets.token_hex(4)}", data)
            assert sessions.missing(everything.files) == []
        with guarded.channel(guarded.secret("acme", "contributor", "fraud-*")) as channel:
            assert sessions.missing(sessions.create(Api(channel), name, data).files) == [(0, 0, 64)]


def test_who_the_caller_is_and_what_it_may_is_told_to_it(guarded: GuardedServer) -> None:
    token = guarded.create_token("globex", "contributor", "fraud-*", name="ci-fraud")
    with guarded.channel(token.secret) as channel:
        found = Api(channel).admin.GetCaller(pb.GetCallerRequest(), timeout=CALL_SECONDS)
    assert (found.actor, found.method, found.tenant) == ("service:ci-fraud", "token", "globex")
    assert [(role.tenant, role.role, role.model_pattern) for role in found.roles] == [
        ("globex", "contributor", "fraud-*")
    ]
    assert found.expire_time == token.token.expire_time


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "Bearer a b",
        "rgt_" + "A" * 43,
        "Bearer rgt_" + "A" * 43,
        "Bearer x.y.z",
    ],
)
def test_what_is_no_good_token_is_refused_without_being_repeated(guarded: GuardedServer, authorization: str) -> None:
    with guarded.channel() as channel:
        api = Api(channel)
        metadata = (("authorization", authorization),)
        found = refused(
            lambda: api.admin.GetCaller(pb.GetCallerRequest(), metadata=metadata, timeout=CALL_SECONDS),
            CODE.UNAUTHENTICATED,
            "CREDENTIALS_INVALID" if authorization else "CREDENTIALS_MISSING",
        )
    assert not authorization.partition(" ")[2].strip() or authorization.partition(" ")[2] not in found.message


def test_two_tokens_are_none(guarded: GuardedServer) -> None:
    entry = ("authorization", f"Bearer {guarded.admin_secret}")
    with guarded.channel() as channel:
        api = Api(channel)
        refused(
            lambda: api.admin.GetCaller(pb.GetCallerRequest(), metadata=(entry, entry), timeout=CALL_SECONDS),
            CODE.UNAUTHENTICATED,
            "CREDENTIALS_INVALID",
        )


@pytest.mark.parametrize(
    "name", ["GetModel", "ListModelVersions", "CreateModel", "GetUpload", "ListModels", "ListRoles"]
)
def test_what_is_no_name_is_refused_before_anybody_looks_for_it(guarded: GuardedServer, name: str) -> None:
    with guarded.channel(guarded.secret("acme", "reader", "fraud-*")) as channel:
        if "model" in METHODS[name].input_type.fields_by_name:
            code, reason, _, _, violations = call(channel, METHODS[name], {"model": {"name": "a/b", "tenant": "A*"}})
            assert set(violations) == {"model.name", "model.tenant"}
        else:
            code, reason, _, _, violations = call(channel, METHODS[name], {"tenant": "A*"})
            assert set(violations) == {"tenant"}
        assert (code, reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
