"""Which cores a process may use, and which of them it should.

A worker answers small calls with several threads of which Python lets one run at a time. Where the kernel moves them
between cores, each hand-over wakes another core, and a call costs 1.75 to 2.5 times as much CPU (docs/decisions/0011).
So a worker's threads stay on one core, but for those that move bytes, which are let loose for as long as they do.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> set[int]:
    """Cores that this process may run on; none where the system does not let a process choose."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def usable_cores(quota_file: Path = _QUOTA) -> int:
    """How many cores' worth of time there is: those available, or fewer where the control group allows less."""
    cores = len(available_cores()) or os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        return min(cores, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        # No such file, or `max`: no quota.
        return cores


def keep_to(cores: AbstractSet[int]) -> None:
    """This thread, and those that it starts from now on. Without effect where the system has no such thing."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


@contextmanager
def roaming(cores: AbstractSet[int]) -> Iterator[None]:
    """Let this thread, and those that it starts meanwhile, run on these cores until the end of the block."""
    home = available_cores()
    if not cores or cores == home:
        yield
        return
    keep_to(cores)
    try:
        yield
    finally:
        keep_to(home)
