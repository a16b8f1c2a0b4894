"""The stages a version moves through: which moves are legal, and what a rollback goes back to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from registrar_server.domain.errors import FailedPrecondition, Reason, RegistrarError
from registrar_server.domain.values import Stage

LEGAL_MOVES: Mapping[Stage, tuple[Stage, ...]] = {
    Stage.NONE: (Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED),
    Stage.STAGING: (Stage.NONE, Stage.PRODUCTION, Stage.ARCHIVED),
    Stage.PRODUCTION: (Stage.STAGING, Stage.ARCHIVED),
    Stage.ARCHIVED: (Stage.NONE, Stage.STAGING),
}
"""The state machine. Back to production from the archive leads through staging, or through a rollback."""

EXCLUSIVE_STAGES = frozenset({Stage.STAGING, Stage.PRODUCTION})
"""Stages that one version of a model holds at a time; the next one displaces it."""

RESERVED_ALIASES = frozenset({*(stage.value for stage in Stage), "latest"})
"""Names that MLflow or the mirror of the stages gives a meaning to."""


class TransitionKind(StrEnum):
    """How a transition came about."""

    REQUESTED = "requested"
    DISPLACED = "displaced"
    ROLLED_BACK_TO = "rolled_back_to"
    ROLLED_BACK_FROM = "rolled_back_from"


@dataclass(frozen=True, slots=True)
class Transition:
    """One move of a version from stage to stage."""

    version_uid: str
    number: int
    from_stage: Stage
    to_stage: Stage
    kind: TransitionKind
    actor: str
    comment: str
    time: datetime
    caused_by: int = 0
    sequence: int = 0
    is_break_glass: bool = False
    """Whether it was made against a policy, in an emergency."""
    approval_id: str = ""
    """Of the approval that it used; empty: none."""


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One change of an alias; number 0 stands for "no such alias"."""

    alias: str
    from_number: int
    to_number: int
    actor: str
    comment: str
    time: datetime
    sequence: int = 0
    is_break_glass: bool = False
    approval_id: str = ""
    """See `Transition`."""


@dataclass(frozen=True, slots=True)
class Period:
    """Moments from `start` on and before `end`; None: without that end."""

    start: datetime | None = None
    end: datetime | None = None


ALWAYS = Period()


def require_legal(from_stage: Stage, to_stage: Stage) -> None:
    """Refuse a move that the state machine does not have, naming those that it has."""
    legal = LEGAL_MOVES[from_stage]
    if to_stage not in legal:
        names = ", ".join(stage.value for stage in legal)
        raise RegistrarError(
            Reason.ILLEGAL_TRANSITION,
            f"a version in stage {from_stage.value} cannot go to {to_stage.value}; it can go to: {names}",
            metadata={"from": from_stage.value, "to": to_stage.value, "legal": names},
            preconditions=[FailedPrecondition("LEGAL_TRANSITION", to_stage.value, f"legal from here: {names}")],
        )


def is_reserved_alias(alias: str) -> bool:
    """Whether MLflow or the stage mirror owns the name: `latest`, stages, `v` and digits."""
    lowered = alias.lower()
    return lowered in RESERVED_ALIASES or (lowered[:1] == "v" and lowered[1:].isdigit())


def production_line(history: Sequence[Transition]) -> list[int]:
    """The versions that production went through, oldest first, the current one last, rolled-back ones taken out.

    `history` is every transition into or out of production of one model, oldest first. A promotion adds to the
    line; a rollback takes off everything above the version that it went back to. So two rollbacks in a row go
    back two versions, instead of returning to the one that was just found bad.
    """
    line: list[int] = []
    for move in history:
        if move.to_stage is not Stage.PRODUCTION:
            continue
        if move.kind is TransitionKind.ROLLED_BACK_TO and move.number in line:
            while line[-1] != move.number:
                line.pop()
        else:
            line.append(move.number)
    return line


def rollback_candidates(history: Sequence[Transition], current: int) -> list[int]:
    """Numbers to go back to, the nearest first. `current` is 0 when nothing is in production."""
    line = production_line(history)
    candidates: list[int] = []
    for number in reversed(line):
        if number != current and number not in candidates:
            candidates.append(number)
    return candidates
