"""What happened to a model's versions, of every kind, in one list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from registrar.approval_types import Approval, Decision
from registrar.cli.text import ago, columns, shortened
from registrar.review_types import Comment
from registrar.types import AliasMove, Transition
from registrar.values import TransitionKind

_WIDTH = 60
_CAUSES = {
    TransitionKind.ROLLED_BACK_TO: "rolled back",
    TransitionKind.ROLLED_BACK_FROM: "rolled back to version {}",
    TransitionKind.DISPLACED: "displaced by version {}",
}


@dataclass(frozen=True, slots=True)
class _Happening:
    time: datetime
    sequence: int
    version: int | None
    what: str
    actor: str
    why: str


def timeline_table(
    transitions: Iterable[Transition],
    moves: Iterable[AliasMove],
    comments: Iterable[Comment],
    approvals: Iterable[Approval],
    *,
    start_time: datetime | None = None,
    end_time: datetime | None = None,
) -> str:
    """One line a happening, the newest first. What approvals tell of is bounded here; the rest is as it was asked for."""
    happenings = [*map(_transition, transitions), *map(_move, moves), *map(_comment, comments)]
    happenings += [
        happening
        for approval in approvals
        for happening in _approval(approval)
        if (start_time is None or happening.time >= start_time) and (end_time is None or happening.time < end_time)
    ]
    return _table(sorted(happenings, key=lambda one: (one.time, one.sequence), reverse=True))


def _table(happenings: Sequence[_Happening]) -> str:
    if not happenings:
        return "Nothing has happened to its versions yet."
    rows = [("WHEN", "VERSION", "WHAT", "BY", "WHY")]
    rows += [
        (
            ago(one.time),
            "-" if one.version is None else str(one.version),
            one.what,
            one.actor,
            shortened(one.why, _WIDTH),
        )
        for one in happenings
    ]
    return columns(rows, right=(1,))


def _transition(move: Transition) -> _Happening:
    what = f"{move.from_stage} → {move.to_stage}{_mark(move.is_break_glass)}"
    cause = _CAUSES.get(move.kind, "").format(move.caused_by_version)
    why = "; ".join(filter(None, (cause, move.comment)))
    return _Happening(move.transition_time, move.event_sequence, move.version, what, move.actor, why)


def _move(move: AliasMove) -> _Happening:
    if move.to_version is None:
        what = f"@{move.alias} taken away"
    elif move.from_version is None:
        what = f"@{move.alias} set"
    else:
        what = f"@{move.alias} moved here from {move.from_version}"
    version = move.from_version if move.to_version is None else move.to_version
    what += _mark(move.is_break_glass)
    return _Happening(move.move_time, move.event_sequence, version, what, move.actor, move.comment)


def _comment(said: Comment) -> _Happening:
    return _Happening(said.create_time, said.event_sequence, said.version, "comment", said.author, said.text)


def _approval(approval: Approval) -> Iterator[_Happening]:
    asked = f"approval asked for {approval.target}"
    yield _Happening(approval.request_time, 0, approval.version, asked, approval.requested_by, approval.comment)
    for decision in approval.decisions:
        said = "approved" if decision.decision is Decision.APPROVE else "rejected"
        role = f" as {decision.approver_role}" if decision.approver_role else ""
        what = f"{said} for {approval.target}{role}"
        yield _Happening(decision.decide_time, 0, approval.version, what, decision.approver, decision.notes)


def _mark(is_break_glass: bool) -> str:
    return " (break-glass)" if is_break_glass else ""
