"""What holds for every call: request ids, limits, standard services, and what never stands in the log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from registrar.v1.admin_service_pb2 import GetServerInfoRequest
from registrar.v1.model_service_pb2 import CreateModelRequest, GetModelRequest
from registrar.v1.reference_pb2 import STAGE_PRODUCTION
from registrar_server.domain import limits
from tests.end_to_end.api import CODE, Api, by_number, model_ref, refusal, refused
from tests.fixtures.server import RunningServer

SERVICES = {
    f"registrar.v1.{name}"
    for name in ("ModelService", "ModelVersionService", "ArtifactService", "LifecycleService", "AdminService")
}
LOGGED_WITHIN_SECONDS = 20


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


def test_the_request_id_of_the_caller_comes_back_in_the_trailers_of_an_answer(api: Api, unique_name: str) -> None:
    request = CreateModelRequest(model=model_ref(unique_name))
    _, call = api.models.CreateModel.with_call(request, metadata=(("x-request-id", f"{unique_name}:1"),))
    assert dict(call.trailing_metadata())["x-request-id"] == f"{unique_name}:1"


def test_the_request_id_of_the_caller_comes_back_in_the_trailers_of_a_refusal(api: Api, unique_name: str) -> None:
    request = GetModelRequest(model=model_ref(unique_name))
    call = lambda: api.models.GetModel(request, metadata=(("x-request-id", unique_name),))  # noqa: E731
    found = refused(call, CODE.NOT_FOUND, "MODEL_NOT_FOUND")
    assert found.trailers["x-request-id"] == unique_name


@pytest.mark.parametrize("value", ["", "two words", "a" * 129, "a,b"])
def test_a_request_id_unfit_for_a_log_is_replaced(api: Api, value: str) -> None:
    _, call = api.admin.GetServerInfo.with_call(GetServerInfoRequest(), metadata=(("x-request-id", value),))
    found = dict(call.trailing_metadata())["x-request-id"]
    assert found != value
    assert len(str(found)) == 32


def test_a_method_that_is_not_there_is_unimplemented(api: Api) -> None:
    for method in ("/registrar.v1.ModelService/Explode", "/registrar.v9.ModelService/GetModel"):
        call = api.channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        assert refusal(lambda c=call: c(b"")).code is CODE.UNIMPLEMENTED  # type: ignore[misc]


def test_a_request_that_is_no_message_is_refused_without_a_word_about_the_inside(api: Api) -> None:
    method = "/registrar.v1.ModelService/GetModel"
    call = api.channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
    found = refusal(lambda: call(b"\xff\xff\xff\xff"))
    assert found.code in (CODE.INTERNAL, CODE.INVALID_ARGUMENT)
    assert "Traceback" not in found.message
    assert "/" not in found.message


def test_a_message_over_the_limit_is_refused_and_the_server_goes_on(api: Api, unique_name: str) -> None:
    request = CreateModelRequest(model=model_ref(unique_name), description="x" * (limits.MESSAGE_BYTES + 1))
    assert refusal(lambda: api.models.CreateModel(request)).code is CODE.RESOURCE_EXHAUSTED
    refused(
        lambda: api.models.GetModel(GetModelRequest(model=model_ref(unique_name))), CODE.NOT_FOUND, "MODEL_NOT_FOUND"
    )


def test_metadata_over_the_limit_is_refused_and_the_server_goes_on(api: Api) -> None:
    large = (("x-large", "x" * (4 * limits.METADATA_BYTES)),)
    call = lambda: api.admin.GetServerInfo(GetServerInfoRequest(), metadata=large)  # noqa: E731
    assert refusal(call).code in (CODE.RESOURCE_EXHAUSTED, CODE.UNAVAILABLE)
    api.admin.GetServerInfo(GetServerInfoRequest(), wait_for_ready=True, timeout=LOGGED_WITHIN_SECONDS)


def test_the_server_says_what_it_allows_and_who_calls(api: Api) -> None:
    info = api.admin.GetServerInfo(GetServerInfoRequest())
    assert (info.limits.message_bytes, info.limits.chunk_bytes) == (limits.MESSAGE_BYTES, limits.CHUNK_BYTES)
    assert (info.limits.tags, info.limits.metrics) == (limits.TAGS, limits.METRICS)
    assert (info.caller.actor, info.caller.tenant) == ("local", "default")
    assert list(info.digest_functions) == ["sha256"]
    assert info.artifact_root.startswith("s3://")


def test_mlflow_catches_up_with_every_change(api: Api, server: RunningServer, unique_name: str) -> None:
    api.register(unique_name)
    sequence = api.move(unique_name, 1, STAGE_PRODUCTION).event_sequence
    with server.connect() as registry:
        registry.wait_mirrored(sequence)
        assert registry.server_info().mirror.mirrored_sequence >= sequence


def test_health_answers_for_the_server_and_each_service(channel: grpc.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    for service in ("", *SERVICES):
        assert (
            stub.Check(health_pb2.HealthCheckRequest(service=service)).status == health_pb2.HealthCheckResponse.SERVING
        )
    unknown = health_pb2.HealthCheckRequest(service="nobody")
    assert refusal(lambda: stub.Check(unknown)).code is CODE.NOT_FOUND


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_the_services_and_describes_them(channel: grpc.Channel, version: str) -> None:
    def ask(**fields: Any) -> reflection_pb2.ServerReflectionResponse:
        method = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        request = reflection_pb2.ServerReflectionRequest(**fields)
        (answer,) = method(iter([request]))
        assert isinstance(answer, reflection_pb2.ServerReflectionResponse)
        return answer

    listed = {service.name for service in ask(list_services="").list_services_response.service}
    assert listed >= SERVICES | {"grpc.health.v1.Health", f"grpc.reflection.{version}.ServerReflection"}
    for symbol in (*SERVICES, f"grpc.reflection.{version}.ServerReflection"):
        (file,) = ask(file_containing_symbol=symbol).file_descriptor_response.file_descriptor_proto[:1]
        described = descriptor_pb2.FileDescriptorProto.FromString(file)
        assert symbol.rpartition(".")[2] in [service.name for service in described.service]


def test_channelz_shows_the_server_and_its_calls(channel: grpc.Channel) -> None:
    stub = channelz_pb2_grpc.ChannelzStub(channel)
    (shown,) = stub.GetServers(channelz_pb2.GetServersRequest()).server
    assert shown.data.calls_started > 0


def test_no_secret_and_no_payload_stands_in_the_log(api: Api, server: RunningServer, unique_name: str) -> None:
    payload, word = f"PAYLOAD-{unique_name}".encode(), f"x-request-{unique_name}"
    artifact = api.upload(unique_name, {"model.pkl": payload * 100})
    api.register(unique_name, artifact_id=artifact.id, description=f"DESCRIPTION-{unique_name}")
    api.move(unique_name, 1, STAGE_PRODUCTION, comment=f"COMMENT-{unique_name}")
    token = (("authorization", f"Bearer TOKEN-{unique_name}"),)
    # Who brings a token wants to be known by it, also where nobody is asked.
    refused(
        lambda: api.admin.GetServerInfo(GetServerInfoRequest(), metadata=token),
        CODE.UNAUTHENTICATED,
        "CREDENTIALS_INVALID",
    )
    refused(lambda: api.get(by_number(unique_name, 9)), CODE.NOT_FOUND, "VERSION_NOT_FOUND")
    api.admin.GetServerInfo(GetServerInfoRequest(), metadata=(("x-request-id", word),))
    for line in _until(server, word):
        for kept in ("PAYLOAD-", "DESCRIPTION-", "COMMENT-", "TOKEN-"):
            assert f"{kept}{unique_name}" not in line
    environment = server.mlflow_environment()
    secret = environment["AWS_SECRET_ACCESS_KEY"]
    assert len(secret) >= 16
    assert secret not in "\n".join(server.log_lines)
    assert any("rpc.finished" in line for line in server.log_lines)


def _until(server: RunningServer, word: str) -> Iterator[str]:
    """The log, once this word stands in it."""
    deadline = time.monotonic() + LOGGED_WITHIN_SECONDS
    while not any(word in line for line in server.log_lines):
        assert time.monotonic() < deadline, "the call was not logged"
        time.sleep(0.02)
    yield from list(server.log_lines)
