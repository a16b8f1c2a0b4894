"""What every implementation of the port `Database` must do: upload sessions, their parts and where files come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.ports.database import Transaction
from registrar_server.domain.access import EVERY_NAME, NamePattern
from registrar_server.domain.bundles import BundleFile, FileType
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.uploads import FileState, UploadFile
from tests.fixtures.database import NOON, add_model, at, uid
from tests.fixtures.sessions import (
    PART,
    Session,
    claim_bundle,
    commit_bundle,
    file_of,
    lease_files,
    open_session,
    receive_all,
    session_of,
)

MANY = 1_100
"""More than fit into one statement."""


def clear_away(transaction: Transaction, session: Session) -> None:
    """Give a session up and remove what it left."""
    assert transaction.uploads.expire(session.uid, time=at(2))
    assert session.uid in {c.uid for c in transaction.bundles.lease_abandoned(now=at(3), until=at(4), limit=9)}
    assert transaction.bundles.forget(session.uid, lease=at(4))


class TestSessions:
    """From the claim of a bundle to its end."""

    def test_a_claim_is_a_session_once_it_is_opened(self, database: SqlDatabase) -> None:
        files = [file_of(0, 25), file_of(1, 0)]
        with database.writing() as transaction:
            model = add_model(transaction, "m", tenant="acme-corp")
            claim = claim_bundle(transaction, model, Session("", model, tuple(files)).manifest, at(60))
            assert transaction.uploads.find(claim.uid) is None
            assert transaction.uploads.lock(claim.uid) is None
            session = open_session(transaction, files, model=model)
            assert session.uid == claim.uid
        with database.writing() as transaction:
            found = transaction.uploads.find(session.uid)
            assert found == transaction.uploads.lock(session.uid)
            assert found is not None
            assert (found.uid, found.model, found.model_uid) == (session.uid, model.key, model.uid)
            assert (found.manifest_digest, found.prefix) == (session.manifest.digest, session.prefix)
            assert (found.size_bytes, found.file_count, found.created_by) == (25, 2, "ada")
            assert (found.create_time, found.expire_time, found.wipes) == (NOON, at(60), 0)
            assert transaction.uploads.find("f" * 32) is None
            assert transaction.bundles.get(session.uid) is None

    def test_files_come_back_by_index_as_they_were_given(self, database: SqlDatabase) -> None:
        files = [
            UploadFile(2, BundleFile("ä/z", 2**42, "a" * 64, FileType.CARD), 2**29, FileState.MISSING, "up-1"),
            UploadFile(0, BundleFile("b", 0, "b" * 64, FileType.OTHER), 2**23, FileState.STORED, ""),
            UploadFile(1, BundleFile("a", 7, "c" * 64, FileType.MODEL), 2**23, FileState.COPYING, "", "t/m/x/a"),
        ]
        with database.writing() as transaction:
            session = open_session(transaction, files)
            by_index = sorted(files, key=lambda file: file.index)
            assert list(transaction.uploads.files(session.uid)) == by_index
            assert transaction.uploads.files_at(session.uid, [2, 0, 2, 9]) == {0: by_index[0], 2: by_index[2]}
            assert transaction.uploads.files_at(session.uid, []) == {}
            assert list(transaction.uploads.files("f" * 32)) == []

    def test_a_session_is_opened_once(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 25, 7)
            found = transaction.uploads.find(session.uid)
            again = [file_of(0, 99)]
            assert not transaction.uploads.open(session.uid, again, size_bytes=99, created_by="eve", time=at(9))
            assert transaction.uploads.find(session.uid) == found
            assert list(transaction.uploads.files(session.uid)) == list(session.files)
            assert not transaction.uploads.open("f" * 32, again, size_bytes=99, created_by="eve", time=at(9))

    def test_the_end_of_a_session_moves_on_and_never_back(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 25)
            transaction.uploads.extend(session.uid, until=at(600))
            transaction.uploads.extend(session.uid, until=at(90))
            found = transaction.uploads.find(session.uid)
            assert found is not None
            assert found.expire_time == at(600)
            assert not transaction.bundles.is_any_abandoned(at(599))

    def test_a_session_that_is_given_up_is_gone_at_once_and_due_for_clearing(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 25)
            epoch = transaction.uploads.claim_parts(session.uid, [(0, 1)])
            assert transaction.uploads.expire(session.uid, time=at(1))
            assert transaction.uploads.find(session.uid) is None
            assert transaction.uploads.lock(session.uid) is None
            assert not transaction.uploads.expire(session.uid, time=at(2))
            transaction.uploads.extend(session.uid, until=at(600))
            assert not transaction.bundles.keep_claim(session.uid, until=at(600))
            assert not transaction.uploads.record_parts(session.uid, epoch, {(0, 1): "e"})
            assert not transaction.uploads.record_stored(session.uid, epoch, [0])
            assert not transaction.uploads.drop_file(session.uid, epoch, 0)
            assert not transaction.uploads.begin_wipe(session.uid)
            assert not commit_bundle(transaction, session)
        with pytest.raises(RegistrarError) as caught, database.writing() as transaction:
            claim_bundle(transaction, session.model, session.manifest, at(60))
        assert caught.value.reason is Reason.DATABASE_BUSY
        with database.writing() as transaction:
            assert transaction.bundles.is_any_abandoned(at(2))
            (claim,) = transaction.bundles.lease_abandoned(now=at(2), until=at(9), limit=9)
            assert (claim.uid, claim.prefix) == (session.uid, session.prefix)

    def test_a_claim_without_a_session_is_not_given_up(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            claim = claim_bundle(transaction, model, Session("", model, (file_of(0, 1),)).manifest, at(60))
            assert not transaction.uploads.expire(claim.uid, time=at(1))
            assert transaction.bundles.keep_claim(claim.uid, until=at(60))
            committed = session_of(transaction, 7)
            assert commit_bundle(transaction, committed)
            assert not transaction.uploads.expire(committed.uid, time=at(1))
            assert transaction.bundles.get(committed.uid) is not None

    def test_what_is_cleared_away_leaves_nothing_to_the_next_session(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session, other = session_of(transaction, 25, 7), session_of(transaction, 25, 7)
            for each in (session, other):
                receive_all(transaction, each, 0)
            clear_away(transaction, session)
            assert list(transaction.uploads.files(session.uid)) == []
            assert transaction.uploads.received(session.uid) == {}
            again = open_session(transaction, session.files, model=session.model)
            assert again.uid != session.uid
            assert transaction.uploads.received(again.uid) == {}
            assert transaction.uploads.received(other.uid) == {0: [1, 2, 3]}

    def test_a_commit_ends_the_session_and_removes_its_rows(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 25, 7)
            receive_all(transaction, session, 0, 1)
            assert commit_bundle(transaction, session)
            assert transaction.uploads.find(session.uid) is None
            assert list(transaction.uploads.files(session.uid)) == []
            assert transaction.uploads.received(session.uid) == {}
            bundle = transaction.bundles.get(session.uid)
            assert bundle is not None
            assert (bundle.created_by, bundle.size_bytes, bundle.file_count) == ("grace", 32, 2)

    def test_a_commit_is_refused_while_a_file_is_copied(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = open_session(transaction, [file_of(0, 7), file_of(1, 7, source_key="t/m/x/a")])
        with pytest.raises(RegistrarError) as caught, database.writing() as transaction:
            commit_bundle(transaction, session)
        assert caught.value.reason is Reason.DATABASE_BUSY
        with database.writing() as transaction:
            assert transaction.uploads.find(session.uid) is not None
            assert len(lease_files(transaction, "a:1", at(1), at(9))) == 1
            assert transaction.uploads.set_stored(session.uid, 1, "a:1")
            assert commit_bundle(transaction, session)

    def test_a_wipe_is_announced_while_the_bundle_is_being_written_only(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 7)
            assert transaction.uploads.begin_wipe(session.uid)
            assert transaction.uploads.begin_wipe(session.uid)
            found = transaction.uploads.find(session.uid)
            assert found is not None
            assert found.wipes == 2
            assert claim_bundle(transaction, session.model, session.manifest, at(60)).wipes == 2
            assert commit_bundle(transaction, session, wipes=2)
            assert not transaction.uploads.begin_wipe(session.uid)
            assert not transaction.uploads.begin_wipe("f" * 32)

    def test_files_are_counted_by_what_is_left_to_do(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            files = [file_of(0, 7), file_of(1, 7, source_key="k"), file_of(2, 7, source_key="k"), file_of(3, 25)]
            files.append(replace(file_of(4, 0), state=FileState.STORED))
            session = open_session(transaction, files)
            receive_all(transaction, session, 3)
            transaction.uploads.begin(session.uid, [3], time=at(1))
            counts = {FileState.MISSING: 1, FileState.COPYING: 2, FileState.VERIFYING: 1}
            assert transaction.uploads.count_unfinished(session.uid) == counts
            done = session_of(transaction, 0)
            assert transaction.uploads.record_stored(done.uid, receive_all(transaction, done, 0), [0])
            assert transaction.uploads.count_unfinished(done.uid) == {}


class TestParts:
    """Who writes which part, and what is durable."""

    def test_a_claimed_part_is_received_when_it_is_recorded(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 35, 7, 0)
            epoch = transaction.uploads.claim_parts(session.uid, [(0, 3), (0, 1), (0, 2), (1, 1)])
            assert transaction.uploads.received(session.uid) == {}
            assert transaction.uploads.record_parts(session.uid, epoch, {(1, 1): "x", (0, 3): "c"})
            assert transaction.uploads.record_parts(session.uid, epoch, {(0, 1): "a"})
            assert transaction.uploads.received(session.uid) == {0: [1, 3], 1: [1]}
            assert transaction.uploads.received(session.uid, [1, 2]) == {1: [1]}
            assert transaction.uploads.received(session.uid, []) == {}
            assert list(transaction.uploads.etags(session.uid, 0)) == ["a", "c"]
            assert list(transaction.uploads.etags(session.uid, 2)) == []
            assert transaction.uploads.record_parts(session.uid, epoch, {})

    def test_the_same_etag_again_is_no_contradiction_and_another_is(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 35)
            epoch = transaction.uploads.claim_parts(session.uid, [(0, 1), (0, 2)])
            assert transaction.uploads.record_parts(session.uid, epoch, {(0, 1): "a"})
            assert transaction.uploads.record_parts(session.uid, epoch, {(0, 1): "a", (0, 2): "b"})
            assert not transaction.uploads.record_parts(session.uid, epoch, {(0, 1): "other"})
            assert list(transaction.uploads.etags(session.uid, 0)) == ["a", "b"]

    def test_a_writer_whose_part_another_has_claimed_can_add_nothing_to_it(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 45)
            zombie = transaction.uploads.claim_parts(session.uid, [(0, n) for n in (1, 2, 3, 4)])
            assert transaction.uploads.record_parts(session.uid, zombie, {(0, 1): "a"})
            later = transaction.uploads.claim_parts(session.uid, [(0, 2), (0, 3)])
            assert later > zombie
            assert not transaction.uploads.record_parts(session.uid, zombie, {(0, 2): "old"})
            assert transaction.uploads.record_parts(session.uid, later, {(0, 2): "new"})
            assert not transaction.uploads.record_parts(session.uid, zombie, {(0, 2): "new"})
            assert not transaction.uploads.record_parts(session.uid, later, {(0, 4): "not theirs"})
            assert transaction.uploads.record_parts(session.uid, zombie, {(0, 1): "a", (0, 4): "d"})
            assert transaction.uploads.received(session.uid) == {0: [1, 2, 4]}
            assert list(transaction.uploads.etags(session.uid, 0)) == ["a", "new", "d"]

    def test_one_lost_part_among_many_is_said(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, MANY * PART)
            parts = [(0, number) for number in range(1, MANY + 1)]
            zombie = transaction.uploads.claim_parts(session.uid, parts)
            assert transaction.uploads.owns(session.uid, zombie, parts)
            later = transaction.uploads.claim_parts(session.uid, [(0, 700)])
            assert not transaction.uploads.owns(session.uid, zombie, parts)
            assert transaction.uploads.owns(session.uid, zombie, [part for part in parts if part != (0, 700)])
            assert transaction.uploads.owns(session.uid, later, [(0, 700)])
        with database.writing() as transaction:
            assert not transaction.uploads.record_parts(session.uid, zombie, dict.fromkeys(parts, "e"))
            transaction.discard()
        with database.writing() as transaction:
            assert transaction.uploads.received(session.uid) == {}

    def test_a_part_that_nobody_claimed_is_nobodys(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session, other = session_of(transaction, 35), session_of(transaction, 35)
            epoch = transaction.uploads.claim_parts(session.uid, [(0, 1)])
            assert not transaction.uploads.record_parts(session.uid, epoch, {(0, 2): "e"})
            assert not transaction.uploads.record_parts(other.uid, epoch, {(0, 1): "e"})
            assert not transaction.uploads.owns(session.uid, epoch, [(0, 1), (0, 2)])
            assert not transaction.uploads.owns(other.uid, epoch, [(0, 1)])
            assert transaction.uploads.owns(session.uid, epoch, [])
            assert transaction.uploads.received(session.uid) == transaction.uploads.received(other.uid) == {}

    def test_epochs_grow_with_every_claim(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 35, 7)
            claims = [transaction.uploads.claim_parts(session.uid, [(n % 2, 1)]) for n in range(5)]
            assert claims == sorted(set(claims))

    def test_a_received_part_is_not_taken_away_by_a_claim(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 35)
            first = receive_all(transaction, session, 0)
            later = transaction.uploads.claim_parts(session.uid, [(0, 1), (0, 2)])
            assert transaction.uploads.received(session.uid) == {0: [1, 2, 3, 4]}
            assert transaction.uploads.owns(session.uid, first, [(0, 1)])
            assert not transaction.uploads.record_parts(session.uid, later, {(0, 1): "other"})

    def test_more_files_than_fit_into_one_statement_are_found(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, *[1] * MANY)
            indexes = range(MANY)
            epoch = receive_all(transaction, session, *indexes)
            assert len(transaction.uploads.files_at(session.uid, indexes)) == MANY
            assert transaction.uploads.received(session.uid, indexes) == {index: [1] for index in indexes}
            assert transaction.uploads.record_stored(session.uid, epoch, indexes)
            assert transaction.uploads.count_unfinished(session.uid) == {}

    def test_all_writers_of_a_file_share_the_first_store_upload(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 35, 25)
            assert transaction.uploads.set_store_upload(session.uid, 0, "up-1") == "up-1"
            assert transaction.uploads.set_store_upload(session.uid, 0, "up-2") == "up-1"
            assert transaction.uploads.set_store_upload(session.uid, 1, "up-3") == "up-3"
            assert [file.store_upload_id for file in transaction.uploads.files(session.uid)] == ["up-1", "up-3"]

    def test_whole_files_are_recorded_by_the_owner_of_their_first_parts(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 7, 7, 0, 25)
            zombie = transaction.uploads.claim_parts(session.uid, [(0, 1), (1, 1), (2, 1)])
            later = transaction.uploads.claim_parts(session.uid, [(1, 1)])
            assert not transaction.uploads.record_stored(session.uid, zombie, [0, 1])
            assert not transaction.uploads.record_stored(session.uid, later, [0])
            assert transaction.uploads.count_unfinished(session.uid) == {FileState.MISSING: 4}
            assert transaction.uploads.record_stored(session.uid, zombie, [0, 2])
            assert transaction.uploads.record_stored(session.uid, later, [1])
            states = [file.state for file in transaction.uploads.files(session.uid)]
            assert states == [FileState.STORED] * 3 + [FileState.MISSING]

    def test_a_file_that_is_being_verified_is_left_to_who_verifies_it(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 25)
            epoch = receive_all(transaction, session, 0)
            transaction.uploads.begin(session.uid, [0], time=at(1))
            assert transaction.uploads.record_stored(session.uid, epoch, [0])
            assert not transaction.uploads.drop_file(session.uid, epoch, 0)
            assert transaction.uploads.count_unfinished(session.uid) == {FileState.VERIFYING: 1}
            assert transaction.uploads.received(session.uid) == {0: [1, 2, 3]}

    def test_a_file_with_wrong_bytes_is_dropped_by_the_owner_of_its_first_part(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session = session_of(transaction, 45, 25)
            other_file = receive_all(transaction, session, 1)
            transaction.uploads.set_store_upload(session.uid, 0, "up-1")
            zombie = transaction.uploads.claim_parts(session.uid, [(0, 1), (0, 2)])
            writer = transaction.uploads.claim_parts(session.uid, [(0, n) for n in (1, 2, 3)])
            beside = transaction.uploads.claim_parts(session.uid, [(0, 4), (0, 5)])
            assert transaction.uploads.record_parts(session.uid, writer, {(0, 1): "a", (0, 2): "b"})
            assert transaction.uploads.record_parts(session.uid, beside, {(0, 4): "d"})
            assert not transaction.uploads.drop_file(session.uid, zombie, 0)
            assert not transaction.uploads.drop_file(session.uid, beside, 0)
            assert transaction.uploads.received(session.uid, [0]) == {0: [1, 2, 4]}
            assert transaction.uploads.drop_file(session.uid, writer, 0)
            assert transaction.uploads.received(session.uid) == {1: [1, 2, 3]}
            assert transaction.uploads.owns(session.uid, other_file, [(1, 1)])
            assert transaction.uploads.files_at(session.uid, [0])[0] == session.files[0]
            for epoch in (zombie, writer, beside):
                assert not transaction.uploads.record_parts(session.uid, epoch, {(0, 5): "e"})
                assert not transaction.uploads.record_parts(session.uid, epoch, {(0, 1): "a"})
            assert not transaction.uploads.drop_file(session.uid, writer, 0)
            assert transaction.uploads.set_store_upload(session.uid, 0, "up-2") == "up-2"
            assert receive_all(transaction, session, 0) > beside


class TestSources:
    """Files that the tenant has already."""

    def test_a_file_is_found_by_digest_and_size_in_a_committed_bundle(self, database: SqlDatabase) -> None:
        wanted = file_of(0, 7, content="shared").file
        with database.writing() as transaction:
            session = open_session(transaction, [file_of(0, 25), file_of(1, 7, content="shared")])
            assert sources(transaction, wanted) == {}
            assert commit_bundle(transaction, session)
            assert sources(transaction, wanted) == {wanted.sha256: f"{session.prefix}/1/ä.bin"}
            assert sources(transaction, replace(wanted, size_bytes=8)) == {}
            assert sources(transaction, replace(wanted, sha256="0" * 64)) == {}
            assert sources(transaction) == {}

    def test_a_digest_in_many_bundles_is_found_in_one_of_them(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            sessions = [
                open_session(transaction, [file_of(0, 9, content="shared"), file_of(1, size)]) for size in (1, 2, 3)
            ]
            for session in sessions:
                assert commit_bundle(transaction, session)
            wanted = sessions[0].files[0].file
            assert set(sources(transaction, wanted, wanted)) == {wanted.sha256}
            assert sources(transaction, wanted)[wanted.sha256] in {f"{s.prefix}/0/ä.bin" for s in sessions}

    def test_a_stranger_s_file_is_nowhere(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            theirs = add_model(transaction, "m", tenant="acme-corp")
            session = open_session(transaction, [file_of(0, 7)], model=theirs)
            assert commit_bundle(transaction, session)
            wanted = session.files[0].file
            assert sources(transaction, wanted) == {}
            assert sources(transaction, wanted, readable=[NamePattern(theirs.key.name)]) == {}
            assert set(sources(transaction, wanted, tenant="acme-corp")) == {wanted.sha256}

    def test_only_readable_models_are_looked_at(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            session, other = session_of(transaction, 7), session_of(transaction, 8)
            for each in (session, other):
                assert commit_bundle(transaction, each)
            wanted = session.files[0].file
            assert sources(transaction, wanted, readable=[]) == {}
            assert sources(transaction, wanted, readable=[NamePattern(other.model.key.name)]) == {}
            name = session.model.key.name
            for end in ("", "*"):
                many = [NamePattern(uid() + end) for _ in range(MANY)]
                assert sources(transaction, wanted, readable=many) == {}
                for own in (name, name[:-1] + "*", name + "*"):
                    assert set(sources(transaction, wanted, readable=[*many, NamePattern(own)])) == {wanted.sha256}
                assert sources(transaction, wanted, readable=[*many, NamePattern(name[:-1])]) == {}

    def test_a_deleted_model_is_not_looked_at_and_a_reserved_name_is(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            reserved = add_model(transaction, "m", is_reserved=True)
            session = open_session(transaction, [file_of(0, 7)], model=reserved)
            assert commit_bundle(transaction, session)
            wanted = session.files[0].file
            assert set(sources(transaction, wanted)) == {wanted.sha256}
            transaction.models.appear(reserved)
            transaction.models.set_deleted(reserved.uid, delete_time=at(1), purge_time=at(2), time=at(1))
            assert sources(transaction, wanted) == {}
            transaction.models.set_deleted(reserved.uid, delete_time=None, purge_time=None, time=at(1))
            assert set(sources(transaction, wanted)) == {wanted.sha256}

    def test_thousands_of_files_are_looked_up_at_once(self, database: SqlDatabase) -> None:
        count = 5_000
        files = [replace(file_of(index, index % 50), part_size_bytes=2**23) for index in range(count)]
        with database.writing() as transaction:
            session = open_session(transaction, files)
            assert commit_bundle(transaction, session)
            asked = [*session.manifest.files, *(file_of(count + n, 1).file for n in range(50))]
            found = transaction.uploads.find_source("default", asked, readable=EVERY_NAME)
        prefix = session.prefix
        assert found == {file.file.sha256: f"{prefix}/{file.file.path}" for file in files}


def sources(
    transaction: Transaction, *files: BundleFile, tenant: str = "default", readable: Sequence[NamePattern] = EVERY_NAME
) -> dict[str, str]:
    return dict(transaction.uploads.find_source(tenant, files, readable=readable))
