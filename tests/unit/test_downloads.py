"""Downloads and verifications on a real socket over a store of the test's own: what goes out, and what every end leaves."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import google_crc32c
import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from registrar.v1 import artifact_service_pb2 as pb
from registrar.v1.artifact_pb2 import ByteRange
from registrar.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from registrar_server.application.authentication import Authentication
from registrar_server.application.downloads import Downloads
from registrar_server.application.hashing import StreamDigest
from registrar_server.application.ports.clock import SystemClock
from registrar_server.application.transfers import Transfers
from registrar_server.application.verification import Verification
from registrar_server.domain.bundles import Bundle, BundleFile, FileType
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.tenants import TenantState
from registrar_server.domain.values import ModelKey
from registrar_server.transport.admission import Admission
from registrar_server.transport.credentials import read_credentials
from registrar_server.transport.framing import add_artifact_service
from registrar_server.transport.interceptors.call_context import call_context
from registrar_server.transport.interceptors.errors import error_guard
from registrar_server.transport.interceptors.guard import GuardInterceptor
from registrar_server.transport.services.downloads import DownloadRpcs
from registrar_server.transport.streams import Slots
from tests.fixtures.stores import wait_until

MEBIBYTE = 1 << 20
SLOTS = 3
UID = "0" * 32
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DATA = bytes(range(256)) * 40_000  # nearly ten blocks


def file_of(path: str, data: bytes) -> BundleFile:
    return BundleFile(path, len(data), hashlib.sha256(data).hexdigest(), FileType.OTHER)


@dataclass
class Site:
    """What is stored, how the store shall misbehave, and what is open there. It is database and store in one."""

    stored: dict[str, bytes] = field(default_factory=lambda: {"a": DATA, "b": b"small", "c": b""})
    files: list[BundleFile] = field(default_factory=list)
    fail_at: int | None = None
    """The store breaks off when so many bytes were read."""
    hold: threading.Event | None = None
    """Reading stops after the first block until it is set."""
    block_bytes: int = MEBIBYTE
    readers: int = 0
    verified: datetime | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.files = [file_of(path, data) for path, data in self.stored.items()]

    @property
    def bundle(self) -> Bundle:
        size = sum(file.size_bytes for file in self.files)
        bundle = Bundle(
            UID, ModelKey("default", "m"), "u", "", "p", "s3://b/p", size, len(self.files), "local", NOW, NOW
        )
        return replace(bundle, verify_time=self.verified or NOW)

    @contextmanager
    def open_reader(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[Iterator[bytes]]:
        with self.lock:
            self.readers += 1
        try:
            yield self._blocks(key.removeprefix("p/"), offset, length)
        finally:
            with self.lock:
                self.readers -= 1

    def _blocks(self, path: str, offset: int, length: int | None) -> Iterator[bytes]:
        if path not in self.stored:
            raise RegistrarError(Reason.ARTIFACT_FILE_NOT_FOUND, path)
        data = self.stored[path]
        end = len(data) if length is None else offset + length
        for start in range(offset, end, self.block_bytes):
            if self.fail_at is not None and start >= self.fail_at:
                raise RegistrarError(Reason.STORE_UNAVAILABLE, "the store is gone")
            yield data[start : min(start + self.block_bytes, end)]
            if self.hold is not None:
                self.hold.wait(20)

    def hash_object(self, key: str, *, on_bytes: Callable[[int], None]) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        with self.open_reader(key) as blocks:
            for block in blocks:
                on_bytes(len(block))
                digest.update(block)
                size += len(block)
        return size, digest.hexdigest()

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        yield _Transaction(self)

    reading = writing = transaction


class _Transaction:
    """As much of a transaction as reads a bundle."""

    def __init__(self, site: Site) -> None:
        self.bundles = self.tenants = self
        self._site = site

    def unusable(self) -> dict[str, TenantState]:
        return {}

    def transfer_limits(self) -> dict[str, int]:
        return {}

    def get(self, uid: str) -> Bundle | None:
        return self._site.bundle if uid == UID else None

    def file(self, _uid: str, path: str) -> BundleFile | None:
        return next((file for file in self._site.files if file.path == path), None)

    def files(self, _uid: str, *, after: str, limit: int) -> list[BundleFile]:
        return [file for file in sorted(self._site.files, key=lambda f: f.path) if file.path > after][:limit]

    def set_verified(self, _uid: str, when: datetime) -> None:
        self._site.verified = when


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def stub(site: Site) -> Iterator[ArtifactServiceStub]:
    backend: Any = site
    nobody: Any = None
    clock = SystemClock()
    make: Any = DownloadRpcs  # of the service's two halves one suffices here
    servicer = make(
        nobody,
        Downloads(backend, backend, clock),
        Verification(backend, backend, clock),
        Slots(SLOTS, "downloads"),
        Transfers(backend, clock, lambda: 1),
        stall_seconds=1,
    )
    admission = Admission(Authentication(backend, clock, None, is_required=False), read_credentials)
    pool = ThreadPoolExecutor(8, thread_name_prefix="rpc")
    server = grpc.server(pool, interceptors=[GuardInterceptor(call_context, error_guard, admit=admission.wrap)])
    add_artifact_service(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    options = [("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        yield ArtifactServiceStub(channel)
    server.stop(None).wait()
    pool.shutdown()


def ask(path: str = "a", **fields: Any) -> pb.DownloadFileRequest:
    return pb.DownloadFileRequest(artifact_id=UID, path=path, **fields)


def reason_of(error: grpc.RpcError) -> str:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return info.reason


def require_nothing_left(stub: ArtifactServiceStub, site: Site) -> None:
    """No reader of the store is open, no thread of a download runs, and every slot is free."""
    site.hold = site.fail_at = None
    wait_until(lambda: site.readers == 0, 20)
    wait_until(
        lambda: not {"stream-digest", "verification"} & {t.name.split("_")[0] for t in threading.enumerate()}, 20
    )

    def are_free() -> bool:
        calls: list[Any] = [stub.DownloadFile(ask()) for _ in range(SLOTS)]
        try:
            return all(next(call).HasField("header") for call in calls)
        except grpc.RpcError as exc:
            assert exc.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            return False
        finally:
            for call in calls:
                call.cancel()

    wait_until(are_free, 20)


@pytest.mark.parametrize("block_bytes", [MEBIBYTE, 300_000, 7_001])
@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, 1), (5, 0), (0, len(DATA)), (MEBIBYTE - 1, 2)])
def test_what_goes_out_is_what_was_asked_for_in_chunks_that_hold(
    stub: ArtifactServiceStub, site: Site, offset: int, length: int, block_bytes: int
) -> None:
    site.block_bytes = block_bytes
    messages = list(stub.DownloadFile(ask(range=ByteRange(offset=offset, length=length))))
    data = b"".join(message.chunk.data for message in messages[1:-1])
    assert data == DATA[offset : offset + length if length else None]
    position = offset
    for message in messages[1:-1]:
        assert message.chunk.offset == position
        assert 0 < len(message.chunk.data) <= MEBIBYTE
        assert google_crc32c.value(message.chunk.data) == message.chunk.crc32c
        position += len(message.chunk.data)
    assert messages[0].header.range == ByteRange(offset=offset, length=len(data))
    assert messages[-1].trailer.sha256 == hashlib.sha256(data).hexdigest()
    assert messages[-1].trailer.size_bytes == len(data)
    require_nothing_left(stub, site)


def test_many_files_at_once_do_not_mix(stub: ArtifactServiceStub, site: Site) -> None:
    def fetch(path: str) -> bytes:
        return b"".join(message.chunk.data for message in stub.DownloadFile(ask(path)))

    with ThreadPoolExecutor(SLOTS) as executor:
        found = list(executor.map(fetch, ["a", "b", "c"]))
    assert found == [DATA, b"small", b""]


@pytest.mark.parametrize("damage", ["first byte", "last byte", "shorter", "gone"])
def test_a_file_that_is_not_what_was_pushed_never_goes_out_whole(
    stub: ArtifactServiceStub, site: Site, damage: str
) -> None:
    match damage:
        case "first byte":
            site.stored["a"] = b"?" + DATA[1:]
        case "last byte":
            site.stored["a"] = DATA[:-1] + b"?"
        case "shorter":
            site.stored["a"] = DATA[:-1]
        case _:
            del site.stored["a"]
    arrived: list[pb.DownloadFileResponse] = []
    with pytest.raises(grpc.RpcError) as refused:
        arrived.extend(stub.DownloadFile(ask()))
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.DATA_LOSS, "ARTIFACT_CORRUPT")
    assert sum(len(message.chunk.data) for message in arrived) < len(DATA)
    require_nothing_left(stub, site)


def test_a_store_that_breaks_off_ends_the_download_and_leaves_nothing(stub: ArtifactServiceStub, site: Site) -> None:
    site.fail_at = 3 * MEBIBYTE
    with pytest.raises(grpc.RpcError) as refused:
        list(stub.DownloadFile(ask()))
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    require_nothing_left(stub, site)


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_client_that_goes_away_leaves_nothing(stub: ArtifactServiceStub, site: Site, taken: int) -> None:
    calls: list[Any] = [stub.DownloadFile(ask()) for _ in range(SLOTS)]
    for call in calls:
        for _ in range(taken):
            next(call)
        call.cancel()
    require_nothing_left(stub, site)


def test_a_client_that_takes_nothing_loses_its_slot_and_leaves_nothing(stub: ArtifactServiceStub, site: Site) -> None:
    calls: list[Any] = [stub.DownloadFile(ask()) for _ in range(SLOTS)]
    for call in calls:
        assert next(call).HasField("header")
    wait_until(lambda: site.readers == 0, 20)
    for call in calls:
        with pytest.raises(grpc.RpcError):
            list(call)
    require_nothing_left(stub, site)


def verify(stub: ArtifactServiceStub) -> list[pb.VerifyArtifactResponse]:
    return list(stub.VerifyArtifact(pb.VerifyArtifactRequest(artifact_id=UID)))


def test_a_bundle_that_holds_is_verified_and_that_is_recorded(stub: ArtifactServiceStub, site: Site) -> None:
    messages = verify(stub)
    files = {message.file.file.path: message.file for message in messages if message.HasField("file")}
    assert set(files) == {"a", "b", "c"}
    assert all(file.is_intact and file.stored_sha256 == file.file.sha256 for file in files.values())
    assert messages[-1].artifact.verify_time.ToDatetime(UTC) == site.verified is not None
    require_nothing_left(stub, site)


def test_every_file_that_does_not_hold_is_named_before_the_verification_fails(
    stub: ArtifactServiceStub, site: Site
) -> None:
    site.stored["a"] = DATA + b"?"
    del site.stored["b"]
    arrived: list[pb.VerifyArtifactResponse] = []
    with pytest.raises(grpc.RpcError) as refused:
        arrived.extend(stub.VerifyArtifact(pb.VerifyArtifactRequest(artifact_id=UID)))
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.DATA_LOSS, "ARTIFACT_CORRUPT")
    assert "a, b" in (refused.value.details() or "")
    files = {message.file.file.path: message.file for message in arrived if message.HasField("file")}
    assert {path: file.is_intact for path, file in files.items()} == {"a": False, "b": False, "c": True}
    assert files["a"].stored_sha256 == hashlib.sha256(DATA + b"?").hexdigest()
    assert files["a"].stored_size_bytes == len(DATA) + 1
    assert (files["b"].stored_sha256, files["b"].stored_size_bytes) == ("", 0)
    assert site.verified is None
    require_nothing_left(stub, site)


def test_a_long_verification_says_how_far_it_is(stub: ArtifactServiceStub, site: Site) -> None:
    big = bytes(MEBIBYTE) * 200
    site.stored = {"big": big}
    site.files = [file_of("big", big)]
    told = [message.progress for message in verify(stub) if message.HasField("progress")]
    assert 3 <= len(told) <= 3 + 60  # every 64 MiB, and once a second where that is slow
    assert [progress.checked_bytes for progress in told] == sorted(progress.checked_bytes for progress in told)
    assert all(0 <= progress.checked_bytes <= progress.total_bytes == len(big) for progress in told)


def test_a_verification_whose_caller_goes_away_ends(stub: ArtifactServiceStub, site: Site) -> None:
    site.hold = threading.Event()
    call: Any = stub.VerifyArtifact(pb.VerifyArtifactRequest(artifact_id=UID))
    wait_until(lambda: site.readers > 0, 20)
    call.cancel()
    held, site.hold = site.hold, None
    held.set()
    require_nothing_left(stub, site)
    assert site.verified is None


def test_a_verification_of_a_store_that_is_gone_is_unavailable(stub: ArtifactServiceStub, site: Site) -> None:
    site.fail_at = 0
    with pytest.raises(grpc.RpcError) as refused:
        verify(stub)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert site.verified is None
    require_nothing_left(stub, site)


@pytest.mark.parametrize("sizes", [[], [0], [5], [5, 7], [MEBIBYTE] * 20, [1, 0, 3]])
def test_a_digest_that_is_taken_beside_is_that_of_all_blocks(sizes: list[int]) -> None:
    blocks = [bytes([number]) * size for number, size in enumerate(sizes)]
    digest = StreamDigest()
    for block in blocks:
        digest.update(block)
    assert digest.hexdigest() == hashlib.sha256(b"".join(blocks)).hexdigest()
    digest.close()
    assert "stream-digest" not in {thread.name for thread in threading.enumerate()}
