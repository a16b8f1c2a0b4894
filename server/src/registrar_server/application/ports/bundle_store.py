"""The object store as the use cases see it: verified writes, ranged reads, listing, deletion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that exists in the store."""

    key: str
    size_bytes: int


class BundleTransfer(Protocol):
    """The writing side of one upload stream: objects one after the other, parts put in parallel.

    Memory is bounded whatever the size (at most four part buffers, shared by all objects of the
    transfer), nothing touches a disk. An object becomes visible only after its size and sha256 were
    found to hold. Every method raises `RegistrarError`: STORE_UNAVAILABLE, STORE_FULL, and what is
    named beside it. After any error only `abort` may be called. Not thread-safe.
    """

    def open_object(self, key: str, *, size_bytes: int, sha256: str) -> None:
        """Begin the next object; the one before must be closed.

        `sha256` is 64 lower-case hex digits. An object that already exists under the key is kept when
        its bytes have that digest (it is read back) and replaced when they have not.
        """

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes; blocks while all buffers travel. More than declared: SIZE_MISMATCH."""

    def close_object(self) -> None:
        """Check size (SIZE_MISMATCH) and digest (DIGEST_MISMATCH) at once; completion may go on behind."""

    def finish(self) -> None:
        """Wait until every closed object is durable and visible; raise the first failure."""

    def abort(self) -> None:
        """Give up: open multipart uploads are aborted, buffers freed. Objects completed stay. Never raises."""


class ObjectReader(Protocol):
    """An open ranged read."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes in order, in blocks of at most 1 MiB.

        STORE_UNAVAILABLE when the store breaks off; ARTIFACT_CORRUPT when it sends fewer bytes than asked.
        """


class BundleStore(Protocol):
    """Plain objects under one root (`s3://bucket/prefix`). Keys are relative to that root.

    Thread-safe. Methods raise `RegistrarError` with STORE_UNAVAILABLE when the store does not answer
    in time or refuses the credentials; its own texts go to the log, never into the error.
    """

    def check(self) -> None:
        """Reach the store; create the bucket (with object lock where the store can) if there is none."""

    def uri(self, key: str) -> str:
        """The address other S3 readers use: `s3://bucket/prefix/key`."""

    def key_of(self, uri: str) -> str:
        """The key of an address under this root; SOURCE_NOT_ALLOWED for any other."""

    def start_transfer(self) -> BundleTransfer:
        """Begin one upload stream."""

    def open_reader(
        self, key: str, *, offset: int = 0, length: int | None = None
    ) -> AbstractContextManager[ObjectReader]:
        """Read `length` bytes from `offset` (to the end when None); ARTIFACT_FILE_NOT_FOUND when absent."""

    def stat(self, key: str) -> StoredObject | None:
        """Size of an object, or None when there is none."""

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        """Every object whose key begins with `prefix`, in key order."""

    def hash_object(self, key: str) -> tuple[int, str]:
        """Read an object whole: its size and sha256. ARTIFACT_FILE_NOT_FOUND when absent."""

    def delete_prefix(self, prefix: str) -> None:
        """Delete every object and every unfinished multipart upload under `prefix`. Idempotent."""

    def close(self) -> None:
        """Release connections."""
