"""The tasks behind PENDING versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RegistrationTask:
    """A PENDING version whose turn it is; `attempts` counts this one."""

    version_uid: str
    attempts: int
    run_artifact: str


class RegistrationRecords(Protocol):
    """The tasks behind PENDING versions: leased, so that one process at a time works on each."""

    def lease(self, holder: str, *, now: datetime, until: datetime, limit: int) -> Sequence[RegistrationTask]:
        """Take tasks that are due and not leased, the oldest first; at most one for each model at a time."""

    def is_leased_by(self, version_uid: str, holder: str, now: datetime) -> bool:
        """Whether the lease still holds; locks the task until the transaction ends."""

    def keep_lease(self, version_uid: str, holder: str, *, until: datetime) -> bool:
        """Prolong a lease; False when another took it over."""

    def postpone(self, version_uid: str, holder: str, *, next_attempt: datetime, reason: str, message: str) -> None:
        """Give a task back after a failure that may pass."""

    def last_failure(self, version_uid: str) -> tuple[str, str] | None:
        """Reason and message of the last failed attempt of a PENDING version, or None."""

    def hasten(self, version_uid: str, now: datetime) -> None:
        """Make a postponed task due and forget its last failure; one that is leased is left alone."""

    def is_any_due(self, now: datetime) -> bool:
        """Whether `lease` might find something: a cheap look before the write lock is taken."""

    def release(self, node: str) -> None:
        """End every lease of holders of this node (the part of their name before `:`): they are known to be dead."""
