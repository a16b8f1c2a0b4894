"""Whatever breaks while gigabytes travel, the same push goes on and ends in equal bytes; what is sent twice is bounded."""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import registrar
from registrar.upload.report import UploadReport
from tests.fixtures.process_tree import child_of
from tests.fixtures.proxy import TcpProxy
from tests.fixtures.server import MakeServer, RunningServer, clean_environment
from tests.fixtures.stores import wait_until

PART = 8 << 20
SIZE = 6 * PART + 1_234_567
PIPE = 8 << 20
"""What may be on its way when a connection breaks: grpc's window, the sockets of both sides and of the proxy."""
ON_THE_WAY = PART
"""A part that is full and has not reached the store: a client that is back sooner takes it over, and sends it again."""
CUTS = 3


@pytest.fixture
def seed(record_property: Callable[[str, object], None]) -> random.Random:
    """Where it breaks differs from run to run; a failure shows the seed."""
    number = secrets.randbits(32)
    record_property("seed", number)
    return random.Random(number)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle of a large file and a few small ones, of bytes that nobody has pushed."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.bin").write_bytes(secrets.token_bytes(SIZE))
    for number in range(5):
        (folder / f"small-{number}.txt").write_bytes(secrets.token_bytes(1_000 * number))
    return folder


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[TcpProxy]:
    host, port = server.address.rsplit(":", 1)
    with TcpProxy(host, int(port)) as opened:
        yield opened


def break_points(seed: random.Random) -> list[int]:
    """After how many bytes, counted from the break before, it breaks."""
    return [seed.randrange(1 << 20, SIZE // (CUTS + 1) + PART) for _ in range(CUTS)]


def total_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def require_equal(server: RunningServer, name: str, folder: Path, destination: Path) -> None:
    with server.connect() as registry:
        pulled = registry.pull(f"{name}/1", destination, progress=False)
    for path in folder.iterdir():
        assert (pulled / path.name).read_bytes() == path.read_bytes()


class Push:
    """A push of the SDK in a thread."""

    def __init__(self, address: str, folder: Path, name: str) -> None:
        self.report = UploadReport()
        self.failure: BaseException | None = None
        self._address, self._folder, self._name = address, folder, name
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(110)
        assert not self._thread.is_alive(), "the push stands still"
        if self.failure is not None:
            raise self.failure

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with registrar.connect(self._address, timeout_seconds=100) as registry:
                registry.push(self._folder, name=self._name, progress=False, report=self.report)
        except BaseException as exc:  # noqa: BLE001  (raised again by join)
            self.failure = exc


def require_few_sent_twice(resent_bytes: int, breaks: int, record_property: Callable[[str, object], None]) -> None:
    """For each break the part that was not full, what was on its way to the store, and what was in the pipe."""
    share = resent_bytes / SIZE
    record_property("resent_share", share)
    assert resent_bytes <= breaks * (PART + ON_THE_WAY + PIPE)


def test_a_client_that_is_killed_again_and_again(
    server: RunningServer,
    proxy: TcpProxy,
    folder: Path,
    unique_name: str,
    seed: random.Random,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    command = [str(Path(sys.executable).parent / "registrar"), "push", str(folder), "--name", unique_name, "--quiet"]
    environment = clean_environment(REGISTRAR_SERVER=f"127.0.0.1:{proxy.port}")
    breaks = 0
    for distance in break_points(seed):
        begun = proxy.forwarded_bytes
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: proxy.forwarded_bytes - begun > distance or process.poll() is not None, 60)  # noqa: B023
        breaks += process.poll() is None
        process.kill()
        process.wait()
    if breaks == CUTS:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
    require_equal(server, unique_name, folder, tmp_path / "pulled")
    # What grpc and the manifests add is little.
    require_few_sent_twice(
        max(0, int(proxy.forwarded_bytes - total_bytes(folder) * 1.01)), max(1, breaks), record_property
    )


def test_a_connection_that_is_cut_again_and_again(
    server: RunningServer,
    proxy: TcpProxy,
    folder: Path,
    unique_name: str,
    seed: random.Random,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    push = Push(f"127.0.0.1:{proxy.port}", folder, unique_name)
    breaks = 0
    for distance in break_points(seed):
        begun = proxy.forwarded_bytes
        wait_until(lambda: proxy.forwarded_bytes - begun > distance or push.is_over, 60)  # noqa: B023
        breaks += not push.is_over
        proxy.cut()
        proxy.resume()
    push.join()
    require_equal(server, unique_name, folder, tmp_path / "pulled")
    require_few_sent_twice(push.report.resent_bytes, max(1, breaks), record_property)


def test_a_connection_that_stalls(
    make_server: MakeServer,
    folder: Path,
    unique_name: str,
    seed: random.Random,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    server = make_server(None, {"REGISTRAR_STALL_SECONDS": "2"})
    host, port = server.address.rsplit(":", 1)
    with TcpProxy(host, int(port)) as proxy:
        push = Push(f"127.0.0.1:{proxy.port}", folder, unique_name)
        distance = break_points(seed)[0]
        wait_until(lambda: proxy.forwarded_bytes > distance or push.is_over, 60)
        proxy.stall()
        wait_until(lambda: any("DEADLINE_EXCEEDED" in line for line in server.log_lines) or push.is_over, 60)
        proxy.resume()
        push.join()
    require_equal(server, unique_name, folder, tmp_path / "pulled")
    require_few_sent_twice(push.report.resent_bytes, 1, record_property)


def test_a_worker_that_is_killed_again_and_again(
    make_server: MakeServer,
    folder: Path,
    unique_name: str,
    seed: random.Random,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    server = make_server()
    host, port = server.address.rsplit(":", 1)
    with TcpProxy(host, int(port)) as proxy:
        push = Push(f"127.0.0.1:{proxy.port}", folder, unique_name)
        for distance in break_points(seed):
            begun = proxy.forwarded_bytes
            wait_until(lambda: proxy.forwarded_bytes - begun > distance or push.is_over, 60)  # noqa: B023
            wait_until(lambda: child_of(server.process.pid, "child worker") is not None, 30)
            os.kill(child_of(server.process.pid, "child worker") or 0, signal.SIGKILL)
        push.join()
    require_equal(server, unique_name, folder, tmp_path / "pulled")
    # A killed worker also takes the parts with it that were on their way to the store, and those not recorded yet.
    record_property("resent_share", push.report.resent_bytes / SIZE)


def test_a_whole_server_that_is_killed(
    make_server: MakeServer,
    folder: Path,
    unique_name: str,
    seed: random.Random,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    first = make_server()
    host, port = first.address.rsplit(":", 1)
    with TcpProxy(host, int(port)) as proxy:
        push = Push(f"127.0.0.1:{proxy.port}", folder, unique_name)
        distance = break_points(seed)[0]
        wait_until(lambda: proxy.forwarded_bytes > distance or push.is_over, 60)
        first.kill()
        second = make_server(first.data)
        proxy.aim_at(*second.address.rsplit(":", 1))
        push.join()
    require_equal(second, unique_name, folder, tmp_path / "pulled")
    record_property("resent_share", push.report.resent_bytes / SIZE)
