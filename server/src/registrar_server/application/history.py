"""Use cases about the past: what a reference named at a moment, and who decided so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database, Transaction
from registrar_server.application.resolution import find_model, several_holders, version_absent, version_deleted
from registrar_server.application.versions import side_by_side
from registrar_server.domain.approvals import ApprovalSummary
from registrar_server.domain.comparison import Comparison
from registrar_server.domain.errors import InvalidRequest, RegistrarError, Violation
from registrar_server.domain.lifecycle import AliasMove, Transition
from registrar_server.domain.models import Model
from registrar_server.domain.values import ByAlias, ByNumber, ByStage, Stage, VersionRef
from registrar_server.domain.versions import ModelVersion


@dataclass(frozen=True, slots=True)
class PastVersion:
    """What a reference named at a moment.

    The version's stage, with its time, and its aliases are those of then; all else about it is as it is now.
    """

    version: ModelVersion
    at: datetime
    transition: Transition | None
    """The move into the stage that it was in; None: it had not moved."""
    alias_move: AliasMove | None
    """The move of the alias that named it; None: something else did."""
    is_deleted: bool
    """Whether it was deleted then."""


class History:
    """Reads the past. INVALID_FIELD `at_time` for what is still to come."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, ref: VersionRef, at: datetime) -> PastVersion:
        """The version that a reference named. When there was none, the error's metadata holds `at_time`."""
        self._require_past(at)
        with self._database.reading() as transaction:
            model = find_model(transaction, ref.model)
            return _Moment(transaction, model, at).resolve(ref)

    def compare(self, refs: Sequence[VersionRef], at: datetime) -> Comparison:
        """Metrics side by side; the references named different versions of one model, not deleted then."""
        self._require_past(at)
        with self._database.reading() as transaction:
            model = find_model(transaction, refs[0].model)
            moment = _Moment(transaction, model, at)
            found = [moment.resolve(ref) for ref in refs]
        for one in found:
            if one.is_deleted:
                raise _then(version_deleted(one.version), at)
        return side_by_side([one.version for one in found], model)

    def _require_past(self, at: datetime) -> None:
        if at > self._clock.now():
            raise InvalidRequest([Violation("at_time", "must not be in the future")])


class _Moment:
    """A model as it was."""

    def __init__(self, transaction: Transaction, model: Model, at: datetime) -> None:
        self._transaction = transaction
        self._history = transaction.history
        self._model = model
        self._at = at
        self._until = transaction.history.sequence_at(model.uid, at)

    def resolve(self, ref: VersionRef) -> PastVersion:
        """What a reference named."""
        version, alias_move = self._find(ref)
        if version is None:
            raise _then(version_absent(ref), self._at)
        transition = self._history.transition(self._model.uid, version.number, until=self._until)
        was = replace(
            version,
            stage=transition.to_stage if transition else Stage.NONE,
            stage_time=transition.time if transition else version.create_time,
            aliases=tuple(self._history.aliases(self._model.uid, version.number, until=self._until)),
            approval=self._approval(version),
        )
        is_deleted = self._history.was_deleted(version.uid, until=self._until)
        return PastVersion(was, self._at, transition, alias_move, is_deleted)

    def _approval(self, version: ModelVersion) -> ApprovalSummary | None:
        if version.approval is None:
            return None
        asked = self._transaction.approvals.of_version(version.uid, self._until)
        return asked[-1].summary if asked else None

    def _find(self, ref: VersionRef) -> tuple[ModelVersion | None, AliasMove | None]:
        """The version, still as it is now, and the move of the alias that named it."""
        match ref.selector:
            case ByAlias(alias):
                move = self._history.alias_move(self._model.uid, alias, until=self._until)
                return self._numbered(move.to_number if move else 0), move
            case ByStage(stage):
                holders = self._history.holders(self._model.uid, stage, until=self._until)
                if len(holders) > 1:
                    numbers = [holder.number for holder in holders]
                    raise _then(several_holders(ref.selector, numbers), self._at)
                return self._numbered(holders[0].number if holders else 0), None
            case selector:
                return self._history.version(self._model.uid, selector, until=self._until), None

    def _numbered(self, number: int) -> ModelVersion | None:
        """Deleted since or not; no version has the number 0."""
        return self._history.version(self._model.uid, ByNumber(number), until=self._until)


def _then(error: RegistrarError, at: datetime) -> RegistrarError:
    """The same refusal, of a moment in the past."""
    moment = at.isoformat().replace("+00:00", "Z")
    return RegistrarError(
        error.reason, f"{error.message}, as of {moment}", metadata={**error.metadata, "at_time": moment}
    )
