"""What nobody will finish is cleared away, and nothing else ever is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from minio import Minio

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.adapters.minio_bundles import MinioBundleStore
from registrar_server.application.bundle_writer import CLAIM_SECONDS, BundleWriter, WritingBundle
from registrar_server.application.clearing import Clearing
from registrar_server.domain.bundles import Manifest
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import ModelKey
from tests.fixtures.faults import CALLER, Hooked, MovableClock, fail, manifest_of, new_database, once
from tests.fixtures.mlflow import unique
from tests.fixtures.stores import TEST_BUCKET, wait_until

LARGE = b"x" * (11 << 20)
FILES = {"a-small.bin": b"small", "b-large.bin": LARGE}


class Room:
    """Writer and clearing on one database and one real store, by one clock."""

    def __init__(self, database: SqlDatabase, store: MinioBundleStore) -> None:
        self.clock = MovableClock()
        self.store = store
        self.database = database
        self.hooked = Hooked(store)
        self.writer = BundleWriter(database, store, self.clock)
        self.clearing = Clearing(database, self.hooked, self.clock)
        self.model = ModelKey("default", unique("model-"))
        self.begun: list[AbstractContextManager[WritingBundle]] = []

    def begin(self, files: dict[str, bytes]) -> WritingBundle:
        """An upload that is never ended: what a killed server leaves."""
        opened = self.writer.open(CALLER, self.model, manifest_of(files))
        # Kept: a context that is collected is left, and the upload aborted.
        self.begun.append(opened)
        return opened.__enter__()

    def push(self, files: dict[str, bytes]) -> str:
        """A committed bundle: its prefix."""
        manifest = manifest_of(files)
        with self.writer.open(CALLER, self.model, manifest) as writing:
            if writing.existing is not None:
                return writing.existing.prefix
            send(writing, manifest, files)
            bundle, _ = writing.commit()
        return bundle.prefix

    def keys(self, prefix: str = "") -> set[str]:
        return {found.key for found in self.store.list_objects(prefix)}

    def require_whole(self, prefix: str, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            assert self.store.hash_object(f"{prefix}/{path}") == (len(data), hashlib.sha256(data).hexdigest())


def send(writing: WritingBundle, manifest: Manifest, files: dict[str, bytes]) -> None:
    for file in manifest.files:
        writing.next_file(file)
        data = files[file.path]
        for start in range(0, len(data), 1 << 20):
            writing.write(data[start : start + (1 << 20)])


@pytest.fixture
def room(tmp_path: Path, bundle_store: MinioBundleStore) -> Iterator[Room]:
    database = new_database(tmp_path / "registrar.db")
    yield Room(database, bundle_store)
    database.close()


@pytest.fixture
def uploads(s3: Minio, room: Room) -> Callable[[str], int]:
    """How many multipart uploads of one object are open. MinIO lists them by whole names only."""

    def count(key: str) -> int:
        name = room.store.uri(key).removeprefix(f"s3://{TEST_BUCKET}/")
        return len(s3._list_multipart_uploads(TEST_BUCKET, prefix=name).uploads)

    return count


class TestAbandoned:
    def test_objects_and_multipart_uploads_go(self, room: Room, uploads: Callable[[str], int]) -> None:
        kept = room.push({"kept.bin": b"kept"})
        manifest = manifest_of(FILES)
        writing = room.begin(FILES)
        writing.next_file(manifest.files[0])
        writing.write(FILES["a-small.bin"])
        writing.next_file(manifest.files[1])
        writing.write(LARGE[: 6 << 20])
        # Closing the small file may go on behind; its object is what clearing must find.
        small, large = (f"{writing._prefix}/{file.path}" for file in manifest.files)
        wait_until(lambda: {small} <= room.keys() and uploads(large) == 1, 30)
        assert room.clearing.work() == 0, "it is alive"
        room.clock.advance(CLAIM_SECONDS + 1)
        assert room.clearing.work() == 1
        assert room.keys() == {f"{kept}/kept.bin"}
        assert uploads(large) == 0
        room.clock.advance(10 * CLAIM_SECONDS)
        assert room.clearing.work() == 0
        room.require_whole(kept, {"kept.bin": b"kept"})
        writing.abort()

    def test_the_same_bundle_can_be_pushed_again_afterwards(self, room: Room) -> None:
        room.begin(FILES).abort()
        room.clock.advance(CLAIM_SECONDS + 1)
        room.clearing.work()
        room.require_whole(room.push(FILES), FILES)

    def test_and_before_too(self, room: Room) -> None:
        room.begin(FILES).abort()
        room.clock.advance(CLAIM_SECONDS + 1)
        prefix = room.push(FILES)
        assert room.clearing.work() == 0
        room.require_whole(prefix, FILES)

    def test_committed_bundles_are_never_touched(self, room: Room) -> None:
        prefix = room.push(FILES)
        room.clock.advance(100 * 86_400)
        assert room.clearing.work() == 0
        assert "delete_prefix" not in room.hooked.calls
        room.require_whole(prefix, FILES)


class TestLive:
    def test_a_slow_upload_keeps_its_claim_by_writing(self, room: Room) -> None:
        manifest = manifest_of(FILES)
        with room.writer.open(CALLER, room.model, manifest) as writing:
            writing.next_file(manifest.files[0])
            writing.write(FILES["a-small.bin"])
            writing.next_file(manifest.files[1])
            for start in range(0, len(LARGE), 1 << 20):
                writing.write(LARGE[start : start + (1 << 20)])
                room.clock.advance(CLAIM_SECONDS / 2)
                assert room.clearing.work() == 0
            bundle, _ = writing.commit()
        room.require_whole(bundle.prefix, FILES)

    def test_who_joins_an_abandoned_upload_keeps_it_alive(self, room: Room) -> None:
        left = room.begin(FILES)
        room.clock.advance(CLAIM_SECONDS - 1)
        manifest = manifest_of(FILES)
        with room.writer.open(CALLER, room.model, manifest) as writing:
            room.clock.advance(2)
            assert room.clearing.work() == 0
            send(writing, manifest, FILES)
            bundle, _ = writing.commit()
        left.abort()
        room.require_whole(bundle.prefix, FILES)

    def test_two_uploads_of_one_bundle_both_end_well(self, room: Room) -> None:
        manifest = manifest_of(FILES)
        with room.writer.open(CALLER, room.model, manifest) as one:
            with room.writer.open(CALLER, room.model, manifest) as two:
                send(one, manifest, FILES)
                send(two, manifest, FILES)
                first, first_event = two.commit()
            second, second_event = one.commit()
        assert first == second
        assert first_event
        assert not second_event
        room.require_whole(first.prefix, FILES)

    def test_an_upload_that_was_cleared_while_it_stood_still_commits_nothing(self, room: Room) -> None:
        manifest = manifest_of(FILES)
        with pytest.raises(RegistrarError) as refused:
            with room.writer.open(CALLER, room.model, manifest) as writing:
                send(writing, manifest, FILES)
                room.clock.advance(CLAIM_SECONDS + 1)
                assert room.clearing.work() == 1
                writing.commit()
        assert refused.value.reason in (Reason.TRANSFER_STALLED, Reason.STORE_UNAVAILABLE)
        with room.database.reading() as transaction:
            locked = transaction.models.get(room.model)
        assert locked is None, "nothing is visible"
        room.require_whole(room.push(FILES), FILES)

    def test_a_bundle_that_is_being_cleared_refuses_uploads_for_now(self, room: Room) -> None:
        room.begin(FILES).abort()
        room.clock.advance(CLAIM_SECONDS + 1)
        refusals: list[Reason] = []

        def push_meanwhile() -> None:
            with pytest.raises(RegistrarError) as refused:
                room.push(FILES)
            refusals.append(refused.value.reason)
            assert refused.value.retry_after_seconds

        room.hooked.before["delete_prefix"] = once(push_meanwhile)
        assert room.clearing.work() == 1
        assert refusals == [Reason.DATABASE_BUSY]
        room.require_whole(room.push(FILES), FILES)


class TestFailures:
    def test_one_that_cannot_be_cleared_holds_up_no_other(self, room: Room) -> None:
        for content in (b"one", b"two", b"three"):
            room.begin({"model.bin": content}).abort()
        room.clock.advance(CLAIM_SECONDS + 1)
        room.hooked.before["delete_prefix"] = once(fail(Reason.STORE_UNAVAILABLE))
        assert room.clearing.work() == 2
        assert room.clearing.work() == 0
        room.clock.advance(3_600)
        assert room.clearing.work() == 1
