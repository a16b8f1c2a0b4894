"""The load generator, and what it says: calls a second, latencies, and whether the answers were the right ones."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process_tree import cpu_seconds
from benchmarks.tools import require_h2load

_UNLIMITED_STREAMS = 100
"""More than gRPC lets wait on one connection."""


@dataclass(frozen=True)
class Target:
    """A call that is made over and over. A `body` makes it a POST; `reply_bytes` is what each answer must have.

    gRPC sends 200 for errors too, so it is the size of the answers that says that they were the right ones.
    """

    name: str
    url: str
    body: bytes | None
    headers: tuple[str, ...]
    reply_bytes: int
    pid: int
    """The process whose CPU time is counted."""
    is_grpc: bool


@dataclass(frozen=True)
class Load:
    """One trial."""

    calls_per_second: float
    median_milliseconds: float
    p99_milliseconds: float
    cpu_microseconds: float
    """Of the answering process, for each call."""


def grpc_target(name: str, address: str, method: str, request: bytes, reply: bytes, pid: int) -> Target:
    """A unary call; gRPC puts a flag and a length in front of each message."""
    framed = b"\0" + len(request).to_bytes(4, "big") + request
    headers = ("content-type: application/grpc", "te: trailers")
    return Target(name, f"http://{address}{method}", framed, headers, len(reply) + 5, pid, is_grpc=True)


def measure(target: Target, *, streams: int, seconds: float, probe_calls: int, connections: int = 1) -> Load:
    """Call for about so many seconds, at most `streams` calls at once.

    They are on so many connections of HTTP/2 (servers that share a port share connections, not calls), or each on one of
    HTTP/1.1.
    """
    rate = _run(target, streams, max(probe_calls, streams), connections=connections).calls_per_second
    return _run(target, streams, max(probe_calls, streams, int(rate * seconds)), connections=connections)


def measure_paced(target: Target, *, calls_per_second: int, seconds: float) -> Load:
    """Call at a steady rate, however long the answers take: what callers see of a server that is not full."""
    return _run(target, _UNLIMITED_STREAMS, int(calls_per_second * seconds), calls_per_second)


def _run(target: Target, streams: int, calls: int, calls_per_second: int = 0, *, connections: int = 1) -> Load:
    with tempfile.TemporaryDirectory(prefix="registrar-benchmark-") as directory:
        log = Path(directory) / "log"
        command = [require_h2load(), f"--requests={calls}", f"--log-file={log}", "--threads=1"]
        if calls_per_second:
            command += [f"--rps={calls_per_second}"]
        if target.is_grpc:
            clients = min(connections, streams)
            command += [f"--clients={clients}", f"--max-concurrent-streams={streams // clients}"]
        else:
            command += ["--h1", f"--clients={streams}"]
        for header in target.headers:
            command += ["--header", header]
        if target.body is not None:
            (Path(directory) / "body").write_bytes(target.body)
            command += [f"--data={directory}/body"]
        before = cpu_seconds([target.pid])
        done = subprocess.run([*command, target.url], capture_output=True, text=True, timeout=300, check=True)
        cpu = cpu_seconds([target.pid]) - before
        latencies = sorted(_latencies(log))
    _check(target, done.stdout, calls, len(latencies))
    matched = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", done.stdout)
    if matched is None:
        raise RuntimeError(f"h2load said nothing of its rate:\n{done.stdout}")
    return Load(
        calls_per_second=float(matched[1]),
        median_milliseconds=latencies[len(latencies) // 2] / 1000,
        p99_milliseconds=latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] / 1000,
        cpu_microseconds=cpu / calls * 1e6,
    )


def _latencies(log: Path) -> list[int]:
    """Microseconds of the calls that succeeded; a line is start, status, duration."""
    rows = [line.split("\t") for line in log.read_text(encoding="ascii").splitlines()]
    return [int(row[2]) for row in rows if row[1] == "200"]


def _check(target: Target, text: str, calls: int, succeeded: int) -> None:
    data = re.search(r"\((\d+)\) data$", text, re.MULTILINE)
    data_bytes = int(data[1]) if data else -1
    if succeeded != calls or data_bytes != calls * target.reply_bytes:
        wanted = calls * target.reply_bytes
        raise RuntimeError(
            f"{target.name}: {succeeded} of {calls} calls answered, {data_bytes} bytes of {wanted}:\n{text}"
        )
