"""The audit in both databases: it grows by one row and a node or so, and no row can be touched without a trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.adapters.database.tables import audit_entries, audit_nodes, tenants
from registrar_server.application.audit import Audit, Verdict
from registrar_server.application.ports.database import AuditFilter
from registrar_server.domain.audit import AuditEntry, Outcome
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.merkle import EMPTY_ROOT, is_consistent, is_included
from tests.fixtures.database import add_model, at, change

ENTRIES = 13


@pytest.fixture
def audit(database: SqlDatabase) -> Audit:
    """The audit of tenant `default`, with some entries."""
    write(database, ENTRIES)
    return Audit(database)


def write(database: SqlDatabase, count: int, tenant: str = "default") -> None:
    """So many entries, each in a transaction of its own."""
    with database.writing() as transaction:
        model = add_model(transaction, f"m-{count}-{tenant}", tenant=tenant)
    for number in range(count):
        with database.writing() as transaction:
            transaction.journal.record(replace(change(model, f"test.{number % 3}"), time=at(number)))


def verdict(audit: Audit, tenant: str = "default") -> Verdict:
    *steps, last = audit.verify(tenant)
    assert isinstance(last, Verdict)
    assert steps == sorted(steps)  # type: ignore[type-var]
    return last


def entries(audit: Audit, tenant: str = "default") -> list[tuple[AuditEntry, str]]:
    return list(audit.list(tenant, AuditFilter(), is_oldest_first=True, place=0, limit=1_000))


def test_entries_follow_each_other_and_the_head_says_so(audit: Audit) -> None:
    found = entries(audit)
    assert [entry.position for entry, _ in found] == list(range(1, ENTRIES + 1))
    assert found[0][0].previous == ""
    assert all(later.previous == hash_ for (_, hash_), (later, _) in pairwise(found))
    assert all(entry.hash == hash_ for entry, hash_ in found)
    head = audit.head("default")
    assert (head.size, head.hash) == (ENTRIES, found[-1][1])
    result = verdict(audit)
    assert result.altered is None
    assert result.head == head


def test_a_tenant_s_audit_is_its_own(audit: Audit, database: SqlDatabase) -> None:
    before = audit.head("default")
    write(database, 3, "acme-corp")
    assert audit.head("default") == before
    assert audit.head("acme-corp").size == 3
    assert verdict(audit, "acme-corp").altered is None


def test_an_audit_without_entries_is_the_empty_tree(audit: Audit) -> None:
    head = audit.head("acme-corp")
    assert (head.size, head.hash, head.root) == (0, "", EMPTY_ROOT)
    assert verdict(audit, "acme-corp").altered is None


def test_every_entry_proves_its_place_and_every_tree_its_beginning(audit: Audit) -> None:
    found = entries(audit)
    heads = {}
    for size in range(1, ENTRIES + 1):
        for position in range(1, size + 1):
            proof = audit.prove_entry("default", position, tree_size=size)
            assert proof.claimed.hex() == found[position - 1][1]
            assert is_included(proof.claimed, position - 1, size, proof.hashes, proof.root)
            heads[size] = proof.root
        for earlier in range(1, size + 1):
            grown = audit.prove_growth("default", earlier, tree_size=size)
            assert (grown.claimed, grown.root) == (heads[earlier], heads[size])
            assert is_consistent(earlier, heads[earlier], size, grown.root, grown.hashes)
    assert heads[ENTRIES] == audit.head("default").root


@pytest.mark.parametrize(("position", "size"), [(0, 0), (ENTRIES + 1, 0), (3, 2), (1, ENTRIES + 1), (-1, 0)])
def test_what_is_not_there_is_not_proved(audit: Audit, position: int, size: int) -> None:
    for prove in (audit.prove_entry, audit.prove_growth):
        with pytest.raises(RegistrarError) as caught:
            prove("default", position, tree_size=size)
        assert caught.value.reason is Reason.AUDIT_ENTRY_NOT_FOUND


def test_entries_are_found_by_what_they_say(audit: Audit) -> None:
    def positions(**wanted: object) -> list[int]:
        found = audit.list("default", AuditFilter(**wanted), is_oldest_first=False, place=0, limit=99)  # type: ignore[arg-type]
        return [entry.position for entry, _ in found]

    assert positions(action="test.1") == [11, 8, 5, 2]
    assert positions(start_time=at(2), end_time=at(4)) == [4, 3]
    assert positions(actor="nobody") == []
    assert positions(outcome=Outcome.REFUSED) == []
    assert len(positions(model=f"m-{ENTRIES}-default")) == ENTRIES
    assert [e.position for e, _ in audit.list("default", AuditFilter(), is_oldest_first=False, place=3, limit=9)] == [
        2,
        1,
    ]
    assert [e.position for e, _ in audit.list("default", AuditFilter(), is_oldest_first=True, place=11, limit=9)] == [
        12,
        13,
    ]


@dataclass(frozen=True)
class Tampering:
    """What somebody with the database in hand does, and the first entry that must be named for it."""

    do: Callable[[Connection], object]
    position: int


def of(position: int) -> object:
    return (audit_entries.c.tenant == "default") & (audit_entries.c.position == position)


def _set(at_position: int, **values: object) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(update(audit_entries).where(of(at_position)).values(**values))  # type: ignore[arg-type]


def _remove(position: int) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(delete(audit_entries).where(of(position)))  # type: ignore[arg-type]


def _exchange(connection: Connection) -> None:
    """Two rows change places, each with all that it has."""
    query = select(audit_entries).where(audit_entries.c.tenant == "default", audit_entries.c.position.in_([4, 6]))
    four, six = (row._asdict() for row in connection.execute(query.order_by(audit_entries.c.position)))
    for position in (4, 6):
        _remove(position)(connection)
    connection.execute(insert(audit_entries), [{**four, "position": 6}, {**six, "position": 4}])


def _rewrite(connection: Connection) -> None:
    """One entry is changed, and its hash with it."""
    row = connection.execute(select(audit_entries).where(of(5))).one()  # type: ignore[arg-type]
    _set(5, comment="never happened", hash="ab" * 32 if row.hash else "")(connection)


def _renumber(connection: Connection) -> None:
    """One entry is taken out, and those behind it close the gap."""
    _remove(5)(connection)
    for position in range(6, ENTRIES + 1):
        _set(position, position=position - 1)(connection)


TAMPERINGS = {
    **{
        f"{column} changed": Tampering(_set(5, **{column: value}), 5)
        for column, value in {
            "actor": "somebody else",
            "roles": "reader",
            "action": "test.other",
            "comment": "because",
            "model_name": "another",
            "model_uid": "f" * 32,
            "version_uid": "f" * 32,
            "number": 99,
            "alias": "champion",
            "request_id": "other",
            "event_sequence": 1,
            "before": '{"a":1}',
            "after": '{"a":1}',
            "outcome": "refused",
            "reason": "PERMISSION_DENIED",
            "recorded_at": at(999),
            "hash": "0" * 64,
        }.items()
    },
    "an entry and its hash": Tampering(_rewrite, 5),
    "the first removed": Tampering(_remove(1), 1),
    "one removed": Tampering(_remove(5), 5),
    "one removed and the gap closed": Tampering(_renumber, 5),
    "the last removed": Tampering(_remove(ENTRIES), ENTRIES),
    "two exchanged": Tampering(_exchange, 4),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_whatever_is_done_to_a_row_is_found_and_named(audit: Audit, database: SqlDatabase, name: str) -> None:
    tampering = TAMPERINGS[name]
    with database._engine.begin() as connection:
        tampering.do(connection)
    result = verdict(audit)
    assert result.altered is not None
    assert result.altered.position == tampering.position, result.altered


def test_a_whole_chain_made_anew_is_another_tree(audit: Audit, database: SqlDatabase) -> None:
    """Who has the database can write a new history; who kept a head sees it."""
    kept = audit.head("default")
    with database._engine.begin() as connection:
        connection.execute(delete(audit_entries).where(audit_entries.c.tenant == "default"))
        connection.execute(delete(audit_nodes).where(audit_nodes.c.tenant == "default"))
        connection.execute(update(tenants).values(audit_position=0, audit_hash="", audit_peaks=""))
    write(database, ENTRIES + 2)
    assert verdict(audit).altered is None
    grown = audit.prove_growth("default", kept.size, tree_size=0)
    assert not is_consistent(kept.size, kept.root, grown.tree_size, grown.root, grown.hashes)


def test_a_missing_node_is_told_and_not_made_up(audit: Audit, database: SqlDatabase) -> None:
    with database._engine.begin() as connection:
        connection.execute(delete(audit_nodes).where(audit_nodes.c.level == 3))
    with pytest.raises(RegistrarError) as caught:
        audit.prove_entry("default", 12, tree_size=0)
    assert caught.value.reason is Reason.AUDIT_ALTERED
