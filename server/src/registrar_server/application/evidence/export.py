"""Gather the evidence about a version: what is known of it, and the entries of the audit that vouch for it."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from registrar_server.application.checkpoints import Checkpoints
from registrar_server.application.evidence.archive import END, Index, canonical, digest, member
from registrar_server.application.evidence.documents import documents, policies_in_force
from registrar_server.application.evidence.moment import Moment, find_moment
from registrar_server.application.evidence.readme import README
from registrar_server.application.merkle_nodes import node_reader
from registrar_server.application.ports.database import AuditFilter, Database
from registrar_server.domain.access import EVERYWHERE
from registrar_server.domain.audit import AuditEntry
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.merkle import inclusion_proof
from registrar_server.domain.notes import checkpoint_text
from registrar_server.domain.values import VersionRef

FORMAT = 1
_PAGE = 1_000
_MEMBER_ENTRIES = 500
_WRITTEN = ("policy.created", "policy.updated")


@dataclass(frozen=True, slots=True)
class EvidenceArchive:
    """An archive that is being made: the tree that it is about, and its bytes, a member at a time."""

    tree_size: int
    blocks: Iterator[bytes]


class Evidence:
    """Exports evidence. The same reference and tree give the same bytes, whatever has happened since."""

    def __init__(self, database: Database, checkpoints: Checkpoints) -> None:
        self._database = database
        self._checkpoints = checkpoints

    def export(self, ref: VersionRef, tree_size: int) -> EvidenceArchive:
        """An archive about a version as of a tree of so many entries, 0: of all.

        AUDIT_ENTRY_NOT_FOUND when it is not that large, what `find_moment` says of the version; AUDIT_ALTERED while it is
        made when an entry is not as it was written.
        """
        with self._database.reading() as transaction:
            moment = find_moment(transaction, ref, tree_size)
        return EvidenceArchive(moment.tree_size, self._archive(moment))

    def _archive(self, moment: Moment) -> Iterator[bytes]:
        index, seconds = Index(), int(moment.time.timestamp())
        for name, content in self._members(moment):
            index.add(name, content)
            yield member(name, content, seconds)
        listed = index.content(self._about(moment))
        yield member("index.json", listed, seconds)
        # Not a checkpoint, which has a number in its second line.
        statement = f"{self._checkpoints.name(moment.tenant)}\nevidence\n{digest(listed)}\n"
        signed = self._checkpoints.signed(moment.tenant, statement)
        if signed:
            yield member("index.note", signed.encode(), seconds)
        yield END

    def _about(self, moment: Moment) -> dict[str, object]:
        return {
            "registrar_evidence": FORMAT,
            "tenant": moment.tenant,
            "model": moment.model.key.name,
            "version": moment.version.number,
            "version_uid": moment.version.uid,
            "tree_size": moment.tree_size,
            "root_hash": moment.root.hex(),
        }

    def _members(self, moment: Moment) -> Iterator[tuple[str, bytes]]:
        yield "README.md", README
        yield from self._audit(moment)
        with self._database.reading() as transaction:
            planned = list(documents(transaction, moment))
        for name, document in planned:
            with self._database.reading() as transaction:
                content = document(transaction, moment)
            yield name, content

    def _audit(self, moment: Moment) -> Iterator[tuple[str, bytes]]:
        """Entries with their proofs, in files of some hundred each, the head that proves them, and its key."""
        entries = heapq.merge(self._about_model(moment), self._about_policies(moment), key=lambda entry: entry.position)
        number = 0
        while batch := list(islice(entries, _MEMBER_ENTRIES)):
            number += 1
            yield f"audit/entries-{number:06d}.jsonl", b"".join(entry.content + b"\n" for entry in batch)
            yield f"audit/proofs-{number:06d}.jsonl", self._proofs(moment, batch)
        text = checkpoint_text(self._checkpoints.name(moment.tenant), moment.tree_size, moment.root)
        signed = self._checkpoints.of(moment.tenant, moment.tree_size, moment.root)
        yield "audit/head", (signed or f"{text}\n").encode()
        key = self._checkpoints.verifier_key(moment.tenant)
        if key:
            yield "audit/key", f"{key}\n".encode()

    def _about_model(self, moment: Moment) -> Iterator[AuditEntry]:
        """All about the model; not those of one that had its name before."""
        wanted = AuditFilter(model=moment.model.key.name)
        entries = self._entries(moment, wanted)
        return (entry for entry in entries if entry.model_uid in ("", moment.model.uid))

    def _about_policies(self, moment: Moment) -> Iterator[AuditEntry]:
        """Those that wrote what is in force. Policies of all tenants stand in another audit."""
        with self._database.reading() as transaction:
            found = policies_in_force(transaction, moment)
        digests = {policy.digest for policy in found if policy.tenant != EVERYWHERE}
        if not digests:
            return iter(())
        return heapq.merge(
            *(
                (entry for entry in self._entries(moment, AuditFilter(action=action)) if _digest_in(entry) in digests)
                for action in _WRITTEN
            ),
            key=lambda entry: entry.position,
        )

    def _entries(self, moment: Moment, wanted: AuditFilter) -> Iterator[AuditEntry]:
        after = 0
        while True:
            with self._database.reading() as transaction:
                page = transaction.audit.entries(
                    moment.tenant, wanted=wanted, after=after, until=moment.tree_size, limit=_PAGE
                )
            for entry, hash_ in page:
                if entry.hash != hash_:
                    raise _altered(moment.tenant, entry.position)
                yield entry
            if len(page) < _PAGE:
                return
            after = page[-1][0].position

    def _proofs(self, moment: Moment, entries: Sequence[AuditEntry]) -> bytes:
        with self._database.reading() as transaction:
            node_of = node_reader(transaction.audit, moment.tenant)
            proofs = [
                {
                    "position": entry.position,
                    "hashes": [hash_.hex() for hash_ in inclusion_proof(entry.position - 1, moment.tree_size, node_of)],
                }
                for entry in entries
            ]
        return b"".join(canonical(proof) + b"\n" for proof in proofs)


def _digest_in(entry: AuditEntry) -> object:
    return json.loads(entry.after).get("digest")


def _altered(tenant: str, position: int) -> RegistrarError:
    return RegistrarError(
        Reason.AUDIT_ALTERED,
        f"entry {position} of the audit of {tenant} is not as it was written",
        metadata={"tenant": tenant, "position": str(position)},
    )
