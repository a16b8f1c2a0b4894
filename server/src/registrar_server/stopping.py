"""Being told by a signal."""

from __future__ import annotations

import contextlib
import queue


class Notice:
    """What `threading.Event` is to threads, for a handler of signals to set and one thread to wait for.

    A handler runs in the main thread, in the middle of whatever that does. An Event has a lock, which its own `wait` may
    hold at that moment: then `set` waits for ever. `SimpleQueue` has none that Python code could be interrupted in.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_set = False

    def set(self) -> None:
        """Let it be known; from a handler, or from any thread."""
        self._is_set = True
        self._queue.put(None)

    def clear(self) -> None:
        """Forget it."""
        self._is_set = False
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()

    def is_set(self) -> bool:
        """Whether it is known."""
        return self._is_set

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until it is known, or the time-out has passed; whether it is."""
        if not self._is_set:
            with contextlib.suppress(queue.Empty):
                self._queue.get(timeout=timeout_seconds)
        return self._is_set
