"""Memory and CPU time of processes, from /proc."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_LISTEN = "0A"


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
    inodes = _listening_inodes(port)
    for pid in tree(root):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(descriptor.readlink())
            except OSError:
                continue
            if target.removeprefix("socket:[").removesuffix("]") in inodes:
                return pid
    raise RuntimeError(f"no process below {root} listens on port {port}")


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
