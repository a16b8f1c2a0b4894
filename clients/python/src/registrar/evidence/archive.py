"""The tar archive that an export of evidence is, read strictly: nothing in it that the registry would not have written."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from registrar.errors import DataLoss

_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)
_PIECE_BYTES = 1 << 20
_DOCUMENT_BYTES = 256 << 20
_LINE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive: where its bytes are, and what they are."""

    offset: int
    size_bytes: int
    sha256: str


class Archive:
    """An archive whose members were all read once. `problem`: how it shows that the registry did not write it so."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._members: dict[str, Member] = {}
        self.problem = self._scan()

    @property
    def members(self) -> Mapping[str, Member]:
        """By name, in their order."""
        return self._members

    def read(self, name: str, size_bytes: int = _DOCUMENT_BYTES) -> bytes:
        """A member whole. DataLoss EVIDENCE_ALTERED when it is not there, or has more than `size_bytes`."""
        member = self._members.get(name)
        if member is None or member.size_bytes > size_bytes:
            what = "is missing" if member is None else "is too large"
            raise DataLoss(f"{name} {what}", reason="EVIDENCE_ALTERED", metadata={"member": name})
        self._file.seek(member.offset)
        return self._file.read(member.size_bytes)

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a member, without their ends."""
        member = self._members[name]
        position, end = member.offset, member.offset + member.size_bytes
        while position < end:
            self._file.seek(position)
            line = self._file.readline(min(_LINE_BYTES, end - position))
            position += len(line)
            yield line.removesuffix(b"\n")

    def _scan(self) -> str:
        times = set()
        while True:
            header = self._file.read(_BLOCK)
            if header == _END[:_BLOCK]:
                break
            try:
                info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
            except (tarfile.HeaderError, UnicodeDecodeError, ValueError):
                return "is not a whole archive"
            if info.name in self._members or header != _plain_header(info):
                return f"has a member {info.name!r} that the registry did not write so"
            times.add(info.mtime)
            offset = self._file.tell()
            digest = self._digest(info.size)
            if digest is None:
                return f"breaks off in {info.name}"
            self._members[info.name] = Member(offset, info.size, digest)
        rest = self._file.read(_BLOCK + 1)
        if rest != _END[:_BLOCK] or len(times) > 1:
            return (
                "does not end as an archive of evidence does"
                if rest != _END[:_BLOCK]
                else "has members of several times"
            )
        return ""

    def _digest(self, size_bytes: int) -> str | None:
        digest, left = hashlib.sha256(), size_bytes
        while left:
            piece = self._file.read(min(left, _PIECE_BYTES))
            if not piece:
                return None
            digest.update(piece)
            left -= len(piece)
        padding = -size_bytes % _BLOCK
        return digest.hexdigest() if self._file.read(padding) == bytes(padding) else None


def open_archive(path: Path) -> Iterator[Archive]:
    """The archive in a file, while it is open; to be used by `contextmanager`. OSError."""
    with path.open("rb") as file:
        yield Archive(file)


def _plain_header(info: tarfile.TarInfo) -> bytes:
    """The header of a regular file with nothing about it but name, size and time."""
    plain = tarfile.TarInfo(info.name)
    plain.size, plain.mtime, plain.mode = info.size, info.mtime, 0o644
    try:
        return plain.tobuf(tarfile.USTAR_FORMAT)
    except ValueError:
        return b""
