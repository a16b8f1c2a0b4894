"""What a tenant may hold: exact under concurrency, told with QuotaFailure, and free again when something goes."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from registrar.v1 import admin_service_pb2 as pb
from registrar.v1 import artifact_service_pb2 as artifacts_pb
from registrar.v1 import model_service_pb2 as models_pb
from registrar.v1 import model_version_service_pb2 as versions_pb
from registrar.v1.reference_pb2 import ModelRef
from registrar.v1.tenant_pb2 import Quotas, TenantUsage
from tests.end_to_end import sessions
from tests.end_to_end.api import CALL_SECONDS, CODE, Api, by_number, chunk, header, manifest_of, refusal_of, refused
from tests.fixtures.server import RunningServer
from tests.fixtures.stores import wait_until

EXCEEDED = (CODE.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
PATIENCE_SECONDS = 20.0


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


@pytest.fixture
def tenant(api: Api) -> str:
    """A tenant of the test's own, without quotas."""
    name = f"tenant-{secrets.token_hex(4)}"
    api.admin.CreateTenant(pb.CreateTenantRequest(tenant=name), timeout=CALL_SECONDS)
    return name


def limit(api: Api, tenant: str, **quotas: int) -> None:
    request = pb.UpdateTenantRequest(tenant=tenant, quotas=Quotas(**quotas))
    api.admin.UpdateTenant(request, timeout=CALL_SECONDS)


def usage(api: Api, tenant: str) -> TenantUsage:
    return api.admin.GetTenant(pb.GetTenantRequest(tenant=tenant), timeout=CALL_SECONDS).tenant.usage


def create(api: Api, tenant: str, name: str = "") -> str:
    name = name or f"model-{secrets.token_hex(4)}"
    api.models.CreateModel(models_pb.CreateModelRequest(model=ModelRef(tenant=tenant, name=name)), timeout=CALL_SECONDS)
    return name


def tried(attempt: Callable[[], object]) -> str:
    """OK, or the reason of the refusal."""
    try:
        attempt()
    except grpc.RpcError as exc:
        return refusal_of(exc).reason
    return "OK"


def test_models_end_at_their_quota_and_are_free_again_when_deleted(api: Api, tenant: str) -> None:
    limit(api, tenant, models=2)
    first = create(api, tenant)
    create(api, tenant)
    with pytest.raises(grpc.RpcError) as caught:
        create(api, tenant)
    found = refusal_of(caught.value)
    assert (found.code, found.reason) == EXCEEDED
    assert found.metadata == {"tenant": tenant, "quota": "models", "limit": "2", "used": "3"}
    status = status_pb2.Status.FromString(bytes(found.trailers["grpc-status-details-bin"]))  # type: ignore[arg-type]
    failure = error_details_pb2.QuotaFailure()
    assert any(detail.Unpack(failure) for detail in status.details)
    assert [(one.subject, one.description) for one in failure.violations] == [(f"tenant:{tenant}", "2 models")]
    deleted = ModelRef(tenant=tenant, name=first)
    api.models.DeleteModel(models_pb.DeleteModelRequest(model=deleted), timeout=CALL_SECONDS)
    create(api, tenant)
    refused(
        lambda: api.models.UndeleteModel(models_pb.UndeleteModelRequest(model=deleted), timeout=CALL_SECONDS),
        *EXCEEDED,
    )
    assert usage(api, tenant).models == 2


def test_many_at_once_make_as_many_as_are_allowed(api: Api, tenant: str) -> None:
    limit(api, tenant, models=5)
    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(lambda _: tried(lambda: create(api, tenant)), range(12)))
    assert (outcomes.count("OK"), outcomes.count("QUOTA_EXCEEDED")) == (5, 7)
    assert usage(api, tenant).models == 5


def test_versions_end_at_their_quota(api: Api, tenant: str) -> None:
    name = f"model-{secrets.token_hex(4)}"
    limit(api, tenant, versions=2)
    for _ in range(2):
        api.register(name, tenant)
    artifact = api.upload(name, {"model.pkl": b"one too many"}, tenant)
    refused(lambda: api.register(name, tenant, artifact.id), *EXCEEDED)
    version = by_number(name, 1, tenant)
    api.versions.DeleteModelVersion(versions_pb.DeleteModelVersionRequest(ref=version), timeout=CALL_SECONDS)
    assert api.register(name, tenant, artifact.id).version == 3
    refused(lambda: api.versions.UndeleteModelVersion(versions_pb.UndeleteModelVersionRequest(ref=version)), *EXCEEDED)
    assert usage(api, tenant).versions == 2


def test_bytes_are_counted_from_the_moment_that_they_are_announced(api: Api, tenant: str) -> None:
    limit(api, tenant, bytes=1_000)
    name = f"model-{secrets.token_hex(4)}"
    api.upload(name, {"model.pkl": b"a" * 400}, tenant)
    session = sessions.create(api, name, {"model.pkl": b"b" * 400}, tenant)
    refused(lambda: api.upload(name, {"model.pkl": b"c" * 201}, tenant), *EXCEEDED)
    refused(lambda: sessions.create(api, name, {"model.pkl": b"d" * 201}, tenant), *EXCEEDED)
    # What is there already takes nothing more.
    api.upload(name, {"model.pkl": b"a" * 400}, tenant)
    assert sessions.create(api, name, {"model.pkl": b"b" * 400}, tenant).upload.id == session.upload.id
    api.upload(name, {"model.pkl": b"e" * 200}, tenant)
    assert usage(api, tenant).bytes == 1_000
    request = artifacts_pb.AbortUploadRequest(upload_id=session.upload.id, tenant=tenant)
    api.artifacts.AbortUpload(request, timeout=CALL_SECONDS)
    wait_until(lambda: usage(api, tenant).bytes == 600, PATIENCE_SECONDS)
    api.upload(name, {"model.pkl": b"f" * 400}, tenant)


def test_a_quota_below_what_is_there_takes_nothing_away(api: Api, tenant: str) -> None:
    name = f"model-{secrets.token_hex(4)}"
    api.register(name, tenant)
    limit(api, tenant, models=0, versions=0, bytes=0, concurrent_transfers=0)
    assert api.get(by_number(name, 1, tenant)).version == 1
    refused(lambda: create(api, tenant), *EXCEEDED)
    refused(lambda: api.upload(name, {"model.pkl": b"x"}, tenant), *EXCEEDED)


def test_streams_at_once_are_counted_over_all_processes(api: Api, tenant: str, server: RunningServer) -> None:
    limit(api, tenant, concurrent_transfers=2)
    can_end = threading.Event()

    def slow(name: str, begun: threading.Event) -> Iterator[artifacts_pb.UploadArtifactRequest]:
        yield header(name, manifest_of({"model.pkl": b"slow"}), tenant)
        begun.set()
        can_end.wait(PATIENCE_SECONDS)
        yield chunk(0, 0, b"slow")

    channels = [server.channel() for _ in range(4)]
    try:
        calls = []
        for channel in channels[:2]:
            begun = threading.Event()
            messages = slow(f"model-{secrets.token_hex(4)}", begun)
            calls.append(Api(channel).artifacts.UploadArtifact.future(messages, timeout=CALL_SECONDS))
            assert begun.wait(PATIENCE_SECONDS)
        wait_until(lambda: usage(api, tenant).concurrent_transfers == 2, PATIENCE_SECONDS)
        for channel in channels[2:]:
            refused(partial(Api(channel).upload, "m", {"model.pkl": b"x"}, tenant), *EXCEEDED)
        can_end.set()
        for call in calls:
            call.result(timeout=CALL_SECONDS)
        assert usage(api, tenant).concurrent_transfers == 0
        api.upload("m", {"model.pkl": b"x"}, tenant)
    finally:
        can_end.set()
        for channel in channels:
            channel.close()


def test_a_stream_that_breaks_is_counted_out(api: Api, tenant: str) -> None:
    limit(api, tenant, concurrent_transfers=1)
    began = threading.Event()

    def stuck() -> Iterator[artifacts_pb.UploadArtifactRequest]:
        yield header("m", manifest_of({"model.pkl": b"slow"}), tenant)
        began.set()
        threading.Event().wait(1)

    call = api.artifacts.UploadArtifact.future(stuck(), timeout=CALL_SECONDS)
    assert began.wait(PATIENCE_SECONDS)
    wait_until(lambda: usage(api, tenant).concurrent_transfers == 1, PATIENCE_SECONDS)
    call.cancel()
    wait_until(lambda: usage(api, tenant).concurrent_transfers == 0, PATIENCE_SECONDS)
    api.upload("m", {"model.pkl": b"x"}, tenant)
