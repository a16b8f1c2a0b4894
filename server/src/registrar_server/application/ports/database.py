"""The registrar database as the use cases see it.

A transaction is all or nothing, sees its own writes, and gives no answer before the commit. Writers of one model
take turns (`ModelRecords.lock`); event sequences are given out in the order of commits. Lock order, kept by every
use case: model, tenant chain, event sequence (`Journal.record` takes the last two, so it comes last).

Every method raises `RegistrarError` DATABASE_UNAVAILABLE or DATABASE_BUSY when the database does not answer or
stays locked; nothing is changed then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from registrar_server.domain.bundles import Bundle, BundleFile, Manifest
from registrar_server.domain.lifecycle import AliasMove, Transition
from registrar_server.domain.models import Model
from registrar_server.domain.values import Caller, ModelKey, Selector, Stage
from registrar_server.domain.versions import ArtifactLink, Facts, ModelVersion, Notes


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What a request id stands for: the digest of its body, and the answer or the version being registered."""

    body_digest: str
    answer: bytes | None
    version_uid: str | None


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Whose request id it is: an id means nothing to another tenant, caller or RPC."""

    tenant: str
    actor: str
    rpc: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Change:
    """One mutation, as audit and event record it. `before` and `after` hold what changed, JSON-shaped, no secrets."""

    action: str
    """Fixed dotted name: `version.registered`, `version.stage_changed`, `alias.moved`, …"""
    caller: Caller
    time: datetime
    model: ModelKey
    model_uid: str
    version_uid: str = ""
    number: int = 0
    alias: str = ""
    comment: str = ""
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None
    request_id: str = ""
    is_mirrored: bool = True
    """Whether MLflow has to follow."""


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of the outbox."""

    sequence: int
    type: str
    version_uid: str
    number: int
    alias: str
    before: Mapping[str, object]
    after: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class NewModel:
    """What a new model begins with."""

    uid: str
    key: ModelKey
    description: str
    tags: Mapping[str, str]
    metric_goals: Mapping[str, str]
    created_by: str
    time: datetime


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What a new, PENDING version begins with. `artifact` is None until a run's files have been taken in."""

    uid: str
    model_uid: str
    facts: Facts
    notes: Notes
    artifact: ArtifactLink | None
    run_artifact: str
    content_digest: str
    created_by: str
    time: datetime


@dataclass(frozen=True, slots=True)
class RegistrationTask:
    """A PENDING version whose turn it is; `attempts` counts this one."""

    version_uid: str
    attempts: int
    run_artifact: str


@dataclass(frozen=True, slots=True)
class MirrorTask:
    """A model that MLflow has to catch up with: its events after `mirrored_sequence`, up to `wanted_sequence`."""

    model_uid: str
    key: ModelKey
    mirrored_sequence: int
    wanted_sequence: int
    attempts: int


@dataclass(frozen=True, slots=True)
class MirrorProgress:
    """How far MLflow follows: every event up to `mirrored_sequence` is there."""

    event_sequence: int
    mirrored_sequence: int
    pending_models: int


@dataclass(frozen=True, slots=True)
class BundleClaim:
    """The right to write a bundle that is not committed yet."""

    uid: str
    prefix: str


class ModelRecords(Protocol):
    """Models."""

    def has_tenant(self, tenant: str) -> bool:
        """Whether the tenant exists."""

    def get(self, key: ModelKey, *, is_deleted_shown: bool = False) -> Model | None:
        """The model with what its versions amount to; None: absent, reserved, or deleted and not shown."""

    def list(self, tenant: str, *, prefix: str, after: str, limit: int, is_deleted_shown: bool) -> Sequence[Model]:
        """Models in the order of their names' UTF-8 bytes, names greater than `after` only."""

    def lock(self, key: ModelKey) -> Model | None:
        """The model, deleted or not, locked until the transaction ends; None when absent or reserved."""

    def lock_reserved(self, key: ModelKey) -> tuple[str, bool] | None:
        """Uid of the model or reservation, locked, and whether it is only a reservation."""

    def insert(self, model: NewModel, *, is_reserved: bool = False) -> bool:
        """Add a model. A reservation gives a name its uid, so that bytes can be stored for it, and shows nowhere.

        False when the name is taken (also by a race that was lost); nothing was added then.
        """

    def appear(self, model: NewModel) -> None:
        """Make a reservation a model, with these facts."""

    def update(
        self,
        uid: str,
        *,
        description: str,
        tags: Mapping[str, str],
        metric_goals: Mapping[str, str],
        time: datetime,
    ) -> None:
        """Replace what may change; the revision grows."""

    def set_deleted(
        self, uid: str, *, delete_time: datetime | None, purge_time: datetime | None, time: datetime
    ) -> None:
        """Delete or undelete; the revision grows."""


class VersionRecords(Protocol):
    """Versions."""

    def get(self, model: ModelKey, selector: Selector) -> Sequence[ModelVersion]:
        """What the selector finds in a living model: by number and uid deleted versions too, by stage maybe several."""

    def get_by_uid(self, uid: str) -> ModelVersion | None:
        """A version by its uid alone."""

    def list(
        self, model_uid: str, *, before: int, limit: int, stage: Stage | None, is_deleted_shown: bool
    ) -> Sequence[ModelVersion]:
        """Numbered versions, the highest first, numbers less than `before` only (0: from the highest)."""

    def holders(self, model_uid: str, stage: Stage) -> Sequence[ModelVersion]:
        """Living versions in a stage, by number."""

    def find_content(self, model_uid: str, content_digest: str) -> ModelVersion | None:
        """The newest living READY version with that content."""

    def has_semantic_version(self, model_uid: str, semantic_version: str) -> int | None:
        """Number (0: PENDING) of the version that has it, or None."""

    def highest_number(self, model_uid: str) -> int:
        """Highest number ever given, deleted versions included; 0: none."""

    def insert_pending(self, version: NewVersion) -> None:
        """Add a PENDING version and its registration task."""

    def set_artifact(self, uid: str, artifact: ArtifactLink, facts: Facts, content_digest: str) -> None:
        """Complete a PENDING version whose files and facts came from a run."""

    def set_run(self, uid: str, run_id: str) -> None:
        """Record the run that a PENDING version's metrics live on."""

    def set_ready(self, uid: str, number: int, time: datetime) -> bool:
        """Number a PENDING version, make it READY and end its task. False: it was no longer PENDING."""

    def set_failed(self, uid: str, reason: str, message: str, time: datetime) -> bool:
        """Make a PENDING version FAILED and end its task; its semantic version is free again."""

    def set_stage(self, uid: str, stage: Stage, *, is_exclusive: bool, time: datetime) -> None:
        """Move it; the revision grows. The database itself refuses a second exclusive holder."""

    def update_notes(self, uid: str, notes: Notes, time: datetime) -> None:
        """Replace what may change; the revision grows."""

    def set_deleted(
        self, uid: str, *, delete_time: datetime | None, purge_time: datetime | None, time: datetime
    ) -> None:
        """Delete or undelete; the revision grows."""


class RegistrationRecords(Protocol):
    """The tasks behind PENDING versions: leased, so that one process at a time works on each."""

    def lease(self, holder: str, *, now: datetime, until: datetime, limit: int) -> Sequence[RegistrationTask]:
        """Take tasks that are due and not leased, the oldest first; at most one for each model at a time."""

    def is_leased_by(self, version_uid: str, holder: str, now: datetime) -> bool:
        """Whether the lease still holds; locks the task until the transaction ends."""

    def keep_lease(self, version_uid: str, holder: str, *, until: datetime) -> bool:
        """Prolong a lease; False when another took it over."""

    def postpone(self, version_uid: str, holder: str, *, next_attempt: datetime, reason: str, message: str) -> None:
        """Give a task back after a failure that may pass."""

    def last_failure(self, version_uid: str) -> tuple[str, str] | None:
        """Reason and message of the last failed attempt of a PENDING version, or None."""

    def hasten(self, version_uid: str, now: datetime) -> None:
        """Make a postponed task due and forget its last failure; one that is leased is left alone."""

    def is_any_due(self, now: datetime) -> bool:
        """Whether `lease` might find something: a cheap look before the write lock is taken."""

    def release(self, node: str) -> None:
        """End every lease of holders of this node (the part of their name before `:`): they are known to be dead."""


class AliasRecords(Protocol):
    """Aliases and their history."""

    def get(self, model_uid: str, alias: str) -> tuple[str, int] | None:
        """Uid and number of the version that the alias points at."""

    def set(self, model_uid: str, alias: str, version_uid: str, number: int) -> None:
        """Point it there."""

    def delete(self, model_uid: str, alias: str) -> None:
        """Remove it."""

    def add_move(self, model_uid: str, move: AliasMove) -> None:
        """Remember a move; its sequence is that of its event."""

    def history(self, model_uid: str, *, alias: str, before: int, limit: int) -> Sequence[AliasMove]:
        """Moves, the newest first, sequences less than `before` only (0: from the newest)."""

    def all(self, model_uid: str) -> Mapping[str, int]:
        """Every alias of a model with its number."""


class TransitionRecords(Protocol):
    """History of the stages."""

    def add(self, model_uid: str, transitions: Sequence[Transition]) -> None:
        """Remember the moves of one change, in their order."""

    def history(
        self, model_uid: str, *, number: int, before: tuple[int, int] | None, limit: int
    ) -> Sequence[tuple[int, Transition]]:
        """Moves with their place in their change, the newest first; `before` is (sequence, place) of the last one seen."""

    def production_history(self, model_uid: str) -> Sequence[Transition]:
        """Every move into or out of production, the oldest first."""


class BundleRecords(Protocol):
    """Bundles: claimed while they are written, committed when every byte is verified."""

    def get(self, uid: str) -> Bundle | None:
        """A committed bundle."""

    def find(self, model_uid: str, manifest_digest: str) -> Bundle | None:
        """The committed bundle of a model with that content."""

    def claim(
        self, claim: BundleClaim, model_uid: str, tenant: str, manifest_digest: str, *, until: datetime
    ) -> BundleClaim:
        """Announce that a bundle is being written, or join those who write the same one.

        DATABASE_BUSY while what an earlier attempt left is being cleared away.
        """

    def keep_claim(self, uid: str, *, until: datetime) -> bool:
        """Say that writing goes on. False: the claim ran out and was cleared away."""

    def commit(self, uid: str, manifest: Manifest, *, uri: str, created_by: str, time: datetime) -> bool:
        """Record the bundle as verified, with its files. False: somebody else did so first, nothing changed."""

    def set_verified(self, uid: str, time: datetime) -> None:
        """Record that its stored bytes were read and hold."""

    def files(self, uid: str, *, after: str, limit: int) -> Sequence[BundleFile]:
        """Files in the order of their paths' UTF-8 bytes, paths greater than `after` only."""

    def file(self, uid: str, path: str) -> BundleFile | None:
        """One file."""

    def lease_abandoned(self, *, now: datetime, until: datetime, limit: int) -> Sequence[BundleClaim]:
        """Claims that ran out, marked so that nobody joins them while they are cleared away."""

    def forget(self, uid: str) -> None:
        """Remove a claim whose objects are gone."""


class RequestRecords(Protocol):
    """Answers by request id."""

    def claim(
        self, key: RequestKey, body_digest: str, *, version_uid: str | None, time: datetime
    ) -> StoredAnswer | None:
        """Take the id; what it already stands for, when it is taken."""

    def find(self, key: RequestKey) -> StoredAnswer | None:
        """What the id stands for."""

    def answer(self, key: RequestKey, answer: bytes) -> None:
        """Store the answer, unless there is one."""

    def forget_before(self, time: datetime) -> None:
        """Drop ids older than this."""


class Journal(Protocol):
    """Audit and outbox: what every mutation writes."""

    def record(self, change: Change) -> int:
        """Write audit entry and event, wake the mirror; the event's sequence. Call it last, after all other locks."""

    def events(self, model_uid: str, *, after: int, until: int) -> Sequence[Event]:
        """A model's events, `after` < sequence <= `until`, in order."""

    def find_sequence(self, version_uid: str, event_type: str) -> int:
        """Sequence of the last event of that type about a version; 0: there is none."""

    def head(self) -> int:
        """Sequence of the newest event; 0: none."""


class MirrorRecords(Protocol):
    """Which models MLflow has to catch up with."""

    def lease(self, holder: str, *, now: datetime, until: datetime, limit: int) -> Sequence[MirrorTask]:
        """Take models that are behind, due and not leased, the longest behind first."""

    def finish(self, model_uid: str, holder: str, sequence: int) -> None:
        """MLflow has every event of the model up to this one."""

    def postpone(self, model_uid: str, holder: str, *, next_attempt: datetime, reason: str) -> None:
        """Give a model back after a failure."""

    def progress(self) -> MirrorProgress:
        """How far MLflow follows."""

    def is_any_due(self, now: datetime) -> bool:
        """Whether `lease` might find something."""

    def release(self, node: str) -> None:
        """End every lease of holders of this node."""


class Transaction(Protocol):
    """What can be done within one transaction."""

    @property
    def models(self) -> ModelRecords: ...
    @property
    def versions(self) -> VersionRecords: ...
    @property
    def registrations(self) -> RegistrationRecords: ...
    @property
    def aliases(self) -> AliasRecords: ...
    @property
    def transitions(self) -> TransitionRecords: ...
    @property
    def bundles(self) -> BundleRecords: ...
    @property
    def requests(self) -> RequestRecords: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def mirror(self) -> MirrorRecords: ...

    def discard(self) -> None:
        """Roll back at the end instead of committing: for `validate_only`."""


class Database(Protocol):
    """Where what is governed lives. Thread-safe."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """A consistent view; nothing may be written."""

    def writing(self) -> AbstractContextManager[Transaction]:
        """Commits when the block ends, rolls back when it raises."""

    def check(self) -> None:
        """Reach the database and find its schema current."""

    def close(self) -> None:
        """Release connections."""
