"""Approvals: who must say yes to a move, who has, and whether that still counts.

An approval is for exactly what it was asked for: its `Binding`. What it was asked for and what was decided are kept; where
it stands is worked out from them, from what is bound now, and from the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from registrar_server.domain.errors import InvalidRequest, Reason, RegistrarError, Violation
from registrar_server.domain.policies import ApprovalRule, ApproverRequirement, MoveTarget, Policy, PolicyRef
from registrar_server.domain.values import ModelKey

REGISTRY = "registrar"
"""Who decides where a policy says that the registry does."""


class ApprovalStatus(StrEnum):
    """Where an approval stands."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    VOID = "void"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    USED = "used"


OPEN = (ApprovalStatus.PENDING, ApprovalStatus.APPROVED)
"""What can still be decided or used."""


class Decision(StrEnum):
    """What an approver can decide."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class ApprovalDecision:
    """What one approver decided. `role` is empty where the registry itself did."""

    approver: str
    role: str
    decision: Decision
    notes: str
    time: datetime
    method: str
    """How the approver said who it is: `oidc`, `token`, `certificate`, `none`."""
    sequence: int = 0
    """Of its event."""


@dataclass(frozen=True, slots=True)
class ApprovalSummary:
    """An approval in short, as of what happened to it last. `time` None: nobody has approved."""

    id: str
    status: ApprovalStatus
    approved_by: tuple[str, ...] = ()
    time: datetime | None = None
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What the approval rules of all policies that cover a move come to. `valid_for` None: until it is used.

    A decision in a role counts for every policy that asks for the role. `automatic` are the policies by which the registry
    decides itself.
    """

    approvers: tuple[ApproverRequirement, ...] = ()
    is_ordered: bool = False
    is_four_eyes: bool = False
    is_people_only: bool = False
    valid_for: timedelta | None = None
    automatic: tuple[str, ...] = ()

    @classmethod
    def of(cls, policies: Sequence[Policy]) -> Requirements | None:
        """Of policies in their order; None: none of them asks for an approval."""
        asking = [(policy.name, rule) for policy in policies if (rule := approval_rule(policy)) is not None]
        if not asking:
            return None
        rules = [rule for _, rule in asking]
        counts: dict[str, int] = {}
        for one in (approver for rule in rules for approver in rule.approvers):
            counts[one.role] = max(counts.get(one.role, 0), one.count)
        return cls(
            approvers=tuple(ApproverRequirement(role, count) for role, count in counts.items()),
            is_ordered=any(rule.is_ordered for rule in rules),
            is_four_eyes=any(rule.is_four_eyes for rule in rules),
            is_people_only=any(rule.is_people_only for rule in rules),
            valid_for=min((rule.valid_for for rule in rules if rule.valid_for is not None), default=None),
            automatic=tuple(name for name, rule in asking if rule.is_automatic),
        )

    def awaiting(self, decisions: Iterable[ApprovalDecision]) -> tuple[ApproverRequirement, ...]:
        """Who must still approve, in order."""
        given = [one.role for one in decisions if one.decision is Decision.APPROVE]
        missing = (replace(one, count=one.count - given.count(one.role)) for one in self.approvers)
        return tuple(one for one in missing if one.count > 0)


@dataclass(frozen=True, slots=True)
class Binding:
    """What an approval is for. Revision 0 and an empty digest: there is no card; an empty manifest digest: no bundle."""

    manifest_digest: str
    card_revision: int
    card_digest: str
    policies: tuple[PolicyRef, ...]

    def changes_to(self, present: Binding) -> Sequence[str]:
        """What is not as it was, in words; nothing: all is."""
        return tuple(self._changes_to(present))

    def _changes_to(self, present: Binding) -> Iterator[str]:
        if present.manifest_digest != self.manifest_digest:
            yield f"the files are {present.manifest_digest or 'gone'}; asked was {self.manifest_digest or 'without any'}"
        if present.card_digest != self.card_digest:
            now = f"at revision {present.card_revision}" if present.card_revision else "gone"
            asked = f"revision {self.card_revision}" if self.card_revision else "without one"
            yield f"the model card is {now}; asked was {asked}"
        yield from _policy_changes(self.policies, present.policies)


@dataclass(frozen=True, slots=True)
class Approval:
    """A request that a version may go somewhere, and what was decided about it."""

    id: str
    model: ModelKey
    model_uid: str
    version_uid: str
    number: int
    target: MoveTarget
    requested_by: str
    request_time: datetime
    comment: str
    binding: Binding
    requirements: Requirements
    sequence: int = 0
    """Of the event of the request."""
    decisions: tuple[ApprovalDecision, ...] = ()
    withdrawn_sequence: int = 0
    """Of the event by which it was withdrawn; 0: it was not."""
    used_sequence: int = 0
    """Of the event of the move that used it; 0: none did."""

    @property
    def stored_status(self) -> ApprovalStatus:
        """Where it stood when something happened to it last: PENDING, APPROVED, REJECTED, WITHDRAWN or USED."""
        if self.used_sequence:
            return ApprovalStatus.USED
        if self.withdrawn_sequence:
            return ApprovalStatus.WITHDRAWN
        if any(one.decision is Decision.REJECT for one in self.decisions):
            return ApprovalStatus.REJECTED
        return ApprovalStatus.PENDING if self.requirements.awaiting(self.decisions) else ApprovalStatus.APPROVED

    @property
    def is_open(self) -> bool:
        """Whether it can still be decided or used, if nothing else has changed."""
        return self.stored_status in OPEN

    @property
    def awaiting(self) -> tuple[ApproverRequirement, ...]:
        """Who must still approve, in order; nobody, where it is not PENDING."""
        is_pending = self.stored_status is ApprovalStatus.PENDING
        return self.requirements.awaiting(self.decisions) if is_pending else ()

    @property
    def expire_time(self) -> datetime | None:
        """When it stops counting; None: never, or it is not approved."""
        valid_for = self.requirements.valid_for
        if valid_for is None or self.stored_status is not ApprovalStatus.APPROVED:
            return None
        return max((one.time for one in self.decisions), default=self.request_time) + valid_for

    @property
    def summary(self) -> ApprovalSummary:
        """In short."""
        approvals = [one for one in self.decisions if one.decision is Decision.APPROVE]
        last = approvals[-1] if approvals else None
        return ApprovalSummary(
            id=self.id,
            status=self.stored_status,
            approved_by=tuple(one.approver for one in approvals),
            time=last.time if last else None,
            notes=last.notes if last else "",
        )

    def status(self, present: Binding, now: datetime) -> ApprovalStatus:
        """Where it stands, with what is bound now."""
        stored = self.stored_status
        if stored not in OPEN:
            return stored
        if self.binding.changes_to(present):
            return ApprovalStatus.VOID
        expire_time = self.expire_time
        return ApprovalStatus.EXPIRED if expire_time is not None and expire_time <= now else stored

    def void_reason(self, present: Binding) -> str:
        """Why it is VOID, for people; empty: it is not."""
        return "; ".join(self.binding.changes_to(present)) if self.is_open else ""

    def decided(self, decision: ApprovalDecision, *, author: str, present: Binding) -> Approval:
        """The approval with one decision more; `author` registered the version.

        INVALID_FIELD, APPROVAL_CLOSED, PEOPLE_ONLY, FOUR_EYES, APPROVAL_OUT_OF_ORDER, DECIDED_BEFORE. To reject is open to
        all whose turn has come, whoever has decided before: who approved takes that back.
        """
        status = self.status(present, decision.time)
        if status not in OPEN:
            raise self.closed(status)
        self._require_decider(decision, author)
        self._require_turn(decision.role)
        if decision.decision is Decision.APPROVE:
            self._require_place(decision, status)
        return replace(self, decisions=(*self.decisions, decision))

    def closed(self, status: ApprovalStatus) -> RegistrarError:
        """That nothing can be done to it any more."""
        return self._refused(Reason.APPROVAL_CLOSED, f"approval {self.id} is {status.name}", status=status.name)

    def _require_decider(self, decision: ApprovalDecision, author: str) -> None:
        roles = [one.role for one in self.requirements.approvers]
        if decision.role not in roles:
            wanted = f"must be one of those that are asked: {', '.join(roles)}" if roles else "nobody is asked"
            raise InvalidRequest([Violation("approver_role", wanted)])
        if self.requirements.is_people_only and decision.method == "token":
            raise self._refused(Reason.PEOPLE_ONLY, "people must decide, and this is an API token")
        if self.requirements.is_four_eyes and decision.approver in (author, self.requested_by):
            did = "registered the version" if decision.approver == author else "asked for the approval"
            raise self._refused(Reason.FOUR_EYES, f"{decision.approver} {did}, so somebody else must decide")

    def _require_turn(self, role: str) -> None:
        roles = [one.role for one in self.requirements.approvers]
        first = next((one.role for one in self.awaiting), role)
        if self.requirements.is_ordered and roles.index(first) < roles.index(role):
            raise self._refused(Reason.APPROVAL_OUT_OF_ORDER, f"{first} must decide first", awaiting=first)

    def _require_place(self, decision: ApprovalDecision, status: ApprovalStatus) -> None:
        if any(one.approver == decision.approver for one in self.decisions):
            raise self._refused(Reason.DECIDED_BEFORE, f"{decision.approver} has decided already, and counts once")
        if all(one.role != decision.role for one in self.awaiting):
            said = f"all that is asked of {decision.role} is said"
            raise self._refused(Reason.APPROVAL_CLOSED, said, status=status.name)

    def _refused(self, reason: Reason, message: str, **metadata: str) -> RegistrarError:
        return RegistrarError(reason, message, metadata={"approval_id": self.id, **metadata})


def approval_rule(policy: Policy) -> ApprovalRule | None:
    """The rule of a policy that asks for an approval; None: it asks for none."""
    rule = policy.rules.approval
    return rule if rule is not None and (rule.approvers or rule.is_automatic) else None


def _policy_changes(asked: Sequence[PolicyRef], present: Sequence[PolicyRef]) -> Iterator[str]:
    before = {(ref.tenant, ref.name): ref for ref in asked}
    after = {(ref.tenant, ref.name): ref for ref in present}
    for key, ref in before.items():
        if key not in after:
            yield f"policy {ref.name} no longer covers the move; asked was revision {ref.revision}"
        elif after[key].digest != ref.digest:
            yield f"policy {ref.name} is at revision {after[key].revision}; asked was revision {ref.revision}"
    yield from (f"a policy was added: {ref.name}" for key, ref in after.items() if key not in before)
