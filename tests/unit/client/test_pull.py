"""Pulls that break off and go on, that share a destination, that fetch ranges side by side, through the registry or not."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import registrar
from registrar.download.ranges import Ranges
from registrar.progress import Progress
from registrar.v1.artifact_service_pb2 import CreateDownloadUrlsRequest, DownloadFileRequest
from tests.fixtures.stores import wait_until
from tests.unit.client.fake_reading_store import ReadingStore, serve_reading_store
from tests.unit.client.fake_state import State

TOTAL = 5120 + 4000 + 2


@pytest.fixture
def pushed(registry: registrar.Registry, bundle: Path) -> registrar.ModelVersion:
    return registry.push(bundle, name="a")


@pytest.fixture
def store(state: State) -> Iterator[ReadingStore]:
    with serve_reading_store(state) as served:
        yield served


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of several ranges."""
    monkeypatch.setattr("registrar.download.crew.RANGE_BYTES", 700)
    monkeypatch.setattr("registrar.download.crew.CORES", 8)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def partial_of(folder: Path) -> Path:
    (found,) = folder.glob(".out.*.partial")
    return found


def interrupt_at(size_bytes: int) -> Callable[[Progress], None]:
    def listen(progress: Progress) -> None:
        if progress.done_bytes - progress.skipped_bytes >= size_bytes:
            raise KeyboardInterrupt

    return listen


def interrupt(registry: registrar.Registry, folder: Path, size_bytes: int = 3000) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        registry.pull("a/1", folder / "out", progress=interrupt_at(size_bytes))
    assert any("the same pull goes on with it" in note for note in caught.value.__notes__)


def asked_bytes(state: State, since: int) -> int:
    """How much the downloads after the first `since` asked for."""
    sizes = {file.path: file.size_bytes for b in state.bundles.values() for file, _ in b.files.values()}
    return sum(
        request.range.length or sizes[request.path] - request.range.offset
        for request in state.seen(DownloadFileRequest)[since:]
    )


@pytest.mark.usefixtures("pushed")
def test_an_interrupted_pull_goes_on_with_what_has_come(
    registry: registrar.Registry, bundle: Path, state: State, tmp_path: Path
) -> None:
    interrupt(registry, tmp_path)
    assert not (tmp_path / "out").exists()
    since = len(state.seen(DownloadFileRequest))
    heard: list[Progress] = []
    assert content(registry.pull("a/1", tmp_path / "out", progress=heard.append)) == content(bundle)
    assert names(tmp_path) == {"bundle", "out"}
    assert heard[-1].skipped_bytes >= 3000
    assert heard[-1].done_bytes == TOTAL
    assert asked_bytes(state, since) == TOTAL - heard[-1].skipped_bytes


@pytest.mark.usefixtures("pushed")
def test_a_pull_that_is_interrupted_over_and_over_ends_whole(
    registry: registrar.Registry, bundle: Path, state: State, tmp_path: Path
) -> None:
    for _ in range(20):
        try:
            folder = registry.pull("a/1", tmp_path / "out", progress=interrupt_at(1000))
        except KeyboardInterrupt:
            continue
        assert content(folder) == content(bundle)
        break
    else:
        pytest.fail("it does not get on")
    assert asked_bytes(state, 0) <= 20 * TOTAL


@pytest.mark.usefixtures("pushed")
def test_a_killed_pull_goes_on_with_what_it_noted(
    registry: registrar.Registry, bundle: Path, state: State, tmp_path: Path, target: str
) -> None:
    state.hold_downloads = threading.Event()
    program = (
        "import registrar, registrar.download.crew as crew\n"
        "crew.NOTE_BYTES = 1000\n"
        f"registrar.connect({target!r}).pull('a/1', 'out')\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path) as process:
        wait_until(lambda: any(path.stat().st_size for path in tmp_path.glob(".out.*.partial/pieces")), 60)
        process.send_signal(signal.SIGKILL)
    state.hold_downloads.set()
    since = len(state.seen(DownloadFileRequest))
    assert content(registry.pull("a/1", tmp_path / "out")) == content(bundle)
    assert asked_bytes(state, since) <= TOTAL - 1000
    assert names(tmp_path) == {"bundle", "out"}


@pytest.mark.usefixtures("pushed")
@pytest.mark.parametrize(
    "damage", ["changed", "shorter", "longer", "gone", "link", "folder", "journal", "half a line", "more"]
)
def test_what_an_earlier_pull_left_is_not_trusted(
    registry: registrar.Registry, bundle: Path, tmp_path: Path, damage: str
) -> None:
    interrupt(registry, tmp_path, 4500)
    partial = partial_of(tmp_path)
    model, pieces = partial / "files" / "model.pkl", partial / "pieces"
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    match damage:
        case "changed":
            model.write_bytes(b"?" + model.read_bytes()[1:])
        case "shorter":
            os.truncate(model, 10)
        case "longer":
            model.write_bytes(model.read_bytes() + b"x" * 10_000)
        case "gone":
            model.unlink()
        case "link":
            model.unlink()
            model.symlink_to(precious)
        case "folder":
            model.unlink()
            model.mkdir()
            (model / "extra").write_bytes(b"x")
        case "journal":
            pieces.write_text("3 0 5120\n0 99999999 7\n99 0 1\nnonsense\n")
        case "half a line":
            pieces.write_text(pieces.read_text() + "3 0 51")
        case _:
            (partial / "files" / "sub").mkdir()
            (partial / "files" / "sub" / "extra").write_bytes(b"x")
    assert content(registry.pull("a/1", tmp_path / "out")) == content(bundle)
    assert names(tmp_path / "out") == names(bundle)
    assert precious.read_bytes() == b"mine"
    assert names(tmp_path) == {"bundle", "out", "precious"}


@pytest.mark.usefixtures("pushed")
def test_a_file_that_came_whole_is_not_fetched_again(
    registry: registrar.Registry, state: State, tmp_path: Path
) -> None:
    interrupt(registry, tmp_path, TOTAL)
    since = len(state.seen(DownloadFileRequest))
    registry.pull("a/1", tmp_path / "out")
    assert len(state.seen(DownloadFileRequest)) == since


@pytest.mark.usefixtures("pushed")
def test_two_pulls_at_once_do_each_other_no_harm(
    registry: registrar.Registry, bundle: Path, state: State, tmp_path: Path
) -> None:
    state.hold_downloads = threading.Event()
    with ThreadPoolExecutor() as executor:
        first = executor.submit(registry.pull, "a/1", tmp_path / "out")
        assert state.download_held.wait(20)
        second = executor.submit(registry.pull, "a/1", tmp_path / "out")
        wait_until(lambda: len(list(tmp_path.glob(".out.*.partial"))) == 2, 20)
        state.hold_downloads.set()
        outcomes = [future.exception() for future in (first, second)]
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AlreadyExists", "NoneType"]
    assert content(tmp_path / "out") == content(bundle)
    assert names(tmp_path) == {"bundle", "out"}


@pytest.mark.usefixtures("pushed")
def test_a_pull_removes_what_pulls_of_other_bundles_to_the_same_place_left_unless_they_run(
    registry: registrar.Registry, bundle: Path, state: State, tmp_path: Path
) -> None:
    interrupt(registry, tmp_path)
    (tmp_path / ".out.notours.partial").mkdir()
    (bundle / "model.pkl").write_bytes(b"other" * 1000)
    registry.push(bundle, name="a")
    (bundle / "model.pkl").write_bytes(b"third" * 1000)
    registry.push(bundle, name="a")
    state.hold_downloads = threading.Event()
    with ThreadPoolExecutor() as executor:
        running = executor.submit(registry.pull, "a/2", tmp_path / "out")
        assert state.download_held.wait(20)
        held, state.hold_downloads = state.hold_downloads, None
        registry.pull("a/3", tmp_path / "out")
        assert len(names(tmp_path)) == 4  # the bundle, what was pulled, what runs, and what is not ours
        held.set()
        assert isinstance(running.exception(), registrar.AlreadyExists)
    assert names(tmp_path) == {"bundle", "out", ".out.notours.partial"}


@pytest.mark.usefixtures("pushed", "small_ranges")
def test_ranges_that_come_in_any_order_make_the_file(
    registry: registrar.Registry, bundle: Path, state: State, tmp_path: Path
) -> None:
    state.break_download_at = [1500, 800, 3000, 4900]
    assert content(registry.pull("a/1", tmp_path / "out")) == content(bundle)
    assert {request.range.offset for request in state.seen(DownloadFileRequest)} >= set(range(700, 5120, 700))


@pytest.mark.usefixtures("pushed", "small_ranges")
def test_a_flipped_byte_in_a_range_ends_in_data_loss_and_leaves_nothing(
    registry: registrar.Registry, state: State, tmp_path: Path
) -> None:
    state.flip_byte_of = "model.pkl"
    with pytest.raises(registrar.DataLoss) as caught:
        registry.pull("a/1", tmp_path / "out")
    assert (caught.value.reason, caught.value.metadata) == ("DOWNLOAD_CORRUPT", {"path": "model.pkl"})
    assert names(tmp_path) == {"bundle"}


@pytest.mark.usefixtures("pushed")
def test_who_finds_no_slot_waits_for_the_others(target: str, bundle: Path, state: State, tmp_path: Path) -> None:
    state.download_slots = 1
    state.hold_downloads = threading.Event()
    at_once = registrar.RetryPolicy(initial_seconds=0.01, maximum_seconds=0.01)
    with (
        registrar.connect(target, retry=at_once, timeout_seconds=0.2) as impatient,
        ThreadPoolExecutor() as executor,
    ):
        pulled = executor.submit(impatient.pull, "a/1", tmp_path / "out")
        wait_until(lambda: state.refused_downloads > 100 or pulled.done(), 20)
        state.hold_downloads.set()
        assert content(pulled.result(20)) == content(bundle)


@pytest.mark.usefixtures("pushed")
def test_a_download_that_stands_still_begins_again_where_it_stopped(
    target: str, bundle: Path, state: State, tmp_path: Path
) -> None:
    state.hold_downloads = threading.Event()
    at_once = registrar.RetryPolicy(initial_seconds=0.0, maximum_seconds=0.0)
    with (
        registrar.connect(target, retry=at_once, timeout_seconds=1) as impatient,
        ThreadPoolExecutor() as executor,
    ):
        pulled = executor.submit(impatient.pull, "a/1", tmp_path / "out")
        wait_until(lambda: any(r.range.offset for r in state.seen(DownloadFileRequest)) or pulled.done(), 20)
        state.hold_downloads.set()
        assert content(pulled.result(20)) == content(bundle)


@pytest.mark.usefixtures("pushed")
def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(
    registry: registrar.Registry, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10_000, 9_000, 1_000))
    with pytest.raises(registrar.ResourceExhausted) as caught:
        registry.pull("a/1", tmp_path / "out")
    assert caught.value.reason == "DISK_FULL"
    assert f"{TOTAL} bytes are needed, and 1000 are free" in caught.value.message
    assert not state.seen(DownloadFileRequest)
    assert names(tmp_path) == {"bundle"}


@pytest.mark.usefixtures("pushed")
def test_a_disk_that_fills_up_is_said_and_the_pull_goes_on_when_there_is_room(
    registry: registrar.Registry, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0
    write = os.pwrite

    def fill(descriptor: int, data: bytes, offset: int) -> int:
        nonlocal written
        written += len(data)
        if written > 3000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data, offset)

    with monkeypatch.context() as patched:
        patched.setattr("os.pwrite", fill)
        with pytest.raises(registrar.ResourceExhausted) as caught:
            registry.pull("a/1", tmp_path / "out")
    assert caught.value.reason == "DISK_FULL"
    assert any("the same pull goes on with it" in note for note in caught.value.__notes__)
    assert content(registry.pull("a/1", tmp_path / "out")) == content(bundle)


@pytest.mark.usefixtures("pushed")
def test_a_registry_that_is_gone_leaves_what_has_come(
    registry: registrar.Registry, state: State, target: str, bundle: Path, tmp_path: Path
) -> None:
    at_once = registrar.RetryPolicy(initial_seconds=0.01, maximum_seconds=0.01)
    state.break_download_at = [2000] * 100_000
    with (
        registrar.connect(target, retry=at_once, timeout_seconds=0.3) as impatient,
        pytest.raises(registrar.Unavailable) as caught,
    ):
        impatient.pull("a/1", tmp_path / "out")
    assert any("the same pull goes on with it" in note for note in caught.value.__notes__)
    state.break_download_at = []
    assert content(registry.pull("a/1", tmp_path / "out")) == content(bundle)
    assert names(tmp_path) == {"bundle", "out"}


@pytest.mark.usefixtures("pushed")
@pytest.mark.parametrize("is_direct", [False, True])
def test_closing_the_registry_ends_a_pull_that_can_go_on_later(
    registry: registrar.Registry, target: str, bundle: Path, store: ReadingStore, tmp_path: Path, is_direct: bool
) -> None:
    closed = registrar.connect(target)

    def close(progress: Progress) -> None:
        if progress.done_bytes:
            closed.close()

    # A store that is only busy must not keep the pull alive.
    store.statuses = [0] + [503] * 10_000
    with pytest.raises(registrar.InvalidArgument) as caught:
        closed.pull("a/1", tmp_path / "out", direct=is_direct, progress=close)
    assert caught.value.reason == "CLOSED"
    store.statuses = []
    assert content(registry.pull("a/1", tmp_path / "out")) == content(bundle)
    assert names(tmp_path) == {"bundle", "out"}


class TestDirect:
    @pytest.mark.usefixtures("pushed", "small_ranges")
    def test_the_bytes_come_from_the_store_in_ranges_over_few_connections(
        self, registry: registrar.Registry, bundle: Path, state: State, store: ReadingStore, tmp_path: Path
    ) -> None:
        assert content(registry.pull("a/1", tmp_path / "out", direct=True)) == content(bundle)
        assert not state.seen(DownloadFileRequest)
        assert ("model.pkl", "bytes=700-1399") in store.requests
        assert ("config.json", "") in store.requests
        assert store.connections <= 4
        (asked,) = state.seen(CreateDownloadUrlsRequest)
        assert (list(asked.paths), asked.ttl.seconds) == (["config.json", "data/vocab.txt", "model.pkl"], 900)

    @pytest.mark.usefixtures("pushed")
    def test_a_broken_connection_goes_on_where_it_broke(
        self, registry: registrar.Registry, bundle: Path, store: ReadingStore, tmp_path: Path
    ) -> None:
        store.cut_after = [1000, 1000, 1, 0, 1, 500]
        store.statuses = [503]
        assert content(registry.pull("a/1", tmp_path / "out", direct=True)) == content(bundle)
        assert not store.cut_after
        assert any(wanted for _, wanted in store.requests)

    @pytest.mark.usefixtures("pushed")
    def test_urls_that_expired_are_renewed(
        self, registry: registrar.Registry, bundle: Path, state: State, store: ReadingStore, tmp_path: Path
    ) -> None:
        store.expired_epochs = {state.epoch + 1}
        assert content(registry.pull("a/1", tmp_path / "out", direct=True)) == content(bundle)
        assert len(state.seen(CreateDownloadUrlsRequest)) == 2

    @pytest.mark.usefixtures("pushed")
    def test_a_store_that_refuses_every_url_is_told_without_the_url(
        self, registry: registrar.Registry, store: ReadingStore, tmp_path: Path
    ) -> None:
        store.expired_epochs = set(range(100))
        with pytest.raises(registrar.PermissionDenied) as caught:
            registry.pull("a/1", tmp_path / "out", direct=True)
        assert caught.value.reason == "STORE_REFUSED"
        assert "403 AccessDenied" in caught.value.message
        assert "epoch" not in str(caught.value)
        assert names(tmp_path) == {"bundle"}

    @pytest.mark.usefixtures("pushed")
    @pytest.mark.parametrize("fault", ["flipped", "gone"])
    def test_what_is_not_what_was_pushed_ends_in_data_loss_and_leaves_nothing(
        self, registry: registrar.Registry, store: ReadingStore, tmp_path: Path, fault: str
    ) -> None:
        if fault == "flipped":
            store.flip_byte_of = "data/vocab.txt"
        else:
            store.statuses = [404]
        with pytest.raises(registrar.DataLoss):
            registry.pull("a/1", tmp_path / "out", direct=True)
        assert names(tmp_path) == {"bundle"}

    @pytest.mark.usefixtures("pushed")
    def test_an_interrupted_pull_goes_on_by_the_other_way(
        self, registry: registrar.Registry, bundle: Path, store: ReadingStore, tmp_path: Path
    ) -> None:
        interrupt(registry, tmp_path)
        assert content(registry.pull("a/1", tmp_path / "out", direct=True)) == content(bundle)
        assert any(wanted for _, wanted in store.requests)


@pytest.mark.usefixtures("pushed")
def test_urls_are_given_for_all_files_or_for_those_that_are_named(registry: registrar.Registry, state: State) -> None:
    state.store_url = "http://store"
    every = registry.download_urls("a/1")
    assert [entry.file.path for entry in every] == ["config.json", "data/vocab.txt", "empty", "model.pkl"]
    assert every[3].url.startswith("http://store/")
    assert "http" not in repr(every)
    (one,) = registry.download_urls("a/1", ["model.pkl", "model.pkl"], ttl_seconds=60)
    assert one.file.size_bytes == 5120
    assert state.seen(CreateDownloadUrlsRequest)[-1].ttl.seconds == 60
    assert registry.download_urls("a/1", []) == []


@given(added=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=12), size=st.integers(0, 90))
def test_ranges_know_what_is_there_and_what_is_missing(added: list[tuple[int, int]], size: int) -> None:
    ranges, bytes_there = Ranges(), set[int]()
    for start, length in added:
        if start + length <= size:
            ranges.add(start, start + length)
            bytes_there |= set(range(start, start + length))
    missing = {at for start, end in ranges.gaps(size) for at in range(start, end)}
    assert missing == set(range(size)) - bytes_there
    assert ranges.size_bytes == len(bytes_there)
    assert ranges.end == max(bytes_there, default=-1) + 1
    for position in range(size):
        end = ranges.end_from(position)
        assert set(range(position, end)) <= bytes_there
        assert end not in bytes_there
