"""Comments on versions, and what checks of them have found."""

from __future__ import annotations

from datetime import datetime

from registrar.calls.call import Call, Listing, change, new_request_id
from registrar.context import AnyModelRef, AnyVersionRef, CallContext
from registrar.convert.access import time_to_proto
from registrar.convert.reviews import check_from_proto, comment_from_proto, outcome_to_proto
from registrar.convert.values import model_ref_to_proto, version_ref_to_proto
from registrar.review_types import CheckOutcome, CheckResult, Comment
from registrar.v1 import lifecycle_service_pb2 as pb


def comment(
    context: CallContext, ref: AnyVersionRef, text: str, *, reply_to: str = "", request_id: str | None = None
) -> Call[Comment]:
    """Say something about a version; `reply_to` is the id of the comment that it answers. Comments are only added.

    Errors: NotFound, InvalidArgument, PermissionDenied.
    """
    request = pb.CreateCommentRequest(
        request_id=request_id or new_request_id(),
        ref=version_ref_to_proto(context.version_ref(ref)),
        text=text,
        reply_to=reply_to,
    )
    return change(
        context, context.lifecycle.CreateComment, request, lambda response: comment_from_proto(response.comment)
    )


def comments(
    context: CallContext,
    name: AnyModelRef,
    *,
    version: int | None = None,
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    page_size: int = 0,
) -> Listing[Comment]:
    """The comments on a model's versions, or on one, the newest first; pages are fetched as they are consumed.

    Only those at or after `start_time` and before `end_time`, both aware. Errors: NotFound, InvalidArgument.
    """
    request = pb.ListCommentsRequest(
        model=model_ref_to_proto(context.model_ref(name)),
        version=version or 0,
        start_time=None if start_time is None else time_to_proto(start_time),
        end_time=None if end_time is None else time_to_proto(end_time),
        page_size=page_size,
    )
    return Listing(context.lifecycle.ListComments, request, lambda page: map(comment_from_proto, page.comments))


def report_check(
    context: CallContext,
    ref: AnyVersionRef,
    name: str,
    *,
    outcome: CheckOutcome,
    summary: str = "",
    details_uri: str = "",
    request_id: str | None = None,
) -> Call[CheckResult]:
    """Write down what a check of a version found (`pickle-scan`, `load-test`). The last result of a name counts.

    Errors: NotFound, FailedPrecondition when the version is not READY, InvalidArgument, PermissionDenied.
    """
    request = pb.ReportCheckRequest(
        request_id=request_id or new_request_id(),
        ref=version_ref_to_proto(context.version_ref(ref)),
        name=name,
        outcome=outcome_to_proto(outcome),
        summary=summary,
        details_uri=details_uri,
    )
    return change(context, context.lifecycle.ReportCheck, request, lambda response: check_from_proto(response.result))


def checks(context: CallContext, ref: AnyVersionRef, *, page_size: int = 0) -> Listing[CheckResult]:
    """What checks of a version have found, the newest first; pages are fetched as they are consumed. Errors: NotFound."""
    request = pb.ListChecksRequest(ref=version_ref_to_proto(context.version_ref(ref)), page_size=page_size)
    return Listing(context.lifecycle.ListChecks, request, lambda page: map(check_from_proto, page.results))
