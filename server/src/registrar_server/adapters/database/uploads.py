"""Statements about upload sessions. Rows are locked in this order: a bundle, its files, their parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    update,
)

from registrar_server.adapters.database.many import asked_for, chunks
from registrar_server.adapters.database.tables import CLEARING, WRITING, bundles, models, upload_files, upload_parts
from registrar_server.adapters.database.upload_rows import FILE_COLUMNS, file_of, row_of, session_of
from registrar_server.adapters.database.upload_sources import find_sources
from registrar_server.adapters.database.upsert import insert_for
from registrar_server.application.ports.database import FileTask, PartKey
from registrar_server.domain.access import NamePattern
from registrar_server.domain.bundles import BundleFile
from registrar_server.domain.uploads import FileState, UploadFile, UploadSession

_SESSION = (
    select(bundles, models.c.name)
    .join_from(bundles, models)
    .where(bundles.c.state == WRITING, bundles.c.opened_at.is_not(None))
)
_NO_WORK = {"due_at": None, "lease_holder": None, "leased_until": None}


class SqlUploads:
    """The port `UploadRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, uid: str) -> UploadSession | None:
        """See the port."""
        row = self._connection.execute(_SESSION.where(bundles.c.uid == uid)).first()
        return None if row is None else session_of(row)

    def lock(self, uid: str) -> UploadSession | None:
        """See the port."""
        query = _SESSION.where(bundles.c.uid == uid).with_for_update(of=bundles)
        row = self._connection.execute(query).first()
        return None if row is None else session_of(row)

    def open(self, uid: str, files: Sequence[UploadFile], *, size_bytes: int, created_by: str, time: datetime) -> bool:
        """See the port."""
        changed = self._connection.execute(
            update(bundles)
            .where(bundles.c.uid == uid, bundles.c.state == WRITING, bundles.c.opened_at.is_(None))
            .values(opened_at=time, size_bytes=size_bytes, file_count=len(files), created_by=created_by)
        )
        if changed.rowcount != 1:
            return False
        asked = asked_for(self._connection, FILE_COLUMNS, [row_of(file) for file in files])
        is_due = asked.c.state.in_([FileState.COPYING.value, FileState.VERIFYING.value])
        rows = select(literal(uid), *asked.c, case((is_due, literal(time, upload_files.c.due_at.type)), else_=null()))
        self._connection.execute(insert(upload_files).from_select(["bundle_uid", *FILE_COLUMNS, "due_at"], rows))
        return True

    def extend(self, uid: str, *, until: datetime) -> None:
        """See the port."""
        self._connection.execute(
            update(bundles)
            .where(bundles.c.uid == uid, bundles.c.state == WRITING, bundles.c.claimed_until < until)
            .values(claimed_until=until)
        )

    def expire(self, uid: str, *, time: datetime) -> bool:
        """See the port. It is marked as being cleared away at once, so that nobody goes on with it."""
        changed = self._connection.execute(
            update(bundles)
            .where(bundles.c.uid == uid, bundles.c.state == WRITING, bundles.c.opened_at.is_not(None))
            .values(state=CLEARING, claimed_until=time)
        )
        return changed.rowcount == 1

    def files(self, uid: str) -> Sequence[UploadFile]:
        """See the port."""
        query = select(upload_files).where(upload_files.c.bundle_uid == uid).order_by(upload_files.c.file)
        return [file_of(row) for row in self._connection.execute(query)]

    def files_at(self, uid: str, indexes: Sequence[int]) -> Mapping[int, UploadFile]:
        """See the port."""
        found: dict[int, UploadFile] = {}
        for chunk in chunks(sorted(set(indexes))):
            query = select(upload_files).where(*_files(uid, chunk)).order_by(upload_files.c.file)
            found |= {row.file: file_of(row) for row in self._connection.execute(query)}
        return found

    def received(self, uid: str, indexes: Sequence[int] | None = None) -> Mapping[int, Sequence[int]]:
        """See the port."""
        query = (
            select(upload_parts.c.file, upload_parts.c.number)
            .where(upload_parts.c.bundle_uid == uid, upload_parts.c.etag.is_not(None))
            .order_by(upload_parts.c.file, upload_parts.c.number)
        )
        wanted: Iterable[Sequence[int] | None] = [None] if indexes is None else chunks(sorted(set(indexes)))
        found: dict[int, Sequence[int]] = {}
        for chunk in wanted:
            some = query if chunk is None else query.where(upload_parts.c.file.in_(chunk))
            for file, rows in groupby(self._connection.execute(some), lambda row: int(row.file)):
                found[file] = [row.number for row in rows]
        return found

    def etags(self, uid: str, index: int) -> Sequence[str]:
        """See the port."""
        query = (
            select(upload_parts.c.etag)
            .where(upload_parts.c.bundle_uid == uid, upload_parts.c.file == index, upload_parts.c.etag.is_not(None))
            .order_by(upload_parts.c.number)
        )
        return [str(etag) for etag in self._connection.scalars(query)]

    def claim_parts(self, uid: str, parts: Sequence[PartKey]) -> int:
        """See the port."""
        epoch = self._connection.execute(
            update(bundles)
            .where(bundles.c.uid == uid, bundles.c.state == WRITING)
            .values(writer_epoch=bundles.c.writer_epoch + 1)
            .returning(bundles.c.writer_epoch)
        ).scalar_one()
        asked = asked_for(self._connection, {"file": Integer(), "number": Integer()}, sorted(set(parts)))
        # Without a condition SQLite would take ON CONFLICT for one of a join.
        rows = select(literal(uid), asked.c.file, asked.c.number, literal(epoch)).where(asked.c.number > 0)
        statement = insert_for(self._connection, upload_parts)
        statement = statement.from_select(["bundle_uid", "file", "number", "epoch"], rows)
        self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=["bundle_uid", "file", "number"],
                set_={"epoch": statement.excluded.epoch},
                where=upload_parts.c.etag.is_(None),
            )
        )
        return int(epoch)

    def record_parts(self, uid: str, epoch: int, etags: Mapping[PartKey, str]) -> bool:
        """See the port."""
        if not self._lock(uid):
            return False
        etag = bindparam("new_etag", type_=upload_parts.c.etag.type)
        statement = (
            update(upload_parts)
            .where(
                upload_parts.c.bundle_uid == uid,
                upload_parts.c.file == bindparam("of_file"),
                upload_parts.c.number == bindparam("of_number"),
                upload_parts.c.epoch == epoch,
                or_(upload_parts.c.etag.is_(None), upload_parts.c.etag == etag),
            )
            .values(etag=etag)
        )
        rows = [{"of_file": file, "of_number": number, "new_etag": new} for (file, number), new in etags.items()]
        return not rows or self._connection.execute(statement, rows).rowcount == len(rows)

    def owns(self, uid: str, epoch: int, parts: Sequence[PartKey]) -> bool:
        """See the port. Reads all parts of the writer in between: a join is slow until PostgreSQL has statistics."""
        if not parts:
            return True
        files, numbers = [file for file, _ in parts], [number for _, number in parts]
        query = select(upload_parts.c.file, upload_parts.c.number).where(
            upload_parts.c.bundle_uid == uid,
            upload_parts.c.file.between(min(files), max(files)),
            upload_parts.c.number.between(min(numbers), max(numbers)),
            upload_parts.c.epoch == epoch,
        )
        return set(parts) <= {(row.file, row.number) for row in self._connection.execute(query)}

    def set_store_upload(self, uid: str, index: int, store_upload_id: str) -> str:
        """See the port."""
        self._connection.execute(
            update(upload_files)
            .where(*_files(uid, [index]), upload_files.c.store_upload_id == "")
            .values(store_upload_id=store_upload_id)
        )
        query = select(upload_files.c.store_upload_id).where(*_files(uid, [index]))
        return str(self._connection.execute(query).scalar_one())

    def record_stored(self, uid: str, epoch: int, indexes: Sequence[int]) -> bool:
        """See the port."""
        if not self._lock(uid) or not self.owns(uid, epoch, [(index, 1) for index in indexes]):
            return False
        self._change_missing(uid, indexes, state=FileState.STORED.value, failure="")
        return True

    def begin(self, uid: str, indexes: Sequence[int], *, time: datetime) -> None:
        """See the port."""
        if self._lock(uid):
            self._change_missing(uid, indexes, state=FileState.VERIFYING.value, due_at=time)

    def is_any_due(self, now: datetime) -> bool:
        """See the port."""
        query = select(upload_files.c.file).join_from(upload_files, bundles).where(*_is_due(now))
        return self._connection.execute(query.limit(1)).first() is not None

    def lease(self, holder: str, *, now: datetime, until: datetime, limit: int) -> Sequence[FileTask]:
        """See the port."""
        due = (
            select(upload_files)
            .join_from(upload_files, bundles)
            .where(*_is_due(now))
            .order_by(upload_files.c.size_bytes, upload_files.c.bundle_uid, upload_files.c.file)
            .limit(limit)
            .with_for_update(of=upload_files, skip_locked=True)
        )
        rows = self._connection.execute(due).all()
        sessions = self._sessions({row.bundle_uid for row in rows})
        tasks = [FileTask(sessions[row.bundle_uid], file_of(row)) for row in rows if row.bundle_uid in sessions]
        for uid in sessions:
            for chunk in chunks([task.file.index for task in tasks if task.session.uid == uid]):
                taken = update(upload_files).where(*_files(uid, chunk))
                self._connection.execute(taken.values(lease_holder=holder, leased_until=until))
        return tasks

    def keep_lease(self, uid: str, index: int, holder: str, *, until: datetime) -> bool:
        """See the port."""
        return self._change_leased(uid, index, holder, leased_until=until)

    def release(self, node: str) -> None:
        """See the port."""
        self._connection.execute(
            update(upload_files)
            .where(upload_files.c.lease_holder.startswith(f"{node}:", autoescape=True))
            .values(lease_holder=None, leased_until=None)
        )

    def postpone(self, uid: str, index: int, holder: str, *, until: datetime) -> None:
        """See the port."""
        self._change_leased(uid, index, holder, lease_holder=None, leased_until=None, due_at=until)

    def set_stored(self, uid: str, index: int, holder: str) -> bool:
        """See the port."""
        return self._change_leased(
            uid, index, holder, state=FileState.STORED.value, source_key="", failure="", **_NO_WORK
        )

    def reset(self, uid: str, index: int, holder: str, *, failure: str) -> bool:
        """See the port."""
        is_reset = self._lock(uid) and self._change_leased(
            uid,
            index,
            holder,
            state=FileState.MISSING.value,
            store_upload_id="",
            source_key="",
            failure=failure,
            **_NO_WORK,
        )
        if is_reset:
            self._drop_parts(uid, index)
        return is_reset

    def drop_file(self, uid: str, epoch: int, index: int) -> bool:
        """See the port."""
        if not self._lock(uid) or not self.owns(uid, epoch, [(index, 1)]):
            return False
        is_dropped = self._change_missing(uid, [index], store_upload_id="") == 1
        if is_dropped:
            self._drop_parts(uid, index)
        return is_dropped

    def take_failures(self, uid: str) -> Mapping[int, str]:
        """See the port."""
        query = (
            select(upload_files.c.file, upload_files.c.failure)
            .where(upload_files.c.bundle_uid == uid, upload_files.c.failure != "")
            .order_by(upload_files.c.file)
            .with_for_update()
        )
        failures = {row.file: row.failure for row in self._connection.execute(query)}
        for chunk in chunks(sorted(failures)):
            self._connection.execute(update(upload_files).where(*_files(uid, chunk)).values(failure=""))
        return failures

    def count_unfinished(self, uid: str) -> Mapping[FileState, int]:
        """See the port."""
        query = (
            select(upload_files.c.state, func.count())
            .where(upload_files.c.bundle_uid == uid, upload_files.c.state != FileState.STORED.value)
            .group_by(upload_files.c.state)
        )
        return {FileState(state): count for state, count in self._connection.execute(query)}

    def begin_wipe(self, uid: str) -> bool:
        """See the port."""
        changed = self._connection.execute(
            update(bundles).where(bundles.c.uid == uid, bundles.c.state == WRITING).values(wipes=bundles.c.wipes + 1)
        )
        return changed.rowcount == 1

    def discard(self, uid: str) -> None:
        """See the port."""
        self._connection.execute(delete(upload_parts).where(upload_parts.c.bundle_uid == uid))
        self._connection.execute(delete(upload_files).where(upload_files.c.bundle_uid == uid))

    def find_source(
        self, tenant: str, files: Sequence[BundleFile], *, readable: Sequence[NamePattern]
    ) -> Mapping[str, str]:
        """See the port."""
        return find_sources(self._connection, tenant, files, readable)

    def _lock(self, uid: str) -> bool:
        """Take turns with others who write to the session; whether it goes on."""
        query = select(bundles.c.uid).where(bundles.c.uid == uid, bundles.c.state == WRITING)
        return self._connection.execute(query.with_for_update()).first() is not None

    def _sessions(self, uids: Iterable[str]) -> Mapping[str, UploadSession]:
        found: dict[str, UploadSession] = {}
        for chunk in chunks(sorted(uids)):
            rows = self._connection.execute(_SESSION.where(bundles.c.uid.in_(chunk)))
            found |= {row.uid: session_of(row) for row in rows}
        return found

    def _change_missing(self, uid: str, indexes: Sequence[int], **new: Any) -> int:
        """How many of them were MISSING."""
        changed = 0
        for chunk in chunks(sorted(set(indexes))):
            statement = update(upload_files).where(*_files(uid, chunk), upload_files.c.state == FileState.MISSING.value)
            changed += self._connection.execute(statement.values(**new)).rowcount
        return changed

    def _change_leased(self, uid: str, index: int, holder: str, **new: Any) -> bool:
        """Whether the holder has the lease, of a session that goes on."""
        goes_on = select(bundles.c.uid).where(bundles.c.uid == uid, bundles.c.state == WRITING).exists()
        statement = update(upload_files).where(*_files(uid, [index]), upload_files.c.lease_holder == holder, goes_on)
        return self._connection.execute(statement.values(**new)).rowcount == 1

    def _drop_parts(self, uid: str, index: int) -> None:
        self._connection.execute(
            delete(upload_parts).where(upload_parts.c.bundle_uid == uid, upload_parts.c.file == index)
        )


def _files(uid: str, indexes: Sequence[int]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return upload_files.c.bundle_uid == uid, upload_files.c.file.in_(indexes)


def _is_due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Due, and nobody works on it; the statement joins the bundles."""
    return (
        upload_files.c.due_at <= now,
        or_(upload_files.c.lease_holder.is_(None), upload_files.c.leased_until < now),
        bundles.c.state == WRITING,
    )
