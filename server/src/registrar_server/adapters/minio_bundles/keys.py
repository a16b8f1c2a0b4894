"""Keys, object names and addresses: a key is relative to the store's root, a name is what S3 sees."""

from __future__ import annotations

from registrar_server.domain.errors import InvalidRequest, Reason, RegistrarError, Violation

_MAX_NAME_BYTES = 1024
"""S3's limit on an object name in UTF-8."""


class Root:
    """`s3://bucket/prefix`; nothing outside it can be named.

    Segments that are empty, `.` or `..` are refused: SeaweedFS walks them like a path (`a//b` is `a/b`),
    so one could leave the root, and MinIO refuses them.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        stripped = prefix.strip("/")
        self._bucket = bucket
        self._prefix = f"{stripped}/" if stripped else ""
        if stripped and not _is_plain(stripped):
            raise ValueError("the prefix must be a plain path")

    def name_of(self, key: str) -> str:
        """The object name of a key. INVALID_FIELD when it is no plain path or too long."""
        name = self._prefix + key
        if not _is_plain(key) or len(name.encode()) > _MAX_NAME_BYTES:
            raise InvalidRequest([Violation("key", "must be a plain relative path of at most 1,024 bytes")])
        return name

    def prefix_of(self, key_prefix: str) -> str:
        """As `name_of`, for the beginning of a key: may be empty or end with `/`."""
        if key_prefix and not _is_plain(key_prefix.removesuffix("/")):
            raise InvalidRequest([Violation("prefix", "must be the beginning of a plain relative path")])
        return self._prefix + key_prefix

    def key_of_name(self, name: str) -> str:
        """The key of a listed object name."""
        return name.removeprefix(self._prefix)

    def uri_of(self, key: str) -> str:
        """`s3://bucket/prefix/key`."""
        return f"s3://{self._bucket}/{self.name_of(key)}"

    def key_of_uri(self, uri: str) -> str:
        """The key of an address under this root, a slash at its end ignored. Else SOURCE_NOT_ALLOWED."""
        root = f"s3://{self._bucket}/{self._prefix}"
        key = uri.removeprefix(root).removesuffix("/")
        if not uri.startswith(root) or not _is_plain(key):
            raise RegistrarError(Reason.SOURCE_NOT_ALLOWED, "the address lies outside the artifact root")
        return key


def _is_plain(path: str) -> bool:
    return "\x00" not in path and all(segment not in ("", ".", "..") for segment in path.split("/"))
