"""The audit in the registry of the client's tests: what `record` puts there, chained as the server does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from registrar.v1 import audit_pb2, audit_service_pb2_grpc
from registrar.v1 import audit_service_pb2 as pb
from registrar_server.domain import merkle
from registrar_server.domain.audit import AuditEntry, Outcome
from registrar_server.transport.convert.audit import entry_to_proto
from tests.unit.client.fake_state import EPOCH_SECONDS, Base, State, refuse

EPOCH = datetime.fromtimestamp(EPOCH_SECONDS, UTC)
_PAGE = 2
"""Small, so that there are several."""
_PLAIN = AuditEntry(
    tenant="default",
    position=0,
    time=EPOCH,
    actor="user:alice",
    roles=("release-engineer",),
    action="version.stage_changed",
    outcome=Outcome.DONE,
    reason="",
    model="churn",
    model_uid="a" * 32,
    version_uid="b" * 32,
    number=1,
    alias="",
    comment="",
    request_id="r1",
    event_sequence=1,
    before="",
    after='{"stage":"staging"}',
    previous="",
)


def record(state: State, **fields: Any) -> AuditEntry:
    """Add an entry."""
    previous = state.audit[-1].hash if state.audit else ""
    position = len(state.audit) + 1
    given = {"time": EPOCH + timedelta(hours=position), **fields}
    entry = replace(_PLAIN, position=position, previous=previous, **given)
    state.audit.append(entry_to_proto(entry, entry.hash))
    return entry


class Audit(Base, audit_service_pb2_grpc.AuditServiceServicer):
    """AuditService: no model of the server's rules."""

    def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: grpc.ServicerContext
    ) -> pb.ListAuditEventsResponse:
        def make() -> pb.ListAuditEventsResponse:
            found = [
                event
                for event in self.state.audit
                if request.model in {"", event.model}
                and request.actor in {"", event.actor}
                and request.outcome in {audit_pb2.AUDIT_OUTCOME_UNSPECIFIED, event.outcome}
            ]
            ordered = found if request.oldest_first else found[::-1]
            begin = int(request.page_token or 0)
            more = str(begin + _PAGE) if len(ordered) > begin + _PAGE else ""
            return pb.ListAuditEventsResponse(events=ordered[begin : begin + _PAGE], next_page_token=more)

        return self.answer(request, context, make)

    def ExportEvidence(
        self, request: pb.ExportEvidenceRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ExportEvidenceResponse]:
        """Evidence of nothing."""
        return iter(())

    def GetAuditHead(self, request: pb.GetAuditHeadRequest, context: grpc.ServicerContext) -> pb.GetAuditHeadResponse:
        return self.answer(request, context, lambda: pb.GetAuditHeadResponse(head=self._head(len(self.state.audit))))

    def GetAuditProof(
        self, request: pb.GetAuditProofRequest, context: grpc.ServicerContext
    ) -> pb.GetAuditProofResponse:
        def make() -> pb.GetAuditProofResponse:
            size = request.tree_size or len(self.state.audit)
            place = request.position or request.earlier_tree_size
            if not 0 < place <= size <= len(self.state.audit):
                refuse(context, grpc.StatusCode.NOT_FOUND, "AUDIT_ENTRY_NOT_FOUND", position=str(place))
            nodes = self._nodes()
            if request.position:
                claimed = nodes[0, place - 1]
                hashes = merkle.inclusion_proof(place - 1, size, lambda *node: nodes[node])
            else:
                claimed = merkle.root(place, lambda *node: nodes[node])
                hashes = merkle.consistency_proof(place, size, lambda *node: nodes[node])
            return pb.GetAuditProofResponse(
                tree_size=size,
                root_hash=self._head(size).root_hash,
                claimed_hash=claimed.hex(),
                hashes=[one.hex() for one in hashes],
            )

        return self.answer(request, context, make)

    def VerifyAudit(
        self, request: pb.VerifyAuditRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.VerifyAuditResponse]:
        self.answer(request, context, pb.VerifyAuditResponse)
        yield pb.VerifyAuditResponse(checked_entries=1)
        if self.state.break_verifications:
            self.state.break_verifications -= 1
            refuse(context, grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        yield pb.VerifyAuditResponse(checked_entries=len(self.state.audit))
        yield pb.VerifyAuditResponse()
        position = next((event.position for event in self.state.audit if self._is_altered(event)), 0)
        verdict = pb.AuditVerdict(
            is_intact=not position,
            head=self._head(len(self.state.audit)),
            altered_position=position,
            problem="does not have the content that was recorded" if position else "",
        )
        yield pb.VerifyAuditResponse(verdict=verdict)

    def _is_altered(self, event: audit_pb2.AuditEvent) -> bool:
        return merkle.leaf_hash(event.content).hex() != event.hash

    def _nodes(self) -> dict[tuple[int, int], bytes]:
        nodes: dict[tuple[int, int], bytes] = {}
        peaks: list[bytes] = []
        for number, event in enumerate(self.state.audit):
            leaf = nodes[0, number] = bytes.fromhex(event.hash)
            peaks, made = merkle.append(peaks, number, leaf)
            nodes.update({(level, place): hash_ for level, place, hash_ in made})
        return nodes

    def _head(self, size: int) -> audit_pb2.AuditHead:
        nodes = self._nodes()
        return audit_pb2.AuditHead(
            tenant="default",
            tree_size=size,
            root_hash=merkle.root(size, lambda *node: nodes[node]).hex(),
            last_hash=self.state.audit[size - 1].hash if size else "",
        )
