"""What was at a moment in the past.

Changes have the times that were taken when they were made, and the order in which they were committed. A moment is after
the changes whose times are at or before it; of those, the last committed counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

from registrar_server.domain.lifecycle import AliasMove, Transition
from registrar_server.domain.values import ByNumber, BySemanticRange, BySemanticVersion, ByUid, Stage
from registrar_server.domain.versions import ModelVersion

LastingSelector: TypeAlias = ByNumber | ByUid | BySemanticVersion | BySemanticRange
"""Selects by what never changes about a version, and not by what points at it."""


class HistoryRecords(Protocol):
    """Reads of the past. A version comes as it is now, with the stage and the aliases that it has now."""

    def version(self, model_uid: str, selector: LastingSelector, at: datetime) -> ModelVersion | None:
        """What was READY then. By number and uid deleted or not; by a semantic version or a range not deleted then."""

    def was_deleted(self, version_uid: str, at: datetime) -> bool:
        """Whether a version was deleted then."""

    def holders(self, model_uid: str, stage: Stage, at: datetime) -> Sequence[Transition]:
        """The moves by which those who were in a stage had come there, by number. Not for `Stage.NONE`, where all begin."""

    def transition(self, model_uid: str, number: int, at: datetime) -> Transition | None:
        """The last move of a version by then; None: it was where it began."""

    def alias_move(self, model_uid: str, alias: str, at: datetime) -> AliasMove | None:
        """The last move of an alias by then, be it that it was deleted; None: there was none yet."""

    def aliases(self, model_uid: str, number: int, at: datetime) -> Sequence[str]:
        """The aliases that pointed at a version, sorted."""
