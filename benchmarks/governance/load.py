"""Clients that call one after the other, each in a thread of its own, until the time is up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Call = Callable[[], None]


@dataclass(frozen=True)
class Client:
    """What one client does; each call is one change, and knows by itself what the next one is."""

    promotion: Call
    registration: Call


def calls_per_second(calls: Sequence[Call], seconds: float) -> float:
    """Changes a second of all together. What fails is raised."""
    barrier = threading.Barrier(len(calls) + 1)
    made = [0] * len(calls)
    failures: list[BaseException] = []

    def go(number: int, call: Call) -> None:
        try:
            barrier.wait()
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                call()
                made[number] += 1
        except BaseException as exc:  # noqa: BLE001  (raised below, in the thread that measures)
            failures.append(exc)

    threads = [threading.Thread(target=go, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - began
    if failures:
        raise failures[0]
    return sum(made) / taken
