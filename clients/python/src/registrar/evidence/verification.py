"""Whether an archive of evidence is as the registry made it, and proves what it says. Nobody is asked."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registrar.audit.export import LINE_BYTES, canonical, parsed
from registrar.audit.merkle import is_included, leaf_hash
from registrar.audit.notes import NOTE_BYTES, VerifierKey, parse_checkpoint, text_of
from registrar.audit_types import AuditHead
from registrar.errors import DataLoss, InvalidArgument
from registrar.evidence.agreement import Recorded, disagreements
from registrar.evidence.archive import Archive

_LISTED_LATER = frozenset({"index.json", "index.note"})
_ENTRIES = re.compile(r"audit/entries-([0-9]{6})\.jsonl")


@dataclass(frozen=True, slots=True)
class EvidenceVerdict:
    """What an archive of evidence is about, and whether it proves that."""

    is_valid: bool
    tenant: str
    model: str
    version: int
    head: AuditHead
    """Of the tree that it is about."""
    entry_count: int
    is_signature_checked: bool
    """Whether it is signed with a key that was given. Else anybody may have made all of it."""
    problems: Sequence[str]
    """How it shows that it is not as the registry made it, for people; none: it is."""

    def __str__(self) -> str:
        what = f"the evidence about {self.model} version {self.version} of tenant {self.tenant}"
        if not self.is_valid:
            return f"{what}: {'; '.join(self.problems)}"
        signed = "signed" if self.is_signature_checked else "NOT CHECKED against a key"
        return f"{what} holds: {self.entry_count} entries in a tree of {self.head.tree_size}, {signed}"


def verify(path: Path, *, keys: Sequence[VerifierKey] = (), kept: AuditHead | None = None) -> EvidenceVerdict:
    """Read an archive and hold everything in it against everything else; memory does not grow with its entries.

    `keys`: one of them must have signed it. Without, it is only found to be consistent, by the key that it brings along.
    `kept`: a head that the auditor has, which must be the one that it is about. Errors: OSError.
    """
    with path.open("rb") as file:
        return _Verification(Archive(file), keys, kept).run()


class _Wrong(Exception):
    """Nothing more can be said about an archive."""


class _Verification:
    """One archive."""

    def __init__(self, archive: Archive, keys: Sequence[VerifierKey], kept: AuditHead | None) -> None:
        self._archive = archive
        self._keys = keys
        self._kept = kept
        self._problems: list[str] = []
        self._index: Mapping[str, Any] = {}
        self._head = AuditHead("", 0, "", "")
        self._entry_count = 0

    def run(self) -> EvidenceVerdict:
        try:
            self._check()
        except _Wrong as exc:
            self._problems.append(str(exc))
        except DataLoss as exc:
            self._problems.append(exc.message)
        index = self._index
        return EvidenceVerdict(
            is_valid=not self._problems,
            tenant=str(index.get("tenant", "")),
            model=str(index.get("model", "")),
            version=int(index.get("version", 0)),
            head=self._head,
            entry_count=self._entry_count,
            is_signature_checked=bool(self._keys) and not self._problems,
            problems=tuple(self._problems),
        )

    def _check(self) -> None:
        if self._archive.problem:
            raise _Wrong(self._archive.problem)
        self._index = self._read_index()
        self._problems += self._differing_members()
        keys = self._keys or self._own_keys()
        self._check_head(keys)
        self._check_index(keys)
        recorded = Recorded(self._index["version_uid"], self._index["version"])
        self._problems += self._wrong_entries(recorded)
        self._problems += self._disagreements(recorded)

    def _read_index(self) -> Mapping[str, Any]:
        index: Any = parsed(self._archive.read("index.json"))
        match index:
            case {
                "registrar_evidence": 1,
                "tenant": str(),
                "model": str(),
                "version": int(),
                "version_uid": str(),
                "tree_size": int(),
                "root_hash": str(),
                "members": dict(),
            }:
                found: Mapping[str, Any] = index
                return found
            case _:
                raise _Wrong("index.json is not that of an archive of evidence")

    def _differing_members(self) -> Iterator[str]:
        listed, there = self._index["members"], self._archive.members
        for name in sorted({*listed, *there} - _LISTED_LATER):
            if name not in there:
                yield f"{name} is missing"
            elif name not in listed:
                yield f"{name} does not belong to it"
            elif listed[name] != {"sha256": there[name].sha256, "size_bytes": there[name].size_bytes}:
                yield f"{name} is not what index.json says"

    def _own_keys(self) -> Sequence[VerifierKey]:
        if "audit/key" not in self._archive.members:
            return ()
        try:
            return [VerifierKey.parse(self._text("audit/key").strip())]
        except InvalidArgument as exc:
            raise _Wrong(f"audit/key: {exc.message}") from exc

    def _check_head(self, keys: Sequence[VerifierKey]) -> None:
        note = self._text("audit/head")
        try:
            head = parse_checkpoint(note, keys)
        except DataLoss as exc:
            raise _Wrong(f"audit/head: {exc.message}") from exc
        if head is None:
            raise _Wrong("audit/head is not the head of an audit")
        self._head = head
        index = self._index
        told = (index["tenant"], index["tree_size"], index["root_hash"])
        if (head.tenant, head.tree_size, head.root_hash) != told:
            self._problems.append("index.json is about another tree than audit/head")
        kept = self._kept
        if kept is None:
            return
        if kept.tree_size != head.tree_size:
            self._problems.append(
                f"the head that was kept is of {kept.tree_size} entries: export with that as the tree's size"
            )
        elif kept.root_hash != head.root_hash or kept.tenant not in ("", head.tenant):
            self._problems.append("audit/head is not the head that was kept")

    def _check_index(self, keys: Sequence[VerifierKey]) -> None:
        """That it is signed where the head is."""
        if not keys:
            return
        note = self._text("index.note")
        try:
            text = text_of(note, keys)
        except DataLoss as exc:
            raise _Wrong(f"index.note: {exc.message}") from exc
        digest = hashlib.sha256(self._archive.read("index.json")).hexdigest()
        if text.splitlines()[1:] != ["evidence", digest]:
            self._problems.append("index.json is not the one that was signed")

    def _wrong_entries(self, recorded: Recorded) -> Iterator[str]:
        """Entries that are not in the tree, or of which nothing can be told."""
        before = 0
        for number, (line, proof) in enumerate(self._proved_lines(), start=1):
            entry = parsed(line)
            try:
                position = self._position_of(entry, line)
                if position <= before or not self._is_proved(line, position, proof):
                    yield f"audit/entries: entry {position} is not in the tree"
                    return
                recorded.add(entry or {})
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
                yield f"audit/entries: line {number} is no entry of this audit"
                return
            before, self._entry_count = position, number

    def _position_of(self, entry: Mapping[str, object] | None, line: bytes) -> int:
        """ValueError for what is no entry of this audit, as it was hashed."""
        match entry:
            case {"position": int(position), "tenant": self._head.tenant} if (
                entry is not None and canonical(entry) == line
            ):
                return position
            case _:
                raise ValueError

    def _proved_lines(self) -> Iterator[tuple[bytes, bytes]]:
        """Each entry with its proof; empty where one of the two is missing."""
        names = [name for name in self._archive.members if _ENTRIES.fullmatch(name)]
        for name in sorted(names):
            other = name.replace("entries", "proofs")
            proofs = self._archive.lines(other) if other in self._archive.members else iter(())
            for line in self._archive.lines(name):
                yield line, next(proofs, b"")
            if next(proofs, None) is not None:
                yield b"", b""

    def _is_proved(self, line: bytes, position: int, proof: bytes) -> bool:
        match parsed(proof):
            case {"position": int(of), "hashes": list(hashes)} if of == position and len(line) < LINE_BYTES:
                siblings = [bytes.fromhex(hash_) for hash_ in hashes]
            case _:
                return False
        root = bytes.fromhex(self._head.root_hash)
        return is_included(leaf_hash(line), position - 1, self._head.tree_size, siblings, root)

    def _disagreements(self, recorded: Recorded) -> Iterator[str]:
        def read(name: str) -> Any:
            return json.loads(self._archive.read(name))

        digests = {
            name: f"sha256:{member.sha256}"
            for name, member in self._archive.members.items()
            if name.startswith("policies/") or name in ("manifest.txt", "card.json")
        }
        try:
            version = read("version.json")
            told = (version["model"], version["number"], version["uid"])
            if told != (self._index["model"], self._index["version"], self._index["version_uid"]):
                yield "version.json is about another version than index.json"
            yield from disagreements(recorded, read, digests)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError):
            yield "a document cannot be read"

    def _text(self, name: str) -> str:
        return self._archive.read(name, NOTE_BYTES).decode(errors="replace")
