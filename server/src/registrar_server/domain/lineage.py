"""Lineage: what versions come from, and what came from them, as a graph of typed nodes and edges."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from registrar_server.domain.values import Stage
from registrar_server.domain.versions import Dataset

DEPTH = 5
DEPTH_MAXIMUM = 20
NODES_MAXIMUM = 1_000
EDGES_MAXIMUM = 10_000


class DataRole(StrEnum):
    """What a data set was for."""

    TRAINING = "training"
    VALIDATION = "validation"


class Direction(StrEnum):
    """Which way to go: to what it comes from, to what came from it, or each of both from the start."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"
    BOTH = "both"


class EdgeType(StrEnum):
    """How the downstream node depends on the upstream one."""

    TRAINED_ON = "trained_on"
    VALIDATED_ON = "validated_on"
    PRODUCED_BY = "produced_by"
    DERIVED_FROM = "derived_from"
    HOLDS = "holds"


DATA_EDGES = {DataRole.TRAINING: EdgeType.TRAINED_ON, DataRole.VALIDATION: EdgeType.VALIDATED_ON}


@dataclass(frozen=True, slots=True)
class DatasetNode:
    """Data, as one of its versions describes it; `key` is what makes two descriptions the same data."""

    key: str
    dataset: Dataset

    @property
    def id(self) -> str:
        """Its id in the graph."""
        return f"dataset:{self.key}"


@dataclass(frozen=True, slots=True)
class RunNode:
    """A run that versions name as their origin."""

    run_id: str

    @property
    def id(self) -> str:
        """Its id in the graph."""
        return f"run:{self.run_id}"


@dataclass(frozen=True, slots=True)
class VersionNode:
    """A version in short. `is_deleted`: it or its model is."""

    uid: str
    model_uid: str
    name: str
    number: int
    semantic_version: str
    stage: Stage
    git_commit: str
    created_by: str
    create_time: datetime
    is_deleted: bool

    @property
    def id(self) -> str:
        """Its id in the graph."""
        return f"version:{self.uid}"


@dataclass(frozen=True, slots=True)
class HolderNode:
    """A stage or an alias of a model. `alias` is empty for a stage."""

    model_uid: str
    name: str
    stage: Stage | None = None
    alias: str = ""

    @property
    def id(self) -> str:
        """Its id in the graph."""
        return f"alias:{self.model_uid}:{self.alias}" if self.stage is None else f"stage:{self.model_uid}:{self.stage}"


LineageNode: TypeAlias = DatasetNode | RunNode | VersionNode | HolderNode


@dataclass(frozen=True, slots=True)
class LineageEdge:
    """That one node comes from another; ids."""

    type: EdgeType
    downstream: str
    upstream: str


@dataclass(frozen=True, slots=True)
class Link:
    """An edge, and the node at its far end."""

    edge: LineageEdge
    node: LineageNode


@dataclass(frozen=True, slots=True)
class Lineage:
    """A part of the graph: the nodes where it begins come first. `is_truncated`: a limit left something out."""

    starts: Sequence[LineageNode]
    nodes: Sequence[LineageNode]
    edges: Sequence[LineageEdge]
    is_truncated: bool


def dataset_key(data: Dataset) -> str:
    """64 hex digits, the same for the same data: by its digest; without one by its address, else its name, and version."""
    if data.digest:
        return digest_key(data.digest)
    return _key("uri", data.uri, data.version) if data.uri else _key("name", data.name, data.version)


def digest_key(digest: str) -> str:
    """Key of the data with that digest."""
    return _key("digest", digest)


def uri_key(uri: str) -> str:
    """64 hex digits that stand for an address: an index takes no text of two thousand characters."""
    return _key("at", uri)


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
