"""Chunks that are framed by hand are what protobuf reads and writes, whatever the message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from registrar.framing import Chunk, chunk_message, chunk_reader
from registrar.v1 import artifact_pb2
from registrar.v1 import artifact_service_pb2 as pb
from registrar_server.transport.framing import download_message, upload_request, write_request

KINDS: list[tuple[Any, Callable[[bytes], Any]]] = [
    (pb.UploadArtifactRequest, upload_request),
    (pb.WriteUploadRequest, write_request),
    (pb.DownloadFileResponse, chunk_reader(pb.DownloadFileResponse.FromString)),
]
kinds = pytest.mark.parametrize(("kind", "read"), KINDS, ids=lambda k: getattr(k, "__name__", "read"))

files = st.integers(0, 2**31 - 1) | st.sampled_from([0, 1, 127, 128, 2**31 - 1])
offsets = st.integers(0, 2**63 - 1) | st.sampled_from([0, 127, 128, 2**32, 2**63 - 1])
checksums = st.none() | st.integers(0, 2**32 - 1)
data = st.binary(max_size=300)


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def _padded(value: int) -> bytes:
    """A varint that is longer than it needs to be."""
    shortest = _varint(value)
    return shortest[:-1] + bytes([shortest[-1] | 0x80, 0])


# Pieces of messages, whole and broken, in any order: what a caller of another making may send.
varints = st.integers(0, 2**64 - 1).map(_varint) | st.binary(min_size=1, max_size=11)
fields = st.one_of(
    st.tuples(st.sampled_from([b"\x08", b"\x10", b"\x1d", b"\x22", b"\x12", b"\x0a", b"\x28"]), varints | data).map(
        b"".join
    ),
    st.tuples(st.just(b"\x1d"), st.binary(min_size=4, max_size=4)).map(b"".join),
    st.binary(max_size=40).map(lambda found: b"\x22" + _varint(len(found)) + found),
)
inner = st.lists(fields, max_size=5).map(b"".join)
messages = st.one_of(
    st.binary(max_size=60),
    inner.map(lambda found: b"\x12" + _varint(len(found)) + found),
    st.tuples(inner, inner).map(lambda both: b"".join(b"\x12" + _varint(len(one)) + one for one in both)),
    inner.map(lambda found: b"\x12" + _padded(len(found)) + found),
    st.tuples(inner, st.integers(-3, 3)).map(lambda t: b"\x12" + _varint(max(0, len(t[0]) + t[1])) + t[0]),
)


def expected(parsed: Any) -> Any:
    """What a reader gives for a message that protobuf has read."""
    if not parsed.HasField("chunk"):
        return parsed
    chunk = parsed.chunk
    return Chunk(chunk.file, chunk.offset, chunk.crc32c if chunk.HasField("crc32c") else None, chunk.data)


@kinds
@given(file=files, offset=offsets, crc32c=checksums, data=data)
def test_a_framed_chunk_is_the_message_that_protobuf_writes(
    kind: Any, read: Callable[[bytes], Any], file: int, offset: int, crc32c: int | None, data: bytes
) -> None:
    chunk = Chunk(file, offset, crc32c, data)
    by_protobuf = kind(chunk=artifact_pb2.FileChunk(file=file, offset=offset, crc32c=crc32c, data=data))
    assert chunk_message(chunk) == by_protobuf.SerializeToString()
    assert chunk_message(Chunk(file, offset, crc32c, memoryview(data))) == by_protobuf.SerializeToString()
    assert read(by_protobuf.SerializeToString()) == chunk


@kinds
@given(message=messages)
def test_any_bytes_are_read_as_protobuf_reads_them(kind: Any, read: Callable[[bytes], Any], message: bytes) -> None:
    try:
        parsed = kind.FromString(message)
    except DecodeError:
        with pytest.raises(DecodeError):
            read(message)
        return
    assert read(message) == expected(parsed)


@kinds
def test_the_data_of_a_usual_chunk_is_not_copied(kind: Any, read: Callable[[bytes], Any]) -> None:
    message = kind(chunk=artifact_pb2.FileChunk(offset=7, crc32c=1, data=b"x" * 1000)).SerializeToString()
    found = read(message).data
    assert isinstance(found, memoryview)
    assert found.obj is message


def test_headers_and_trailers_are_written_by_protobuf() -> None:
    for message in (
        pb.DownloadFileResponse(header=pb.DownloadFileHeader(artifact_id="a" * 32)),
        pb.DownloadFileResponse(trailer=pb.DownloadFileTrailer(sha256="0" * 64, size_bytes=3)),
    ):
        assert download_message(message) == message.SerializeToString()
