"""AuditService."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import grpc

from registrar.v1 import audit_service_pb2 as pb
from registrar_server.application.audit import Audit, Verdict
from registrar_server.application.evidence.export import Evidence
from registrar_server.domain.validation import checking
from registrar_server.transport.calls import current_caller
from registrar_server.transport.convert.access import scope_from_proto
from registrar_server.transport.convert.audit import entry_to_proto, filter_from_proto, head_to_proto
from registrar_server.transport.paging import decode_token, encode_token, page_size
from registrar_server.transport.services.evidence import EvidenceRpcs
from registrar_server.transport.streams import Slots


class AuditServicer(EvidenceRpcs):
    """Converts, calls, converts. Who has a whole audit verified takes a slot: it is as much as a download."""

    def __init__(self, audit: Audit, evidence: Evidence, slots: Slots, *, stall_seconds: float) -> None:
        super().__init__(evidence, slots, stall_seconds=stall_seconds)
        self._audit = audit

    def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: grpc.ServicerContext
    ) -> pb.ListAuditEventsResponse:
        """See the contract."""
        with checking() as check:
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
            wanted = filter_from_proto(check, request)
        size = page_size(request.page_size)
        token = decode_token(request, request.page_token, int)
        place = int(token[0]) if token else 0
        found = self._audit.list(tenant, wanted, is_oldest_first=request.oldest_first, place=place, limit=size + 1)
        response = pb.ListAuditEventsResponse(events=[entry_to_proto(*one) for one in found[:size]])
        if len(found) > size:
            response.next_page_token = encode_token(request, [found[size - 1][0].position])
        return response

    def GetAuditHead(self, request: pb.GetAuditHeadRequest, context: grpc.ServicerContext) -> pb.GetAuditHeadResponse:
        """See the contract."""
        with checking() as check:
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
        found = self._audit.signed_head(tenant)
        head = head_to_proto(tenant, found.head, found.checkpoint)
        return pb.GetAuditHeadResponse(head=head, verifier_key=found.verifier_key)

    def GetAuditProof(
        self, request: pb.GetAuditProofRequest, context: grpc.ServicerContext
    ) -> pb.GetAuditProofResponse:
        """See the contract."""
        with checking() as check:
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
            claim = request.WhichOneof("claim")
            if claim is None:
                check.fail("claim", "must be a position or an earlier tree")
            elif getattr(request, claim) < 1:
                check.fail(claim, "must be at least 1")
            if request.tree_size < 0:
                check.fail("tree_size", "must not be negative")
        prove = self._audit.prove_entry if claim == "position" else self._audit.prove_growth
        place = request.position if claim == "position" else request.earlier_tree_size
        proof = prove(tenant, place, tree_size=request.tree_size)
        return pb.GetAuditProofResponse(
            tree_size=proof.tree_size,
            root_hash=proof.root.hex(),
            claimed_hash=proof.claimed.hex(),
            hashes=[one.hex() for one in proof.hashes],
        )

    def VerifyAudit(
        self, request: pb.VerifyAuditRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.VerifyAuditResponse]:
        """See the contract."""
        with checking() as check:
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
        with self._slots.take():
            steps = self._audit.verify(tenant)
            yield from self._watch.iterate(context, map(partial(_step_to_proto, tenant), steps))


def _step_to_proto(tenant: str, step: int | Verdict) -> pb.VerifyAuditResponse:
    if not isinstance(step, Verdict):
        return pb.VerifyAuditResponse(checked_entries=step)
    altered = step.altered
    return pb.VerifyAuditResponse(
        verdict=pb.AuditVerdict(
            is_intact=altered is None,
            head=head_to_proto(tenant, step.head),
            altered_position=altered.position if altered is not None else 0,
            problem=altered.problem if altered is not None else "",
        )
    )
