"""LineageService."""

from __future__ import annotations

import grpc

from registrar.v1 import lineage_service_pb2 as pb
from registrar.v1 import lineage_service_pb2_grpc
from registrar_server.application.lineage import Lineages
from registrar_server.transport.calls import current_caller
from registrar_server.transport.convert.lineage import lineage_from_proto, lineage_to_proto


class LineageServicer(lineage_service_pb2_grpc.LineageServiceServicer):
    """Converts, calls, converts."""

    def __init__(self, lineages: Lineages) -> None:
        self._lineages = lineages

    def GetLineage(self, request: pb.GetLineageRequest, context: grpc.ServicerContext) -> pb.GetLineageResponse:
        """See the contract."""
        return lineage_to_proto(self._lineages.get(lineage_from_proto(request, current_caller())))
