"""Upload sessions against a model of them in memory: whatever is done in whatever order, they say the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.ports.database import PartKey
from registrar_server.domain.uploads import FileState
from tests.fixtures.database import at
from tests.fixtures.sessions import PART, Session, file_of, lease_files, open_session

HOLDERS = st.sampled_from(["a:1", "b:1"])
LEASE = timedelta(seconds=10)


@dataclass
class ModelPart:
    """Whose a part is, and what it is once it was received."""

    epoch: int
    etag: str = ""


@dataclass
class ModelFile:
    """What is remembered of a file."""

    state: FileState
    parts: dict[int, ModelPart] = field(default_factory=dict)
    store_upload_id: str = ""
    failure: str = ""
    holder: str = ""
    leased_until: float = 0.0

    @property
    def received(self) -> list[int]:
        return sorted(number for number, part in self.parts.items() if part.etag)

    def start_over(self) -> None:
        self.state, self.parts, self.store_upload_id, self.holder = FileState.MISSING, {}, "", ""

    def finish(self) -> None:
        self.state, self.failure, self.holder = FileState.STORED, "", ""


class UploadMachine(RuleBasedStateMachine):
    """One session: three files that are sent, one that is copied. Everything happens at `self.now`."""

    def __init__(self, database: SqlDatabase) -> None:
        super().__init__()
        self.database = database
        self.now = 1.0
        self.epochs = 0
        self.before: dict[int, list[int]] = {}
        self.shrunk: set[int] = set()

    @initialize(sizes=st.lists(st.integers(0, 6 * PART), min_size=3, max_size=3))
    def open(self, sizes: list[int]) -> None:
        files = [file_of(index, size) for index, size in enumerate(sizes)]
        files.append(file_of(3, 3 * PART, source_key="default/m/x/ä"))
        with self.database.writing() as transaction:
            self.session: Session = open_session(transaction, files, until=at(100_000))
        self.files = [ModelFile(file.state) for file in files]

    def teardown(self) -> None:
        """Leave no work to the next example."""
        with self.database.writing() as transaction:
            transaction.uploads.expire(self.session.uid, time=at(self.now))

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        free = [part for part in self._parts(FileState.MISSING) if not self._received(part)]
        wanted = data.draw(st.lists(st.sampled_from(free), unique=True)) if free else []
        with self.database.writing() as transaction:
            epoch = transaction.uploads.claim_parts(self.session.uid, wanted)
        assert epoch > self.epochs
        self.epochs = epoch
        for file, number in wanted:
            self.files[file].parts[number] = ModelPart(epoch)

    @rule(data=st.data())
    def record(self, data: st.DataObject) -> None:
        epoch = self._epoch(data)
        named = data.draw(st.lists(st.sampled_from(self._parts()), unique=True, max_size=6))
        etags = {part: data.draw(st.sampled_from([f"{part} {epoch}", "other"])) for part in named}
        is_right = all(self._may_record(part, epoch, etag) for part, etag in etags.items())
        with self.database.writing() as transaction:
            assert transaction.uploads.record_parts(self.session.uid, epoch, etags) == is_right
            if not is_right:
                transaction.discard()
        if is_right:
            for (file, number), etag in etags.items():
                self.files[file].parts[number].etag = etag

    @rule(data=st.data())
    def record_all_that_a_writer_has(self, data: st.DataObject) -> None:
        epoch = self._epoch(data)
        etags = {(f, n): f"{(f, n)} {epoch}" for f, n in self._parts() if self._owns(epoch, f, n)}
        etags = {(f, n): self.files[f].parts[n].etag or etag for (f, n), etag in etags.items()}
        with self.database.writing() as transaction:
            assert transaction.uploads.owns(self.session.uid, epoch, list(etags))
            assert transaction.uploads.record_parts(self.session.uid, epoch, etags)
        for (file, number), etag in etags.items():
            self.files[file].parts[number].etag = etag

    @rule(data=st.data())
    def ask_who_owns(self, data: st.DataObject) -> None:
        epoch = self._epoch(data)
        parts = data.draw(st.lists(st.sampled_from(self._parts()), max_size=4))
        with self.database.reading() as transaction:
            owned = transaction.uploads.owns(self.session.uid, epoch, parts)
        assert owned == all(self._owns(epoch, file, number) for file, number in parts)

    @rule(data=st.data(), indexes=st.lists(st.integers(0, 3), unique=True, min_size=1))
    def record_stored(self, data: st.DataObject, indexes: list[int]) -> None:
        epoch = self._epoch(data)
        is_right = all(self._owns(epoch, index, 1) for index in indexes)
        with self.database.writing() as transaction:
            assert transaction.uploads.record_stored(self.session.uid, epoch, indexes) == is_right
        for index in indexes if is_right else ():
            if self.files[index].state is FileState.MISSING:
                self.files[index].finish()

    @rule(data=st.data(), index=st.integers(0, 3))
    def drop_file(self, data: st.DataObject, index: int) -> None:
        epoch = self._epoch(data)
        is_right = self._owns(epoch, index, 1) and self.files[index].state is FileState.MISSING
        with self.database.writing() as transaction:
            assert transaction.uploads.drop_file(self.session.uid, epoch, index) == is_right
        if is_right:
            self.files[index].start_over()
            self.shrunk.add(index)

    @rule(index=st.integers(0, 3), store_upload_id=st.sampled_from(["up-1", "up-2"]))
    def set_store_upload(self, index: int, store_upload_id: str) -> None:
        file = self.files[index]
        file.store_upload_id = file.store_upload_id or store_upload_id
        with self.database.writing() as transaction:
            kept = transaction.uploads.set_store_upload(self.session.uid, index, store_upload_id)
        assert kept == file.store_upload_id

    @rule()
    def begin_with_what_is_whole(self) -> None:
        whole = [i for i, file in enumerate(self.files) if len(file.received) == self.session.files[i].part_count]
        with self.database.writing() as transaction:
            transaction.uploads.begin(self.session.uid, whole, time=at(self.now))
        for index in whole:
            if self.files[index].state is FileState.MISSING:
                self.files[index].state = FileState.VERIFYING

    @rule(holder=HOLDERS, limit=st.integers(1, 4))
    def lease(self, holder: str, limit: int) -> None:
        now = at(self.now)
        with self.database.writing() as transaction:
            tasks = lease_files(transaction, holder, now, now + LEASE, limit)
        assert {task.session.uid for task in tasks} <= {self.session.uid}
        due = sorted(self._due(), key=lambda index: (self.session.files[index].file.size_bytes, index))
        assert [task.file.index for task in tasks] == due[:limit]
        for task in tasks:
            file = self.files[task.file.index]
            file.holder, file.leased_until = holder, self.now + LEASE.total_seconds()

    @precondition(lambda self: any(file.holder for file in self.files))
    @rule(holder=HOLDERS, index=st.integers(0, 3), outcome=st.sampled_from(["stored", "reset", "postponed", "kept"]))
    def work(self, holder: str, index: int, outcome: str) -> None:
        file, uid = self.files[index], self.session.uid
        is_held = file.holder == holder
        with self.database.writing() as transaction:
            if outcome == "stored":
                assert transaction.uploads.set_stored(uid, index, holder) == is_held
            elif outcome == "reset":
                assert transaction.uploads.reset(uid, index, holder, failure="digest") == is_held
            elif outcome == "kept":
                assert transaction.uploads.keep_lease(uid, index, holder, until=at(self.now) + LEASE) == is_held
            else:
                transaction.uploads.postpone(uid, index, holder, until=at(self.now))
        if is_held:
            self._after_work(index, outcome)

    @rule()
    def take_failures(self) -> None:
        with self.database.writing() as transaction:
            told = transaction.uploads.take_failures(self.session.uid)
        assert told == {index: file.failure for index, file in enumerate(self.files) if file.failure}
        for file in self.files:
            file.failure = ""

    @rule(seconds=st.sampled_from([1.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def both_say_the_same(self) -> None:
        uid = self.session.uid
        with self.database.reading() as transaction:
            received = transaction.uploads.received(uid)
            files = transaction.uploads.files(uid)
            counts = transaction.uploads.count_unfinished(uid)
            etags = [list(transaction.uploads.etags(uid, index)) for index in range(len(files))]
        assert received == {index: file.received for index, file in enumerate(self.files) if file.received}
        assert [(file.state, file.store_upload_id) for file in files] == [
            (file.state, file.store_upload_id) for file in self.files
        ]
        assert etags == [[file.parts[number].etag for number in file.received] for file in self.files]
        assert sum(counts.values()) == sum(file.state is not FileState.STORED for file in self.files)
        for index, numbers in self.before.items():
            assert index in self.shrunk or set(numbers) <= set(received.get(index, ()))
        self.before, self.shrunk = {index: list(numbers) for index, numbers in received.items()}, set()

    def _after_work(self, index: int, outcome: str) -> None:
        file = self.files[index]
        if outcome == "stored":
            file.finish()
        elif outcome == "reset":
            file.start_over()
            file.failure = "digest"
            self.shrunk.add(index)
        elif outcome == "kept":
            file.leased_until = self.now + LEASE.total_seconds()
        else:
            file.holder = ""

    def _due(self) -> list[int]:
        return [
            index
            for index, file in enumerate(self.files)
            if file.state in (FileState.COPYING, FileState.VERIFYING)
            and (not file.holder or file.leased_until < self.now)
        ]

    def _epoch(self, data: st.DataObject) -> int:
        """That of any writer, a late one more often."""
        return data.draw(st.one_of(st.integers(max(0, self.epochs - 1), self.epochs), st.integers(0, self.epochs)))

    def _parts(self, state: FileState | None = None) -> list[PartKey]:
        return [
            (file.index, number)
            for file in self.session.files
            if state in (None, self.files[file.index].state)
            for number in range(1, file.part_count + 1)
        ]

    def _received(self, part: PartKey) -> bool:
        found = self.files[part[0]].parts.get(part[1])
        return found is not None and bool(found.etag)

    def _owns(self, epoch: int, file: int, number: int) -> bool:
        found = self.files[file].parts.get(number)
        return found is not None and found.epoch == epoch

    def _may_record(self, part: PartKey, epoch: int, etag: str) -> bool:
        file, number = part
        return self._owns(epoch, file, number) and self.files[file].parts[number].etag in ("", etag)


def test_a_session_does_what_its_model_in_memory_does(database: SqlDatabase) -> None:
    class Machine(UploadMachine):
        def __init__(self) -> None:
            super().__init__(database)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
