"""A bundle on its way straight to the store."""

from __future__ import annotations

import itertools
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

import registrar
from registrar.progress import Action, Progress
from registrar.upload import direct
from registrar.upload.report import UploadReport
from registrar.v1.artifact_service_pb2 import CreatePartUrlsRequest, RecordPartsRequest, WriteUploadRequest
from tests.unit.client.fake_state import Failure, State
from tests.unit.client.fake_store import Store, serve_part_store

MIB = 1 << 20


@pytest.fixture
def store(state: State) -> Iterator[Store]:
    state.part_bytes = MIB
    with serve_part_store(state) as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One file of several parts, small ones, an empty one."""
    made = tmp_path / "folder"
    made.mkdir()
    (made / "model.bin").write_bytes(random.Random(1).randbytes(9 * MIB + 777))
    (made / "empty").touch()
    for number in range(30):
        (made / f"{number}.txt").write_bytes(b"%d" % number * 500)
    return made


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stored(state: State, artifact: registrar.Artifact) -> dict[str, bytes]:
    return {path: data for path, (_, data) in state.bundles[artifact.id].files.items()}


def test_large_files_go_past_the_registry_and_small_ones_through_it(
    registry: registrar.Registry, folder: Path, state: State, store: Store
) -> None:
    report = UploadReport()
    heard: list[Progress] = []
    artifact = registry.upload(folder, name="a", direct=True, report=report, progress=heard.append)
    assert stored(state, artifact) == content(folder)
    assert len(state.seen(WriteUploadRequest)) == 1
    assert (report.sent_bytes, report.resent_bytes) == (report.total_bytes, 0)
    assert heard[-1] == Progress(Action.PUSH, report.total_bytes, report.total_bytes)
    assert len(store.paths) == len(set(store.paths)) == 10
    assert store.connections <= 4
    assert not state.errors


def test_many_parts_take_few_calls(registry: registrar.Registry, tmp_path: Path, state: State, store: Store) -> None:
    state.part_bytes = 100
    many = tmp_path / "many"
    many.mkdir()
    (many / "model.bin").write_bytes(random.Random(2).randbytes(150_000))
    assert stored(state, registry.upload(many, name="a", direct=True)) == content(many)
    assert len(store.paths) == 1500
    assert len(state.seen(CreatePartUrlsRequest)) == 2
    assert len(state.seen(RecordPartsRequest)) <= 8


@pytest.mark.parametrize("status", [500, 503, 403, 404])
def test_what_the_store_refuses_once_is_sent_again(
    registry: registrar.Registry, folder: Path, state: State, store: Store, status: int
) -> None:
    store.statuses = [200, 200, status, 200, 200, 200]
    report = UploadReport()
    assert stored(state, registry.upload(folder, name="a", direct=True, report=report)) == content(folder)
    assert len(store.paths) == len(set(store.paths)) + 1  # what was taken before is not sent again
    assert not state.errors


def test_parts_of_a_file_that_somebody_else_began_anew_are_sent_again(
    registry: registrar.Registry, folder: Path, state: State, store: Store
) -> None:
    store.statuses = [404] * 20
    assert stored(state, registry.upload(folder, name="a", direct=True)) == content(folder)


def test_what_the_store_refuses_always_is_an_error(
    registry: registrar.Registry, folder: Path, state: State, store: Store
) -> None:
    store.statuses = [403] * 1000
    with pytest.raises(registrar.PermissionDenied) as caught:
        registry.upload(folder, name="a", direct=True)
    assert caught.value.reason == "STORE_REFUSED"
    assert "403 Told" in caught.value.message
    assert "X-Amz-Signature" not in caught.value.message


def test_a_broken_connection_to_the_store_is_made_again(
    registry: registrar.Registry, folder: Path, state: State, store: Store
) -> None:
    store.hangs_up_at = [0, 1000, MIB]
    report = UploadReport()
    assert stored(state, registry.upload(folder, name="a", direct=True, report=report)) == content(folder)
    assert report.resent_bytes <= 3 * MIB
    assert not state.errors


@pytest.mark.parametrize("call", ["CreatePartUrls", "RecordParts"])
@pytest.mark.parametrize("is_late", [False, True])
def test_a_registry_that_does_not_answer_is_asked_again(
    registry: registrar.Registry, folder: Path, state: State, store: Store, call: str, is_late: bool
) -> None:
    state.fail_next(call, *[Failure(grpc.StatusCode.UNAVAILABLE, "DATABASE_BUSY", is_late=is_late)] * 2)
    assert stored(state, registry.upload(folder, name="a", direct=True)) == content(folder)
    assert not state.errors


def test_who_was_replaced_goes_on(registry: registrar.Registry, folder: Path, state: State, store: Store) -> None:
    state.fail_next("RecordParts", Failure(grpc.StatusCode.ABORTED, "WRITER_REPLACED"))
    assert stored(state, registry.upload(folder, name="a", direct=True)) == content(folder)


def test_urls_that_end_are_renewed(
    registry: registrar.Registry, folder: Path, state: State, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(step=direct.URL_SECONDS // 3)
    monkeypatch.setattr(direct, "monotonic", lambda: next(clock))
    assert stored(state, registry.upload(folder, name="a", direct=True, streams=1)) == content(folder)
    assert len(store.paths) == len(set(store.paths)) == 10
    assert len(state.seen(CreatePartUrlsRequest)) > 2


def test_a_store_out_of_reach_is_named(registry: registrar.Registry, folder: Path, state: State) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    state.store_url = f"http://127.0.0.1:{port}"
    with pytest.raises(registrar.Unavailable) as caught:
        registry.upload(folder, name="a", direct=True)
    assert caught.value.reason == "STORE_UNREACHABLE"
    assert f"127.0.0.1:{port}" in caught.value.message


def test_a_push_that_failed_goes_on_where_it_ended_by_either_way(
    registry: registrar.Registry, folder: Path, state: State, store: Store
) -> None:
    store.statuses = [200] * 5 + [403] * 1000
    with pytest.raises(registrar.PermissionDenied):
        registry.upload(folder, name="a", direct=True)
    received = next(iter(state.uploads.values())).received_bytes
    assert received
    report = UploadReport()
    assert stored(state, registry.upload(folder, name="a", report=report)) == content(folder)
    assert report.skipped_bytes == received
    assert not state.errors


@pytest.mark.parametrize("change", [b"", b"other"])
def test_a_file_that_changes_is_named(
    registry: registrar.Registry, folder: Path, state: State, store: Store, change: bytes
) -> None:
    def alter(progress: Progress) -> None:
        if progress.action is Action.PUSH and progress.done_bytes == 0:
            (folder / "model.bin").write_bytes(change)

    with pytest.raises(registrar.InvalidArgument) as caught:
        registry.upload(folder, name="a", direct=True, progress=alter)
    assert (caught.value.reason, caught.value.metadata) == ("FILE_CHANGED", {"path": "model.bin"})


def test_what_a_listener_raises_ends_it(registry: registrar.Registry, folder: Path, state: State, store: Store) -> None:
    def fail(progress: Progress) -> None:
        if progress.done_bytes and progress.action is Action.PUSH:
            raise ZeroDivisionError

    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        registry.upload(folder, name="a", direct=True, progress=fail)
    assert not state.bundles
    assert not [t for t in threading.enumerate() if t.name.startswith("registrar-push")], threads
