"""What one peer's transfer of one trial cost."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.bytes.cases import Case


@dataclass(frozen=True)
class Key:
    """Which cell of the tables a measurement belongs to. `direction` is up or down."""

    store: str
    case: Case
    peer: str
    direction: str


@dataclass(frozen=True)
class Measurement:
    """CPU is that of whole process trees while the client moved, in seconds for each GiB.

    `server_mebibytes` is the sum over the server's processes of what each held at its peak (the kernel's own record), less what
    all held when the first transfer of the trial began. `passed_share` is what the server's processes wrote to files and
    pipes, to the size of what was moved: MLflow's proxy writes every file to its disk, so it is 1 or more when the bytes
    passed through it. `others_cores` is how many cores everything else on the machine kept busy meanwhile, the kernel's own
    threads among it: where it is not small, only CPU and memory mean something.
    """

    megabytes_per_second: float
    seconds: float
    client_cpu: float
    server_cpu: float
    store_cpu: float
    client_mebibytes: float
    server_mebibytes: float
    passed_share: float
    others_cores: float


@dataclass(frozen=True)
class Results:
    """Measurements by cell and number of the trial, and why those that are missing are."""

    trials: dict[Key, dict[int, Measurement]]
    skipped: dict[tuple[str, str], str]
    failed: list[str]

    def add(self, key: Key, trial: int, measurement: Measurement) -> None:
        self.trials.setdefault(key, {})[trial] = measurement

    def column(self, key: Key, field: str) -> tuple[float, ...]:
        """One measure of every trial; empty when there is none."""
        return tuple(getattr(found, field) for found in self.trials.get(key, {}).values())

    def ratios(self, ours: Key, peer: Key, field: str) -> tuple[float, ...]:
        """Ours to the peer's, of each trial that has both."""
        mine, theirs = self.trials.get(ours, {}), self.trials.get(peer, {})
        return tuple(getattr(mine[trial], field) / getattr(theirs[trial], field) for trial in mine if trial in theirs)
