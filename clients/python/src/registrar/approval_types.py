"""Approvals of moves. All of it is frozen; times are aware datetimes in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from registrar.policy_types import ApproverRequirement, FailedGate, PolicyRef
from registrar.reference import ModelRef
from registrar.values import ApprovalStatus, Stage


class Decision(StrEnum):
    """What an approver can decide. A rejection ends the approval."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class ApprovalDecision:
    """What one approver decided, in the name of which role.

    `approver` is `registrar` where the registry approved by itself, as a policy said. `method` is how the approver said
    who it is: `oidc`, `token`, `certificate`, `none`.
    """

    approver: str
    approver_role: str
    decision: Decision
    notes: str
    decide_time: datetime
    method: str


@dataclass(frozen=True, slots=True)
class Approval:
    """A request that a version may go to `stage`, or `alias` be pointed at it, and what was decided about it.

    It counts for exactly the files, the card and the policies whose digests it holds, and for one move. `status` is as of
    the time of reading; `void_reason` says what changed. `awaiting` are those who must still approve. An `expire_time` of
    None: never, or not approved yet. `used_event_sequence` is that of the move that used it; None: it was not used.
    """

    id: str
    tenant: str
    model: str
    version: int
    version_uid: str
    stage: Stage | None
    alias: str
    status: ApprovalStatus
    void_reason: str
    requested_by: str
    request_time: datetime
    comment: str
    decisions: Sequence[ApprovalDecision]
    awaiting: Sequence[ApproverRequirement]
    manifest_digest: str
    card_digest: str
    policies: Sequence[PolicyRef]
    expire_time: datetime | None
    used_event_sequence: int | None

    @property
    def model_ref(self) -> ModelRef:
        """A reference to its model."""
        return ModelRef(self.model, self.tenant)

    @property
    def target(self) -> str:
        """Where the version is to go: `production`, `@champion`."""
        return f"@{self.alias}" if self.stage is None else str(self.stage)


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """Outcome of asking for an approval, and what the version does not meet yet, approvals aside."""

    approval: Approval
    failed_gates: Sequence[FailedGate]
    event_sequence: int
