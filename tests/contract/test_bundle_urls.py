"""Presigned URLs, used by a plain HTTP client: on SeaweedFS and on MinIO."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import urllib3

from registrar_server.adapters.embedded_s3 import EmbeddedS3Address
from registrar_server.adapters.minio_bundles import MinioBundleStore
from registrar_server.adapters.minio_bundles.http import HttpLimits
from registrar_server.application.ports.bundle_store import BundleStore, Completion
from tests.fixtures.objects import PART, made_data, put, read
from tests.fixtures.proxy import TcpProxy
from tests.fixtures.stores import StoreFactory, proxied, wait_until

DATA = made_data(PART + 7)


@pytest.fixture
def http() -> Iterator[urllib3.PoolManager]:
    """A client that knows nothing of S3."""
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5, read=60))
    yield pool
    pool.clear()


class TestReadUrls:
    @pytest.mark.parametrize("key", ["model.bin", "a b/ü+&%25?#.txt"])
    def test_they_give_the_object_and_its_ranges(
        self, bundle_store: BundleStore, http: urllib3.PoolManager, key: str
    ) -> None:
        put(bundle_store, {key: DATA})
        url = bundle_store.presign_read(key, expires_seconds=60)
        whole = http.request("GET", url)
        assert (whole.status, whole.data) == (200, DATA)
        some = http.request("GET", url, headers={"Range": f"bytes=10-{PART}"})
        assert (some.status, some.data) == (206, DATA[10 : PART + 1])

    def test_they_end(self, bundle_store: BundleStore, http: urllib3.PoolManager) -> None:
        put(bundle_store, {"file": b"abc"})
        url = bundle_store.presign_read("file", expires_seconds=1)
        wait_until(lambda: http.request("GET", url).status == 403, 10)
        assert b"abc" not in http.request("GET", url).data

    def test_they_are_for_one_object_and_one_method(self, bundle_store: BundleStore, http: urllib3.PoolManager) -> None:
        put(bundle_store, {"file": b"abc", "other": b"secret"})
        url = bundle_store.presign_read("file", expires_seconds=60)
        assert http.request("GET", url.replace("/file?", "/other?")).status == 403
        for method in ("PUT", "DELETE"):
            assert http.request(method, url).status == 403
        assert read(bundle_store, "file") == b"abc"


class TestPartUrls:
    def test_the_etag_of_what_was_put_completes_the_object(
        self, bundle_store: BundleStore, http: urllib3.PoolManager
    ) -> None:
        upload = bundle_store.create_upload("file")
        etags = []
        for number, part in enumerate((DATA[:PART], DATA[PART:]), start=1):
            url = bundle_store.presign_part("file", upload, number, expires_seconds=60)
            answer = http.request("PUT", url, body=part)
            assert answer.status == 200
            etags.append(answer.headers["ETag"].strip('"'))
        assert bundle_store.complete_upload("file", upload, etags) is Completion.DONE
        assert read(bundle_store, "file") == DATA

    def test_they_end(self, bundle_store: BundleStore, http: urllib3.PoolManager) -> None:
        upload = bundle_store.create_upload("file")
        url = bundle_store.presign_part("file", upload, 1, expires_seconds=1)
        wait_until(lambda: http.request("PUT", url, body=b"abc").status == 403, 10)

    def test_they_are_for_one_part(self, bundle_store: BundleStore, http: urllib3.PoolManager) -> None:
        upload = bundle_store.create_upload("file")
        url = bundle_store.presign_part("file", upload, 1, expires_seconds=60)
        assert http.request("PUT", url.replace("partNumber=1", "partNumber=2"), body=b"abc").status == 403

    def test_once_the_object_is_complete_they_change_nothing(
        self, bundle_store: BundleStore, http: urllib3.PoolManager
    ) -> None:
        upload = bundle_store.create_upload("file")
        url = bundle_store.presign_part("file", upload, 1, expires_seconds=600)
        etag = http.request("PUT", url, body=b"verified").headers["ETag"].strip('"')
        assert bundle_store.complete_upload("file", upload, [etag]) is Completion.DONE
        assert http.request("PUT", url, body=b"something else").status == 404
        assert read(bundle_store, "file") == b"verified"
        assert bundle_store.complete_upload("file", upload, [etag]) is Completion.OCCUPIED

    def test_once_the_upload_is_dropped_they_take_nothing(
        self, bundle_store: BundleStore, http: urllib3.PoolManager
    ) -> None:
        upload = bundle_store.create_upload("file")
        url = bundle_store.presign_part("file", upload, 1, expires_seconds=600)
        bundle_store.abort_upload("file", upload)
        assert http.request("PUT", url, body=b"late").status == 404
        assert bundle_store.stat("file") is None


class TestMaking:
    @pytest.fixture
    def proxy(self, store_address: EmbeddedS3Address) -> Iterator[TcpProxy]:
        yield from proxied(store_address)

    def test_no_request_is_made(self, proxy: TcpProxy, make_store: StoreFactory) -> None:
        store = make_store(endpoint_url=f"http://127.0.0.1:{proxy.port}", limits=HttpLimits(retries=0))
        proxy.cut()
        assert store.presign_read("file", expires_seconds=60)
        assert store.presign_part("file", "upload", 1, expires_seconds=60)

    @pytest.mark.parametrize("is_public", [False, True])
    def test_without_a_region_none_is_made_once_the_store_was_checked(
        self, proxy: TcpProxy, make_store: StoreFactory, http: urllib3.PoolManager, is_public: bool
    ) -> None:
        address = f"http://127.0.0.1:{proxy.port}"
        store = make_store(
            endpoint_url=address,
            region=None,
            limits=HttpLimits(retries=0),
            public_endpoint_url=address if is_public else None,
        )
        store.check()
        put(store, {"file": b"abc"})
        proxy.cut()
        url = store.presign_read("file", expires_seconds=60)
        proxy.resume()
        assert http.request("GET", url).data == b"abc"

    def test_they_name_the_public_address(
        self, bundle_store: MinioBundleStore, proxy: TcpProxy, make_store: StoreFactory, http: urllib3.PoolManager
    ) -> None:
        # The host is signed: readers who go by the proxy send its address.
        put(bundle_store, {"file": DATA})
        store = make_store(public_endpoint_url=f"http://127.0.0.1:{proxy.port}")
        url = store.presign_read("file", expires_seconds=60)
        assert urlsplit(url).netloc == f"127.0.0.1:{proxy.port}"
        assert http.request("GET", url).data == DATA
        assert proxy.forwarded_bytes > 0
        upload = store.create_upload("other")
        etag = http.request("PUT", store.presign_part("other", upload, 1, expires_seconds=60), body=b"x").headers[
            "ETag"
        ]
        assert store.complete_upload("other", upload, [etag.strip('"')]) is Completion.DONE

    @pytest.mark.parametrize("address", ["127.0.0.1:9000", "ftp://host", "http://host/path", "http://"])
    def test_a_public_address_that_is_none_is_refused_at_once(self, make_store: StoreFactory, address: str) -> None:
        with pytest.raises(ValueError, match="http"):
            make_store(public_endpoint_url=address)
