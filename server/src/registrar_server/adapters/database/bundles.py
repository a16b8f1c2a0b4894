"""Statements about bundles: a claim while one is written, a record once it is verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Text,
    case,
    delete,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.types import TypeEngine

from registrar_server.adapters.database.many import asked_for
from registrar_server.adapters.database.tables import (
    CLEARING,
    COMMITTED,
    WRITING,
    Timestamp,
    bundle_files,
    bundles,
    models,
    upload_files,
)
from registrar_server.adapters.database.uploads import SqlUploads
from registrar_server.adapters.database.upsert import insert_for
from registrar_server.application.ports.database import BundleClaim
from registrar_server.domain.bundles import Bundle, BundleFile, FileType, Manifest
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.uploads import FileState
from registrar_server.domain.values import ModelKey

_FILE_COLUMNS: Mapping[str, TypeEngine[Any]] = {
    "path": Text(),
    "size_bytes": BigInteger(),
    "sha256": Text(),
    "type": Integer(),
}
_BUNDLE = select(bundles, models.c.name).join_from(bundles, models).where(bundles.c.state == COMMITTED)


class SqlBundles:
    """The port `BundleRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, uid: str) -> Bundle | None:
        """See the port."""
        return self._first(_BUNDLE.where(bundles.c.uid == uid))

    def find(self, model_uid: str, manifest_digest: str) -> Bundle | None:
        """See the port."""
        return self._first(
            _BUNDLE.where(bundles.c.model_uid == model_uid, bundles.c.manifest_digest == manifest_digest)
        )

    def claim(
        self,
        claim: BundleClaim,
        model_uid: str,
        tenant: str,
        manifest_digest: str,
        *,
        until: datetime,
        size_bytes: int = 0,
    ) -> BundleClaim:
        """See the port."""
        statement = insert_for(self._connection, bundles).values(
            uid=claim.uid,
            tenant=tenant,
            model_uid=model_uid,
            manifest_digest=manifest_digest,
            state=WRITING,
            claimed_until=until,
            prefix=claim.prefix,
            uri="",
            size_bytes=size_bytes,
            file_count=0,
            created_by="",
        )
        self._connection.execute(statement.on_conflict_do_nothing(index_elements=["model_uid", "manifest_digest"]))
        query = select(bundles.c.uid, bundles.c.prefix, bundles.c.state, bundles.c.wipes).where(
            bundles.c.model_uid == model_uid, bundles.c.manifest_digest == manifest_digest
        )
        row = self._connection.execute(query.with_for_update()).one()
        if row.state == CLEARING:
            raise _busy("what an earlier upload left is being cleared away")
        if row.state == WRITING:
            self.keep_claim(row.uid, until=until)
        return BundleClaim(row.uid, row.prefix, row.wipes)

    def keep_claim(self, uid: str, *, until: datetime) -> bool:
        """See the port. An upload session lives longer than a sign of life: its end is not moved back."""
        is_earlier = bundles.c.claimed_until < until
        statement = update(bundles).where(bundles.c.uid == uid, bundles.c.state == WRITING)
        statement = statement.values(
            claimed_until=case((is_earlier, literal(until, Timestamp)), else_=bundles.c.claimed_until)
        )
        return self._connection.execute(statement).rowcount == 1

    def commit(self, uid: str, manifest: Manifest, *, wipes: int, uri: str, created_by: str, time: datetime) -> bool:
        """See the port."""
        writing = select(bundles.c.wipes).where(bundles.c.uid == uid, bundles.c.state == WRITING)
        found = self._connection.execute(writing.with_for_update()).scalar_one_or_none()
        if found is None:
            return False
        if found != wipes or self._is_any_copied(uid):
            raise _busy("files of the bundle are being written by somebody else")
        self._connection.execute(
            update(bundles)
            .where(bundles.c.uid == uid)
            .values(
                state=COMMITTED,
                claimed_until=None,
                uri=uri,
                size_bytes=manifest.size_bytes,
                file_count=len(manifest.files),
                created_by=created_by,
                created_at=time,
                verified_at=time,
            )
        )
        SqlUploads(self._connection).discard(uid)
        files = [(f.path, f.size_bytes, f.sha256, f.type.value) for f in manifest.files]
        rows = select(literal(uid), *asked_for(self._connection, _FILE_COLUMNS, files).c)
        self._connection.execute(insert(bundle_files).from_select(["bundle_uid", *_FILE_COLUMNS], rows))
        return True

    def set_verified(self, uid: str, time: datetime) -> None:
        """See the port."""
        self._connection.execute(update(bundles).where(bundles.c.uid == uid).values(verified_at=time))

    def files(self, uid: str, *, after: str, limit: int) -> Sequence[BundleFile]:
        """See the port."""
        query = select(bundle_files).where(bundle_files.c.bundle_uid == uid, bundle_files.c.path > after)
        rows = self._connection.execute(query.order_by(bundle_files.c.path).limit(limit))
        return [_to_file(row) for row in rows]

    def file(self, uid: str, path: str) -> BundleFile | None:
        """See the port."""
        query = select(bundle_files).where(bundle_files.c.bundle_uid == uid, bundle_files.c.path == path)
        row = self._connection.execute(query).first()
        return None if row is None else _to_file(row)

    def is_any_abandoned(self, now: datetime) -> bool:
        """See the port."""
        due = select(bundles.c.uid).where(bundles.c.state.in_([WRITING, CLEARING]), bundles.c.claimed_until < now)
        return self._connection.execute(due.limit(1)).first() is not None

    def lease_abandoned(self, *, now: datetime, until: datetime, limit: int) -> Sequence[BundleClaim]:
        """See the port. A clearing that was itself abandoned is taken up again."""
        due = (
            select(bundles.c.uid)
            .where(bundles.c.state.in_([WRITING, CLEARING]), bundles.c.claimed_until < now)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = (
            update(bundles)
            .where(bundles.c.uid.in_(due))
            .values(state=CLEARING, claimed_until=until)
            .returning(bundles.c.uid, bundles.c.prefix, bundles.c.wipes)
        )
        return [BundleClaim(row.uid, row.prefix, row.wipes) for row in self._connection.execute(statement)]

    def keep_clearing(self, uid: str, *, lease: datetime, until: datetime) -> bool:
        """See the port."""
        statement = update(bundles).where(*_is_clearing(uid, lease)).values(claimed_until=until)
        return self._connection.execute(statement).rowcount == 1

    def release_clearing(self, uid: str, *, lease: datetime, until: datetime) -> None:
        """See the port."""
        self.keep_clearing(uid, lease=lease, until=until)

    def forget(self, uid: str, *, lease: datetime) -> bool:
        """See the port."""
        query = select(bundles.c.uid).where(*_is_clearing(uid, lease))
        if self._connection.execute(query.with_for_update()).first() is None:
            return False
        SqlUploads(self._connection).discard(uid)
        self._connection.execute(delete(bundles).where(bundles.c.uid == uid))
        return True

    def _is_any_copied(self, uid: str) -> bool:
        query = select(upload_files.c.file).where(
            upload_files.c.bundle_uid == uid, upload_files.c.state == FileState.COPYING.value
        )
        return self._connection.execute(query.limit(1)).first() is not None

    def _first(self, query: Any) -> Bundle | None:
        row = self._connection.execute(query).first()
        return None if row is None else _to_bundle(row)


def _is_clearing(uid: str, lease: datetime) -> tuple[ColumnElement[bool], ...]:
    """Each lease of a clearing has an end of its own, so that tells who has it."""
    return bundles.c.uid == uid, bundles.c.state == CLEARING, bundles.c.claimed_until == lease


def _busy(message: str) -> RegistrarError:
    return RegistrarError(Reason.DATABASE_BUSY, message, retry_after_seconds=1.0)


def _to_bundle(row: Row[Any]) -> Bundle:
    return Bundle(
        uid=row.uid,
        model=ModelKey(row.tenant, row.name),
        model_uid=row.model_uid,
        manifest_digest=row.manifest_digest,
        prefix=row.prefix,
        uri=row.uri,
        size_bytes=row.size_bytes,
        file_count=row.file_count,
        created_by=row.created_by,
        create_time=row.created_at,
        verify_time=row.verified_at,
    )


def _to_file(row: Row[Any]) -> BundleFile:
    return BundleFile(row.path, row.size_bytes, row.sha256, FileType(row.type))
