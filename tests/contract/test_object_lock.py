"""Objects that are written once and kept: `put_object`, on both stores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from minio import Minio
from minio.commonconfig import COMPLIANCE
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from registrar_server.adapters.minio_bundles import MinioBundleStore
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.stores import StoreFactory


def stored(store: MinioBundleStore, key: str) -> bytes:
    """What is under a key."""
    with store.open_reader(key) as reader:
        return b"".join(reader)


def test_what_is_there_is_never_replaced(bundle_store: MinioBundleStore) -> None:
    assert bundle_store.put_object("a/one", b"first")
    assert not bundle_store.put_object("a/one", b"second")
    assert stored(bundle_store, "a/one") == b"first"
    assert bundle_store.put_object("a/empty", b"")
    assert stored(bundle_store, "a/empty") == b""


def test_of_many_at_once_one_s_bytes_stay_whole(bundle_store: MinioBundleStore) -> None:
    bodies = [bytes([number]) * 1000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda body: bundle_store.put_object("a/one", body), bodies))
    assert any(done)
    assert stored(bundle_store, "a/one") in bodies


def test_nobody_removes_what_is_to_be_kept(make_store: StoreFactory, s3: Minio) -> None:
    """Compliance mode: not even with all rights on the store. What is put over it leaves it as it was."""
    store = make_store(bucket="locked-objects")
    store.check()
    until = datetime.now(UTC) + timedelta(minutes=10)
    assert store.put_object("heads/1", b"kept", retain_until=until)
    name = store.uri("heads/1").removeprefix("s3://locked-objects/")
    (version,) = s3.list_objects("locked-objects", prefix=name, include_version=True)
    retention = s3.get_object_retention("locked-objects", name, version_id=version.version_id)
    assert retention is not None
    assert retention.mode == COMPLIANCE
    assert abs(retention.retain_until_date - until) < timedelta(seconds=2)
    with pytest.raises(S3Error):
        s3.remove_object("locked-objects", name, version_id=version.version_id)
    assert list(s3.remove_objects("locked-objects", [DeleteObject(name, version.version_id)]))
    with pytest.raises(S3Error):
        s3.remove_bucket("locked-objects")
    s3.remove_object("locked-objects", name)
    response = s3.get_object("locked-objects", name, version_id=version.version_id)
    assert response.read() == b"kept"
    response.close()
    response.release_conn()


def test_a_bucket_without_object_lock_takes_nothing_that_is_to_be_kept(make_store: StoreFactory, s3: Minio) -> None:
    if not s3.bucket_exists("plain-objects"):
        s3.make_bucket("plain-objects")
    store = make_store(bucket="plain-objects")
    with pytest.raises(RegistrarError) as caught:
        store.put_object("heads/1", b"kept", retain_until=datetime.now(UTC) + timedelta(minutes=10))
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert store.stat("heads/1") is None
