"""What the registry answers about its audit. All of it is frozen; times are aware datetimes in UTC, hashes are hex."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from registrar.audit.merkle import is_consistent, is_included


class AuditOutcome(StrEnum):
    """What became of what somebody wanted."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One entry of a tenant's audit: who wanted what, when and why, and what it changed."""

    tenant: str
    """Whose audit it is in; EVERYWHERE: that of what concerns all tenants."""
    position: int
    """Place in it, from 1, without gaps."""
    time: datetime
    actor: str
    roles: Sequence[str]
    """What the actor had in the tenant then."""
    action: str
    """`version.registered`, `version.stage_changed`, `alias.moved`, `role_binding.created`, …"""
    outcome: AuditOutcome
    reason: str
    """Why it was refused: a value of `registrar.v1.ErrorReason` without its prefix; empty: it was not."""
    model: str
    """Empty: it is about none."""
    version: int | None
    """None: it is about none, or about one that has no number."""
    version_uid: str
    alias: str
    comment: str
    """Why, in the actor's words."""
    request_id: str
    event_sequence: int | None
    """Of the event that it made; None: it made none."""
    before: str
    """A JSON object, or empty."""
    after: str
    content: bytes
    """The entry as it is hashed and exported: one line of JSON, without its end."""
    hash: str
    """Of the content, as it was recorded: the entry's leaf in the Merkle tree."""


@dataclass(frozen=True, slots=True)
class AuditHead:
    """How far an audit goes. Whoever keeps one can prove later that nothing up to there was changed."""

    tenant: str
    tree_size: int
    """Entries."""
    root_hash: str
    """Root of the Merkle tree over them (RFC 9162)."""
    last_hash: str
    """Of the last entry; empty: there is none, or it is not known."""
    checkpoint: str = ""
    """The head as the registry signed it (https://c2sp.org/tlog-checkpoint); empty: it did not."""


@dataclass(frozen=True, slots=True)
class AuditProof:
    """That an entry is in a tree, or that a tree begins with an earlier one: either `position` or `earlier` is there."""

    position: int | None
    earlier: int | None
    """Entries of the earlier tree."""
    tree_size: int
    root_hash: str
    claimed_hash: str
    """Of the entry, or the root of the earlier tree."""
    hashes: Sequence[str]
    """In the order of RFC 9162."""

    @property
    def is_valid(self) -> bool:
        """Whether the hashes lead from what is claimed to the root. Compare both with what you kept, too."""
        try:
            claimed, root = bytes.fromhex(self.claimed_hash), bytes.fromhex(self.root_hash)
            hashes = [bytes.fromhex(hash_) for hash_ in self.hashes]
        except ValueError:
            return False
        if self.position is not None:
            return is_included(claimed, self.position - 1, self.tree_size, hashes, root)
        return self.earlier is not None and is_consistent(self.earlier, claimed, self.tree_size, root, hashes)


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """An archive of evidence that was written."""

    path: Path
    tree_size: int
    """Entries of the tree that it is about: with this an export gives the same bytes again."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """Whether an audit is as it was written."""

    is_intact: bool
    head: AuditHead
    """By what was read, up to the first entry that is wrong."""
    altered_position: int | None
    """The first entry that was altered, removed, added or moved; None: there is none, or it cannot be told which."""
    problem: str
    """How that shows, for people; empty: it is intact."""

    def __str__(self) -> str:
        if self.is_intact:
            return f"the audit of {self.head.tenant} is intact: {self.head.tree_size} entries"
        what = "" if self.altered_position is None else f"entry {self.altered_position} of "
        return f"{what}the audit of {self.head.tenant} {self.problem}"
