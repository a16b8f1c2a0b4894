"""Upload sessions: which parts a file has, which of them a range names, what is missing. Positions are in bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from registrar_server.domain.bundles import BundleFile
from registrar_server.domain.values import ModelKey


class FileState(StrEnum):
    """How far a file of a session is."""

    MISSING = "missing"
    """Parts are still to come, or all are there and nobody has asked for more yet."""
    COPYING = "copying"
    """The store is to copy it from another bundle."""
    VERIFYING = "verifying"
    """All parts are there; they are to be put together and read back."""
    STORED = "stored"
    """The object is there and its digest holds."""


@dataclass(frozen=True, slots=True)
class UploadSession:
    """A session; its uid is that of the bundle that it will be."""

    uid: str
    model: ModelKey
    model_uid: str
    manifest_digest: str
    prefix: str
    size_bytes: int
    file_count: int
    created_by: str
    create_time: datetime
    expire_time: datetime
    wipes: int
    """Grows before an object under the prefix is deleted or overwritten with bytes that nobody has verified."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes from `offset`."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class UploadFile:
    """A file of a session; `index` is its place in the manifest."""

    index: int
    file: BundleFile
    part_size_bytes: int
    state: FileState
    store_upload_id: str
    """The store's multipart upload; empty: none was begun, or the file has one part only."""
    source_key: str = ""
    """What it is copied from, while COPYING."""

    @property
    def is_multipart(self) -> bool:
        """Whether it goes into the store in parts."""
        return self.file.size_bytes > self.part_size_bytes

    @property
    def part_count(self) -> int:
        """How many parts it has; an empty file has one."""
        return max(1, -(-self.file.size_bytes // self.part_size_bytes))

    def part_range(self, number: int) -> ByteRange:
        """The bytes of a part; numbers begin at 1."""
        offset = (number - 1) * self.part_size_bytes
        return ByteRange(offset, min(self.part_size_bytes, self.file.size_bytes - offset))

    def parts_of(self, wanted: ByteRange) -> range | None:
        """The numbers of the parts that a range consists of; None when it does not begin and end at parts."""
        size, part = self.file.size_bytes, self.part_size_bytes
        if wanted.offset < 0 or wanted.length < 0 or wanted.end > size or wanted.offset % part:
            return None
        if wanted.end != size and (wanted.end % part or not wanted.length):
            return None
        if not wanted.length and size:
            return None
        return range(wanted.offset // part + 1, max(1, -(-wanted.end // part)) + 1)

    def missing(self, received: Collection[int]) -> Iterator[ByteRange]:
        """What is missing when these parts were received, adjacent parts joined. One range of no bytes: an empty file."""
        if self.state is not FileState.MISSING:
            return
        there = frozenset(received)
        first = 0
        for number in range(1, self.part_count + 2):
            is_missing = number <= self.part_count and number not in there
            if is_missing and not first:
                first = number
            elif not is_missing and first:
                begin, last = self.part_range(first), self.part_range(number - 1)
                yield ByteRange(begin.offset, last.end - begin.offset)
                first = 0

    def received_bytes(self, received: Collection[int]) -> int:
        """Bytes that are durable."""
        if self.state in (FileState.STORED, FileState.VERIFYING):
            return self.file.size_bytes
        return sum(self.part_range(number).length for number in received)


def positions(ranges: Collection[ByteRange]) -> str:
    """Ranges as people write them, both ends included: `0-8388607,16777216-20000000`."""
    return ",".join(f"{r.offset}-{max(r.offset, r.end - 1)}" for r in ranges)
