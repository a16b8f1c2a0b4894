"""Records of aliases and of stages, with their history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from registrar_server.domain.lifecycle import ALWAYS, AliasMove, Period, Transition


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

    def history(
        self, model_uid: str, *, alias: str, before: int, limit: int, period: Period = ALWAYS
    ) -> Sequence[AliasMove]:
        """Moves within a period, the newest first, sequences less than `before` only (0: from the newest)."""

    def all(self, model_uid: str) -> Mapping[str, int]:
        """Every alias of a model with its number."""


class TransitionRecords(Protocol):
    """History of the stages."""

    def add(self, model_uid: str, transitions: Sequence[Transition]) -> None:
        """Remember the moves of one change, in their order."""

    def history(
        self,
        model_uid: str,
        *,
        number: int,
        before: tuple[int, int] | None,
        limit: int,
        period: Period = ALWAYS,
    ) -> Sequence[tuple[int, Transition]]:
        """Moves within a period with their place in their change, the newest first.

        `before` is (sequence, place) of the last one seen.
        """

    def production_history(self, model_uid: str) -> Sequence[Transition]:
        """Every move into or out of production, the oldest first."""
