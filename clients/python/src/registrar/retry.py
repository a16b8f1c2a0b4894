"""When a call is tried again, and how long to wait before."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from registrar.errors import Code, RegistrarError

_RETRYABLE_REASONS = frozenset({"NO_TRANSFER_SLOT"})
# A server that stops ends what it has not begun to work on with CANCELLED and not with UNAVAILABLE
# (github.com/grpc/grpc/issues/24237). What this client itself cancels, it does not repeat.
_RETRYABLE_CODES = frozenset({Code.UNAVAILABLE, Code.CANCELLED})


def is_retryable(error: RegistrarError) -> bool:
    """Whether the same request may succeed a moment later.

    Every read may be repeated, and every change too, since it carries a request id. A lost race (ABORTED) is the
    caller's to decide, and a used-up quota or a full store does not mend itself.
    """
    return error.code in _RETRYABLE_CODES or error.reason in _RETRYABLE_REASONS


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with jitter: each wait is drawn from the upper half of the current bound. In seconds."""

    initial_seconds: float = 0.1
    maximum_seconds: float = 5.0
    multiplier: float = 2.0
    draw: Callable[[], float] = random.random
    """A number in [0, 1)."""

    def delay(self, attempt: int, retry_after: float | None) -> float:
        """Seconds to wait after failure number `attempt` (from 0), at least what the server asked for."""
        bound = min(self.maximum_seconds, self.initial_seconds * self.multiplier ** min(attempt, 30))
        jittered = bound * (0.5 + self.draw() / 2)
        return max(jittered, retry_after or 0.0)


@dataclass(slots=True)
class Patience:
    """How long an operation may go on, all its attempts and waits together.

    A transfer renews it whenever bytes moved; everything else has one span.
    """

    seconds: float | None
    """None: without end."""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _end: float | None = field(init=False)

    def __post_init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin the span anew."""
        self._end = None if self.seconds is None else self.clock() + self.seconds

    def shorten(self, seconds: float) -> Patience:
        """A span that ends when this one does, or earlier."""
        return Patience(seconds if self.seconds is None else min(seconds, self.seconds), self.clock, self.sleep)

    @property
    def left(self) -> float | None:
        """Seconds left, never negative; None: without end."""
        return None if self._end is None else max(0.0, self._end - self.clock())

    def allows(self, delay: float) -> bool:
        """Whether there is time for something after waiting that long."""
        left = self.left
        return left is None or delay < left

    def wait(self, delay: float) -> bool:
        """Sleep that long, or answer False at once when the span ends before."""
        if not self.allows(delay):
            return False
        self.sleep(delay)
        return True
