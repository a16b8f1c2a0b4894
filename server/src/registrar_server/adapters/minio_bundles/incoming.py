"""The state of one object on its way into the store, and of its multipart upload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from registrar_server.adapters.minio_bundles.buffers import Buffer
from registrar_server.domain.errors import Reason, RegistrarError


class Digest(Protocol):
    def update(self, data: memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(slots=True)
class Incoming:
    """The object that is being written."""

    key: str
    name: str
    size_bytes: int
    sha256: str
    part_size_bytes: int
    digest: Digest
    received_bytes: int = 0
    buffer: Buffer | None = None
    upload: Upload | None = None

    @property
    def is_multipart(self) -> bool:
        return self.size_bytes > self.part_size_bytes

    def detach_buffer(self) -> Buffer:
        buffer, self.buffer = self.buffer, None
        if buffer is None:
            raise RuntimeError("nothing was written")
        return buffer


class Upload:
    """A multipart upload: how many parts are under way, and whether it is being completed or dropped."""

    __slots__ = ("etags", "id", "is_closed", "is_ending", "of", "sending")

    def __init__(self, of: Incoming, upload_id: str) -> None:
        self.of = of
        self.id = upload_id
        self.etags: list[str] = []
        self.sending = 0
        self.is_closed = False
        self.is_ending = False


def size_mismatch(incoming: Incoming) -> RegistrarError:
    """The error for an object of which more or fewer bytes came than were declared."""
    return RegistrarError(
        Reason.SIZE_MISMATCH,
        f"{incoming.key}: {incoming.size_bytes} bytes were declared, {incoming.received_bytes} came",
        metadata={
            "key": incoming.key,
            "expected_bytes": str(incoming.size_bytes),
            "received_bytes": str(incoming.received_bytes),
        },
    )
