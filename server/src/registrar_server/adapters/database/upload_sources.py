"""Where a tenant has files already, by their digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import BigInteger, Connection, String, select

from registrar_server.adapters.database.many import asked_for
from registrar_server.adapters.database.patterns import matches_any
from registrar_server.adapters.database.tables import COMMITTED, bundle_files, bundles, models
from registrar_server.domain.access import NamePattern
from registrar_server.domain.bundles import BundleFile


def find_sources(
    connection: Connection, tenant: str, files: Sequence[BundleFile], readable: Sequence[NamePattern]
) -> Mapping[str, str]:
    """See `UploadRecords.find_source`."""
    sizes = {file.sha256: file.size_bytes for file in files}
    return _find(connection, tenant, list(sizes.items()), readable) if sizes and readable else {}


def _find(
    connection: Connection, tenant: str, files: Sequence[tuple[str, int]], readable: Sequence[NamePattern]
) -> Mapping[str, str]:
    """The first that the index of digests leads to: a file may be in a thousand bundles."""
    asked = asked_for(connection, {"sha256": String(64), "size_bytes": BigInteger()}, files)
    # OFFSET keeps PostgreSQL from joining in another order, by which it reads a bundle whole for every file.
    same = (
        select(bundle_files.c.bundle_uid, bundle_files.c.path)
        .where(bundle_files.c.sha256 == asked.c.sha256, bundle_files.c.size_bytes == asked.c.size_bytes)
        .correlate(asked)
        .offset(0)
        .subquery("same")
    )
    key = (
        select(bundles.c.prefix + "/" + same.c.path)
        .join_from(same, bundles, same.c.bundle_uid == bundles.c.uid)
        .join(models, bundles.c.model_uid == models.c.uid)
        .where(
            bundles.c.tenant == tenant,
            bundles.c.state == COMMITTED,
            models.c.deleted_at.is_(None),
            matches_any(models.c.name, readable),
        )
        .limit(1)
    )
    query = select(asked.c.sha256, key.scalar_subquery().label("key"))
    return {row.sha256: row.key for row in connection.execute(query) if row.key is not None}
