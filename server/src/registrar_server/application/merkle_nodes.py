"""Nodes of an audit's Merkle tree, each read once."""

from __future__ import annotations

from collections.abc import Callable

from registrar_server.application.ports.database import AuditRecords
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.merkle import HASH_BYTES


def node_reader(audit: AuditRecords, tenant: str) -> Callable[[int, int], bytes]:
    """Reads nodes of a tenant's tree by level and number, and remembers them. AUDIT_ALTERED for one that is gone."""
    known: dict[tuple[int, int], bytes] = {}

    def node(level: int, number: int) -> bytes:
        found = known.get((level, number))
        if found is None:
            found = known[level, number] = audit.node(tenant, level, number)
        if len(found) != HASH_BYTES:
            raise RegistrarError(
                Reason.AUDIT_ALTERED,
                f"a part of the audit of {tenant} is gone",
                metadata={"tenant": tenant},
            )
        return found

    return node
