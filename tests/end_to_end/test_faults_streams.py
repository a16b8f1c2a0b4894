"""Clients that stall, vanish, or read nothing: each gets a clear answer, and its slot is free again."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import registrar
from registrar.v1 import artifact_pb2, reference_pb2
from registrar.v1 import artifact_service_pb2 as pb
from registrar.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from tests.fixtures.proxy import TcpProxy
from tests.fixtures.server import RunningServer, running_server
from tests.fixtures.stores import wait_until

SLOTS = 2
CHUNK = 1 << 20


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with two slots that gives up after a second."""
    settings = {"REGISTRAR_STALL_SECONDS": "1", "REGISTRAR_TRANSFER_SLOTS": str(SLOTS)}
    with running_server(tmp_path_factory.mktemp("streams"), settings) as started:
        yield started


def header(name: str, data: bytes) -> pb.UploadArtifactRequest:
    file = artifact_pb2.BundleFile(
        path="model.bin",
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        type=artifact_pb2.FILE_TYPE_MODEL,
    )
    return pb.UploadArtifactRequest(
        header=pb.UploadArtifactHeader(
            model=reference_pb2.ModelRef(name=name), manifest=artifact_pb2.Manifest(files=[file])
        )
    )


def chunk(data: bytes, offset: int) -> pb.UploadArtifactRequest:
    return pb.UploadArtifactRequest(
        chunk=artifact_pb2.FileChunk(file=0, offset=offset, data=data[offset : offset + CHUNK])
    )


class Upload:
    """An upload that goes as far as it is let."""

    def __init__(self, channel: grpc.Channel, name: str, data: bytes, *, stop_after: int) -> None:
        self._goes_on = threading.Event()
        self._name, self._data, self._stop_after = name, data, stop_after
        self.call: Any = ArtifactServiceStub(channel).UploadArtifact.future(self._messages())

    def go_on(self) -> None:
        self._goes_on.set()

    def _messages(self) -> Iterator[pb.UploadArtifactRequest]:
        messages = [header(self._name, self._data)]
        messages += [chunk(self._data, offset) for offset in range(0, len(self._data), CHUNK)]
        for number, message in enumerate(messages):
            if number == self._stop_after:
                self._goes_on.wait(60)
            yield message


def details(error: grpc.RpcError) -> tuple[str, str, error_details_pb2.RetryInfo | None]:
    """Status, reason, RetryInfo."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    found = None
    for detail in status.details:
        detail.Unpack(info)
        if detail.Unpack(retry):
            found = retry
    return error.code().name, info.reason, found


def require_all_slots_free(host: RunningServer, directory: Path) -> None:
    """As many uploads at once as there are slots, each whole."""

    def are_free() -> bool:
        with ExitStack() as stack:
            channel = stack.enter_context(host.channel())
            uploads = []
            for number in range(SLOTS):
                data = f"{directory}-{number}-{time.monotonic_ns()}".encode()
                uploads.append(Upload(channel, "slots", data, stop_after=1))
            for upload in uploads:
                upload.go_on()
            return all(upload.call.exception(20) is None for upload in uploads)

    wait_until(are_free, 20)


def require_nothing_visible(host: RunningServer, name: str) -> None:
    with host.connect() as registry, pytest.raises(registrar.NotFound) as absent:
        registry.model(name)
    assert absent.value.reason == "MODEL_NOT_FOUND"


@pytest.mark.parametrize("stop_after", [0, 1, 3])
def test_a_client_that_stalls_its_upload_is_told_and_gives_its_slot_back(
    host: RunningServer, unique_name: str, tmp_path: Path, stop_after: int
) -> None:
    with host.channel() as channel:
        upload = Upload(channel, unique_name, b"x" * (4 * CHUNK), stop_after=stop_after)
        with pytest.raises(grpc.RpcError) as refused:
            upload.call.result(20)
        upload.go_on()
    assert details(refused.value)[:2] == ("DEADLINE_EXCEEDED", "TRANSFER_STALLED")
    require_nothing_visible(host, unique_name)
    require_all_slots_free(host, tmp_path)


def test_when_all_slots_are_taken_the_next_upload_is_refused_at_once_and_small_calls_are_prompt(
    host: RunningServer, unique_name: str, tmp_path: Path
) -> None:
    with host.connect() as registry:
        registry.create_model(unique_name)
        with host.channel() as channel:
            data = b"x" * (60 * CHUNK)
            is_over = threading.Event()

            def begun(number: int) -> Any:
                requests = slowly(unique_name, data + bytes([number]), is_over)
                return ArtifactServiceStub(channel).UploadArtifact.future(requests)

            uploads = [begun(number) for number in range(SLOTS)]
            refusal: list[grpc.RpcError] = []

            def is_refused() -> bool:
                # One that came while an extra one had its slot, or one of the test before, was refused itself.
                uploads[:] = [begun(n) if upload.done() else upload for n, upload in enumerate(uploads)]
                began = time.monotonic()
                extra = Upload(channel, unique_name, b"extra", stop_after=99)
                error = extra.call.exception(20)
                if error is not None and time.monotonic() - began < 1:
                    refusal.append(error)
                return bool(refusal)

            wait_until(is_refused, 20)
            code, reason, retry = details(refusal[0])
            assert (code, reason) == ("RESOURCE_EXHAUSTED", "NO_TRANSFER_SLOT")
            assert retry is not None
            assert retry.retry_delay.ToMilliseconds() > 0
            for _ in range(20):
                began = time.monotonic()
                assert registry.is_serving(timeout_seconds=1)
                assert registry.model(unique_name).name == unique_name
                assert time.monotonic() - began < 1
            assert not any(upload.done() for upload in uploads)
            for upload in uploads:
                upload.cancel()
            is_over.set()
    require_all_slots_free(host, tmp_path)


def slowly(name: str, data: bytes, is_over: threading.Event) -> Iterator[pb.UploadArtifactRequest]:
    yield header(name, data)
    for offset in range(0, len(data), CHUNK):
        if is_over.wait(0.3):
            return
        yield chunk(data, offset)


def test_a_connection_cut_in_the_middle_of_an_upload_leaves_nothing_visible(
    host: RunningServer, unique_name: str, tmp_path: Path
) -> None:
    name, _, port = host.address.rpartition(":")
    data = b"x" * (8 * CHUNK)
    with TcpProxy(name, int(port)) as proxy, grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
        upload = Upload(channel, unique_name, data, stop_after=5)
        wait_until(lambda: proxy.forwarded_bytes > 3 * CHUNK, 20)
        proxy.cut()
        with pytest.raises(grpc.RpcError) as cut:
            upload.call.result(20)
        upload.go_on()
    assert cut.value.code() is grpc.StatusCode.UNAVAILABLE
    require_nothing_visible(host, unique_name)
    require_all_slots_free(host, tmp_path)
    with host.channel() as channel:
        whole = Upload(channel, unique_name, data, stop_after=99).call.result(30)
    assert whole.artifact.size_bytes == len(data)
    assert not whole.is_existing


@contextmanager
def unread_download(host: RunningServer, artifact_id: str) -> Iterator[Any]:
    """A download whose client takes the header and then nothing: flow control stops the server."""
    options = [("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0)]
    with grpc.insecure_channel(host.address, options=options) as channel:
        request = pb.DownloadFileRequest(artifact_id=artifact_id, path="model.bin")
        call: Any = ArtifactServiceStub(channel).DownloadFile(request)
        assert next(call).HasField("header")
        yield call
        call.cancel()


def require_all_download_slots_free(host: RunningServer, artifact_id: str) -> None:
    """As many downloads at once as there are slots are let in."""

    def are_free() -> bool:
        with ExitStack() as stack:
            try:
                for _ in range(SLOTS):
                    stack.enter_context(unread_download(host, artifact_id))
            except grpc.RpcError as refused:
                assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                return False
            return True

    wait_until(are_free, 20)


def test_a_client_that_stops_reading_gives_its_slot_back(host: RunningServer, unique_name: str) -> None:
    data = b"x" * (32 * CHUNK)
    with host.channel() as channel:
        artifact = Upload(channel, unique_name, data, stop_after=99).call.result(60).artifact
    with ExitStack() as stack:
        calls = [stack.enter_context(unread_download(host, artifact.id)) for _ in range(SLOTS)]
        require_all_download_slots_free(host, artifact.id)
        for call in calls:
            with pytest.raises(grpc.RpcError):
                received = sum(len(message.chunk.data) for message in call)
                assert received < len(data)
    with host.connect() as registry:
        version = registry.register(unique_name, artifact_id=artifact.id)
        assert b"".join(registry.download(version, "model.bin")) == data
