"""Upload sessions on a database and a store in memory: whatever breaks between two steps, nothing wrong becomes visible."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.artifacts import Artifacts, Chunk
from registrar_server.application.authorization import Permit
from registrar_server.application.bundle_writer import BundleWriter
from registrar_server.application.clearing import Clearing
from registrar_server.application.ports.bundle_store import StoreUploadGone
from registrar_server.application.upload_finishing import LEASE_SECONDS, UploadFinishing
from registrar_server.application.upload_streams import UploadStreams
from registrar_server.application.uploads import SESSION_SECONDS, UploadRef, Uploads, UploadStatus, WantedRange
from registrar_server.domain.access import Right
from registrar_server.domain.bundles import Manifest
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.uploads import ByteRange, FileState
from registrar_server.domain.values import ModelKey
from tests.fixtures.faults import CALLER, Hooked, MovableClock, NoSignals, fail, manifest_of, new_database, once
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.mlflow import unique

PART = 1000
LARGE = bytes(range(256)) * 10
"""2,560 bytes: three parts."""
FULL = {"a-small": b"small", "b-large": LARGE}
FILES = {**FULL, "c-empty": b""}


class Died(BaseException):
    """The process is gone: nobody tidies up."""


def die() -> None:
    raise Died


def ref_of(uid: str, tenant: str = "default") -> UploadRef:
    """A session, for somebody who may everything in that tenant."""
    return UploadRef(Permit(CALLER, Right.REGISTER, tenant), uid)


class Shop:
    """Everything that makes up uploads, on one database and one store, by one clock."""

    def __init__(self, database: SqlDatabase) -> None:
        self.database = database
        self.clock = MovableClock()
        self.memory = MemoryStore(part_bytes=PART)
        self.store: Any = Hooked(self.memory)
        signals = NoSignals()
        self.uploads = Uploads(database, self.store, self.clock, signals)
        self.streams = UploadStreams(database, self.store, self.clock, signals)
        self.finishing = UploadFinishing(database, self.store, self.clock, signals, "node:one")
        self.other_finishing = UploadFinishing(database, self.store, self.clock, signals, "other:one")
        self.clearing = Clearing(database, self.store, self.clock)
        self.artifacts = Artifacts(database, BundleWriter(database, self.store, self.clock))

    def open(self, model: ModelKey, files: Mapping[str, bytes]) -> UploadStatus:
        return self.uploads.create(CALLER, model, manifest_of(dict(files)))

    def write(
        self,
        uid: str,
        data: Sequence[bytes],
        ranges: Sequence[tuple[int, int, int]],
        *,
        tenant: str = "default",
        break_after: int | None = None,
    ) -> int:
        """Write ranges; with `break_after` the connection breaks after so many bytes."""
        wanted = [WantedRange(file, ByteRange(offset, length)) for file, offset, length in ranges]

        def chunks() -> Iterator[Chunk]:
            sent = 0
            for file, offset, length in ranges:
                for position in range(offset, offset + length, 300):
                    if break_after is not None and sent >= break_after:
                        raise ConnectionError
                    block = data[file][position : min(position + 300, offset + length)]
                    sent += len(block)
                    yield Chunk(file, position, block)
            if break_after is not None:
                raise ConnectionError

        return self.streams.write(ref_of(uid, tenant), wanted, chunks())

    def commit(self, uid: str, tenant: str = "default") -> Any:
        """Commit without waiting."""
        return self.uploads.commit(CALLER, ref_of(uid, tenant), wait_seconds=0, is_alive=lambda: True)

    def work(self, finishing: UploadFinishing | None = None) -> int:
        """Do what the background does, until there is nothing left; how many files."""
        worker = finishing or self.finishing
        count = 0
        while tasks := worker.lease(2):
            for task in tasks:
                count += len(task)
                worker.work(task)
        return count

    def finish(self, uid: str, tenant: str = "default") -> Any:
        """Commit, with the background's work in between."""
        with suppress(RegistrarError):
            return self.commit(uid, tenant)
        self.work()
        return self.commit(uid, tenant)

    def missing(self, uid: str, tenant: str = "default") -> list[tuple[int, int, int]]:
        status = self.uploads.get(ref_of(uid, tenant))
        return [(f.file.index, part.offset, part.length) for f in status.files for part in f.missing]

    def require_whole(self, bundle: Any, files: Mapping[str, bytes]) -> None:
        for path, data in files.items():
            assert self.memory.objects[f"{bundle.prefix}/{path}"] == data


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    database = new_database(tmp_path / "registrar.db")
    yield Shop(database)
    database.close()


@pytest.fixture
def model() -> ModelKey:
    return ModelKey("default", unique("model-"))


def refused(call: Callable[[], object], reason: Reason) -> RegistrarError:
    with pytest.raises(RegistrarError) as caught:
        call()
    assert caught.value.reason is reason, caught.value
    return caught.value


def opened(status: UploadStatus) -> str:
    assert status.session is not None
    return status.session.uid


class TestCrashes:
    def test_an_object_completed_and_not_recorded_does_not_count(self, shop: Shop, model: ModelKey) -> None:
        uid = opened(shop.open(model, FILES))
        # The server dies after the store has made the object, before the database knows of it.
        broken = Hooked(shop.memory)
        streams = UploadStreams(dying(shop.database), broken, shop.clock, NoSignals())
        wanted = [WantedRange(1, None)]
        with pytest.raises(Died):
            streams.write(ref_of(uid), wanted, iter([Chunk(1, 0, LARGE)]))
        assert any(key.endswith("b-large") for key in shop.memory.objects)
        assert shop.uploads.get(ref_of(uid)).received_bytes == 0
        refused(lambda: shop.commit(uid), Reason.UPLOAD_INCOMPLETE)
        # The next push finds the store's upload gone; then what it made is read back, and counts.
        data = list(FILES.values())
        refused(lambda: shop.write(uid, data, shop.missing(uid)), Reason.STORE_UNAVAILABLE)
        assert shop.missing(uid) == [(2, 0, 0)]
        shop.work()
        shop.write(uid, data, shop.missing(uid))
        shop.require_whole(shop.finish(uid).bundle, FILES)

    @pytest.mark.parametrize("method", ["complete_upload", "hash_object"])
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_crash_of_the_verification_is_taken_up(self, shop: Shop, model: ModelKey, method: str, when: str) -> None:
        uid = opened(shop.open(model, {"b-large": LARGE}))
        shop.write(uid, [LARGE], [(0, 0, PART)])
        shop.write(uid, [LARGE], [(0, PART, len(LARGE) - PART)])
        getattr(shop.store, when)[method] = once(die)
        with pytest.raises(Died):
            shop.work()
        assert shop.work(shop.other_finishing) == 0, "the dead one's lease holds"
        refused(lambda: shop.commit(uid), Reason.UPLOAD_PENDING)
        shop.clock.advance(LEASE_SECONDS + 1)
        assert shop.work(shop.other_finishing) == 1
        shop.require_whole(shop.commit(uid).bundle, {"b-large": LARGE})

    def test_a_store_that_is_away_only_postpones(self, shop: Shop, model: ModelKey) -> None:
        uid = opened(shop.open(model, {"b-large": LARGE}))
        shop.write(uid, [LARGE], [(0, 0, PART)])
        shop.write(uid, [LARGE], [(0, PART, len(LARGE) - PART)])
        shop.store.before["complete_upload"] = once(fail(Reason.STORE_UNAVAILABLE))
        assert shop.work() == 1
        refused(lambda: shop.commit(uid), Reason.UPLOAD_PENDING)
        shop.clock.advance(60)
        assert shop.work() == 1
        shop.require_whole(shop.commit(uid).bundle, {"b-large": LARGE})

    def test_who_lost_the_lease_changes_nothing(self, shop: Shop, model: ModelKey) -> None:
        uid = opened(shop.open(model, {"b-large": LARGE}))
        wrong = bytes(len(LARGE))
        shop.write(uid, [wrong], [(0, 0, PART)])
        shop.write(uid, [wrong], [(0, PART, len(LARGE) - PART)])

        def take_over() -> None:
            # Somebody else finds the wrong bytes; the client sends the right ones, and commits.
            shop.clock.advance(LEASE_SECONDS + 1)
            assert shop.work(shop.other_finishing) == 1
            refused(lambda: shop.commit(uid), Reason.DIGEST_MISMATCH)
            shop.write(uid, [LARGE], [(0, 0, len(LARGE))])
            shop.commit(uid)

        shop.store.after["hash_object"] = once(take_over)
        shop.work()
        shop.require_whole(shop.commit(uid).bundle, {"b-large": LARGE})

    def test_the_whole_bundle_written_at_the_same_time_is_not_wiped(self, shop: Shop, model: ModelKey) -> None:
        files = {"b-large": LARGE}
        uid = opened(shop.open(model, files))
        wrong = bytes(len(LARGE))
        shop.write(uid, [wrong], [(0, 0, PART)])
        shop.write(uid, [wrong], [(0, PART, len(LARGE) - PART)])
        manifest = manifest_of(files)

        # The verification read wrong bytes and is about to delete them, when somebody pushes the right ones and commits.
        def push() -> None:
            shop.artifacts.upload(CALLER, model, manifest, iter([Chunk(0, 0, LARGE)]))

        shop.store.after["hash_object"] = once(push)
        shop.work()
        shop.require_whole(shop.commit(uid).bundle, files)

    def test_a_wipe_between_a_whole_upload_and_its_commit_fails_the_commit(self, shop: Shop, model: ModelKey) -> None:
        files = {"b-large": LARGE}
        uid = opened(shop.open(model, files))
        wrong = bytes(len(LARGE))
        shop.write(uid, [wrong], [(0, 0, PART)])
        shop.write(uid, [wrong], [(0, PART, len(LARGE) - PART)])
        manifest = manifest_of(files)

        def work() -> None:
            shop.work(shop.other_finishing)

        shop.store.before["list_objects"] = once(work)
        with suppress(RegistrarError):
            shop.artifacts.upload(CALLER, model, manifest, iter([Chunk(0, 0, LARGE)]))
        found = shop.uploads.create(CALLER, model, manifest)
        if found.bundle is not None:
            shop.require_whole(found.bundle, files)


class _DyingDatabase:
    """A database whose process dies when it is to record what was stored."""

    def __init__(self, inner: SqlDatabase) -> None:
        self._inner = inner
        self._written = itertools.count()

    def reading(self) -> Any:
        return self._inner.reading()

    def writing(self) -> Any:
        # Claim, the store's upload, then the record.
        if next(self._written) >= 2:
            raise Died
        return self._inner.writing()


class TestExpiry:
    def test_what_nobody_writes_to_is_cleared_with_its_parts(self, shop: Shop, model: ModelKey) -> None:
        uid = opened(shop.open(model, FILES))
        shop.write(uid, list(FILES.values()), [(0, 0, 5), (1, 0, PART)])
        assert shop.memory.uploads
        assert shop.memory.objects
        shop.clock.advance(SESSION_SECONDS - 60)
        shop.clearing.work()
        assert shop.uploads.get(ref_of(uid)).received_bytes == 5 + PART
        shop.clock.advance(61)
        assert shop.clearing.work() == 1
        assert not shop.memory.uploads
        assert not shop.memory.objects
        refused(lambda: shop.uploads.get(ref_of(uid)), Reason.UPLOAD_NOT_FOUND)
        assert opened(shop.open(model, FILES)) != uid

    def test_writing_keeps_it_alive(self, shop: Shop, model: ModelKey) -> None:
        uid = opened(shop.open(model, FILES))
        for file in (0, 2):
            shop.clock.advance(SESSION_SECONDS - 60)
            shop.clearing.work()
            shop.write(uid, list(FILES.values()), [(file, 0, len(list(FILES.values())[file]))])
        shop.clearing.work()
        assert shop.missing(uid) == [(1, 0, len(LARGE))]


class TestDeduplication:
    def test_one_changed_file_of_many_is_all_that_is_missing(self, shop: Shop, model: ModelKey) -> None:
        files = {f"shard-{number}": bytes([number]) * 2_500 for number in range(8)}
        shop.write(uid := opened(shop.open(model, files)), list(files.values()), shop.missing(uid))
        shop.finish(uid)
        changed = {**files, "shard-3": b"new" * 1_000}
        status = shop.open(model, changed)
        assert [f.file.index for f in status.files if f.file.state is FileState.COPYING] == [0, 1, 2, 4, 5, 6, 7]
        uid = opened(status)
        assert shop.missing(uid) == [(3, 0, 3_000)]
        shop.write(uid, list(changed.values()), [(3, 0, 3_000)])
        refused(lambda: shop.commit(uid), Reason.UPLOAD_PENDING)
        assert shop.work() == 7
        shop.require_whole(shop.commit(uid).bundle, changed)

    def test_from_another_model_of_the_tenant(self, shop: Shop, model: ModelKey) -> None:
        shop.write(uid := opened(shop.open(model, FULL)), list(FULL.values()), shop.missing(uid))
        shop.finish(uid)
        uid = opened(shop.open(ModelKey("default", unique("model-")), FULL))
        assert shop.missing(uid) == []
        shop.require_whole(shop.finish(uid).bundle, FULL)

    def test_a_strangers_file_cannot_be_fetched_by_its_digest(self, shop: Shop, model: ModelKey) -> None:
        shop.write(uid := opened(shop.open(model, FILES)), list(FILES.values()), shop.missing(uid))
        shop.finish(uid)
        stranger = ModelKey("acme-corp", model.name)
        uid = opened(shop.open(stranger, FILES))
        assert shop.missing(uid, "acme-corp") == [(0, 0, 5), (1, 0, len(LARGE)), (2, 0, 0)]
        shop.work()
        refused(lambda: shop.commit(uid, "acme-corp"), Reason.UPLOAD_INCOMPLETE)
        assert not [key for key in shop.memory.objects if key.startswith("acme-corp/")]

    def test_what_is_not_committed_is_no_source(self, shop: Shop, model: ModelKey) -> None:
        uid = opened(shop.open(model, FILES))
        shop.write(uid, list(FILES.values()), shop.missing(uid))
        other = opened(shop.open(ModelKey("default", unique("model-")), FILES))
        assert shop.missing(other) == [(0, 0, 5), (1, 0, len(LARGE)), (2, 0, 0)]

    def test_a_damaged_source_is_not_spread(self, shop: Shop, model: ModelKey) -> None:
        shop.write(uid := opened(shop.open(model, FULL)), list(FULL.values()), shop.missing(uid))
        bundle = shop.finish(uid).bundle
        shop.memory.objects[f"{bundle.prefix}/b-large"] = LARGE[:-1] + b"!"
        del shop.memory.objects[f"{bundle.prefix}/a-small"]
        uid = opened(shop.open(ModelKey("default", unique("model-")), FULL))
        shop.work()
        assert shop.missing(uid) == [(0, 0, 5), (1, 0, len(LARGE))]
        refused(lambda: shop.commit(uid), Reason.UPLOAD_INCOMPLETE)
        shop.write(uid, list(FULL.values()), shop.missing(uid))
        shop.require_whole(shop.finish(uid).bundle, FULL)

    def test_a_copy_that_was_cut_is_taken_up(self, shop: Shop, model: ModelKey) -> None:
        shop.write(uid := opened(shop.open(model, FULL)), list(FULL.values()), shop.missing(uid))
        shop.finish(uid)
        uid = opened(shop.open(ModelKey("default", unique("model-")), FULL))
        shop.store.after["copy"] = once(die)
        with pytest.raises(Died):
            shop.work()
        shop.clock.advance(LEASE_SECONDS + 1)
        assert shop.work(shop.other_finishing) == 2
        shop.require_whole(shop.commit(uid).bundle, FULL)


class TestStraightToTheStore:
    def put(self, shop: Shop, uid: str, data: Sequence[bytes]) -> tuple[int, dict[tuple[int, int], str]]:
        """What a client does with the URLs: the writer's epoch, the etags."""
        ranges = [WantedRange(file, None) for file in range(len(data))]
        urls, epoch, _ = shop.uploads.create_part_urls(CALLER, ref_of(uid), ranges, ttl_seconds=60)
        etags = {}
        for part in urls:
            upload_id = part.url.split("uploadId=")[1].split("&")[0]
            key = part.url.removeprefix("https://store.invalid/").split("?")[0]
            block = data[part.file][part.range.offset : part.range.end]
            etags[part.file, part.number] = shop.memory.put_part(key, upload_id, part.number, block)
        return epoch, etags

    def test_parts_are_put_together_and_verified(self, shop: Shop, model: ModelKey) -> None:
        uid = opened(shop.open(model, FILES))
        epoch, etags = self.put(shop, uid, list(FILES.values()))
        assert sorted(etags) == [(0, 1), (1, 1), (1, 2), (1, 3), (2, 1)]
        shop.uploads.record_parts(ref_of(uid), epoch, etags)
        assert shop.missing(uid) == []
        assert shop.work() == 3
        shop.require_whole(shop.commit(uid).bundle, FILES)
        assert not shop.memory.uploads

    def test_wrong_bytes_are_refused(self, shop: Shop, model: ModelKey) -> None:
        uid = opened(shop.open(model, FILES))
        data = [b"wrong", bytes(len(LARGE)), b""]
        epoch, etags = self.put(shop, uid, data)
        shop.uploads.record_parts(ref_of(uid), epoch, etags)
        shop.work()
        refused(lambda: shop.commit(uid), Reason.DIGEST_MISMATCH)
        assert shop.missing(uid) == [(0, 0, 5), (1, 0, len(LARGE))]
        epoch, etags = self.put_again(shop, uid)
        shop.uploads.record_parts(ref_of(uid), epoch, etags)
        shop.work()
        shop.require_whole(shop.commit(uid).bundle, FILES)

    def put_again(self, shop: Shop, uid: str) -> tuple[int, dict[tuple[int, int], str]]:
        return self.put(shop, uid, list(FILES.values())[:2])

    def test_etags_that_the_store_never_gave_are_refused(self, shop: Shop, model: ModelKey) -> None:
        uid = opened(shop.open(model, FILES))
        epoch, etags = self.put(shop, uid, list(FILES.values()))
        etags[1, 2] = "made-up"
        shop.uploads.record_parts(ref_of(uid), epoch, etags)
        shop.work()
        refused(lambda: shop.commit(uid), Reason.DIGEST_MISMATCH)
        assert shop.missing(uid) == [(1, 0, len(LARGE))]

    def test_an_older_writers_parts_are_refused(self, shop: Shop, model: ModelKey) -> None:
        uid = opened(shop.open(model, FILES))
        old_epoch, old = self.put(shop, uid, list(FILES.values()))
        epoch, etags = self.put(shop, uid, list(FILES.values()))
        refused(lambda: shop.uploads.record_parts(ref_of(uid), old_epoch, old), Reason.WRITER_REPLACED)
        assert shop.uploads.get(ref_of(uid)).received_bytes == 0
        shop.uploads.record_parts(ref_of(uid), epoch, etags)
        shop.work()
        shop.require_whole(shop.commit(uid).bundle, FILES)

    def test_a_small_file_sent_both_ways_leaves_nothing_open(self, shop: Shop, model: ModelKey) -> None:
        uid = opened(shop.open(model, {"a-small": b"small"}))
        self.put(shop, uid, [b"small"])
        shop.write(uid, [b"small"], [(0, 0, 5)])
        shop.require_whole(shop.finish(uid).bundle, {"a-small": b"small"})
        assert not shop.memory.uploads


def dying(database: SqlDatabase) -> Any:
    """That database, which dies before its third write."""
    return _DyingDatabase(database)


@cache
def _empty_database() -> bytes:
    """A migrated database; migrating takes longer than a whole example."""
    with tempfile.TemporaryDirectory() as directory:
        new_database(Path(directory) / "empty.db").close()
        return (Path(directory) / "empty.db").read_bytes()


class SessionMachine(RuleBasedStateMachine):
    """Any interleaving of streams that end, break or die, of background work, take-overs and commits."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        path = Path(self._directory.name) / "registrar.db"
        path.write_bytes(_empty_database())
        self.shop = Shop(SqlDatabase(f"sqlite:///{path}"))
        self.model = ModelKey("default", unique("model-"))
        self.received = 0
        self.is_reset_possible = False
        self.has_leaked = False
        """A worker that dies between the store's answer and the record leaves an upload that only the store can expire."""
        self.bundle: Any = None

    @initialize(
        sizes=st.lists(
            st.sampled_from([0, 1, PART - 1, PART, PART + 1, 3 * PART, 4 * PART + 7]), min_size=1, max_size=4
        )
    )
    def begin(self, sizes: list[int]) -> None:
        data = [bytes([(index * 7 + i) % 251 for i in range(size)]) for index, size in enumerate(sizes)]
        self.files = {f"{index}-{size}": data[index] for index, size in enumerate(sizes)}
        self.data = data
        self.uid = opened(self.shop.open(self.model, self.files))

    def _ranges(self, draw: Any) -> list[tuple[int, int, int]]:
        """Some of what is missing, cut at parts."""
        chosen = []
        for file, offset, length in self.shop.missing(self.uid):
            if draw(st.booleans()):
                parts = max(1, -(-length // PART))
                taken = draw(st.integers(1, parts))
                chosen.append((file, offset, min(length, taken * PART)))
        return chosen

    @precondition(lambda self: self.bundle is None)
    @rule(draw=st.data(), kind=st.sampled_from(["whole", "broken", "died", "wrong"]))
    def write(self, draw: Any, kind: str) -> None:
        ranges = self._ranges(draw.draw)
        if not ranges:
            return
        total = sum(length for _, _, length in ranges)
        break_after = draw.draw(st.integers(0, total)) if kind == "broken" else None
        if kind in ("whole", "broken"):
            # The store's upload is gone where a worker died after it had completed it.
            with suppress(ConnectionError, StoreUploadGone):
                self.shop.write(self.uid, self.data, ranges, break_after=break_after)
        elif kind == "died":
            self.has_leaked = True
            with suppress(Died, StoreUploadGone):
                streams = UploadStreams(dying(self.shop.database), self.shop.memory, self.shop.clock, NoSignals())
                chunks = (Chunk(f, o, self.data[f][o : o + n]) for f, o, n in ranges if n)
                wanted = [WantedRange(f, ByteRange(o, n)) for f, o, n in ranges]
                streams.write(ref_of(self.uid), wanted, chunks)
        else:
            wrong = [bytes(255 - byte for byte in data) for data in self.data]
            self.is_reset_possible = True
            with suppress(RegistrarError):
                self.shop.write(self.uid, wrong, ranges)

    @precondition(lambda self: self.bundle is None)
    @rule(other=st.booleans())
    def work(self, other: bool) -> None:
        self.shop.work(self.shop.other_finishing if other else None)

    @precondition(lambda self: self.bundle is None)
    @rule(method=st.sampled_from(["complete_upload", "hash_object", "abort_upload", "delete"]), is_after=st.booleans())
    def work_and_die(self, method: str, is_after: bool) -> None:
        hooks = self.shop.store.after if is_after else self.shop.store.before
        hooks[method] = once(die)
        with suppress(Died):
            self.shop.work()
        hooks.clear()
        self.shop.clock.advance(LEASE_SECONDS + 1)

    @precondition(lambda self: self.bundle is None)
    @rule()
    def open_again(self) -> None:
        assert opened(self.shop.open(self.model, self.files)) == self.uid

    @precondition(lambda self: self.bundle is None)
    @rule()
    def commit(self) -> None:
        try:
            self.bundle = self.shop.commit(self.uid).bundle
        except RegistrarError as exc:
            assert exc.reason in (Reason.UPLOAD_INCOMPLETE, Reason.UPLOAD_PENDING, Reason.DIGEST_MISMATCH)
            assert exc.reason is not Reason.DIGEST_MISMATCH or self.is_reset_possible

    @precondition(lambda self: self.bundle is not None)
    @rule()
    def commit_again(self) -> None:
        assert self.shop.commit(self.uid).bundle == self.bundle

    @invariant()
    def what_was_received_stays_received(self) -> None:
        if not hasattr(self, "uid"):
            return
        status = self.shop.uploads.get(ref_of(self.uid))
        if status.bundle is None:
            assert status.received_bytes >= self.received or self.is_reset_possible
            self.received = status.received_bytes

    @invariant()
    def what_is_visible_is_right(self) -> None:
        if self.bundle is not None:
            self.shop.require_whole(self.bundle, self.files)

    def teardown(self) -> None:
        if hasattr(self, "uid"):
            for _ in range(6):
                self.shop.clock.advance(LEASE_SECONDS + 1)
                self.shop.work()
                if (ranges := self.shop.missing(self.uid)) and self.bundle is None:
                    with suppress(StoreUploadGone):
                        self.shop.write(self.uid, self.data, ranges)
                with suppress(RegistrarError):
                    bundle = self.shop.commit(self.uid).bundle
                    self.shop.require_whole(bundle, self.files)
                    assert self.has_leaked or not self.shop.memory.uploads, "nothing is left open in the store"
                    break
            else:
                raise AssertionError("the session cannot be brought to an end")
        self.shop.database.close()
        self._directory.cleanup()


TestAnyInterleaving = SessionMachine.TestCase
TestAnyInterleaving.settings = settings(
    max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_digests_of_made_files_differ() -> None:
    assert len({hashlib.sha256(data).hexdigest() for data in FILES.values()}) == len(FILES)


def test_a_manifest_of_twenty_thousand_files_is_opened(shop: Shop, model: ModelKey) -> None:
    files = {f"folder/{number}": str(number).encode() for number in range(20_000)}
    manifest: Manifest = manifest_of(files)
    status = shop.uploads.create(CALLER, model, manifest)
    assert len(status.files) == 20_000
