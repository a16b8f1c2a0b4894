"""Write the audit to the object store, where nobody who has the database can change it.

For each tenant objects with entries, one line each, and after them a signed head of the tree that they make:
`TENANT/entries/FIRST-LAST.jsonl` and `TENANT/heads/SIZE`. What an earlier export wrote is held against the audit before
anything is added to it, so that a history that was written anew is found at the next export.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from registrar_server.application.checkpoints import Checkpoints
from registrar_server.application.merkle_nodes import node_reader
from registrar_server.application.ports.bundle_store import BundleStore
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import EVERY_ENTRY, AuditExport, Database, Transaction
from registrar_server.domain.access import EVERYWHERE
from registrar_server.domain.audit import AuditEntry, first_altered
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.merkle import append, peaks_of, root_of
from registrar_server.domain.notes import checkpoint_text, text_of

_log = structlog.get_logger()

_LEASE_SECONDS = 600
_RETRY_SECONDS = 10
_LOOK_SECONDS = 5
_AT_ONCE = 1_000
_OBJECT_ENTRIES = 10_000
_OBJECT_BYTES = 8 << 20
_ALL_TENANTS = "_all"
"""Folder of what concerns all tenants: `*` means something else to most tools. No tenant can have that name."""


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """How often an audit is exported, and for how many days the store has to keep what is; 0: it need not."""

    interval_seconds: float
    retention_days: int


@dataclass(frozen=True, slots=True)
class _Object:
    """Entries that go into one object."""

    first: int
    last: int
    body: bytes


class _Altered(Exception):
    """The audit, or what was exported of it, is not as it was written."""


class AuditExporting:
    """Exports what is new, a tenant after the other. A tenant whose audit was altered is exported no further."""

    def __init__(
        self,
        database: Database,
        store: BundleStore,
        checkpoints: Checkpoints,
        clock: Clock,
        holder: str,
        settings: ExportSettings,
    ) -> None:
        self._database = database
        self._store = store
        self._checkpoints = checkpoints
        self._clock = clock
        self._holder = holder
        self._settings = settings
        self._is_store_there = False
        self._look_at = clock.now()
        self.failures: Counter[str] = Counter()
        """Exports that failed so far, by reason; AUDIT_ALTERED: something is wrong with an audit or its exports."""

    def work(self) -> bool:
        """Export every tenant that is due; whether any was exported."""
        now = self._clock.now()
        # Every wake-up of the background comes by here.
        if now < self._look_at:
            return False
        self._look_at = now + timedelta(seconds=min(_LOOK_SECONDS, self._settings.interval_seconds))
        with self._database.reading() as transaction:
            due = transaction.audit_exports.due(now)
        return sum(self._export(tenant) for tenant in due) > 0

    def _export(self, tenant: str) -> bool:
        now = self._clock.now()
        with self._database.writing() as transaction:
            until = now + timedelta(seconds=_LEASE_SECONDS)
            export = transaction.audit_exports.lease(tenant, self._holder, now=now, until=until)
        if export is None:
            return False
        try:
            done = self._write(export)
        except _Altered as exc:
            self.failures[Reason.AUDIT_ALTERED.value] += 1
            _log.error("audit_export.altered", tenant=tenant, problem=str(exc))
            self._give_back(tenant, self._settings.interval_seconds, str(exc))
            return False
        except RegistrarError as exc:
            self.failures[exc.reason.value] += 1
            _log.warning("audit_export.failed", tenant=tenant, reason=exc.reason.value)
            self._give_back(tenant, _RETRY_SECONDS, "")
            return False
        now = self._clock.now()
        following = now + timedelta(seconds=self._settings.interval_seconds)
        with self._database.writing() as transaction:
            is_kept = transaction.audit_exports.finish(done, self._holder, now=now, next_attempt=following)
        _log.info("audit_export.done", tenant=tenant, tree_size=done.position, is_recorded=is_kept)
        return is_kept

    def _give_back(self, tenant: str, pause_seconds: float, problem: str) -> None:
        next_attempt = self._clock.now() + timedelta(seconds=pause_seconds)
        with self._database.writing() as transaction:
            transaction.audit_exports.fail(tenant, self._holder, problem=problem, next_attempt=next_attempt)

    def _write(self, export: AuditExport) -> AuditExport:
        """Objects up to the target; what is exported then. Written twice, they are the same."""
        if not self._is_store_there:
            self._store.check()
            self._is_store_there = True
        folder = _ALL_TENANTS if export.tenant == EVERYWHERE else export.tenant
        peaks = self._exported_peaks(export, folder)
        previous, position = export.last_hash, export.position
        for entries in self._objects(export):
            altered = next(first_altered(entries, position=position + 1, previous=previous), None)
            if altered is not None:
                raise _Altered(f"entry {altered.position} {altered.problem}")
            for entry, hash_ in entries:
                peaks, _ = append(peaks, entry.position - 1, bytes.fromhex(hash_))
                previous, position = hash_, entry.position
            made = _object_of(entries)
            self._put(f"{folder}/entries/{made.first:012d}-{made.last:012d}.jsonl", made.body)
        root = root_of(peaks)
        self._require_recorded(export, previous, root)
        self._put_head(f"{folder}/heads/{export.target:012d}", export, root)
        return replace(export, position=export.target, last_hash=previous, root=root.hex(), target=0, problem="")

    def _exported_peaks(self, export: AuditExport, folder: str) -> list[bytes]:
        """The peaks of the tree that was exported, which has to be the one that the head in the store is of."""
        if export.position > export.target:
            raise _Altered(f"has {export.target} entries, and {export.position} were exported")
        if not export.position:
            return []
        with self._database.reading() as transaction:
            peaks = self._peaks(transaction, export.tenant, export.position)
            last = self._entries(transaction, export.tenant, after=export.position - 1, until=export.position)
        if root_of(peaks).hex() != export.root or [hash_ for _, hash_ in last] != [export.last_hash]:
            raise _Altered(f"does not begin with the {export.position} entries that were exported")
        kept = self._read(f"{folder}/heads/{export.position:012d}")
        text = checkpoint_text(self._checkpoints.name(export.tenant), export.position, root_of(peaks))
        if kept is None or text_of(kept) != text.encode():
            state = "is gone from" if kept is None else "is another in"
            raise _Altered(f"has a head of {export.position} entries that {state} the store")
        return peaks

    def _objects(self, export: AuditExport) -> Iterator[Sequence[tuple[AuditEntry, str]]]:
        """What goes into each object: bounded in entries and bytes, by nothing but the entries themselves."""
        position, kept, size_bytes = export.position, list[tuple[AuditEntry, str]](), 0
        while position < export.target:
            with self._database.reading() as transaction:
                found = self._entries(transaction, export.tenant, after=position, until=export.target)
            if not found:
                raise _Altered(f"entry {position + 1} is missing, and all up to {export.target} are")
            for one in found:
                kept.append(one)
                size_bytes += len(one[0].content)
                if len(kept) >= _OBJECT_ENTRIES or size_bytes >= _OBJECT_BYTES:
                    yield kept
                    kept, size_bytes = [], 0
            position = found[-1][0].position
        if kept:
            yield kept

    def _require_recorded(self, export: AuditExport, last_hash: str, root: bytes) -> None:
        """The tree that was made of the entries has to be the one that the registry's proofs are of."""
        with self._database.reading() as transaction:
            recorded = root_of(self._peaks(transaction, export.tenant, export.target))
            head = transaction.audit.head(export.tenant)
        if recorded != root or (head.size == export.target and (head.hash, head.root) != (last_hash, root)):
            raise _Altered(f"has another tree than its {export.target} entries make")

    def _put_head(self, key: str, export: AuditExport, root: bytes) -> None:
        text = checkpoint_text(self._checkpoints.name(export.tenant), export.target, root)
        head = self._checkpoints.of(export.tenant, export.target, root) or f"{text}\n"
        if not self._store.put_object(key, head.encode(), retain_until=self._retain_until()):
            kept = self._read(key)
            # Signed with another key, or not at all, it says the same.
            if kept is None or text_of(kept) != text.encode():
                raise _Altered(f"would be exported to {key}, where something else is")

    def _put(self, key: str, body: bytes) -> None:
        if not self._store.put_object(key, body, retain_until=self._retain_until()):
            stored = self._store.stat(key)
            if stored is None or stored.size_bytes != len(body) or self._read(key) != body:
                raise _Altered(f"would be exported to {key}, where something else is")

    def _retain_until(self) -> datetime | None:
        days = self._settings.retention_days
        return self._clock.now() + timedelta(days=days) if days else None

    def _read(self, key: str) -> bytes | None:
        try:
            with self._store.open_reader(key) as reader:
                return b"".join(reader)
        except RegistrarError as exc:
            if exc.reason is Reason.ARTIFACT_FILE_NOT_FOUND:
                return None
            raise

    def _entries(
        self, transaction: Transaction, tenant: str, *, after: int, until: int
    ) -> Sequence[tuple[AuditEntry, str]]:
        return transaction.audit.entries(tenant, wanted=EVERY_ENTRY, after=after, until=until, limit=_AT_ONCE)

    def _peaks(self, transaction: Transaction, tenant: str, size: int) -> list[bytes]:
        try:
            return peaks_of(size, node_reader(transaction.audit, tenant))
        except RegistrarError as exc:
            if exc.reason is not Reason.AUDIT_ALTERED:
                raise
            raise _Altered("has lost a part of its tree") from exc


def _object_of(entries: Sequence[tuple[AuditEntry, str]]) -> _Object:
    body = b"".join(entry.content + b"\n" for entry, _ in entries)
    return _Object(entries[0][0].position, entries[-1][0].position, body)
