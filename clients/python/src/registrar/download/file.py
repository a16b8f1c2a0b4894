"""One file of a bundle while it is put together from ranges."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from registrar.download.carrier import Block
from registrar.download.ranges import Ranges
from registrar.values import BundleFile

_READ_BYTES = 1 << 20
_FLAGS = (
    os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
)


class PartialFile:
    """A file that is written at any places, by any threads, and hashed in order while that goes on.

    A block that comes in order is hashed as it is; what came ahead of its turn is read back when its turn comes. One
    thread at a time does that, and the others go on writing.
    """

    def __init__(self, index: int, entry: BundleFile, path: Path) -> None:
        self.index = index
        self.entry = entry
        self.path = path
        self.ranges = Ranges()
        """What has been written; change it before the first write only."""
        self._changed = threading.Condition()
        self._digest = hashlib.sha256()
        self._hashed_bytes = 0
        self._is_hashing = False

    def open(self) -> int:
        """A file descriptor to write with; the caller closes it. Folders are made. Errors: OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self.path, _FLAGS, 0o666)

    def write(self, descriptor: int, offset: int, block: Block) -> None:
        """Add bytes that are not there. Errors: OSError."""
        self._write_at(descriptor, block, offset)
        with self._changed:
            self.ranges.add(offset, offset + len(block))
            if self._is_hashing:
                return
            self._is_hashing = True
            is_in_order = offset == self._hashed_bytes
        try:
            if is_in_order:
                self._hash(block)
            self._read_on(descriptor)
        finally:
            self._release()

    def is_intact(self, descriptor: int) -> bool:
        """Whether the file is whole and has its digest; hashes what is left. Errors: OSError."""
        if os.fstat(descriptor).st_size != self.entry.size_bytes:
            return False
        with self._changed:
            self._changed.wait_for(lambda: not self._is_hashing)
            self._is_hashing = True
        try:
            self._read_on(descriptor)
            is_whole = self._hashed_bytes == self.entry.size_bytes
            return is_whole and self._digest.hexdigest() == self.entry.sha256
        finally:
            self._release()

    def clear(self) -> None:
        """Forget all bytes; nobody may be writing."""
        self.ranges.clear()
        self._digest = hashlib.sha256()
        self._hashed_bytes = 0
        self.path.unlink(missing_ok=True)

    def _release(self) -> None:
        with self._changed:
            self._is_hashing = False
            self._changed.notify_all()

    def _hash(self, block: Block) -> None:
        self._digest.update(block)
        with self._changed:
            self._hashed_bytes += len(block)

    def _read_on(self, descriptor: int) -> None:
        """Hash what lies behind what is hashed, as far as it is there without a gap."""
        while True:
            with self._changed:
                left = self.ranges.end_from(self._hashed_bytes) - self._hashed_bytes
            if not left:
                return
            block = self._read_at(descriptor, min(left, _READ_BYTES), self._hashed_bytes)
            if not block:
                raise OSError(f"{self.path} became shorter while it was pulled")
            self._hash(block)

    if sys.platform == "win32":

        def _write_at(self, descriptor: int, block: Block, offset: int) -> None:
            with self._changed:
                os.lseek(descriptor, offset, os.SEEK_SET)
                _write_all(lambda data, _: os.write(descriptor, data), block, offset)

        def _read_at(self, descriptor: int, size: int, offset: int) -> bytes:
            with self._changed:
                os.lseek(descriptor, offset, os.SEEK_SET)
                return os.read(descriptor, size)

    else:

        def _write_at(self, descriptor: int, block: Block, offset: int) -> None:
            _write_all(lambda data, at: os.pwrite(descriptor, data, at), block, offset)

        def _read_at(self, descriptor: int, size: int, offset: int) -> bytes:
            return os.pread(descriptor, size, offset)


def _write_all(write: Callable[[memoryview, int], int], block: Block, offset: int) -> None:
    """A full disk takes less than it is given, before it fails."""
    left = memoryview(block)
    while left:
        count = write(left, offset)
        left, offset = left[count:], offset + count
