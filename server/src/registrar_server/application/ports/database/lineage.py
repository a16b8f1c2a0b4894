"""Records of what versions come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from registrar_server.domain.access import NamePattern
from registrar_server.domain.lineage import DatasetNode, LineageNode, Link, VersionNode
from registrar_server.domain.versions import Provenance


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a version comes from, its parent resolved to a uid (empty: it has none)."""

    version_uid: str
    tenant: str
    parent_uid: str
    provenance: Provenance
    time: datetime


@dataclass(frozen=True, slots=True)
class LineageScope:
    """What a caller may see of lineage: a tenant, and of its models those that match."""

    tenant: str
    readable: Sequence[NamePattern]


class LineageRecords(Protocol):
    """Lineage. Only versions within the scope are found; those that are deleted too, those without a number never."""

    def record(self, origin: Origin) -> None:
        """Write down where a new version comes from."""

    def complete(self, origin: Origin) -> None:
        """Write it down anew, now that its run is read. The parent stays the one that was written down at first."""

    def version(self, uid: str) -> VersionNode | None:
        """One version, whatever its state and whosever it is."""

    def datasets_at(self, uri: str, scope: LineageScope, *, limit: int) -> Sequence[DatasetNode]:
        """The data that versions found at an address, the newest description first, each once."""

    def dataset_of(self, key: str, scope: LineageScope) -> DatasetNode | None:
        """The data with a key, as the newest version describes it."""

    def has_run(self, run_id: str, scope: LineageScope) -> bool:
        """Whether a version names the run."""

    def upstream(self, nodes: Sequence[LineageNode], scope: LineageScope, *, limit: int) -> Iterator[Link]:
        """One step up from each of some hundred nodes: parents, runs, then data. At most `limit` of each kind."""

    def downstream(self, nodes: Sequence[LineageNode], scope: LineageScope, *, limit: int) -> Iterator[Link]:
        """One step down: stages and aliases, then versions, the newest first. At most `limit` of each kind."""
