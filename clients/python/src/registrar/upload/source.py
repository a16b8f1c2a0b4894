"""The files that are pushed, read once more: as long as they are what was hashed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO

from registrar.errors import InvalidArgument
from registrar.manifest import LocalFile, file_mark


@contextmanager
def open_source(file: LocalFile) -> Iterator[FileIO]:
    """A file to read from. Errors: InvalidArgument FILE_CHANGED when it changed since it was hashed, or while it is open."""
    try:
        stream = FileIO(file.source)
    except OSError as exc:
        raise _changed(file, f"cannot be read any more: {exc.strerror}") from exc
    with stream:
        _check(file, stream)
        yield stream
        _check(file, stream)


def read_blocks(file: LocalFile, stream: FileIO, offset: int, length: int, *, block_bytes: int) -> Iterator[bytes]:
    """`length` bytes from `offset`, in blocks of `block_bytes`, the last one shorter. Errors: FILE_CHANGED where they end."""
    stream.seek(offset)
    while length:
        block = stream.read(min(block_bytes, length))
        if not block:
            raise _changed(file, "became shorter while it was pushed")
        yield block
        length -= len(block)


def check_unchanged(file: LocalFile) -> None:
    """Refuse a file that is not what was hashed. Errors: InvalidArgument FILE_CHANGED."""
    with open_source(file):
        pass


def _check(file: LocalFile, stream: FileIO) -> None:
    if file_mark(os.fstat(stream.fileno())) != file.mark:
        raise _changed(file, "changed while it was pushed")


def _changed(file: LocalFile, what: str) -> InvalidArgument:
    return InvalidArgument(
        f"{file.source} {what}: push again when nobody writes to it",
        reason="FILE_CHANGED",
        metadata={"path": file.entry.path},
    )
