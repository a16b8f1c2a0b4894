"""Register a version, as the background process sees it: take a PENDING row, have MLflow number it, make it READY.

Every step can be repeated. A version made in MLflow carries our uid as a tag, so whoever takes a task over after a
crash finds what the one before had done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from registrar_server.application.cards.prefill import CardPrefill, first_revision
from registrar_server.application.evidence.plain import facts_digest
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Change, Database, RegistrationTask
from registrar_server.application.ports.mlflow_registry import MlflowRegistry, NewVersion
from registrar_server.application.ports.signals import Signals
from registrar_server.application.run_import import RunImport
from registrar_server.application.versions import reread
from registrar_server.domain.access import Caller
from registrar_server.domain.cards import ModelCard
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import Parameter, VersionState
from registrar_server.domain.versions import ModelVersion

_log = structlog.get_logger()

LEASE_SECONDS = 60
_PASSING = frozenset(
    {
        Reason.MLFLOW_UNAVAILABLE,
        Reason.STORE_UNAVAILABLE,
        Reason.STORE_FULL,
        Reason.DATABASE_UNAVAILABLE,
        Reason.DATABASE_BUSY,
    }
)
_LONGEST_PAUSE_SECONDS = 30.0
_UNEXPECTED_ATTEMPTS = 10
"""After so many failures that nobody expected, a version is FAILED instead of tried for ever."""


class LeaseLost(Exception):
    """Another process took the task over; what this one found out no longer counts."""


@dataclass(frozen=True, slots=True)
class _Numbered:
    """What MLflow says of a version: its number, and numbers that a slow first attempt made beside it."""

    number: int
    surplus: Sequence[int]


class Registering:
    """Works on registration tasks. `holder` names this process among all that share the database."""

    def __init__(
        self,
        database: Database,
        mlflow: MlflowRegistry,
        runs: RunImport,
        clock: Clock,
        signals: Signals,
        holder: str,
        cards: CardPrefill,
    ) -> None:
        self._database = database
        self._mlflow = mlflow
        self._runs = runs
        self._clock = clock
        self._signals = signals
        self._holder = holder
        self._cards = cards
        self.failures: Counter[str] = Counter()
        """Attempts that failed so far, by reason."""

    def lease(self, limit: int) -> Sequence[RegistrationTask]:
        """Take tasks that are due."""
        now = self._clock.now()
        with self._database.writing() as transaction:
            return transaction.registrations.lease(
                self._holder, now=now, until=now + timedelta(seconds=LEASE_SECONDS), limit=limit
            )

    def work(self, task: RegistrationTask) -> None:
        """Bring one task to its end, or give it back. Never raises."""
        try:
            self._register(task)
        except LeaseLost:
            _log.info("registration.lease_lost", version_uid=task.version_uid)
        except RegistrarError as exc:
            self._settle_failure(task, exc)
        except Exception as exc:  # noqa: BLE001  (one version must not stop the others)
            _log.exception("registration.unexpected", version_uid=task.version_uid)
            error = RegistrarError(Reason.REGISTRATION_FAILED, "the registration failed for an internal reason")
            error.__cause__ = exc
            self._settle_failure(task, error, is_passing=task.attempts < _UNEXPECTED_ATTEMPTS)
        self._signals.announce_done(task.version_uid)

    def _register(self, task: RegistrationTask) -> None:
        version = self._read(task)
        if version.state is not VersionState.PENDING:
            return
        if task.run_artifact and not version.artifact.is_bundle:
            self._runs.take_in(version, task.run_artifact, keep_lease=lambda: self._keep_lease(task))
            version = self._read(task)
        tenant, name = version.model.tenant, version.model.name
        self._mlflow.ensure_tenant(tenant)
        self._mlflow.ensure_model(tenant, name)
        version = self._with_run(task, version)
        numbered = self._number(task, version)
        for number in numbered.surplus:
            self._mlflow.delete_version(tenant, name, number)
        own_card = self._cards.read_own(version)
        try:
            self._make_ready(task, version, numbered.number, own_card)
        except RegistrarError as exc:
            if exc.reason is Reason.MLFLOW_DRIFT:
                # Under this number there is another version here: whoever reads MLflow must not take this one for it.
                self._mlflow.delete_version(tenant, name, numbered.number)
            raise

    def _with_run(self, task: RegistrationTask, version: ModelVersion) -> ModelVersion:
        """Metrics and parameters live on a run of MLflow's: the caller's, or one that is made for them."""
        if version.run_id:
            return version
        tenant, name = version.model.tenant, version.model.name
        run_id = self._mlflow.find_run(tenant, version.uid) if task.attempts > 1 else None
        if run_id is None:
            parameters = {key: _parameter_text(value) for key, value in version.facts.parameters.items()}
            run_id = self._mlflow.create_run(tenant, name, version.uid, parameters, version.facts.metrics)
        with self._database.writing() as transaction:
            if not transaction.registrations.is_leased_by(version.uid, self._holder, self._clock.now()):
                raise LeaseLost
            transaction.versions.set_run(version.uid, run_id)
        return replace(version, run_id=run_id)

    def _number(self, task: RegistrationTask, version: ModelVersion) -> _Numbered:
        """The number in MLflow: found by our tag when an earlier attempt may have made one, else made now."""
        tenant, name = version.model.tenant, version.model.name
        found = list(self._mlflow.find_versions(tenant, name, version.uid)) if task.attempts > 1 else []
        if not found:
            self._keep_lease(task)
            new = NewVersion(
                version.uid, version.artifact.uri, version.run_id, version.notes.description, _mlflow_tags(version)
            )
            found = [self._mlflow.create_version(tenant, name, new)]
            if task.attempts > 1:
                # The call of the first attempt may have arrived only now.
                found = sorted({*found, *self._mlflow.find_versions(tenant, name, version.uid)})
        return _Numbered(found[0], found[1:])

    def _make_ready(
        self, task: RegistrationTask, version: ModelVersion, number: int, own_card: ModelCard | None
    ) -> None:
        card = first_revision(version, number, own_card, self._clock.now())
        with self._database.writing() as transaction:
            now = self._clock.now()
            transaction.models.lock(version.model)
            if not transaction.registrations.is_leased_by(version.uid, self._holder, now):
                raise LeaseLost
            if number <= transaction.versions.highest_number(version.model_uid):
                raise RegistrarError(
                    Reason.MLFLOW_DRIFT,
                    f"MLflow gave number {number} a second time: model {version.model.name} was deleted there",
                    metadata={"model": version.model.name},
                )
            if not transaction.versions.set_ready(version.uid, number, now):
                raise LeaseLost
            change = self._change("version.registered", version, number)
            sequence = transaction.journal.record(
                replace(
                    change,
                    after={
                        "artifact_uri": version.artifact.uri,
                        "manifest_digest": version.artifact.manifest_digest,
                        "semantic_version": version.facts.semantic_version,
                        "run_id": version.run_id,
                        "card_digest": card.state.digest,
                        "facts_digest": facts_digest(version.facts),
                    },
                )
            )
            transaction.cards.add(replace(card, sequence=sequence))

    def _settle_failure(self, task: RegistrationTask, error: RegistrarError, *, is_passing: bool | None = None) -> None:
        """Give a task back for later, or make its version FAILED with audit entry and event."""
        if is_passing is None:
            is_passing = error.reason in _PASSING
        self.failures[error.reason.value] += 1
        _log.warning(
            "registration.failed",
            version_uid=task.version_uid,
            reason=error.reason.value,
            attempts=task.attempts,
            is_passing=is_passing,
        )
        try:
            with self._database.writing() as transaction:
                now = self._clock.now()
                if not transaction.registrations.is_leased_by(task.version_uid, self._holder, now):
                    return
                if is_passing:
                    pause = min(_LONGEST_PAUSE_SECONDS, 0.5 * 2 ** min(task.attempts, 10))
                    transaction.registrations.postpone(
                        task.version_uid,
                        self._holder,
                        next_attempt=now + timedelta(seconds=pause),
                        reason=error.reason.value,
                        message=error.message,
                    )
                    return
                version = reread(transaction, task.version_uid)
                if transaction.versions.set_failed(task.version_uid, error.reason.value, error.message, now):
                    after = {"reason": error.reason.value, "message": error.message}
                    change = replace(self._change("version.failed", version, 0), after=after, is_mirrored=False)
                    transaction.journal.record(change)
        except RegistrarError as exc:
            # The lease runs out by itself, and the task is taken up again then.
            _log.warning("registration.not_settled", version_uid=task.version_uid, reason=exc.reason.value)

    def _change(self, action: str, version: ModelVersion, number: int) -> Change:
        return Change(
            action=action,
            caller=Caller(version.created_by, version.model.tenant),
            time=self._clock.now(),
            model=version.model,
            model_uid=version.model_uid,
            version_uid=version.uid,
            number=number,
        )

    def _keep_lease(self, task: RegistrationTask) -> None:
        until = self._clock.now() + timedelta(seconds=LEASE_SECONDS)
        with self._database.writing() as transaction:
            if not transaction.registrations.keep_lease(task.version_uid, self._holder, until=until):
                raise LeaseLost

    def _read(self, task: RegistrationTask) -> ModelVersion:
        with self._database.reading() as transaction:
            return reread(transaction, task.version_uid)


def _mlflow_tags(version: ModelVersion) -> Mapping[str, str]:
    """What MLflow's own search and pages show beside the caller's tags."""
    own = {
        "registrar.manifest_digest": version.artifact.manifest_digest,
        "registrar.semantic_version": version.facts.semantic_version,
        "registrar.created_by": version.created_by,
    }
    return {**version.notes.tags, **{key: value for key, value in own.items() if value}}


def _parameter_text(value: Parameter) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
