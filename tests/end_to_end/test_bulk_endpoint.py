"""The bulk endpoint: a process of its own that takes the bytes, watched, drained and announced like a worker."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from registrar.v1 import artifact_pb2, reference_pb2
from registrar.v1 import artifact_service_pb2 as pb
from registrar.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from registrar.v1.model_service_pb2 import GetModelRequest
from registrar.v1.model_service_pb2_grpc import ModelServiceStub
from tests.end_to_end.test_processes import require_refused, run
from tests.fixtures.process_tree import child_of
from tests.fixtures.server import MakeServer, RunningServer, running_server
from tests.fixtures.stores import wait_until

BULK = ("--bulk-listen", "127.0.0.1:0")
STREAMS = ("UploadArtifact", "WriteUpload", "DownloadFile")
CHUNK = 1 << 20


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with a bulk process."""
    with running_server(tmp_path_factory.mktemp("bulk"), {}, BULK) as started:
        yield started


def bulk_endpoint(host: RunningServer) -> str:
    with host.connect() as registry:
        return registry.server_info().bulk_endpoint


def finished(host: RunningServer, process: str) -> list[str]:
    """Lines of the log about streams that a process has ended."""
    return [
        line
        for line in list(host.log_lines)
        if "rpc.finished" in line and json.loads(line)["process"] == process and any(name in line for name in STREAMS)
    ]


def upload_messages(
    name: str, data: bytes, may_end: threading.Event, is_under_way: threading.Event | None = None
) -> Iterator[pb.UploadArtifactRequest]:
    """An upload whose last chunk waits for an event."""
    file = artifact_pb2.BundleFile(path="model.bin", size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    header = pb.UploadArtifactHeader(
        model=reference_pb2.ModelRef(name=name), manifest=artifact_pb2.Manifest(files=[file])
    )
    yield pb.UploadArtifactRequest(header=header)
    for offset in range(0, len(data), CHUNK):
        if offset + CHUNK >= len(data):
            if is_under_way is not None:
                is_under_way.set()
            assert may_end.wait(60)
        yield pb.UploadArtifactRequest(chunk=artifact_pb2.FileChunk(offset=offset, data=data[offset : offset + CHUNK]))


def test_bytes_of_the_sdk_go_through_the_bulk_process(host: RunningServer, unique_name: str, tmp_path: Path) -> None:
    data = os.urandom(3 * CHUNK)
    (tmp_path / "model.bin").write_bytes(data)
    before = len(finished(host, "bulk")), len(finished(host, "worker-1"))
    with host.connect() as registry:
        version = registry.push(tmp_path / "model.bin", name=unique_name, progress=False)
        assert b"".join(registry.download(version, "model.bin")) == data
    wait_until(lambda: len(finished(host, "bulk")) >= before[0] + 2, 10)
    assert len(finished(host, "worker-1")) == before[1]


def test_streams_to_the_main_address_are_served_too(host: RunningServer, unique_name: str) -> None:
    at_once = threading.Event()
    at_once.set()
    before = len(finished(host, "worker-1"))
    with host.channel() as channel:
        answer = ArtifactServiceStub(channel).UploadArtifact(upload_messages(unique_name, b"model", at_once))
    assert answer.artifact.size_bytes == 5
    wait_until(lambda: len(finished(host, "worker-1")) == before + 1, 10)


def test_the_bulk_process_serves_transfers_and_nothing_else(host: RunningServer, unique_name: str) -> None:
    with grpc.insecure_channel(bulk_endpoint(host)) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", "registrar.v1.ArtifactService", "registrar.v1.AdminService"):
            asked = health_pb2.HealthCheckRequest(service=service)
            assert health.Check(asked).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as unknown:
            health.Check(health_pb2.HealthCheckRequest(service="registrar.v1.ModelService"))
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.RpcError) as refused:
            ModelServiceStub(channel).GetModel(GetModelRequest(model=reference_pb2.ModelRef(name=unique_name)))
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_welcome_says_where_bytes_go(host: RunningServer) -> None:
    assert any(bulk_endpoint(host) in line for line in host.welcome_lines)


def test_a_killed_bulk_process_is_replaced_and_the_sdk_goes_on(
    host: RunningServer, unique_name: str, tmp_path: Path
) -> None:
    data = os.urandom(CHUNK)
    (tmp_path / "model.bin").write_bytes(data)
    with host.connect() as registry:
        version = registry.push(tmp_path / "model.bin", name=unique_name, progress=False)
        killed = child_of(host.process.pid, "registrar_server.child bulk")
        assert killed
        os.kill(killed, signal.SIGKILL)
        assert registry.is_serving()
        # Over the same connection, at the same address.
        assert b"".join(registry.download(version, "model.bin")) == data
    assert child_of(host.process.pid, "registrar_server.child bulk") not in (None, killed)


def test_an_upload_to_the_bulk_process_ends_well_when_the_server_is_told_to_stop(
    make_server: MakeServer, unique_name: str
) -> None:
    server = make_server(None, None, *BULK)
    data = os.urandom(3 * CHUNK)
    may_end, is_under_way = threading.Event(), threading.Event()
    messages = upload_messages(unique_name, data, may_end, is_under_way)
    with grpc.insecure_channel(bulk_endpoint(server)) as channel:
        upload = ArtifactServiceStub(channel).UploadArtifact.future(messages)
        assert is_under_way.wait(20)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: sum("worker.draining" in line for line in server.log_lines) == 2, 20)
        may_end.set()
        assert upload.result(30).artifact.size_bytes == len(data)
    assert server.process.wait(30) == 0


def test_an_endpoint_that_is_configured_is_announced_instead_and_useless_ones_do_no_harm(
    make_server: MakeServer, unique_name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "model.bin").write_bytes(b"model")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        elsewhere = f"127.0.0.1:{unused.getsockname()[1]}"
        server = make_server(None, {"REGISTRAR_BULK_ENDPOINT": elsewhere}, *BULK)
        assert bulk_endpoint(server) == elsewhere
        with server.connect() as registry:
            assert registry.push(tmp_path / "model.bin", name=unique_name, progress=False).version == 1
    assert elsewhere in caplog.text


class TestRefusals:
    def test_a_bulk_port_that_is_taken(self, host: RunningServer, tmp_path: Path) -> None:
        taken = bulk_endpoint(host)
        done = run("serve", "--listen", "127.0.0.1:0", "--bulk-listen", taken, "--data", str(tmp_path / "data"))
        require_refused(done, 1, f"cannot listen on {taken}", "Address already in use")

    @pytest.mark.parametrize("listen", ["0.0.0.0:0", "192.0.2.1:0"])
    def test_other_addresses_without_the_flag(self, listen: str, tmp_path: Path) -> None:
        done = run("serve", "--listen", "127.0.0.1:0", "--bulk-listen", listen, "--data", str(tmp_path / "data"))
        require_refused(done, 2, f"bulk-listen: {listen} is not loopback", "--allow-plaintext-network")

    def test_every_address_without_one_that_clients_can_call(self, tmp_path: Path) -> None:
        arguments = ("--bulk-listen", "0.0.0.0:0", "--allow-plaintext-network")
        done = run("serve", "--listen", "127.0.0.1:0", *arguments, "--data", str(tmp_path / "data"))
        require_refused(done, 2, "REGISTRAR_BULK_ENDPOINT")


def test_check_config_shows_it() -> None:
    done = run("check-config", REGISTRAR_BULK_LISTEN="127.0.0.1:50061")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^REGISTRAR_BULK_LISTEN +127\.0\.0\.1:50061  \(set;", done.stdout, re.MULTILINE)
