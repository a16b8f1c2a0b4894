"""The audit in the object store: complete, signed, written once, and never what somebody made of it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, delete, update

from registrar.audit.export import read_head
from registrar.audit.notes import VerifierKey
from registrar.audit.verification import verify_export
from registrar.audit_types import AuditVerdict
from registrar_server.adapters.database.audit import SqlAudit
from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.adapters.database.tables import audit_entries, audit_nodes, tenants
from registrar_server.application.audit import Audit, Verdict
from registrar_server.application.audit_export import AuditExporting, ExportSettings
from registrar_server.application.checkpoints import Checkpoints
from registrar_server.application.ports.database import EVERY_ENTRY as EVERY
from registrar_server.application.ports.database import AuditExport
from registrar_server.domain.access import EVERYWHERE
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.merkle import append
from registrar_server.signing_keys import SigningKey
from tests.fixtures.database import NOON, add_model, at, change
from tests.fixtures.memory_store import MemoryStore

CHECKPOINTS = Checkpoints("registrar", SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(32))))
ENTRIES = 7


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> object:
        return self.time


class Exports:
    """An audit, its exports, and what an auditor makes of them."""

    def __init__(self, database: SqlDatabase, folder: Path) -> None:
        self.database = database
        self.store = MemoryStore()
        self.clock = HandClock()
        self.exporting = self.replica("one:1", CHECKPOINTS)
        self.folder = folder
        self.count = 0

    def replica(self, holder: str, checkpoints: Checkpoints = CHECKPOINTS) -> AuditExporting:
        """What exports in one process."""
        settings = ExportSettings(interval_seconds=300, retention_days=0)
        return AuditExporting(self.database, self.store, checkpoints, self.clock, holder, settings)  # type: ignore[arg-type]

    def write(self, count: int, tenant: str = "default") -> None:
        """So many entries more."""
        self.count += 1
        with self.database.writing() as transaction:
            model = add_model(transaction, f"m-{self.count}", tenant=tenant)
        for number in range(count):
            with self.database.writing() as transaction:
                transaction.journal.record(replace(change(model, f"test.{number % 3}"), time=at(number)))

    def export(self, by: AuditExporting | None = None) -> bool:
        """One round, after the interval has passed."""
        self.clock.time += timedelta(seconds=301)
        return (by or self.exporting).work()

    def keys(self, what: str, tenant: str = "default") -> list[str]:
        """Names of the objects of a kind."""
        return [key for key in sorted(self.store.objects) if key.startswith(f"{tenant}/{what}/")]

    def verify(self, tenant: str = "default", head: str = "") -> AuditVerdict:
        """What an auditor finds who has the objects, and has kept the key."""
        entries, kept = self.folder / "audit.jsonl", self.folder / "head"
        entries.write_bytes(b"".join(self.store.objects[key] for key in self.keys("entries", tenant)))
        kept.write_bytes(self.store.objects[head or self.keys("heads", tenant)[-1]])
        keys = [VerifierKey.parse(CHECKPOINTS.verifier_key(EVERYWHERE if tenant == "_all" else tenant))]
        return verify_export(entries, kept=read_head(kept, keys))

    def verdict(self) -> Verdict:
        """What the registry finds of its own audit."""
        *_, last = Audit(self.database).verify("default")
        assert isinstance(last, Verdict)
        return last


@pytest.fixture
def exports(sqlite_database: SqlDatabase, tmp_path: Path) -> Exports:
    made = Exports(sqlite_database, tmp_path)
    made.write(ENTRIES)
    return made


def test_what_is_exported_is_verified_with_nothing_else(database: SqlDatabase, tmp_path: Path) -> None:
    exports = Exports(database, tmp_path)
    exports.write(ENTRIES)
    assert exports.export()
    assert exports.keys("entries") == ["default/entries/000000000001-000000000007.jsonl"]
    assert exports.keys("heads") == ["default/heads/000000000007"]
    exports.write(3)
    assert exports.export()
    assert exports.keys("entries")[-1] == "default/entries/000000000008-000000000010.jsonl"
    verdict = exports.verify()
    assert (verdict.is_intact, verdict.head.tree_size) == (True, 10)
    early = exports.verify(head="default/heads/000000000007")
    assert (early.is_intact, early.altered_position) == (False, 8)


def test_nothing_is_written_while_nothing_is_new_or_the_time_has_not_come(exports: Exports) -> None:
    assert exports.export()
    before = dict(exports.store.objects)
    assert not exports.export()
    exports.write(1)
    exports.clock.time += timedelta(seconds=299)
    assert exports.exporting.work()
    exports.write(1)
    exports.clock.time += timedelta(seconds=299)
    assert not exports.exporting.work()
    assert set(before) < set(exports.store.objects)


def test_a_lease_keeps_replicas_apart_until_it_ends_or_its_node_starts_again(
    database: SqlDatabase, tmp_path: Path
) -> None:
    Exports(database, tmp_path).write(ENTRIES)

    def lease(holder: str, seconds: int) -> AuditExport | None:
        with database.writing() as transaction:
            now = at(seconds)
            return transaction.audit_exports.lease("default", holder, now=now, until=now + timedelta(seconds=60))

    with database.reading() as transaction:
        assert transaction.audit_exports.get("default") is None
        assert list(transaction.audit_exports.due(at(0))) == ["default"]
    taken = lease("one:1", 0)
    assert taken == AuditExport("default", 0, "", "", ENTRIES)
    assert lease("two:1", 59) is None
    assert lease("two:1", 60) == taken
    with database.writing() as transaction:
        done = replace(taken, position=ENTRIES, last_hash="a" * 64, root="b" * 64)
        assert not transaction.audit_exports.finish(done, "one:1", now=at(61), next_attempt=at(90))
        transaction.audit_exports.release("two")
        assert list(transaction.audit_exports.due(at(0))) == ["default"]
    assert lease("one:2", 62) == taken
    with database.writing() as transaction:
        assert transaction.audit_exports.finish(done, "one:2", now=at(63), next_attempt=at(90))
        assert transaction.audit_exports.get("default") == replace(done, target=0)
        # The audit does not end with that hash.
        assert list(transaction.audit_exports.due(at(89))) == []
        assert list(transaction.audit_exports.due(at(90))) == ["default"]


def test_each_tenant_has_objects_of_its_own(exports: Exports) -> None:
    exports.write(2, "acme-corp")
    with exports.database.writing() as transaction:
        model = add_model(transaction, "any")
        transaction.journal.record(
            replace(change(model, "tenant.created"), model=replace(model.key, tenant=EVERYWHERE))
        )
    assert exports.export()
    assert {key.split("/")[0] for key in exports.store.objects} == {"_all", "acme-corp", "default"}
    for tenant in ("_all", "acme-corp", "default"):
        assert exports.verify(tenant).is_intact


def test_two_replicas_write_each_object_once(exports: Exports) -> None:
    other = exports.replica("two:1")
    assert exports.export()
    objects = dict(exports.store.objects)
    assert not other.work()
    exports.write(1)
    assert exports.export(other)
    assert not exports.exporting.work()
    assert exports.verify().head.tree_size == ENTRIES + 1
    assert all(exports.store.objects[key] == body for key, body in objects.items())


@pytest.mark.parametrize("written", [0, 1])
def test_who_dies_on_the_way_is_followed_by_who_writes_the_same(exports: Exports, written: int) -> None:
    """The target stands in the database before the first object is written, so that new entries wait for the next round."""

    class Dying(MemoryStore):
        def put_object(self, key: str, body: bytes, *, retain_until: object = None) -> bool:
            if len(self.objects) == written:
                raise KeyboardInterrupt
            return super().put_object(key, body)

    exports.store = Dying()
    with pytest.raises(KeyboardInterrupt):
        exports.export(exports.replica("one:1"))
    exports.store = MemoryStore(objects=exports.store.objects)
    exports.write(2)
    exports.clock.time += timedelta(seconds=700)
    assert exports.replica("two:1").work()
    assert exports.keys("heads") == ["default/heads/000000000007"]
    exports.exporting = exports.replica("two:1")
    assert exports.export()
    assert exports.verify().head.tree_size == ENTRIES + 2
    assert len(exports.keys("entries")) == 2


def test_a_store_that_does_not_answer_is_tried_again_soon(exports: Exports) -> None:
    class Down(MemoryStore):
        def put_object(self, key: str, body: bytes, *, retain_until: object = None) -> bool:
            raise RegistrarError(Reason.STORE_UNAVAILABLE, "down")

    there, exports.store = exports.store, Down()
    broken = exports.replica("one:1")
    assert not exports.export(broken)
    assert broken.failures == {"STORE_UNAVAILABLE": 1}
    exports.store = there
    exports.clock.time += timedelta(seconds=11)
    assert exports.replica("one:1").work()
    assert exports.verify().is_intact


def in_database(exports: Exports, act: Callable[[Connection], object]) -> None:
    """What somebody does who has the database in hand."""
    with exports.database.writing() as transaction:
        act(transaction._connection)


def written_anew(connection: Connection) -> None:
    """The first entry says something else, and every hash, node and head is computed again so that all fits."""
    audit = SqlAudit(connection)
    of_default = audit_entries.c.tenant == "default"
    connection.execute(update(audit_entries).where(of_default, audit_entries.c.position == 1).values(actor="mallory"))
    connection.execute(delete(audit_nodes).where(audit_nodes.c.tenant == "default"))
    peaks: list[bytes] = []
    previous, position = "", 0
    while found := audit.entries("default", wanted=EVERY, after=position, until=0, limit=1):
        entry = replace(found[0][0], previous=previous)
        peaks, made = append(peaks, position, bytes.fromhex(entry.hash))
        position, previous = entry.position, entry.hash
        mine = of_default & (audit_entries.c.position == position)
        connection.execute(update(audit_entries).where(mine).values(hash=entry.hash))
        for level, number, hash_ in made:
            row = {"tenant": "default", "level": level, "number": number, "hash": hash_.hex()}
            connection.execute(audit_nodes.insert().values(row))
    set_head(connection, position, previous, peaks)


def cut(connection: Connection) -> None:
    """The last two entries are gone, and the head tells of no more than are left."""
    audit = SqlAudit(connection)
    size = audit.head("default").size - 2
    connection.execute(
        delete(audit_entries).where(audit_entries.c.tenant == "default", audit_entries.c.position > size)
    )
    peaks: list[bytes] = []
    for entry, hash_ in audit.entries("default", wanted=EVERY, after=0, until=size, limit=100):
        peaks, _ = append(peaks, entry.position - 1, bytes.fromhex(hash_))
    last = audit.entries("default", wanted=EVERY, after=size - 1, until=size, limit=1)[0][1]
    set_head(connection, size, last, peaks)


def set_head(connection: Connection, size: int, last: str, peaks: list[bytes]) -> None:
    """As the row of the tenant has it."""
    joined = ",".join(peak.hex() for peak in peaks)
    values = {"audit_position": size, "audit_hash": last, "audit_peaks": joined}
    connection.execute(update(tenants).where(tenants.c.name == "default").values(values))


def of(position: int) -> object:
    """That entry."""
    return (audit_entries.c.tenant == "default") & (audit_entries.c.position == position)


def exchange(connection: Connection) -> None:
    """Two entries change places."""
    for old, new in ((2, 100), (3, 2), (100, 3)):
        connection.execute(update(audit_entries).where(of(old)).values(position=new))  # type: ignore[arg-type]


WAYS: dict[str, Callable[[Connection], object]] = {
    "alter": lambda c: c.execute(update(audit_entries).where(of(3)).values(comment="never said")),  # type: ignore[arg-type]
    "remove": lambda c: c.execute(delete(audit_entries).where(of(4))),  # type: ignore[arg-type]
    "exchange": exchange,
    "cut": cut,
    "write anew": written_anew,
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_done_to_the_database_after_an_export_is_found_against_it(
    exports: Exports, way: str, tmp_path: Path
) -> None:
    assert exports.export()
    in_database(exports, WAYS[way])
    assert exports.verdict().altered is not None
    # The auditor has the store, and finds what the database says now is not what it said.
    assert exports.verify().is_intact
    now = tmp_path / "now.jsonl"
    found, _ = zip(
        *Audit(exports.database).list("default", EVERY, is_oldest_first=True, place=0, limit=99), strict=True
    )
    now.write_bytes(b"".join(entry.content + b"\n" for entry in found))
    key = VerifierKey.parse(CHECKPOINTS.verifier_key("default"))
    assert not verify_export(now, kept=read_head(exports.folder / "head", [key])).is_intact


@pytest.mark.parametrize("way", ["cut", "write anew"])
def test_what_was_altered_is_exported_no_further_and_said(exports: Exports, way: str) -> None:
    assert exports.export()
    in_database(exports, WAYS[way])
    objects = dict(exports.store.objects)
    assert not exports.export()
    assert exports.store.objects == objects
    assert exports.exporting.failures == {"AUDIT_ALTERED": 1}
    altered = exports.verdict().altered
    assert altered is not None
    assert altered.position == 0
    assert "exported" in altered.problem


def test_an_entry_that_is_altered_before_it_is_exported_never_is(exports: Exports) -> None:
    in_database(exports, WAYS["alter"])
    assert not exports.export()
    assert exports.store.objects == {}
    assert exports.exporting.failures == {"AUDIT_ALTERED": 1}
    altered = exports.verdict().altered
    assert altered is not None
    assert altered.position == 3


def test_objects_that_are_not_what_was_written_stop_the_exports(exports: Exports) -> None:
    assert exports.export()
    (head,) = exports.keys("heads")
    kept = exports.store.objects[head]
    for state in (None, CHECKPOINTS.of("default", 7, bytes(32)).encode()):
        if state is None:
            del exports.store.objects[head]
        else:
            exports.store.objects[head] = state
        exports.write(1)
        assert not exports.export()
        altered = exports.verdict().altered
        assert altered is not None
        assert "a head of 7 entries" in altered.problem
    exports.store.objects[head] = kept
    assert exports.export()
    assert exports.verdict().altered is None
    assert exports.verify().is_intact


def test_an_object_in_the_way_is_never_replaced(exports: Exports) -> None:
    key = "default/entries/000000000001-000000000007.jsonl"
    exports.store.objects[key] = b"somebody else's\n"
    assert not exports.export()
    assert exports.store.objects == {key: b"somebody else's\n"}
    assert exports.exporting.failures == {"AUDIT_ALTERED": 1}


def test_a_new_key_goes_on_where_the_old_one_ended(exports: Exports) -> None:
    assert exports.export()
    exports.write(2)
    renewed = Checkpoints("registrar", SigningKey(Ed25519PrivateKey.from_private_bytes(b"\1" * 32)))
    assert exports.export(exports.replica("one:2", renewed))
    entries, head = exports.folder / "audit.jsonl", exports.folder / "head"
    entries.write_bytes(b"".join(exports.store.objects[key] for key in exports.keys("entries")))
    head.write_bytes(exports.store.objects[exports.keys("heads")[-1]])
    keys = [VerifierKey.parse(one.verifier_key("default")) for one in (CHECKPOINTS, renewed)]
    assert verify_export(entries, kept=read_head(head, keys)).is_intact


def test_without_a_key_heads_are_exported_all_the_same(exports: Exports) -> None:
    assert exports.export(exports.replica("one:1", Checkpoints("registrar", None)))
    head = exports.folder / "head"
    head.write_bytes(exports.store.objects["default/heads/000000000007"])
    assert read_head(head).tree_size == 7
    exports.write(1)
    assert exports.export()
    assert exports.verify().is_intact
