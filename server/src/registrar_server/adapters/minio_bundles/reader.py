"""Reading an object, whole or a range of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

import urllib3
from minio.error import S3Error

from registrar_server.adapters.minio_bundles.ahead import ReadAhead
from registrar_server.adapters.minio_bundles.client import S3Client
from registrar_server.adapters.minio_bundles.errors import (
    ABSENT_CODES,
    BACKEND_ERRORS,
    CONDITION_CODES,
    ErrorTranslator,
)
from registrar_server.application.ports.bundle_store import ObjectReader
from registrar_server.domain.errors import Reason, RegistrarError

BLOCK_BYTES: Final = 1 << 20
RANGE_BYTES: Final = 64 << 20
"""One request asks for no more: SeaweedFS reads ahead of a slow reader without bound (757 MiB of memory at an
object of 640 MiB, 318 in ranges), and ranges cost no speed."""
AHEAD_FROM_BYTES: Final = 4 << 20
"""Shorter reads are not worth a thread. It costs 0.1 CPU seconds per GiB, and brought files that were hashed and sent on
8 to 14 % faster to their reader on a machine whose cores were all busy."""


@contextmanager
def open_object(
    client: S3Client, translated: ErrorTranslator, *, key: str, name: str, offset: int, length: int | None
) -> Iterator[ObjectReader]:
    """The range as a reader. RANGE_INVALID when it begins behind the end; connections are always given back."""
    if offset < 0 or (length is not None and length < 0):
        raise _range_invalid(key)
    source = _Source(client, translated, key, name)
    first = None if length == 0 else source.open(offset, RANGE_BYTES if length is None else min(length, RANGE_BYTES))
    if first is None:
        _check_empty_range(client, key, name, offset)
        yield _EmptyReader()
        return
    with closing(_RangedReader(source, first, offset, length)) as reader:
        if reader.size_bytes < AHEAD_FROM_BYTES:
            yield reader
            return
        with closing(ReadAhead(reader)) as ahead:
            yield ahead


def not_found(key: str) -> RegistrarError:
    """The error for an object that is absent."""
    return RegistrarError(Reason.ARTIFACT_FILE_NOT_FOUND, f"{key}: no such object", metadata={"key": key})


class _Source:
    """One object; all its ranges come from the same write of it."""

    def __init__(self, client: S3Client, translated: ErrorTranslator, key: str, name: str) -> None:
        self._client = client
        self._name = name
        self._etag: str | None = None
        self.translated = translated
        self.key = key

    def open(self, offset: int, length: int) -> urllib3.BaseHTTPResponse | None:
        """A response for the range, None when it begins at or behind the end."""
        try:
            response = self._client.get(self._name, offset, length, etag=self._etag)
        except S3Error as exc:
            if exc.code in ABSENT_CODES:
                raise not_found(self.key) from exc
            if exc.code == "InvalidRange":
                return None
            if exc.code in CONDITION_CODES:
                raise self.corrupt("was replaced while it was read") from exc
            raise self.translated.translate(exc, "get_object", self._name) from exc
        except BACKEND_ERRORS as exc:
            raise self.translated.translate(exc, "get_object", self._name) from exc
        self._etag = response.headers.get("ETag")
        return response

    def corrupt(self, what: str) -> RegistrarError:
        return RegistrarError(Reason.ARTIFACT_CORRUPT, f"{self.key}: {what}", metadata={"key": self.key})


class _EmptyReader:
    def __iter__(self) -> Iterator[bytes]:
        return iter(())


class _RangedReader:
    def __init__(self, source: _Source, first: urllib3.BaseHTTPResponse, offset: int, length: int | None) -> None:
        self._source = source
        self._response: urllib3.BaseHTTPResponse | None = first
        self._offset = offset
        self._end = _total_bytes(first) if length is None else offset + length

    @property
    def size_bytes(self) -> int:
        return self._end - self._offset

    def __iter__(self) -> Iterator[bytes]:
        position = self._offset
        while self._response is not None:
            wanted = min(RANGE_BYTES, self._end - position)
            received = 0
            try:
                for block in self._response.stream(BLOCK_BYTES, decode_content=False):
                    received += len(block)
                    yield block
            except BACKEND_ERRORS as exc:
                raise self._source.translated.translate(exc, "read_object", self._source.key) from exc
            self._response.release_conn()
            self._response = None
            position += received
            if received != wanted:
                raise self._source.corrupt(f"the store sent {received} bytes of {wanted}")
            if position < self._end:
                self._response = self._source.open(position, min(RANGE_BYTES, self._end - position))
                if self._response is None:
                    raise self._source.corrupt(f"the store has {position} bytes of {self._end}")

    def close(self) -> None:
        """Give the connection back; closed first, since bytes still under way would be taken for the next answer."""
        if self._response is not None:
            self._response.close()
            self._response.release_conn()
            self._response = None


def _total_bytes(response: urllib3.BaseHTTPResponse) -> int:
    """Size of the whole object, from `Content-Range: bytes 0-9/1234`, or of the answer when it is all of it."""
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(total) if total.isdigit() else int(response.headers["Content-Length"])


def _check_empty_range(client: S3Client, key: str, name: str, offset: int) -> None:
    size = client.size_of(name)
    if size is None:
        raise not_found(key)
    if offset > size:
        raise _range_invalid(key)


def _range_invalid(key: str) -> RegistrarError:
    return RegistrarError(Reason.RANGE_INVALID, f"{key}: the range lies outside the object", metadata={"key": key})
