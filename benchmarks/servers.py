"""The servers that are measured, on ports of loopback that the system gave."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc

from benchmarks.process_tree import listener, listeners
from benchmarks.tools import registrar_command, require_mlflow_server

ROOT = Path(__file__).parent.parent
BYTE_CODE = ROOT / ".cache" / "benchmarks" / "byte-code"
"""Removed by `make clean`."""

_READY_SECONDS = 120.0
_STOP_SECONDS = 45.0
_POLL_SECONDS = 0.01
_SERVING = b"\x08\x01"
"""A HealthCheckResponse that says SERVING."""


@dataclass(frozen=True)
class Server:
    """A server that answers. `seconds` is from its start to the first answer."""

    process: subprocess.Popen[bytes]
    port: int
    seconds: float

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process that was started: the root of the server's tree."""
        return self.process.pid

    def worker(self) -> int:
        """The process that answers."""
        return listener(self.pid, self.port)

    def workers(self) -> list[int]:
        """The processes that answer, where there are several."""
        return listeners(self.pid, self.port)


@contextmanager
def registrar_server(data: Path, environment: Mapping[str, str] | None = None, *, workers: int = 1) -> Iterator[Server]:
    """`registrar serve`; by default everything is embedded."""
    port = free_port()
    command = [registrar_command(), "serve", "--listen", f"127.0.0.1:{port}", "--data", str(data)]
    command += ["--workers", str(workers)]
    data.mkdir(parents=True, exist_ok=True)
    with _running(command, data / "log", environment or {}) as (process, began):
        _await(lambda: _is_serving(port), process, data / "log")
        yield Server(process, port, time.perf_counter() - began)


@contextmanager
def mlflow_server(
    directory: Path,
    *,
    artifacts: str = "",
    environment: Mapping[str, str] | None = None,
    backend_url: str = "",
    workers: int = 1,
) -> Iterator[Server]:
    """`mlflow server`, by default on SQLite, artifacts through the server, its job runner (2 GB, 8 processes) off."""
    require_mlflow_server()
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(workers), "--serve-artifacts"]
    command += ["--backend-store-uri", backend_url or f"sqlite:///{directory}/mlflow.db"]
    command += ["--artifacts-destination", artifacts or str(directory / "artifacts")]
    settings = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "TMPDIR": str(directory),
        **(environment or {}),
    }
    with _running(command, directory / "log", settings) as (process, began):
        _await(lambda: _answers(port, "/health"), process, directory / "log")
        yield Server(process, port, time.perf_counter() - began)


@contextmanager
def sink_server(directory: Path) -> Iterator[Server]:
    """The S3 store that discards, in a process of its own."""
    with module_server("benchmarks.s3_sink", directory) as server:
        yield server


@contextmanager
def module_server(module: str, directory: Path) -> Iterator[Server]:
    """A server of the benchmarks' own, started with the port as its one argument; its log is in `directory`."""
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / f"{module}.log"
    with _running([sys.executable, "-m", module, str(port)], log, {}) as (process, began):
        _await(lambda: _accepts(port), process, log)
        yield Server(process, port, time.perf_counter() - began)


@contextmanager
def minio_server(program: Path, directory: Path, access_key: str, secret_key: str) -> Iterator[Server]:
    """MinIO's own server on one directory."""
    port = free_port()
    command = [str(program), "server", "--quiet", "--address", f"127.0.0.1:{port}"]
    command += ["--console-address", f"127.0.0.1:{free_port()}", str(directory / "data")]
    settings = {
        "HOME": str(directory),
        "MINIO_ROOT_USER": access_key,
        "MINIO_ROOT_PASSWORD": secret_key,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    with _running(command, directory / "minio.log", settings) as (process, began):
        _await(lambda: _answers(port, "/minio/health/ready"), process, directory / "minio.log")
        yield Server(process, port, time.perf_counter() - began)


def sink_environment(sink: Server, *, bucket: str = "benchmark") -> dict[str, str]:
    """What makes Registrar keep its bundles in the sink; MLflow and boto3 read the same names."""
    return {
        "MLFLOW_S3_ENDPOINT_URL": f"http://{sink.address}",
        "MLFLOW_ARTIFACT_ROOT": f"s3://{bucket}",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark-secret",
        "AWS_REGION": "us-east-1",
    }


def clean_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what would configure a server or a client.

    Byte code is written, as an installation has it, whatever the shell says: to a folder of our own, since the
    environment may belong to somebody else.
    """
    prefixes = ("REGISTRAR_", "MLFLOW_", "AWS_", "ML_REGISTRY_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    ours = {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1", "PYTHONPYCACHEPREFIX": str(BYTE_CODE)}
    return {**kept, **ours, **settings}


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def _running(
    command: list[str], log: Path, settings: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """A process in a group of its own, all of which is gone at the end; and when it was started."""
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=clean_environment(settings),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(_stop, process)
        yield process, began


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and end what is left of its group."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _await(is_ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            text = log.read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"{process.args!r} did not start:\n{text[-3000:]}")
        time.sleep(_POLL_SECONDS)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _is_serving(port: int) -> bool:
    # A bare connection first: gRPC's own attempts have pauses between them that would count as the server's.
    if not _accepts(port):
        return False
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes
        )
        try:
            return check(b"", timeout=2) == _SERVING
        except grpc.RpcError:
            return False


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
