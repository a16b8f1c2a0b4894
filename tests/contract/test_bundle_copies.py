"""What every `BundleStore` must do when the store copies and deletes objects, run on SeaweedFS and on MinIO."""

from __future__ import annotations

import pytest
from minio import Minio

from registrar_server.application.ports.bundle_store import BundleStore, Completion
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.objects import PART, made_data, put, read, uploads_in
from tests.fixtures.stores import TEST_BUCKET, StoreFactory

LARGE = 3 * PART + 7


def ignore() -> None:
    """Progress that nobody wants to know."""


@pytest.fixture
def copying_store(make_store: StoreFactory) -> BundleStore:
    """A store that copies in ranges of 5 MiB."""
    store = make_store(copy_range_bytes=PART)
    store.check()
    return store


class TestCopying:
    @pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, LARGE])
    def test_an_object_of_any_size_comes_out_equal(self, copying_store: BundleStore, s3: Minio, size: int) -> None:
        data = made_data(size, seed=size)
        put(copying_store, {"a b/from ü+&%25?#": data})
        copying_store.copy("a b/from ü+&%25?#", "to/ü+&%25?#", on_progress=ignore)
        assert read(copying_store, "to/ü+&%25?#") == data
        assert read(copying_store, "a b/from ü+&%25?#") == data
        assert uploads_in(s3, copying_store) == []

    @pytest.mark.parametrize("size", [10, LARGE])
    def test_what_is_there_is_replaced(self, copying_store: BundleStore, size: int) -> None:
        data = made_data(size)
        put(copying_store, {"from": data, "to": b"before"})
        copying_store.copy("from", "to", on_progress=ignore)
        assert read(copying_store, "to") == data

    def test_an_absent_source_is_told(self, copying_store: BundleStore) -> None:
        with pytest.raises(RegistrarError) as refused:
            copying_store.copy("absent", "to", on_progress=ignore)
        assert refused.value.reason is Reason.ARTIFACT_FILE_NOT_FOUND
        assert copying_store.stat("to") is None

    def test_it_can_be_stopped_before_every_request_and_leaves_nothing(
        self, copying_store: BundleStore, s3: Minio
    ) -> None:
        put(copying_store, {"from": made_data(LARGE)})
        calls: list[int] = []
        copying_store.copy("from", "to", on_progress=lambda: calls.append(1))
        # Size, beginning, four ranges, completion.
        assert len(calls) == 7
        copying_store.delete("to")
        for stop_at in range(1, len(calls) + 1):
            done: list[int] = []

            def stop(stop_at: int = stop_at, done: list[int] = done) -> None:
                done.append(1)
                if len(done) == stop_at:
                    raise LookupError

            with pytest.raises(LookupError):
                copying_store.copy("from", "to", on_progress=stop)
            assert copying_store.stat("to") is None
            assert uploads_in(s3, copying_store) == []


class TestDeleting:
    def test_one_object_goes_with_all_its_versions(self, bundle_store: BundleStore, s3: Minio) -> None:
        put(bundle_store, {"d/1": b"1", "d/1-x": b"2", "d/10": b"3", "d/2": b"4"})
        name = bundle_store.uri("d/1").removeprefix(f"s3://{TEST_BUCKET}/")
        s3._put_object(TEST_BUCKET, name, b"again")
        s3.remove_object(TEST_BUCKET, name)
        s3._put_object(TEST_BUCKET, name, b"and again")
        bundle_store.delete("d/1")
        bundle_store.delete("d/1")
        listed = s3.list_objects(TEST_BUCKET, prefix=name, recursive=True, include_version=True)
        assert {entry.object_name for entry in listed} == {f"{name}-x", f"{name}0"}
        assert [o.key for o in bundle_store.list_objects("d/")] == ["d/1-x", "d/10", "d/2"]

    def test_its_upload_stays(self, bundle_store: BundleStore) -> None:
        upload = bundle_store.create_upload("d/1")
        bundle_store.delete("d/1")
        transfer = bundle_store.start_transfer()
        transfer.open_parts("d/1", upload_id=upload, part_size_bytes=PART, first_part=1, size_bytes=3, sha256=None)
        transfer.write(b"abc")
        transfer.close_object()
        transfer.finish()
        etags = [part.etag for part in transfer.take_stored() if hasattr(part, "etag")]
        assert bundle_store.complete_upload("d/1", upload, etags) is Completion.DONE

    def test_deleting_a_prefix_can_be_stopped(self, bundle_store: BundleStore) -> None:
        put(bundle_store, {"p/1": b"1", "p/2": b"2"})
        bundle_store.create_upload("p/3")
        calls: list[int] = []

        def stop() -> None:
            calls.append(1)
            if len(calls) == 2:
                raise LookupError

        with pytest.raises(LookupError):
            bundle_store.delete_prefix("p/", on_progress=stop)
        assert len(list(bundle_store.list_objects("p/"))) == 2
        bundle_store.delete_prefix("p/", on_progress=ignore)
        assert list(bundle_store.list_objects("p/")) == []
