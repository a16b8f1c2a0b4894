"""The bundled object store: SeaweedFS as a child on loopback, all of it under one directory."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import structlog
import urllib3
from minio import Minio

from registrar_server.adapters import embedded_s3_guardian
from registrar_server.adapters.embedded_s3_ports import Ports, choose_ports
from registrar_server.adapters.embedded_s3_weed import (
    EmbeddedS3Error,
    find_weed,
    is_weed_of,
    weed_command,
    weed_environment,
)
from registrar_server.adapters.minio_bundles.errors import BACKEND_ERRORS
from registrar_server.adapters.private_file import write_private

__all__ = ["EmbeddedS3", "EmbeddedS3Address", "EmbeddedS3Error", "is_disk_full"]

READY_WITHIN_SECONDS: Final = 30.0
GRACE_SECONDS: Final = 1.0
MIN_FREE_BYTES: Final = 1 << 30
_POLL_SECONDS: Final = 0.05
_PORT_TRIES: Final = 5
_LOG_LIMIT_BYTES: Final = 16 << 20

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EmbeddedS3Address:
    """How to reach it: `http://127.0.0.1:port` and its own credentials."""

    endpoint_url: str
    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return f"EmbeddedS3Address({self.endpoint_url!r}, access_key=***, secret_key=***)"


class EmbeddedS3:
    """One SeaweedFS with its data, credentials (0600), log and pid under `directory`.

    It ends with this process, however this process ends: a guardian holds the other end of a pipe. One process at
    a time owns the directory (a lock that the kernel drops with the process). Not thread-safe.

    What survives: an object whose write was answered survives `kill -9` of the server and of SeaweedFS, since its
    bytes and its entry are with the kernel by then. SeaweedFS does not fsync each of them, so a power cut may lose the
    last seconds; that is why production has MinIO. See docs/decisions/0002-object-store-conditions.md.
    """

    def __init__(self, directory: Path, *, min_free_bytes: int = MIN_FREE_BYTES) -> None:
        """`min_free_bytes`: with less room than this on the disk the store takes no more writes."""
        self._directory = directory.absolute()
        self._min_free_bytes = min_free_bytes
        self._guardian: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None

    def start(self) -> EmbeddedS3Address:
        """Start it and wait until it answers an authenticated call: about 2.3 s, of which 2 s are its own sleeps.

        A leftover of a killed server is ended first. Raises `EmbeddedS3Error` when the program is missing, another
        process owns the directory, or it is not ready within 30 s.
        """
        if self._guardian is not None:
            raise EmbeddedS3Error("the embedded store has been started already")
        weed = find_weed()
        self._prepare_directory()
        self._lock = self._take_lock()
        try:
            return self._start_locked(weed)
        except BaseException:
            self.stop()
            raise

    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._guardian is not None and self._guardian.poll() is None

    def is_full(self) -> bool:
        """Whether the disk has too little room for the store to take more. It answers a plain 500 then, or stalls."""
        return is_disk_full(self._directory, self._min_free_bytes)

    def stop(self) -> None:
        """End it: SIGTERM, after a second SIGKILL (left alone it takes 20 s to end). Idempotent."""
        guardian, self._guardian = self._guardian, None
        if guardian is not None:
            _end_guardian(guardian)
        if self._lock is not None:
            # Without the lock the process of that pid belongs to somebody else's store.
            self._end_leftover()
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_locked(self, weed: Path) -> EmbeddedS3Address:
        self._end_leftover()
        self._cut_log()
        access_key, secret_key = self._credentials()
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        for _ in range(_PORT_TRIES):
            ports = choose_ports(self._directory / "ports.json")
            address = EmbeddedS3Address(f"http://127.0.0.1:{ports.s3}", access_key, secret_key)
            self._guardian = self._start_guardian(weed, ports)
            if self._wait_until_ready(address, deadline):
                ports.save(self._directory / "ports.json")
                _log.info("embedded_store.ready", endpoint=address.endpoint_url)
                return address
            # It ended by itself: most likely somebody took one of the ports since they were probed.
            _end_guardian(self._guardian)
            _log.warning("embedded_store.ended_at_start", log_file=str(self._log_file))
        raise EmbeddedS3Error(f"the embedded store ends at its start; its log is {self._log_file}")

    def _wait_until_ready(self, address: EmbeddedS3Address, deadline: float) -> bool:
        """True when it answers, False when it has ended; EmbeddedS3Error at the deadline."""
        client = Minio(
            address.endpoint_url.removeprefix("http://"),
            address.access_key,
            address.secret_key,
            secure=False,
            region="us-east-1",
            http_client=urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=1, read=5)),
        )
        while self.is_running():
            try:
                client.list_buckets()
            except BACKEND_ERRORS as exc:
                if time.monotonic() > deadline:
                    raise EmbeddedS3Error(f"the embedded store is not ready; its log is {self._log_file}") from exc
                time.sleep(_POLL_SECONDS)
            else:
                return self.is_running()
        return False

    def _start_guardian(self, weed: Path, ports: Ports) -> subprocess.Popen[bytes]:
        job = {
            "command": weed_command(
                weed,
                ports,
                data_directory=self._data_directory,
                credentials_file=self._credentials_file,
                min_free_bytes=self._min_free_bytes,
            ),
            "environment": weed_environment(self._directory),
            "directory": str(self._directory),
            "log_file": str(self._log_file),
            "pid_file": str(self._pid_file),
            "sockets": ports.grpc_sockets(),
            "grace_seconds": GRACE_SECONDS,
        }
        # A session of its own: Ctrl-C in a terminal is for the server, which drains before it stops the store.
        guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", embedded_s3_guardian.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if guardian.stdin is not None:
            guardian.stdin.write(json.dumps(job).encode() + b"\n")
            guardian.stdin.flush()
        return guardian

    def _prepare_directory(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._data_directory.mkdir(mode=0o700, exist_ok=True)
        (self._directory / "tmp").mkdir(mode=0o700, exist_ok=True)

    def _take_lock(self) -> IO[bytes]:
        lock = (self._directory / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            lock.close()
            raise EmbeddedS3Error(f"another process uses the embedded store in {self._directory}") from exc
        return lock

    def _credentials(self) -> tuple[str, str]:
        """Access and secret key; made at the first start, in the file that SeaweedFS reads."""
        if not self._credentials_file.exists():
            access_key, secret_key = secrets.token_hex(10), secrets.token_urlsafe(32)
            write_private(self._credentials_file, _s3_config(access_key, secret_key))
        config = json.loads(self._credentials_file.read_text())
        keys = config["identities"][0]["credentials"][0]
        return str(keys["accessKey"]), str(keys["secretKey"])

    def _end_leftover(self) -> None:
        """Kill a SeaweedFS whose guardian was killed too. Only with the lock, so never one in use."""
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        # The number may belong to a stranger by now; the command line says whose it is.
        while is_weed_of(pid, self._data_directory):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise EmbeddedS3Error(f"process {pid}, a leftover of the embedded store, does not end")
            time.sleep(_POLL_SECONDS)

    def _cut_log(self) -> None:
        if self._log_file.exists() and self._log_file.stat().st_size > _LOG_LIMIT_BYTES:
            self._log_file.replace(self._log_file.with_suffix(".log.1"))

    @property
    def _data_directory(self) -> Path:
        return self._directory / "data"

    @property
    def _credentials_file(self) -> Path:
        return self._directory / "credentials.json"

    @property
    def _log_file(self) -> Path:
        return self._directory / "weed.log"

    @property
    def _pid_file(self) -> Path:
        return self._directory / "weed.pid"


def is_disk_full(directory: Path, min_free_bytes: int = MIN_FREE_BYTES) -> bool:
    """Whether the disk has too little room for a store on this directory to take more; any process can ask."""
    return shutil.disk_usage(directory).free <= min_free_bytes


def _s3_config(access_key: str, secret_key: str) -> str:
    identity = {
        "name": "registrar",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    return json.dumps({"identities": [identity]})


def _end_guardian(guardian: subprocess.Popen[bytes]) -> None:
    if guardian.stdin is not None:
        guardian.stdin.close()
    try:
        guardian.wait(GRACE_SECONDS + 5)
    except subprocess.TimeoutExpired:
        guardian.kill()
        guardian.wait()
