"""`BundleStore` on S3: MinIO, AWS, SeaweedFS and whatever else speaks it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import islice
from typing import Final

from registrar_server.adapters.minio_bundles.buffers import MEBIBYTE
from registrar_server.adapters.minio_bundles.client import ListedObject, S3Address, S3Client
from registrar_server.adapters.minio_bundles.errors import ErrorTranslator
from registrar_server.adapters.minio_bundles.http import HttpLimits
from registrar_server.adapters.minio_bundles.keys import Root
from registrar_server.adapters.minio_bundles.reader import open_object
from registrar_server.adapters.minio_bundles.transfer import MAX_BUFFERS, MinioBundleTransfer, TransferSettings
from registrar_server.application.ports.bundle_store import BundleTransfer, ObjectReader, StoredObject
from registrar_server.domain.errors import Reason, RegistrarError

DEFAULT_PART_SIZE_BYTES: Final = 8 * MEBIBYTE
MIN_PART_SIZE_BYTES: Final = 5 * MEBIBYTE
_TRANSFERS_AT_ONCE: Final = 16
_READERS_AT_ONCE: Final = 32
_DELETE_BATCH: Final = 1000
_DELETE_ROUNDS: Final = 3


class MinioBundleStore:
    """See `BundleStore`. Meant for 16 transfers at once; more share their threads."""

    def __init__(
        self,
        endpoint_url: str | None,
        bucket: str,
        prefix: str,
        access_key: str | None,
        secret_key: str | None,
        region: str | None,
        *,
        part_size_bytes: int = DEFAULT_PART_SIZE_BYTES,
        parallel_parts: int = MAX_BUFFERS,
        limits: HttpLimits | None = None,
        abort_wait_seconds: float = 10.0,
        is_full: Callable[[], bool] | None = None,
    ) -> None:
        """`endpoint_url` None: AWS. Keys None: environment, ~/.aws, then the machine's role.

        `part_size_bytes` is from 5 MiB; a transfer uses up to 4 buffers of it, at most 64 MiB together.
        `is_full` is asked before each write, for a store that does not say that its disk is full (SeaweedFS).
        Raises ValueError for settings that cannot work.
        """
        if part_size_bytes < MIN_PART_SIZE_BYTES or parallel_parts < 1:
            raise ValueError("part_size_bytes must be at least 5 MiB and parallel_parts at least 1")
        parallel_parts = min(parallel_parts, MAX_BUFFERS)
        threads = _TRANSFERS_AT_ONCE * parallel_parts
        self._root = Root(bucket, prefix)
        self._translated = ErrorTranslator(is_full)
        self._client = S3Client(
            S3Address(endpoint_url, bucket, access_key, secret_key, region),
            limits or HttpLimits(),
            self._translated,
            connections=threads + _READERS_AT_ONCE,
        )
        self._settings = TransferSettings(part_size_bytes, parallel_parts, abort_wait_seconds)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="bundle-store")

    def check(self) -> None:
        """See `BundleStore.check`."""
        self._client.ensure_bucket()

    def uri(self, key: str) -> str:
        """See `BundleStore.uri`."""
        return self._root.uri_of(key)

    def key_of(self, uri: str) -> str:
        """See `BundleStore.key_of`."""
        return self._root.key_of_uri(uri)

    def start_transfer(self) -> BundleTransfer:
        """See `BundleStore.start_transfer`."""
        return MinioBundleTransfer(self._client, self._executor, self._settings, self._root.name_of, self.hash_object)

    def open_reader(
        self, key: str, *, offset: int = 0, length: int | None = None
    ) -> AbstractContextManager[ObjectReader]:
        """See `BundleStore.open_reader`. RANGE_INVALID when `offset` lies behind the end."""
        name = self._root.name_of(key)
        return open_object(self._client, self._translated, key=key, name=name, offset=offset, length=length)

    def stat(self, key: str) -> StoredObject | None:
        """See `BundleStore.stat`."""
        size = self._client.size_of(self._root.name_of(key))
        return None if size is None else StoredObject(key, size)

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        """See `BundleStore.list_objects`."""
        for entry in self._in_key_order(self._root.prefix_of(prefix)):
            yield StoredObject(self._root.key_of_name(entry.name), entry.size_bytes)

    def hash_object(self, key: str) -> tuple[int, str]:
        """See `BundleStore.hash_object`."""
        size, digest = 0, hashlib.sha256()
        with self.open_reader(key) as reader:
            for block in reader:
                size += len(block)
                digest.update(block)
        return size, digest.hexdigest()

    def delete_prefix(self, prefix: str) -> None:
        """See `BundleStore.delete_prefix`. With every version and delete marker, where the bucket keeps them."""
        name_prefix = self._root.prefix_of(prefix)
        for _ in range(_DELETE_ROUNDS):
            # Listed again until nothing comes: pages of uploads and of versions shift as entries go.
            if not self._abort_uploads(name_prefix) and not self._delete_versions(name_prefix):
                return
        if next(self._client.list_objects(name_prefix, versions=True), None) is not None:
            raise RegistrarError(Reason.STORE_UNAVAILABLE, "the object store did not delete everything")

    def close(self) -> None:
        """See `BundleStore.close`. Requests under way go on within their time-outs; nothing waits for them."""
        # Not cancelling what is queued: a transfer that waits for it would wait for ever.
        self._executor.shutdown(wait=False)
        self._client.close()

    def _in_key_order(self, name_prefix: str) -> Iterator[ListedObject]:
        if not self._client.server.startswith("SeaweedFS"):
            yield from (e for e in self._client.list_objects(name_prefix) if not e.name.endswith("/"))
            return
        # SeaweedFS lists folder by folder: `z/1` comes before `z-1`, although `-` sorts before `/`. So walk
        # the folders ourselves; what is held is one level of names, not the whole listing. A folder that has
        # just become empty is listed for a while, as an entry of itself.
        for entry in sorted(self._client.list_objects(name_prefix, by_level=True), key=lambda e: e.name):
            if not entry.name.endswith("/"):
                yield entry
            elif entry.name != name_prefix:
                yield from self._in_key_order(entry.name)

    def _abort_uploads(self, name_prefix: str) -> int:
        uploads = list(self._client.list_uploads(name_prefix))
        for name, upload_id in uploads:
            self._client.abort_upload(name, upload_id)
        return len(uploads)

    def _delete_versions(self, name_prefix: str) -> int:
        count = 0
        listing = self._client.list_objects(name_prefix, versions=True)
        while batch := list(islice(listing, _DELETE_BATCH)):
            self._client.delete(batch)
            count += len(batch)
        return count
