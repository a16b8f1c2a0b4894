"""Whether what policies ask of people has been given, for a move that somebody wants to make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from registrar_server.application.ports.database import Transaction
from registrar_server.domain.approvals import (
    OPEN,
    Approval,
    ApprovalStatus,
    Binding,
    Decision,
    approval_rule,
)
from registrar_server.domain.policies import FailedGate, GateType, MoveTarget, Policy
from registrar_server.domain.versions import ModelVersion


@dataclass(frozen=True, slots=True)
class StandingApproval:
    """An approval, and where it stands now. `void_reason` is empty where it is not VOID."""

    approval: Approval
    status: ApprovalStatus
    void_reason: str = ""

    @classmethod
    def of(cls, approval: Approval, present: Binding, now: datetime) -> StandingApproval:
        """With what is bound now."""
        return cls(approval, approval.status(present, now), approval.void_reason(present))

    @property
    def counts(self) -> bool:
        """Whether it can still be decided or used."""
        return self.status in OPEN


def present_binding(
    transaction: Transaction, version: ModelVersion, target: MoveTarget, in_force: Sequence[Policy] | None = None
) -> Binding:
    """What an approval of the move would be for, if it were asked for now.

    A rollback is a move to the same stage: of the policies all count that cover the stage, also those that let rollbacks be.
    `in_force` None: the policies of the tenant are looked up.
    """
    card = transaction.cards.state(version.uid)
    if in_force is None:
        in_force = transaction.policies.in_force(version.model.tenant)
    name, risk = version.model.name, version.facts.risk_level
    return Binding(
        manifest_digest=version.artifact.manifest_digest,
        card_revision=card.revision if card else 0,
        card_digest=card.digest if card else "",
        policies=tuple(policy.ref for policy in in_force if policy.scope.covers(name, target, risk)),
    )


def approvals_of_move(
    transaction: Transaction, version_uid: str, target: MoveTarget, present: Binding, now: datetime
) -> Sequence[StandingApproval]:
    """Every approval that was asked for a move, the newest first; `present` is what is bound now."""
    asked = (one for one in transaction.approvals.of_version(version_uid) if one.target == target)
    return [StandingApproval.of(one, present, now) for one in reversed(list(asked))]


def approval_standing(
    transaction: Transaction, version: ModelVersion, target: MoveTarget, policies: Sequence[Policy], now: datetime
) -> tuple[Sequence[FailedGate], str]:
    """What is missing of the approvals that the policies ask for, and the id of the approval that counts.

    Nothing and an empty id, where none of them asks.
    """
    asking = [policy for policy in policies if approval_rule(policy) is not None]
    if not asking:
        return (), ""
    present = present_binding(transaction, version, target)
    asked = approvals_of_move(transaction, version.uid, target, present, now)
    for one in asked:
        if one.status is ApprovalStatus.APPROVED:
            return (), one.approval.id
    pending = next((one for one in asked if one.status is ApprovalStatus.PENDING), None)
    last = pending or (asked[0] if asked else None)
    return [gate for policy in asking for gate in _missing(policy, last)], ""


def use_approval(transaction: Transaction, approval_id: str, sequence: int) -> None:
    """End an approval by the move that it was for; `sequence` is that of the move's event."""
    transaction.approvals.use(approval_id, sequence)


def _missing(policy: Policy, last: StandingApproval | None) -> Iterator[FailedGate]:
    """What one policy misses; `last` is the approval that is waited for, or the one that came to nothing."""
    rule = approval_rule(policy)
    if rule is None:
        return
    pending = last.approval if last is not None and last.counts else None
    given = [one.role for one in pending.decisions if one.decision is Decision.APPROVE] if pending else []
    history = _history(last) if last is not None and pending is None else ""
    if rule.is_automatic and pending is None:
        description = f"{history}the registry approves by itself: request it"
        yield FailedGate(GateType.APPROVAL, policy.ref, "approval", description)
    for one in rule.approvers:
        count = one.count - given.count(one.role)
        if count <= 0:
            continue
        needed = f"{count} {'more ' if given else ''}approval{'s' if count > 1 else ''} as {one.role}"
        where = f"approval {pending.id} is PENDING" if pending else "request one"
        description = f"{history}{needed} {'are' if count > 1 else 'is'} needed: {where}"
        yield FailedGate(GateType.APPROVAL, policy.ref, f"approval/{one.role}", description)


def _history(last: StandingApproval) -> str:
    """What became of an approval that no longer counts."""
    because = f": {last.void_reason}" if last.void_reason else ""
    return f"approval {last.approval.id} is {last.status.name}{because}; "
