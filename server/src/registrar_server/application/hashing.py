"""SHA-256 of a stream, taken beside it."""

from __future__ import annotations

import hashlib
import queue
import threading

_WAITING_BLOCKS = 4
"""How far the digest may fall behind: blocks that are held in memory for it."""


class StreamDigest:
    """Hashes blocks in a thread of its own, so that they can be sent meanwhile: hashlib lets other threads run.

    A stream of one block is hashed where it is: a thread would cost more. `close` ends the thread, whatever happened.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._first: bytes | None = None
        self._waiting: queue.Queue[bytes | None] = queue.Queue(maxsize=_WAITING_BLOCKS)
        self._thread: threading.Thread | None = None

    def update(self, block: bytes) -> None:
        """Add a block; waits while too many wait. Not to be called after `close`."""
        if self._thread is not None:
            self._waiting.put(block)
        elif self._first is None:
            self._first = block
        else:
            self._thread = threading.Thread(target=self._hash, name="stream-digest", daemon=True)
            self._thread.start()
            self._waiting.put(self._first)
            self._waiting.put(block)

    def hexdigest(self) -> str:
        """64 lower-case hex digits over all blocks. Ends the stream."""
        self.close()
        return self._digest.hexdigest()

    def close(self) -> None:
        """Hash what is left, and end the thread. May be called twice."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None
        elif self._first is not None:
            self._digest.update(self._first)
        self._first = None

    def _hash(self) -> None:
        while (block := self._waiting.get()) is not None:
            self._digest.update(block)
