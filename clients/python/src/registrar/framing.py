"""Messages that carry a `FileChunk`, written and read without copying the data through protobuf.

Protobuf copies a chunk's bytes into a message and out of it again, which at hundreds of megabytes a second is most of the
work. What is written here are the same bytes that protobuf writes, and what is read are the messages that protobuf reads:
https://protobuf.dev/programming-guides/encoding/. In `UploadArtifactRequest`, `WriteUploadRequest` and
`DownloadFileResponse` alike the chunk is field 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Literal, Protocol, TypeVar

from registrar.v1.artifact_pb2 import FileChunk

_CHUNK = 0x12
"""Tag of field 2 of the message around it, length-delimited."""
_FILE, _OFFSET, _CRC32C, _DATA = 0x08, 0x10, 0x1D, 0x22
"""Tags of the fields of FileChunk, in the order in which protobuf writes them."""

_FIXED32 = Struct("<I")
_INT32_END = 1 << 31
_INT64_END = 1 << 63
_VARINT_BYTES = 10


@dataclass(frozen=True, slots=True)
class Chunk:
    """A `FileChunk`; `data` may be a view into the message that it came in. `crc32c` None: absent."""

    file: int
    offset: int
    crc32c: int | None
    data: bytes | memoryview


def chunk_message(chunk: Chunk) -> bytes:
    """The bytes of a message whose field 2 is this chunk. `file` and `offset` are not negative."""
    size = len(chunk.data)
    fields = b""
    if chunk.file:
        fields += b"\x08" + _varint(chunk.file)
    if chunk.offset:
        fields += b"\x10" + _varint(chunk.offset)
    if chunk.crc32c is not None:
        fields += b"\x1d" + _FIXED32.pack(chunk.crc32c)
    if size:
        fields += b"\x22" + _varint(size)
    return b"".join((b"\x12", _varint(len(fields) + size), fields, chunk.data))


class CarriesChunk(Protocol):
    """A message whose field 2 may be a chunk."""

    @property
    def chunk(self) -> FileChunk:
        """The chunk; an empty one when there is none."""

    def HasField(self, field_name: Literal["chunk"]) -> bool:  # noqa: N802  (protobuf's name)
        """Whether there is one."""


MessageT = TypeVar("MessageT", bound=CarriesChunk)


def chunk_reader(parse: Callable[[bytes], MessageT]) -> Callable[[bytes], Chunk | MessageT]:
    """A deserializer that gives a Chunk where `parse`, which is protobuf's, gives a message with one.

    Messages that are written as `chunk_message` does are read here, their data a view into the message. All others are
    left to `parse`, and so is what is no message at all.
    """

    def read(message: bytes) -> Chunk | MessageT:
        found = _find(message)
        if found is not None:
            return found
        parsed = parse(message)
        return _from_proto(parsed.chunk) if parsed.HasField("chunk") else parsed

    return read


def _from_proto(message: FileChunk) -> Chunk:
    return Chunk(message.file, message.offset, message.crc32c if message.HasField("crc32c") else None, message.data)


def _find(message: bytes) -> Chunk | None:
    try:
        return _find_whole(message)
    except IndexError:  # it ends where more must come
        return None


def _find_whole(message: bytes) -> Chunk | None:
    if not message or message[0] != _CHUNK:
        return None
    size, at = _read_varint(message, 1)
    if size != len(message) - at:
        return None
    file = offset = 0
    crc32c = None
    if message[at] == _FILE:
        file, at = _read_varint(message, at + 1)
    if message[at] == _OFFSET:
        offset, at = _read_varint(message, at + 1)
    if message[at] == _CRC32C and at + 5 < len(message):
        (crc32c,) = _FIXED32.unpack_from(message, at + 1)
        at += 5
    if message[at] != _DATA:
        return None
    size, at = _read_varint(message, at + 1)
    is_usual = size == len(message) - at and 0 <= file < _INT32_END and 0 <= offset < _INT64_END
    return Chunk(file, offset, crc32c, memoryview(message)[at:]) if is_usual else None


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """The number and where it ends; -1 for one that is longer than it needs to be, which only protobuf may judge."""
    value = shift = 0
    for index in range(at, at + _VARINT_BYTES):
        byte = message[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value if byte or index == at else -1), index + 1
        shift += 7
    return -1, at + _VARINT_BYTES
