"""What every `BundleStore` must do with objects, run on SeaweedFS and on MinIO."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from minio import Minio

from registrar_server.application.ports.bundle_store import BundleStore, StoredObject
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.objects import PART, made_data, put, read, sha256_of, uploads_in
from tests.fixtures.stores import TEST_BUCKET, StoreFactory


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
