"""Whether an export is as it was written: every hash is computed anew, and nobody is asked.

Each entry names the hash of the one before, the head that of the last one and of all together. So each is vouched for by
what follows: an entry that does not fit its successor is the one that was altered, unless it is the successor that does
not fit what follows that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

from registrar.audit.export import LINE_BYTES, canonical, entry_tenant_of, head_at_end, parsed, tenant_of
from registrar.audit.merkle import Frontier, leaf_hash
from registrar.audit.notes import VerifierKey, require_signed
from registrar.audit_types import AuditHead, AuditVerdict
from registrar.errors import DataLoss, InvalidArgument

_PROGRESS_ENTRIES = 1_000
_HASH = re.compile(r"(?:[0-9a-f]{64})?")

AuditProgress = Callable[[int], None]
"""Called now and then with how many entries were looked at so far, and at the end."""


def verify_export(
    path: Path,
    *,
    kept: AuditHead | None = None,
    keys: Sequence[VerifierKey] = (),
    progress: AuditProgress | None = None,
) -> AuditVerdict:
    """Read an export from beginning to end; memory does not grow with it.

    `kept` is a head from before that the auditor has: then the export must begin with what that was made of. Its empty
    fields are not looked at, but for the root. With keys, one of them must have signed the export's own head.

    The entries alone, as a store has them, are an export too: `kept` must then be the head of all of them.
    Errors: InvalidArgument when it is another tenant's; OSError.
    """
    with path.open("rb") as file:
        lines: Iterator[bytes] = iter(partial(file.readline, LINE_BYTES), b"")
        line = next(lines, b"")
        tenant = tenant_of(line)
        if tenant is not None:
            line = next(lines, b"")
        elif kept is not None and (tenant := entry_tenant_of(line)) is not None:
            # A line that can be no head: the one that was kept takes its place.
            lines = chain(lines, [b"\n"])
        if tenant is None:
            return _verdict(AuditHead("", 0, Frontier().root.hex(), ""), "does not begin as an export does")
        if kept is not None:
            check_tenant(kept, tenant)
        entries = _Chain(tenant, kept)
        while following := next(lines, b""):
            if (altered := entries.add(line, following)) is not None:
                return _verdict(entries.head, altered.problem, altered.position)
            if progress is not None and entries.size % _PROGRESS_ENTRIES == 0:
                progress(entries.size)
            line = following
        if progress is not None:
            progress(entries.size)
        return entries.verdict(line, keys)


def check_tenant(kept: AuditHead, tenant: str) -> None:
    """Refuse to hold an audit against another tenant's head."""
    if kept.tenant not in {"", tenant}:
        raise InvalidArgument(
            f"the head that was kept is of {kept.tenant}, and the audit of {tenant}",
            reason="AUDIT_HEAD_OF_ANOTHER_TENANT",
            metadata={"tenant": tenant, "kept": kept.tenant},
        )


def held_against(verdict: AuditVerdict, kept: AuditHead, *, begins_with_it: Callable[[], bool]) -> AuditVerdict:
    """The verdict on an intact audit, when there is a head from before."""
    if kept.tree_size > verdict.head.tree_size:
        problem = f"is missing: the head that was kept is of {kept.tree_size} entries"
        return _verdict(verdict.head, problem, verdict.head.tree_size + 1)
    if begins_with_it():
        return verdict
    problem = f"does not begin with the {kept.tree_size} entries whose head was kept: it was written anew"
    return _verdict(verdict.head, problem)


def _verdict(head: AuditHead, problem: str, position: int | None = None) -> AuditVerdict:
    return AuditVerdict(is_intact=False, head=head, altered_position=position, problem=problem)


@dataclass(frozen=True, slots=True)
class _Altered:
    position: int | None
    problem: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """What of an entry holds on to the others."""

    position: int
    previous: str
    tenant: object
    hash: str


class _Chain:
    """The entries so far, of which only the last one and the edge of the tree are kept."""

    def __init__(self, tenant: str, kept: AuditHead | None) -> None:
        self._tenant = tenant
        self._kept = kept
        self._kept_root = ""
        self._tree = Frontier()
        self._last: _Entry | None = None
        self._foreign: int | None = None
        self._keep_root()

    @property
    def size(self) -> int:
        """How many they are."""
        return self._tree.size

    @property
    def head(self) -> AuditHead:
        """The head that they make."""
        last = "" if self._last is None else self._last.hash
        return AuditHead(self._tenant, self._tree.size, self._tree.root.hex(), last)

    def add(self, line: bytes, following: bytes) -> _Altered | None:
        """Take the next entry; or say what is wrong, be it with this one or with that before."""
        position, last = self._tree.size + 1, self._last
        leaf = leaf_hash(line.removesuffix(b"\n"))
        entry = _entry(line, leaf.hex())
        if entry is None:
            return _Altered(position, "cannot be read")
        if entry.position != position:
            if last is not None and (entry.position, entry.previous) == (last.position, last.previous):
                return _Altered(last.position, "is there twice")
            return _Altered(position, f"is not in its place: entry {entry.position} stands there")
        if entry.previous != ("" if last is None else last.hash):
            return self._unlinked(entry, line, following)
        if entry.tenant != self._tenant and self._foreign is None:
            self._foreign = position
        self._tree.append(leaf)
        self._last = entry
        self._keep_root()
        return None

    def _unlinked(self, entry: _Entry, line: bytes, following: bytes) -> _Altered:
        last, named = self._last, _named(following)
        if last is None or not entry.previous or _repaired_hash(line, last.hash) == named:
            return _Altered(self._tree.size + 1, "does not name the entry that is before it")
        # Who alters many entries leaves in each the hash of what was before it: then the first one is this.
        problem = f"is not what entry {entry.position} names before it"
        if entry.hash != named:
            problem += f", and entry {entry.position} is not what follows it names"
        return _Altered(last.position, problem)

    def verdict(self, line: bytes, keys: Sequence[VerifierKey]) -> AuditVerdict:
        """What comes of all, with the last line of the export."""
        head, told = self.head, head_at_end(line)
        if self._kept is not None and line == b"\n":
            return self._vouched_for(head, self._kept)
        if told is None:
            return _verdict(head, f"was cut off: its head does not follow entry {head.tree_size}")
        if (altered := self._differs(head, replace(told, checkpoint=""))) is not None:
            return _verdict(head, altered.problem, altered.position)
        try:
            if keys:
                require_signed(told, keys)
        except DataLoss:
            return _verdict(head, "has a head that is not signed with a key that was given")
        return self._intact(head)

    def _vouched_for(self, head: AuditHead, kept: AuditHead) -> AuditVerdict:
        """What comes of entries alone: the head that was kept vouches for them, and for none behind it."""
        if kept.tree_size < head.tree_size:
            problem = f"is behind the {kept.tree_size} entries of the head that was kept, which vouches for no other"
            return _verdict(head, problem, kept.tree_size + 1)
        return self._intact(head)

    def _intact(self, head: AuditHead) -> AuditVerdict:
        if self._foreign is not None:
            return _verdict(head, "is of another tenant", self._foreign)
        intact = AuditVerdict(is_intact=True, head=head, altered_position=None, problem="")
        if self._kept is None:
            return intact
        root = self._kept.root_hash
        return held_against(intact, self._kept, begins_with_it=lambda: self._kept_root == root)

    def _differs(self, head: AuditHead, told: AuditHead) -> _Altered | None:
        if head == told:
            return None
        # Each of the two hashes vouches for every entry: where one fits, it is the head that was altered.
        if told.root_hash == head.root_hash or told.last_hash == head.last_hash:
            return _Altered(None, "does not have the head that its entries make")
        if told.tree_size > head.tree_size:
            return _Altered(head.tree_size + 1, f"is missing, and all up to {told.tree_size} are")
        if told.tree_size < head.tree_size:
            return _Altered(told.tree_size + 1, "was added behind the last one of the head")
        return _Altered(head.tree_size or None, "is not what the head was made of")

    def _keep_root(self) -> None:
        if self._kept is not None and self._kept.tree_size == self._tree.size:
            self._kept_root = self._tree.root.hex()


def _entry(line: bytes, hash_: str) -> _Entry | None:
    """None when it is no entry."""
    match parsed(line) if line.endswith(b"\n") else None:
        case {"position": bool()}:
            return None
        case {"position": int(position), "previous": str(previous), "tenant": tenant} if _HASH.fullmatch(previous):
            return _Entry(position, previous, tenant, hash_)
        case _:
            return None


def _repaired_hash(line: bytes, before: str) -> str:
    """The hash of an entry, if it named that hash before it; empty for what no entry looks like."""
    entry = parsed(line)
    try:
        return "" if entry is None else leaf_hash(canonical({**entry, "previous": before})).hex()
    except RecursionError:
        return ""


def _named(line: bytes) -> object:
    """The hash that an entry has of the one before, or the head of the last."""
    head = head_at_end(line)
    if head is not None:
        return head.last_hash
    document = parsed(line)
    return None if document is None else document.get("previous")
