"""The ways for the bytes, named as the issue names them, and which server each of them needs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ServerKind(StrEnum):
    """What stands between a client and the store. Peers that share a server have it in turn."""

    NONE = "none"
    REGISTRAR = "registrar"
    REGISTRAR_DIRECT = "registrar-direct"
    MLFLOW = "mlflow"
    STREAM = "stream"


@dataclass(frozen=True)
class Peer:
    """One way. `letter` is the issue's; `can_use_sink`: its upload reads nothing back."""

    letter: str
    title: str
    server: ServerKind
    can_use_sink: bool = False

    @property
    def name(self) -> str:
        return f"({self.letter}) {self.title}"


PEERS = (
    Peer("a", "MinIO client, straight to the store", ServerKind.NONE, can_use_sink=True),
    Peer("b", "Registrar, through gRPC", ServerKind.REGISTRAR, can_use_sink=True),
    Peer("c", "Registrar, direct", ServerKind.REGISTRAR_DIRECT),
    Peer("d", "MLflow, proxied", ServerKind.MLFLOW),
    Peer("e", "MLflow, as its client chooses", ServerKind.MLFLOW),
    Peer("f", "bare gRPC stream, discards", ServerKind.STREAM, can_use_sink=True),
)


def peer_of(letter: str) -> Peer:
    """The peer that the issue calls so."""
    return next(peer for peer in PEERS if peer.letter == letter)
