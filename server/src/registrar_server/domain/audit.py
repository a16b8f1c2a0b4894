"""Entries of the audit: what each says, letter for letter, and how each holds on to the one before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from registrar_server.domain.canonical import canonical_json
from registrar_server.domain.merkle import leaf_hash

FORMAT = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Outcome(StrEnum):
    """What became of what somebody wanted."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who wanted what, when and why, and what it changed.

    `position` counts the entries of a tenant from 1. `before` and `after` are JSON, as text, so that a number is never
    written otherwise. `reason` says why it was refused. `previous` is the hash of the entry before, empty for the first.
    """

    tenant: str
    position: int
    time: datetime
    actor: str
    roles: tuple[str, ...]
    action: str
    outcome: Outcome
    reason: str
    model: str
    model_uid: str
    version_uid: str
    number: int
    alias: str
    comment: str
    request_id: str
    event_sequence: int
    before: str
    after: str
    previous: str

    @property
    def content(self) -> bytes:
        """The entry as it is hashed and exported: one line of JSON, keys in order, no space that is not needed, UTF-8."""
        document = {
            "action": self.action,
            "actor": self.actor,
            "after": self.after,
            "alias": self.alias,
            "before": self.before,
            "comment": self.comment,
            "event_sequence": self.event_sequence,
            "format": FORMAT,
            "model": self.model,
            "model_uid": self.model_uid,
            "outcome": self.outcome.value,
            "position": self.position,
            "previous": self.previous,
            "reason": self.reason,
            "request_id": self.request_id,
            "roles": list(self.roles),
            "tenant": self.tenant,
            "time_microseconds": (self.time - _EPOCH) // _MICROSECOND,
            "version": self.number,
            "version_uid": self.version_uid,
        }
        return canonical_json(document).encode()

    @property
    def hash(self) -> str:
        """Hash of the entry and, by `previous`, of all before it; its leaf in the Merkle tree. Hex."""
        return leaf_hash(self.content).hex()


@dataclass(frozen=True, slots=True)
class Altered:
    """The first entry that is not as it was written, and how that shows."""

    position: int
    problem: str


def first_altered(entries: Sequence[tuple[AuditEntry, str]], *, position: int, previous: str) -> Iterator[Altered]:
    """The first entry that was altered, removed or moved, if there is one; each comes with the hash recorded for it.

    `position` and `previous` are what the first must have.
    """
    for entry, recorded in entries:
        if entry.position != position:
            yield Altered(position, f"is missing: entry {entry.position} follows entry {position - 1}")
            return
        if entry.previous != previous:
            yield Altered(position, "does not follow the entry that is before it")
            return
        if entry.hash != recorded:
            yield Altered(position, "does not have the content that was recorded")
            return
        position, previous = position + 1, recorded
