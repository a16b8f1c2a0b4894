"""Take the bytes of an upload session in: ranges from a stream, recorded as they become durable."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from registrar_server.application.artifacts import Chunk
from registrar_server.application.bundle_claims import abort_store_uploads, naming
from registrar_server.application.ports.bundle_store import BundleStore, BundleTransfer, StoredPart, StoreUploadGone
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database, PartKey
from registrar_server.application.ports.signals import Signals
from registrar_server.application.uploads import (
    SESSION_SECONDS,
    UploadRef,
    WantedRange,
    begin_verifying,
    claimable,
    find_committed,
    lock_session,
    open_store_upload,
    range_of,
    writer_replaced,
)
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.uploads import ByteRange, UploadFile, UploadSession

_RECORD_SECONDS = 0.25
"""How often parts that became durable are recorded; one transaction each time."""
_BUFFERS = 3


@dataclass(frozen=True, slots=True)
class _Run:
    """A range that the stream announced."""

    file: UploadFile
    range: ByteRange

    @property
    def is_whole(self) -> bool:
        return self.range.length == self.file.file.size_bytes


class UploadStreams:
    """Writes streams into sessions."""

    def __init__(self, database: Database, store: BundleStore, clock: Clock, signals: Signals) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._signals = signals

    def write(self, ref: UploadRef, ranges: Sequence[WantedRange], chunks: Iterator[Chunk | None]) -> int:
        """Write ranges from a stream; how many bytes came, all durable. 0 when the bundle is committed meanwhile.

        A None among the chunks says that none came for a while. `chunks` may raise: what was full by then is recorded first. So it is when a chunk is wrong.
        """
        with self._database.writing() as transaction:
            if find_committed(transaction, ref) is not None:
                return 0
            session = lock_session(transaction, ref)
            files, parts = claimable(transaction, session, ranges)
            epoch = transaction.uploads.claim_parts(ref.uid, parts)
            transaction.uploads.extend(ref.uid, until=self._clock.now() + timedelta(seconds=SESSION_SECONDS))
        runs = [_Run(files[wanted.file], range_of(wanted, files[wanted.file])) for wanted in ranges]
        stream = _Stream(self._database, self._store, self._clock, session, epoch, runs)
        is_any_whole = False
        try:
            for chunk in chunks:
                if chunk is None:
                    stream.rest()
                else:
                    stream.add(chunk)
            is_any_whole = stream.finish()
        except StoreUploadGone as exc:
            is_any_whole = stream.break_off(gone=exc.key)
            raise
        except BaseException:
            is_any_whole = stream.break_off()
            raise
        finally:
            if is_any_whole:
                self._signals.wake_background()
        return sum(run.range.length for run in runs)


class _Stream:
    """One stream on its way: where it stands, and what of it is durable."""

    def __init__(
        self,
        database: Database,
        store: BundleStore,
        clock: Clock,
        session: UploadSession,
        epoch: int,
        runs: Sequence[_Run],
    ) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._session = session
        self._epoch = epoch
        self._runs = runs
        self._by_key = {self._key(run.file): run.file for run in runs}
        self._transfer: BundleTransfer = store.start_transfer(max_buffers=_BUFFERS)
        self._next = 0
        self._open: _Run | None = None
        self._position = 0
        self._recorded_at = time.monotonic()
        self._extended_at = clock.now()
        self._is_replaced = False

    def add(self, chunk: Chunk) -> None:
        """Take a chunk: of the range that is open, or the first of a later one when all before are complete."""
        while self._open is None or (chunk.file != self._open.file.index or self._position == self._open.range.end):
            if not self._begin_next():
                raise RegistrarError(
                    Reason.STREAM_MALFORMED, f"a chunk of file {chunk.file} that is in none of the ranges left"
                )
        file = self._open.file.file
        if chunk.offset != self._position:
            raise RegistrarError(
                Reason.OFFSET_MISMATCH,
                f"a chunk of {file.path} begins at {chunk.offset}, expected {self._position}",
                metadata={"path": file.path, "expected_offset": str(self._position)},
            )
        if chunk.offset + len(chunk.data) > self._open.range.end:
            raise RegistrarError(
                Reason.SIZE_MISMATCH,
                f"a chunk of {file.path} ends behind its range, which ends at {self._open.range.end}",
                metadata={"path": file.path},
            )
        self._transfer.write(chunk.data)
        self._position += len(chunk.data)
        if time.monotonic() - self._recorded_at > _RECORD_SECONDS:
            self._record()

    def rest(self) -> None:
        """Nothing comes at the moment: record what has become durable meanwhile."""
        self._record()

    def finish(self) -> bool:
        """All chunks came: wait until all is durable and recorded; whether a file is whole that has to be verified."""
        while self._begin_next():
            pass
        self._close()
        self._transfer.finish()
        self._record()
        return self._begin_verifying()

    def break_off(self, *, gone: str = "") -> bool:
        """The stream ended early: keep what is full. Never raises.

        `gone` is the key of a file whose store upload is gone. A worker that died after it had made the object and before
        it recorded that leaves such a one: whether the object is right is for the verification to see.
        """
        self._transfer.settle()
        is_any_whole = False
        # What cannot be recorded now is sent again.
        with suppress(RegistrarError):
            if not self._is_replaced:
                self._record()
                is_any_whole = self._begin_verifying(gone)
        self._transfer.abort()
        return is_any_whole

    def _begin_next(self) -> bool:
        """Close the range that is open, which must be complete, and open the next; False: there is none."""
        if self._open is not None and self._position < self._open.range.end:
            path = self._open.file.file.path
            raise RegistrarError(
                Reason.SIZE_MISMATCH,
                f"the range of {path} ended at {self._position}, before {self._open.range.end}",
                metadata={"path": path},
            )
        self._close()
        if self._next == len(self._runs):
            return False
        self._open = self._runs[self._next]
        self._next += 1
        self._position = self._open.range.offset
        self._open_in_store(self._open)
        return True

    def _open_in_store(self, run: _Run) -> None:
        file, key = run.file, self._key(run.file)
        if not file.is_multipart:
            self._transfer.open_object(key, size_bytes=file.file.size_bytes, sha256=file.file.sha256)
            return
        self._transfer.open_parts(
            key,
            upload_id=open_store_upload(self._database, self._store, self._session, file),
            part_size_bytes=file.part_size_bytes,
            first_part=run.range.offset // file.part_size_bytes + 1,
            size_bytes=run.range.length,
            sha256=file.file.sha256 if run.is_whole else None,
        )

    def _close(self) -> None:
        run, self._open = self._open, None
        if run is None:
            return
        try:
            with naming(run.file.file):
                self._transfer.close_object()
        except RegistrarError as exc:
            if exc.reason is Reason.DIGEST_MISMATCH:
                self._drop(run.file)
            raise

    def _drop(self, file: UploadFile) -> None:
        """The file's bytes are wrong: none of its parts counts, so that a repetition begins at its begin."""
        self._transfer.settle()
        self._record(but=file)
        with self._database.writing() as transaction:
            session = transaction.uploads.lock(self._session.uid)
            current = transaction.uploads.files_at(self._session.uid, [file.index]).get(file.index)
            parts = [(file.index, number) for number in range(1, file.part_count + 1)]
            is_ours = session is not None and transaction.uploads.owns(self._session.uid, self._epoch, parts)
            is_dropped = is_ours and transaction.uploads.drop_file(self._session.uid, self._epoch, file.index)
        if not is_dropped:
            # The bytes may be wrong because this is a writer whose client went on elsewhere long ago.
            self._is_replaced = True
            raise writer_replaced(file.file.path)
        if current is not None and current.store_upload_id:
            self._store.abort_upload(self._key(file), current.store_upload_id)

    def _record(self, but: UploadFile | None = None) -> None:
        """Record what became durable. WRITER_REPLACED when a part of it is another writer's now."""
        self._recorded_at = time.monotonic()
        stored = self._transfer.take_stored()
        parts: dict[PartKey, str] = {}
        whole: list[int] = []
        for entry in stored:
            file = self._by_key[entry.key]
            if file is but:
                continue
            if isinstance(entry, StoredPart):
                parts[file.index, entry.number] = entry.etag
            else:
                whole.append(file.index)
        # A chunk may come in every hour of the day: the session lives on while it is written to.
        now = self._clock.now()
        is_late = now - self._extended_at > timedelta(seconds=SESSION_SECONDS / 24)
        if not parts and not whole and not is_late:
            return
        with self._database.writing() as transaction:
            if transaction.bundles.get(self._session.uid) is not None:
                return
            if is_late:
                self._extended_at = now
                transaction.uploads.extend(self._session.uid, until=now + timedelta(seconds=SESSION_SECONDS))
            is_ours = transaction.uploads.record_parts(self._session.uid, self._epoch, parts) if parts else True
            if is_ours and whole:
                is_ours = transaction.uploads.record_stored(self._session.uid, self._epoch, whole)
            if not is_ours:
                transaction.discard()
        if not is_ours:
            self._is_replaced = True
            raise writer_replaced()
        # Of files that came as a whole after somebody had begun to send them by presigned URLs.
        left = [file for file in map(self._file, whole) if not file.is_multipart]
        abort_store_uploads(self._store, self._session.prefix, left)

    def _begin_verifying(self, gone: str = "") -> bool:
        now = self._clock.now()
        indexes = sorted({run.file.index for run in self._runs if run.file.is_multipart and not run.is_whole})
        if not indexes and not gone:
            return False
        with self._database.writing() as transaction:
            if transaction.uploads.lock(self._session.uid) is None:
                return False
            is_any_whole = begin_verifying(transaction, self._session.uid, indexes, now)
            if gone:
                transaction.uploads.begin(self._session.uid, [self._by_key[gone].index], time=now)
        return is_any_whole or bool(gone)

    def _file(self, index: int) -> UploadFile:
        return next(run.file for run in self._runs if run.file.index == index)

    def _key(self, file: UploadFile) -> str:
        return f"{self._session.prefix}/{file.file.path}"
