"""Bundles on their way, with what can happen to them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

import registrar
from registrar.progress import Action, Progress
from registrar.v1.artifact_service_pb2 import CreateUploadRequest, DownloadFileRequest, WriteUploadRequest
from tests.unit.client.fake_state import Failure, State
from tests.unit.client.servicer import serve


@pytest.fixture
def pushed(registry: registrar.Registry, bundle: Path) -> registrar.ModelVersion:
    return registry.push(bundle, name="a")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_pushed_is_what_is_pulled(
    registry: registrar.Registry, pushed: registrar.ModelVersion, bundle: Path, tmp_path: Path
) -> None:
    folder = registry.pull("a/1", tmp_path / "deep" / "out")
    assert content(folder) == content(bundle)
    assert names(folder.parent) == {"out"}
    assert registry.artifact(pushed).file_count == 4
    assert [file.path for file in registry.files(pushed)] == ["config.json", "data/vocab.txt", "empty", "model.pkl"]


def test_what_the_registry_has_is_not_sent_again(
    registry: registrar.Registry, pushed: registrar.ModelVersion, bundle: Path, state: State
) -> None:
    again = registry.push(bundle, name="a")
    assert (again.version, again.artifact_id) == (2, pushed.artifact_id)
    assert len(state.seen(CreateUploadRequest)) == 2
    assert len(state.seen(WriteUploadRequest)) == 1


@pytest.mark.usefixtures("pushed")
def test_a_broken_download_goes_on_where_it_broke(registry: registrar.Registry, bundle: Path, state: State) -> None:
    state.break_download_at = [2000, 3000, 4000]
    assert b"".join(registry.download("a/1", "model.pkl")) == (bundle / "model.pkl").read_bytes()
    assert [r.range.offset for r in state.seen(DownloadFileRequest)] == [0, 2000, 3000, 4000]


@pytest.mark.usefixtures("pushed")
def test_a_chunk_that_was_damaged_on_its_way_is_fetched_again(
    registry: registrar.Registry, bundle: Path, state: State
) -> None:
    state.damaged_chunks = 1
    assert b"".join(registry.download("a/1", "model.pkl")) == (bundle / "model.pkl").read_bytes()
    assert [request.range.offset for request in state.seen(DownloadFileRequest)] == [0, 0]


@pytest.mark.usefixtures("pushed")
def test_chunks_that_are_always_damaged_end_in_data_loss(target: str, state: State) -> None:
    state.damaged_chunks = 1_000_000
    with registrar.connect(target, timeout_seconds=0.5) as impatient, pytest.raises(registrar.DataLoss) as caught:
        b"".join(impatient.download("a/1", "model.pkl"))
    assert (caught.value.reason, caught.value.metadata["offset"]) == ("CHUNK_CORRUPT", "0")


@pytest.mark.usefixtures("pushed")
def test_a_range_is_what_was_asked_for(registry: registrar.Registry, bundle: Path, state: State) -> None:
    state.break_download_at = [2500]
    got = b"".join(registry.download("a/1", "model.pkl", offset=500, length=3000))
    assert got == (bundle / "model.pkl").read_bytes()[500:3500]
    assert b"".join(registry.download("a/1", "model.pkl", offset=5000)) == (bundle / "model.pkl").read_bytes()[5000:]


@pytest.mark.usefixtures("pushed")
def test_a_flipped_byte_ends_in_data_loss(registry: registrar.Registry, state: State) -> None:
    state.flip_byte_of = "model.pkl"
    with pytest.raises(registrar.DataLoss):
        b"".join(registry.download("a/1", "model.pkl"))


@pytest.mark.usefixtures("pushed")
def test_a_stream_without_its_end_is_no_file(registry: registrar.Registry, state: State) -> None:
    state.omit_trailer = True
    with pytest.raises(registrar.DataLoss):
        b"".join(registry.download("a/1", "model.pkl"))


@pytest.mark.usefixtures("pushed")
@pytest.mark.parametrize("fault", ["flip", "trailer", "break", "manifest"])
def test_a_pull_that_fails_leaves_nothing(
    registry: registrar.Registry, state: State, tmp_path: Path, fault: str
) -> None:
    before = names(tmp_path)
    stored = next(iter(state.bundles.values()))
    match fault:
        case "flip":
            state.flip_byte_of = "data/vocab.txt"
        case "trailer":
            state.omit_trailer = True
        case "break":
            state.fail_next("GetArtifact", Failure(grpc.StatusCode.INTERNAL))
        case _:
            stored.files["config.json"][0].size_bytes += 1
    with pytest.raises((registrar.DataLoss, registrar.Internal)):
        registry.pull("a/1", tmp_path / "out")
    assert names(tmp_path) == before


@pytest.mark.usefixtures("pushed")
@pytest.mark.parametrize("path", ["../escaped", "/etc/escaped", "a/../../escaped", "a\\..\\escaped", "CONFIG.JSON"])
def test_a_path_that_would_escape_or_collide_is_refused(
    registry: registrar.Registry, state: State, tmp_path: Path, path: str
) -> None:
    stored = next(iter(state.bundles.values()))
    before = names(tmp_path)
    stored.files["empty"][0].path = path
    with pytest.raises(registrar.DataLoss) as caught:
        registry.pull("a/1", tmp_path / "out")
    assert caught.value.reason == "MANIFEST_CORRUPT"
    assert names(tmp_path) == before


@pytest.mark.usefixtures("pushed")
def test_an_existing_destination_is_refused_and_untouched(registry: registrar.Registry, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("kept")
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("nowhere")
    for taken in ("full", "file", "link"):
        with pytest.raises(registrar.AlreadyExists) as caught:
            registry.pull("a/1", tmp_path / taken)
        assert caught.value.reason == "DESTINATION_EXISTS"
    assert (tmp_path / "full" / "mine").read_text() == (tmp_path / "file").read_text() == "kept"


@pytest.mark.usefixtures("pushed")
def test_an_empty_destination_is_filled(registry: registrar.Registry, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert content(registry.pull("a/1", tmp_path / "out")) == content(bundle)


@pytest.mark.usefixtures("pushed")
def test_an_alias_that_moves_meanwhile_does_not_mix_two_versions(
    registry: registrar.Registry, bundle: Path, tmp_path: Path
) -> None:
    registry.set_alias("a", "x", 1)
    before = content(bundle)
    (bundle / "model.pkl").write_bytes(b"other" * 1000)
    registry.push(bundle, name="a")

    def move(progress: Progress) -> None:
        if progress.done_bytes == 0:
            registry.set_alias("a", "x", 2)

    assert content(registry.pull("a@x", tmp_path / "out", progress=move)) == before


def test_bytes_go_to_the_bulk_endpoint_that_is_announced(bundle: Path, tmp_path: Path) -> None:
    state = State()
    bulk = State(bundles=state.bundles, uploads=state.uploads)
    with serve(bulk) as bulk_target, serve(state) as target, registrar.connect(target) as registry:
        state.bulk_endpoint = bulk_target
        registry.push(bundle, name="a")
        assert content(registry.pull("a/1", tmp_path / "out")) == content(bundle)
    assert len(bulk.seen(WriteUploadRequest)) == 1
    assert not state.seen(WriteUploadRequest)
    assert len(bulk.seen(DownloadFileRequest)) == 3
    assert not state.seen(DownloadFileRequest)


def test_one_registry_serves_many_threads(registry: registrar.Registry, bundle: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as executor:
        pushed = list(executor.map(lambda i: registry.push(bundle, name=f"m{i}"), range(8)))
        pulled = list(executor.map(lambda version: registry.pull(version, tmp_path / version.name), pushed))
    assert all(content(folder) == content(bundle) for folder in pulled)


def test_a_listener_hears_the_begin_the_middle_and_the_end(
    registry: registrar.Registry, bundle: Path, tmp_path: Path
) -> None:
    heard: list[Progress] = []
    registry.push(bundle, name="a", progress=heard.append)
    registry.pull("a/1", tmp_path / "out", progress=heard.append)
    total = sum(len(data) for data in content(bundle).values())
    for action in (Action.HASH, Action.PUSH, Action.PULL):
        of_action = [progress for progress in heard if progress.action is action]
        assert of_action[0].done_bytes == 0
        assert of_action[-1] == Progress(action, total, total)
        assert len(of_action) > 2


def test_in_a_pipe_nothing_is_shown_and_on_a_terminal_a_bar(
    registry: registrar.Registry, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.upload(bundle, name="a")
    assert capsys.readouterr() == ("", "")
    registry.upload(bundle, name="b", progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Pushing" in shown.err
