"""What the processes of one transfer used: those of the server, of the store, and the client."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.process_tree import cpu_seconds, machine_cpu_seconds, peak_bytes, reset_peak, tree, written_bytes


@dataclass(frozen=True)
class Usage:
    """CPU time and bytes written since the counters were read; peaks since they were reset."""

    server_cpu_seconds: float
    store_cpu_seconds: float
    machine_cpu_seconds: float
    server_written_bytes: int
    server_peak_bytes: int
    client_peak_bytes: int


@dataclass(frozen=True)
class Counters:
    """The roots of the process trees, and their counters as they stood at the beginning."""

    server: int | None
    store: int
    client: int
    server_cpu_seconds: float
    store_cpu_seconds: float
    machine_cpu_seconds: float
    server_written_bytes: int

    @classmethod
    def begin(cls, server: int | None, store: int, client: int) -> Counters:
        """Read the counters and make every peak begin anew. `server` is None for a peer that has none."""
        servers = _tree(server)
        for pid in [*servers, client]:
            reset_peak(pid)
        return cls(
            server=server,
            store=store,
            client=client,
            server_cpu_seconds=cpu_seconds(servers),
            store_cpu_seconds=cpu_seconds(tree(store)),
            machine_cpu_seconds=machine_cpu_seconds(),
            server_written_bytes=written_bytes(servers),
        )

    def until_now(self) -> Usage:
        servers = _tree(self.server)
        return Usage(
            server_cpu_seconds=cpu_seconds(servers) - self.server_cpu_seconds,
            store_cpu_seconds=cpu_seconds(tree(self.store)) - self.store_cpu_seconds,
            machine_cpu_seconds=machine_cpu_seconds() - self.machine_cpu_seconds,
            server_written_bytes=written_bytes(servers) - self.server_written_bytes,
            server_peak_bytes=sum(map(peak_bytes, servers)),
            client_peak_bytes=peak_bytes(self.client),
        )


def _tree(root: int | None) -> list[int]:
    return [] if root is None else tree(root)
