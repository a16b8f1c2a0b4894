"""Numbers about this process, for whoever watches it."""

from __future__ import annotations

from typing import Protocol


class Counter(Protocol):
    """A number that only grows while the server runs, also over restarts of the process."""

    def add(self, amount: float = 1.0) -> None:
        """Count."""


class Gauge(Protocol):
    """A number that goes up and down. It is gone with its process."""

    def set(self, value: float) -> None:
        """What holds now."""

    def unset(self) -> None:
        """Nobody knows what holds now: the number is not shown."""


class Histogram(Protocol):
    """How long something takes."""

    def observe(self, seconds: float) -> None:
        """It took so long once."""


class Metrics(Protocol):
    """Counters, gauges and histograms by family and labels. Thread-safe; a change costs less than a microsecond.

    The same family and labels give the same number. Labels stand in the order in which the family names them.
    """

    def counter(self, family: str, *labels: str) -> Counter:
        """A counter, 0 when it is new."""

    def gauge(self, family: str, *labels: str) -> Gauge:
        """A gauge, not shown until it is set."""

    def histogram(self, family: str, *labels: str) -> Histogram:
        """A histogram, empty when it is new."""
