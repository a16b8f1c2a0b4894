"""What every `BundleStore` must do with multipart uploads that outlive a stream: on the stand-in in memory, on
SeaweedFS and on MinIO.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from minio import Minio

from registrar_server.adapters.embedded_s3 import EmbeddedS3Address
from registrar_server.adapters.minio_bundles import MinioBundleStore
from registrar_server.adapters.minio_bundles.http import HttpLimits
from registrar_server.application.ports.bundle_store import (
    BundleStore,
    BundleTransfer,
    Completion,
    StoredObject,
    StoredPart,
)
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.objects import MEBIBYTE, PART, made_data, put, read, sha256_of, uploads_in
from tests.fixtures.proxy import TcpProxy
from tests.fixtures.stores import StoreFactory, proxied, store_factory, wait_until

DATA = made_data(3 * PART + 7)
PARTS = [DATA[start : start + PART] for start in range(0, len(DATA), PART)]
OTHER = made_data(PART, seed=99)


@pytest.fixture(params=["memory", "seaweedfs", pytest.param("minio", marks=pytest.mark.minio)])
def store(request: pytest.FixtureRequest) -> Iterator[BundleStore]:
    """Every implementation there is, with parts of 5 MiB."""
    if request.param == "memory":
        yield MemoryStore(part_bytes=PART)
        return
    address = request.getfixturevalue({"seaweedfs": "embedded_store", "minio": "minio_server"}[request.param])
    for make in store_factory(address):
        made = make()
        made.check()
        yield made


def open_run(
    transfer: BundleTransfer, upload_id: str, *, key: str = "file", first: int = 1, size: int, digest: str | None = None
) -> None:
    transfer.open_parts(
        key, upload_id=upload_id, part_size_bytes=PART, first_part=first, size_bytes=size, sha256=digest
    )


def write(transfer: BundleTransfer, data: bytes) -> None:
    for start in range(0, len(data), MEBIBYTE):
        transfer.write(data[start : start + MEBIBYTE])


def put_parts(
    store: BundleStore, upload_id: str, parts: list[bytes], *, first: int = 1, key: str = "file"
) -> list[str]:
    """Send these parts in one run; their etags."""
    transfer = store.start_transfer()
    open_run(transfer, upload_id, key=key, first=first, size=sum(len(part) for part in parts))
    write(transfer, b"".join(parts))
    transfer.close_object()
    transfer.finish()
    stored = [part for part in transfer.take_stored() if isinstance(part, StoredPart)]
    return [part.etag for part in sorted(stored, key=lambda part: part.number)]


def numbers(stored: Sequence[StoredObject | StoredPart]) -> list[int]:
    return sorted(part.number for part in stored if isinstance(part, StoredPart))


def wait_for_parts(transfer: BundleTransfer, count: int) -> list[int]:
    """The numbers of the next parts that are told, so many of them."""
    told: list[int] = []

    def are_told() -> bool:
        told.extend(numbers(transfer.take_stored()))
        return len(told) >= count

    wait_until(are_told, 30)
    return sorted(told)


class TestRuns:
    def test_parts_go_under_their_numbers_and_the_upload_stays_open(self, store: BundleStore) -> None:
        upload = store.create_upload("file")
        tail = put_parts(store, upload, PARTS[1:], first=2)
        assert store.stat("file") is None
        head = put_parts(store, upload, PARTS[:1])
        assert store.complete_upload("file", upload, head + tail) is Completion.DONE
        assert read(store, "file") == DATA

    def test_what_is_durable_is_told_once(self, store: BundleStore) -> None:
        upload = store.create_upload("file")
        transfer = store.start_transfer()
        transfer.open_object("small", size_bytes=3, sha256=sha256_of(b"abc"))
        transfer.write(b"abc")
        transfer.close_object()
        open_run(transfer, upload, first=3, size=PART + 7)
        write(transfer, b"".join(PARTS[2:]))
        transfer.close_object()
        transfer.finish()
        stored = transfer.take_stored()
        assert StoredObject("small", 3) in stored
        assert numbers(stored) == [3, 4]
        assert list(transfer.take_stored()) == []

    def test_a_part_is_told_while_the_run_goes_on(self, store: BundleStore) -> None:
        transfer = store.start_transfer()
        open_run(transfer, store.create_upload("file"), size=len(DATA))
        write(transfer, PARTS[0])
        assert wait_for_parts(transfer, 1) == [1]
        transfer.abort()

    def test_the_last_part_travels_when_its_last_byte_came(self, store: BundleStore) -> None:
        transfer = store.start_transfer()
        open_run(transfer, store.create_upload("file"), first=3, size=PART + 7)
        write(transfer, b"".join(PARTS[2:]))
        transfer.settle()
        assert numbers(transfer.take_stored()) == [3, 4]

    def test_a_run_with_a_digest_becomes_the_object(self, store: BundleStore) -> None:
        upload = store.create_upload("file")
        transfer = store.start_transfer()
        open_run(transfer, upload, size=len(DATA), digest=sha256_of(DATA))
        write(transfer, DATA)
        transfer.close_object()
        transfer.finish()
        stored = transfer.take_stored()
        assert numbers(stored) == [1, 2, 3, 4]
        assert stored[-1] == StoredObject("file", len(DATA))
        assert read(store, "file") == DATA
        store.delete("file")
        assert store.complete_upload("file", upload, ["0" * 32]) is Completion.GONE

    @pytest.mark.parametrize("size", [2 * PART - 1, 2 * PART, 2 * PART + 1, 4 * PART])
    def test_a_run_of_any_size_comes_back_as_it_went(self, store: BundleStore, size: int) -> None:
        data = made_data(size, seed=size)
        transfer = store.start_transfer(max_buffers=1)
        open_run(transfer, store.create_upload("file"), size=size, digest=sha256_of(data))
        transfer.write(data)
        transfer.close_object()
        transfer.finish()
        assert store.hash_object("file") == (size, sha256_of(data))

    def test_a_run_with_another_digest_is_refused_and_makes_no_object(self, store: BundleStore) -> None:
        transfer = store.start_transfer()
        open_run(transfer, store.create_upload("file"), size=len(DATA), digest=sha256_of(b"else"))
        write(transfer, DATA)
        with pytest.raises(RegistrarError) as refused:
            transfer.close_object()
        transfer.abort()
        assert refused.value.reason is Reason.DIGEST_MISMATCH
        assert store.stat("file") is None

    @pytest.mark.parametrize("sent", [PART, 2 * PART + 1])
    def test_a_run_of_another_size_is_refused(self, store: BundleStore, sent: int) -> None:
        transfer = store.start_transfer()
        open_run(transfer, store.create_upload("file"), size=2 * PART)
        with pytest.raises(RegistrarError) as refused:
            write(transfer, made_data(sent))
            transfer.close_object()
        transfer.abort()
        assert refused.value.reason is Reason.SIZE_MISMATCH

    @pytest.mark.parametrize("is_equal", [True, False])
    def test_an_object_that_is_there_is_kept_when_it_holds_and_else_replaced(
        self, store: BundleStore, is_equal: bool
    ) -> None:
        put(store, {"file": DATA if is_equal else OTHER})
        transfer = store.start_transfer()
        open_run(transfer, store.create_upload("file"), size=len(DATA), digest=sha256_of(DATA))
        write(transfer, DATA)
        transfer.close_object()
        transfer.finish()
        assert StoredObject("file", len(DATA)) in transfer.take_stored()
        assert read(store, "file") == DATA


class TestStreamsThatBreakOff:
    def test_full_parts_are_kept_and_the_rest_is_dropped(self, store: BundleStore) -> None:
        upload = store.create_upload("file")
        transfer = store.start_transfer()
        open_run(transfer, upload, size=len(DATA), digest=sha256_of(DATA))
        write(transfer, DATA[: 2 * PART + MEBIBYTE])
        transfer.settle()
        stored = transfer.take_stored()
        transfer.abort()
        assert numbers(stored) == [1, 2]
        head = {part.number: part.etag for part in stored if isinstance(part, StoredPart)}
        tail = put_parts(store, upload, PARTS[2:], first=3)
        assert store.complete_upload("file", upload, [head[1], head[2], *tail]) is Completion.DONE
        assert read(store, "file") == DATA

    def test_an_object_that_was_closed_becomes_visible(self, store: BundleStore) -> None:
        transfer = store.start_transfer()
        for key, data in {"small": b"abc", "large": DATA}.items():
            transfer.open_object(key, size_bytes=len(data), sha256=sha256_of(data))
            write(transfer, data)
            transfer.close_object()
        transfer.open_object("lost", size_bytes=len(DATA), sha256=sha256_of(DATA))
        write(transfer, DATA[: 2 * PART])
        transfer.settle()
        stored = transfer.take_stored()
        transfer.abort()
        assert set(stored) == {StoredObject("small", 3), StoredObject("large", len(DATA))}
        assert read(store, "large") == DATA
        assert store.stat("lost") is None

    def test_a_transfer_that_is_given_up_leaves_the_runs_upload_open(self, store: BundleStore) -> None:
        upload = store.create_upload("file")
        transfer = store.start_transfer()
        open_run(transfer, upload, size=len(DATA))
        write(transfer, DATA[: PART + 1])
        transfer.abort()
        transfer.abort()
        assert store.complete_upload("file", upload, put_parts(store, upload, PARTS)) is Completion.DONE

    def test_only_the_uploads_of_its_own_are_dropped(self, bundle_store: MinioBundleStore, s3: Minio) -> None:
        upload = bundle_store.create_upload("run")
        transfer = bundle_store.start_transfer()
        open_run(transfer, upload, key="run", size=PART)
        write(transfer, PARTS[0])
        transfer.close_object()
        transfer.open_object("own", size_bytes=len(DATA), sha256=sha256_of(DATA))
        write(transfer, DATA[: 2 * PART])
        assert len(uploads_in(s3, bundle_store)) == 2
        transfer.settle()
        transfer.abort()
        assert [name.rpartition("/")[2] for name in uploads_in(s3, bundle_store)] == ["run"]

    @pytest.fixture
    def proxy(self, store_address: EmbeddedS3Address) -> Iterator[TcpProxy]:
        yield from proxied(store_address)

    def test_parts_under_way_are_waited_for(self, proxy: TcpProxy, make_store: StoreFactory) -> None:
        store = make_store(endpoint_url=f"http://127.0.0.1:{proxy.port}")
        store.check()
        transfer = store.start_transfer()
        open_run(transfer, store.create_upload("file"), size=len(DATA))
        proxy.stall()
        write(transfer, DATA[: 2 * PART + 1])
        with ThreadPoolExecutor(1) as threads:
            settled = threads.submit(transfer.settle)
            assert not settled.done()
            proxy.resume()
            settled.result(30)
        assert numbers(transfer.take_stored()) == [1, 2]
        transfer.abort()

    def test_a_store_that_stalls_is_not_waited_for_without_end(self, proxy: TcpProxy, make_store: StoreFactory) -> None:
        store = make_store(
            endpoint_url=f"http://127.0.0.1:{proxy.port}", settle_wait_seconds=0.2, abort_wait_seconds=0.2
        )
        store.check()
        transfer = store.start_transfer()
        open_run(transfer, store.create_upload("file"), size=len(DATA))
        proxy.stall()
        write(transfer, DATA[:PART])
        transfer.settle()
        assert list(transfer.take_stored()) == []
        transfer.abort()
        proxy.resume()

    def test_a_part_that_failed_is_not_told(self, proxy: TcpProxy, make_store: StoreFactory) -> None:
        store = make_store(endpoint_url=f"http://127.0.0.1:{proxy.port}", limits=HttpLimits(retries=0))
        store.check()
        transfer = store.start_transfer()
        open_run(transfer, store.create_upload("file"), size=2 * PART)
        write(transfer, DATA[:PART])
        wait_for_parts(transfer, 1)
        proxy.cut()
        with pytest.raises(RegistrarError) as refused:
            write(transfer, DATA[PART : 2 * PART])
            transfer.close_object()
            transfer.finish()
        assert refused.value.reason is Reason.STORE_UNAVAILABLE
        transfer.settle()
        assert list(transfer.take_stored()) == []
        transfer.abort()


class TestCompleting:
    def test_an_object_that_is_there_is_left_alone(self, store: BundleStore) -> None:
        put(store, {"file": b"there"})
        upload = store.create_upload("file")
        etags = put_parts(store, upload, PARTS)
        assert store.complete_upload("file", upload, etags) is Completion.OCCUPIED
        assert read(store, "file") == b"there"
        store.delete("file")
        assert store.complete_upload("file", upload, etags) is Completion.DONE
        assert read(store, "file") == DATA

    def test_one_that_is_gone_is_told(self, store: BundleStore) -> None:
        upload = store.create_upload("file")
        etags = put_parts(store, upload, PARTS)
        assert store.complete_upload("file", upload, etags) is Completion.DONE
        assert store.complete_upload("file", upload, etags) is Completion.OCCUPIED
        store.delete("file")
        assert store.complete_upload("file", upload, etags) is Completion.GONE
        dropped = store.create_upload("file")
        etags = put_parts(store, dropped, PARTS)
        store.abort_upload("file", dropped)
        store.abort_upload("file", dropped)
        assert store.complete_upload("file", dropped, etags) is Completion.GONE
        assert store.stat("file") is None

    def test_parts_that_are_absent_or_others_are_refused_and_nothing_changes(self, store: BundleStore) -> None:
        upload = store.create_upload("file")
        first, second, third, last = put_parts(store, upload, PARTS)
        wrong: list[list[str]] = [
            [],
            ["0" * 32],
            ["nonsense"],
            [first, "0" * 32, third, last],
            [second, first, third, last],
            [first, second, third, last, last],
        ]
        for etags in wrong:
            assert store.complete_upload("file", upload, etags) is Completion.REFUSED, etags
            assert store.stat("file") is None
        assert store.complete_upload("file", upload, [first, second, third, last]) is Completion.DONE
        assert read(store, "file") == DATA

    def test_a_part_that_was_overwritten_never_gets_into_the_object(self, store: BundleStore) -> None:
        # What fences a writer whose client has gone elsewhere: etags say which bytes were meant.
        upload = store.create_upload("file")
        etags = put_parts(store, upload, PARTS)
        zombies = put_parts(store, upload, [OTHER], first=2)
        assert zombies != etags[1:2]
        if store.complete_upload("file", upload, etags) is Completion.DONE:
            # SeaweedFS keeps both parts, and takes the one that is named.
            assert read(store, "file") == DATA
            return
        assert store.stat("file") is None
        assert store.complete_upload("file", upload, [etags[0], *zombies, *etags[2:]]) is Completion.DONE
        assert read(store, "file") == DATA[:PART] + OTHER + DATA[2 * PART :]

    def test_a_run_whose_part_was_overwritten_does_not_become_another_object(self, store: BundleStore) -> None:
        upload = store.create_upload("file")
        transfer = store.start_transfer()
        open_run(transfer, upload, size=len(DATA), digest=sha256_of(DATA))
        write(transfer, DATA[: 2 * PART])
        wait_for_parts(transfer, 2)
        put_parts(store, upload, [OTHER])
        write(transfer, DATA[2 * PART :])
        try:
            transfer.close_object()
            transfer.finish()
        except RegistrarError as exc:
            assert exc.reason is Reason.STORE_UNAVAILABLE
            assert store.stat("file") is None
        else:
            assert read(store, "file") == DATA
        transfer.abort()

    def test_a_part_that_comes_after_completion_changes_nothing(self, store: BundleStore) -> None:
        upload = store.create_upload("file")
        assert store.complete_upload("file", upload, put_parts(store, upload, PARTS)) is Completion.DONE
        with pytest.raises(RegistrarError) as refused:
            put_parts(store, upload, [OTHER])
        assert refused.value.reason is Reason.STORE_UNAVAILABLE
        assert read(store, "file") == DATA


class TestDropping:
    def test_all_uploads_under_a_prefix_go_and_objects_stay(self, store: BundleStore) -> None:
        put(store, {"a/kept": b"kept"})
        uploads = {key: store.create_upload(key) for key in ("a/1", "a/b/2", "ab/3")}
        etags = {key: put_parts(store, upload, PARTS[:1], key=key) for key, upload in uploads.items()}
        store.abort_uploads("a/")
        store.abort_uploads("a/")
        done = {key: store.complete_upload(key, upload, etags[key]) for key, upload in uploads.items()}
        assert done == {"a/1": Completion.GONE, "a/b/2": Completion.GONE, "ab/3": Completion.DONE}
        assert read(store, "a/kept") == b"kept"
