"""Lineage: what versions come from, and what came from them. All of it is frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from registrar.values import Dataset, Stage


class LineageDirection(StrEnum):
    """Which way to go: to what it comes from, to what came from it, or each of both from the start."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"
    BOTH = "both"


class LineageEdgeType(StrEnum):
    """How the downstream node depends on the upstream one."""

    TRAINED_ON = "trained_on"
    VALIDATED_ON = "validated_on"
    PRODUCED_BY = "produced_by"
    DERIVED_FROM = "derived_from"
    HOLDS = "holds"


@dataclass(frozen=True, slots=True)
class LineageVersion:
    """A version in short. `is_deleted`: it or its model is."""

    name: str
    version: int
    uid: str
    semantic_version: str
    stage: Stage
    git_commit: str
    created_by: str
    create_time: datetime
    is_deleted: bool

    def __str__(self) -> str:
        return f"{self.name}/{self.version}" if self.version else f"{self.name}#{self.uid}"


@dataclass(frozen=True, slots=True)
class LineageRun:
    """A run of MLflow's that versions name as their origin."""

    run_id: str

    def __str__(self) -> str:
        return f"run {self.run_id}"


@dataclass(frozen=True, slots=True)
class LineageHolder:
    """What callers resolve: a stage of a model, or, where that is None, an alias."""

    name: str
    stage: Stage | None
    alias: str

    def __str__(self) -> str:
        return f"{self.name}@{self.alias}" if self.stage is None else f"{self.name}:{self.stage}"


LineageThing = Dataset | LineageRun | LineageVersion | LineageHolder


@dataclass(frozen=True, slots=True)
class LineageEdge:
    """That the downstream node comes from the upstream one, or stands on it; ids of nodes."""

    type: LineageEdgeType
    downstream_id: str
    upstream_id: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """A part of the graph: things by the ids of their nodes, those of the start first.

    `is_truncated`: there is more within the depth, which a limit left out.
    """

    start_ids: Sequence[str]
    nodes: Mapping[str, LineageThing]
    edges: Sequence[LineageEdge]
    is_truncated: bool

    def upstream_of(self, node_id: str) -> Iterator[tuple[LineageEdgeType, str]]:
        """What a node comes from: how, and the id."""
        return ((edge.type, edge.upstream_id) for edge in self.edges if edge.downstream_id == node_id)

    def downstream_of(self, node_id: str) -> Iterator[tuple[LineageEdgeType, str]]:
        """What came from a node: how, and the id."""
        return ((edge.type, edge.downstream_id) for edge in self.edges if edge.upstream_id == node_id)
