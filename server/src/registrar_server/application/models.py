"""Use cases about models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from registrar_server.application.authorization import model_not_found
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.clock import new_uid
from registrar_server.application.ports.database import Change, Database, NewModel, Transaction
from registrar_server.application.quotas import Quota, require_within
from registrar_server.application.resolution import (
    find_model,
    lock_model,
    require_etag,
    require_tenant,
)
from registrar_server.domain.access import Caller, NamePattern
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.models import Model
from registrar_server.domain.values import MetricGoal, ModelKey, Stage

PURGE_AFTER = timedelta(days=30)
"""How long a deleted model or version can be undeleted."""


@dataclass(frozen=True, slots=True)
class ModelChanged:
    """A model after a change, and the change's event."""

    model: Model
    sequence: int


@dataclass(frozen=True, slots=True)
class ModelUpdate:
    """New values; None leaves as it is."""

    description: str | None = None
    tags: Mapping[str, str] | None = None
    metric_goals: Mapping[str, MetricGoal] | None = None


class Models:
    """Creates, reads, changes and deletes models."""

    def __init__(self, database: Database, mutations: Mutations) -> None:
        self._database = database
        self._mutations = mutations

    def create(
        self,
        mutation: Mutation[ModelChanged],
        key: ModelKey,
        *,
        description: str,
        tags: Mapping[str, str],
        metric_goals: Mapping[str, MetricGoal],
    ) -> bytes:
        """Make a model without versions; MODEL_EXISTS when the name is taken."""

        def action(transaction: Transaction, now: datetime) -> ModelChanged:
            new = NewModel(new_uid(), key, description, tags, metric_goals, mutation.caller.actor, now)
            is_new, sequence = bring_into_being(transaction, mutation.caller, new, request_id=mutation.request_id)
            if not is_new:
                raise RegistrarError(
                    Reason.MODEL_EXISTS, f"there is a model {key.name} already", metadata={"model": key.name}
                )
            return ModelChanged(find_model(transaction, key), sequence)

        return self._mutations.run(mutation, action)

    def get(self, key: ModelKey) -> Model:
        """One living model."""
        with self._database.reading() as transaction:
            return find_model(transaction, key)

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
        """Readable models by name, names after `after` only."""
        found = self._database.list_models(
            tenant, readable=readable, prefix=prefix, after=after, limit=limit, is_deleted_shown=is_deleted_shown
        )
        if not found:
            with self._database.reading() as transaction:
                require_tenant(transaction, tenant)
        return found

    def update(self, mutation: Mutation[ModelChanged], key: ModelKey, etag: str, wanted: ModelUpdate) -> bytes:
        """Change description, tags or goals."""

        def action(transaction: Transaction, now: datetime) -> ModelChanged:
            model = lock_model(transaction, key)
            require_etag(etag, model.etag)
            changed = {
                "description": model.description if wanted.description is None else wanted.description,
                "tags": dict(model.tags if wanted.tags is None else wanted.tags),
                "metric_goals": dict(model.metric_goals if wanted.metric_goals is None else wanted.metric_goals),
            }
            before = {
                "description": model.description,
                "tags": dict(model.tags),
                "metric_goals": dict(model.metric_goals),
            }
            transaction.models.update(model.uid, **changed, time=now)  # type: ignore[arg-type]
            return self._record(transaction, mutation, model, now, "model.updated", before, changed)

        return self._mutations.run(mutation, action)

    def delete(self, mutation: Mutation[ModelChanged], key: ModelKey, etag: str) -> bytes:
        """Hide a model and its versions; MODEL_IN_USE while one is in staging or production."""

        def action(transaction: Transaction, now: datetime) -> ModelChanged:
            model = lock_model(transaction, key)
            require_etag(etag, model.etag)
            self._require_unused(transaction, model)
            purge_time = now + PURGE_AFTER
            transaction.models.set_deleted(model.uid, delete_time=now, purge_time=purge_time, time=now)
            after = {"delete_time": now.isoformat(), "purge_time": purge_time.isoformat()}
            return self._record(transaction, mutation, model, now, "model.deleted", {}, after)

        return self._mutations.run(mutation, action)

    def undelete(self, mutation: Mutation[ModelChanged], key: ModelKey) -> bytes:
        """Bring a deleted model back."""

        def action(transaction: Transaction, now: datetime) -> ModelChanged:
            model = transaction.models.lock(key)
            if model is None:
                raise model_not_found(key)
            if model.delete_time is None:
                return ModelChanged(model, 0)
            before = {"delete_time": model.delete_time.isoformat()}
            transaction.models.set_deleted(model.uid, delete_time=None, purge_time=None, time=now)
            require_within(transaction, key.tenant, Quota.MODELS, Quota.VERSIONS)
            return self._record(transaction, mutation, model, now, "model.undeleted", before, {})

        return self._mutations.run(mutation, action)

    def _require_unused(self, transaction: Transaction, model: Model) -> None:
        used = [
            version.number
            for stage in (Stage.STAGING, Stage.PRODUCTION)
            for version in transaction.versions.holders(model.uid, stage)
        ]
        if used:
            listed = ", ".join(str(number) for number in used)
            raise RegistrarError(
                Reason.MODEL_IN_USE,
                f"versions of {model.key.name} are in staging or production: {listed}",
                metadata={"model": model.key.name, "versions": listed},
            )

    def _record(
        self,
        transaction: Transaction,
        mutation: Mutation[ModelChanged],
        model: Model,
        now: datetime,
        action: str,
        before: Mapping[str, object],
        after: Mapping[str, object],
    ) -> ModelChanged:
        change = Change(
            action=action,
            caller=mutation.caller,
            time=now,
            model=model.key,
            model_uid=model.uid,
            before=before,
            after=after,
            request_id=mutation.request_id,
        )
        sequence = transaction.journal.record(change)
        changed = transaction.models.get(model.key, is_deleted_shown=True)
        if changed is None:
            raise model_not_found(model.key)
        return ModelChanged(changed, sequence)


def bring_into_being(transaction: Transaction, caller: Caller, new: NewModel, *, request_id: str) -> tuple[bool, int]:
    """Make a model, or turn the reservation of its name into one: whether it is new, and its event's sequence.

    The model is locked afterwards, new or not. TENANT_NOT_FOUND when there is no such tenant, QUOTA_EXCEEDED.
    """
    require_tenant(transaction, new.key.tenant)
    uid = new.uid
    if not transaction.models.insert(new):
        taken = transaction.models.lock_reserved(new.key)
        if taken is None:
            raise model_not_found(new.key)
        uid, is_reserved = taken
        if not is_reserved:
            return False, 0
        transaction.models.appear(
            NewModel(uid, new.key, new.description, new.tags, new.metric_goals, new.created_by, new.time)
        )
    require_within(transaction, new.key.tenant, Quota.MODELS)
    change = Change(
        action="model.created",
        caller=caller,
        time=new.time,
        model=new.key,
        model_uid=uid,
        after={"description": new.description, "tags": dict(new.tags), "metric_goals": dict(new.metric_goals)},
        request_id=request_id,
    )
    return True, transaction.journal.record(change)
