"""Lineage, and what a tenant demands of metadata."""

from __future__ import annotations

from collections.abc import Sequence

from registrar.calls.call import Call, change, new_request_id
from registrar.context import AnyVersionRef, CallContext
from registrar.convert.lineage import direction_to_proto, fields_to_proto, lineage_from_proto, schema_from_proto
from registrar.convert.values import version_ref_to_proto
from registrar.errors import InvalidArgument
from registrar.lineage_types import Lineage, LineageDirection
from registrar.metadata_types import MetadataField, MetadataSchema
from registrar.v1 import admin_service_pb2, lineage_service_pb2


def lineage(
    context: CallContext,
    ref: AnyVersionRef | None = None,
    *,
    run_id: str = "",
    dataset_digest: str = "",
    dataset_uri: str = "",
    direction: LineageDirection = LineageDirection.BOTH,
    depth: int = 0,
    max_nodes: int = 0,
    tenant: str = "",
) -> Call[Lineage]:
    """What something comes from, and what came from it: `lineage("churn/3")`, `lineage(dataset_digest="sha256:…")`.

    Begins at a version, a run, or data: give one of them. `depth`: at most so many edges from there; 0: 5, at most 20.
    `max_nodes`: 0: 1,000. Errors: NotFound, InvalidArgument; FailedPrecondition when a stage has several holders.
    """
    request = lineage_service_pb2.GetLineageRequest(
        direction=direction_to_proto(direction), depth=depth, max_nodes=max_nodes
    )
    if sum(map(bool, (ref, run_id, dataset_digest, dataset_uri))) != 1:
        raise InvalidArgument("give one of ref, run_id, dataset_digest and dataset_uri", reason="INVALID_FIELD")
    if ref is not None:
        request.version.CopyFrom(version_ref_to_proto(context.version_ref(ref)))
    else:
        request.tenant = tenant or context.tenant
    if run_id:
        request.run_id = run_id
    elif dataset_digest:
        request.dataset_digest = dataset_digest
    elif dataset_uri:
        request.dataset_uri = dataset_uri
    return Call(context.lineages.GetLineage, request, lineage_from_proto)


def metadata_schema(context: CallContext, *, tenant: str = "") -> Call[MetadataSchema]:
    """What versions of a tenant have to say about themselves. Errors: NotFound, PermissionDenied."""
    request = admin_service_pb2.GetMetadataSchemaRequest(tenant=tenant or context.tenant)
    return Call(context.admin.GetMetadataSchema, request, lambda response: schema_from_proto(response.schema))


def update_metadata_schema(
    context: CallContext,
    fields: Sequence[MetadataField],
    *,
    etag: str = "",
    comment: str = "",
    tenant: str = "",
    request_id: str | None = None,
) -> Call[MetadataSchema]:
    """Demand this from now on, in place of all that was demanded. Versions that are there stay as they are.

    Errors: Aborted when the etag is old, InvalidArgument, NotFound, PermissionDenied.
    """
    request = admin_service_pb2.UpdateMetadataSchemaRequest(
        request_id=request_id or new_request_id(),
        tenant=tenant or context.tenant,
        etag=etag,
        fields=fields_to_proto(fields),
        comment=comment,
    )
    return change(
        context, context.admin.UpdateMetadataSchema, request, lambda response: schema_from_proto(response.schema)
    )
