"""Statements about bundles: a claim while one is written, a record once it is verified."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from registrar_server.adapters.database.tables import bundle_files, bundles, models
from registrar_server.adapters.database.upsert import insert_for
from registrar_server.application.ports.database import BundleClaim
from registrar_server.domain.bundles import Bundle, BundleFile, FileType, Manifest
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import ModelKey

_WRITING, _CLEARING, _COMMITTED = "writing", "clearing", "committed"
_BUNDLE = select(bundles, models.c.name).join_from(bundles, models).where(bundles.c.state == _COMMITTED)


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
        self, claim: BundleClaim, model_uid: str, tenant: str, manifest_digest: str, *, until: datetime
    ) -> BundleClaim:
        """See the port."""
        statement = insert_for(self._connection, bundles).values(
            uid=claim.uid,
            tenant=tenant,
            model_uid=model_uid,
            manifest_digest=manifest_digest,
            state=_WRITING,
            claimed_until=until,
            prefix=claim.prefix,
            uri="",
            size_bytes=0,
            file_count=0,
            created_by="",
        )
        self._connection.execute(statement.on_conflict_do_nothing(index_elements=["model_uid", "manifest_digest"]))
        query = select(bundles.c.uid, bundles.c.prefix, bundles.c.state, bundles.c.claimed_until).where(
            bundles.c.model_uid == model_uid, bundles.c.manifest_digest == manifest_digest
        )
        row = self._connection.execute(query.with_for_update()).one()
        if row.state == _CLEARING:
            raise RegistrarError(
                Reason.DATABASE_BUSY, "what an earlier upload left is being cleared away", retry_after_seconds=1.0
            )
        if row.state == _WRITING:
            self._extend(row.uid, max(until, row.claimed_until))
        return BundleClaim(row.uid, row.prefix)

    def keep_claim(self, uid: str, *, until: datetime) -> bool:
        """See the port."""
        return self._extend(uid, until)

    def commit(self, uid: str, manifest: Manifest, *, uri: str, created_by: str, time: datetime) -> bool:
        """See the port."""
        statement = update(bundles).where(bundles.c.uid == uid, bundles.c.state == _WRITING)
        changed = self._connection.execute(
            statement.values(
                state=_COMMITTED,
                claimed_until=None,
                uri=uri,
                size_bytes=manifest.size_bytes,
                file_count=len(manifest.files),
                created_by=created_by,
                created_at=time,
                verified_at=time,
            )
        )
        if changed.rowcount != 1:
            return False
        rows = [
            {
                "bundle_uid": uid,
                "path": file.path,
                "size_bytes": file.size_bytes,
                "sha256": file.sha256,
                "type": file.type.value,
            }
            for file in manifest.files
        ]
        self._connection.execute(insert(bundle_files), rows)
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

    def lease_abandoned(self, *, now: datetime, until: datetime, limit: int) -> Sequence[BundleClaim]:
        """See the port. A clearing that was itself abandoned is taken up again."""
        due = (
            select(bundles.c.uid)
            .where(bundles.c.state.in_([_WRITING, _CLEARING]), bundles.c.claimed_until < now)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = (
            update(bundles)
            .where(bundles.c.uid.in_(due))
            .values(state=_CLEARING, claimed_until=until)
            .returning(bundles.c.uid, bundles.c.prefix)
        )
        return [BundleClaim(row.uid, row.prefix) for row in self._connection.execute(statement)]

    def forget(self, uid: str) -> None:
        """See the port."""
        self._connection.execute(delete(bundles).where(bundles.c.uid == uid, bundles.c.state == _CLEARING))

    def _extend(self, uid: str, until: datetime) -> bool:
        statement = update(bundles).where(bundles.c.uid == uid, bundles.c.state == _WRITING)
        return self._connection.execute(statement.values(claimed_until=until)).rowcount == 1

    def _first(self, query: Any) -> Bundle | None:
        row = self._connection.execute(query).first()
        return None if row is None else _to_bundle(row)


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
