"""`registrar serve` as a program: what it refuses, what it leaves behind, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest

import registrar
from registrar.v1 import artifact_pb2, artifact_service_pb2, reference_pb2
from registrar.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from tests.fixtures.process_tree import child_of, descendants, is_alive
from tests.fixtures.server import MakeServer, RunningServer, clean_environment, running_server
from tests.fixtures.stores import wait_until

REGISTRAR = str(Path(sys.executable).parent / "registrar")


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [REGISTRAR, *arguments],
        env=clean_environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that stays up, with two workers."""
    with running_server(tmp_path_factory.mktemp("processes"), {}, ("--workers", "2")) as started:
        yield started


def require_refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    # Words are wrapped to the terminal's width.
    text = " ".join(done.stderr.split())
    for word in words:
        assert word in text


class TestRefusals:
    def test_a_second_server_on_the_data_directory(self, host: RunningServer) -> None:
        done = run("serve", "--listen", "127.0.0.1:0", "--data", str(host.data))
        require_refused(done, 1, "another server uses the data directory")
        with host.connect() as registry:
            assert registry.is_serving()

    def test_a_second_server_on_the_port(self, host: RunningServer, tmp_path: Path) -> None:
        done = run("serve", "--listen", host.address, "--data", str(tmp_path / "data"))
        require_refused(done, 1, f"cannot listen on {host.address}", "Address already in use")

    @pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
    def test_other_addresses_without_the_flag(self, listen: str, tmp_path: Path) -> None:
        done = run("serve", "--listen", listen, "--data", str(tmp_path / "data"))
        require_refused(done, 2, "not loopback", "--allow-plaintext-network")
        assert not (tmp_path / "data").exists()

    def test_a_port_that_cannot_be(self, tmp_path: Path) -> None:
        done = run("serve", "--listen", "127.0.0.1:99999", "--data", str(tmp_path / "data"))
        assert done.returncode in (1, 2)
        require_refused(done, done.returncode, "99999")

    def test_a_data_directory_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for path in ("file", "file/below"):
            done = run("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / path))
            require_refused(done, 1, "cannot use the data directory")

    def test_a_name_that_no_machine_has(self, tmp_path: Path) -> None:
        arguments = ("--listen", "nowhere.invalid:0", "--data", str(tmp_path / "data"))
        done = run("serve", *arguments, "--allow-plaintext-network")
        require_refused(done, 1, "cannot listen on nowhere.invalid:0")
        assert "Unknown error" not in done.stderr

    def test_a_store_that_is_down(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        settings = {
            "MLFLOW_ARTIFACT_ROOT": "s3://bundles/registrar",
            "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "very-secret",
        }
        done = run("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), **settings)
        require_refused(done, 1, "the object store does not answer", "STORE_UNAVAILABLE")
        assert "very-secret" not in done.stdout + done.stderr

    def test_a_database_that_is_down(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        url = f"postgresql://registrar:very-secret@127.0.0.1:{port}/registrar"
        arguments = ("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"))
        done = run(*arguments, REGISTRAR_DATABASE_URL=url)
        require_refused(done, 1, "the database does not answer")
        assert "very-secret" not in done.stdout + done.stderr

    def test_a_database_that_is_no_database(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        data.mkdir()
        (data / "registrar.db").write_bytes(b"not a database at all" * 100)
        done = run("serve", "--listen", "127.0.0.1:0", "--data", str(data))
        require_refused(done, 1)
        assert (data / "registrar.db").read_bytes() == b"not a database at all" * 100


class TestCheckConfig:
    def test_secrets_are_hidden(self) -> None:
        settings = {
            "AWS_ACCESS_KEY_ID": "AKIA",
            "AWS_SECRET_ACCESS_KEY": "very-secret-1",
            "MLFLOW_ARTIFACT_ROOT": "s3://bundles/x",
            "REGISTRAR_DATABASE_URL": "postgresql://registrar:very-secret-2@db.example.com/registrar",
            "MLFLOW_TRACKING_URI": "https://mlflow:very-secret-3@mlflow.example.com",
        }
        for arguments in (("check-config",), ("check-config", "--json")):
            done = run(*arguments, **settings)
            assert done.returncode == 0, done.stderr
            assert "very-secret" not in done.stdout + done.stderr
            assert "db.example.com" in done.stdout

    def test_secrets_in_a_query_are_hidden_too(self) -> None:
        url = "postgresql:///registrar?host=db.example.com&user=registrar&password=very-secret"
        done = run("check-config", REGISTRAR_DATABASE_URL=url)
        assert done.returncode == 0, done.stderr
        assert "very-secret" not in done.stdout + done.stderr

    def test_an_address_that_is_none_is_a_problem_like_others(self) -> None:
        done = run("check-config", MLFLOW_TRACKING_URI="http://[broken")
        require_refused(done, 2, "MLFLOW_TRACKING_URI")

    def test_every_problem_is_told_at_once(self) -> None:
        done = run("check-config", REGISTRAR_WORKERS="none", REGISTRAR_NO_SUCH="x", REGISTRAR_LISTEN="0.0.0.0:1")
        require_refused(done, 2, "REGISTRAR_WORKERS", "REGISTRAR_NO_SUCH", "not loopback")


def _listening(port: str) -> int:
    """How many sockets listen on a port, given in hexadecimal."""
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return sum(fields[3] == "0A" and fields[1].endswith(f":{port}") for fields in lines)


class TestWorkers:
    def test_two_workers_share_the_port(self, host: RunningServer) -> None:
        pids = [pid for pid, line in descendants(host.process.pid).items() if "registrar_server.child worker" in line]
        assert len(pids) == 2
        port = f"{int(host.address.rpartition(':')[2]):04X}"
        wait_until(lambda: _listening(port) == 2, 20)

    def test_a_killed_worker_is_replaced_while_the_other_answers(self, host: RunningServer) -> None:
        killed = child_of(host.process.pid, "registrar_server.child worker")
        assert killed
        os.kill(killed, signal.SIGKILL)
        with host.connect() as registry:
            for _ in range(20):
                assert registry.server_info().server_version

        def are_two() -> bool:
            lines = descendants(host.process.pid)
            return sum("registrar_server.child worker" in line for line in lines.values()) == 2

        wait_until(are_two, 20)
        assert any("process.ended" in line for line in host.log_lines)


class TestLockedDatabase:
    def test_writes_are_refused_as_busy_and_reads_go_on(self, host: RunningServer, unique_name: str) -> None:
        with host.connect() as registry, host.connect(timeout_seconds=10.5) as impatient:
            registry.create_model(unique_name, description="before")
            outcome: list[registrar.RegistrarError] = []

            def write() -> None:
                with pytest.raises(registrar.RegistrarError) as refused:
                    impatient.update_model(unique_name, description="after")
                outcome.append(refused.value)

            with closing(sqlite3.connect(host.data / "registrar.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                writer = threading.Thread(target=write)
                writer.start()
                while writer.is_alive():
                    assert registry.model(unique_name).description == "before"
                    assert registry.is_serving(timeout_seconds=5)
                    writer.join(0.1)
                other.execute("ROLLBACK")
            (error,) = outcome
            assert (error.code.value, error.reason) == ("UNAVAILABLE", "DATABASE_BUSY")
            assert error.retry_after
            assert registry.model(unique_name).description == "before"
            assert registry.update_model(unique_name, description="after").description == "after"


class TestEnd:
    def test_nothing_outlives_a_killed_parent_and_the_next_start_works(
        self, make_server: MakeServer, unique_name: str, tmp_path: Path
    ) -> None:
        server = make_server()
        (tmp_path / "model.bin").write_bytes(b"model")
        with server.connect() as registry:
            registry.push(tmp_path / "model.bin", name=unique_name, progress=False)
        below = descendants(server.process.pid)
        for part in ("child worker", "child background", "weed"):
            assert any(part in line for line in below.values()), below
        server.kill()
        # At once, while what is left of the first one may still be there.
        again = make_server(server.data, None, "--listen", server.address)
        assert again.address == server.address
        wait_until(lambda: not any(is_alive(pid) for pid in below), 20)
        with again.connect() as registry:
            assert registry.get(f"{unique_name}/1").version == 1
            pulled = registry.pull(f"{unique_name}/1", tmp_path / "pulled", progress=False)
            assert (pulled / "model.bin").read_bytes() == b"model"
            assert registry.push(tmp_path / "model.bin", name=unique_name, progress=False).version == 2

    def test_a_running_upload_ends_well_when_the_server_is_told_to_stop(
        self, make_server: MakeServer, unique_name: str
    ) -> None:
        server = make_server()
        pids = list(descendants(server.process.pid))
        data = b"x" * (3 << 20)
        may_go_on, is_under_way = threading.Event(), threading.Event()

        def messages() -> Iterator[artifact_service_pb2.UploadArtifactRequest]:
            import hashlib

            file = artifact_pb2.BundleFile(
                path="model.bin",
                size_bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                type=artifact_pb2.FILE_TYPE_MODEL,
            )
            header = artifact_service_pb2.UploadArtifactHeader(
                model=reference_pb2.ModelRef(name=unique_name), manifest=artifact_pb2.Manifest(files=[file])
            )
            yield artifact_service_pb2.UploadArtifactRequest(header=header)
            for offset in range(0, len(data), 1 << 20):
                if offset:
                    is_under_way.set()
                    assert may_go_on.wait(30)
                chunk = artifact_pb2.FileChunk(file=0, offset=offset, data=data[offset : offset + (1 << 20)])
                yield artifact_service_pb2.UploadArtifactRequest(chunk=chunk)

        with server.channel() as channel:
            upload = ArtifactServiceStub(channel).UploadArtifact.future(messages())
            assert is_under_way.wait(20)
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: any("worker.draining" in line for line in server.log_lines), 10)
            with server.connect(connect_timeout_seconds=1) as late, pytest.raises(registrar.RegistrarError) as refused:
                late.server_info()
            assert refused.value.code.value == "UNAVAILABLE"
            may_go_on.set()
            assert upload.result(30).artifact.size_bytes == len(data)
        assert server.process.wait(30) == 0
        wait_until(lambda: not any(is_alive(pid) for pid in pids), 10)

    def test_what_does_not_end_within_the_grace_is_cut_off(self, make_server: MakeServer, unique_name: str) -> None:
        server = make_server(None, {"REGISTRAR_DRAIN_SECONDS": "1"})
        never = threading.Event()

        def messages() -> Iterator[artifact_service_pb2.UploadArtifactRequest]:
            file = artifact_pb2.BundleFile(
                path="model.bin", size_bytes=10, sha256="0" * 64, type=artifact_pb2.FILE_TYPE_MODEL
            )
            header = artifact_service_pb2.UploadArtifactHeader(
                model=reference_pb2.ModelRef(name=unique_name), manifest=artifact_pb2.Manifest(files=[file])
            )
            yield artifact_service_pb2.UploadArtifactRequest(header=header)
            never.wait(60)

        with server.channel() as channel:
            upload = ArtifactServiceStub(channel).UploadArtifact.future(messages())
            with server.connect() as registry:
                assert registry.is_serving()
            assert server.stop() == 0
            with pytest.raises(grpc.RpcError):
                upload.result(10)
            never.set()
