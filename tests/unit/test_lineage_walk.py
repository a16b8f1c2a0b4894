"""Walking lineage: level by level, within limits, whatever the graph looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar_server.application.lineage import FromRun, LineageRequest, Lineages
from registrar_server.application.ports.database import LineageScope
from registrar_server.domain.access import EVERY_NAME
from registrar_server.domain.lineage import (
    Direction,
    EdgeType,
    LineageEdge,
    LineageNode,
    Link,
    RunNode,
    dataset_key,
    digest_key,
)
from registrar_server.domain.versions import Dataset

SCOPE = LineageScope("default", EVERY_NAME)
Graph = Mapping[int, Sequence[int]]
_GRAPHS = st.dictionaries(st.integers(0, 12), st.lists(st.integers(0, 12), max_size=4), max_size=13)


class Records:
    """A graph of numbers in place of lineage; what is upstream of each."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.steps = 0

    def has_run(self, run_id: str, scope: LineageScope) -> bool:
        return True

    def upstream(self, nodes: Sequence[LineageNode], scope: LineageScope, *, limit: int) -> Sequence[Link]:
        self.steps += 1
        found = [(_number(node), other) for node in nodes for other in self._graph.get(_number(node), ())]
        return [_link(lower, upper, upper) for lower, upper in found][:limit]

    def downstream(self, nodes: Sequence[LineageNode], scope: LineageScope, *, limit: int) -> Sequence[Link]:
        self.steps += 1
        wanted = {_number(node) for node in nodes}
        found = [(lower, upper) for lower, uppers in self._graph.items() for upper in uppers if upper in wanted]
        return [_link(lower, upper, lower) for lower, upper in found][:limit]


def _number(node: LineageNode) -> int:
    assert isinstance(node, RunNode)
    return int(node.run_id)


def _link(lower: int, upper: int, far: int) -> Link:
    return Link(LineageEdge(EdgeType.DERIVED_FROM, f"run:{lower}", f"run:{upper}"), RunNode(str(far)))


class _Database:
    def __init__(self, records: Records) -> None:
        self.lineage = records

    @contextmanager
    def reading(self) -> Any:
        yield self


def walk(graph: Graph, **limits: Any) -> tuple[set[int], set[tuple[str, str]], bool, int]:
    records = Records(graph)
    database: Any = _Database(records)
    found = Lineages(database).get(LineageRequest(FromRun("0"), SCOPE, **limits))
    edges = {(edge.downstream, edge.upstream) for edge in found.edges}
    assert len(edges) == len(found.edges)
    assert {node.id for node in found.nodes} >= {end for edge in edges for end in edge}
    return {_number(node) for node in found.nodes}, edges, found.is_truncated, records.steps


def reachable(graph: Graph, depth: int, *, is_down: bool) -> set[int]:
    """The same, said in the plainest way."""
    found = {0}
    for _ in range(depth):
        if is_down:
            found |= {lower for lower, uppers in graph.items() if set(uppers) & found}
        else:
            found |= {upper for lower in found for upper in graph.get(lower, ())}
    return found


@given(_GRAPHS, st.integers(1, 6), st.sampled_from(Direction))
def test_what_is_within_the_depth_is_found_also_where_there_are_cycles(
    graph: Graph, depth: int, direction: Direction
) -> None:
    nodes, _, is_truncated, steps = walk(graph, depth=depth, direction=direction)
    wanted = {0}
    if direction is not Direction.DOWNSTREAM:
        wanted |= reachable(graph, depth, is_down=False)
    if direction is not Direction.UPSTREAM:
        wanted |= reachable(graph, depth, is_down=True)
    assert (nodes, is_truncated) == (wanted, False)
    assert steps <= 2 * depth


@given(_GRAPHS, st.integers(1, 12))
def test_no_more_nodes_than_are_wanted_and_the_answer_says_so(graph: Graph, limit: int) -> None:
    everything, _, _, _ = walk(graph, depth=20, direction=Direction.BOTH)
    nodes, _, is_truncated, _ = walk(graph, depth=20, direction=Direction.BOTH, max_nodes=limit)
    assert len(nodes) == min(limit, len(everything))
    assert nodes <= everything
    assert is_truncated is (limit < len(everything))


def test_siblings_are_not_reached_from_a_start_between_them() -> None:
    nodes, _, _, _ = walk({0: [1], 2: [1], 3: [0]}, direction=Direction.BOTH, depth=5)
    assert nodes == {0, 1, 3}


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (Dataset("a", "s3://x", "sha256:1"), Dataset("b", "s3://y", "sha256:1"), True),
        (Dataset("a", "s3://x", "", "1"), Dataset("b", "s3://x", "", "1"), True),
        (Dataset("a", "s3://x", "", "1"), Dataset("a", "s3://x", "", "2"), False),
        (Dataset("a", version="1"), Dataset("a", version="1"), True),
        (Dataset("a"), Dataset("", "a"), False),
        (Dataset("a", digest="md5:1"), Dataset("a", digest="md5:2"), False),
    ],
)
def test_data_is_the_same_by_its_digest_then_by_its_address_then_by_its_name(
    one: Dataset, other: Dataset, is_same: bool
) -> None:
    assert (dataset_key(one) == dataset_key(other)) is is_same


def test_data_with_a_digest_is_found_by_the_digest_alone() -> None:
    assert dataset_key(Dataset("a", "s3://x", "sha256:1", "3")) == digest_key("sha256:1")
