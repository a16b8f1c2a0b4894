"""Memory and CPU time of processes, from /proc."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_LISTEN = "0A"
_IDLE_SECONDS = 1.0
_IDLE_SHARE = 0.05
"""Of a core, for each tree."""


def tree(root: int) -> list[int]:
    """A process and everything that it started, as far as it still runs."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def resident_bytes(pids: list[int]) -> int:
    """Resident memory of all together; pages that they share count for each."""
    return sum(_resident_bytes(pid) for pid in pids)


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of all together, of all their threads."""
    fields = [_stat(pid) for pid in pids]
    return sum(int(one[11]) + int(one[12]) for one in fields if one) / _TICKS


def wait_until_idle(roots: list[int], *, seconds: float = 60.0) -> None:
    """Until these trees use hardly any CPU, at most so long: what they still load would be counted as a call's."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pids = [pid for root in roots for pid in tree(root)]
        before = cpu_seconds(pids)
        time.sleep(_IDLE_SECONDS)
        if cpu_seconds(pids) - before < _IDLE_SHARE * _IDLE_SECONDS * len(roots):
            return


def machine_cpu_seconds() -> float:
    """What all processes and the kernel have used of all cores so far."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    user, nice, system, _, _, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / _TICKS


def written_bytes(pids: list[int]) -> int:
    """What all together have written to files and pipes so far; what went over sockets by send(2) does not count."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines():
            if line.startswith("wchar:"):
                total += int(line.split()[1])
    return total


def listener(root: int, port: int) -> int:
    """The process of a tree that accepts connections on a port."""
    return listeners(root, port)[0]


def listeners(root: int, port: int) -> list[int]:
    """The processes of a tree that accept connections on a port, at least one."""
    inodes = _listening_inodes(port)
    found = [pid for pid in tree(root) if inodes & set(_sockets(pid))]
    if not found:
        raise RuntimeError(f"no process below {root} listens on port {port}")
    return found


@dataclass(frozen=True)
class Memory:
    """What a process holds: resident, its share of what it shares, and what it has to itself."""

    resident_bytes: int
    proportional_bytes: int
    unique_bytes: int


def memory(pid: int) -> Memory:
    """Of a process, as the kernel sums it up."""
    fields: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, value = line.split()[:2]
        fields[name.rstrip(":")] = int(value) * 1024
    return Memory(fields["Rss"], fields["Pss"], fields["Private_Clean"] + fields["Private_Dirty"])


def reset_peak(pid: int) -> None:
    """Make `peak_bytes` begin anew from what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def peak_bytes(pid: int) -> int:
    """The kernel's own record of the most that was resident since `reset_peak`: nothing between samples is missed."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the kernel keeps no peak for process {pid}")


@dataclass
class Peak:
    """The most that was seen."""

    bytes: int = 0


@contextmanager
def watching_tree(root: int, *, seconds: float = 0.05) -> Iterator[Peak]:
    """Sample the resident memory of a whole tree; what is shorter than the pause between samples is missed."""
    peak, stop = Peak(), threading.Event()

    def watch() -> None:
        pids = tree(root)
        while not stop.wait(seconds):
            peak.bytes = max(peak.bytes, resident_bytes(pids))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def _sockets(pid: int) -> Iterator[str]:
    """Inodes of the sockets that a process has open."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            yield str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]")


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat after the name in parentheses: 0 is the state, 1 the parent; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/net/{table}")
        if not path.exists():
            continue
        for line in path.read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes
