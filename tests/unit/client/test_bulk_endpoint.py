"""Where bytes go: to the bulk endpoint that the server announces, or, when that is no use, to the server."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

import registrar
from registrar.v1.admin_service_pb2 import GetServerInfoRequest
from registrar.v1.artifact_service_pb2 import DownloadFileRequest
from tests.unit.client.fake_state import State
from tests.unit.client.servicer import serve


@pytest.fixture
def pushed(registry: registrar.Registry, bundle: Path) -> registrar.ModelVersion:
    """A version that is there before anybody speaks of a bulk endpoint."""
    return registry.push(bundle, name="a")


def pull(target: str, folder: Path) -> None:
    with registrar.connect(target) as registry:
        assert (registry.pull("a/1", folder) / "model.pkl").read_bytes() == bytes(range(256)) * 20


def test_the_endpoint_that_answers_is_used_without_a_word(
    state: State, target: str, pushed: registrar.ModelVersion, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bulk = State(bundles=state.bundles)
    with serve(bulk) as state.bulk_endpoint, caplog.at_level(logging.WARNING):
        pull(target, tmp_path / "out")
    assert bulk.seen(DownloadFileRequest)
    assert not state.seen(DownloadFileRequest)
    assert not caplog.records


def test_when_nobody_listens_there_bytes_go_to_the_server_with_a_warning(
    state: State, target: str, pushed: registrar.ModelVersion, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        state.bulk_endpoint = f"127.0.0.1:{unused.getsockname()[1]}"
        pull(target, tmp_path / "out")
    assert state.seen(DownloadFileRequest)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for told in (target, state.bulk_endpoint, "UNREACHABLE"):
        assert told in record.getMessage()


def test_another_registry_at_the_endpoint_gets_nothing(
    state: State, target: str, pushed: registrar.ModelVersion, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = State(artifact_root="s3://elsewhere")
    with serve(other) as state.bulk_endpoint:
        pull(target, tmp_path / "out")
    assert other.seen(GetServerInfoRequest)
    assert not other.seen(DownloadFileRequest)
    assert "another registry" in caplog.text


def test_what_is_wrong_with_a_transfer_is_not_taken_for_an_endpoint_that_is_no_use(
    state: State, target: str, pushed: registrar.ModelVersion, tmp_path: Path
) -> None:
    bulk = State(bundles=state.bundles, flip_byte_of="model.pkl")
    with serve(bulk) as state.bulk_endpoint, pytest.raises(registrar.DataLoss):
        pull(target, tmp_path / "out")
    assert not state.seen(DownloadFileRequest)


def test_the_endpoint_is_asked_for_once(
    state: State, target: str, pushed: registrar.ModelVersion, tmp_path: Path
) -> None:
    bulk = State(bundles=state.bundles)
    with serve(bulk) as state.bulk_endpoint, registrar.connect(target) as registry:
        for number in range(3):
            registry.pull("a/1", tmp_path / str(number))
    assert len(bulk.seen(GetServerInfoRequest)) == 1
