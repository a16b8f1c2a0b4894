"""What every `BundleStore` must do when it is read, run on SeaweedFS and on MinIO."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest

from registrar_server.adapters.embedded_s3 import EmbeddedS3Address
from registrar_server.adapters.minio_bundles.http import HttpLimits
from registrar_server.application.ports.bundle_store import BundleStore
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.objects import MEBIBYTE, PART, made_data, put, read
from tests.fixtures.proxy import TcpProxy
from tests.fixtures.stores import StoreFactory, proxied, wait_until


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


class TestReadingAhead:
    def test_an_object_of_several_requests_comes_whole_and_in_order(self, bundle_store: BundleStore) -> None:
        data = made_data(14 * PART + 7, seed=4)
        put(bundle_store, {"long": data})
        assert read(bundle_store, "long") == data
        assert read(bundle_store, "long", offset=PART - 1, length=13 * PART) == data[PART - 1 : 14 * PART - 1]

    @pytest.fixture
    def proxy(self, store_address: EmbeddedS3Address) -> Iterator[TcpProxy]:
        yield from proxied(store_address)

    @pytest.fixture
    def behind(self, proxy: TcpProxy, make_store: StoreFactory) -> BundleStore:
        """A store behind the proxy that has sent nothing yet; `long` is in it."""
        direct = make_store()
        direct.check()
        put(direct, {"long": made_data(8 * PART)})
        return make_store(endpoint_url=f"http://127.0.0.1:{proxy.port}", limits=HttpLimits(retries=0))

    @pytest.mark.parametrize("blocks", [0, 1, 20])
    def test_who_stops_early_leaves_no_connection(self, proxy: TcpProxy, behind: BundleStore, blocks: int) -> None:
        with behind.open_reader("long") as reader:
            assert proxy.connections == 1
            assert len(list(islice(reader, blocks))) == blocks
        wait_until(lambda: proxy.connections == 0, 30)

    def test_who_fails_in_the_middle_leaves_no_connection(self, proxy: TcpProxy, behind: BundleStore) -> None:
        with pytest.raises(LookupError), behind.open_reader("long") as reader:
            next(iter(reader))
            raise LookupError
        wait_until(lambda: proxy.connections == 0, 30)

    def test_who_reads_to_the_end_leaves_the_connection_to_the_next(self, proxy: TcpProxy, behind: BundleStore) -> None:
        for _ in range(3):
            assert behind.hash_object("long")[0] == 8 * PART
            assert proxy.connections == 1

    def test_what_ends_the_hashing_of_an_object_is_raised(self, proxy: TcpProxy, behind: BundleStore) -> None:
        seen: list[int] = []

        def stop_at_ten(size: int) -> None:
            seen.append(size)
            if sum(seen) >= 10 * MEBIBYTE:
                raise LookupError

        with pytest.raises(LookupError):
            behind.hash_object("long", on_bytes=stop_at_ten)
        assert 10 * MEBIBYTE <= sum(seen) <= 11 * MEBIBYTE
        wait_until(lambda: proxy.connections == 0, 30)
