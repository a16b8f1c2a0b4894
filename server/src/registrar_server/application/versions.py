"""Use cases about versions that exist: read, compare, change, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from registrar_server.application.models import PURGE_AFTER
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.database import Change, Database, Transaction
from registrar_server.application.quotas import Quota, require_within
from registrar_server.application.requirements import require_still_complete
from registrar_server.application.resolution import (
    find_model,
    find_version,
    lock_model,
    require_etag,
    require_usable,
)
from registrar_server.domain.comparison import Comparison, compare
from registrar_server.domain.errors import InvalidRequest, Reason, RegistrarError, Violation
from registrar_server.domain.models import Model
from registrar_server.domain.values import ModelKey, Stage, VersionRef, VersionState
from registrar_server.domain.versions import ModelVersion


@dataclass(frozen=True, slots=True)
class VersionChanged:
    """A version after a change, and the change's event (0: nothing changed)."""

    version: ModelVersion
    sequence: int


@dataclass(frozen=True, slots=True)
class NotesUpdate:
    """New values; None leaves as it is."""

    description: str | None = None
    tags: Mapping[str, str] | None = None
    deprecation_note: str | None = None
    model_card_uri: str | None = None
    datasheet_uri: str | None = None
    drift_monitor_id: str | None = None


class Versions:
    """Reads, compares, changes and deletes versions."""

    def __init__(self, database: Database, mutations: Mutations) -> None:
        self._database = database
        self._mutations = mutations

    def get(self, ref: VersionRef) -> ModelVersion:
        """The version that a reference names."""
        found = self._database.resolve(ref.model, ref.selector)
        if len(found) == 1:
            return found[0]
        # To say why there is none, or to find what has come meanwhile.
        with self._database.reading() as transaction:
            return find_version(transaction, ref)

    def list(
        self, key: ModelKey, *, before: int, limit: int, stage: Stage | None, is_deleted_shown: bool
    ) -> Sequence[ModelVersion]:
        """Numbered versions, the highest first, numbers below `before` only."""
        with self._database.reading() as transaction:
            model = find_model(transaction, key)
            return transaction.versions.list(
                model.uid, before=before, limit=limit, stage=stage, is_deleted_shown=is_deleted_shown
            )

    def compare(self, refs: Sequence[VersionRef]) -> Comparison:
        """Metrics side by side; the references name different, READY versions of one model."""
        with self._database.reading() as transaction:
            versions = [find_version(transaction, ref) for ref in refs]
            model = find_model(transaction, refs[0].model)
        for version in versions:
            require_usable(version)
        return side_by_side(versions, model)

    def update(self, mutation: Mutation[VersionChanged], ref: VersionRef, etag: str, wanted: NotesUpdate) -> bytes:
        """Change what people may change."""

        def action(transaction: Transaction, now: datetime) -> VersionChanged:
            lock_model(transaction, ref.model)
            version = find_version(transaction, ref)
            require_usable(version)
            require_etag(etag, version.etag)
            values = {key: value for key, value in asdict(wanted).items() if value is not None}
            notes = replace(version.notes, **values)
            require_still_complete(transaction, version, notes)
            transaction.versions.update_notes(version.uid, notes, now)
            before = {key: getattr(version.notes, key) for key in values}
            return self._record(transaction, mutation, version, now, "version.updated", before, values)

        return self._mutations.run(mutation, action)

    def delete(self, mutation: Mutation[VersionChanged], ref: VersionRef, etag: str) -> bytes:
        """Hide a version that nothing uses."""

        def action(transaction: Transaction, now: datetime) -> VersionChanged:
            lock_model(transaction, ref.model)
            version = find_version(transaction, ref)
            if version.state is not VersionState.FAILED:
                require_usable(version)
            require_etag(etag, version.etag)
            _require_unused(version)
            purge_time = now + PURGE_AFTER
            transaction.versions.set_deleted(version.uid, delete_time=now, purge_time=purge_time, time=now)
            after = {"delete_time": now.isoformat(), "purge_time": purge_time.isoformat()}
            return self._record(transaction, mutation, version, now, "version.deleted", {}, after)

        return self._mutations.run(mutation, action)

    def undelete(self, mutation: Mutation[VersionChanged], ref: VersionRef) -> bytes:
        """Bring a deleted version back; one that is not deleted is answered as it is."""

        def action(transaction: Transaction, now: datetime) -> VersionChanged:
            lock_model(transaction, ref.model)
            version = find_version(transaction, ref)
            if version.delete_time is None:
                return VersionChanged(version, 0)
            before = {"delete_time": version.delete_time.isoformat()}
            transaction.versions.set_deleted(version.uid, delete_time=None, purge_time=None, time=now)
            require_within(transaction, ref.model.tenant, Quota.VERSIONS)
            return self._record(transaction, mutation, version, now, "version.undeleted", before, {})

        return self._mutations.run(mutation, action)

    def _record(
        self,
        transaction: Transaction,
        mutation: Mutation[VersionChanged],
        version: ModelVersion,
        now: datetime,
        action: str,
        before: Mapping[str, object],
        after: Mapping[str, object],
    ) -> VersionChanged:
        change = Change(
            action=action,
            caller=mutation.caller,
            time=now,
            model=version.model,
            model_uid=version.model_uid,
            version_uid=version.uid,
            number=version.number,
            before=before,
            after=after,
            request_id=mutation.request_id,
            is_mirrored=version.number > 0,
        )
        sequence = transaction.journal.record(change)
        return VersionChanged(reread(transaction, version.uid), sequence)


def reread(transaction: Transaction, uid: str) -> ModelVersion:
    """A version as this transaction has left it."""
    version = transaction.versions.get_by_uid(uid)
    if version is None:
        raise RegistrarError(Reason.VERSION_NOT_FOUND, "the version is gone", metadata={"uid": uid})
    return version


def side_by_side(versions: Sequence[ModelVersion], model: Model) -> Comparison:
    """Metrics of versions of a model; INVALID_FIELD when one is there twice."""
    numbers = [version.number for version in versions]
    repeated = [
        Violation(f"refs[{index}]", f"names version {number} again")
        for index, number in enumerate(numbers)
        if number in numbers[:index]
    ]
    if repeated:
        raise InvalidRequest(repeated)
    return compare(versions, model.metric_goals)


def _require_unused(version: ModelVersion) -> None:
    is_staged = version.stage in (Stage.STAGING, Stage.PRODUCTION)
    if not is_staged and not version.aliases:
        return
    uses = ([f"it is in {version.stage.value}"] if is_staged else []) + [
        f"alias {a} points at it" for a in version.aliases
    ]
    raise RegistrarError(
        Reason.VERSION_IN_USE,
        f"version {version.number} of {version.model.name} is in use: {', '.join(uses)}",
        metadata={"stage": version.stage.value, "aliases": ", ".join(version.aliases)},
    )
