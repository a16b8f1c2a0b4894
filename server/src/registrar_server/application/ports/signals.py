"""How processes of one machine tell each other that there is work, or that it is done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol


class Signals(Protocol):
    """Hints only: whoever waits looks into the database as well, so a lost signal costs time and nothing else."""

    def wake_background(self) -> None:
        """There is work for the background process. Never blocks, never raises."""

    def announce_done(self, version_uid: str) -> None:
        """A registration came to an end or failed for now. Never blocks, never raises."""

    def listening(self, version_uid: str) -> AbstractContextManager[Callable[[float], None]]:
        """Listen for `announce_done` of that version from now on.

        Gives a function that returns when it was called since, or after so many seconds.
        """
