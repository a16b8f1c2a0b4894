"""The asyncio client: the synchronous one's calls, awaited; its retries, its end, its event loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2

import registrar
from registrar import aio
from registrar.retry import RetryPolicy
from registrar.v1.model_service_pb2 import ListModelsRequest
from registrar.v1.model_version_service_pb2 import GetModelVersionRequest, RegisterModelVersionRequest
from tests.unit.client.fake_state import Failure, State

RUN = "runs:/1/model"
UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
HANGS_SECONDS = 20
"""Far more than anything here takes: a test that gets there fails."""


def connect(target: str, *, timeout_seconds: float = HANGS_SECONDS) -> aio.Registry:
    """A client that does not wait between its attempts."""
    at_once = RetryPolicy(initial_seconds=0.0, maximum_seconds=0.0)
    return aio.connect(target, retry=at_once, timeout_seconds=timeout_seconds)


def methods_of(registry: type) -> dict[str, object]:
    return {name: value for name, value in inspect.getmembers(registry) if not name.startswith("_")}


def test_both_clients_have_the_same_methods() -> None:
    assert set(methods_of(aio.Registry)) - {"aclose"} == set(methods_of(registrar.Registry)) - {"close"}


@pytest.mark.parametrize("name", sorted(set(methods_of(registrar.Registry)) - {"close", "target", "event_sequence"}))
def test_a_method_differs_only_in_that_it_is_awaited(name: str) -> None:
    waiting, awaited = getattr(registrar.Registry, name), getattr(aio.Registry, name)
    signature, expected = inspect.signature(awaited), inspect.signature(waiting)
    assert list(signature.parameters.values())[1:] == list(expected.parameters.values())[1:]
    assert inspect.getdoc(awaited) == inspect.getdoc(waiting)
    kind, _, item = expected.return_annotation.removesuffix("]").partition("[")
    if kind == "Iterator":
        assert signature.return_annotation in {f"AsyncIterator[{item}]", f"AsyncGenerator[{item}, None]"}
    else:
        assert inspect.iscoroutinefunction(awaited)
        assert signature.return_annotation == expected.return_annotation


def test_a_read_is_tried_again_until_it_succeeds(target: str, state: State) -> None:
    async def main() -> str:
        async with connect(target) as registry:
            await registry.create_model("a")
            state.fail_next("GetModel", UNAVAILABLE, UNAVAILABLE)
            return (await registry.model("a")).name

    assert asyncio.run(main()) == "a"


def test_a_change_whose_answer_was_lost_is_made_once(target: str, state: State) -> None:
    async def main() -> int:
        async with connect(target) as registry:
            lost = Failure(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING", is_late=True)
            late = Failure(grpc.StatusCode.DEADLINE_EXCEEDED, is_late=True)
            state.fail_next("RegisterModelVersion", lost, late)
            return (await registry.register("a", run_artifact=RUN)).version

    assert asyncio.run(main()) == 1
    assert len(state.versions["a"]) == 1
    ids = [request.request_id for request in state.seen(RegisterModelVersionRequest)]
    assert (len(ids), len(set(ids))) == (3, 1)


def test_a_lost_race_is_never_tried_again(target: str, state: State) -> None:
    async def main() -> str:
        async with connect(target) as registry:
            await registry.register("a", run_artifact=RUN)
            state.fail_next("UpdateModelVersion", Failure(grpc.StatusCode.ABORTED, "ETAG_MISMATCH"))
            with pytest.raises(registrar.Aborted):
                await registry.update("a/1", description="x")
            return (await registry.get("a/1")).description

    assert asyncio.run(main()) == ""


def test_retries_end_with_the_time_of_the_call(target: str, state: State) -> None:
    asked = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=3600))

    async def main() -> float | None:
        async with connect(target) as registry:
            await registry.register("a", run_artifact=RUN)
            state.fail_next("GetModelVersion", Failure(grpc.StatusCode.UNAVAILABLE, "DATABASE_BUSY", (asked,)))
            with pytest.raises(registrar.Unavailable) as caught:
                await registry.get("a/1")
            return caught.value.retry_after

    assert asyncio.run(main()) == 3600
    assert len(state.seen(GetModelVersionRequest)) == 1


def test_a_wrong_address_is_told_before_the_time_of_a_call_is_up() -> None:
    async def main() -> registrar.RegistrarError:
        async with aio.connect("127.0.0.1:1", timeout_seconds=3600, connect_timeout_seconds=0.2) as registry:
            with pytest.raises(registrar.Unavailable) as caught:
                await registry.get("a/1")
            return caught.value

    error = asyncio.run(main())
    assert error.reason == "UNREACHABLE"
    assert isinstance(error.__cause__, grpc.RpcError)


def test_reads_ask_for_what_this_caller_changed(target: str, state: State) -> None:
    state.sequence = 40

    async def main() -> int:
        async with connect(target) as registry:
            await registry.register("a", run_artifact=RUN)
            await registry.get("a/1")
            await registry.get("a/1", strong=True)
            return registry.event_sequence

    assert asyncio.run(main()) == 41
    first, second = state.seen(GetModelVersionRequest)
    assert first.consistency.at_least_sequence == 41
    assert second.consistency.strong


def test_lists_are_iterated_over_all_pages(target: str, state: State) -> None:
    async def main() -> list[str]:
        async with connect(target) as registry:
            for name in ("b", "c", "ab", "a"):
                await registry.create_model(name)
            return [model.name async for model in registry.models(page_size=3)]

    assert asyncio.run(main()) == ["a", "ab", "b", "c"]
    assert [bool(request.page_token) for request in state.seen(ListModelsRequest)] == [False, True]


def test_a_search_is_iterated_over_all_pages(target: str) -> None:
    async def main() -> list[str]:
        async with connect(target) as registry:
            for name in ("a", "a", "b"):
                await registry.register(name, run_artifact="runs:/1/model")
            return [str(version) async for version in registry.search("stage = none", page_size=2)]

    assert asyncio.run(main()) == ["b/1", "a/2", "a/1"]


def test_references_are_of_the_tenant_that_was_chosen(target: str, state: State) -> None:
    async def main() -> None:
        async with aio.connect(target, tenant="acme") as registry:
            await registry.register("a", run_artifact=RUN)
            await registry.get("a/1")

    asyncio.run(main())
    assert [request.ref.model.tenant for request in state.seen(GetModelVersionRequest)] == ["acme"]


def test_waiting_for_the_mirror_ends_when_it_has_the_last_change(target: str, state: State) -> None:
    async def main() -> None:
        async with connect(target) as registry:
            await registry.register("a", run_artifact=RUN)
            state.mirrored_sequence = 0
            await registry.wait_mirrored(timeout_seconds=HANGS_SECONDS)
            with pytest.raises(registrar.DeadlineExceeded):
                await registry.wait_mirrored(10**6, timeout_seconds=0.0)

    asyncio.run(main())


class Hanging:
    """A server whose calls begin, and end only when their caller ends them."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended = threading.Event()

    def answer(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        if not context.add_callback(self.ended.set):
            self.ended.set()
        self.begun.set()
        self.ended.wait(HANGS_SECONDS)
        return b""


@contextmanager
def hanging_server() -> Iterator[tuple[Hanging, str]]:
    hanging, executor = Hanging(), ThreadPoolExecutor(4)
    server = grpc.server(executor)
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(hanging.answer)
    service = grpc.method_handlers_generic_handler("registrar.v1.ModelService", {"GetModel": handler})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield hanging, f"127.0.0.1:{port}"
    finally:
        hanging.ended.set()
        server.stop(None).wait()
        executor.shutdown()


def test_cancelling_a_task_cancels_its_call() -> None:
    async def main(hanging: Hanging, target: str) -> None:
        async with connect(target) as registry:
            task = asyncio.create_task(registry.model("a"))
            assert await asyncio.to_thread(hanging.begun.wait, HANGS_SECONDS)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(hanging.ended.wait, HANGS_SECONDS)

    with hanging_server() as (hanging, target):
        asyncio.run(main(hanging, target))


def test_a_time_limit_of_the_caller_ends_a_call() -> None:
    async def main(hanging: Hanging, target: str) -> None:
        async with connect(target) as registry:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await registry.model("a")

    with hanging_server() as (hanging, target):
        asyncio.run(main(hanging, target))
        assert hanging.ended.wait(HANGS_SECONDS)


def test_closing_ends_the_calls_of_other_tasks_with_an_error_of_ours() -> None:
    async def main(hanging: Hanging, target: str) -> None:
        registry = connect(target)
        task = asyncio.create_task(registry.model("a"))
        assert await asyncio.to_thread(hanging.begun.wait, HANGS_SECONDS)
        await registry.aclose()
        with pytest.raises(registrar.Cancelled):
            await task

    with hanging_server() as (hanging, target):
        asyncio.run(main(hanging, target))


@pytest.mark.parametrize("client", ["waits", "awaits"])
def test_closing_ends_a_call_that_waits_for_its_next_attempt(client: str, target: str, state: State) -> None:
    asked = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=3000))
    state.fail_next("GetModel", Failure(grpc.StatusCode.UNAVAILABLE, "DATABASE_BUSY", (asked,)))
    has_failed = threading.Event()

    def draw() -> float:
        has_failed.set()
        return 0.5

    async def awaits() -> None:
        registry = aio.connect(target, timeout_seconds=3600, retry=RetryPolicy(draw=draw))
        task = asyncio.create_task(registry.model("a"))
        assert await asyncio.to_thread(has_failed.wait, HANGS_SECONDS)
        await registry.aclose()
        with pytest.raises(registrar.InvalidArgument) as caught:
            await task
        assert caught.value.reason == "CLOSED"

    def waits() -> None:
        registry = registrar.connect(target, timeout_seconds=3600, retry=RetryPolicy(draw=draw))
        with ThreadPoolExecutor(1) as executor:
            job = executor.submit(registry.model, "a")
            assert has_failed.wait(HANGS_SECONDS)
            registry.close()
            with pytest.raises(registrar.InvalidArgument) as caught:
                job.result(HANGS_SECONDS)
        assert caught.value.reason == "CLOSED"

    if client == "waits":
        waits()
    else:
        asyncio.run(awaits())


def test_after_its_end_a_registry_says_that_it_is_closed(target: str) -> None:
    async def main() -> set[str]:
        registry = connect(target)
        await registry.create_model("a")
        await registry.aclose()
        await registry.aclose()
        reasons = set()
        with pytest.raises(registrar.InvalidArgument) as caught:
            await registry.model("a")
        reasons.add(caught.value.reason)
        with pytest.raises(registrar.InvalidArgument) as caught:
            registry.models()
        reasons.add(caught.value.reason)
        with pytest.raises(registrar.InvalidArgument) as caught:
            await registry.upload("x", name="a")
        reasons.add(caught.value.reason)
        return reasons

    assert asyncio.run(main()) == {"CLOSED"}


def test_a_registry_that_made_no_call_can_be_closed_anywhere(target: str) -> None:
    registry = connect(target)
    asyncio.run(registry.aclose())
    asyncio.run(registry.aclose())


def test_a_registry_refuses_another_event_loop(target: str) -> None:
    async def first() -> aio.Registry:
        registry = connect(target)
        await registry.create_model("a")
        return registry

    async def second(registry: aio.Registry) -> list[str]:
        reasons = []
        for call in (registry.model("a"), registry.pull("a/1", "x"), registry.aclose()):
            with pytest.raises(registrar.InvalidArgument) as caught:
                await call
            reasons.append(caught.value.reason)
        return reasons

    with asyncio.Runner() as one, asyncio.Runner() as other:
        registry = one.run(first())
        assert other.run(second(registry)) == ["WRONG_EVENT_LOOP"] * 3
        one.run(registry.aclose())


def test_every_event_loop_can_have_a_registry_of_its_own(target: str, state: State) -> None:
    async def main(name: str) -> list[str]:
        async with connect(target) as registry:
            await registry.register(name, run_artifact=RUN)
            versions = await asyncio.gather(*[registry.get(f"{name}/1") for _ in range(50)])
            return [version.name for version in versions]

    names = ["a", "b", "c"]
    with ThreadPoolExecutor(len(names)) as executor:
        found = list(executor.map(lambda name: asyncio.run(main(name)), names))
    assert found == [[name] * 50 for name in names]
