"""What a run measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from benchmarks.bytes.cases import FULL, SMALL, Case
from benchmarks.bytes.peers import PEERS, Peer
from benchmarks.bytes.stores import KINDS, StoreKind

Chosen = TypeVar("Chosen")


@dataclass(frozen=True)
class Plan:
    """Stores, cases and peers; each trial has every peer once. `profiled` is the letter of a peer, or empty.

    `name` is that of the file of results: what is small or profiled does not take the place of a whole run's.
    """

    name: str
    stores: tuple[StoreKind, ...]
    cases: tuple[Case, ...]
    peers: tuple[Peer, ...]
    trials: int
    profiled: str = ""

    @classmethod
    def of(
        cls,
        *,
        is_small: bool = False,
        stores: str = "",
        cases: str = "",
        peers: str = "",
        trials: int = 0,
        profiled: str = "",
    ) -> Plan:
        """Names with commas between; empty: all. ValueError for a name that there is not."""
        sizes = SMALL if is_small else FULL
        if profiled:
            _chosen("peer", profiled, {peer.letter: peer for peer in PEERS})
        return cls(
            name="bytes" + ("-small" if is_small else "") + ("-profiled" if profiled else ""),
            stores=_chosen("store", stores, {kind.name: kind for kind in KINDS}),
            cases=_chosen("case", cases, {case.kind: case for case in sizes}),
            peers=_chosen("peer", peers, {peer.letter: peer for peer in PEERS}),
            trials=trials or (2 if is_small else 3),
            profiled=profiled,
        )

    def peers_on(self, store: StoreKind) -> tuple[Peer, ...]:
        """Those that can do with a store; the sink gives nothing back."""
        return tuple(peer for peer in self.peers if store.keeps_bytes or peer.can_use_sink)

    def needed_bytes(self) -> int:
        """Room for the largest trial: the files, a copy in the store for each peer, one on its way, one that came back."""
        return (len(self.peers) + 3) * max(case.size_bytes for case in self.cases) + (2 << 30)


def _chosen(what: str, names: str, known: dict[str, Chosen]) -> tuple[Chosen, ...]:
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"there is no {what} {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(known[name] for name in known if name in wanted)
