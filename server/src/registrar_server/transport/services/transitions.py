"""The RPCs of LifecycleService that move versions, and tell how they moved."""

from __future__ import annotations

import grpc

from registrar.v1 import lifecycle_service_pb2 as pb
from registrar.v1 import lifecycle_service_pb2_grpc
from registrar_server.application.lifecycle import Lifecycle, MoveRequest, RollbackRequest, StageChanged
from registrar_server.domain import limits
from registrar_server.domain.validation import checking
from registrar_server.transport.calls import current_caller, mutation_of
from registrar_server.transport.convert.policies import break_glass_from_proto, failed_gate_to_proto
from registrar_server.transport.convert.references import changed_ref_from_proto, model_from_proto, stage_from_proto
from registrar_server.transport.convert.times import period_from_proto
from registrar_server.transport.convert.versions import transition_to_proto, version_to_proto
from registrar_server.transport.paging import decode_token, encode_token, page_size
from registrar_server.transport.streams import Slots


class TransitionRpcs(lifecycle_service_pb2_grpc.LifecycleServiceServicer):
    """Converts, calls, converts. `downloads`: a rollback reads its whole bundle, which is as much as to download it."""

    def __init__(self, lifecycle: Lifecycle, downloads: Slots) -> None:
        self._lifecycle = lifecycle
        self._downloads = downloads

    def TransitionStage(
        self, request: pb.TransitionStageRequest, context: grpc.ServicerContext
    ) -> pb.TransitionStageResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            wanted = MoveRequest(
                ref=changed_ref_from_proto(check, "ref", request.ref, current_caller()),
                stage=stage_from_proto(check, "stage", request.stage),
                comment=check.text("comment", request.comment, limits.COMMENT_CHARACTERS),
                expected_holder=request.expected_holder if request.HasField("expected_holder") else None,
                etag=request.etag,
                is_validate_only=request.validate_only,
                is_break_glass=break_glass_from_proto(check, request),
            )
        mutation = mutation_of(request, request.request_id, _transitioned)
        return pb.TransitionStageResponse.FromString(self._lifecycle.transition(mutation, wanted))

    def Rollback(self, request: pb.RollbackRequest, context: grpc.ServicerContext) -> pb.RollbackResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            wanted = RollbackRequest(
                model=model_from_proto(check, "model", request.model, current_caller()),
                comment=check.text("comment", request.comment, limits.COMMENT_CHARACTERS),
                expected_holder=request.expected_holder if request.HasField("expected_holder") else None,
                to_number=request.to_version,
                is_validate_only=request.validate_only,
                is_break_glass=break_glass_from_proto(check, request),
            )
            if wanted.to_number < 0:
                check.fail("to_version", "must not be negative")
        mutation = mutation_of(request, request.request_id, _rolled_back)
        with self._downloads.take():
            return pb.RollbackResponse.FromString(self._lifecycle.rollback(mutation, wanted))

    def ListTransitions(
        self, request: pb.ListTransitionsRequest, context: grpc.ServicerContext
    ) -> pb.ListTransitionsResponse:
        """See the contract."""
        with checking() as check:
            key = model_from_proto(check, "model", request.model, current_caller())
            if request.version < 0:
                check.fail("version", "must not be negative")
            period = period_from_proto(check, request)
        size = page_size(request.page_size)
        token = decode_token(request, request.page_token, int, int)
        before = (int(token[0]), int(token[1])) if token else None
        found = self._lifecycle.history(key, number=request.version, before=before, limit=size + 1, period=period)
        response = pb.ListTransitionsResponse(transitions=[transition_to_proto(move) for _, move in found[:size]])
        if len(found) > size:
            place, last = found[size - 1]
            response.next_page_token = encode_token(request, [last.sequence, place])
        return response


def _transitioned(changed: StageChanged) -> pb.TransitionStageResponse:
    return pb.TransitionStageResponse(
        model_version=version_to_proto(changed.version),
        displaced=map(version_to_proto, changed.displaced),
        event_sequence=changed.sequence,
        overridden_gates=map(failed_gate_to_proto, changed.overridden),
    )


def _rolled_back(changed: StageChanged) -> pb.RollbackResponse:
    return pb.RollbackResponse(
        model_version=version_to_proto(changed.version),
        displaced=map(version_to_proto, changed.displaced),
        event_sequence=changed.sequence,
        overridden_gates=map(failed_gate_to_proto, changed.overridden),
    )
