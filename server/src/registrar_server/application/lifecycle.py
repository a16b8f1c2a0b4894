"""Use cases about stages: move, roll back, remember."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from registrar_server.application.authorization import require_right
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.database import Change, Database, Transaction
from registrar_server.application.resolution import (
    find_model,
    find_version,
    lock_model,
    require_etag,
    require_usable,
)
from registrar_server.application.verification import Verification
from registrar_server.application.versions import reread
from registrar_server.domain.access import Right, Target
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.lifecycle import (
    ALWAYS,
    EXCLUSIVE_STAGES,
    Period,
    Transition,
    TransitionKind,
    require_legal,
    rollback_candidates,
)
from registrar_server.domain.values import ByNumber, ModelKey, Stage, VersionRef
from registrar_server.domain.versions import ModelVersion


@dataclass(frozen=True, slots=True)
class StageChanged:
    """The version that moved, those that it displaced, and the move's event (0: nothing changed)."""

    version: ModelVersion
    displaced: tuple[ModelVersion, ...]
    sequence: int


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """What TransitionStage asks for. `expected_holder`: 0 nobody, None whoever."""

    ref: VersionRef
    stage: Stage
    comment: str = ""
    expected_holder: int | None = None
    etag: str = ""
    is_validate_only: bool = False


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """What Rollback asks for. `to_number` 0: the version before."""

    model: ModelKey
    comment: str = ""
    expected_holder: int | None = None
    to_number: int = 0
    is_validate_only: bool = False


class Lifecycle:
    """Moves versions through their stages, each move in one transaction under the model's lock."""

    def __init__(self, database: Database, mutations: Mutations, verification: Verification) -> None:
        self._database = database
        self._mutations = mutations
        self._verification = verification

    def transition(self, mutation: Mutation[StageChanged], request: MoveRequest) -> bytes:
        """Move a version; the exclusive holder of the target stage is archived in the same transaction."""

        def action(transaction: Transaction, now: datetime) -> StageChanged:
            model = lock_model(transaction, request.ref.model)
            version = find_version(transaction, request.ref)
            require_usable(version)
            require_etag(request.etag, version.etag)
            holders = transaction.versions.holders(model.uid, request.stage) if _is_exclusive(request.stage) else ()
            _require_holder(request.stage, holders, request.expected_holder)
            if version.stage is request.stage:
                return StageChanged(version, (), 0)
            require_legal(version.stage, request.stage)
            if _is_exclusive(version.stage):
                # Admission knows where it goes to; from where, only what was just locked says.
                require_right(mutation.caller, Right.PROMOTE, request.ref.model, Target(stage=version.stage))
            _require_verified_artifact(version, request.stage)
            move = _Move(mutation, request.comment, TransitionKind.REQUESTED, TransitionKind.DISPLACED, now)
            return move.make(transaction, version, request.stage, holders)

        return self._mutations.run(mutation, action, is_validate_only=request.is_validate_only)

    def rollback(self, mutation: Mutation[StageChanged], request: RollbackRequest) -> bytes:
        """Put the version that was in production before back there, after its stored bytes were verified.

        Reading the bytes takes long, so it happens before the transaction; that decides again under the lock and
        accepts only the bundle that was verified.
        """
        with self._database.reading() as transaction:
            # A replay has nothing left to go back to: it is answered before anything is looked for.
            key = None if request.is_validate_only else mutation.key
            stored = None if key is None else transaction.requests.find(key)
            if stored is not None and stored.answer is not None:
                mutation.require_same_body(stored.body_digest)
                return stored.answer
            find_model(transaction, request.model)
            target, _ = _rollback_target(transaction, request)
        self._verification.verify(target)

        def action(transaction: Transaction, now: datetime) -> StageChanged:
            lock_model(transaction, request.model)
            version, holders = _rollback_target(transaction, request)
            if version.uid != target.uid:
                current = holders[0].number if holders else 0
                raise _holder_changed(Stage.PRODUCTION, current)
            move = _Move(mutation, request.comment, TransitionKind.ROLLED_BACK_TO, TransitionKind.ROLLED_BACK_FROM, now)
            return move.make(transaction, version, Stage.PRODUCTION, holders)

        return self._mutations.run(mutation, action, is_validate_only=request.is_validate_only)

    def history(
        self,
        key: ModelKey,
        *,
        number: int,
        before: tuple[int, int] | None,
        limit: int,
        period: Period = ALWAYS,
    ) -> Sequence[tuple[int, Transition]]:
        """Moves of one version (0: of all) within a period, the newest first, below (sequence, place) `before` only."""
        with self._database.reading() as transaction:
            model = find_model(transaction, key)
            return transaction.transitions.history(model.uid, number=number, before=before, limit=limit, period=period)


@dataclass(frozen=True, slots=True)
class _Move:
    """One change of stage with its displacements, history, audit entry and event."""

    mutation: Mutation[StageChanged]
    comment: str
    kind: TransitionKind
    displaced_kind: TransitionKind
    time: datetime

    def make(
        self, transaction: Transaction, version: ModelVersion, stage: Stage, holders: Sequence[ModelVersion]
    ) -> StageChanged:
        """Displace first: the database itself refuses two exclusive holders, even for a moment."""
        displaced = [holder for holder in holders if holder.uid != version.uid]
        moves = [self._transition(holder, Stage.ARCHIVED, self.displaced_kind, version.number) for holder in displaced]
        for holder in displaced:
            transaction.versions.set_stage(holder.uid, Stage.ARCHIVED, is_exclusive=False, time=self.time)
        transaction.versions.set_stage(version.uid, stage, is_exclusive=_is_exclusive(stage), time=self.time)
        moves.append(self._transition(version, stage, self.kind, 0))
        sequence = transaction.journal.record(self._change(version, stage, displaced))
        transaction.transitions.add(version.model_uid, [replace(move, sequence=sequence) for move in moves])
        after = [reread(transaction, holder.uid) for holder in displaced]
        return StageChanged(reread(transaction, version.uid), tuple(after), sequence)

    def _transition(self, version: ModelVersion, stage: Stage, kind: TransitionKind, caused_by: int) -> Transition:
        return Transition(
            version_uid=version.uid,
            number=version.number,
            from_stage=version.stage,
            to_stage=stage,
            kind=kind,
            actor=self.mutation.caller.actor,
            comment=self.comment,
            time=self.time,
            caused_by=caused_by,
        )

    def _change(self, version: ModelVersion, stage: Stage, displaced: Sequence[ModelVersion]) -> Change:
        is_rollback = self.kind is TransitionKind.ROLLED_BACK_TO
        numbers = [holder.number for holder in displaced]
        return Change(
            action="version.rolled_back" if is_rollback else "version.stage_changed",
            caller=self.mutation.caller,
            time=self.time,
            model=version.model,
            model_uid=version.model_uid,
            version_uid=version.uid,
            number=version.number,
            comment=self.comment,
            before={"stage": version.stage.value, "holders": numbers},
            after={"stage": stage.value, "archived": numbers},
            request_id=self.mutation.request_id,
        )


def _is_exclusive(stage: Stage) -> bool:
    return stage in EXCLUSIVE_STAGES


def _require_holder(stage: Stage, holders: Sequence[ModelVersion], expected: int | None) -> None:
    current = holders[0].number if holders else 0
    if expected is not None and expected != current:
        raise _holder_changed(stage, current)


def _holder_changed(stage: Stage, current: int) -> RegistrarError:
    holder = f"version {current} holds {stage.value}" if current else f"no version holds {stage.value}"
    return RegistrarError(Reason.STAGE_HOLDER_CHANGED, holder, metadata={"stage": stage.value, "holder": str(current)})


def _require_verified_artifact(version: ModelVersion, stage: Stage) -> None:
    if _is_exclusive(stage) and not version.artifact.is_bundle:
        raise RegistrarError(
            Reason.ARTIFACT_UNVERIFIED,
            f"the files of version {version.number} are not held by this registry, so it cannot go to {stage.value}",
            metadata={"version": str(version.number), "stage": stage.value},
        )


def _rollback_target(transaction: Transaction, request: RollbackRequest) -> tuple[ModelVersion, Sequence[ModelVersion]]:
    """The version to go back to, and who is in production now."""
    model = find_model(transaction, request.model)
    holders = transaction.versions.holders(model.uid, Stage.PRODUCTION)
    _require_holder(Stage.PRODUCTION, holders, request.expected_holder)
    current = holders[0].number if holders else 0
    candidates = rollback_candidates(transaction.transitions.production_history(model.uid), current)
    if request.to_number:
        candidates = [number for number in candidates if number == request.to_number]
    for number in candidates:
        version = find_version(transaction, VersionRef(request.model, ByNumber(number)))
        if version.delete_time is None:
            return version, holders
        if request.to_number:
            require_usable(version)
    wanted = f"version {request.to_number} of {request.model.name}" if request.to_number else "any other version"
    raise RegistrarError(
        Reason.NO_PREVIOUS_PRODUCTION,
        f"there is nothing to roll back to: production never held {wanted} before",
        metadata={"model": request.model.name},
    )
