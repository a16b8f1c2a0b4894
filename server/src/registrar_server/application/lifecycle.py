"""Use cases about stages: move under policy, roll back, remember."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from registrar_server.application.authorization import require_right
from registrar_server.application.governance.approval_standing import use_approval
from registrar_server.application.governance.standing import require_standing, standing_document
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
from registrar_server.domain.policies import FailedGate, MoveTarget, Standing
from registrar_server.domain.values import ByNumber, ModelKey, Stage, VersionRef
from registrar_server.domain.versions import ModelVersion


@dataclass(frozen=True, slots=True)
class StageChanged:
    """The version that moved, those that it displaced, the move's event (0: nothing changed), and what it overrode."""

    version: ModelVersion
    displaced: tuple[ModelVersion, ...]
    sequence: int
    overridden: Sequence[FailedGate] = ()


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """What TransitionStage asks for. `expected_holder`: 0 nobody, None whoever; of several it must be one."""

    ref: VersionRef
    stage: Stage
    comment: str = ""
    expected_holder: int | None = None
    etag: str = ""
    is_validate_only: bool = False
    is_break_glass: bool = False


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """What Rollback asks for. `to_number` 0: the version before."""

    model: ModelKey
    comment: str = ""
    expected_holder: int | None = None
    to_number: int = 0
    is_validate_only: bool = False
    is_break_glass: bool = False


class Lifecycle:
    """Moves versions through their stages, each move in one transaction under the model's lock."""

    def __init__(self, database: Database, mutations: Mutations, verification: Verification) -> None:
        self._database = database
        self._mutations = mutations
        self._verification = verification

    def transition(self, mutation: Mutation[StageChanged], request: MoveRequest) -> bytes:
        """Move a version; who has to leave the target stage is archived in the same transaction."""
        if request.is_break_glass:
            require_right(mutation.caller, Right.BREAK_GLASS, request.ref.model)

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
            target = MoveTarget(stage=request.stage)
            standing = require_standing(transaction, version, target, now, is_break_glass=request.is_break_glass)
            move = _Move(
                mutation,
                request.comment,
                (TransitionKind.REQUESTED, TransitionKind.DISPLACED),
                now,
                standing,
                is_break_glass=request.is_break_glass,
                is_exclusive=_is_exclusive(request.stage) and standing.max_holders == 1,
            )
            return move.make(transaction, version, request.stage, _leaving(holders, standing.max_holders))

        return self._mutations.run(mutation, action, is_validate_only=request.is_validate_only)

    def rollback(self, mutation: Mutation[StageChanged], request: RollbackRequest) -> bytes:
        """Put the version that was in production before back there, after its stored bytes were verified.

        Reading the bytes takes long, so it happens before the transaction; that decides again under the lock and
        accepts only the bundle that was verified. Of several in production, all others leave it.
        """
        if request.is_break_glass:
            require_right(mutation.caller, Right.BREAK_GLASS, request.model)
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
                raise _holder_changed(Stage.PRODUCTION, holders)
            standing = require_standing(
                transaction,
                version,
                MoveTarget(stage=Stage.PRODUCTION),
                now,
                is_break_glass=request.is_break_glass,
                is_rollback=True,
            )
            move = _Move(
                mutation,
                request.comment,
                (TransitionKind.ROLLED_BACK_TO, TransitionKind.ROLLED_BACK_FROM),
                now,
                standing,
                is_break_glass=request.is_break_glass,
                is_exclusive=True,
            )
            others = [holder for holder in holders if holder.uid != version.uid]
            return move.make(transaction, version, Stage.PRODUCTION, others)

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
    """One change of stage with its displacements, history, audit entry and event.

    `kinds` are that of the version which moves, and that of those which it displaces.
    """

    mutation: Mutation[StageChanged]
    comment: str
    kinds: tuple[TransitionKind, TransitionKind]
    time: datetime
    standing: Standing
    is_break_glass: bool
    is_exclusive: bool

    def make(
        self, transaction: Transaction, version: ModelVersion, stage: Stage, displaced: Sequence[ModelVersion]
    ) -> StageChanged:
        """Displace first: the database itself refuses two exclusive holders, even for a moment."""
        kind, displaced_kind = self.kinds
        moves = [self._transition(holder, Stage.ARCHIVED, displaced_kind, version.number) for holder in displaced]
        for holder in displaced:
            transaction.versions.set_stage(holder.uid, Stage.ARCHIVED, is_exclusive=False, time=self.time)
        transaction.versions.set_stage(version.uid, stage, is_exclusive=self.is_exclusive, time=self.time)
        approval_id = self.standing.approval_id
        move = self._transition(version, stage, kind, 0)
        moves.append(replace(move, is_break_glass=self.is_break_glass, approval_id=approval_id))
        sequence = transaction.journal.record(self._change(version, stage, displaced))
        transaction.transitions.add(version.model_uid, [replace(move, sequence=sequence) for move in moves])
        if approval_id:
            use_approval(transaction, approval_id, sequence)
        after = [reread(transaction, holder.uid) for holder in displaced]
        return StageChanged(reread(transaction, version.uid), tuple(after), sequence, self.standing.failed)

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
        is_rollback = self.kinds[0] is TransitionKind.ROLLED_BACK_TO
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
            after={
                "stage": stage.value,
                "archived": numbers,
                **standing_document(self.standing, is_break_glass=self.is_break_glass),
            },
            request_id=self.mutation.request_id,
        )


def _is_exclusive(stage: Stage) -> bool:
    return stage in EXCLUSIVE_STAGES


def _leaving(holders: Sequence[ModelVersion], max_holders: int) -> Sequence[ModelVersion]:
    """Who has to leave a stage so that one more may come: those that have been there longest."""
    by_time = sorted(holders, key=lambda holder: (holder.stage_time, holder.number))
    return by_time[: max(0, len(by_time) + 1 - max_holders)]


def _require_holder(stage: Stage, holders: Sequence[ModelVersion], expected: int | None) -> None:
    numbers = [holder.number for holder in holders] or [0]
    if expected is not None and expected not in numbers:
        raise _holder_changed(stage, holders)


def _holder_changed(stage: Stage, holders: Sequence[ModelVersion]) -> RegistrarError:
    numbers = ", ".join(str(holder.number) for holder in holders)
    who = f"version{'s' if len(holders) > 1 else ''} {numbers}" if holders else "no version"
    holds = "hold" if len(holders) > 1 else "holds"
    return RegistrarError(
        Reason.STAGE_HOLDER_CHANGED,
        f"{who} {holds} {stage.value}",
        metadata={"stage": stage.value, "holder": numbers or "0"},
    )


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
    last = max(holders, key=lambda holder: (holder.stage_time, holder.number), default=None)
    current = last.number if last else 0
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
