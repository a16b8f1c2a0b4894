"""Transfers: a budget of slots, request streams that may stall, response streams that nobody reads."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Generic, TypeVar

import grpc
from google.protobuf.message import Message as ProtoMessage

from registrar.framing import Chunk
from registrar_server.cores import roaming
from registrar_server.domain.errors import Reason, RegistrarError

Message = TypeVar("Message", bound="ProtoMessage | Chunk")

_SOONEST_RETRY_SECONDS = 0.5
_LATEST_RETRY_SECONDS = 2.0
_AHEAD_BYTES = 2 << 20
"""What may wait for the reader of a request stream, beside the message that comes in."""
_MESSAGE_BYTES = 512
"""What a message costs beside its data."""
_PROGRESS_BYTES = 64 << 10
"""Who sends less than this within the stall time-out stands still: a byte a second would hold a slot for ever."""
_QUIET_SECONDS = 0.5


class Slots:
    """So many at once; the next is refused at once and told when to try again. Fewer than the server's threads."""

    def __init__(self, count: int, what: str, cores: AbstractSet[int] = frozenset()) -> None:
        self.count = count
        self.what = what
        self._cores = cores
        self.taken = 0
        self.refused = 0
        """How many were refused so far."""
        self._lock = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a slot, on whichever of the cores is free; NO_TRANSFER_SLOT when there is none."""
        if not self._is_taken_now():
            raise RegistrarError(
                Reason.NO_TRANSFER_SLOT,
                f"all {self.count} slots for {self.what} are taken",
                metadata={"slots": str(self.count)},
                # Drawn anew for each, so that those who were refused together do not come back together.
                retry_after_seconds=random.uniform(_SOONEST_RETRY_SECONDS, _LATEST_RETRY_SECONDS),  # noqa: S311
            )
        try:
            with roaming(self._cores):
                yield
        finally:
            with self._lock:
                self.taken -= 1

    def _is_taken_now(self) -> bool:
        with self._lock:
            if self.taken == self.count:
                self.refused += 1
                return False
            self.taken += 1
            return True


class RequestStream(Generic[Message]):
    """A request stream read by a thread of its own, so that its reader can give up on a client that stalls.

    grpc's own iterator waits for ever. The thread reads on while less than `_AHEAD_BYTES` wait here, so a slow reader
    slows the client, and small messages do not cost a change of threads each. Its queues are C: with Python's own
    `queue.Queue` messages of 20 KiB cost half as much again.
    """

    def __init__(self, messages: Iterator[Message], *, stall_seconds: float) -> None:
        self._messages = messages
        self._stall_seconds = stall_seconds
        self._waiting: queue.SimpleQueue[tuple[int, Message | BaseException | None]] = queue.SimpleQueue()
        self._taken: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._is_closed = False
        threading.Thread(target=self._pump, name="request-stream", daemon=True).start()

    def __iter__(self) -> Iterator[Message | None]:
        """The messages, None when none came for `_QUIET_SECONDS`, and whatever a broken stream raises.

        TRANSFER_STALLED when the client kept the reader waiting for `stall_seconds` in all and sent less than
        `_PROGRESS_BYTES` meanwhile. What the reader does between two messages does not count.
        """
        left, received = self._stall_seconds, 0
        while True:
            began = time.monotonic()
            try:
                size, item = self._waiting.get(timeout=max(0.0, min(left, _QUIET_SECONDS)))
            except queue.Empty:
                left -= time.monotonic() - began
                if left <= 0:
                    raise _stalled(self._stall_seconds) from None
                yield None
                continue
            left -= time.monotonic() - began
            received += size
            if received >= _PROGRESS_BYTES:
                left, received = self._stall_seconds, 0
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            self._taken.put(size)
            yield item

    def close(self) -> None:
        """Let the thread end: at once, or when the call ends if it waits for the client."""
        self._is_closed = True
        self._taken.put(0)

    def _pump(self) -> None:
        ahead = 0
        try:
            for message in self._messages:
                size = _MESSAGE_BYTES + _size_bytes(message)
                self._waiting.put((size, message))
                ahead += size
                while ahead > _AHEAD_BYTES:
                    ahead -= self._taken.get()
                    if self._is_closed:
                        return
            self._waiting.put((0, None))
        except BaseException as exc:  # noqa: BLE001  (raised again in the reader's thread)
            self._waiting.put((0, exc))


class StallWatch:
    """Cancels calls whose client takes nothing for too long: a thread blocked in a send can't do so itself.

    One thread for all calls; it ends with the process.
    """

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._lock = threading.Lock()
        self._deadlines: dict[int, tuple[float, grpc.ServicerContext]] = {}
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def iterate(self, context: grpc.ServicerContext, messages: Iterator[Message]) -> Iterator[Message]:
        """The messages, for grpc to send: each must be taken in time. What it takes to make one does not count."""
        key = id(context)
        self._start()
        try:
            for message in messages:
                with self._lock:
                    self._deadlines[key] = (time.monotonic() + self._stall_seconds, context)
                self._wanted.set()
                yield message
                with self._lock:
                    self._deadlines.pop(key, None)
        finally:
            with self._lock:
                self._deadlines.pop(key, None)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="stall-watch", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            now = time.monotonic()
            with self._lock:
                late = [context for deadline, context in self._deadlines.values() if deadline < now]
                if not self._deadlines:
                    self._wanted.clear()
            for context in late:
                context.cancel()
            time.sleep(min(1.0, self._stall_seconds / 4))


def _stalled(seconds: float) -> RegistrarError:
    return RegistrarError(
        Reason.TRANSFER_STALLED, f"the stream stood still for {seconds:g} seconds", metadata={"seconds": f"{seconds:g}"}
    )


def _size_bytes(message: ProtoMessage | Chunk) -> int:
    return len(message.data) if isinstance(message, Chunk) else message.ByteSize()
