"""Records of how far each tenant's audit has been exported to the object store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AuditExport:
    """How far an audit is exported: `position` entries, whose last one has that hash and whose tree that root, in hex.

    `target` is how far the export under way goes. It is written down before the first object is, so that a repetition
    writes the same objects. `problem` says why the exports of this tenant stand still; empty: they do not.
    """

    tenant: str
    position: int
    last_hash: str
    root: str
    target: int
    problem: str = ""


class AuditExportRecords(Protocol):
    """One row for each tenant that was exported. Leases keep replicas apart."""

    def get(self, tenant: str) -> AuditExport | None:
        """How far a tenant is; None: nothing was exported yet."""

    def due(self, now: datetime) -> Sequence[str]:
        """Tenants, the one of all tenants among them, whose audit is not what was exported, and that nobody works on."""

    def lease(self, tenant: str, holder: str, *, now: datetime, until: datetime) -> AuditExport | None:
        """Take the export of a tenant, or take up the one that was broken off; None: somebody else has it."""

    def finish(self, done: AuditExport, holder: str, *, now: datetime, next_attempt: datetime) -> bool:
        """Record what is exported now. False: the lease was lost, nothing changed."""

    def fail(self, tenant: str, holder: str, *, problem: str, next_attempt: datetime) -> None:
        """Give an export back; with a problem: record why."""

    def release(self, node: str) -> None:
        """Give back what `node:…` holds."""
