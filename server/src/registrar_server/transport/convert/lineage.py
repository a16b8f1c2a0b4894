"""Lineage."""

from __future__ import annotations

from registrar.v1 import lineage_pb2 as pb
from registrar.v1.lineage_service_pb2 import GetLineageRequest, GetLineageResponse
from registrar_server.application.lineage import FromDigest, FromRun, FromUri, LineageRequest, LineageStart
from registrar_server.application.ports.database import LineageScope
from registrar_server.domain import limits
from registrar_server.domain.access import Caller, Right
from registrar_server.domain.lineage import (
    DEPTH,
    DEPTH_MAXIMUM,
    NODES_MAXIMUM,
    DatasetNode,
    Direction,
    EdgeType,
    HolderNode,
    Lineage,
    LineageNode,
    RunNode,
    VersionNode,
)
from registrar_server.domain.validation import Checker, checking
from registrar_server.domain.values import VersionRef
from registrar_server.transport.convert.references import ref_from_proto, stage_to_proto, tenant_from_proto
from registrar_server.transport.convert.values import dataset_to_proto, time_to_proto

_DIRECTIONS = {
    pb.LINEAGE_DIRECTION_UNSPECIFIED: Direction.BOTH,
    pb.LINEAGE_DIRECTION_UPSTREAM: Direction.UPSTREAM,
    pb.LINEAGE_DIRECTION_DOWNSTREAM: Direction.DOWNSTREAM,
    pb.LINEAGE_DIRECTION_BOTH: Direction.BOTH,
}
_EDGES = {
    EdgeType.TRAINED_ON: pb.LINEAGE_EDGE_TYPE_TRAINED_ON,
    EdgeType.VALIDATED_ON: pb.LINEAGE_EDGE_TYPE_VALIDATED_ON,
    EdgeType.PRODUCED_BY: pb.LINEAGE_EDGE_TYPE_PRODUCED_BY,
    EdgeType.DERIVED_FROM: pb.LINEAGE_EDGE_TYPE_DERIVED_FROM,
    EdgeType.HOLDS: pb.LINEAGE_EDGE_TYPE_HOLDS,
}


def lineage_from_proto(request: GetLineageRequest, caller: Caller) -> LineageRequest:
    """The whole request, every violation at once."""
    with checking() as check:
        start = _start_from_proto(check, request, caller)
        tenant = tenant_from_proto(check, "tenant", request.tenant, caller)
        if isinstance(start, VersionRef):
            if request.tenant and request.tenant != start.model.tenant:
                check.fail("tenant", "must be the version's, or left out")
            tenant = start.model.tenant
        direction = _DIRECTIONS.get(request.direction)
        if direction is None:
            check.fail("direction", "is not a direction")
        if not 0 <= request.depth <= DEPTH_MAXIMUM:
            check.fail("depth", f"must be from 0 to {DEPTH_MAXIMUM}")
    return LineageRequest(
        start=start,
        scope=LineageScope(tenant, caller.access.models(Right.READ, tenant)),
        direction=direction or Direction.BOTH,
        depth=request.depth or DEPTH,
        max_nodes=min(request.max_nodes, NODES_MAXIMUM) if request.max_nodes > 0 else NODES_MAXIMUM,
    )


def lineage_to_proto(lineage: Lineage) -> GetLineageResponse:
    """A part of the graph."""
    return GetLineageResponse(
        start_ids=[node.id for node in lineage.starts],
        nodes=map(_node_to_proto, lineage.nodes),
        edges=[
            pb.LineageEdge(type=_EDGES[edge.type], downstream_id=edge.downstream, upstream_id=edge.upstream)
            for edge in lineage.edges
        ],
        is_truncated=lineage.is_truncated,
    )


def _start_from_proto(check: Checker, request: GetLineageRequest, caller: Caller) -> LineageStart:
    match request.WhichOneof("start"):
        case "version":
            return ref_from_proto(check, "version", request.version, caller)
        case "run_id":
            return FromRun(check.text("run_id", request.run_id, limits.LABEL_CHARACTERS, is_required=True))
        case "dataset_digest":
            digest = check.text("dataset_digest", request.dataset_digest, limits.LABEL_CHARACTERS, is_required=True)
            return FromDigest(digest)
        case "dataset_uri":
            return FromUri(check.text("dataset_uri", request.dataset_uri, limits.URI_CHARACTERS, is_required=True))
        case None:
            check.fail("start", "version, run_id, dataset_digest or dataset_uri is required")
            return FromRun("")


def _node_to_proto(node: LineageNode) -> pb.LineageNode:
    match node:
        case DatasetNode():
            return pb.LineageNode(id=node.id, dataset=dataset_to_proto(node.dataset))
        case RunNode():
            return pb.LineageNode(id=node.id, run=pb.LineageRun(run_id=node.run_id))
        case VersionNode():
            return pb.LineageNode(id=node.id, version=_version_to_proto(node))
        case HolderNode():
            holder = pb.LineageHolder(name=node.name, alias=node.alias)
            if node.stage is not None:
                holder.stage = stage_to_proto(node.stage)
            return pb.LineageNode(id=node.id, holder=holder)


def _version_to_proto(node: VersionNode) -> pb.LineageVersion:
    return pb.LineageVersion(
        name=node.name,
        version=node.number,
        uid=node.uid,
        semantic_version=node.semantic_version,
        stage=stage_to_proto(node.stage),
        git_commit=node.git_commit,
        created_by=node.created_by,
        create_time=time_to_proto(node.create_time),
        is_deleted=node.is_deleted,
    )
