"""How many so far: one line on a terminal, that is gone at the end; nothing in a pipe."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self


class Counter:
    """Shows `checked 12,000 entries` on stderr while that goes on; a context manager."""

    def __init__(self, done: str, *, is_quiet: bool) -> None:
        self._done = done
        self._is_shown = not is_quiet and sys.stderr.isatty()
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._width:
            self._write("", end="\r")

    def show(self, count: int) -> None:
        """Show the number that it is now."""
        if self._is_shown:
            self._write(f"{self._done} {count:,} entries")

    def _write(self, text: str, end: str = "") -> None:
        print(f"\r{text:<{self._width}}", end=end, file=sys.stderr, flush=True)
        self._width = max(self._width, len(text))
