"""Statements about models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    Integer,
    Row,
    ScalarSelect,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    func,
    or_,
    select,
    update,
)

from registrar_server.adapters.database.documents import dump, load
from registrar_server.adapters.database.patterns import matches_any
from registrar_server.adapters.database.tables import aliases, model_versions, models
from registrar_server.adapters.database.upsert import insert_for
from registrar_server.application.ports.database import NewModel
from registrar_server.domain.access import NamePattern
from registrar_server.domain.models import Model
from registrar_server.domain.values import MetricGoal, ModelKey, Stage, VersionState


def _highest(stage: Stage | None) -> ScalarSelect[Any]:
    """Highest READY number of the outer model, in a stage or at all: one seek in an index."""
    condition = and_(
        model_versions.c.model_uid == models.c.uid,
        model_versions.c.state == VersionState.READY.value,
        model_versions.c.deleted_at.is_(None),
    )
    if stage is not None:
        condition = and_(condition, model_versions.c.stage == stage.value)
    query = select(model_versions.c.number).where(condition).order_by(model_versions.c.number.desc()).limit(1)
    return query.correlate(models).scalar_subquery()


def _model_query() -> Select[Any]:
    # `alias=number` joined by commas: neither sign can occur in an alias.
    pair = aliases.c.alias.concat("=").concat(cast(aliases.c.number, Text))
    pairs = (
        select(func.aggregate_strings(pair, ","))
        .where(aliases.c.model_uid == models.c.uid)
        .correlate(models)
        .scalar_subquery()
    )
    return select(
        models,
        _highest(None).label("latest"),
        _highest(Stage.PRODUCTION).label("production"),
        _highest(Stage.STAGING).label("staging"),
        pairs.label("aliases"),
    ).where(models.c.is_reserved.is_(False))


_MODEL = _model_query()
_BY_KEY = _MODEL.where(models.c.tenant == bindparam("tenant"), models.c.name == bindparam("name"))
_LOCKED_ROW = (
    select(models.c.uid, models.c.is_reserved)
    .where(models.c.tenant == bindparam("tenant"), models.c.name == bindparam("name"))
    .with_for_update()
)
LIST = (
    _MODEL.where(
        models.c.tenant == bindparam("tenant"),
        # One range and not LIKE: it needs no escaping and always uses the index.
        models.c.name >= bindparam("lowest", type_=Text()),
        models.c.name < bindparam("end", type_=Text()),
        models.c.name != bindparam("after", type_=Text()),
        or_(models.c.deleted_at.is_(None), bindparam("is_deleted_shown", type_=Boolean())),
    )
    .order_by(models.c.name)
    .limit(bindparam("limit", type_=Integer()))
)
"""A page of models; see `list_values`."""


def list_values(
    tenant: str, *, prefix: str, after: str, limit: int, is_deleted_shown: bool
) -> Mapping[str, str | int | bool]:
    """What `LIST` takes. Names are ASCII, so that the last ASCII character ends a prefix."""
    return {
        "tenant": tenant,
        "lowest": max(prefix, after),
        "end": prefix + "\x7f",
        "after": after,
        "is_deleted_shown": is_deleted_shown,
        "limit": limit,
    }


class SqlModels:
    """The port `ModelRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, key: ModelKey, *, is_deleted_shown: bool = False) -> Model | None:
        """See the port."""
        row = self._connection.execute(_BY_KEY, {"tenant": key.tenant, "name": key.name}).first()
        if row is None or (row.deleted_at is not None and not is_deleted_shown):
            return None
        return to_model(row)

    def list(
        self,
        tenant: str,
        *,
        readable: Sequence[NamePattern],
        prefix: str,
        after: str,
        limit: int,
        is_deleted_shown: bool,
    ) -> Sequence[Model]:
        """See the port."""
        asked = list_values(tenant, prefix=prefix, after=after, limit=limit, is_deleted_shown=is_deleted_shown)
        query = LIST.where(matches_any(models.c.name, readable))
        return [to_model(row) for row in self._connection.execute(query, asked)]

    def lock(self, key: ModelKey) -> Model | None:
        """See the port."""
        if self._lock_row(key) is None:
            return None
        return self.get(key, is_deleted_shown=True)

    def lock_reserved(self, key: ModelKey) -> tuple[str, bool] | None:
        """See the port."""
        row = self._lock_row(key)
        return None if row is None else (row.uid, row.is_reserved)

    def insert(self, model: NewModel, *, is_reserved: bool = False) -> bool:
        """See the port."""
        values = _columns(model) | {"uid": model.uid, "is_reserved": is_reserved}
        statement = insert_for(self._connection, models).values(values)
        statement = statement.on_conflict_do_nothing(index_elements=["tenant", "name"])
        return self._connection.execute(statement).rowcount == 1

    def appear(self, model: NewModel) -> None:
        """See the port."""
        statement = update(models).where(models.c.uid == model.uid)
        self._connection.execute(statement.values(_columns(model) | {"is_reserved": False}))

    def update(
        self,
        uid: str,
        *,
        description: str,
        tags: Mapping[str, str],
        metric_goals: Mapping[str, str],
        time: datetime,
    ) -> None:
        """See the port."""
        self._change(uid, time, description=description, tags=dump(tags), metric_goals=dump(metric_goals))

    def set_deleted(
        self, uid: str, *, delete_time: datetime | None, purge_time: datetime | None, time: datetime
    ) -> None:
        """See the port."""
        self._change(uid, time, deleted_at=delete_time, purge_at=purge_time)

    def _change(self, uid: str, time: datetime, **values: object) -> None:
        statement = update(models).where(models.c.uid == uid)
        self._connection.execute(statement.values(revision=models.c.revision + 1, updated_at=time, **values))

    def _lock_row(self, key: ModelKey) -> Row[Any, Any] | None:
        return self._connection.execute(_LOCKED_ROW, {"tenant": key.tenant, "name": key.name}).first()


def _columns(model: NewModel) -> dict[str, object]:
    return {
        "tenant": model.key.tenant,
        "name": model.key.name,
        "description": model.description,
        "tags": dump(model.tags),
        "metric_goals": dump(model.metric_goals),
        "revision": 1,
        "created_by": model.created_by,
        "created_at": model.time,
        "updated_at": model.time,
    }


def to_model(row: Any) -> Model:
    """A model from a row of one of the statements here, with the columns as attributes."""
    pairs = [pair.split("=") for pair in row.aliases.split(",")] if row.aliases else []
    return Model(
        uid=row.uid,
        key=ModelKey(row.tenant, row.name),
        description=row.description,
        tags=load(row.tags),
        metric_goals={name: MetricGoal(goal) for name, goal in load(row.metric_goals).items()},
        revision=row.revision,
        created_by=row.created_by,
        create_time=row.created_at,
        update_time=row.updated_at,
        delete_time=row.deleted_at,
        purge_time=row.purge_at,
        latest_version=row.latest or 0,
        production_version=row.production or 0,
        staging_version=row.staging or 0,
        aliases={alias: int(number) for alias, number in sorted(pairs)},
    )
