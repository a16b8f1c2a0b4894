"""How far a transfer is: a bar for people on a terminal, a callback for programs, nothing in a pipe."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self


class Action(StrEnum):
    """What is being done with the bytes."""

    HASH = "hash"
    PUSH = "push"
    PULL = "pull"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Progress:
    """A state of a transfer, all its files together. `done_bytes` never exceeds `total_bytes`."""

    action: Action
    done_bytes: int
    total_bytes: int
    skipped_bytes: int = 0
    """Of the bytes that are done, what did not have to travel: it is there already, or copied by the store."""
    waiting_files: int = 0
    """All is sent, and the registry still copies or reads back so many files."""


ProgressCallback = Callable[[Progress], None]
"""Called at the begin, after every piece, and at the end, by one thread at a time but not always the same. What it
raises ends the transfer."""

ProgressChoice = ProgressCallback | bool | None
"""A callback; True: a bar on stderr; False: nothing; None: a bar when stderr is a terminal."""


class Meter:
    """Counts the bytes of one action and tells its display. Thread-safe; a context manager."""

    def __init__(self, action: Action, display: Display, total_bytes: int = 0) -> None:
        self._action = action
        self._display = display
        self._total_bytes = total_bytes
        self._skipped_bytes = 0
        self._done_bytes = 0
        self._waiting_files = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.set_total(self._total_bytes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._display.close()

    def set_total(self, total_bytes: int) -> None:
        """Say how many bytes there are in all."""
        with self._lock:
            self._total_bytes = total_bytes
            self._show()

    def skip(self, size_bytes: int) -> None:
        """Count bytes that are done without having to travel."""
        with self._lock:
            self._skipped_bytes += size_bytes
            self._done_bytes += size_bytes
            self._show()

    def add(self, size_bytes: int) -> None:
        """Count bytes; a negative number takes back what has to be sent again."""
        if size_bytes:
            with self._lock:
                self._done_bytes += size_bytes
                self._show()

    def set_done(self, size_bytes: int) -> None:
        """Say how many bytes are done, whatever was counted before."""
        self.add(size_bytes - self._done_bytes)

    def set_waiting(self, files: int) -> None:
        """Say for how many files the registry still has to do something."""
        with self._lock:
            self._waiting_files = files
            self._show()

    def reset(self) -> None:
        """Begin again at zero."""
        self.set_done(0)

    def _show(self) -> None:
        done = min(self._done_bytes, self._total_bytes)
        self._display.show(
            Progress(self._action, done, self._total_bytes, min(self._skipped_bytes, done), self._waiting_files)
        )


class Display(Protocol):
    """Where progress is shown."""

    def show(self, progress: Progress) -> None:
        """Show this state; calls never overlap."""

    def close(self) -> None:
        """The action is over, well or not. Idempotent."""


def display_for(choice: ProgressChoice) -> Display:
    """The display that a caller chose; rich is imported only when a bar is shown."""
    if choice is None:
        choice = sys.stderr is not None and sys.stderr.isatty()
    if choice is True:
        from registrar.bar import Bar

        return Bar()
    if choice is False:
        return _Nothing()
    return _Callback(choice)


class _Nothing:
    def show(self, progress: Progress) -> None:
        pass

    def close(self) -> None:
        pass


class _Callback:
    def __init__(self, callback: ProgressCallback) -> None:
        self._callback = callback

    def show(self, progress: Progress) -> None:
        self._callback(progress)

    def close(self) -> None:
        pass
