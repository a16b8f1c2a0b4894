"""Use cases about the audit: read it, prove what is in it, find out whether somebody has changed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from registrar_server.application.ports.database import (
    EVERY_ENTRY,
    AuditFilter,
    AuditHead,
    AuditRecords,
    Database,
)
from registrar_server.application.resolution import require_tenant_or_all
from registrar_server.domain.audit import Altered, AuditEntry, first_altered
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.merkle import HASH_BYTES, append, consistency_proof, inclusion_proof, root, root_of

_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Proof:
    """A claim about a tree, and the hashes that prove it."""

    tree_size: int
    root: bytes
    claimed: bytes
    hashes: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of reading a whole audit; `altered` None: nothing is wrong with it."""

    head: AuditHead
    altered: Altered | None


class Audit:
    """Reads the audit of a tenant; EVERYWHERE is that of what concerns all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(
        self, tenant: str, wanted: AuditFilter, *, is_oldest_first: bool, place: int, limit: int
    ) -> Sequence[tuple[AuditEntry, str]]:
        """Entries with their recorded hashes, behind the position `place`; 0: from the beginning."""
        with self._database.reading() as transaction:
            require_tenant_or_all(transaction, tenant)
            if is_oldest_first:
                return transaction.audit.entries(tenant, wanted=wanted, after=place, until=0, limit=limit)
            return transaction.audit.latest(tenant, wanted=wanted, before=place, limit=limit)

    def head(self, tenant: str) -> AuditHead:
        """How far it goes."""
        with self._database.reading() as transaction:
            require_tenant_or_all(transaction, tenant)
            return transaction.audit.head(tenant)

    def prove_entry(self, tenant: str, position: int, *, tree_size: int) -> Proof:
        """That an entry is in the tree of so many; 0: of all. AUDIT_ENTRY_NOT_FOUND, AUDIT_ALTERED."""
        return self._prove(
            tenant,
            tree_size,
            position,
            lambda size, node: (node(0, position - 1), inclusion_proof(position - 1, size, node)),
        )

    def prove_growth(self, tenant: str, earlier: int, *, tree_size: int) -> Proof:
        """That the tree of so many (0: of all) begins with an earlier one. AUDIT_ENTRY_NOT_FOUND, AUDIT_ALTERED."""
        return self._prove(
            tenant,
            tree_size,
            earlier,
            lambda size, node: (root(earlier, node), consistency_proof(earlier, size, node)),
        )

    def verify(self, tenant: str) -> Iterator[int | Verdict]:
        """Read everything and compute it anew: how many entries were read so far, now and then, and the verdict last.

        What is added meanwhile is not looked at. Each page is a short transaction.
        """
        recorded = self.head(tenant)
        peaks: list[bytes] = []
        previous, size, altered = "", 0, None
        while size < recorded.size and altered is None:
            with self._database.reading() as transaction:
                entries = transaction.audit.entries(
                    tenant, wanted=EVERY_ENTRY, after=size, until=recorded.size, limit=_AT_ONCE
                )
            altered = next(first_altered(entries, position=size + 1, previous=previous), None)
            if altered is None and not entries:
                altered = Altered(size + 1, f"is missing, and all up to {recorded.size} are")
            for entry, hash_ in entries if altered is None else ():
                peaks, _ = append(peaks, size, bytes.fromhex(hash_))
                previous, size = entry.hash, size + 1
            yield size
        found = AuditHead(size, previous, tuple(peaks), root_of(peaks))
        if altered is None and (found.hash, found.root) != (recorded.hash, recorded.root):
            altered = Altered(max(size, 1), "is not what the head of the audit says")
        yield Verdict(found, altered)

    def _prove(
        self,
        tenant: str,
        tree_size: int,
        place: int,
        prove: Callable[[int, Callable[[int, int], bytes]], tuple[bytes, Sequence[bytes]]],
    ) -> Proof:
        with self._database.reading() as transaction:
            require_tenant_or_all(transaction, tenant)
            there = transaction.audit.head(tenant).size
            size = tree_size or there
            if size > there or not 0 < place <= size:
                raise RegistrarError(
                    Reason.AUDIT_ENTRY_NOT_FOUND,
                    f"the audit of {tenant} has no entry {place}, or not {size} entries",
                    metadata={"position": str(place), "tree_size": str(size)},
                )
            node = _nodes(transaction.audit, tenant)
            claimed, hashes = prove(size, node)
            return Proof(size, root(size, node), claimed, hashes)


def _nodes(audit: AuditRecords, tenant: str) -> Callable[[int, int], bytes]:
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
