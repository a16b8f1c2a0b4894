"""What is moved: files that cannot be compressed and that no two trials share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_BLOCK_BYTES = 1 << 20
_FILES_PER_FOLDER = 1000
_KIBIBYTE, _MEBIBYTE, _GIBIBYTE = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Case:
    """So many files of one size. `kind` is what targets are named by: one, several or many."""

    kind: str
    files: int
    file_bytes: int

    @property
    def size_bytes(self) -> int:
        return self.files * self.file_bytes

    @property
    def gibibytes(self) -> float:
        return self.size_bytes / _GIBIBYTE

    @property
    def name(self) -> str:
        return f"{self.files:,} file{'' if self.files == 1 else 's'} of {_size(self.file_bytes)}"

    def make(self, folder: Path) -> None:
        """Write the files: random bytes, so that no store keeps two of them as one, nor any from a trial before."""
        for index in range(self.files):
            path = folder / _path(index, self.files)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb", buffering=0) as stream:
                for offset in range(0, self.file_bytes, _BLOCK_BYTES):
                    stream.write(os.urandom(min(_BLOCK_BYTES, self.file_bytes - offset)))


FULL = (
    Case("one", 1, 4 * _GIBIBYTE),
    Case("several", 16, 256 * _MEBIBYTE),
    Case("many", 10_000, 20 * _KIBIBYTE),
)
SMALL = (
    Case("one", 1, 512 * _MEBIBYTE),
    Case("several", 16, 32 * _MEBIBYTE),
    Case("many", 1000, 20 * _KIBIBYTE),
)


def read_all(folder: Path) -> None:
    """Fill the page cache, so that it is warm for the first peer as it is for the last."""
    block = bytearray(_BLOCK_BYTES)
    for path in paths_below(folder):
        with path.open("rb", buffering=0) as stream:
            while stream.readinto(block):
                pass


def paths_below(folder: Path) -> list[Path]:
    """Every file below a folder, by path."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _path(index: int, files: int) -> str:
    """Models of many files have folders; a folder of ten thousand is nobody's."""
    name = f"part-{index:05d}.bin"
    return name if files <= _FILES_PER_FOLDER else f"shard-{index // _FILES_PER_FOLDER:02d}/{name}"


def _size(size_bytes: int) -> str:
    for unit, name in ((_GIBIBYTE, "GiB"), (_MEBIBYTE, "MiB")):
        if size_bytes >= unit:
            return f"{size_bytes // unit} {name}"
    return f"{size_bytes // _KIBIBYTE} KiB"
