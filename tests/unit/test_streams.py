"""Slots and request streams: who is refused, who stands still, and how far a client may get ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from registrar.framing import Chunk
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.transport.streams import RequestStream, Slots
from tests.fixtures.stores import wait_until

MEBIBYTE = 1 << 20
LONG = 60.0


class Client:
    """A request stream as grpc gives it to a server: iterating waits for what the client sends."""

    def __init__(self) -> None:
        self._sent: queue.SimpleQueue[Chunk | Exception | None] = queue.SimpleQueue()
        self.taken = 0
        """How many messages the server has asked for and got."""

    def send(self, *messages: Chunk | Exception | None) -> None:
        """None ends the stream, an exception breaks it."""
        for message in messages:
            self._sent.put(message)

    def __iter__(self) -> Iterator[Chunk]:
        while (message := self._sent.get()) is not None:
            if isinstance(message, Exception):
                raise message
            self.taken += 1
            yield message


def chunk(size_bytes: int, offset: int = 0) -> Chunk:
    return Chunk(0, offset, None, bytes(size_bytes))


def streaming(client: Client, stall_seconds: float = LONG) -> closing[RequestStream[Chunk]]:
    return closing(RequestStream(iter(client), stall_seconds=stall_seconds))


def messages_of(stream: RequestStream[Chunk]) -> Iterator[Chunk]:
    """Without the signs that nothing has come for a while."""
    return (message for message in stream if message is not None)


def thread_names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_messages_come_in_order_to_the_end() -> None:
    client = Client()
    sent = [chunk(size, offset) for offset, size in enumerate([MEBIBYTE, 0, 1, 20_000] * 50)]
    client.send(*sent, None)
    with streaming(client) as stream:
        assert [message.offset for message in messages_of(stream)] == list(range(200))


def test_what_breaks_the_stream_reaches_its_reader_after_what_came_before() -> None:
    client = Client()
    client.send(chunk(1), ConnectionError("cut"))
    with streaming(client) as stream:
        messages = messages_of(stream)
        assert next(messages).data
        with pytest.raises(ConnectionError, match="cut"):
            next(messages)


@pytest.mark.parametrize("size_bytes", [MEBIBYTE, 64 << 10])
def test_a_client_gets_two_mebibytes_ahead_of_the_reader_and_no_more(size_bytes: int) -> None:
    client = Client()
    client.send(*[chunk(size_bytes) for _ in range(200)], None)
    most = 2 * MEBIBYTE // size_bytes + 1
    with streaming(client) as stream:
        for read, _ in enumerate(messages_of(stream)):
            assert client.taken <= read + most
            if read == 10:
                wait_until(lambda: client.taken >= 10 + most - 1, 10)


def test_closing_ends_the_thread_that_waits_for_the_reader() -> None:
    client = Client()
    client.send(*[chunk(MEBIBYTE) for _ in range(10)])
    with streaming(client):
        wait_until(lambda: client.taken >= 2, 10)
        assert "request-stream" in thread_names()
    wait_until(lambda: "request-stream" not in thread_names(), 10)


def test_who_sends_nothing_stands_still() -> None:
    client = Client()
    client.send(chunk(MEBIBYTE))
    with streaming(client, stall_seconds=0.2) as stream:
        messages = messages_of(stream)
        assert next(messages).data
        with pytest.raises(RegistrarError) as stalled:
            next(messages)
        client.send(None)
    assert stalled.value.reason is Reason.TRANSFER_STALLED


def test_the_reader_hears_of_a_client_that_is_quiet_and_goes_on() -> None:
    client = Client()
    with streaming(client) as stream:
        messages = iter(stream)
        assert next(messages) is None
        client.send(chunk(7), None)
        assert [len(message.data) for message in messages if message is not None] == [7]


def test_who_sends_byte_by_byte_stands_still() -> None:
    client, is_over = Client(), threading.Event()

    def drip() -> None:
        while not is_over.wait(0.02):
            client.send(chunk(1))
        client.send(None)

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        with streaming(client, stall_seconds=0.5) as stream, pytest.raises(RegistrarError) as stalled:
            for _ in messages_of(stream):
                pass
    finally:
        is_over.set()
        dripping.join()
    assert stalled.value.reason is Reason.TRANSFER_STALLED
    assert client.taken > 1


def test_the_readers_own_time_does_not_count_as_the_clients() -> None:
    client = Client()
    client.send(*[chunk(1) for _ in range(5)], None)
    pause = threading.Event()
    with streaming(client, stall_seconds=0.2) as stream:
        for _ in messages_of(stream):
            pause.wait(0.3)


def test_the_next_one_is_refused_until_a_slot_is_free() -> None:
    slots = Slots(2, "uploads")
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(slots.take())
        with pytest.raises(RegistrarError) as refused, slots.take():
            pass
        assert refused.value.reason is Reason.NO_TRANSFER_SLOT
        assert "uploads" in refused.value.message
        assert refused.value.metadata == {"slots": "2"}
    with slots.take(), slots.take():
        pass


def test_a_hundred_that_were_refused_are_told_to_come_back_at_different_times() -> None:
    slots = Slots(1, "uploads")
    told = []
    with slots.take():
        for _ in range(100):
            with pytest.raises(RegistrarError) as refused, slots.take():
                pass
            told.append(refused.value.retry_after_seconds or 0.0)
    assert len(set(told)) > 90
    assert min(told) >= 0.5
    assert max(told) <= 2.0
    assert max(told) - min(told) > 0.5
