"""Use cases about the audit: read it, prove what is in it, find out whether somebody has changed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from registrar_server.application.checkpoints import UNSIGNED, Checkpoints
from registrar_server.application.merkle_nodes import node_reader
from registrar_server.application.ports.database import (
    EVERY_ENTRY,
    AuditExport,
    AuditFilter,
    AuditHead,
    Database,
)
from registrar_server.application.resolution import require_tenant_or_all
from registrar_server.domain.audit import Altered, AuditEntry, first_altered
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.merkle import append, consistency_proof, inclusion_proof, root, root_of

_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Proof:
    """A claim about a tree, and the hashes that prove it."""

    tree_size: int
    root: bytes
    claimed: bytes
    hashes: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head, its checkpoint, and the key that verifies that; both are empty where nothing is signed."""

    head: AuditHead
    checkpoint: str
    verifier_key: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of reading a whole audit; `altered` None: nothing is wrong with it; its position 0: with no one entry."""

    head: AuditHead
    altered: Altered | None


class Audit:
    """Reads the audit of a tenant; EVERYWHERE is that of what concerns all."""

    def __init__(self, database: Database, checkpoints: Checkpoints = UNSIGNED) -> None:
        self._database = database
        self._checkpoints = checkpoints

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

    def signed_head(self, tenant: str) -> SignedHead:
        """The same, with the registry's signature."""
        head = self.head(tenant)
        checkpoint = self._checkpoints.of(tenant, head.size, head.root)
        return SignedHead(head, checkpoint, self._checkpoints.verifier_key(tenant))

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
        exported = self._exported(tenant)
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
                if altered is None and exported is not None and size == exported.position:
                    altered = _differing(exported, root_of(peaks).hex())
            yield size
        found = AuditHead(size, previous, tuple(peaks), root_of(peaks))
        if altered is None and (found.hash, found.root) != (recorded.hash, recorded.root):
            altered = Altered(max(size, 1), "is not what the head of the audit says")
        if altered is None and exported is not None and (exported.position > size or exported.problem):
            altered = Altered(0, exported.problem or f"has {size} entries, and {exported.position} were exported")
        yield Verdict(found, altered)

    def _exported(self, tenant: str) -> AuditExport | None:
        with self._database.reading() as transaction:
            return transaction.audit_exports.get(tenant)

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
            node = node_reader(transaction.audit, tenant)
            claimed, hashes = prove(size, node)
            return Proof(size, root(size, node), claimed, hashes)


def _differing(exported: AuditExport, root: str) -> Altered | None:
    """That the tree up to where it was exported is another now."""
    if root == exported.root:
        return None
    return Altered(0, f"does not begin with the {exported.position} entries that were exported")
