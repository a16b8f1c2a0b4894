"""The state of what is on its way into the store, an object or a run of parts, and of its multipart upload."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Protocol

from registrar_server.adapters.minio_bundles.buffers import Buffer
from registrar_server.domain.errors import Reason, RegistrarError


class Digest(Protocol):
    def update(self, data: memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(slots=True)
class Incoming:
    """What is being written. `size_bytes` is that of the object or the run; `digest` None: a run that is not hashed."""

    key: str
    name: str
    size_bytes: int
    part_size_bytes: int
    sha256: str = ""
    digest: Digest | None = None
    received_bytes: int = 0
    buffer: Buffer | None = None
    upload: Upload | None = None

    @property
    def is_multipart(self) -> bool:
        return self.upload is not None or self.size_bytes > self.part_size_bytes

    @property
    def is_part_full(self) -> bool:
        """Whether the buffer holds all bytes of the part that it is for."""
        if self.buffer is None:
            return False
        return self.buffer.filled_bytes == self.part_size_bytes or self.received_bytes == self.size_bytes

    def detach_buffer(self) -> Buffer:
        buffer, self.buffer = self.buffer, None
        if buffer is None:
            raise RuntimeError("nothing was written")
        return buffer

    def require_whole(self) -> None:
        """SIZE_MISMATCH when not all bytes came, DIGEST_MISMATCH when they are others than declared."""
        if self.received_bytes != self.size_bytes:
            raise size_mismatch(self)
        if self.digest is not None and not hmac.compare_digest(self.digest.hexdigest(), self.sha256):
            raise RegistrarError(
                Reason.DIGEST_MISMATCH,
                f"{self.key}: the bytes received have another sha256 than declared",
                metadata={"key": self.key, "expected_sha256": self.sha256},
            )


class Upload:
    """A multipart upload: how many parts are under way, and whether it is being completed or dropped.

    `etags` are those of the parts from `first_part` on.
    """

    __slots__ = ("etags", "first_part", "id", "is_closed", "is_ending", "of", "sending")

    def __init__(self, of: Incoming, upload_id: str, *, first_part: int = 1) -> None:
        self.of = of
        self.id = upload_id
        self.first_part = first_part
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
