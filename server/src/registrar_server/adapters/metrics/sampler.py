"""What is counted elsewhere anyway is looked at once in a while, so that counting it costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

_log = structlog.get_logger()


class Sampler:
    """Calls each sample every so many seconds, in one thread. A sample that raises is called again the next time."""

    def __init__(self, samples: Sequence[Callable[[], None]], *, seconds: float) -> None:
        self._samples = samples
        self._seconds = seconds
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Sample a last time, and end."""
        self._is_closed.set()
        self._thread.join()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._is_closed.wait(self._seconds)
            for sample in self._samples:
                try:
                    sample()
                except Exception as exc:  # noqa: BLE001  (what is watched must not suffer from being watched)
                    _log.debug("metrics.not_sampled", sample=repr(sample), error=type(exc).__name__)
