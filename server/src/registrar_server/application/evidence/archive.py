"""A tar archive whose bytes follow from what is in it: no owner, no mode but one, one time for all members."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Mapping

from registrar_server.domain.canonical import canonical_json

END = bytes(2 * tarfile.BLOCKSIZE)
"""What ends an archive."""
_MODE = 0o644


class Index:
    """What has gone into an archive so far."""

    def __init__(self) -> None:
        self._members: dict[str, Mapping[str, object]] = {}

    def add(self, name: str, content: bytes) -> None:
        """Remember a member."""
        self._members[name] = {"sha256": digest(content), "size_bytes": len(content)}

    def content(self, about: Mapping[str, object]) -> bytes:
        """As JSON, together with what the archive is about."""
        return pretty({**about, "members": self._members})


def member(name: str, content: bytes, time_seconds: int) -> bytes:
    """A regular file as it stands in the archive: ustar, where the name has at most 100 bytes behind its last slash."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(content), time_seconds, _MODE
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def pretty(document: object) -> bytes:
    """JSON for people: keys in order, two spaces, UTF-8, a line feed at its end."""
    return (json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def canonical(document: object) -> bytes:
    """JSON as it is hashed: keys in order, no space that is not needed, UTF-8."""
    return canonical_json(document).encode()


def digest(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()
