"""Make MLflow show what was decided here: aliases, tags, descriptions, the deprecated stage.

A model's events say what was touched; what is written is the state now, not the event's. So a repetition does no
harm, and what was overtaken is skipped. One process at a time works on a model (its row is leased), in the order of
its events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

import structlog

from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database, Event, MirrorTask, Transaction
from registrar_server.application.ports.mlflow_registry import MlflowRegistry
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.lifecycle import EXCLUSIVE_STAGES
from registrar_server.domain.models import Model
from registrar_server.domain.values import ModelKey, Stage
from registrar_server.domain.versions import ModelVersion

_log = structlog.get_logger()

LEASE_SECONDS = 60
_LONGEST_PAUSE_SECONDS = 30.0
_EVENTS_AT_ONCE = 1_000
_STAGE_EVENTS = frozenset({"version.stage_changed", "version.rolled_back"})
_MLFLOW_STAGES = {
    Stage.NONE: "None",
    Stage.STAGING: "Staging",
    Stage.PRODUCTION: "Production",
    Stage.ARCHIVED: "Archived",
}


class Mirroring:
    """Works on models that MLflow has to catch up with."""

    def __init__(self, database: Database, mlflow: MlflowRegistry, clock: Clock, holder: str) -> None:
        self._database = database
        self._mlflow = mlflow
        self._clock = clock
        self._holder = holder
        self.failures: Counter[str] = Counter()
        """Attempts that failed so far, by reason."""

    def lease(self, limit: int) -> Sequence[MirrorTask]:
        """Take models that are due."""
        now = self._clock.now()
        with self._database.writing() as transaction:
            return transaction.mirror.lease(
                self._holder, now=now, until=now + timedelta(seconds=LEASE_SECONDS), limit=limit
            )

    def work(self, task: MirrorTask) -> None:
        """Bring MLflow up to date with one model, or give it back for later. Never raises."""
        try:
            self._mirror(task)
        except RegistrarError as exc:
            self._postpone(task, exc.reason.value)
        except Exception:  # noqa: BLE001  (one model must not stop the others)
            _log.exception("mirror.unexpected", model=str(task.key))
            self._postpone(task, "UNEXPECTED")

    def _mirror(self, task: MirrorTask) -> None:
        with self._database.reading() as transaction:
            events = transaction.journal.events(
                task.model_uid, after=task.mirrored_sequence, until=task.wanted_sequence
            )[:_EVENTS_AT_ONCE]
            model = transaction.models.get(task.key, is_deleted_shown=True)
            aliases = transaction.aliases.all(task.model_uid)
            touched = _touched_versions(transaction, task.model_uid, events)
        reached = events[-1].sequence if len(events) == _EVENTS_AT_ONCE else task.wanted_sequence
        if model is not None:
            self._mlflow.ensure_tenant(task.key.tenant)
            self._mlflow.ensure_model(task.key.tenant, task.key.name)
            self._mirror_model(model, [event for event in events if event.type.startswith("model.")])
            for version, touching in touched:
                self._tolerating_drift(task.key, partial(self._mirror_version, version, touching))
            if any(event.type in _STAGE_EVENTS for event in events):
                self._mirror_stage_aliases(model)
            for alias in dict.fromkeys(event.alias for event in events if event.alias):
                self._mirror_alias(task.key, alias, aliases.get(alias, 0))
        with self._database.writing() as transaction:
            transaction.mirror.finish(task.model_uid, self._holder, reached)

    def _mirror_model(self, model: Model, events: Sequence[Event]) -> None:
        if not events:
            return
        tags = dict(model.tags)
        if model.delete_time is not None:
            tags["registrar.deleted"] = model.delete_time.isoformat()
        self._mlflow.set_model_facts(
            model.key.tenant, model.key.name, model.description, tags, _dropped_tags(events, tags)
        )

    def _mirror_version(self, version: ModelVersion, events: Sequence[Event]) -> None:
        """Stage, and what people may change, as far as the events touched it."""
        tenant, name, number = version.model.tenant, version.model.name, version.number
        types = {event.type for event in events}
        if types & {"version.updated", "version.deleted", "version.undeleted"}:
            tags = dict(version.notes.tags)
            if version.notes.deprecation_note:
                tags["registrar.deprecation_note"] = version.notes.deprecation_note
            if version.delete_time is not None:
                tags["registrar.deleted"] = version.delete_time.isoformat()
            self._mlflow.set_version_tags(tenant, name, number, tags, _dropped_tags(events, tags))
            self._mlflow.set_version_description(tenant, name, number, version.notes.description)
        if types & _STAGE_EVENTS:
            self._mlflow.set_version_stage(tenant, name, number, _MLFLOW_STAGES[version.stage])

    def _mirror_stage_aliases(self, model: Model) -> None:
        """The stage of whoever was displaced, and the aliases `staging` and `production`."""
        holders = {Stage.STAGING: model.staging_version, Stage.PRODUCTION: model.production_version}
        for stage in sorted(EXCLUSIVE_STAGES):
            self._mirror_alias(model.key, stage.value, holders[stage])

    def _mirror_alias(self, key: ModelKey, alias: str, number: int) -> None:
        if number:
            self._tolerating_drift(key, partial(self._mlflow.set_alias, key.tenant, key.name, alias, number))
        else:
            self._mlflow.delete_alias(key.tenant, key.name, alias)

    def _tolerating_drift(self, key: ModelKey, write: Callable[[], None]) -> None:
        """A version that somebody deleted in MLflow stays deleted there; the rest of the model goes on."""
        try:
            write()
        except RegistrarError as exc:
            if exc.reason is not Reason.MLFLOW_DRIFT:
                raise
            _log.warning("mirror.drift", model=str(key), detail=exc.message)

    def _postpone(self, task: MirrorTask, reason: str) -> None:
        self.failures[reason] += 1
        _log.warning("mirror.failed", model=str(task.key), reason=reason, attempts=task.attempts)
        pause = min(_LONGEST_PAUSE_SECONDS, 0.5 * 2 ** min(task.attempts, 10))
        try:
            with self._database.writing() as transaction:
                next_attempt = self._clock.now() + timedelta(seconds=pause)
                transaction.mirror.postpone(task.model_uid, self._holder, next_attempt=next_attempt, reason=reason)
        except RegistrarError as exc:
            # The lease runs out by itself, and the model is taken up again then.
            _log.warning("mirror.not_postponed", model=str(task.key), reason=exc.reason.value)


def _touched_versions(
    transaction: Transaction, model_uid: str, events: Sequence[Event]
) -> list[tuple[ModelVersion, list[Event]]]:
    """The READY versions that the events are about, displaced ones included, each with its events.

    Those of a deleted model too: what is left out now would be missing after it is undeleted.
    """
    touching: dict[int, list[Event]] = {}
    for event in events:
        displaced = event.after.get("archived")
        numbers = [event.number, *(displaced if isinstance(displaced, list) else [])] if event.version_uid else []
        for number in numbers:
            touching.setdefault(number, []).append(event)
    found = [(_version(transaction, model_uid, number), touched) for number, touched in touching.items() if number]
    return [(version, touched) for version, touched in found if version is not None]


def _version(transaction: Transaction, model_uid: str, number: int) -> ModelVersion | None:
    at_most = transaction.versions.list(model_uid, before=number + 1, limit=1, stage=None, is_deleted_shown=True)
    return next((version for version in at_most if version.number == number), None)


def _dropped_tags(events: Sequence[Event], tags: dict[str, str]) -> list[str]:
    """Keys that one of these changes may have taken away."""
    keys = {"registrar.deleted", "registrar.deprecation_note"}
    for event in events:
        before = event.before.get("tags")
        if isinstance(before, dict):
            keys.update(before)
    return sorted(keys - tags.keys())
