"""What a file of an upload session still needs after its bytes came: copied by the store, put together, read back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

import structlog

from registrar_server.application.ports.bundle_store import BundleStore, Completion
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database, FileTask
from registrar_server.application.ports.signals import Signals
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.uploads import FileState

_log = structlog.get_logger()

LEASE_SECONDS = 120
_KEEP_SECONDS = 20
_PAUSE_SECONDS = 5
_FILES_OF_A_TASK = 32


class _LeaseLost(Exception):
    """Somebody else works on the file, or its session is gone."""


class UploadFinishing:
    """Copies and verifies files under a lease; a crash anywhere leaves a file that is taken up again."""

    def __init__(self, database: Database, store: BundleStore, clock: Clock, signals: Signals, holder: str) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._signals = signals
        self._holder = holder
        self.failures: Counter[str] = Counter()
        """Attempts that failed so far, by reason."""

    def lease(self, limit: int) -> Sequence[Sequence[FileTask]]:
        """Take files that are due, dealt out to at most `limit` tasks."""
        with self._database.writing() as transaction:
            now = self._clock.now()
            files = transaction.uploads.lease(
                self._holder,
                now=now,
                until=now + timedelta(seconds=LEASE_SECONDS),
                limit=limit * _FILES_OF_A_TASK,
            )
        return [task for task in (files[start::limit] for start in range(limit)) if task]

    def work(self, task: Sequence[FileTask]) -> None:
        """Work on the files of a task, one after the other. Never raises."""
        keeper = _Keeper(self._keep, task)
        stored = [file for file in task if self._finish(file, keeper)]
        self._record(stored)
        for uid in {file.session.uid for file in task}:
            self._signals.announce_done(uid)

    def _keep(self, files: Sequence[FileTask]) -> None:
        until = self._clock.now() + timedelta(seconds=LEASE_SECONDS)
        with self._database.writing() as transaction:
            for file in files:
                transaction.uploads.keep_lease(file.session.uid, file.file.index, self._holder, until=until)

    def _finish(self, task: FileTask, keeper: _Keeper) -> bool:
        """Whether the file's object is there and holds."""
        try:
            if task.file.state is FileState.COPYING:
                return self._copy(task, keeper)
            return self._verify(task, keeper)
        except _LeaseLost:
            _log.info("upload.lease_lost", bundle_uid=task.session.uid, file=task.file.index)
        except RegistrarError as exc:
            _log.warning("upload.postponed", bundle_uid=task.session.uid, reason=exc.reason.value)
            self._postpone(task, exc.reason.value)
        except Exception:  # noqa: BLE001  (a file must not be lost to what nobody expected)
            _log.exception("upload.unexpected", bundle_uid=task.session.uid)
            self._postpone(task, "UNEXPECTED")
        return False

    def _copy(self, task: FileTask, keeper: _Keeper) -> bool:
        key = self._key(task)
        self._begin(task, is_wiped=True)
        try:
            self._store.copy(task.file.source_key, key, on_progress=keeper.keep)
        except RegistrarError as exc:
            if exc.reason is not Reason.ARTIFACT_FILE_NOT_FOUND:
                raise
            self._reset(task, failure="")
            return False
        if self._holds(task, key, keeper):
            return True
        # The source is damaged: the client has to send the bytes, which mends nothing but this copy.
        _log.error("upload.source_corrupt", bundle_uid=task.session.uid, source=task.file.source_key)
        self._reset(task, failure="")
        return False

    def _verify(self, task: FileTask, keeper: _Keeper) -> bool:
        key, upload_id = self._key(task), task.file.store_upload_id
        with self._database.reading() as transaction:
            etags = transaction.uploads.etags(task.session.uid, task.file.index)
        self._begin(task)
        completion = self._store.complete_upload(key, upload_id, etags) if upload_id else Completion.GONE
        if completion is Completion.REFUSED:
            self._store.abort_upload(key, upload_id)
            self._reset(task, failure="parts")
            return False
        if self._holds(task, key, keeper):
            # Made now or by an earlier attempt, or occupied by what somebody else has verified.
            if completion is Completion.OCCUPIED:
                self._store.abort_upload(key, upload_id)
            return True
        self._wipe(task, key)
        if completion is Completion.OCCUPIED and self._store.complete_upload(key, upload_id, etags) is Completion.DONE:
            if self._holds(task, key, keeper):
                return True
            self._wipe(task, key)
        elif upload_id:
            self._store.abort_upload(key, upload_id)
        self._reset(task, failure="" if completion is Completion.GONE else "digest")
        return False

    def _holds(self, task: FileTask, key: str, keeper: _Keeper) -> bool:
        try:
            found = self._store.hash_object(key, on_bytes=lambda _: keeper.keep())
        except RegistrarError as exc:
            if exc.reason in (Reason.ARTIFACT_FILE_NOT_FOUND, Reason.ARTIFACT_CORRUPT):
                return False
            raise
        return found == (task.file.file.size_bytes, task.file.file.sha256)

    def _wipe(self, task: FileTask, key: str) -> None:
        self._begin(task, is_wiped=True)
        self._store.delete(key)

    def _begin(self, task: FileTask, *, is_wiped: bool = False) -> None:
        """See that the lease is still held, just before the store is changed.

        With `is_wiped` whoever writes the whole bundle at the same time finds out at the commit that an object may be gone.
        """
        until = self._clock.now() + timedelta(seconds=LEASE_SECONDS)
        with self._database.writing() as transaction:
            uid = task.session.uid
            is_held = transaction.uploads.keep_lease(uid, task.file.index, self._holder, until=until)
            if not is_held or (is_wiped and not transaction.uploads.begin_wipe(uid)):
                transaction.discard()
                raise _LeaseLost

    def _record(self, stored: Sequence[FileTask]) -> None:
        if not stored:
            return
        try:
            with self._database.writing() as transaction:
                for task in stored:
                    transaction.uploads.set_stored(task.session.uid, task.file.index, self._holder)
        except RegistrarError as exc:
            # Found whole again when the leases are over.
            _log.warning("upload.not_recorded", files=len(stored), reason=exc.reason.value)

    def _reset(self, task: FileTask, *, failure: str) -> None:
        with self._database.writing() as transaction:
            transaction.uploads.reset(task.session.uid, task.file.index, self._holder, failure=failure)

    def _postpone(self, task: FileTask, reason: str) -> None:
        self.failures[reason] += 1
        until = self._clock.now() + timedelta(seconds=_PAUSE_SECONDS)
        try:
            with self._database.writing() as transaction:
                transaction.uploads.postpone(task.session.uid, task.file.index, self._holder, until=until)
        except RegistrarError as exc:
            _log.warning("upload.not_postponed", bundle_uid=task.session.uid, reason=exc.reason.value)

    def _key(self, task: FileTask) -> str:
        return f"{task.session.prefix}/{task.file.file.path}"


class _Keeper:
    """Keeps the leases of a whole task alive while it is worked on."""

    def __init__(self, prolong: Callable[[Sequence[FileTask]], None], task: Sequence[FileTask]) -> None:
        self._prolong = prolong
        self._task = task
        self._kept_at = time.monotonic()

    def keep(self) -> None:
        """Called often; prolongs now and then. A time that fails is no harm: the leases hold for several."""
        if time.monotonic() - self._kept_at > _KEEP_SECONDS:
            self._kept_at = time.monotonic()
            with suppress(RegistrarError):
                self._prolong(self._task)
