"""Records of upload sessions: their files, the parts that are durable, and what is still to be done with a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from registrar_server.domain.access import NamePattern
from registrar_server.domain.bundles import BundleFile
from registrar_server.domain.uploads import FileState, UploadFile, UploadSession

PartKey = tuple[int, int]
"""Index of the file, number of the part from 1."""


@dataclass(frozen=True, slots=True)
class FileTask:
    """A file that is to be copied or verified, leased to one who works on it."""

    session: UploadSession
    file: UploadFile


class UploadRecords(Protocol):
    """Sessions of bundles that are being written: rows beside the bundle's claim, gone when it is committed.

    A part is received when it has an etag, and then stays so until its file is reset. A writer has an epoch, which is
    higher than that of every writer before; a part belongs to the writer who claimed it last.
    """

    def find(self, uid: str) -> UploadSession | None:
        """A session that goes on: claimed, opened with files, not committed and not being cleared away."""

    def lock(self, uid: str) -> UploadSession | None:
        """The same, with the bundle's row locked until the end of the transaction."""

    def open(self, uid: str, files: Sequence[UploadFile], *, size_bytes: int, created_by: str, time: datetime) -> bool:
        """Give a claimed bundle its files. False when it has them already: nothing changed."""

    def extend(self, uid: str, *, until: datetime) -> None:
        """Move the end of a session on; never back."""

    def expire(self, uid: str, *, time: datetime) -> bool:
        """Let a session end now, for clearing. False: there is none."""

    def files(self, uid: str) -> Sequence[UploadFile]:
        """All files of a session, by index."""

    def files_at(self, uid: str, indexes: Sequence[int]) -> Mapping[int, UploadFile]:
        """These files of a session; who is not in it is not in the answer."""

    def received(self, uid: str, indexes: Sequence[int] | None = None) -> Mapping[int, Sequence[int]]:
        """Numbers of the received parts of each file, in order; of all files, or of these. Files without are left out."""

    def etags(self, uid: str, index: int) -> Sequence[str]:
        """Etags of a file's received parts, in the order of their numbers."""

    def claim_parts(self, uid: str, parts: Sequence[PartKey]) -> int:
        """Make these parts, none of which is received, those of a new writer; its epoch."""

    def record_parts(self, uid: str, epoch: int, etags: Mapping[PartKey, str]) -> bool:
        """Record parts as received. False, with some or none recorded, when one is no longer that writer's.

        False also when the session is over. The same part with the same etag again is no contradiction.
        """

    def owns(self, uid: str, epoch: int, parts: Sequence[PartKey]) -> bool:
        """Whether all of these parts are that writer's."""

    def set_store_upload(self, uid: str, index: int, store_upload_id: str) -> str:
        """Record the store's multipart upload of a file unless it has one; the one that it has then."""

    def record_stored(self, uid: str, epoch: int, indexes: Sequence[int]) -> bool:
        """Record MISSING files as STORED by the writer who owns their first parts. False when one is no longer theirs."""

    def begin(self, uid: str, indexes: Sequence[int], *, time: datetime) -> None:
        """From MISSING to VERIFYING, to be worked on from then."""

    def is_any_due(self, now: datetime) -> bool:
        """Whether a file is to be copied or verified by now and nobody works on it."""

    def lease(self, holder: str, *, now: datetime, until: datetime, limit: int) -> Sequence[FileTask]:
        """Take files that are due, of sessions that go on; the smallest first."""

    def keep_lease(self, uid: str, index: int, holder: str, *, until: datetime) -> bool:
        """Say that work goes on. False: somebody else has taken it over, or the session is gone."""

    def release(self, node: str) -> None:
        """Give up all leases of holders whose names begin with `node:`."""

    def postpone(self, uid: str, index: int, holder: str, *, until: datetime) -> None:
        """Give the lease up and try again later."""

    def set_stored(self, uid: str, index: int, holder: str) -> bool:
        """Record a leased file as STORED. False: the lease is lost, nothing changed."""

    def reset(self, uid: str, index: int, holder: str, *, failure: str) -> bool:
        """Make a leased file MISSING with no part received and no store upload; why, for the next commit to tell.

        False: the lease is lost, nothing changed.
        """

    def drop_file(self, uid: str, epoch: int, index: int) -> bool:
        """Make a MISSING file, whose first part is that writer's, have no part received and no store upload.

        False when the part is no longer theirs: nothing changed.
        """

    def take_failures(self, uid: str) -> Mapping[int, str]:
        """Why files were reset, told once: reading forgets, and so does a file's becoming STORED."""

    def count_unfinished(self, uid: str) -> Mapping[FileState, int]:
        """How many files are in each state but STORED."""

    def begin_wipe(self, uid: str) -> bool:
        """Announce that an object will be deleted or overwritten with unverified bytes. False: committed or gone."""

    def discard(self, uid: str) -> None:
        """Remove files and parts of a session: its bundle is committed or cleared away."""

    def find_source(
        self, tenant: str, files: Sequence[BundleFile], *, readable: Sequence[NamePattern]
    ) -> Mapping[str, str]:
        """By sha256, the store key of a verified file with the same size in a committed bundle of the tenant.

        Of living models with a readable name only. Digests that are nowhere are left out.
        """
