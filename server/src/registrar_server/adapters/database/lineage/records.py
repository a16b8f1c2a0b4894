"""Statements about lineage: each takes one step from many nodes at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    Subquery,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
)

from registrar_server.adapters.database.lineage.rows import dataset_rows, origin_row
from registrar_server.adapters.database.lineage.tables import version_datasets, version_origins
from registrar_server.adapters.database.many import asked_for
from registrar_server.adapters.database.patterns import matches_any
from registrar_server.adapters.database.tables import aliases, model_versions, models
from registrar_server.application.ports.database import LineageScope, Origin
from registrar_server.domain.lineage import (
    DATA_EDGES,
    DataRole,
    DatasetNode,
    EdgeType,
    HolderNode,
    LineageEdge,
    LineageNode,
    Link,
    RunNode,
    VersionNode,
    uri_key,
)
from registrar_server.domain.values import Stage, VersionState
from registrar_server.domain.versions import Dataset

_own = version_origins.alias("own_origins")
_NODE = (
    model_versions.c.uid,
    model_versions.c.model_uid,
    model_versions.c.number,
    model_versions.c.semantic_version,
    model_versions.c.stage,
    model_versions.c.created_by,
    model_versions.c.created_at,
    model_versions.c.deleted_at,
    models.c.name.label("model_name"),
    models.c.deleted_at.label("model_deleted_at"),
    _own.c.git_commit,
)
_DATA = (
    version_datasets.c.name,
    version_datasets.c.uri,
    version_datasets.c.digest,
    version_datasets.c.version,
    version_datasets.c.key,
)
_SERVING = (Stage.STAGING, Stage.PRODUCTION)


class SqlLineage:
    """The port `LineageRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def record(self, origin: Origin) -> None:
        """See the port."""
        uid = origin.version_uid
        row = origin_row(uid, origin.tenant, origin.parent_uid, origin.provenance, origin.time)
        if row is not None:
            self._connection.execute(insert(version_origins), row)
        datasets = dataset_rows(uid, origin.tenant, origin.provenance, origin.time)
        if datasets:
            self._connection.execute(insert(version_datasets), datasets)

    def complete(self, origin: Origin) -> None:
        """See the port."""
        uid = origin.version_uid
        known = select(version_origins.c.parent_uid).where(version_origins.c.version_uid == uid)
        parent_uid: str = self._connection.execute(known).scalar() or ""
        for table in (version_origins, version_datasets):
            self._connection.execute(delete(table).where(table.c.version_uid == uid))
        self.record(replace(origin, parent_uid=parent_uid))

    def version(self, uid: str) -> VersionNode | None:
        """See the port."""
        query = select(*_NODE).select_from(_with_node(model_versions)).where(model_versions.c.uid == uid)
        row = self._connection.execute(query).first()
        return None if row is None else _version(row)

    def datasets_at(self, uri: str, scope: LineageScope, *, limit: int) -> Sequence[DatasetNode]:
        """See the port. The index has all that it takes to tell the contents apart; each is looked at by itself."""
        data = version_datasets
        query = select(data.c.key).where(data.c.tenant == scope.tenant, data.c.uri_key == uri_key(uri))
        query = query.group_by(data.c.key).order_by(func.max(data.c.created_at).desc(), data.c.key).limit(limit)
        keys = self._connection.execute(query).scalars().all()
        return [node for key in keys if (node := self._newest(scope, data.c.key == key, data.c.uri == uri))]

    def dataset_of(self, key: str, scope: LineageScope) -> DatasetNode | None:
        """See the port."""
        return self._newest(scope, version_datasets.c.key == key)

    def _newest(self, scope: LineageScope, *conditions: ColumnElement[bool]) -> DatasetNode | None:
        query = _visible(select(*_DATA), version_datasets, scope)
        query = query.where(version_datasets.c.tenant == scope.tenant, *conditions)
        row = self._connection.execute(query.order_by(version_datasets.c.created_at.desc()).limit(1)).first()
        return None if row is None else _dataset(row)

    def has_run(self, run_id: str, scope: LineageScope) -> bool:
        """See the port."""
        query = _visible(select(version_origins.c.version_uid), version_origins, scope)
        query = query.where(version_origins.c.tenant == scope.tenant, version_origins.c.run_id == run_id)
        return self._connection.execute(query.limit(1)).first() is not None

    def upstream(self, nodes: Sequence[LineageNode], scope: LineageScope, *, limit: int) -> Iterator[Link]:
        """See the port."""
        versions = [node.uid for node in nodes if isinstance(node, VersionNode)]
        if versions:
            asked = self._asked(versions)
            yield from self._parents(asked, scope, limit)
            yield from self._runs(asked, limit)
            yield from self._datasets(asked, limit)

    def downstream(self, nodes: Sequence[LineageNode], scope: LineageScope, *, limit: int) -> Iterator[Link]:
        """See the port."""
        versions = {node.uid: node for node in nodes if isinstance(node, VersionNode)}
        runs = [node.run_id for node in nodes if isinstance(node, RunNode)]
        data = [node.key for node in nodes if isinstance(node, DatasetNode)]
        yield from _stages(versions.values())
        if versions:
            yield from self._aliases(versions, limit)
            yield from self._children(list(versions), scope, limit)
        if runs:
            yield from self._of_runs(runs, scope, limit)
        if data:
            yield from self._of_datasets(data, scope, limit)

    def _asked(self, names: Sequence[str]) -> Subquery:
        rows: list[tuple[str | int, ...]] = [(place, name) for place, name in enumerate(names)]
        return asked_for(self._connection, {"position": Integer(), "name": Text()}, rows)

    def _parents(self, asked: Subquery, scope: LineageScope, limit: int) -> Iterator[Link]:
        origins = asked.join(version_origins, version_origins.c.version_uid == asked.c.name)
        source = origins.join(model_versions, model_versions.c.uid == version_origins.c.parent_uid)
        query = select(asked.c.name.label("at"), *_NODE).select_from(_with_node(source)).where(*_is_seen(scope))
        for row in self._connection.execute(query.order_by(asked.c.position).limit(limit)):
            node = _version(row)
            yield Link(LineageEdge(EdgeType.DERIVED_FROM, f"version:{row.at}", node.id), node)

    def _runs(self, asked: Subquery, limit: int) -> Iterator[Link]:
        query = (
            select(version_origins.c.version_uid, version_origins.c.run_id)
            .join_from(asked, version_origins, version_origins.c.version_uid == asked.c.name)
            .where(version_origins.c.run_id != "")
            .order_by(asked.c.position)
        )
        for row in self._connection.execute(query.limit(limit)):
            node = RunNode(row.run_id)
            yield Link(LineageEdge(EdgeType.PRODUCED_BY, f"version:{row.version_uid}", node.id), node)

    def _datasets(self, asked: Subquery, limit: int) -> Iterator[Link]:
        query = (
            select(version_datasets.c.version_uid, version_datasets.c.role, *_DATA)
            .join_from(asked, version_datasets, version_datasets.c.version_uid == asked.c.name)
            .order_by(asked.c.position, version_datasets.c.role, version_datasets.c.place)
        )
        for row in self._connection.execute(query.limit(limit)):
            node = _dataset(row)
            yield Link(LineageEdge(DATA_EDGES[DataRole(row.role)], f"version:{row.version_uid}", node.id), node)

    def _aliases(self, versions: Mapping[str, VersionNode], limit: int) -> Iterator[Link]:
        asked = self._asked(list(versions))
        query = (
            select(aliases.c.alias, aliases.c.version_uid)
            .join_from(asked, aliases, aliases.c.version_uid == asked.c.name)
            .order_by(asked.c.position, aliases.c.alias)
        )
        for row in self._connection.execute(query.limit(limit)):
            held = versions[row.version_uid]
            node = HolderNode(held.model_uid, held.name, alias=row.alias)
            yield Link(LineageEdge(EdgeType.HOLDS, node.id, held.id), node)

    def _children(self, names: Sequence[str], scope: LineageScope, limit: int) -> Iterator[Link]:
        origins = version_origins
        for row in self._results(names, origins, origins.c.parent_uid, scope, limit):
            node = _version(row)
            yield Link(LineageEdge(EdgeType.DERIVED_FROM, node.id, f"version:{row.at}"), node)

    def _of_runs(self, names: Sequence[str], scope: LineageScope, limit: int) -> Iterator[Link]:
        origins = version_origins
        for row in self._results(names, origins, origins.c.run_id, scope, limit, origins.c.tenant == scope.tenant):
            node = _version(row)
            yield Link(LineageEdge(EdgeType.PRODUCED_BY, node.id, RunNode(row.at).id), node)

    def _of_datasets(self, names: Sequence[str], scope: LineageScope, limit: int) -> Iterator[Link]:
        data = version_datasets
        for row in self._results(names, data, data.c.key, scope, limit, data.c.tenant == scope.tenant):
            node = _version(row)
            yield Link(LineageEdge(DATA_EDGES[DataRole(row.role)], node.id, f"dataset:{row.at}"), node)

    def _results(
        self,
        names: Sequence[str],
        rows: Table,
        column: ColumnElement[str],
        scope: LineageScope,
        limit: int,
        *conditions: ColumnElement[bool],
    ) -> Iterator[Any]:
        """The versions that rows of a table are about whose column has one of the names, the newest first.

        Of one name an index has them in that order, and what is not read is not looked for.
        """
        if len(names) == 1:
            source: FromClause = rows
            conditions = (*conditions, column == names[0])
        else:
            asked = self._asked(names)
            source = asked.join(rows, column == asked.c.name)
        role = [rows.c.role] if "role" in rows.c else []
        versions = source.join(model_versions, model_versions.c.uid == rows.c.version_uid)
        query = (
            select(column.label("at"), *role, *_NODE)
            .select_from(_with_node(versions))
            .where(*conditions, *_is_seen(scope))
            .order_by(rows.c.created_at.desc(), rows.c.version_uid.desc())
        )
        with self._connection.execute(query.limit(limit)) as found:
            yield from found


def _with_node(source: FromClause) -> FromClause:
    """With the tables of `_NODE`; `source` has the versions."""
    with_model = source.join(models, models.c.uid == model_versions.c.model_uid)
    return with_model.outerjoin(_own, _own.c.version_uid == model_versions.c.uid)


def _visible(query: Select[Any], rows: FromClause, scope: LineageScope) -> Select[Any]:
    """Those rows of a table whose versions are in the scope."""
    source = rows.join(model_versions, model_versions.c.uid == rows.c.version_uid)
    source = source.join(models, models.c.uid == model_versions.c.model_uid)
    return query.select_from(source).where(*_is_seen(scope))


def _is_seen(scope: LineageScope) -> Sequence[ColumnElement[bool]]:
    """Tested row by row: a planner that began with all versions of the tenant would sort them all."""
    is_ready = model_versions.c.state == VersionState.READY.value
    tenant, name = (func.coalesce(column, column) for column in (models.c.tenant, models.c.name))
    return is_ready, tenant == scope.tenant, matches_any(name, scope.readable)


def _stages(versions: Iterable[VersionNode]) -> Iterator[Link]:
    for version in versions:
        if version.stage in _SERVING and not version.is_deleted:
            node = HolderNode(version.model_uid, version.name, stage=version.stage)
            yield Link(LineageEdge(EdgeType.HOLDS, node.id, version.id), node)


def _dataset(row: Any) -> DatasetNode:
    return DatasetNode(row.key, Dataset(row.name, row.uri, row.digest, row.version))


def _version(row: Any) -> VersionNode:
    return VersionNode(
        uid=row.uid,
        model_uid=row.model_uid,
        name=row.model_name,
        number=row.number or 0,
        semantic_version=row.semantic_version or "",
        stage=Stage(row.stage),
        git_commit=row.git_commit or "",
        created_by=row.created_by,
        create_time=row.created_at,
        is_deleted=row.deleted_at is not None or row.model_deleted_at is not None,
    )
