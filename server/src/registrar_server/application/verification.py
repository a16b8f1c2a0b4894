"""Read stored bytes again and see whether they are still what was pushed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from registrar_server.application.artifacts import BundleRef, find_bundle
from registrar_server.application.ports.bundle_store import BundleStore
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database
from registrar_server.application.resolution import require_usable
from registrar_server.domain.bundles import Bundle, BundleFile
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.versions import ModelVersion

_PAGE = 1_000
_FILES_AT_ONCE = 4
_PROGRESS_BYTES = 64 << 20
_PROGRESS_SECONDS = 1.0
_PATHS_NAMED = 10


@dataclass(frozen=True, slots=True)
class Checking:
    """How far a verification is."""

    checked_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file, and what the store has under its name. An empty `stored_sha256`: nothing, or nothing that can be read."""

    file: BundleFile
    stored_size_bytes: int
    stored_sha256: str

    @property
    def is_intact(self) -> bool:
        """Whether it is what was pushed."""
        return (self.stored_size_bytes, self.stored_sha256) == (self.file.size_bytes, self.file.sha256)


class Verification:
    """Re-hashes bundles, a few files at once. Memory is bounded; the time is that of reading the bundle."""

    def __init__(self, database: Database, store: BundleStore, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    def verify(self, version: ModelVersion) -> None:
        """Hash every stored file of a version; ARTIFACT_CORRUPT names the first that does not hold.

        Success is recorded on the bundle.
        """
        require_usable(version)
        if not version.artifact.is_bundle:
            raise RegistrarError(
                Reason.ARTIFACT_UNVERIFIED, f"the files of version {version.number} are not held by this registry"
            )
        with self._database.reading() as transaction:
            bundle = transaction.bundles.get(version.artifact.bundle_uid)
        if bundle is None:
            raise RegistrarError(Reason.ARTIFACT_NOT_FOUND, "the bundle of the version is gone")
        with closing(self._check_files(bundle)) as steps:
            for step in steps:
                if isinstance(step, CheckedFile) and not step.is_intact:
                    raise corrupt(step.file.path)
        self._record(bundle)

    def check(self, ref: BundleRef) -> Generator[Checking | CheckedFile | Bundle]:
        """Hash every stored file of a bundle: every file as it is done, and how far it all is about once a second.

        The last is the bundle, with its success recorded. ARTIFACT_CORRUPT instead, after all files, when one does not
        hold. Closing the iterator ends the reading.
        """
        with self._database.reading() as transaction:
            bundle = find_bundle(transaction, ref)
        broken: list[str] = []
        with closing(self._check_files(bundle)) as steps:
            for step in steps:
                yield step
                if isinstance(step, CheckedFile) and not step.is_intact:
                    broken.append(step.file.path)
        if broken:
            raise corrupt(*sorted(broken))
        yield self._record(bundle)

    def _check_files(self, bundle: Bundle) -> Generator[Checking | CheckedFile]:
        reading = _Reading(self._store, bundle)
        try:
            after = ""
            while True:
                with self._database.reading() as transaction:
                    files = transaction.bundles.files(bundle.uid, after=after, limit=_PAGE)
                yield from reading.run(files)
                if len(files) < _PAGE:
                    return
                after = files[-1].path
        finally:
            reading.close()

    def _record(self, bundle: Bundle) -> Bundle:
        with self._database.writing() as transaction:
            transaction.bundles.set_verified(bundle.uid, self._clock.now())
            recorded = transaction.bundles.get(bundle.uid)
        if recorded is None:
            raise RegistrarError(Reason.ARTIFACT_NOT_FOUND, "the bundle is gone")
        return recorded


def corrupt(*paths: str) -> RegistrarError:
    """The stored bytes of files are not those that were verified. Metadata: the first of them."""
    named = ", ".join(paths[:_PATHS_NAMED])
    more = f" and {len(paths) - _PATHS_NAMED} more files" if len(paths) > _PATHS_NAMED else ""
    return RegistrarError(
        Reason.ARTIFACT_CORRUPT,
        f"the stored bytes of {named}{more} are not what was pushed",
        metadata={"path": paths[0]},
    )


class _Stopped(Exception):
    """Nobody waits for the outcome any more."""


class _Reading:
    """Threads that hash the files of one bundle."""

    def __init__(self, store: BundleStore, bundle: Bundle) -> None:
        self._store = store
        self._bundle = bundle
        self._executor = ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="verification")
        self._events: queue.SimpleQueue[Future[CheckedFile] | None] = queue.SimpleQueue()
        """Files that are done; None: there is progress to tell."""
        self._is_stopped = False
        self._lock = threading.Lock()
        self._checked_bytes = 0
        self._told_bytes = 0

    def run(self, files: Sequence[BundleFile]) -> Iterator[Checking | CheckedFile]:
        """Each file in the order in which they are done."""
        for file in files:
            self._executor.submit(self._check, file).add_done_callback(self._events.put)
        left = len(files)
        while left:
            try:
                done = self._events.get(timeout=_PROGRESS_SECONDS)
            except queue.Empty:
                done = None
            if done is None:
                yield Checking(min(self._checked_bytes, self._bundle.size_bytes), self._bundle.size_bytes)
            else:
                left -= 1
                yield done.result()

    def close(self) -> None:
        """End the threads; returns when none of them reads any more."""
        self._is_stopped = True
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _check(self, file: BundleFile) -> CheckedFile:
        try:
            size, digest = self._store.hash_object(f"{self._bundle.prefix}/{file.path}", on_bytes=self._count)
        except RegistrarError as exc:
            if exc.reason in (Reason.ARTIFACT_FILE_NOT_FOUND, Reason.ARTIFACT_CORRUPT):
                return CheckedFile(file, 0, "")
            raise
        return CheckedFile(file, size, digest)

    def _count(self, size_bytes: int) -> None:
        if self._is_stopped:
            raise _Stopped
        with self._lock:
            self._checked_bytes += size_bytes
            is_worth_telling = self._checked_bytes - self._told_bytes >= _PROGRESS_BYTES
            if is_worth_telling:
                self._told_bytes = self._checked_bytes
        if is_worth_telling:
            self._events.put(None)
