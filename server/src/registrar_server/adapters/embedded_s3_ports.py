"""Free ports for the bundled store: each with its gRPC twin, below the ephemeral range."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

_FIRST: Final = 10_240
# The twin lies 10,000 above, and from 32,768 on the kernel gives ports to whoever connects.
_LAST: Final = 22_767
_TWIN_OFFSET: Final = 10_000
_TRIES: Final = 200


@dataclass(frozen=True, slots=True)
class Ports:
    """HTTP ports of the four parts; the gRPC port of each is 10,000 higher."""

    master: int
    volume: int
    filer: int
    s3: int

    def save(self, path: Path) -> None:
        """Remember them, so that the address is the same after a restart."""
        path.write_text(json.dumps(asdict(self)))

    def grpc_sockets(self) -> list[str]:
        """The socket files that SeaweedFS leaves; their place is fixed, whatever TMPDIR says."""
        return [
            f"/tmp/seaweedfs-{name}-grpc-{port + _TWIN_OFFSET}.sock"  # noqa: S108  (SeaweedFS's choice)
            for name, port in asdict(self).items()
        ]


def choose_ports(remembered: Path) -> Ports:
    """The remembered ports when all are free, else four new ones. OSError when none can be found."""
    before = _load(remembered)
    if before is not None and _are_free((before.master, before.volume, before.filer, before.s3)):
        return before
    for _ in range(_TRIES):
        first = _FIRST + secrets.randbelow(_LAST - _FIRST - 3)
        candidate = Ports(first, first + 1, first + 2, first + 3)
        if _are_free(range(first, first + 4)):
            return candidate
    raise OSError("no free ports for the embedded store")


def _load(path: Path) -> Ports | None:
    try:
        saved = json.loads(path.read_text())
        return Ports(*(int(saved[name]) for name in ("master", "volume", "filer", "s3")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _are_free(ports: Sequence[int]) -> bool:
    return all(_is_free(port) and _is_free(port + _TWIN_OFFSET) for port in ports)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As SeaweedFS does; a port that was closed a minute ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
    return True
