"""One upload stream into the object store: parts travel in parallel while the next buffer fills."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass
from threading import Condition
from time import monotonic
from typing import Final

from registrar_server.adapters.minio_bundles.buffers import MAX_OBJECT_BYTES, Buffer, BufferPool, part_size_for
from registrar_server.adapters.minio_bundles.client import S3Client
from registrar_server.adapters.minio_bundles.incoming import Incoming, Upload, size_mismatch
from registrar_server.adapters.minio_bundles.verified import VerifiedObjects
from registrar_server.application.ports.bundle_store import StoredObject, StoredPart, StoreUploadGone
from registrar_server.domain.errors import InvalidRequest, Reason, RegistrarError, Violation

MAX_BUFFERS: Final = 4
BUFFER_BUDGET_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """`part_size_bytes` from 5 MiB; `parallel_parts` from 1 to 4; the rest bounds `abort` and `settle`."""

    part_size_bytes: int
    parallel_parts: int
    abort_wait_seconds: float
    settle_wait_seconds: float


class MinioBundleTransfer:
    """`BundleTransfer` on S3. The caller's thread hashes and copies, the store's threads send.

    All state that both sides touch is guarded by `_changed`.
    """

    def __init__(
        self,
        client: S3Client,
        executor: Executor,
        settings: TransferSettings,
        object_name: Callable[[str], str],
        hash_object: Callable[[str], tuple[int, str]],
    ) -> None:
        self._client = client
        self._executor = executor
        self._settings = settings
        self._object_name = object_name
        self._objects = VerifiedObjects(client, hash_object)
        self._changed = Condition()
        self._buffers = BufferPool(
            self._changed,
            max_buffers=min(settings.parallel_parts, MAX_BUFFERS),
            budget_bytes=max(BUFFER_BUDGET_BYTES, settings.part_size_bytes),
        )
        self._current: Incoming | None = None
        self._running = 0
        self._unfinished: set[Upload] = set()
        self._stored: list[StoredObject | StoredPart] = []
        self._failure: BaseException | None = None
        self._is_over = False
        self._is_aborted = False

    def open_object(self, key: str, *, size_bytes: int, sha256: str) -> None:
        """See `BundleTransfer.open_object`. INVALID_FIELD for more than 5 TiB or a key that is no plain path."""
        self._require_size(size_bytes, at_least=0)
        self._current = Incoming(
            key=key,
            name=self._object_name(key),
            size_bytes=size_bytes,
            part_size_bytes=part_size_for(size_bytes, self._settings.part_size_bytes),
            sha256=sha256,
            digest=hashlib.sha256(),
        )

    def open_parts(
        self, key: str, *, upload_id: str, part_size_bytes: int, first_part: int, size_bytes: int, sha256: str | None
    ) -> None:
        """See `BundleTransfer.open_parts`. INVALID_FIELD for no bytes or more than 5 TiB, or a key that is no plain path."""
        self._require_size(size_bytes, at_least=1)
        run = Incoming(key, self._object_name(key), size_bytes, part_size_bytes)
        if sha256 is not None:
            run.sha256, run.digest = sha256, hashlib.sha256()
        run.upload = Upload(run, upload_id, first_part=first_part)
        self._current = run

    def write(self, data: bytes | memoryview) -> None:
        """See `BundleTransfer.write`."""
        self._raise_failure()
        incoming = self._require_current()
        view = memoryview(data).cast("B")
        incoming.received_bytes += len(view)
        if incoming.received_bytes > incoming.size_bytes:
            raise size_mismatch(incoming)
        if incoming.digest is not None:
            incoming.digest.update(view)
        while view:
            if incoming.buffer is None:
                incoming.buffer = self._take_buffer(incoming)
            view = view[incoming.buffer.fill(view, incoming.part_size_bytes) :]
            if incoming.is_multipart and incoming.is_part_full:
                self._send_part(incoming)

    def close_object(self) -> None:
        """See `BundleTransfer.close_object`."""
        self._raise_failure()
        incoming = self._require_current()
        incoming.require_whole()
        self._current = None
        if not incoming.is_multipart:
            self._send_whole(incoming)
        elif incoming.digest is not None:
            upload = self._upload_of(incoming)
            with self._changed:
                upload.is_closed = True
                self._complete_when_sent(upload)

    def finish(self) -> None:
        """See `BundleTransfer.finish`."""
        if self._current is not None:
            raise RuntimeError("an object is still open")
        with self._changed:
            while self._running and self._failure is None:
                self._changed.wait()
        self._raise_failure()

    def take_stored(self) -> Sequence[StoredObject | StoredPart]:
        """See `BundleTransfer.take_stored`."""
        with self._changed:
            taken, self._stored = self._stored, []
        return taken

    def settle(self) -> None:
        """See `BundleTransfer.settle`. Waits at most `settle_wait_seconds`."""
        with self._changed:
            self._end(self._settings.settle_wait_seconds)

    def abort(self) -> None:
        """See `BundleTransfer.abort`.

        Waits at most `abort_wait_seconds` for requests under way; what is left then is cleaned up behind.
        """
        with self._changed:
            if not self._is_aborted:
                self._is_aborted = True
                for upload in tuple(self._unfinished):
                    self._discard_when_idle(upload)
            self._end(self._settings.abort_wait_seconds)

    def _end(self, wait_seconds: float) -> None:
        deadline = monotonic() + wait_seconds
        self._is_over = True
        if self._current is not None and self._current.buffer is not None:
            self._buffers.give_back(self._current.buffer)
        self._current = None
        while self._running and (left := deadline - monotonic()) > 0:
            self._changed.wait(left)

    def _require_size(self, size_bytes: int, *, at_least: int) -> None:
        self._raise_failure()
        if self._current is not None:
            raise RuntimeError("the object before is still open")
        if not at_least <= size_bytes <= MAX_OBJECT_BYTES:
            raise InvalidRequest([Violation("size_bytes", f"must be from {at_least} to {MAX_OBJECT_BYTES}")])

    def _require_current(self) -> Incoming:
        if self._current is None:
            raise RuntimeError("no object is open")
        return self._current

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._is_over:
            raise RuntimeError("the transfer is over")

    def _take_buffer(self, incoming: Incoming) -> Buffer:
        with self._changed:
            buffer = self._buffers.take(min(incoming.part_size_bytes, incoming.size_bytes))
            if self._failure is not None:
                self._buffers.give_back(buffer)
        self._raise_failure()
        return buffer

    def _send_whole(self, incoming: Incoming) -> None:
        buffer, incoming.buffer = incoming.buffer, None

        def send() -> None:
            self._objects.put(incoming, buffer.blocks() if buffer is not None else ())
            self._report(StoredObject(incoming.key, incoming.size_bytes))

        self._run(send, buffer)

    def _send_part(self, incoming: Incoming) -> None:
        upload = self._upload_of(incoming)
        buffer = incoming.detach_buffer()
        with self._changed:
            index = len(upload.etags)
            upload.etags.append("")
            upload.sending += 1
        number = upload.first_part + index

        def send() -> None:
            try:
                etag = self._client.put_part(incoming.name, upload.id, number, buffer.blocks())
            except StoreUploadGone as exc:
                raise StoreUploadGone(incoming.key) from exc
            upload.etags[index] = etag
            if upload not in self._unfinished:
                self._report(StoredPart(incoming.key, number, etag))

        def sent() -> None:
            upload.sending -= 1
            self._complete_when_sent(upload)
            self._discard_when_idle(upload)

        self._run(send, buffer, sent)

    def _upload_of(self, incoming: Incoming) -> Upload:
        if incoming.upload is None:
            upload = Upload(incoming, self._client.create_upload(incoming.name))
            with self._changed:
                self._unfinished.add(upload)
            incoming.upload = upload
        return incoming.upload

    def _complete_when_sent(self, upload: Upload) -> None:
        if not upload.is_closed or upload.sending or upload.is_ending or self._failure or self._is_aborted:
            return
        upload.is_ending = True

        def complete() -> None:
            self._objects.complete(upload)
            with self._changed:
                self._unfinished.discard(upload)
            self._report(StoredObject(upload.of.key, upload.of.size_bytes))

        def ended() -> None:
            upload.is_ending = upload not in self._unfinished
            self._discard_when_idle(upload)

        self._run(complete, None, ended)

    def _report(self, stored: StoredObject | StoredPart) -> None:
        with self._changed:
            self._stored.append(stored)

    def _discard_when_idle(self, upload: Upload) -> None:
        # Those of runs are not among the unfinished: they belong to whoever opened them.
        if not self._is_aborted or upload not in self._unfinished or upload.sending or upload.is_ending:
            return
        upload.is_ending = True
        self._unfinished.discard(upload)
        self._run(lambda: self._client.abort_upload(upload.of.name, upload.id), None, even_when_aborted=True)

    def _run(
        self,
        action: Callable[[], None],
        buffer: Buffer | None,
        then: Callable[[], None] | None = None,
        *,
        even_when_aborted: bool = False,
    ) -> None:
        """Do `action` on a thread of the store; then, under the lock, free the buffer and call `then`."""

        def task() -> None:
            failure: BaseException | None = None
            try:
                if even_when_aborted or not (self._is_aborted or self._failure):
                    action()
            except BaseException as exc:  # noqa: BLE001  (whatever it is, the caller's thread raises it)
                failure = exc
            with self._changed:
                self._failure = self._failure or failure
                if buffer is not None:
                    self._buffers.give_back(buffer)
                if then is not None:
                    then()
                self._running -= 1
                self._changed.notify_all()

        with self._changed:
            self._running += 1
        try:
            # In the context of the call that it belongs to, whose trace it shows up in.
            self._executor.submit(copy_context().run, task)
        except RuntimeError as exc:
            # The store was closed.
            with self._changed:
                self._running -= 1
                if buffer is not None:
                    self._buffers.give_back(buffer)
                self._failure = self._failure or RegistrarError(Reason.STORE_UNAVAILABLE, "the server is stopping")
                self._changed.notify_all()
            if not even_when_aborted:
                raise self._failure from exc
