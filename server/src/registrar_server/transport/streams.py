"""Transfers: a budget of slots, request streams that may stall, response streams that nobody reads."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import grpc

from registrar_server.domain.errors import Reason, RegistrarError

Message = TypeVar("Message")

_RETRY_SECONDS = 1.0
_END = object()


class Slots:
    """So many at once; the next is refused at once and told when to try again. Fewer than the server's threads."""

    def __init__(self, count: int, what: str) -> None:
        self.count = count
        self._what = what
        self._free = threading.Semaphore(count)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a slot; NO_TRANSFER_SLOT when there is none."""
        if not self._free.acquire(blocking=False):
            raise RegistrarError(
                Reason.NO_TRANSFER_SLOT,
                f"all {self.count} slots for {self._what} are taken",
                metadata={"slots": str(self.count)},
                retry_after_seconds=_RETRY_SECONDS,
            )
        try:
            yield
        finally:
            self._free.release()


class RequestStream(Generic[Message]):
    """A request stream read by a thread of its own, so that its reader can give up on a client that stalls.

    grpc's own iterator waits for ever. At most two messages wait here; a message is asked for only when there is
    room, so a slow reader slows the client.
    """

    def __init__(self, messages: Iterator[Message], *, stall_seconds: float) -> None:
        self._messages = messages
        self._stall_seconds = stall_seconds
        self._waiting: queue.Queue[Message | BaseException | object] = queue.Queue(maxsize=2)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._pump, name="request-stream", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Message]:
        """The messages; TRANSFER_STALLED when none came for too long, and whatever a broken stream raises."""
        while True:
            try:
                item = self._waiting.get(timeout=self._stall_seconds)
            except queue.Empty:
                raise _stalled(self._stall_seconds) from None
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            yield item  # type: ignore[misc]

    def close(self) -> None:
        """Let the thread end: at once, or when the call ends if it waits for the client."""
        self._is_closed.set()
        while not self._waiting.empty():
            self._waiting.get_nowait()

    def _pump(self) -> None:
        try:
            for message in self._messages:
                if not self._put(message):
                    return
            self._put(_END)
        except BaseException as exc:  # noqa: BLE001  (raised again in the reader's thread)
            self._put(exc)

    def _put(self, item: Message | BaseException | object) -> bool:
        while not self._is_closed.is_set():
            try:
                self._waiting.put(item, timeout=0.5)
            except queue.Full:
                continue
            return True
        return False


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
