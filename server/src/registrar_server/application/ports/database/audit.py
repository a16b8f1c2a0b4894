"""Records of the audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from registrar_server.domain.audit import AuditEntry, Outcome


@dataclass(frozen=True, slots=True)
class AuditHead:
    """How far a tenant's audit goes: entries, the last one's hash in hex, the Merkle tree's peaks and root."""

    size: int
    hash: str
    peaks: tuple[bytes, ...]
    root: bytes


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted; what is empty asks for nothing. `start_time` <= time < `end_time`."""

    model: str = ""
    number: int = 0
    actor: str = ""
    action: str = ""
    outcome: Outcome | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None


EVERY_ENTRY = AuditFilter()


class AuditRecords(Protocol):
    """The audit of each tenant, which only grows. Entries come as they stand in the database, altered or not."""

    def head(self, tenant: str) -> AuditHead:
        """How far it goes."""

    def entries(
        self, tenant: str, *, wanted: AuditFilter, after: int, until: int, limit: int
    ) -> Sequence[tuple[AuditEntry, str]]:
        """Entries with the hashes recorded for them, the oldest first, after < position <= until (0: to the end)."""

    def latest(self, tenant: str, *, wanted: AuditFilter, before: int, limit: int) -> Sequence[tuple[AuditEntry, str]]:
        """The same, the newest first, positions below `before` only (0: from the newest)."""

    def reach(self, tenant: str, size: int) -> tuple[int, datetime]:
        """How far the first `size` entries, at least one, go: sequence of the last event in them (0: none), time of the last."""

    def node(self, tenant: str, level: int, number: int) -> bytes:
        """The hash of a complete node of the Merkle tree; empty: it is not there."""
