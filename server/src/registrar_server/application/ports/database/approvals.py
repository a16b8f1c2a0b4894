"""Records of approvals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from registrar_server.domain.access import EVERY_NAME, NamePattern
from registrar_server.domain.approvals import Approval, ApprovalDecision


@dataclass(frozen=True, slots=True)
class ApprovalFilter:
    """Which approvals of a tenant are listed. Empty, or 0: all."""

    tenant: str
    readable: Sequence[NamePattern] = EVERY_NAME
    model: str = ""
    number: int = 0
    awaiting_role: str = ""
    is_open_only: bool = False


class ApprovalRecords(Protocol):
    """Approvals. What was asked for and what was decided is only added to; writers hold the model's lock.

    Each write also renews the summary that the version shows: that of the approval of it that was asked for last.
    """

    def add(self, approval: Approval) -> None:
        """Add a request, with the decisions that it begins with."""

    def add_decision(self, approval_id: str, decision: ApprovalDecision) -> None:
        """Add what somebody decided; its sequence is that of its event."""

    def withdraw(self, approval_id: str, sequence: int) -> None:
        """End it, by the event of that sequence."""

    def use(self, approval_id: str, sequence: int) -> None:
        """End it, by the move with the event of that sequence."""

    def get(self, model_uid: str, approval_id: str) -> Approval | None:
        """The approval of that model."""

    def of_version(self, version_uid: str, until_sequence: int | None = None) -> Sequence[Approval]:
        """All of a version, the oldest first; as the event `until_sequence` left them (None: as they are)."""

    def list(self, wanted: ApprovalFilter, *, before: int, limit: int) -> Sequence[Approval]:
        """Approvals of living models, the newest first, sequences less than `before` only (0: from the newest)."""
