"""`BundleStore` on S3: MinIO, AWS, SeaweedFS and whatever else speaks it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Final

from registrar_server.adapters.minio_bundles.buffers import MEBIBYTE, part_size_for
from registrar_server.adapters.minio_bundles.client import ListedObject, S3Client
from registrar_server.adapters.minio_bundles.connection import S3Address
from registrar_server.adapters.minio_bundles.copying import COPY_RANGE_BYTES, copy_object
from registrar_server.adapters.minio_bundles.errors import ErrorTranslator
from registrar_server.adapters.minio_bundles.http import Around, HttpLimits
from registrar_server.adapters.minio_bundles.keys import Root
from registrar_server.adapters.minio_bundles.reader import not_found, open_object
from registrar_server.adapters.minio_bundles.transfer import MAX_BUFFERS, MinioBundleTransfer, TransferSettings
from registrar_server.application.ports.bundle_store import BundleTransfer, Completion, ObjectReader, StoredObject
from registrar_server.domain.errors import Reason, RegistrarError

DEFAULT_PART_SIZE_BYTES: Final = 8 * MEBIBYTE
MIN_PART_SIZE_BYTES: Final = 5 * MEBIBYTE
_TRANSFERS_AT_ONCE: Final = 16
_READERS_AT_ONCE: Final = 32
_DELETE_BATCH: Final = 1000
_DELETE_ROUNDS: Final = 3


def _no_progress() -> None:
    """For who does not want to know."""


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
        copy_range_bytes: int = COPY_RANGE_BYTES,
        parallel_parts: int = MAX_BUFFERS,
        limits: HttpLimits | None = None,
        abort_wait_seconds: float = 10.0,
        settle_wait_seconds: float = 30.0,
        is_full: Callable[[], bool] | None = None,
        public_endpoint_url: str | None = None,
        around: Around | None = None,
    ) -> None:
        """`endpoint_url` None: AWS. Keys None: environment, ~/.aws, then the machine's role.

        `part_size_bytes` and `copy_range_bytes` are from 5 MiB; a transfer uses up to 4 buffers of it, at most 64 MiB together.
        `is_full` is asked before each write, for a store that does not say that its disk is full (SeaweedFS).
        `public_endpoint_url` is where those who are given presigned URLs reach the store; None: where this server does.
        `around` goes around each request. Raises ValueError for settings that cannot work.
        """
        if min(part_size_bytes, copy_range_bytes) < MIN_PART_SIZE_BYTES or parallel_parts < 1:
            raise ValueError("parts and ranges must be at least 5 MiB and parallel_parts at least 1")
        parallel_parts = min(parallel_parts, MAX_BUFFERS)
        threads = _TRANSFERS_AT_ONCE * parallel_parts
        self._root = Root(bucket, prefix)
        self._translated = ErrorTranslator(is_full)
        self._client = S3Client(
            S3Address(endpoint_url, bucket, access_key, secret_key, region),
            limits or HttpLimits(),
            self._translated,
            connections=threads + _READERS_AT_ONCE,
            public_endpoint_url=public_endpoint_url,
            around=around,
        )
        self._settings = TransferSettings(part_size_bytes, parallel_parts, abort_wait_seconds, settle_wait_seconds)
        self._copy_range_bytes = copy_range_bytes
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

    def start_transfer(self, *, max_buffers: int = MAX_BUFFERS) -> BundleTransfer:
        """See `BundleStore.start_transfer`. ValueError for any other number of buffers."""
        if not 1 <= max_buffers <= MAX_BUFFERS:
            raise ValueError(f"max_buffers must be from 1 to {MAX_BUFFERS}")
        settings = replace(self._settings, parallel_parts=min(self._settings.parallel_parts, max_buffers))
        return MinioBundleTransfer(self._client, self._executor, settings, self._root.name_of, self.hash_object)

    def put_object(self, key: str, body: bytes, *, retain_until: datetime | None = None) -> bool:
        """See `BundleStore.put_object`. SeaweedFS does not honour the condition under a race: there the last one stays."""
        return self._client.put(
            self._root.name_of(key), [memoryview(body)] if body else [], only_if_absent=True, retain_until=retain_until
        )

    def part_size_for(self, size_bytes: int) -> int:
        """See `BundleStore.part_size_for`."""
        return part_size_for(size_bytes, self._settings.part_size_bytes)

    def create_upload(self, key: str) -> str:
        """See `BundleStore.create_upload`."""
        return self._client.create_upload(self._root.name_of(key))

    def complete_upload(self, key: str, upload_id: str, etags: Sequence[str]) -> Completion:
        """See `BundleStore.complete_upload`.

        OCCUPIED also when the answer was lost and a retry found its own first try done. Of a part that was put twice
        SeaweedFS keeps both, and takes the one with that etag; others keep the last one, and refuse.
        """
        name = self._root.name_of(key)
        if self._client.size_of(name) is not None:
            # SeaweedFS does not honour the condition under a race, so what is there already is not left to it.
            return Completion.OCCUPIED
        if not etags:
            return Completion.REFUSED
        return self._client.complete_upload(name, upload_id, etags, only_if_absent=True)

    def abort_upload(self, key: str, upload_id: str) -> None:
        """See `BundleStore.abort_upload`."""
        self._client.abort_upload(self._root.name_of(key), upload_id)

    def abort_uploads(self, prefix: str) -> None:
        """See `BundleStore.abort_uploads`."""
        name_prefix = self._root.prefix_of(prefix)
        for _ in range(_DELETE_ROUNDS):
            if not self._abort_uploads(name_prefix, _no_progress):
                return

    def copy(self, source_key: str, key: str, *, on_progress: Callable[[], None]) -> None:
        """See `BundleStore.copy`."""
        source, name = self._root.name_of(source_key), self._root.name_of(key)
        ranges = self._copy_range_bytes
        if not copy_object(self._client, source, name, range_bytes=ranges, on_progress=on_progress):
            raise not_found(source_key)

    def delete(self, key: str) -> None:
        """See `BundleStore.delete`."""
        name = self._root.name_of(key)
        self._delete_all(lambda: (e for e in self._client.list_objects(name, versions=True) if e.name == name))

    def presign_read(self, key: str, *, expires_seconds: int) -> str:
        """See `BundleStore.presign_read`. At most seven days."""
        return self._client.presign("GET", self._root.name_of(key), expires_seconds=expires_seconds)

    def presign_part(self, key: str, upload_id: str, number: int, *, expires_seconds: int) -> str:
        """See `BundleStore.presign_part`. At most seven days."""
        return self._client.presign(
            "PUT",
            self._root.name_of(key),
            expires_seconds=expires_seconds,
            query={"partNumber": str(number), "uploadId": upload_id},
        )

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

    def hash_object(self, key: str, *, on_bytes: Callable[[int], None] | None = None) -> tuple[int, str]:
        """See `BundleStore.hash_object`."""
        size, digest = 0, hashlib.sha256()
        with self.open_reader(key) as reader:
            for block in reader:
                size += len(block)
                digest.update(block)
                if on_bytes is not None:
                    on_bytes(len(block))
        return size, digest.hexdigest()

    def delete_prefix(self, prefix: str, *, on_progress: Callable[[], None] | None = None) -> None:
        """See `BundleStore.delete_prefix`. With every version and delete marker, where the bucket keeps them."""
        name_prefix = self._root.prefix_of(prefix)
        on_progress = on_progress or _no_progress
        for _ in range(_DELETE_ROUNDS):
            if not self._abort_uploads(name_prefix, on_progress):
                break
        self._delete_all(lambda: self._client.list_objects(name_prefix, versions=True), on_progress)

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

    def _abort_uploads(self, name_prefix: str, on_progress: Callable[[], None]) -> int:
        uploads = list(self._client.list_uploads(name_prefix))
        for name, upload_id in uploads:
            on_progress()
            self._client.abort_upload(name, upload_id)
        return len(uploads)

    def _delete_all(
        self, listing: Callable[[], Iterator[ListedObject]], on_progress: Callable[[], None] = _no_progress
    ) -> None:
        # Listed again until nothing comes: pages of versions shift as entries go.
        for _ in range(_DELETE_ROUNDS):
            entries, count = listing(), 0
            while batch := list(islice(entries, _DELETE_BATCH)):
                on_progress()
                self._client.delete(batch)
                count += len(batch)
            if not count:
                return
        if next(listing(), None) is not None:
            raise RegistrarError(Reason.STORE_UNAVAILABLE, "the object store did not delete everything")
