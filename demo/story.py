"""What the demo says: numbered steps, aligned facts, ticks for what was checked. The same in a pipe, without colours."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

WIDTH = 100
_INDENT = "      "
_LABEL_WIDTH = 12


class DemoFailed(Exception):
    """Something did not happen as it must; the message says what."""


class Story:
    """Tells the steps as they happen. What is checked and holds gets a tick; the first that does not ends the demo."""

    def __init__(self) -> None:
        self.steps = 0
        self.checks = 0
        self.title = ""
        self._console = Console(highlight=False)
        self._began = time.monotonic()
        self._held_back: Text | None = None

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step, with its time at the end of its last line."""
        self.steps += 1
        self.title = title
        began = time.monotonic()
        self._print(Text.assemble(("\n" if self.steps > 1 else ""), (f"{self.steps:>3}  ", "cyan"), (title, "bold")))
        try:
            yield
        except BaseException:
            self._release()
            raise
        self._release(f"{time.monotonic() - began:.1f} s")

    def say(self, text: str = "", style: str = "") -> None:
        """A line that stands by itself."""
        self._release()
        self._print(Text(text, style))

    def fact(self, label: str, value: object) -> None:
        """A name and what it is."""
        self._hold(Text.assemble(_INDENT, (f"{label:<{_LABEL_WIDTH}}", "dim"), " ", str(value)))

    def table(self, rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
        """Rows with their cells below each other; the first `left` columns begin there, the others end there."""
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for number, row in enumerate(rows):
            cells = [
                cell.ljust(width) if column < left else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            self._hold(Text.assemble(_INDENT, ("   ".join(cells).rstrip(), "dim" if number == 0 else "")))

    def check(self, holds: bool, claim: str) -> None:
        """Tick off a claim, or end the demo with it."""
        if not holds:
            raise DemoFailed(f"not true: {claim}")
        self.checks += 1
        self._hold(Text.assemble(_INDENT, ("✓ ", "green"), claim))

    def _hold(self, line: Text) -> None:
        """Keep the newest line back, so that the step's time can stand at its end."""
        self._release()
        self._held_back = line

    def _release(self, note: str = "") -> None:
        line, self._held_back = self._held_back, None
        if line is not None:
            if note:
                line.append(" " * max(2, WIDTH - line.cell_len - len(note)))
                line.append(note, "dim")
            self._print(line)

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)
