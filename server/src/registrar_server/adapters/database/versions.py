"""Statements about versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from registrar_server.adapters.database.documents import dump, dump_facts, dump_notes, load_facts, load_notes
from registrar_server.adapters.database.governance.approvals import load_summary
from registrar_server.adapters.database.tables import Timestamp, aliases, model_versions, models, registrations
from registrar_server.application.ports.database import NewVersion
from registrar_server.domain.semantic_versions import CORE_CHARACTERS, RELEASE, SemanticRange, SemanticVersion
from registrar_server.domain.values import (
    ByAlias,
    ByNumber,
    BySemanticRange,
    BySemanticVersion,
    ByStage,
    ByUid,
    ModelKey,
    Selector,
    Stage,
    VersionState,
)
from registrar_server.domain.versions import ArtifactLink, Facts, ModelVersion, Notes


def is_in_range(versions: FromClause) -> ColumnElement[bool]:
    """Whether the semantic version of a row of `model_versions` is in a range; `range_values` says in which."""
    key = versions.c.semantic_version_key
    return and_(
        key >= bindparam("low"),
        key < bindparam("high"),
        or_(
            func.substr(key, CORE_CHARACTERS + 1, 1) == RELEASE,
            bindparam("opened", type_=Text).contains(func.substr(key, 1, CORE_CHARACTERS)),
        ),
    )


def range_values(wanted: SemanticRange) -> Mapping[str, object]:
    """What `is_in_range` takes."""
    return {"low": wanted.low, "high": wanted.high, "opened": ",".join(wanted.opened)}


_ALIASES = (
    select(func.aggregate_strings(aliases.c.alias, ","))
    .where(aliases.c.version_uid == model_versions.c.uid)
    .correlate(model_versions)
    .scalar_subquery()
)
_VERSION = select(model_versions, models.c.tenant, models.c.name, _ALIASES.label("aliases")).join_from(
    model_versions, models, model_versions.c.model_uid == models.c.uid
)
_READY = model_versions.c.state == VersionState.READY.value
_LIVING = model_versions.c.deleted_at.is_(None)

# Built once: putting a statement together costs more than running it.
_OF_MODEL = _VERSION.where(
    models.c.tenant == bindparam("tenant"), models.c.name == bindparam("name"), models.c.deleted_at.is_(None)
)
_VALUE: BindParameter[Any] = bindparam("value")
_BY_NUMBER = _OF_MODEL.where(model_versions.c.number == _VALUE)
_BY_UID = _OF_MODEL.where(model_versions.c.uid == _VALUE)
_BY_STAGE = _OF_MODEL.where(model_versions.c.stage == _VALUE, _READY, _LIVING).order_by(model_versions.c.number)
_BY_SEMANTIC_VERSION = _OF_MODEL.where(model_versions.c.semantic_version == _VALUE, _READY, _LIVING)
_inner = model_versions.alias("inner_versions")
_inner_models = models.alias("inner_models")
# The model is a value of its own, so that both databases walk the index downwards, to the first that is to be had.
_HIGHEST_IN_RANGE = _VERSION.where(
    model_versions.c.uid
    == select(_inner.c.uid)
    .where(
        _inner.c.model_uid
        == select(_inner_models.c.uid)
        .where(
            _inner_models.c.tenant == bindparam("tenant"),
            _inner_models.c.name == bindparam("name"),
            _inner_models.c.deleted_at.is_(None),
        )
        .scalar_subquery(),
        is_in_range(_inner),
        _inner.c.state == VersionState.READY.value,
        _inner.c.deleted_at.is_(None),
    )
    .order_by(_inner.c.semantic_version_key.desc())
    .limit(1)
    .scalar_subquery()
)
_BY_ALIAS = _OF_MODEL.join(
    aliases, (aliases.c.model_uid == models.c.uid) & (aliases.c.version_uid == model_versions.c.uid)
).where(aliases.c.alias == _VALUE)
_BY_UID_ALONE = _VERSION.where(model_versions.c.uid == _VALUE)
_HOLDERS = _VERSION.where(
    model_versions.c.model_uid == bindparam("model"), model_versions.c.stage == _VALUE, _READY, _LIVING
).order_by(model_versions.c.number)
_SET_STAGE = (
    update(model_versions)
    .where(model_versions.c.uid == _VALUE)
    .values(
        revision=model_versions.c.revision + 1,
        stage=bindparam("to_stage"),
        stage_at=bindparam("time", type_=Timestamp),
        exclusive_stage=bindparam("exclusive"),
        updated_at=bindparam("time", type_=Timestamp),
    )
)


class SqlVersions:
    """The port `VersionRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, model: ModelKey, selector: Selector) -> Sequence[ModelVersion]:
        """See the port: one statement, whatever the selector."""
        query, values = statement_of(selector)
        return self._all(query, {"tenant": model.tenant, "name": model.name, **values})

    def get_by_uid(self, uid: str) -> ModelVersion | None:
        """See the port."""
        found = self._all(_BY_UID_ALONE, {"value": uid})
        return found[0] if found else None

    def list(
        self, model_uid: str, *, before: int, limit: int, stage: Stage | None, is_deleted_shown: bool
    ) -> Sequence[ModelVersion]:
        """See the port."""
        query = _VERSION.where(model_versions.c.model_uid == model_uid, _READY)
        if before:
            query = query.where(model_versions.c.number < before)
        if stage is not None:
            query = query.where(model_versions.c.stage == stage.value)
        if not is_deleted_shown:
            query = query.where(_LIVING)
        return self._all(query.order_by(model_versions.c.number.desc()).limit(limit))

    def holders(self, model_uid: str, stage: Stage) -> Sequence[ModelVersion]:
        """See the port."""
        return self._all(_HOLDERS, {"model": model_uid, "value": stage.value})

    def find_content(self, model_uid: str, content_digest: str) -> ModelVersion | None:
        """See the port."""
        query = _VERSION.where(
            model_versions.c.model_uid == model_uid, model_versions.c.content_digest == content_digest, _READY, _LIVING
        )
        return self._first(query.order_by(model_versions.c.number.desc()).limit(1))

    def has_semantic_version(self, model_uid: str, semantic_version: str) -> int | None:
        """See the port."""
        query = select(model_versions.c.number).where(
            model_versions.c.model_uid == model_uid, model_versions.c.semantic_version == semantic_version
        )
        row = self._connection.execute(query).first()
        return None if row is None else row.number or 0

    def ranked(
        self, model_uid: str, *, below: str = "", before: int = 0, is_release: bool = False, limit: int = 1
    ) -> Sequence[ModelVersion]:
        """See the port."""
        key = model_versions.c.semantic_version_key
        query = _VERSION.where(model_versions.c.model_uid == model_uid, key.is_not(None), _READY, _LIVING)
        if below:
            query = query.where(key < SemanticVersion.parse(below).key)
        if before:
            query = query.where(model_versions.c.number < before)
        if is_release:
            query = query.where(func.substr(key, CORE_CHARACTERS + 1, 1) == RELEASE)
        return self._all(query.order_by(key.desc()).limit(limit))

    def highest_number(self, model_uid: str) -> int:
        """See the port."""
        query = select(func.max(model_versions.c.number)).where(model_versions.c.model_uid == model_uid)
        return self._connection.execute(query).scalar() or 0

    def insert_pending(self, version: NewVersion) -> None:
        """See the port."""
        artifact = version.artifact or ArtifactLink(uri="")
        self._connection.execute(
            insert(model_versions).values(
                uid=version.uid,
                model_uid=version.model_uid,
                state=VersionState.PENDING.value,
                stage=Stage.NONE.value,
                stage_at=version.time,
                semantic_version=version.facts.semantic_version or None,
                semantic_version_key=_semantic_version_key(version.facts.semantic_version),
                facts=dump_facts(version.facts),
                content_digest=version.content_digest,
                description=version.notes.description,
                tags=dump(version.notes.tags),
                notes=dump_notes(version.notes),
                run_id=version.facts.provenance.run_id,
                revision=1,
                created_by=version.created_by,
                created_at=version.time,
                updated_at=version.time,
                **_artifact_columns(artifact),
            )
        )
        self._connection.execute(
            insert(registrations).values(
                version_uid=version.uid,
                model_uid=version.model_uid,
                run_artifact=version.run_artifact,
                next_attempt_at=version.time,
                created_at=version.time,
            )
        )

    def set_artifact(self, uid: str, artifact: ArtifactLink, facts: Facts, content_digest: str) -> None:
        """See the port."""
        self._change(
            uid,
            facts=dump_facts(facts),
            content_digest=content_digest,
            run_id=facts.provenance.run_id,
            **_artifact_columns(artifact),
        )

    def set_run(self, uid: str, run_id: str) -> None:
        """See the port."""
        self._change(uid, run_id=run_id)

    def set_ready(self, uid: str, number: int, time: datetime) -> bool:
        """See the port."""
        return self._settle(uid, state=VersionState.READY.value, number=number, updated_at=time)

    def set_failed(self, uid: str, reason: str, message: str, time: datetime) -> bool:
        """See the port."""
        return self._settle(
            uid,
            state=VersionState.FAILED.value,
            failure_reason=reason,
            failure=message,
            semantic_version=None,
            semantic_version_key=None,
            updated_at=time,
        )

    def set_stage(self, uid: str, stage: Stage, *, is_exclusive: bool, time: datetime) -> None:
        """See the port."""
        exclusive = stage.value if is_exclusive else None
        self._connection.execute(
            _SET_STAGE, {"value": uid, "to_stage": stage.value, "exclusive": exclusive, "time": time}
        )

    def update_notes(self, uid: str, notes: Notes, time: datetime) -> None:
        """See the port."""
        self._revise(uid, time, description=notes.description, tags=dump(notes.tags), notes=dump_notes(notes))

    def set_deleted(
        self, uid: str, *, delete_time: datetime | None, purge_time: datetime | None, time: datetime
    ) -> None:
        """See the port."""
        self._revise(uid, time, deleted_at=delete_time, purge_at=purge_time)

    def _settle(self, uid: str, **values: object) -> bool:
        statement = update(model_versions).where(
            model_versions.c.uid == uid, model_versions.c.state == VersionState.PENDING.value
        )
        if self._connection.execute(statement.values(values)).rowcount != 1:
            return False
        self._connection.execute(delete(registrations).where(registrations.c.version_uid == uid))
        return True

    def _revise(self, uid: str, time: datetime, **values: object) -> None:
        self._change(uid, revision=model_versions.c.revision + 1, updated_at=time, **values)

    def _change(self, uid: str, **values: object) -> None:
        self._connection.execute(update(model_versions).where(model_versions.c.uid == uid).values(values))

    def _all(self, query: Select[Any], values: Mapping[str, object] | None = None) -> Sequence[ModelVersion]:
        return [to_version(row) for row in self._connection.execute(query, values)]

    def _first(self, query: Select[Any]) -> ModelVersion | None:
        row = self._connection.execute(query).first()
        return None if row is None else to_version(row)


def statement_of(selector: Selector) -> tuple[Select[Any], Mapping[str, object]]:
    """What finds it in a model of `tenant` and `name`, and the values that say what to look for."""
    match selector:
        case ByNumber(number):
            return _BY_NUMBER, {"value": number}
        case ByUid(uid):
            return _BY_UID, {"value": uid}
        case ByStage(stage):
            return _BY_STAGE, {"value": stage.value}
        case ByAlias(alias):
            return _BY_ALIAS, {"value": alias}
        case BySemanticVersion(semantic_version):
            return _BY_SEMANTIC_VERSION, {"value": semantic_version}
        case BySemanticRange(wanted):
            return _HIGHEST_IN_RANGE, range_values(wanted)


def _semantic_version_key(semantic_version: str) -> str | None:
    return SemanticVersion.parse(semantic_version).key if semantic_version else None


def _artifact_columns(artifact: ArtifactLink) -> dict[str, object]:
    return {
        "bundle_uid": artifact.bundle_uid or None,
        "artifact_uri": artifact.uri,
        "manifest_digest": artifact.manifest_digest,
    }


def version_query() -> Select[Any]:
    """What `to_version` takes rows of, to be narrowed down."""
    return _VERSION


_STATES = {state.value: state for state in VersionState}
_STAGES = {stage.value: stage for stage in Stage}


def to_version(row: Any) -> ModelVersion:
    """A version from a row of one of the statements here, with the columns as attributes."""
    return ModelVersion(
        uid=row.uid,
        model=ModelKey(row.tenant, row.name),
        model_uid=row.model_uid,
        number=row.number or 0,
        state=_STATES[row.state],
        stage=_STAGES[row.stage],
        stage_time=row.stage_at,
        facts=load_facts(row.facts),
        notes=load_notes(row.notes, description=row.description, tags=row.tags),
        artifact=ArtifactLink(row.artifact_uri, row.bundle_uid or "", row.manifest_digest),
        run_id=row.run_id,
        revision=row.revision,
        created_by=row.created_by,
        create_time=row.created_at,
        update_time=row.updated_at,
        failure=row.failure,
        failure_reason=row.failure_reason,
        aliases=tuple(sorted(row.aliases.split(","))) if row.aliases else (),
        delete_time=row.deleted_at,
        purge_time=row.purge_at,
        approval=load_summary(row.approval) if row.approval else None,
    )
