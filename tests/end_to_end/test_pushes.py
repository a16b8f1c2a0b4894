"""What the SDK sends, and what it does not, to a whole server."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import registrar
from registrar import UploadReport
from tests.fixtures.server import RunningServer

PART = 8 << 20
SHARD = 2 * PART + 12_345


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Shards of several parts, small files and an empty one, of bytes that nobody has pushed."""
    made = tmp_path / "model"
    (made / "tokenizer").mkdir(parents=True)
    for number in range(3):
        (made / f"shard-{number}.safetensors").write_bytes(secrets.token_bytes(SHARD))
    (made / "tokenizer" / "vocab.txt").write_bytes(secrets.token_bytes(5000))
    (made / "empty").touch()
    return made


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def require_stored(registry: registrar.Registry, name: str, artifact: registrar.Artifact, folder: Path) -> None:
    version = registry.register(name, artifact_id=artifact.id)
    expected = content(folder)
    for file in registry.files(version):
        assert b"".join(registry.download(version, file.path)) == expected.pop(file.path)
    assert not expected


@pytest.mark.parametrize("direct", [False, True])
def test_what_is_pushed_is_stored_and_sent_once(
    registry: registrar.Registry, folder: Path, unique_name: str, direct: bool
) -> None:
    report = UploadReport()
    artifact = registry.upload(folder, name=unique_name, direct=direct, report=report)
    assert (report.sent_bytes, report.resent_bytes, report.skipped_bytes) == (report.total_bytes, 0, 0)
    assert artifact.id == report.upload_id
    require_stored(registry, unique_name, artifact, folder)


def test_a_file_split_among_streams_is_put_together(
    registry: registrar.Registry, folder: Path, unique_name: str
) -> None:
    for path in folder.glob("shard-[12]*"):
        path.unlink()
    report = UploadReport()
    artifact = registry.upload(folder, name=unique_name, streams=3, split_bytes=PART, report=report)
    assert report.resent_bytes == 0
    require_stored(registry, unique_name, artifact, folder)


@pytest.mark.parametrize("direct", [False, True])
def test_of_a_new_version_only_what_changed_is_sent(
    registry: registrar.Registry, folder: Path, unique_name: str, direct: bool
) -> None:
    registry.upload(folder, name=unique_name)
    (folder / "shard-1.safetensors").write_bytes(secrets.token_bytes(SHARD))
    report = UploadReport()
    artifact = registry.upload(folder, name=unique_name, direct=direct, report=report)
    assert report.sent_bytes == SHARD
    require_stored(registry, unique_name, artifact, folder)


def test_what_another_model_has_is_not_sent(registry: registrar.Registry, folder: Path, unique_name: str) -> None:
    registry.upload(folder, name=unique_name)
    report = UploadReport()
    artifact = registry.upload(folder, name=f"{unique_name}-again", report=report)
    assert report.sent_bytes == 0
    require_stored(registry, f"{unique_name}-again", artifact, folder)


def test_a_thousand_small_files_are_stored(registry: registrar.Registry, tmp_path: Path, unique_name: str) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1500):
        (folder / f"{number:04}.json").write_bytes(secrets.token_bytes(100 + number))
    report = UploadReport()
    artifact = registry.upload(folder, name=unique_name, report=report)
    assert (artifact.file_count, report.resent_bytes) == (1500, 0)
    version = registry.register(unique_name, artifact_id=artifact.id)
    pulled = registry.pull(version, tmp_path / "pulled", progress=False)
    assert content(pulled) == content(folder)


def test_who_pushes_the_same_at_the_same_time_gets_the_same_bundle(
    server: RunningServer, folder: Path, unique_name: str
) -> None:
    def push(direct: bool) -> registrar.Artifact:
        with server.connect() as registry:
            return registry.upload(folder, name=unique_name, direct=direct)

    with ThreadPoolExecutor(3) as executor:
        artifacts = list(executor.map(push, [False, True, False]))
    assert len({artifact.id for artifact in artifacts}) == 1
    with server.connect() as registry:
        require_stored(registry, unique_name, artifacts[0], folder)


def test_an_upload_that_was_given_up_is_gone(registry: registrar.Registry, folder: Path, unique_name: str) -> None:
    class GiveUp(Exception):
        """Raised on the way."""

    def give_up(progress: registrar.Progress) -> None:
        if progress.action is registrar.Action.PUSH and progress.done_bytes > SHARD:
            raise GiveUp

    report = UploadReport()
    with pytest.raises(GiveUp):
        registry.upload(folder, name=unique_name, report=report, progress=give_up)
    registry.abort_upload(report.upload_id)
    registry.abort_upload(report.upload_id)
    again = UploadReport()
    artifact = registry.upload(folder, name=unique_name, report=again)
    assert again.skipped_bytes == 0
    require_stored(registry, unique_name, artifact, folder)
    with pytest.raises(registrar.FailedPrecondition) as caught:
        registry.abort_upload(artifact.id)
    assert caught.value.reason == "UPLOAD_COMMITTED"
