"""Paths that others named."""

from __future__ import annotations

from registrar_server.domain.errors import Reason, RegistrarError


def check_relative_path(path: str) -> str:
    """The path itself when it stays below where it starts; SOURCE_NOT_ALLOWED for any other.

    A backslash separates directories on Windows, where clients put the files.
    """
    if any(segment in {"", ".", ".."} for segment in path.split("/")) or "\\" in path or "\x00" in path:
        raise source_not_allowed("a file's path is absolute, empty, or leaves its directory")
    return path


def source_not_allowed(message: str) -> RegistrarError:
    """The error for files that this server must not read."""
    return RegistrarError(Reason.SOURCE_NOT_ALLOWED, message)
