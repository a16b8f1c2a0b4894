"""Rows of upload sessions as the values that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Integer, Row, Text
from sqlalchemy.types import TypeEngine

from registrar_server.domain.bundles import BundleFile, FileType
from registrar_server.domain.uploads import FileState, UploadFile, UploadSession
from registrar_server.domain.values import ModelKey


def session_of(row: Row[Any]) -> UploadSession:
    """A session, of a row of `bundles` with its model's name."""
    return UploadSession(
        uid=row.uid,
        model=ModelKey(row.tenant, row.name),
        model_uid=row.model_uid,
        manifest_digest=row.manifest_digest,
        prefix=row.prefix,
        size_bytes=row.size_bytes,
        file_count=row.file_count,
        created_by=row.created_by,
        create_time=row.opened_at,
        expire_time=row.claimed_until,
        wipes=row.wipes,
    )


def file_of(row: Row[Any]) -> UploadFile:
    """A file, of a row of `upload_files`."""
    return UploadFile(
        index=row.file,
        file=BundleFile(row.path, row.size_bytes, row.sha256, FileType(row.type)),
        part_size_bytes=row.part_size_bytes,
        state=FileState(row.state),
        store_upload_id=row.store_upload_id,
        source_key=row.source_key,
    )


FILE_COLUMNS: Mapping[str, TypeEngine[Any]] = {
    "file": Integer(),
    "path": Text(),
    "size_bytes": BigInteger(),
    "sha256": Text(),
    "type": Integer(),
    "part_size_bytes": BigInteger(),
    "state": Text(),
    "store_upload_id": Text(),
    "source_key": Text(),
}
"""What a file of a session is given when it is opened; `row_of` has the values in this order."""


def row_of(file: UploadFile) -> tuple[str | int, ...]:
    """The values of a file."""
    return (
        file.index,
        file.file.path,
        file.file.size_bytes,
        file.file.sha256,
        file.file.type.value,
        file.part_size_bytes,
        file.state.value,
        file.store_upload_id,
        file.source_key,
    )
