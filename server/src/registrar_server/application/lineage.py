"""The use case: walk the graph of what versions come from and what came from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from registrar_server.application.ports.database import Database, LineageScope, Transaction
from registrar_server.application.resolution import find_version, require_tenant, version_absent
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.lineage import (
    DEPTH,
    EDGES_MAXIMUM,
    NODES_MAXIMUM,
    Direction,
    Lineage,
    LineageEdge,
    LineageNode,
    Link,
    RunNode,
    digest_key,
)
from registrar_server.domain.values import VersionRef

_NODES_AT_ONCE = 500
_LINKS = EDGES_MAXIMUM + 1

_CONTENTS = 100
"""Data that was at one address: more contents than that are left out."""

_Step: TypeAlias = Callable[[Sequence[LineageNode]], Iterable[Link]]


@dataclass(frozen=True, slots=True)
class FromRun:
    """Begin at a run."""

    run_id: str


@dataclass(frozen=True, slots=True)
class FromDigest:
    """Begin at the data with a digest."""

    digest: str


@dataclass(frozen=True, slots=True)
class FromUri:
    """Begin at all data that is or was at an address."""

    uri: str


LineageStart: TypeAlias = VersionRef | FromRun | FromDigest | FromUri


@dataclass(frozen=True, slots=True)
class LineageRequest:
    """Where to begin, what the caller may see, which way, how many edges far, and how many nodes at most."""

    start: LineageStart
    scope: LineageScope
    direction: Direction = Direction.BOTH
    depth: int = DEPTH
    max_nodes: int = NODES_MAXIMUM


class Lineages:
    """Walks breadth first, level by level: the number of statements depends on the depth and not on what is found."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, request: LineageRequest) -> Lineage:
        """The graph around a start. What names a version fails as elsewhere; RUN_NOT_FOUND, DATASET_NOT_FOUND."""
        with self._database.reading() as transaction:
            starts = _starts(transaction, request)
            graph = _Graph(starts, request.max_nodes)
            records = transaction.lineage
            if request.direction is not Direction.DOWNSTREAM:
                _walk(graph, lambda nodes: records.upstream(nodes, request.scope, limit=_LINKS), request.depth)
            if request.direction is not Direction.UPSTREAM:
                _walk(graph, lambda nodes: records.downstream(nodes, request.scope, limit=_LINKS), request.depth)
        return graph.result()


class _Graph:
    """What was found so far, within the limits."""

    def __init__(self, starts: Sequence[LineageNode], max_nodes: int) -> None:
        self.starts = starts[: min(max_nodes, _CONTENTS)]
        self._max_nodes = max_nodes
        self._nodes = {node.id: node for node in self.starts}
        self._edges: dict[LineageEdge, None] = {}
        self._is_truncated = len(starts) > len(self.starts)

    def add(self, link: Link) -> bool:
        """Whether there is room for an edge and the node at its end, or both are known."""
        is_new = link.node.id not in self._nodes
        is_full = (is_new and len(self._nodes) >= self._max_nodes) or (
            link.edge not in self._edges and len(self._edges) >= EDGES_MAXIMUM
        )
        if is_full:
            self._is_truncated = True
            return False
        self._nodes.setdefault(link.node.id, link.node)
        self._edges[link.edge] = None
        return True

    def result(self) -> Lineage:
        """All of it."""
        return Lineage(self.starts, list(self._nodes.values()), list(self._edges), self._is_truncated)


def _walk(graph: _Graph, step: _Step, depth: int) -> None:
    frontier = list(graph.starts)
    seen = {node.id for node in frontier}
    for _ in range(depth):
        found: list[LineageNode] = []
        for begin in range(0, len(frontier), _NODES_AT_ONCE):
            for link in step(frontier[begin : begin + _NODES_AT_ONCE]):
                if not graph.add(link):
                    return
                if link.node.id not in seen:
                    seen.add(link.node.id)
                    found.append(link.node)
        frontier = found


def _starts(transaction: Transaction, request: LineageRequest) -> Sequence[LineageNode]:
    scope = request.scope
    match request.start:
        case VersionRef() as ref:
            node = transaction.lineage.version(find_version(transaction, ref).uid)
            if node is None:
                raise version_absent(ref)
            return [node]
        case FromRun(run_id):
            if transaction.lineage.has_run(run_id, scope):
                return [RunNode(run_id)]
            require_tenant(transaction, scope.tenant)
            raise RegistrarError(
                Reason.RUN_NOT_FOUND, f"no version comes from the run {run_id}", metadata={"run_id": run_id}
            )
        case FromDigest(digest):
            found = transaction.lineage.dataset_of(digest_key(digest), scope)
            return [found] if found is not None else _no_dataset(transaction, scope, "digest", digest)
        case FromUri(uri):
            # One more than there is room for, to tell whether something is left out.
            several = transaction.lineage.datasets_at(uri, scope, limit=min(request.max_nodes, _CONTENTS) + 1)
            return several or _no_dataset(transaction, scope, "uri", uri)


def _no_dataset(transaction: Transaction, scope: LineageScope, kind: str, value: str) -> Sequence[LineageNode]:
    require_tenant(transaction, scope.tenant)
    raise RegistrarError(
        Reason.DATASET_NOT_FOUND, f"no version names data with this {kind}: {value}", metadata={kind: value}
    )
