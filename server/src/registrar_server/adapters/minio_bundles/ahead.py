"""Reading ahead: the store sends while whoever reads hashes or sends on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextvars import copy_context
from threading import Condition, Thread
from typing import Final

from registrar_server.application.ports.bundle_store import ObjectReader

_WAITING_BLOCKS: Final = 6
"""With one in the thread's hand and one in the reader's that makes 8 MiB in blocks of 1 MiB."""


class ReadAhead:
    """The blocks of another reader, fetched by a thread of its own. To be iterated once, and closed.

    What the other reader raises is raised after the blocks that came before it.
    """

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader
        self._changed = Condition()
        self._blocks: deque[bytes] = deque()
        self._failure: BaseException | None = None
        self._is_over = False
        self._is_closed = False
        self._thread: Thread | None = None

    def __iter__(self) -> Iterator[bytes]:
        # In the context of the call that it belongs to, whose trace it shows up in.
        self._thread = Thread(target=copy_context().run, args=(self._fetch,), name="read-ahead", daemon=True)
        self._thread.start()
        while (block := self._take()) is not None:
            yield block
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """End the thread; waits for the block that it is fetching, which the store's time-outs bound."""
        with self._changed:
            self._is_closed = True
            self._blocks.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _take(self) -> bytes | None:
        with self._changed:
            while not self._blocks and not self._is_over:
                self._changed.wait()
            if not self._blocks:
                return None
            self._changed.notify_all()
            return self._blocks.popleft()

    def _fetch(self) -> None:
        failure: BaseException | None = None
        try:
            for block in self._reader:
                if not self._hand_over(block):
                    break
        except BaseException as exc:  # noqa: BLE001  (whatever it is, the reader's thread raises it)
            failure = exc
        with self._changed:
            self._failure = failure
            self._is_over = True
            self._changed.notify_all()

    def _hand_over(self, block: bytes) -> bool:
        """False: nobody reads any more."""
        with self._changed:
            while len(self._blocks) >= _WAITING_BLOCKS and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return False
            self._blocks.append(block)
            self._changed.notify_all()
            return True
