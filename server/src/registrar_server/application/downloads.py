"""Use cases about bundles on their way out: the bytes of a file, and URLs to read files straight from the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from registrar_server.application.artifacts import BundleRef, find_bundle
from registrar_server.application.hashing import StreamDigest
from registrar_server.application.ports.bundle_store import BundleStore
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Change, Database, Transaction
from registrar_server.application.verification import corrupt
from registrar_server.domain.access import Caller
from registrar_server.domain.bundles import Bundle, BundleFile
from registrar_server.domain.errors import Reason, RegistrarError

_FILES_ASKED_SINGLY = 16
_PAGE = 1_000


class FileBytes:
    """The bytes of a range of a file, in blocks of at most 1 MiB; iterate it once.

    A whole file is verified before its last block is out: ARTIFACT_CORRUPT instead of that.
    """

    def __init__(self, blocks: Iterator[bytes], digest: StreamDigest, file: BundleFile, length: int) -> None:
        self._blocks = blocks
        self._digest = digest
        self._file = file
        self._length = length
        self.sha256 = ""
        """Digest of the bytes, known once they have all been iterated."""

    def __iter__(self) -> Iterator[bytes]:
        left = self._length
        for block in self._blocks:
            self._digest.update(block)
            left -= len(block)
            if left <= 0:
                self._finish()
            yield block
        if left > 0:
            raise corrupt(self._file.path)
        if not self.sha256:
            self._finish()

    def _finish(self) -> None:
        self.sha256 = self._digest.hexdigest()
        if self._length == self._file.size_bytes and self.sha256 != self._file.sha256:
            raise corrupt(self._file.path)


@dataclass(frozen=True, slots=True)
class FileUrl:
    """A file and where to read it."""

    file: BundleFile
    url: str


@dataclass(frozen=True, slots=True)
class FileUrls:
    """One page of URLs, in the order of the paths' UTF-8 bytes, and until when they hold."""

    bundle: Bundle
    urls: Sequence[FileUrl]
    is_last: bool
    expire_time: datetime


class Downloads:
    """Gives files of bundles out."""

    def __init__(self, database: Database, store: BundleStore, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    def find_file(self, ref: BundleRef, path: str) -> tuple[Bundle, BundleFile]:
        """One file of a bundle."""
        with self._database.reading() as transaction:
            bundle = find_bundle(transaction, ref)
            file = transaction.bundles.file(bundle.uid, path)
        if file is None:
            raise _no_file(path)
        return bundle, file

    @contextmanager
    def open_file(self, bundle: Bundle, file: BundleFile, *, offset: int, length: int) -> Iterator[FileBytes]:
        """The bytes of a range that lies within the file."""
        digest = StreamDigest()
        try:
            if length == 0:
                yield FileBytes(iter(()), digest, file, 0)
                return
            with self._store.open_reader(f"{bundle.prefix}/{file.path}", offset=offset, length=length) as reader:
                yield FileBytes(iter(reader), digest, file, length)
        except RegistrarError as exc:
            # The database knows the file as verified: in the store it is gone, or shorter than it was.
            if exc.reason in (Reason.ARTIFACT_FILE_NOT_FOUND, Reason.RANGE_INVALID, Reason.ARTIFACT_CORRUPT):
                raise corrupt(file.path) from exc
            raise
        finally:
            digest.close()

    def create_urls(
        self, caller: Caller, ref: BundleRef, paths: Sequence[str], *, after: str, limit: int, ttl_seconds: int
    ) -> FileUrls:
        """Presigned URLs of the files after a path, of all files when `paths` is empty.

        The audit entry is committed before an URL is made.
        """
        with self._database.reading() as transaction:
            bundle = find_bundle(transaction, ref)
            if paths:
                files = _named(transaction, bundle, [path for path in paths if path.encode() > after.encode()])
            else:
                files = transaction.bundles.files(bundle.uid, after=after, limit=limit + 1)
        is_last = len(files) <= limit
        files = files[:limit]
        now = self._clock.now()
        expire_time = now + timedelta(seconds=ttl_seconds)
        with self._database.writing() as transaction:
            transaction.journal.record(_handed_out(caller, bundle, len(files), now, expire_time))
        urls = [
            FileUrl(file, self._store.presign_read(f"{bundle.prefix}/{file.path}", expires_seconds=ttl_seconds))
            for file in files
        ]
        return FileUrls(bundle, urls, is_last, expire_time)


def _named(transaction: Transaction, bundle: Bundle, paths: Sequence[str]) -> Sequence[BundleFile]:
    """These files in the order of their paths; ARTIFACT_FILE_NOT_FOUND names the first that the bundle has not."""
    wanted = sorted(set(paths), key=str.encode)
    if len(wanted) <= _FILES_ASKED_SINGLY:
        found = {path: transaction.bundles.file(bundle.uid, path) for path in wanted}
    else:
        found = {file.path: file for file in _all_files(transaction, bundle)}
    files: list[BundleFile] = []
    for path in wanted:
        file = found.get(path)
        if file is None:
            raise _no_file(path)
        files.append(file)
    return files


def _all_files(transaction: Transaction, bundle: Bundle) -> Iterator[BundleFile]:
    after = ""
    while files := transaction.bundles.files(bundle.uid, after=after, limit=_PAGE):
        yield from files
        after = files[-1].path


def _handed_out(caller: Caller, bundle: Bundle, count: int, now: datetime, expire_time: datetime) -> Change:
    return Change(
        action="artifact.download_urls_created",
        caller=caller,
        time=now,
        model=bundle.model,
        model_uid=bundle.model_uid,
        after={"artifact_id": bundle.uid, "files": count, "expire_time": expire_time.isoformat()},
        is_mirrored=False,
    )


def _no_file(path: str) -> RegistrarError:
    return RegistrarError(Reason.ARTIFACT_FILE_NOT_FOUND, f"the bundle has no file {path}", metadata={"path": path})
