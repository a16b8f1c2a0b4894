"""What every `BundleStore` must do, run on SeaweedFS and on MinIO."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from minio import Minio

from registrar_server.adapters.embedded_s3 import EmbeddedS3Address
from registrar_server.adapters.minio_bundles import MinioBundleStore
from registrar_server.adapters.minio_bundles.http import HttpLimits
from registrar_server.application.ports.bundle_store import BundleStore, BundleTransfer, StoredObject
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.proxy import TcpProxy
from tests.fixtures.stores import TEST_BUCKET, TEST_PART_BYTES, StoreFactory

PART = TEST_PART_BYTES
MEBIBYTE = 1 << 20
SHORT = HttpLimits(connect_timeout_seconds=0.5, stall_timeout_seconds=0.5, retries=1)


def made_data(size_bytes: int, seed: int = 0) -> bytes:
    """Data that differs at every MiB, so that swapped or repeated parts are seen."""
    block = hashlib.sha256(str(seed).encode()).digest() * (MEBIBYTE // 32)
    marked = b"".join(i.to_bytes(8) + block[8:] for i in range(-(-size_bytes // MEBIBYTE)))
    return marked[:size_bytes]


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def send(transfer: BundleTransfer, key: str, data: bytes, *, chunk_bytes: int = MEBIBYTE) -> None:
    transfer.open_object(key, size_bytes=len(data), sha256=sha256_of(data))
    for start in range(0, len(data), chunk_bytes):
        transfer.write(data[start : start + chunk_bytes])
    transfer.close_object()


def put(store: BundleStore, objects: dict[str, bytes]) -> None:
    transfer = store.start_transfer()
    for key, data in objects.items():
        send(transfer, key, data)
    transfer.finish()


def read(store: BundleStore, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
    with store.open_reader(key, offset=offset, length=length) as reader:
        return b"".join(reader)


def uploads_in(s3: Minio, store: BundleStore) -> list[str]:
    prefix = store.uri("x").removeprefix(f"s3://{TEST_BUCKET}/")[:-1]
    listed = s3._list_multipart_uploads(TEST_BUCKET)
    return [u.object_name for u in listed.uploads if u.object_name.startswith(prefix)]


class TestWriting:
    @pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART + 7])
    def test_an_object_of_any_size_comes_back_as_it_went(self, bundle_store: BundleStore, size: int) -> None:
        data = made_data(size)
        put(bundle_store, {"a/model.bin": data})
        assert bundle_store.stat("a/model.bin") == StoredObject("a/model.bin", size)
        assert read(bundle_store, "a/model.bin") == data
        assert bundle_store.hash_object("a/model.bin") == (size, sha256_of(data))

    def test_one_transfer_carries_many_objects(self, bundle_store: BundleStore) -> None:
        objects = {f"many/{i:03}": made_data(i * 997, seed=i) for i in range(120)} | {
            "many/big": made_data(2 * PART + 1)
        }
        put(bundle_store, objects)
        assert [o.key for o in bundle_store.list_objects("many/")] == sorted(objects)
        assert all(read(bundle_store, key) == data for key, data in objects.items())

    @settings(
        max_examples=15,
        deadline=None,
        # The store outlives the examples on purpose: each writes the same key with other bytes.
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(cuts=st.lists(st.integers(0, 2 * PART + 13), max_size=12), seed=st.integers(0, 1000))
    def test_how_the_bytes_are_cut_does_not_matter(self, bundle_store: BundleStore, cuts: list[int], seed: int) -> None:
        data = made_data(2 * PART + 13, seed=seed)
        transfer = bundle_store.start_transfer()
        transfer.open_object("cut", size_bytes=len(data), sha256=sha256_of(data))
        edges = [0, *sorted(cuts), len(data)]
        for start, end in pairwise(edges):
            transfer.write(memoryview(data)[start:end])
        transfer.close_object()
        transfer.finish()
        assert bundle_store.hash_object("cut") == (len(data), sha256_of(data))

    @pytest.mark.parametrize("size", [10, 2 * PART])
    def test_another_digest_is_refused_and_leaves_nothing(
        self, bundle_store: BundleStore, s3: Minio, size: int
    ) -> None:
        transfer = bundle_store.start_transfer()
        transfer.open_object("wrong", size_bytes=size, sha256=sha256_of(b"something else"))
        transfer.write(made_data(size))
        with pytest.raises(RegistrarError) as refused:
            transfer.close_object()
        transfer.abort()
        assert refused.value.reason is Reason.DIGEST_MISMATCH
        assert bundle_store.stat("wrong") is None
        assert uploads_in(s3, bundle_store) == []

    @pytest.mark.parametrize("size", [10, 2 * PART])
    def test_fewer_bytes_than_declared_are_refused(self, bundle_store: BundleStore, s3: Minio, size: int) -> None:
        transfer = bundle_store.start_transfer()
        transfer.open_object("short", size_bytes=size, sha256=sha256_of(made_data(size)))
        transfer.write(made_data(size)[:-1])
        with pytest.raises(RegistrarError) as refused:
            transfer.close_object()
        transfer.abort()
        assert refused.value.reason is Reason.SIZE_MISMATCH
        assert bundle_store.stat("short") is None
        assert uploads_in(s3, bundle_store) == []

    def test_more_bytes_than_declared_are_refused_at_once(self, bundle_store: BundleStore) -> None:
        transfer = bundle_store.start_transfer()
        transfer.open_object("long", size_bytes=3, sha256=sha256_of(b"abc"))
        with pytest.raises(RegistrarError) as refused:
            transfer.write(b"abcd")
        transfer.abort()
        assert refused.value.reason is Reason.SIZE_MISMATCH
        assert bundle_store.stat("long") is None

    def test_abort_leaves_no_upload_and_no_object(self, bundle_store: BundleStore, s3: Minio) -> None:
        transfer = bundle_store.start_transfer()
        transfer.open_object("given-up", size_bytes=4 * PART, sha256=sha256_of(made_data(4 * PART)))
        transfer.write(made_data(3 * PART))
        assert uploads_in(s3, bundle_store) != []
        transfer.abort()
        transfer.abort()
        assert uploads_in(s3, bundle_store) == []
        assert bundle_store.stat("given-up") is None

    def test_abort_keeps_the_objects_that_were_completed(self, bundle_store: BundleStore) -> None:
        put(bundle_store, {"kept": b"kept"})
        transfer = bundle_store.start_transfer()
        transfer.open_object("lost", size_bytes=4, sha256=sha256_of(b"lost"))
        transfer.abort()
        assert [o.key for o in bundle_store.list_objects("")] == ["kept"]

    def test_a_key_that_is_no_plain_path_is_refused(self, bundle_store: BundleStore) -> None:
        transfer = bundle_store.start_transfer()
        for key in ("", "/a", "a/", "a//b", "../a", "a/./b", "x" * 1100):
            with pytest.raises(RegistrarError) as refused:
                transfer.open_object(key, size_bytes=0, sha256=sha256_of(b""))
            assert refused.value.reason is Reason.INVALID_FIELD

    def test_awkward_names_are_kept(self, bundle_store: BundleStore) -> None:
        objects = {"a b/ü+&%25?#.txt": b"1", "a b/日本語.bin": b"2"}
        put(bundle_store, objects)
        assert {o.key: read(bundle_store, o.key) for o in bundle_store.list_objects("a b/")} == objects


class TestObjectsThatExist:
    @pytest.mark.parametrize("size", [1000, 2 * PART + 5])
    def test_an_equal_one_is_kept(self, bundle_store: BundleStore, s3: Minio, size: int) -> None:
        data = made_data(size)
        put(bundle_store, {"same": data})
        name = bundle_store.uri("same").removeprefix(f"s3://{TEST_BUCKET}/")
        before = s3.stat_object(TEST_BUCKET, name)
        put(bundle_store, {"same": data})
        after = s3.stat_object(TEST_BUCKET, name)
        assert (after.version_id, after.last_modified) == (before.version_id, before.last_modified)
        assert uploads_in(s3, bundle_store) == []

    @pytest.mark.parametrize("size", [1000, 2 * PART + 5])
    @pytest.mark.parametrize("wrong_size", [1000, 7])
    def test_a_wrong_one_is_replaced(self, bundle_store: BundleStore, s3: Minio, size: int, wrong_size: int) -> None:
        name = bundle_store.uri("wrong").removeprefix(f"s3://{TEST_BUCKET}/")
        s3._put_object(TEST_BUCKET, name, made_data(wrong_size, seed=9))
        data = made_data(size)
        put(bundle_store, {"wrong": data})
        assert read(bundle_store, "wrong") == data
        assert uploads_in(s3, bundle_store) == []

    @pytest.mark.parametrize("size", [1000, 2 * PART + 5])
    def test_two_transfers_of_the_same_key_at_once_both_hold(
        self, bundle_store: BundleStore, s3: Minio, size: int
    ) -> None:
        data = made_data(size)
        start = threading.Barrier(2)

        def run() -> None:
            start.wait(10)
            put(bundle_store, {"raced": data})

        with ThreadPoolExecutor(2) as threads:
            for done in [threads.submit(run) for _ in range(2)]:
                done.result(60)
        assert read(bundle_store, "raced") == data
        assert uploads_in(s3, bundle_store) == []


class TestReading:
    @pytest.mark.parametrize(
        ("offset", "length"),
        [
            (0, 1),
            (5, 10),
            (PART - 1, 2),
            (0, 0),
            (2 * PART, None),
            (2 * PART + 6, None),
            (2 * PART + 7, None),
            (3, None),
        ],
    )
    def test_a_range_gives_those_bytes(self, bundle_store: BundleStore, offset: int, length: int | None) -> None:
        data = made_data(2 * PART + 7)
        put(bundle_store, {"ranged": data})
        end = None if length is None else offset + length
        assert read(bundle_store, "ranged", offset=offset, length=length) == data[offset:end]

    def test_blocks_are_at_most_a_mebibyte(self, bundle_store: BundleStore) -> None:
        put(bundle_store, {"blocks": made_data(PART)})
        with bundle_store.open_reader("blocks") as reader:
            assert max(len(block) for block in reader) <= MEBIBYTE

    def test_a_range_behind_the_end_is_refused(self, bundle_store: BundleStore) -> None:
        put(bundle_store, {"small": b"abc"})
        for offset in (4, 1000):
            with pytest.raises(RegistrarError) as refused, bundle_store.open_reader("small", offset=offset):
                pass
            assert refused.value.reason is Reason.RANGE_INVALID

    def test_more_than_there_is_is_reported_as_corrupt(self, bundle_store: BundleStore) -> None:
        put(bundle_store, {"small": b"abc"})
        with pytest.raises(RegistrarError) as refused:
            read(bundle_store, "small", offset=1, length=10)
        assert refused.value.reason is Reason.ARTIFACT_CORRUPT

    def test_a_reader_may_stop_early(self, bundle_store: BundleStore) -> None:
        put(bundle_store, {"long": made_data(3 * PART)})
        for _ in range(3):
            with bundle_store.open_reader("long") as reader:
                assert len(next(iter(reader))) > 0
        assert read(bundle_store, "long", length=3) == made_data(3)

    def test_an_absent_object_is_told(self, bundle_store: BundleStore) -> None:
        put(bundle_store, {"folder/file": b"x"})
        for key in ("absent", "folder"):
            assert bundle_store.stat(key) is None
            with pytest.raises(RegistrarError) as refused:
                bundle_store.hash_object(key)
            assert refused.value.reason is Reason.ARTIFACT_FILE_NOT_FOUND
            with pytest.raises(RegistrarError) as refused, bundle_store.open_reader(key, length=0):
                pass
            assert refused.value.reason is Reason.ARTIFACT_FILE_NOT_FOUND


class TestListingAndDeleting:
    def test_a_listing_is_in_key_order(self, bundle_store: BundleStore) -> None:
        keys = ["z/1", "z/2/3", "z-1", "z.1", "z", "Z", "z0", "a/b/c", "a/b.c", "ä"]
        # An object and a folder of one name cannot both be on MinIO, which lists the object only.
        keys.remove("z")
        put(bundle_store, {key: key.encode() for key in keys})
        assert [o.key for o in bundle_store.list_objects("")] == sorted(keys)
        assert [o.key for o in bundle_store.list_objects("z/")] == ["z/1", "z/2/3"]
        assert [o.key for o in bundle_store.list_objects("z")] == ["z-1", "z.1", "z/1", "z/2/3", "z0"]
        assert list(bundle_store.list_objects("nothing/")) == []

    def test_deleting_a_prefix_leaves_its_neighbours(self, bundle_store: BundleStore) -> None:
        put(bundle_store, {"a/1": b"1", "a/b/2": b"2", "ab/3": b"3"})
        bundle_store.delete_prefix("a/")
        bundle_store.delete_prefix("a/")
        assert [o.key for o in bundle_store.list_objects("")] == ["ab/3"]

    def test_deleting_a_prefix_takes_unfinished_uploads_and_old_versions(
        self, bundle_store: BundleStore, s3: Minio
    ) -> None:
        put(bundle_store, {"d/1": b"1"})
        name = bundle_store.uri("d/1").removeprefix(f"s3://{TEST_BUCKET}/")
        s3._put_object(TEST_BUCKET, name, b"2")
        for upload in ("d/2", "d/e/3"):
            s3._create_multipart_upload(TEST_BUCKET, name.removesuffix("d/1") + upload, {})
        bundle_store.delete_prefix("d/")
        assert uploads_in(s3, bundle_store) == []
        root = name.removesuffix("d/1")
        assert list(s3.list_objects(TEST_BUCKET, prefix=root, recursive=True, include_version=True)) == []

    def test_more_objects_than_one_page_are_listed_and_deleted(self, bundle_store: BundleStore) -> None:
        put(bundle_store, {f"page/{i:04}": b"" for i in range(1005)})
        assert len(list(bundle_store.list_objects("page/"))) == 1005
        bundle_store.delete_prefix("page/")
        assert list(bundle_store.list_objects("page/")) == []


class TestAddresses:
    def test_a_key_and_its_address_belong_together(self, make_store: StoreFactory) -> None:
        store = make_store(prefix="/base/")
        assert store.uri("a/b") == f"s3://{TEST_BUCKET}/base/a/b"
        assert store.key_of(f"s3://{TEST_BUCKET}/base/a/b/") == "a/b"

    @pytest.mark.parametrize(
        "address",
        [
            f"s3://{TEST_BUCKET}/based/a",
            f"s3://{TEST_BUCKET}/base",
            f"s3://{TEST_BUCKET}/base/",
            f"s3://{TEST_BUCKET}/base/../other/a",
            f"s3://{TEST_BUCKET}/base//a",
            "s3://other/base/a",
            "file:///base/a",
            "",
        ],
    )
    def test_an_address_elsewhere_is_refused(self, make_store: StoreFactory, address: str) -> None:
        with pytest.raises(RegistrarError) as refused:
            make_store(prefix="base").key_of(address)
        assert refused.value.reason is Reason.SOURCE_NOT_ALLOWED


class TestCheck:
    def test_it_makes_the_bucket_with_object_lock(self, make_store: StoreFactory, s3: Minio) -> None:
        store = make_store(bucket="made-by-check")
        with ThreadPoolExecutor(4) as threads:
            for done in [threads.submit(store.check) for _ in range(4)]:
                done.result(30)
        assert s3.get_bucket_versioning("made-by-check").status == "Enabled"
        put(store, {"a": b"a"})
        assert read(store, "a") == b"a"

    def test_wrong_credentials_are_reported_without_the_stores_words(self, make_store: StoreFactory) -> None:
        with pytest.raises(RegistrarError) as refused:
            make_store(secret_key="not-the-secret").check()
        assert refused.value.reason is Reason.STORE_UNAVAILABLE
        assert "Access" not in refused.value.message
        assert "not-the-secret" not in str(refused.value)


class TestBrokenStores:
    @pytest.fixture
    def proxy(self, store_address: EmbeddedS3Address) -> Iterator[TcpProxy]:
        parts = urlsplit(store_address.endpoint_url)
        with TcpProxy(parts.hostname or "", parts.port or 0) as proxy:
            yield proxy

    @pytest.fixture
    def behind(self, proxy: TcpProxy, make_store: StoreFactory) -> MinioBundleStore:
        """A store with short time-outs behind the proxy."""
        store = make_store(endpoint_url=f"http://127.0.0.1:{proxy.port}", limits=SHORT, abort_wait_seconds=1.0)
        store.check()
        return store

    @pytest.mark.parametrize("size", [100, 4 * PART])
    def test_a_store_that_stalls_is_given_up_in_bounded_time(
        self, proxy: TcpProxy, behind: MinioBundleStore, size: int
    ) -> None:
        transfer = behind.start_transfer()
        proxy.stall()
        began = time.monotonic()
        with pytest.raises(RegistrarError) as refused:
            send(transfer, "stalled", made_data(size))
            transfer.finish()
        transfer.abort()
        assert refused.value.reason is Reason.STORE_UNAVAILABLE
        assert time.monotonic() - began < 15
        proxy.resume()
        # A small one was under way as a whole and may arrive yet; one in parts never becomes visible.
        late = [None, StoredObject("stalled", size)] if size < PART else [None]
        assert behind.stat("stalled") in late

    def test_a_store_that_is_gone_is_reported_by_every_call(self, proxy: TcpProxy, behind: MinioBundleStore) -> None:
        put(behind, {"there": b"there"})
        proxy.cut()
        calls: dict[str, Callable[[], object]] = {
            "check": behind.check,
            "stat": lambda: behind.stat("there"),
            "read": lambda: read(behind, "there"),
            "hash": lambda: behind.hash_object("there"),
            "list": lambda: list(behind.list_objects("")),
            "delete": lambda: behind.delete_prefix("x/"),
            "put": lambda: put(behind, {"new": b"new"}),
        }
        for name, call in calls.items():
            began = time.monotonic()
            with pytest.raises(RegistrarError) as refused:
                call()
            assert refused.value.reason is Reason.STORE_UNAVAILABLE, name
            assert time.monotonic() - began < 10, name
        proxy.resume()
        assert read(behind, "there") == b"there"

    def test_a_read_that_breaks_off_is_no_short_object(self, proxy: TcpProxy, behind: MinioBundleStore) -> None:
        put(behind, {"long": made_data(8 * PART)})
        with pytest.raises(RegistrarError) as refused, behind.open_reader("long") as reader:
            for _ in reader:
                proxy.cut()
        assert refused.value.reason is Reason.STORE_UNAVAILABLE

    def test_a_break_in_the_middle_is_repaired_by_retries(self, proxy: TcpProxy, make_store: StoreFactory) -> None:
        store = make_store(endpoint_url=f"http://127.0.0.1:{proxy.port}", limits=HttpLimits(retries=5))
        store.check()
        data = made_data(4 * PART)
        transfer = store.start_transfer()
        transfer.open_object("repaired", size_bytes=len(data), sha256=sha256_of(data))
        transfer.write(data[: 2 * PART])
        proxy.cut()
        proxy.resume()
        transfer.write(data[2 * PART :])
        transfer.close_object()
        transfer.finish()
        assert store.hash_object("repaired") == (len(data), sha256_of(data))


class TestMemory:
    def test_a_large_object_takes_no_more_memory_than_four_parts(self, store_address: EmbeddedS3Address) -> None:
        growth = {mebibytes: memory_growth(store_address, mebibytes) for mebibytes in (30, 300)}
        assert growth[300] <= 64 + 24, growth
        assert growth[300] - growth[30] <= 48, growth


def memory_growth(address: EmbeddedS3Address, mebibytes: int) -> int:
    """By how many MiB the peak of a process rises when it sends an object of that size in parts of 16 MiB."""
    script = Path(__file__).with_name("send_one_object.py")
    done = subprocess.run(
        [sys.executable, str(script), address.endpoint_url, TEST_BUCKET, f"memory/{mebibytes}", str(mebibytes)],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(sys.path), "ACCESS": address.access_key, "SECRET": address.secret_key},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])
