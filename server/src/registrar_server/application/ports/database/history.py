"""What was at a moment in the past.

A change has the time at which it was made, and the sequence of its event, which is its place in the order of commits. Clocks
differ and writers wait for each other, so that a later commit may have an earlier time. A model at a moment is
therefore as the last commit left it, of those whose time is at or before the moment: what is read is always what was
once there as a whole.
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
    """Reads of the past: of a model as the event with the sequence `until` left it, which 0 says was before the first."""

    def sequence_at(self, model_uid: str, at: datetime) -> int:
        """Sequence of a model's last event of those at or before a moment; 0: there was none."""

    def version(self, model_uid: str, selector: LastingSelector, *, until: int) -> ModelVersion | None:
        """What was READY, with the stage and the aliases that it has now.

        By number and uid deleted or not; by a semantic version or a range what was not deleted.
        """

    def was_deleted(self, version_uid: str, *, until: int) -> bool:
        """Whether a version was deleted."""

    def holders(self, model_uid: str, stage: Stage, *, until: int) -> Sequence[Transition]:
        """The moves by which those who were in a stage had come there, by number. Not for `Stage.NONE`: all begin there."""

    def transition(self, model_uid: str, number: int, *, until: int) -> Transition | None:
        """The last move of a version; None: it was where it began."""

    def alias_move(self, model_uid: str, alias: str, *, until: int) -> AliasMove | None:
        """The last move of an alias, be it that it was deleted; None: there was none yet."""

    def aliases(self, model_uid: str, number: int, *, until: int) -> Sequence[str]:
        """The aliases that pointed at a version, sorted."""
