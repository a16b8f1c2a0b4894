"""The RPCs of AdminService about metadata schemas."""

from __future__ import annotations

import grpc

from registrar.v1 import admin_service_pb2 as pb
from registrar.v1 import admin_service_pb2_grpc
from registrar_server.application.administration.metadata_schemas import MetadataSchemas, SchemaChanged
from registrar_server.domain import limits
from registrar_server.domain.validation import checking
from registrar_server.transport.calls import current_caller, mutation_of
from registrar_server.transport.convert.metadata_schemas import fields_from_proto, schema_to_proto
from registrar_server.transport.convert.references import tenant_from_proto


class MetadataSchemaRpcs(admin_service_pb2_grpc.AdminServiceServicer):
    """Converts, calls, converts."""

    def __init__(self, schemas: MetadataSchemas) -> None:
        self._schemas = schemas

    def GetMetadataSchema(
        self, request: pb.GetMetadataSchemaRequest, context: grpc.ServicerContext
    ) -> pb.GetMetadataSchemaResponse:
        """See the contract."""
        with checking() as check:
            tenant = tenant_from_proto(check, "tenant", request.tenant, current_caller())
        return pb.GetMetadataSchemaResponse(schema=schema_to_proto(self._schemas.get(tenant)))

    def UpdateMetadataSchema(
        self, request: pb.UpdateMetadataSchemaRequest, context: grpc.ServicerContext
    ) -> pb.UpdateMetadataSchemaResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            tenant = tenant_from_proto(check, "tenant", request.tenant, current_caller())
            fields = fields_from_proto(check, "fields", request.fields)
            comment = check.text("comment", request.comment, limits.NOTE_CHARACTERS)
        mutation = mutation_of(request, request.request_id, _updated)
        answer = self._schemas.update(mutation, tenant, fields, etag=request.etag, comment=comment)
        return pb.UpdateMetadataSchemaResponse.FromString(answer)


def _updated(changed: SchemaChanged) -> pb.UpdateMetadataSchemaResponse:
    return pb.UpdateMetadataSchemaResponse(schema=schema_to_proto(changed.schema), event_sequence=changed.sequence)
