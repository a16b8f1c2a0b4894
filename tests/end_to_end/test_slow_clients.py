"""Slow clients, one and many: each costs a slot and little memory, is ended in time, and small calls go on meanwhile."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

import registrar
from registrar.v1 import artifact_pb2, reference_pb2
from registrar.v1 import artifact_service_pb2 as pb
from registrar.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from tests.fixtures.process_tree import child_of
from tests.fixtures.proxy import TcpProxy
from tests.fixtures.server import RunningServer, running_server
from tests.fixtures.stores import wait_until

SLOTS = 3
STALL_SECONDS = 2
CHUNK = 1 << 20
LARGE = 128 * CHUNK
ABOVE_IDLE = 24 * CHUNK
"""What a transfer that stands still may hold: buffers of two parts, and what gRPC has in its window."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with three slots of each kind that gives up after two seconds."""
    settings = {"REGISTRAR_STALL_SECONDS": str(STALL_SECONDS), "REGISTRAR_TRANSFER_SLOTS": str(SLOTS)}
    with running_server(tmp_path_factory.mktemp("slow"), settings) as started:
        yield started


@pytest.fixture(scope="module")
def large(host: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> registrar.ModelVersion:
    """A version with a file that is larger than what may be in memory."""
    file = tmp_path_factory.mktemp("large") / "model.bin"
    with file.open("wb") as opened:
        for _ in range(LARGE // CHUNK):
            opened.write(os.urandom(CHUNK))
    with host.connect() as registry:
        return registry.push(file, name="large", progress=False)


class SlowUpload:
    """An upload that sends `quick_bytes` at once, and then what `slowly` gives."""

    def __init__(
        self, channel: grpc.Channel, name: str, *, quick_bytes: int, slowly: Callable[[], Iterator[bytes]]
    ) -> None:
        self.is_slow = threading.Event()
        self._name, self._quick_bytes, self._slowly = name, quick_bytes, slowly
        self.call: Any = ArtifactServiceStub(channel).UploadArtifact.future(self._messages())

    def _messages(self) -> Iterator[pb.UploadArtifactRequest]:
        digest = hashlib.sha256(os.urandom(32)).hexdigest()
        file = artifact_pb2.BundleFile(path="model.bin", size_bytes=LARGE, sha256=digest)
        header = pb.UploadArtifactHeader(
            model=reference_pb2.ModelRef(name=self._name), manifest=artifact_pb2.Manifest(files=[file])
        )
        yield pb.UploadArtifactRequest(header=header)
        offset = 0
        for data in self._data():
            yield pb.UploadArtifactRequest(chunk=artifact_pb2.FileChunk(offset=offset, data=data))
            offset += len(data)

    def _data(self) -> Iterator[bytes]:
        for _ in range(self._quick_bytes // CHUNK):
            yield bytes(CHUNK)
        self.is_slow.set()
        yield from self._slowly()


@contextmanager
def unread_download(host: RunningServer, version: registrar.ModelVersion) -> Iterator[Any]:
    """A download whose client takes the header and then nothing.

    Tried for a while: slots that were just given up are free when the server has heard of it.
    """
    options = [("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0)]
    with grpc.insecure_channel(host.address, options=options) as channel:
        request = pb.DownloadFileRequest(artifact_id=version.artifact_id, path="model.bin")
        deadline = time.monotonic() + 5
        while True:
            call: Any = ArtifactServiceStub(channel).DownloadFile(request)
            try:
                assert next(call).HasField("header")
                break
            except grpc.RpcError as refused:
                if refused.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield call
        call.cancel()


def refusal_of(call: Any) -> grpc.RpcError:
    """What a call that is refused at once ends with."""
    try:
        next(call)
    except grpc.RpcError as error:
        return error
    call.cancel()
    raise AssertionError("it was not refused")


def stood_still(error: grpc.RpcError | None) -> bool:
    assert error is not None
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    return "stood still" in str(error.details())


def require_slots(host: RunningServer, version: registrar.ModelVersion, tmp_path: Path) -> None:
    """All slots of both kinds are free: as many transfers at once come to their ends, or as far as they are let."""

    def are_free() -> bool:
        may_end = threading.Event()
        with ExitStack() as stack, host.channel() as channel:
            for _ in range(SLOTS):
                stack.enter_context(unread_download(host, version))
            uploads = [
                SlowUpload(channel, "slots", quick_bytes=0, slowly=lambda: iter([b"x"] if may_end.wait(20) else []))
                for _ in range(SLOTS)
            ]
            is_refused = any(upload.call.done() for upload in uploads)
            may_end.set()
            for upload in uploads:
                # Too few bytes: what is said of the content says that it was let in.
                error = upload.call.exception(20)
                is_refused = is_refused or error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            return not is_refused

    def try_again() -> bool:
        try:
            return are_free()
        except grpc.RpcError as refused:
            assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            return False

    wait_until(try_again, 30)


def byte_by_byte(is_over: threading.Event) -> Iterator[bytes]:
    while not is_over.wait(0.2):
        yield b"x"


def steadily(is_over: threading.Event) -> Iterator[bytes]:
    """Fast enough to be let go on."""
    while not is_over.wait(0.2):
        yield bytes(CHUNK // 4)


def nothing(is_over: threading.Event) -> Iterator[bytes]:
    is_over.wait(60)
    yield from ()


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("slowly", [byte_by_byte, nothing])
def test_an_upload_that_becomes_slow_is_ended_and_its_slot_is_free(
    host: RunningServer,
    large: registrar.ModelVersion,
    unique_name: str,
    tmp_path: Path,
    slowly: Callable[[threading.Event], Iterator[bytes]],
) -> None:
    # What the test before has cancelled may still be on its way out.
    require_slots(host, large, tmp_path)
    is_over = threading.Event()
    with host.channel() as channel:
        upload = SlowUpload(channel, unique_name, quick_bytes=3 * CHUNK, slowly=lambda: slowly(is_over))
        assert stood_still(upload.call.exception(30))
        is_over.set()
    require_slots(host, large, tmp_path)


def test_a_network_that_swallows_an_upload_costs_its_slot_no_longer_than_that(
    host: RunningServer, large: registrar.ModelVersion, unique_name: str, tmp_path: Path
) -> None:
    name, _, port = host.address.rpartition(":")
    is_over = threading.Event()
    with TcpProxy(name, int(port)) as proxy, grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
        uploads = [
            SlowUpload(channel, unique_name, quick_bytes=8 * CHUNK, slowly=lambda: nothing(is_over))
            for _ in range(SLOTS)
        ]
        # All of them have a slot by then: one that reached the server after the stall only would end otherwise.
        wait_until(lambda: proxy.forwarded_bytes >= SLOTS * 8 * CHUNK, 20)
        proxy.stall()
        require_slots(host, large, tmp_path)
        is_over.set()
        proxy.resume()
        assert all(stood_still(upload.call.exception(20)) for upload in uploads)


def test_uploads_leave_the_downloads_their_slots_and_the_other_way_round(
    host: RunningServer, large: registrar.ModelVersion, unique_name: str, tmp_path: Path
) -> None:
    # What the test before has cancelled may still be on its way out.
    require_slots(host, large, tmp_path)
    is_over = threading.Event()
    with ExitStack() as stack:
        channel = stack.enter_context(host.channel())
        stack.callback(is_over.set)
        uploads = [
            SlowUpload(channel, unique_name, quick_bytes=0, slowly=lambda: steadily(is_over)) for _ in range(SLOTS + 1)
        ]
        wait_until(lambda: any(upload.call.done() for upload in uploads), 20)
        (refused,) = [upload.call.exception() for upload in uploads if upload.call.done()]
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for _ in range(SLOTS):
            stack.enter_context(unread_download(host, large))
        request = pb.DownloadFileRequest(artifact_id=large.artifact_id, path="model.bin")
        error = refusal_of(ArtifactServiceStub(channel).DownloadFile(request))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert sum(upload.call.done() for upload in uploads) == 1


def test_slow_clients_in_every_slot_cost_little_memory_and_hold_up_no_small_call(
    host: RunningServer, large: registrar.ModelVersion, unique_name: str, tmp_path: Path
) -> None:
    worker = child_of(host.process.pid, "registrar_server.child worker")
    assert worker
    require_slots(host, large, tmp_path)
    is_over = threading.Event()
    idle = resident_bytes(worker)
    with ExitStack() as stack:
        registry = stack.enter_context(host.connect())
        channel = stack.enter_context(host.channel())
        stack.callback(is_over.set)
        downloads = [stack.enter_context(unread_download(host, large)) for _ in range(SLOTS)]
        uploads = [
            SlowUpload(channel, unique_name, quick_bytes=32 * CHUNK, slowly=lambda: byte_by_byte(is_over))
            for _ in range(SLOTS)
        ]
        most, calls = 0, 0
        while not all(upload.call.done() for upload in uploads):
            began = time.monotonic()
            assert registry.get(large.ref).version == large.version
            assert registry.is_serving(timeout_seconds=1)
            assert time.monotonic() - began < 1
            most, calls = max(most, resident_bytes(worker)), calls + 1
        assert all(stood_still(upload.call.exception()) for upload in uploads)
        for call in downloads:
            with pytest.raises(grpc.RpcError):
                assert sum(len(message.chunk.data) for message in call) < LARGE
    assert calls > SLOTS
    assert most - idle < 2 * SLOTS * ABOVE_IDLE
    require_slots(host, large, tmp_path)
