"""Upload sessions: open one, say how far it is, commit it, give it up, and let writers go straight to the store.

Everything about a session is in the database, so any worker can go on with it. `upload_streams` takes the bytes in,
`upload_finishing` copies and verifies behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from registrar_server.application.authorization import Permit
from registrar_server.application.bundle_claims import (
    Claimed,
    abort_store_uploads,
    claim_bundle,
    record_bundle,
    require_stored,
)
from registrar_server.application.ports.bundle_store import BundleStore
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import BundleClaim, Change, Database, PartKey, Transaction
from registrar_server.application.ports.signals import Signals
from registrar_server.domain import limits
from registrar_server.domain.access import Caller, Right
from registrar_server.domain.bundles import Bundle, BundleFile, Manifest
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.uploads import (
    ByteRange,
    FileState,
    UploadFile,
    UploadSession,
    positions,
)
from registrar_server.domain.values import ModelKey

SESSION_SECONDS = 24 * 3600
"""How long a session to which nothing is written keeps what it has."""

_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class UploadRef:
    """Names a session, for a caller with this permit."""

    permit: Permit
    uid: str


@dataclass(frozen=True, slots=True)
class WantedRange:
    """A range of a file that somebody is going to send; None: the whole file."""

    file: int
    range: ByteRange | None


@dataclass(frozen=True, slots=True)
class FileProgress:
    """A file that is not stored yet and what is missing of it."""

    file: UploadFile
    missing: Sequence[ByteRange]


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """How far a session is; or the bundle, when it is committed."""

    bundle: Bundle | None
    session: UploadSession | None = None
    received_bytes: int = 0
    files: Sequence[FileProgress] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """The bundle, whether it was committed before, and its event (0: nothing changed)."""

    bundle: Bundle
    is_existing: bool
    sequence: int


@dataclass(frozen=True, slots=True)
class PartUrl:
    """Where to send one part."""

    file: int
    number: int
    range: ByteRange
    url: str


class Uploads:
    """Sessions, without their bytes."""

    def __init__(self, database: Database, store: BundleStore, clock: Clock, signals: Signals) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._signals = signals

    def create(self, caller: Caller, model: ModelKey, manifest: Manifest) -> UploadStatus:
        """Open the session of a manifest, or find it; or the bundle, when the model has it."""
        with self._database.reading() as transaction:
            # An empty file is sooner sent than copied.
            sought = [file for file in manifest.files if file.size_bytes]
            readable = caller.access.models(Right.READ, model.tenant)
            sources = transaction.uploads.find_source(model.tenant, sought, readable=readable)
        files = [self._new_file(index, file, sources) for index, file in enumerate(manifest.files)]
        with self._database.writing() as transaction:
            now = self._clock.now()
            until = now + timedelta(seconds=SESSION_SECONDS)
            claimed = claim_bundle(transaction, caller, model, manifest, now=now, until=until)
            if claimed.existing is not None:
                return UploadStatus(claimed.existing)
            uid = claimed.claim.uid
            transaction.uploads.open(uid, files, size_bytes=manifest.size_bytes, created_by=caller.actor, time=now)
            status = _status(transaction, require_session(transaction.uploads.find(uid), uid))
        if any(progress.file.state is FileState.COPYING for progress in status.files):
            self._signals.wake_background()
        return status

    def get(self, ref: UploadRef) -> UploadStatus:
        """How far a session is."""
        with self._database.reading() as transaction:
            bundle = find_committed(transaction, ref)
            if bundle is not None:
                return UploadStatus(bundle)
            return _status(transaction, find_session(transaction, ref))

    def commit(self, caller: Caller, ref: UploadRef, *, wait_seconds: float, is_alive: Callable[[], bool]) -> Committed:
        """Make the bundle visible when every file is there and verified; waits for copies and verification."""
        with self._signals.listening(ref.uid) as wait:
            bundle = self._begin_verifying(ref)
            deadline = time.monotonic() + wait_seconds
            while bundle is None:
                unfinished = self._require_no_failure(ref)
                if not unfinished:
                    return self._record(caller, ref)
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not is_alive():
                    raise RegistrarError(
                        Reason.UPLOAD_PENDING,
                        f"{unfinished} files are still being copied or verified",
                        metadata={"files": str(unfinished)},
                        retry_after_seconds=_POLL_SECONDS,
                    )
                wait(min(remaining, _POLL_SECONDS))
                with self._database.reading() as transaction:
                    bundle = find_committed(transaction, ref)
        return Committed(bundle, True, 0)

    def abort(self, ref: UploadRef) -> None:
        """Give a session up; what it has is cleared away soon."""
        with self._database.writing() as transaction:
            if find_committed(transaction, ref) is not None:
                raise RegistrarError(Reason.UPLOAD_COMMITTED, "the bundle is committed; it cannot be given up")
            session = transaction.uploads.find(ref.uid)
            if session is not None and ref.permit.admits(session.model):
                transaction.uploads.expire(ref.uid, time=self._clock.now())
        self._signals.wake_background()

    def create_part_urls(
        self, caller: Caller, ref: UploadRef, ranges: Sequence[WantedRange], *, ttl_seconds: int
    ) -> tuple[Sequence[PartUrl], int, datetime]:
        """Presigned URLs for every part of these ranges, the writer's epoch, and when the URLs expire."""
        with self._database.reading() as transaction:
            session = find_session(transaction, ref)
            files, parts = claimable(transaction, session, ranges)
        if len(parts) > limits.PARTS_AT_ONCE:
            raise RegistrarError(
                Reason.INVALID_FIELD, f"ranges: {len(parts)} parts, at most {limits.PARTS_AT_ONCE} at once"
            )
        uploads = {index: self._store_upload(session, file) for index, file in files.items()}
        now = self._clock.now()
        expire_time = now + timedelta(seconds=ttl_seconds)
        with self._database.writing() as transaction:
            session = lock_session(transaction, ref)
            claimable(transaction, session, ranges)
            epoch = transaction.uploads.claim_parts(ref.uid, parts)
            transaction.uploads.extend(ref.uid, until=now + timedelta(seconds=SESSION_SECONDS))
            transaction.journal.record(
                Change(
                    action="artifact.part_urls_created",
                    caller=caller,
                    time=now,
                    model=session.model,
                    model_uid=session.model_uid,
                    after={"upload_id": ref.uid, "parts": len(parts), "expire_time": expire_time.isoformat()},
                    is_mirrored=False,
                )
            )
        urls = [
            PartUrl(
                index,
                number,
                files[index].part_range(number),
                self._store.presign_part(
                    f"{session.prefix}/{files[index].file.path}", uploads[index], number, expires_seconds=ttl_seconds
                ),
            )
            for index, number in parts
        ]
        return urls, epoch, expire_time

    def record_parts(self, ref: UploadRef, epoch: int, etags: Mapping[PartKey, str]) -> None:
        """Record parts that were sent straight to the store; their bytes are verified when the file is whole."""
        indexes = sorted({index for index, _ in etags})
        with self._database.writing() as transaction:
            if find_committed(transaction, ref) is not None:
                return
            lock_session(transaction, ref)
            if not transaction.uploads.record_parts(ref.uid, epoch, etags):
                transaction.discard()
                raise writer_replaced()
            now = self._clock.now()
            transaction.uploads.extend(ref.uid, until=now + timedelta(seconds=SESSION_SECONDS))
            is_any_whole = begin_verifying(transaction, ref.uid, indexes, now)
        if is_any_whole:
            self._signals.wake_background()

    def _new_file(self, index: int, file: BundleFile, sources: Mapping[str, str]) -> UploadFile:
        source = sources.get(file.sha256, "")
        return UploadFile(
            index,
            file,
            self._store.part_size_for(file.size_bytes),
            FileState.COPYING if source else FileState.MISSING,
            "",
            source,
        )

    def _store_upload(self, session: UploadSession, file: UploadFile) -> str:
        return open_store_upload(self._database, self._store, session, file)

    def _begin_verifying(self, ref: UploadRef) -> Bundle | None:
        """Set going what is left to do; the bundle, when it is committed. UPLOAD_INCOMPLETE when bytes are missing."""
        with self._database.writing() as transaction:
            bundle = find_committed(transaction, ref)
            if bundle is not None:
                return bundle
            lock_session(transaction, ref)
            now = self._clock.now()
            transaction.uploads.extend(ref.uid, until=now + timedelta(seconds=SESSION_SECONDS))
            if transaction.uploads.count_unfinished(ref.uid).get(FileState.MISSING):
                # A worker that died between the last part and this leaves a file with nothing missing.
                begin_verifying(transaction, ref.uid, None, now)
        self._signals.wake_background()
        return None

    def _require_no_failure(self, ref: UploadRef) -> int:
        """How many files are still worked on. DIGEST_MISMATCH, once, and UPLOAD_INCOMPLETE when bytes are missing."""
        with self._database.reading() as transaction:
            session = transaction.uploads.find(ref.uid)
            if session is None:
                if find_committed(transaction, ref) is not None:
                    return 0
                raise upload_not_found(ref.uid)
            counts = transaction.uploads.count_unfinished(ref.uid)
        if not counts.get(FileState.MISSING):
            return sum(counts.values())
        with self._database.writing() as transaction:
            failures = sorted(transaction.uploads.take_failures(ref.uid))
            paths = [file.file.path for file in transaction.uploads.files_at(ref.uid, failures).values()]
            status = _status(transaction, find_session(transaction, ref))
        if paths:
            raise RegistrarError(
                Reason.DIGEST_MISMATCH,
                f"the bytes sent for {', '.join(paths[:10])} do not have the digest that the manifest says",
                metadata={"path": paths[0]},
            )
        missing = [progress for progress in status.files if progress.missing]
        if not missing:
            # They became whole between the two looks.
            return sum(counts.values())
        raise RegistrarError(
            Reason.UPLOAD_INCOMPLETE,
            f"{len(missing)} files are not there yet",
            metadata={
                "files": str(len(missing)),
                "missing_bytes": str(sum(r.length for progress in missing for r in progress.missing)),
            },
        )

    def _record(self, caller: Caller, ref: UploadRef) -> Committed:
        with self._database.reading() as transaction:
            bundle = find_committed(transaction, ref)
            if bundle is not None:
                return Committed(bundle, True, 0)
            session = find_session(transaction, ref)
            files = transaction.uploads.files(ref.uid)
        manifest = Manifest(tuple(file.file for file in files))
        require_stored(self._store, session.prefix, manifest)
        claimed = Claimed(session.model_uid, BundleClaim(session.uid, session.prefix, session.wipes), None)
        with self._database.writing() as transaction:
            bundle, sequence = record_bundle(
                transaction,
                caller,
                session.model,
                claimed,
                manifest,
                uri=self._store.uri(session.prefix),
                now=self._clock.now(),
            )
        if bundle is None:
            raise upload_not_found(ref.uid)
        abort_store_uploads(self._store, session.prefix, files)
        return Committed(bundle, sequence == 0, sequence)


def find_committed(transaction: Transaction, ref: UploadRef) -> Bundle | None:
    """The bundle that a session has become."""
    bundle = transaction.bundles.get(ref.uid)
    return bundle if bundle is not None and ref.permit.admits(bundle.model) else None


def find_session(transaction: Transaction, ref: UploadRef) -> UploadSession:
    """A session that the caller may use; UPLOAD_NOT_FOUND."""
    session = transaction.uploads.find(ref.uid)
    return require_session(session if session is not None and ref.permit.admits(session.model) else None, ref.uid)


def lock_session(transaction: Transaction, ref: UploadRef) -> UploadSession:
    """The same, with its row locked."""
    session = transaction.uploads.lock(ref.uid)
    return require_session(session if session is not None and ref.permit.admits(session.model) else None, ref.uid)


def require_session(session: UploadSession | None, uid: str) -> UploadSession:
    """UPLOAD_NOT_FOUND when there is none."""
    if session is None:
        raise upload_not_found(uid)
    return session


def upload_not_found(uid: str) -> RegistrarError:
    """The error for a session that expired, was given up or never was."""
    return RegistrarError(
        Reason.UPLOAD_NOT_FOUND, "there is no such upload session; open it again", metadata={"upload_id": uid}
    )


def writer_replaced(path: str = "") -> RegistrarError:
    """The error for a writer whose parts are another's now."""
    metadata = {"path": path} if path else {}
    return RegistrarError(Reason.WRITER_REPLACED, "somebody else writes this range now", metadata=metadata)


def claimable(
    transaction: Transaction, session: UploadSession, ranges: Sequence[WantedRange]
) -> tuple[Mapping[int, UploadFile], Sequence[PartKey]]:
    """The files and parts that ranges name, every part missing; RANGE_NOT_MISSING, INVALID_FIELD."""
    indexes = sorted({wanted.file for wanted in ranges})
    files = transaction.uploads.files_at(session.uid, indexes)
    received = transaction.uploads.received(session.uid, indexes)
    parts: dict[PartKey, None] = {}
    for wanted in ranges:
        file = files.get(wanted.file)
        if file is None:
            raise RegistrarError(
                Reason.INVALID_FIELD, f"ranges: the manifest has {session.file_count} files, and none {wanted.file}"
            )
        there = set(received.get(wanted.file, ()))
        numbers = file.parts_of(range_of(wanted, file))
        if numbers is None or file.state is not FileState.MISSING or not there.isdisjoint(numbers):
            raise _range_not_missing(file, there)
        for number in numbers:
            if (wanted.file, number) in parts:
                raise RegistrarError(Reason.INVALID_FIELD, f"ranges: {file.file.path} is named twice at one place")
            parts[wanted.file, number] = None
    return files, list(parts)


def range_of(wanted: WantedRange, file: UploadFile) -> ByteRange:
    """The bytes that are meant; a length of 0 asks for all that is left."""
    if wanted.range is None:
        return ByteRange(0, file.file.size_bytes)
    left = file.file.size_bytes - wanted.range.offset
    return ByteRange(wanted.range.offset, wanted.range.length or left)


def begin_verifying(transaction: Transaction, uid: str, indexes: Sequence[int] | None, now: datetime) -> bool:
    """Have the files verified of which every part is there; of all files when None. Whether there were any."""
    if indexes is None:
        files: Iterator[UploadFile] = iter(transaction.uploads.files(uid))
    else:
        files = iter(transaction.uploads.files_at(uid, indexes).values())
    received = transaction.uploads.received(uid, indexes)
    whole = [
        file.index
        for file in files
        if file.state is FileState.MISSING and len(received.get(file.index, ())) == file.part_count
    ]
    if whole:
        transaction.uploads.begin(uid, whole, time=now)
    return bool(whole)


def open_store_upload(database: Database, store: BundleStore, session: UploadSession, file: UploadFile) -> str:
    """The store's multipart upload of a file, begun if it has none; all writers of a file share one."""
    if file.store_upload_id:
        return file.store_upload_id
    key = f"{session.prefix}/{file.file.path}"
    begun = store.create_upload(key)
    with database.writing() as transaction:
        is_there = transaction.uploads.lock(session.uid) is not None
        kept = transaction.uploads.set_store_upload(session.uid, file.index, begun) if is_there else ""
    if kept != begun:
        store.abort_upload(key, begun)
    if not kept:
        raise upload_not_found(session.uid)
    return kept


def _status(transaction: Transaction, session: UploadSession) -> UploadStatus:
    received = transaction.uploads.received(session.uid)
    files = transaction.uploads.files(session.uid)
    received_bytes = sum(file.received_bytes(received.get(file.index, ())) for file in files)
    unfinished = [
        FileProgress(file, list(file.missing(set(received.get(file.index, ())))))
        for file in files
        if file.state is not FileState.STORED
    ]
    return UploadStatus(None, session, received_bytes, unfinished)


def _range_not_missing(file: UploadFile, received: set[int]) -> RegistrarError:
    missing = list(file.missing(received))
    return RegistrarError(
        Reason.RANGE_NOT_MISSING,
        f"the range of {file.file.path} does not consist of whole parts of {file.part_size_bytes} bytes that are missing",
        metadata={
            "path": file.file.path,
            "part_size_bytes": str(file.part_size_bytes),
            "missing": positions(missing[:20]),
        },
    )
