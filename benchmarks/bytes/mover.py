"""What the client of every peer does: bring the files of a folder away, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class SkippedError(Exception):
    """This peer cannot be measured here; the message says why."""


class Mover(Protocol):
    """One client, in a process of its own. What it needs is imported when it is made, so that no import is measured."""

    def up(self, folder: Path) -> None:
        """Bring every file of a folder away. When it returns, the peer has them."""

    def down(self, destination: Path) -> None:
        """Fetch what `up` brought away, into a new folder."""
