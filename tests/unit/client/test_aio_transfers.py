"""Transfers of the asyncio client: in threads, bounded, and over when their task is."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

import registrar
from registrar import aio
from registrar.aio.connection import Connection
from registrar.aio.transfers import TRANSFERS_AT_ONCE, Workers
from registrar.retry import RetryPolicy
from registrar.settings import resolve_settings
from registrar.v1.model_version_service_pb2 import GetModelVersionRequest
from tests.unit.client.fake_state import State

HANGS_SECONDS = 20


def connect(target: str) -> aio.Registry:
    at_once = RetryPolicy(initial_seconds=0.0, maximum_seconds=0.0)
    return aio.connect(target, retry=at_once, timeout_seconds=HANGS_SECONDS)


def workers_to(target: str) -> Workers:
    settings = resolve_settings(
        target, tenant=None, timeout_seconds=5, connect_timeout_seconds=5, retry=None, credentials=None, token=None
    )
    return Workers(Connection(settings))


async def is_set(event: threading.Event) -> bool:
    return await asyncio.to_thread(event.wait, HANGS_SECONDS)


def busy_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("registrar-pull")}


def test_what_is_pushed_comes_back(target: str, bundle: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with connect(target) as registry:
            version = await registry.push(bundle, name="a", progress=False)
            folder = await registry.pull(version, tmp_path / "out", progress=False)
            for file in [file async for file in registry.files(version)]:
                data = b"".join([block async for block in registry.download(version, file.path)])
                assert data == (bundle / file.path).read_bytes() == (folder / file.path).read_bytes()
            assert (await registry.artifact(version)).id == version.artifact_id

    asyncio.run(main())


def test_a_read_after_a_push_asks_for_what_was_pushed(target: str, state: State, bundle: Path) -> None:
    async def main() -> int:
        async with connect(target) as registry:
            await registry.push(bundle, name="a", progress=False)
            await registry.get("a/1")
            return registry.event_sequence

    assert asyncio.run(main()) == state.seen(GetModelVersionRequest)[-1].consistency.at_least_sequence > 0


def test_a_failure_in_a_thread_is_the_callers(target: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with connect(target) as registry:
            with pytest.raises(registrar.NotFound):
                await registry.pull("none/1", tmp_path / "out")
            with pytest.raises(registrar.NotFound):
                await anext(registry.download("none/1", "x"))
            with pytest.raises(registrar.InvalidArgument):
                await registry.upload(tmp_path / "none", name="a")

    asyncio.run(main())


def test_a_cancelled_pull_leaves_neither_a_folder_nor_a_thread(
    target: str, state: State, bundle: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        async with connect(target) as registry:
            await registry.push(bundle, name="a", progress=False)
            state.hold_downloads = threading.Event()
            task = asyncio.create_task(registry.pull("a/1", tmp_path / "out", progress=False))
            assert await is_set(state.download_held)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not (tmp_path / "out").exists()
            assert not busy_threads()
            state.hold_downloads.set()
            assert (await registry.pull("a/1", tmp_path / "out", progress=False)).is_dir()

    asyncio.run(main())


def test_a_download_can_be_ended_while_it_waits_for_bytes(target: str, state: State, bundle: Path) -> None:
    async def main() -> None:
        async with connect(target) as registry:
            await registry.push(bundle, name="a", progress=False)
            state.hold_downloads = threading.Event()
            async with aclosing(registry.download("a/1", "model.pkl")) as blocks:
                assert await anext(blocks)
                assert await is_set(state.download_held)
            state.hold_downloads.set()
            assert [file.path async for file in registry.files("a/1")]

    asyncio.run(main())


def test_closing_ends_a_transfer_of_another_task(target: str, state: State, bundle: Path, tmp_path: Path) -> None:
    async def main() -> None:
        registry = connect(target)
        await registry.push(bundle, name="a", progress=False)
        state.hold_downloads = threading.Event()
        task = asyncio.create_task(registry.pull("a/1", tmp_path / "out", progress=False))
        assert await is_set(state.download_held)
        await registry.aclose()
        with pytest.raises(registrar.Cancelled):
            await task
        assert not busy_threads()

    asyncio.run(main())


def test_one_item_is_fetched_ahead_and_no_more(target: str) -> None:
    fetched = 0

    def items(_: object) -> Iterator[int]:
        nonlocal fetched
        for number in range(1, 100):
            fetched = number
            yield number

    async def main() -> list[int]:
        workers = workers_to(target)
        ahead = []
        async with aclosing(workers.iterate(items)) as numbers:
            async for number in numbers:
                await asyncio.sleep(0)
                ahead.append(fetched - number)
        await workers.close()
        return ahead

    ahead = asyncio.run(main())
    assert len(ahead) == 99
    assert set(ahead) <= {0, 1}


def test_only_so_many_transfers_work_at_once_and_the_others_come_after(target: str) -> None:
    lock, goes_on = threading.Lock(), threading.Event()
    working = most = 0

    def work(_: object) -> None:
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
            if working == TRANSFERS_AT_ONCE:
                goes_on.set()
        assert goes_on.wait(HANGS_SECONDS)
        with lock:
            working -= 1

    async def main() -> None:
        workers = workers_to(target)
        await asyncio.gather(*[workers.run(work) for _ in range(3 * TRANSFERS_AT_ONCE)])
        await workers.close()

    asyncio.run(main())
    assert most == TRANSFERS_AT_ONCE


def test_a_transfer_that_waits_for_a_thread_is_cancelled_at_once(target: str) -> None:
    goes_on = threading.Event()
    begun: list[object] = []

    def hold(_: object) -> None:
        goes_on.wait(HANGS_SECONDS)

    async def main() -> None:
        workers = workers_to(target)
        holding = [asyncio.create_task(workers.run(hold)) for _ in range(TRANSFERS_AT_ONCE)]
        await asyncio.sleep(0)
        waiting = asyncio.create_task(workers.run(begun.append))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        goes_on.set()
        await asyncio.gather(*holding)
        await workers.close()

    asyncio.run(main())
    assert not begun


def test_a_thread_sees_the_context_variables_of_its_caller(target: str) -> None:
    trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace")

    async def main() -> str:
        workers = workers_to(target)
        trace.set("mine")
        found = await workers.run(lambda _: trace.get())
        await workers.close()
        return found

    assert asyncio.run(main()) == "mine"


@pytest.mark.parametrize("end", ["is over", "is cancelled"])
def test_a_registry_is_used_again_only_after_a_transfer_that_ended_well(target: str, end: str) -> None:
    used: list[registrar.Registry] = []
    begun = threading.Event()

    def wait_closed(registry: registrar.Registry) -> None:
        used.append(registry)
        begun.set()
        while not registry._connection.is_closed:
            threading.Event().wait(0.01)

    works: dict[str, Callable[[registrar.Registry], None]] = {"is over": used.append, "is cancelled": wait_closed}

    async def main() -> None:
        workers = workers_to(target)
        task = asyncio.create_task(workers.run(works[end]))
        if end == "is cancelled":
            assert await is_set(begun)
            task.cancel()
        await asyncio.wait([task])
        await workers.run(used.append)
        await workers.close()

    asyncio.run(main())
    assert (used[0] is used[1]) is (end == "is over")


def test_a_download_that_is_taken_up_after_the_end_says_so(target: str, state: State, bundle: Path) -> None:
    async def main() -> None:
        registry = connect(target)
        await registry.push(bundle, name="a", progress=False)
        blocks = registry.download("a/1", "model.pkl")
        assert await anext(blocks)
        await registry.aclose()
        with pytest.raises(registrar.Cancelled):
            async for _ in blocks:
                pass

    asyncio.run(main())
