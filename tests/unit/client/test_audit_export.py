"""Exports of an audit, and their verification: whatever is done to one is found, and the first entry is named."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from registrar.audit.export import canonical, read_head, write_export
from registrar.audit.merkle import EMPTY_ROOT, Frontier, is_consistent, is_included, leaf_hash
from registrar.audit.verification import verify_export
from registrar.audit_types import AuditHead, AuditProof, AuditVerdict
from registrar.errors import InvalidArgument
from registrar_server.domain import merkle as server_merkle
from registrar_server.domain.audit import AuditEntry, Outcome

TENANT = "acme"
sizes = st.integers(0, 70)
texts = st.text(max_size=12)
no_fixture_reset = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def entries(count: int, comments: Sequence[str] = ("why",), tenant: str = TENANT) -> Iterator[AuditEntry]:
    """As the registry writes them."""
    previous = ""
    for position in range(1, count + 1):
        entry = AuditEntry(
            tenant=tenant,
            position=position,
            time=datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=position),
            actor="user:alice",
            roles=("release-engineer",),
            action="version.stage_changed",
            outcome=Outcome.DONE,
            reason="",
            model="churn",
            model_uid="a" * 32,
            version_uid="b" * 32,
            number=position,
            alias="",
            comment=comments[position % len(comments)],
            request_id=f"r{position}",
            event_sequence=position,
            before='{"stage":"none"}',
            after='{"previous":"x","position":3}',
            previous=previous,
        )
        previous = entry.hash
        yield entry


def contents(count: int, comments: Sequence[str] = ("why",)) -> list[bytes]:
    return [entry.content for entry in entries(count, comments)]


def head_of(lines: Sequence[bytes], tenant: str = TENANT) -> AuditHead:
    """By the server's own arithmetic."""
    peaks: list[bytes] = []
    for number, line in enumerate(lines):
        peaks, _ = server_merkle.append(peaks, number, server_merkle.leaf_hash(line))
    last = server_merkle.leaf_hash(lines[-1]).hex() if lines else ""
    return AuditHead(tenant, len(lines), server_merkle.root_of(peaks).hex(), last)


@dataclass
class Export:
    """A file, and what is in it."""

    path: Path

    def write(self, count: int, comments: Sequence[str] = ("why",)) -> AuditHead:
        lines = contents(count, comments)
        head = head_of(lines)
        write_export(self.path, head, lines)
        return head

    @property
    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True)

    @lines.setter
    def lines(self, lines: Sequence[bytes]) -> None:
        self.path.write_bytes(b"".join(lines))

    def verify(self, kept: AuditHead | None = None) -> AuditVerdict:
        return verify_export(self.path, kept=kept)

    def altered(self, kept: AuditHead | None = None) -> int | None:
        """The position that is named; a failure when the export is taken for intact."""
        verdict = self.verify(kept)
        assert not verdict.is_intact
        assert verdict.problem
        return verdict.altered_position


@pytest.fixture
def export(tmp_path: Path) -> Export:
    return Export(tmp_path / "audit.jsonl")


@given(count=sizes, comments=st.lists(texts, min_size=1, max_size=5))
@no_fixture_reset
def test_an_export_that_nobody_touched_is_intact(export: Export, count: int, comments: list[str]) -> None:
    head = export.write(count, comments)
    assert export.verify() == AuditVerdict(is_intact=True, head=head, altered_position=None, problem="")
    assert read_head(export.path) == head


def test_the_lines_are_what_was_hashed(export: Export) -> None:
    head = export.write(3)
    first, *entries_, last = export.lines
    assert json.loads(first) == {"registrar_audit": 1, "tenant": TENANT}
    assert [line.removesuffix(b"\n") for line in entries_] == contents(3)
    assert json.loads(last)["head"] == {
        "tenant": TENANT,
        "tree_size": 3,
        "root_hash": head.root_hash,
        "last_hash": hashlib.sha256(b"\0" + contents(3)[-1]).hexdigest(),
    }


@given(count=sizes, comments=st.lists(texts, min_size=1, max_size=5), data=st.data())
@no_fixture_reset
def test_any_changed_byte_is_found_and_its_entry_named(
    export: Export, count: int, comments: list[str], data: st.DataObject
) -> None:
    export.write(count, comments)
    lines = export.lines
    place = data.draw(st.integers(0, len(lines) - 1), label="line")
    line = bytearray(lines[place])
    index = data.draw(st.integers(0, len(line) - 1), label="byte")
    line[index] ^= data.draw(st.integers(1, 255), label="by")
    lines[place] = bytes(line)
    export.lines = lines
    # The first and the last line are no entries. A line that runs into the next takes that with it.
    expected = place if 0 < place <= count else None
    assert export.altered() == expected


@given(count=st.integers(1, 70), data=st.data())
@no_fixture_reset
def test_a_changed_link_is_laid_to_the_entry_that_has_it(export: Export, count: int, data: st.DataObject) -> None:
    export.write(count)
    lines = export.lines
    place = data.draw(st.integers(1, count))
    entry = json.loads(lines[place])
    entry["previous"] = data.draw(st.one_of(texts, st.just("0" * 64)).filter(lambda text: text != entry["previous"]))
    lines[place] = canonical(entry) + b"\n"
    export.lines = lines
    assert export.altered() == place


@given(count=st.integers(1, 70), data=st.data())
@no_fixture_reset
def test_a_changed_word_is_laid_to_its_entry(export: Export, count: int, data: st.DataObject) -> None:
    export.write(count)
    lines = export.lines
    changed = data.draw(st.sets(st.integers(1, count), min_size=1))
    for place in changed:
        entry = json.loads(lines[place])
        entry["actor"] = "user:nobody"
        lines[place] = canonical(entry) + b"\n"
    export.lines = lines
    assert export.altered() == min(changed)


@given(count=st.integers(0, 70), data=st.data())
@no_fixture_reset
def test_a_removed_line_is_found(export: Export, count: int, data: st.DataObject) -> None:
    export.write(count)
    lines = export.lines
    place = data.draw(st.integers(0, count + 1))
    del lines[place]
    export.lines = lines
    assert export.altered() == (place if 0 < place <= count else None)


@given(count=st.integers(1, 70), data=st.data())
@no_fixture_reset
def test_a_repeated_line_is_found(export: Export, count: int, data: st.DataObject) -> None:
    export.write(count)
    lines = export.lines
    which, place = data.draw(st.integers(1, count)), data.draw(st.integers(1, count + 1))
    lines.insert(place, lines[which])
    export.lines = lines
    assert export.altered() == (which if place == which + 1 else place)


@given(count=st.integers(2, 70), data=st.data())
@no_fixture_reset
def test_exchanged_lines_are_found(export: Export, count: int, data: st.DataObject) -> None:
    export.write(count)
    lines = export.lines
    one, other = sorted(data.draw(st.lists(st.integers(0, count + 1), min_size=2, max_size=2, unique=True)))
    lines[one], lines[other] = lines[other], lines[one]
    export.lines = lines
    assert export.altered() == (one or None)


@given(count=st.integers(0, 70), data=st.data())
@no_fixture_reset
def test_a_file_that_was_cut_anywhere_is_found(export: Export, count: int, data: st.DataObject) -> None:
    export.write(count)
    whole = export.path.read_bytes()
    export.path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    verdict = export.verify()
    assert not verdict.is_intact
    assert verdict.head.tree_size <= count


@given(noise=st.binary(max_size=300), count=st.integers(0, 4), data=st.data())
@no_fixture_reset
def test_noise_is_refused_and_crashes_nothing(export: Export, noise: bytes, count: int, data: st.DataObject) -> None:
    export.write(count)
    whole = export.path.read_bytes()
    place = data.draw(st.integers(0, len(whole)))
    rest = data.draw(st.integers(place, len(whole)))
    changed = whole[:place] + noise + whole[rest:]
    export.path.write_bytes(changed)
    assert export.verify().is_intact is (changed == whole)


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"position":2,"previous":"","tenant":"acme","a":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"position":true,"previous":"","tenant":"acme"}',
        b'{"position":2.0,"previous":"","tenant":"acme"}',
        b'{"position":' + b"9" * 5_000 + b',"previous":"","tenant":"acme"}',
        b'{"position":2,"previous":null,"tenant":"acme"}',
        b'{"position":2,"previous":"\\ud800","tenant":"acme"}',
        b'{"position":2,"previous":"' + b"a" * (17 << 20) + b'","tenant":"acme"}',
        b"null",
        b"",
        b"\xff\xfe{\x00}\x00",
    ],
    ids=lambda line: line[:16].decode(errors="replace"),
)
def test_what_is_no_entry_is_named(export: Export, line: bytes) -> None:
    export.write(3)
    lines = export.lines
    lines[2] = line + b"\n"
    export.lines = lines
    assert export.altered() == 2


def test_an_entry_that_was_slipped_in_is_found(export: Export) -> None:
    export.write(5)
    lines = export.lines
    forged = {**json.loads(lines[3]), "comment": "forged"}
    export.lines = [*lines[:3], canonical(forged) + b"\n", *lines[3:]]
    verdict = export.verify()
    assert (verdict.altered_position, verdict.problem) == (3, "is there twice")


def test_entries_behind_the_head_are_found(export: Export) -> None:
    export.write(5)
    longer = contents(7)
    lines = export.lines
    export.lines = [*lines[:-1], *(line + b"\n" for line in longer[5:]), lines[-1]]
    assert export.altered() == 6
    export.lines = [*lines, longer[5] + b"\n"]
    assert export.altered() == 6


def test_a_tail_that_was_cut_off_is_found_by_the_head_of_the_file(export: Export) -> None:
    export.write(9)
    lines = export.lines
    export.lines = [*lines[:6], lines[-1]]
    verdict = export.verify()
    assert verdict.altered_position == 6
    assert str(verdict) == "entry 6 of the audit of acme is missing, and all up to 9 are"


@given(before=st.integers(0, 40), count=st.integers(0, 40))
@no_fixture_reset
def test_a_kept_head_must_be_that_of_the_beginning(export: Export, before: int, count: int) -> None:
    lines = contents(count)
    export.write(count)
    kept = head_of(contents(before))
    if before <= count:
        assert export.verify(kept).is_intact
        bare = AuditHead("", before, kept.root_hash, "")
        assert export.verify(bare).is_intact
        assert export.altered(replace(kept, root_hash="0" * 64)) is None
    else:
        assert export.altered(kept) == count + 1
    assert head_of(lines) == export.verify().head


def test_a_history_that_was_written_anew_is_found_by_a_kept_head_only(export: Export) -> None:
    kept = export.write(6)
    export.write(9, ["because"])
    assert export.verify().is_intact
    verdict = export.verify(kept)
    assert (verdict.is_intact, verdict.altered_position) == (False, None)
    assert "does not begin with the 6 entries whose head was kept" in str(verdict)


def test_a_head_of_another_tenant_is_no_alteration(export: Export) -> None:
    kept = export.write(2)
    with pytest.raises(InvalidArgument) as caught:
        export.verify(replace(kept, tenant="globex"))
    assert caught.value.reason == "AUDIT_HEAD_OF_ANOTHER_TENANT"


def test_entries_of_another_tenant_are_found(export: Export) -> None:
    lines = [entry.content for entry in entries(3, tenant="globex")]
    write_export(export.path, head_of(lines), lines)
    assert export.altered() == 1


def test_a_head_is_read_from_what_people_keep(export: Export, tmp_path: Path) -> None:
    head = export.write(40)
    kept = tmp_path / "head.json"
    kept.write_text(
        json.dumps({"tenant": TENANT, "tree_size": 40, "root_hash": head.root_hash, "last_hash": ""}, indent=2)
    )
    assert read_head(kept) == replace(head, last_hash="")
    assert read_head(export.path) == head
    for wrong in ("", "{}", "[]", '{"tenant":"acme","tree_size":true,"root_hash":"","last_hash":""}', "\0"):
        kept.write_text(wrong)
        with pytest.raises(InvalidArgument) as caught:
            read_head(kept)
        assert caught.value.reason == "AUDIT_HEAD_UNREADABLE"


def test_an_export_that_breaks_off_leaves_what_was_there(export: Export) -> None:
    export.write(3)
    before = export.path.read_bytes()

    def broken() -> Iterator[bytes]:
        yield from contents(2)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        write_export(export.path, head_of(contents(9)), broken())
    assert export.path.read_bytes() == before
    assert list(export.path.parent.iterdir()) == [export.path]


def test_memory_does_not_grow_with_the_export(export: Export) -> None:
    def peak(count: int) -> int:
        export.write(count)
        tracemalloc.start()
        assert verify_export(export.path).is_intact
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(500), peak(5_000)
    assert large < small * 1.5


def test_progress_is_told_on_the_way_and_at_the_end(export: Export) -> None:
    export.write(2_500)
    seen: list[int] = []
    verify_export(export.path, progress=seen.append)
    assert seen == [1_000, 2_000, 2_500]


@given(st.lists(st.binary(max_size=8), max_size=140))
def test_roots_are_those_of_the_registry(leaves: list[bytes]) -> None:
    frontier, peaks = Frontier(), list[bytes]()
    assert frontier.root == EMPTY_ROOT == server_merkle.EMPTY_ROOT
    for number, content in enumerate(leaves):
        frontier.append(leaf_hash(content))
        peaks, _ = server_merkle.append(peaks, number, server_merkle.leaf_hash(content))
        assert (frontier.size, frontier.root) == (number + 1, server_merkle.root_of(peaks))


@given(size=st.integers(1, 90), data=st.data())
def test_the_proofs_of_the_registry_hold_and_no_others(size: int, data: st.DataObject) -> None:
    nodes: dict[tuple[int, int], bytes] = {}
    peaks: list[bytes] = []
    for number in range(size):
        leaf = nodes[0, number] = leaf_hash(str(number).encode())
        peaks, made = server_merkle.append(peaks, number, leaf)
        nodes.update({(level, place): hash_ for level, place, hash_ in made})
    root = server_merkle.root_of(peaks)
    number, earlier = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    included = server_merkle.inclusion_proof(number, size, lambda *place: nodes[place])
    grown = server_merkle.consistency_proof(earlier, size, lambda *place: nodes[place])
    before = server_merkle.root(earlier, lambda *place: nodes[place])
    assert is_included(nodes[0, number], number, size, included, root)
    assert is_consistent(earlier, before, size, root, grown)
    proof = AuditProof(number + 1, None, size, root.hex(), nodes[0, number].hex(), [one.hex() for one in included])
    assert proof.is_valid
    assert AuditProof(None, earlier, size, root.hex(), before.hex(), [one.hex() for one in grown]).is_valid
    other = data.draw(st.integers(0, 200))
    for wrong in (
        replace(proof, claimed_hash="00" * 32),
        replace(proof, hashes=[*proof.hashes, "00" * 32]),
        replace(proof, hashes=["zz", *proof.hashes]),
        replace(proof, position=None, earlier=None),
        replace(proof, root_hash="00" * 32),
    ):
        assert not wrong.is_valid
    assert is_included(nodes[0, number], other, size, included, root) is (other == number)
    assert not is_consistent(earlier, before, size, b"\0" * 32, grown)
    assert not is_consistent(size + 1, root, size, root, grown)
