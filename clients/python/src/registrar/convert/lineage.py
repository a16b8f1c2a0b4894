"""Lineage from the contract, and metadata schemas both ways."""

from __future__ import annotations

from collections.abc import Iterable

from registrar.convert.values import dataset_from_proto, stage_from_proto, time_from_proto
from registrar.lineage_types import (
    Lineage,
    LineageDirection,
    LineageEdge,
    LineageEdgeType,
    LineageHolder,
    LineageRun,
    LineageThing,
    LineageVersion,
)
from registrar.metadata_types import MetadataField, MetadataRequirement, MetadataSchema, MetadataType
from registrar.v1 import lineage_pb2, lineage_service_pb2, metadata_schema_pb2

_DIRECTIONS = {
    LineageDirection.UPSTREAM: lineage_pb2.LINEAGE_DIRECTION_UPSTREAM,
    LineageDirection.DOWNSTREAM: lineage_pb2.LINEAGE_DIRECTION_DOWNSTREAM,
    LineageDirection.BOTH: lineage_pb2.LINEAGE_DIRECTION_BOTH,
}
_EDGES = {
    lineage_pb2.LINEAGE_EDGE_TYPE_TRAINED_ON: LineageEdgeType.TRAINED_ON,
    lineage_pb2.LINEAGE_EDGE_TYPE_VALIDATED_ON: LineageEdgeType.VALIDATED_ON,
    lineage_pb2.LINEAGE_EDGE_TYPE_PRODUCED_BY: LineageEdgeType.PRODUCED_BY,
    lineage_pb2.LINEAGE_EDGE_TYPE_DERIVED_FROM: LineageEdgeType.DERIVED_FROM,
    lineage_pb2.LINEAGE_EDGE_TYPE_HOLDS: LineageEdgeType.HOLDS,
}
_REQUIREMENTS = {
    MetadataRequirement.OPTIONAL: metadata_schema_pb2.METADATA_REQUIREMENT_UNSPECIFIED,
    MetadataRequirement.RECOMMENDED: metadata_schema_pb2.METADATA_REQUIREMENT_RECOMMENDED,
    MetadataRequirement.REQUIRED: metadata_schema_pb2.METADATA_REQUIREMENT_REQUIRED,
}
_REQUIREMENTS_BACK = {message: requirement for requirement, message in _REQUIREMENTS.items()}
_TYPES = {
    MetadataType.ANY: metadata_schema_pb2.METADATA_TYPE_UNSPECIFIED,
    MetadataType.STRING: metadata_schema_pb2.METADATA_TYPE_STRING,
    MetadataType.INTEGER: metadata_schema_pb2.METADATA_TYPE_INTEGER,
    MetadataType.NUMBER: metadata_schema_pb2.METADATA_TYPE_NUMBER,
    MetadataType.BOOLEAN: metadata_schema_pb2.METADATA_TYPE_BOOLEAN,
    MetadataType.DATE: metadata_schema_pb2.METADATA_TYPE_DATE,
    MetadataType.URI: metadata_schema_pb2.METADATA_TYPE_URI,
}
_TYPES_BACK = {message: kind for kind, message in _TYPES.items()}


def direction_to_proto(direction: LineageDirection) -> lineage_pb2.LineageDirection.ValueType:
    """Which way to go."""
    return _DIRECTIONS[direction]


def lineage_from_proto(message: lineage_service_pb2.GetLineageResponse) -> Lineage:
    """A part of the graph; what this client does not know is left out."""
    nodes = {node.id: thing for node in message.nodes if (thing := _thing(node)) is not None}
    edges = tuple(
        LineageEdge(_EDGES[edge.type], edge.downstream_id, edge.upstream_id)
        for edge in message.edges
        if edge.type in _EDGES and edge.downstream_id in nodes and edge.upstream_id in nodes
    )
    return Lineage(tuple(message.start_ids), nodes, edges, message.is_truncated)


def schema_from_proto(message: metadata_schema_pb2.MetadataSchema) -> MetadataSchema:
    """A schema."""
    return MetadataSchema(
        tenant=message.tenant,
        revision=message.revision,
        fields=tuple(map(_field_from_proto, message.fields)),
        etag=message.etag,
        updated_by=message.updated_by,
        update_time=time_from_proto(message.update_time) if message.HasField("update_time") else None,
    )


def fields_to_proto(fields: Iterable[MetadataField]) -> list[metadata_schema_pb2.MetadataField]:
    """What is demanded."""
    return [
        metadata_schema_pb2.MetadataField(
            path=field.path,
            requirement=_REQUIREMENTS[field.requirement],
            type=_TYPES[field.type],
            allowed_values=field.allowed_values,
            min=field.min,
            max=field.max,
            max_characters=field.max_characters,
            model_patterns=field.model_patterns,
            description=field.description,
        )
        for field in fields
    ]


def _field_from_proto(message: metadata_schema_pb2.MetadataField) -> MetadataField:
    return MetadataField(
        path=message.path,
        requirement=_REQUIREMENTS_BACK.get(message.requirement, MetadataRequirement.OPTIONAL),
        type=_TYPES_BACK.get(message.type, MetadataType.ANY),
        allowed_values=tuple(message.allowed_values),
        min=message.min if message.HasField("min") else None,
        max=message.max if message.HasField("max") else None,
        max_characters=message.max_characters,
        model_patterns=tuple(message.model_patterns),
        description=message.description,
    )


def _thing(node: lineage_pb2.LineageNode) -> LineageThing | None:
    match node.WhichOneof("kind"):
        case "dataset":
            return dataset_from_proto(node.dataset)
        case "run":
            return LineageRun(node.run.run_id)
        case "version":
            return _version(node.version)
        case "holder":
            stage = stage_from_proto(node.holder.stage) if node.holder.stage else None
            return LineageHolder(node.holder.name, stage, node.holder.alias)
        case _:
            return None


def _version(message: lineage_pb2.LineageVersion) -> LineageVersion:
    return LineageVersion(
        name=message.name,
        version=message.version,
        uid=message.uid,
        semantic_version=message.semantic_version,
        stage=stage_from_proto(message.stage),
        git_commit=message.git_commit,
        created_by=message.created_by,
        create_time=time_from_proto(message.create_time),
        is_deleted=message.is_deleted,
    )
