"""Records of policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from registrar_server.domain.policies import Policy


class PolicyRecords(Protocol):
    """Policies: one record for each revision. A tenant is a name, or EVERYWHERE.

    Whoever changes a policy locks (`lock`) before it reads what it changes; whoever moves a version holds (`hold`) before it
    reads what is in force. So a move obeys every policy that was committed before it, and one that is committed after it
    comes after it in the order of events, too.
    """

    def hold(self) -> None:
        """Let nobody change a policy, of whatever tenant, until this transaction ends. After the model's lock."""

    def lock(self) -> None:
        """Let nobody else change or hold policies until this transaction ends. Before the journal's locks."""

    def in_force(self, tenant: str, at_sequence: int | None = None) -> Sequence[Policy]:
        """Living policies of a tenant and of EVERYWHERE, by tenant and name.

        With a sequence those that were in force after that event, as they stood then.
        """

    def get(self, tenant: str, name: str, revision: int = 0) -> Policy | None:
        """A revision, also of a deleted policy; 0: the last one."""

    def list(self, tenant: str, *, after: str, limit: int, is_deleted_shown: bool) -> Sequence[Policy]:
        """Last revisions of exactly that tenant's policies by name, names greater than `after` only."""

    def revisions(self, tenant: str, name: str, *, before: int, limit: int) -> Sequence[Policy]:
        """Revisions, the newest first, less than `before` only (0: from the newest)."""

    def add(self, policy: Policy, sequence: int) -> None:
        """Add a revision, which ends the one before; `sequence` is that of its event."""

    def delete(self, policy: Policy, sequence: int) -> None:
        """End a policy whose last revision this is, with its `delete_time`."""
