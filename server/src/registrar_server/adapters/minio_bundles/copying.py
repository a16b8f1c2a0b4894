"""Copies that the store makes by itself, of objects of any size."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from registrar_server.adapters.minio_bundles.buffers import MEBIBYTE, part_size_for
from registrar_server.adapters.minio_bundles.client import S3Client
from registrar_server.application.ports.bundle_store import Completion
from registrar_server.domain.errors import Reason, RegistrarError

COPY_RANGE_BYTES: Final = 128 * MEBIBYTE
"""One request copies no more: whole objects and ranges from 32 MiB on are copied at the same speed, and a request that
takes longer runs into the time-out for bytes of the answer, or into the end of its caller's lease (1 GiB in one request:
22 s on a busy machine with MinIO, in this range 2.5 s)."""


def copy_object(
    client: S3Client,
    source: str,
    name: str,
    *,
    range_bytes: int,
    on_progress: Callable[[], None],
) -> bool:
    """Copy an object over what is there, in ranges (5 MiB to 5 GiB) when it is larger than one. False: no source.

    `on_progress` is called before every request; see `BundleStore.copy`.
    """
    on_progress()
    size_bytes = client.size_of(source)
    if size_bytes is None:
        return False
    range_bytes = part_size_for(size_bytes, range_bytes)
    on_progress()
    if size_bytes <= range_bytes:
        return client.copy(source, name)
    upload_id = client.create_upload(name)
    try:
        return _copy_parts(client, source, name, upload_id, size_bytes, range_bytes, on_progress)
    except BaseException:
        # What went wrong counts, not that the store is too far gone to clear up: `delete_prefix` does that later.
        with suppress(RegistrarError):
            client.abort_upload(name, upload_id)
        raise


def _copy_parts(
    client: S3Client,
    source: str,
    name: str,
    upload_id: str,
    size_bytes: int,
    range_bytes: int,
    on_progress: Callable[[], None],
) -> bool:
    etags: list[str] = []
    for offset in range(0, size_bytes, range_bytes):
        on_progress()
        length = min(range_bytes, size_bytes - offset)
        etag = client.copy_part(source, name, upload_id, len(etags) + 1, offset=offset, length=length)
        if etag is None:
            client.abort_upload(name, upload_id)
            return False
        etags.append(etag)
    on_progress()
    if client.complete_upload(name, upload_id, etags, only_if_absent=False) is not Completion.DONE:
        raise RegistrarError(Reason.STORE_UNAVAILABLE, "the parts of a copy were taken away")
    return True
