"""What a `BundleStore` does on a store that stalls or breaks, and how much memory it takes; on SeaweedFS and on MinIO."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registrar_server.adapters.embedded_s3 import EmbeddedS3Address
from registrar_server.adapters.minio_bundles import MinioBundleStore
from registrar_server.adapters.minio_bundles.http import HttpLimits
from registrar_server.application.ports.bundle_store import StoredObject
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.objects import PART, made_data, put, read, send, sha256_of
from tests.fixtures.proxy import TcpProxy
from tests.fixtures.stores import TEST_BUCKET, StoreFactory, proxied

SHORT = HttpLimits(connect_timeout_seconds=0.5, stall_timeout_seconds=0.5, retries=1)


class TestBrokenStores:
    @pytest.fixture
    def proxy(self, store_address: EmbeddedS3Address) -> Iterator[TcpProxy]:
        yield from proxied(store_address)

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

    def test_a_read_that_breaks_off_is_no_short_object(
        self, proxy: TcpProxy, behind: MinioBundleStore, make_store: StoreFactory
    ) -> None:
        put(make_store(), {"long": made_data(8 * PART)})
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
