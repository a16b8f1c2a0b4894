"""The object store as the use cases see it: verified writes, ranged reads, listing, deletion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Protocol

from registrar_server.domain.errors import Reason, RegistrarError


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that exists in the store."""

    key: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part of a multipart upload that is durable; parts are numbered from 1."""

    key: str
    number: int
    etag: str


class StoreUploadGone(RegistrarError):
    """A multipart upload to which parts were written is not there: completed or aborted by somebody else."""

    def __init__(self, key: str) -> None:
        super().__init__(Reason.STORE_UNAVAILABLE, "the store no longer takes parts of a file", retry_after_seconds=0.5)
        self.key = key


class Completion(Enum):
    """What became of completing a multipart upload of which nobody knows yet whether its bytes are right."""

    DONE = auto()
    """The object is there, made of exactly these parts."""
    OCCUPIED = auto()
    """An object is under the key already; nothing changed, the upload is still open."""
    GONE = auto()
    """There is no such upload: it was completed or aborted before."""
    REFUSED = auto()
    """A part is absent or is not what its etag says; nothing changed."""


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

    def open_parts(
        self, key: str, *, upload_id: str, part_size_bytes: int, first_part: int, size_bytes: int, sha256: str | None
    ) -> None:
        """Begin a run of parts of an open multipart upload; the object before must be closed.

        `size_bytes` is that of the run; all its parts but the last have `part_size_bytes`. With `sha256` the run is the
        whole object: when it is closed the digest is checked and the upload is completed, replacing what is under the
        key unless that holds already. Without, parts are put and no more. Writing raises `StoreUploadGone` when the upload
        is gone.
        """

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes; blocks while all buffers travel. More than declared: SIZE_MISMATCH."""

    def close_object(self) -> None:
        """Check size (SIZE_MISMATCH) and digest (DIGEST_MISMATCH) at once; completion may go on behind."""

    def finish(self) -> None:
        """Wait until every closed object and run is durable, objects visible; raise the first failure."""

    def take_stored(self) -> Sequence[StoredObject | StoredPart]:
        """What became durable since the last call: objects that are visible and verified, parts of runs.

        May be called after a failure too, and after `settle`.
        """

    def settle(self) -> None:
        """The stream broke off: wait until every full part and closed object under way is durable or has failed.

        Waits for a bounded time. Nothing new is begun, uploads of runs stay open, the part that is not full is dropped.
        Only `take_stored` and `abort` may follow. Never raises.
        """

    def abort(self) -> None:
        """Give up: multipart uploads that the transfer opened itself are aborted, those of runs stay; buffers are freed.

        Objects completed stay. Never raises.
        """


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

    def start_transfer(self, *, max_buffers: int = 4) -> BundleTransfer:
        """Begin one upload stream; at most so many part buffers, from 1 to 4."""

    def put_object(self, key: str, body: bytes, *, retain_until: datetime | None = None) -> bool:
        """Write a small object whole, unless one is under the key already: then False, whatever that holds.

        Of several who write at once one succeeds; a repetition after a lost answer is told False as well. `retain_until`,
        an aware time: nobody can remove what was written before then (object lock, mode COMPLIANCE); STORE_UNAVAILABLE
        where the bucket has no object lock.
        """

    def part_size_for(self, size_bytes: int) -> int:
        """Bytes per part of an object of that size; one of at most that size is no multipart object."""

    def create_upload(self, key: str) -> str:
        """Begin a multipart upload; its id."""

    def complete_upload(self, key: str, upload_id: str, etags: Sequence[str]) -> Completion:
        """Make the object of all these parts, unless one is there. Its bytes have to be verified afterwards."""

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Drop a multipart upload and its parts; one that is gone is no error."""

    def abort_uploads(self, prefix: str) -> None:
        """Drop every multipart upload under `prefix`; objects stay. Idempotent."""

    def copy(self, source_key: str, key: str, *, on_progress: Callable[[], None]) -> None:
        """Have the store copy an object of any size, over what is there. ARTIFACT_FILE_NOT_FOUND: no source.

        `on_progress` is called before every request to the store; what it raises ends the copy and leaves nothing open.
        The bytes have to be verified afterwards.
        """

    def delete(self, key: str) -> None:
        """Delete an object with all its versions. Idempotent."""

    def presign_read(self, key: str, *, expires_seconds: int) -> str:
        """An URL that reads the object by HTTP GET, ranges too, until it expires. No request is made."""

    def presign_part(self, key: str, upload_id: str, number: int, *, expires_seconds: int) -> str:
        """An URL that takes part `number` by HTTP PUT until it expires. No request is made."""

    def open_reader(
        self, key: str, *, offset: int = 0, length: int | None = None
    ) -> AbstractContextManager[ObjectReader]:
        """Read `length` bytes from `offset` (to the end when None); ARTIFACT_FILE_NOT_FOUND when absent."""

    def stat(self, key: str) -> StoredObject | None:
        """Size of an object, or None when there is none."""

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        """Every object whose key begins with `prefix`, in key order."""

    def hash_object(self, key: str, *, on_bytes: Callable[[int], None] | None = None) -> tuple[int, str]:
        """Read an object whole: its size and sha256. ARTIFACT_FILE_NOT_FOUND when absent.

        `on_bytes` is called with the size of each block; what it raises ends the reading.
        """

    def delete_prefix(self, prefix: str, *, on_progress: Callable[[], None] | None = None) -> None:
        """Delete every object and every unfinished multipart upload under `prefix`. Idempotent.

        `on_progress` is called before every request that deletes; what it raises ends the deletion.
        """

    def close(self) -> None:
        """Release connections."""
