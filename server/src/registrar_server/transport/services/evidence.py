"""The RPC of AuditService by which evidence is exported."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from registrar.v1 import audit_service_pb2 as pb
from registrar.v1 import audit_service_pb2_grpc
from registrar_server.application.evidence.export import Evidence, EvidenceArchive
from registrar_server.domain.validation import checking
from registrar_server.transport.calls import current_call, current_caller
from registrar_server.transport.convert.references import ref_from_proto
from registrar_server.transport.streams import Slots, StallWatch

_CHUNK_BYTES = 256 << 10


class EvidenceRpcs(audit_service_pb2_grpc.AuditServiceServicer):
    """Converts, calls, converts. An archive takes a slot: it is a download."""

    def __init__(self, evidence: Evidence, slots: Slots, *, stall_seconds: float) -> None:
        self._evidence = evidence
        self._slots = slots
        self._watch = StallWatch(stall_seconds)

    def ExportEvidence(
        self, request: pb.ExportEvidenceRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ExportEvidenceResponse]:
        """See the contract."""
        with checking() as check:
            ref = ref_from_proto(check, "ref", request.ref, current_caller())
            if request.tree_size < 0:
                check.fail("tree_size", "must not be negative")
        with self._slots.take():
            archive = self._evidence.export(ref, request.tree_size)
            yield from self._watch.iterate(context, _messages(archive))


def _messages(archive: EvidenceArchive) -> Iterator[pb.ExportEvidenceResponse]:
    call, tree_size = current_call.get(), archive.tree_size
    for block in archive.blocks:
        for start in range(0, len(block), _CHUNK_BYTES):
            data = block[start : start + _CHUNK_BYTES]
            yield pb.ExportEvidenceResponse(data=data, tree_size=tree_size)
            call.bytes_out += len(data)
            tree_size = 0
