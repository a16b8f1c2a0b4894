"""The RPCs of LifecycleService about comments and checks."""

from __future__ import annotations

import grpc

from registrar.v1 import lifecycle_service_pb2 as pb
from registrar.v1 import lifecycle_service_pb2_grpc
from registrar_server.application.governance.reviews import NewCheck, Reviews
from registrar_server.domain import limits
from registrar_server.domain.policies import CHECK_NAME
from registrar_server.domain.reviews import CheckResult, Comment
from registrar_server.domain.validation import checking
from registrar_server.domain.values import UID
from registrar_server.transport.calls import current_caller, mutation_of
from registrar_server.transport.convert.references import changed_ref_from_proto, model_from_proto, ref_from_proto
from registrar_server.transport.convert.reviews import check_result_to_proto, comment_to_proto, outcome_from_proto
from registrar_server.transport.convert.times import period_from_proto
from registrar_server.transport.paging import decode_token, encode_token, page_size


class ReviewRpcs(lifecycle_service_pb2_grpc.LifecycleServiceServicer):
    """Converts, calls, converts."""

    def __init__(self, reviews: Reviews) -> None:
        self._reviews = reviews

    def CreateComment(
        self, request: pb.CreateCommentRequest, context: grpc.ServicerContext
    ) -> pb.CreateCommentResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            ref = changed_ref_from_proto(check, "ref", request.ref, current_caller())
            text = check.text("text", request.text, limits.COMMENT_CHARACTERS, is_required=True)
            if text and not text.strip():
                check.fail("text", "must say something")
            if request.reply_to:
                check.pattern("reply_to", request.reply_to, UID, "32 lower-case hex digits")
        mutation = mutation_of(request, request.request_id, _commented)
        answer = self._reviews.comment(mutation, ref, text, reply_to=request.reply_to)
        return pb.CreateCommentResponse.FromString(answer)

    def ListComments(self, request: pb.ListCommentsRequest, context: grpc.ServicerContext) -> pb.ListCommentsResponse:
        """See the contract."""
        with checking() as check:
            key = model_from_proto(check, "model", request.model, current_caller())
            if request.version < 0:
                check.fail("version", "must not be negative")
            period = period_from_proto(check, request)
        size = page_size(request.page_size)
        token = decode_token(request, request.page_token, int)
        before = int(token[0]) if token else 0
        found = self._reviews.comments(key, number=request.version, before=before, limit=size + 1, period=period)
        response = pb.ListCommentsResponse(comments=map(comment_to_proto, found[:size]))
        if len(found) > size:
            response.next_page_token = encode_token(request, [found[size - 1].sequence])
        return response

    def ReportCheck(self, request: pb.ReportCheckRequest, context: grpc.ServicerContext) -> pb.ReportCheckResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            ref = changed_ref_from_proto(check, "ref", request.ref, current_caller())
            reported = NewCheck(
                name=check.pattern("name", request.name, CHECK_NAME, "[a-z][a-z0-9-]{0,62}"),
                outcome=outcome_from_proto(check, "outcome", request.outcome),
                summary=check.text("summary", request.summary, limits.COMMENT_CHARACTERS),
                details_uri=check.text("details_uri", request.details_uri, limits.URI_CHARACTERS),
            )
        mutation = mutation_of(request, request.request_id, _reported)
        return pb.ReportCheckResponse.FromString(self._reviews.report_check(mutation, ref, reported))

    def ListChecks(self, request: pb.ListChecksRequest, context: grpc.ServicerContext) -> pb.ListChecksResponse:
        """See the contract."""
        with checking() as check:
            ref = ref_from_proto(check, "ref", request.ref, current_caller())
        size = page_size(request.page_size)
        token = decode_token(request, request.page_token, int)
        found = self._reviews.checks(ref, before=int(token[0]) if token else 0, limit=size + 1)
        response = pb.ListChecksResponse(results=map(check_result_to_proto, found[:size]))
        if len(found) > size:
            response.next_page_token = encode_token(request, [found[size - 1].sequence])
        return response


def _commented(comment: Comment) -> pb.CreateCommentResponse:
    return pb.CreateCommentResponse(comment=comment_to_proto(comment), event_sequence=comment.sequence)


def _reported(result: CheckResult) -> pb.ReportCheckResponse:
    return pb.ReportCheckResponse(result=check_result_to_proto(result), event_sequence=result.sequence)
