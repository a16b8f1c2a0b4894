"""A bundle on its way up, with what can happen to it."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

import registrar
from registrar.checksum import crc32c
from registrar.progress import Action, Progress
from registrar.retry import RetryPolicy
from registrar.upload import streams
from registrar.upload.report import UploadReport
from registrar.v1.artifact_service_pb2 import (
    CreateUploadRequest,
    GetUploadRequest,
    WriteUploadRequest,
)
from tests.fixtures.stores import wait_until
from tests.unit.client.fake_state import Failure, State
from tests.unit.client.fake_uploads import Fault

Code = grpc.StatusCode
MIB = 1 << 20
IN_FLIGHT = 6
"""MiB that are on their way, in the buffers of both sides, when a stream breaks."""


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stored(state: State, artifact: registrar.Artifact) -> dict[str, bytes]:
    return {path: data for path, (_, data) in state.bundles[artifact.id].files.items()}


@pytest.fixture
def large(tmp_path: Path, state: State) -> Path:
    """A folder with one file of twelve parts, and small ones."""
    state.part_bytes = MIB
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "model.bin").write_bytes(random.Random(1).randbytes(11 * MIB + 12345))
    for number in range(20):
        (folder / f"{number}.txt").write_bytes(b"%d" % number * 1000)
    return folder


def test_what_arrives_is_what_was_sent(registry: registrar.Registry, large: Path, state: State) -> None:
    report = UploadReport()
    artifact = registry.upload(large, name="a", report=report)
    assert stored(state, artifact) == content(large)
    assert report.sent_bytes == report.total_bytes == sum(map(len, content(large).values()))
    assert (report.resent_bytes, report.skipped_bytes) == (0, 0)
    assert report.upload_id == artifact.id
    assert not state.errors


@pytest.mark.parametrize("files", [{"empty": b""}, {"a": b"", "b": b""}, {"one": b"1"}, {"a": b"x" * 3000, "b": b""}])
def test_empty_and_tiny_files_arrive(
    registry: registrar.Registry, tmp_path: Path, state: State, files: dict[str, bytes]
) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    assert stored(state, registry.upload(folder, name="a")) == files
    assert not state.errors


def test_ten_thousand_files_go_in_few_streams(registry: registrar.Registry, tmp_path: Path, state: State) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number:05}").write_bytes(b"%d" % number)
    artifact = registry.upload(folder, name="a")
    assert artifact.file_count == 10_000
    assert stored(state, artifact) == content(folder)
    assert len(state.seen(WriteUploadRequest)) == 10
    assert not state.errors


BREAKS = [
    (Code.UNAVAILABLE, ""),
    (Code.UNAVAILABLE, "STORE_UNAVAILABLE"),
    (Code.INTERNAL, ""),
    (Code.CANCELLED, ""),
    (Code.DEADLINE_EXCEEDED, "TRANSFER_STALLED"),
    (Code.ABORTED, "WRITER_REPLACED"),
    (Code.OUT_OF_RANGE, "RANGE_NOT_MISSING"),
    (Code.INVALID_ARGUMENT, "CHUNK_CORRUPT"),
]


@pytest.mark.parametrize(("code", "reason"), BREAKS)
def test_a_broken_stream_goes_on_where_it_broke(
    registry: registrar.Registry, large: Path, state: State, code: grpc.StatusCode, reason: str
) -> None:
    state.faults = [Fault(3 * MIB + 5, code, reason), Fault(4 * MIB, code, reason)]
    report = UploadReport()
    assert stored(state, registry.upload(large, name="a", report=report)) == content(large)
    assert not state.faults
    assert not state.errors  # one of them: what was durable already was sent again
    assert 0 < report.resent_bytes <= 2 * (1 + IN_FLIGHT) * MIB


@pytest.mark.parametrize("seed", range(5))
def test_whatever_breaks_wherever_the_bytes_arrive(
    registry: registrar.Registry, large: Path, state: State, seed: int
) -> None:
    dice = random.Random(seed)
    points = sorted(dice.randrange(11 * MIB) for _ in range(6))
    state.faults = [Fault(point // 2, *dice.choice(BREAKS)) for point in points]
    state.slots = dice.choice([1, 2, 100])
    state.fail_next("GetUpload", *[Failure(Code.UNAVAILABLE, "DATABASE_BUSY")] * dice.randrange(3))
    state.fail_next("CommitUpload", Failure(Code.UNAVAILABLE, is_late=True))
    report = UploadReport()
    artifact = registry.upload(large, name="a", streams=dice.choice([1, 3]), split_bytes=2 * MIB, report=report)
    assert stored(state, artifact) == content(large)
    assert not state.errors
    assert report.resent_bytes <= 6 * (1 + IN_FLIGHT) * MIB


def test_fewer_slots_than_streams_are_shared(registry: registrar.Registry, large: Path, state: State) -> None:
    state.slots = 1
    state.faults = [Fault(1, act=lambda: wait_until(lambda: state.refused_writers > 2, 30))]
    artifact = registry.upload(large, name="a", streams=4, split_bytes=MIB)
    assert stored(state, artifact) == content(large)
    assert state.most_writers == 1


def test_without_a_slot_it_waits_no_longer_than_it_may(target: str, large: Path, state: State) -> None:
    state.slots = 0
    with registrar.connect(target, timeout_seconds=1, retry=RetryPolicy(0.05, 0.1)) as registry:
        with pytest.raises(registrar.ResourceExhausted) as caught:
            registry.upload(large, name="a")
    assert caught.value.reason == "NO_TRANSFER_SLOT"


def test_a_stream_that_nobody_reads_is_given_up_for_another_connection(target: str, large: Path, state: State) -> None:
    held = threading.Event()

    def hold() -> None:
        held.wait(60)

    state.faults = [Fault(2 * MIB, act=hold)]
    with registrar.connect(target, timeout_seconds=4, retry=RetryPolicy(0, 0)) as registry:
        report = UploadReport()
        artifact = registry.upload(large, name="a", streams=1, report=report)
    held.set()
    assert stored(state, artifact) == content(large)
    assert report.resent_bytes > 0


def test_a_session_that_is_gone_is_opened_again(registry: registrar.Registry, large: Path, state: State) -> None:
    state.faults = [Fault(5 * MIB, act=state.uploads.clear)]
    assert stored(state, registry.upload(large, name="a")) == content(large)
    assert len(state.seen(CreateUploadRequest)) == 2


def test_a_session_that_is_gone_again_and_again_is_an_error(
    registry: registrar.Registry, large: Path, state: State
) -> None:
    state.fail_next("CommitUpload", *[Failure(Code.NOT_FOUND, "UPLOAD_NOT_FOUND")] * 50)
    with pytest.raises(registrar.NotFound):
        registry.upload(large, name="a")
    assert len(state.seen(CreateUploadRequest)) < 10


def test_what_is_missed_at_the_end_is_sent(registry: registrar.Registry, large: Path, state: State) -> None:
    state.fail_next("CommitUpload", Failure(Code.FAILED_PRECONDITION, "UPLOAD_INCOMPLETE"))
    state.most_ranges = 5
    assert stored(state, registry.upload(large, name="a")) == content(large)
    assert not state.errors


def test_what_is_missed_again_and_again_is_an_error(registry: registrar.Registry, large: Path, state: State) -> None:
    state.fail_next("CommitUpload", *[Failure(Code.FAILED_PRECONDITION, "UPLOAD_INCOMPLETE")] * 50)
    with pytest.raises(registrar.FailedPrecondition) as caught:
        registry.upload(large, name="a")
    assert caught.value.reason == "UPLOAD_INCOMPLETE"


def test_a_file_damaged_on_its_way_is_sent_once_more(registry: registrar.Registry, large: Path, state: State) -> None:
    state.damaged_files = 1
    report = UploadReport()
    assert stored(state, registry.upload(large, name="a", report=report)) == content(large)
    assert report.resent_bytes > 0


def test_a_file_damaged_twice_is_an_error(registry: registrar.Registry, large: Path, state: State) -> None:
    (large / "0.txt").unlink()
    state.damaged_files = 1000
    with pytest.raises(registrar.InvalidArgument) as caught:
        registry.upload(large, name="a")
    assert caught.value.reason == "DIGEST_MISMATCH"
    assert not state.bundles


def test_what_the_store_copies_is_not_sent(registry: registrar.Registry, large: Path, state: State) -> None:
    state.copied_paths = {"model.bin": 1}
    heard: list[Progress] = []
    report = UploadReport()
    registry.upload(large, name="a", report=report, progress=heard.append)
    size = (large / "model.bin").stat().st_size
    assert report.skipped_bytes == size
    assert report.sent_bytes == report.total_bytes - size
    assert heard[-1] == Progress(Action.PUSH, report.total_bytes, report.total_bytes, size)


def test_what_the_store_cannot_copy_is_sent(registry: registrar.Registry, large: Path, state: State) -> None:
    state.copied_paths = {"model.bin": 1, "3.txt": 1}
    state.is_copying_broken = True
    assert stored(state, registry.upload(large, name="a")) == content(large)


def test_a_registry_that_still_reads_back_is_waited_for(
    registry: registrar.Registry, bundle: Path, state: State
) -> None:
    state.pending_files = [3, 3, 2, 1]
    heard: list[Progress] = []
    registry.upload(bundle, name="a", progress=heard.append)
    assert [progress.waiting_files for progress in heard if progress.waiting_files] == [3, 3, 2, 1]


def test_a_push_that_failed_goes_on_where_it_ended(registry: registrar.Registry, large: Path, state: State) -> None:
    state.faults = [Fault(6 * MIB + 1, Code.RESOURCE_EXHAUSTED, "STORE_FULL")]
    with pytest.raises(registrar.ResourceExhausted):
        registry.upload(large, name="a", streams=1)
    received = next(iter(state.uploads.values())).received_bytes
    assert received >= 5 * MIB
    heard: list[Progress] = []
    report = UploadReport()
    artifact = registry.upload(large, name="a", report=report, progress=heard.append)
    assert stored(state, artifact) == content(large)
    assert (report.skipped_bytes, report.sent_bytes) == (received, report.total_bytes - received)
    assert not state.errors
    first_sent = next(p for p in heard if p.action is Action.PUSH and p.done_bytes)
    assert first_sent == Progress(Action.PUSH, received, report.total_bytes, received)


def test_a_server_that_breaks_off_at_each_part_is_given_up(
    registry: registrar.Registry, large: Path, state: State
) -> None:
    state.part_bytes = 16 * MIB
    state.faults = [Fault(3 * MIB) for _ in range(100)]
    with pytest.raises(registrar.Unavailable):
        registry.upload(large, name="a", streams=1)
    assert len(state.faults) > 80


def test_who_pushes_the_same_meanwhile_shares_the_session(target: str, large: Path, state: State) -> None:
    def push(_: int) -> registrar.Artifact:
        retry = RetryPolicy(initial_seconds=0.01, maximum_seconds=0.2)
        with registrar.connect(target, retry=retry, timeout_seconds=20) as registry:
            return registry.upload(large, name="a")

    with ThreadPoolExecutor(3) as executor:
        artifacts = list(executor.map(push, range(3)))
    assert len({artifact.id for artifact in artifacts}) == 1
    assert stored(state, artifacts[0]) == content(large)


def test_a_refused_upload_is_not_tried_again(registry: registrar.Registry, bundle: Path, state: State) -> None:
    state.fail_next("WriteUpload", Failure(Code.RESOURCE_EXHAUSTED, "STORE_FULL"))
    with pytest.raises(registrar.ResourceExhausted):
        registry.upload(bundle, name="a")
    assert len(state.seen(WriteUploadRequest)) == 1
    assert not state.bundles


@pytest.mark.parametrize("change", ["shrinks", "grows", "is written to", "goes away"])
def test_a_file_that_changes_while_it_is_pushed_is_named(
    registry: registrar.Registry, bundle: Path, state: State, change: str
) -> None:
    def alter(progress: Progress) -> None:
        path = bundle / "model.pkl"
        if progress.action is Action.PUSH and progress.done_bytes == 0:
            data = path.read_bytes() if path.exists() else b""
            match change:
                case "shrinks":
                    path.write_bytes(data[:-1])
                case "grows":
                    path.write_bytes(data + b"1")
                case "is written to":
                    path.write_bytes(b"1" + data[1:])
                case _:
                    path.unlink(missing_ok=True)

    with pytest.raises(registrar.InvalidArgument) as caught:
        registry.upload(bundle, name="a", progress=alter)
    assert (caught.value.reason, caught.value.metadata) == ("FILE_CHANGED", {"path": "model.pkl"})
    assert "model.pkl" in caught.value.message
    assert not state.bundles


def test_what_a_listener_raises_ends_an_upload(registry: registrar.Registry, large: Path, state: State) -> None:
    def fail(progress: Progress) -> None:
        if progress.action is Action.PUSH and progress.done_bytes:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        registry.upload(large, name="a", progress=fail)
    assert not state.bundles


def test_closing_the_registry_ends_an_upload(target: str, large: Path, state: State) -> None:
    is_writing, held = threading.Event(), threading.Event()

    def hold() -> None:
        is_writing.set()
        held.wait(60)

    state.faults = [Fault(MIB, act=hold) for _ in range(10)]
    with ThreadPoolExecutor(1) as executor:
        registry = registrar.connect(target)
        pushing = executor.submit(registry.upload, large, name="a", streams=4, split_bytes=MIB)
        assert is_writing.wait(20)
        registry.close()
        with pytest.raises(registrar.InvalidArgument) as caught:
            pushing.result(20)
        held.set()
    assert caught.value.reason == "CLOSED"


def test_an_older_registry_is_named(registry: registrar.Registry, bundle: Path, state: State) -> None:
    state.fail_next("CreateUpload", Failure(Code.UNIMPLEMENTED))
    with pytest.raises(registrar.Unimplemented) as caught:
        registry.upload(bundle, name="a")
    assert "older than this client" in caught.value.message
    assert caught.value.reason == "METHOD_NOT_IMPLEMENTED"


def test_a_bundle_that_is_there_costs_one_call(registry: registrar.Registry, bundle: Path, state: State) -> None:
    first = registry.upload(bundle, name="a")
    before = len(state.requests)
    report = UploadReport()
    assert registry.upload(bundle, name="a", report=report).id == first.id
    assert [type(request) for request in state.requests[before:]] == [CreateUploadRequest]
    assert (report.skipped_bytes, report.sent_bytes) == (report.total_bytes, 0)


def test_an_aborted_upload_begins_anew(registry: registrar.Registry, large: Path, state: State) -> None:
    state.faults = [Fault(6 * MIB, Code.RESOURCE_EXHAUSTED, "STORE_FULL")]
    report = UploadReport()
    with pytest.raises(registrar.ResourceExhausted):
        registry.upload(large, name="a", report=report)
    registry.abort_upload(report.upload_id)
    registry.abort_upload(report.upload_id)
    again = UploadReport()
    artifact = registry.upload(large, name="a", report=again)
    assert again.skipped_bytes == 0
    with pytest.raises(registrar.FailedPrecondition) as caught:
        registry.abort_upload(artifact.id)
    assert caught.value.reason == "UPLOAD_COMMITTED"


def test_every_chunk_has_its_checksum(registry: registrar.Registry, large: Path, state: State) -> None:
    assert crc32c is not None
    registry.upload(large, name="a")
    assert state.unchecked_chunks == 0


def test_without_a_fast_checksum_chunks_go_without(
    registry: registrar.Registry, bundle: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "crc32c", None)
    assert stored(state, registry.upload(bundle, name="a")) == content(bundle)
    assert state.unchecked_chunks >= 3


def test_nothing_is_asked_about_a_push_that_does_not_break(
    registry: registrar.Registry, large: Path, state: State
) -> None:
    registry.upload(large, name="a")
    assert not state.seen(GetUploadRequest)


def test_the_bar_shows_what_is_there_already_and_what_is_waited_for(
    registry: registrar.Registry,
    bundle: Path,
    state: State,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    state.copied_paths = {"model.pkl": 1}
    state.pending_files = [2]
    registry.upload(bundle, name="a", progress=True)
    shown = capsys.readouterr().err
    assert "Hashing" in shown
    assert "(5.0 KiB there already)" in shown
    assert "Finishing, 2 files left" in shown
    assert shown.rstrip("\r\n").endswith("\x1b[2K")  # it leaves nothing behind
