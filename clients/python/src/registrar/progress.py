"""How far a transfer is: a bar for people on a terminal, a callback for programs, nothing in a pipe."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


class Action(StrEnum):
    """What is being done with the bytes."""

    HASH = "hash"
    PUSH = "push"
    PULL = "pull"


@dataclass(frozen=True, slots=True)
class Progress:
    """A state of a transfer, all its files together. `done_bytes` never exceeds `total_bytes`."""

    action: Action
    done_bytes: int
    total_bytes: int


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
        self._done_bytes = 0
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

    def add(self, size_bytes: int) -> None:
        """Count bytes; a negative number takes back what has to be sent again."""
        with self._lock:
            self._done_bytes += size_bytes
            self._show()

    def reset(self) -> None:
        """Begin again at zero."""
        with self._lock:
            self._done_bytes = 0
            self._show()

    def _show(self) -> None:
        done = min(self._done_bytes, self._total_bytes)
        self._display.show(Progress(self._action, done, self._total_bytes))


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
        return _Bar()
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


_LABELS = {Action.HASH: "Hashing", Action.PUSH: "Pushing", Action.PULL: "Pulling"}


class _Bar:
    """One bar on stderr over all files; it is gone when the action is over."""

    def __init__(self) -> None:
        self._rich: RichProgress | None = None

    def show(self, progress: Progress) -> None:
        if self._rich is None:
            self._rich = _rich_bar()
            self._rich.start()
            self._rich.add_task(_LABELS[progress.action], total=None)
        self._rich.update(self._rich.task_ids[0], completed=progress.done_bytes, total=progress.total_bytes or None)

    def close(self) -> None:
        if self._rich is not None:
            self._rich.stop()


def _rich_bar() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True, force_terminal=True),  # whoever calls has decided
        transient=True,
    )
