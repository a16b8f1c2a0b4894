"""Comments and check results."""

from __future__ import annotations

from registrar.v1 import review_pb2 as pb
from registrar_server.domain.reviews import CheckOutcome, CheckResult, Comment
from registrar_server.domain.validation import Checker
from registrar_server.transport.convert.values import time_to_proto

_OUTCOMES = {CheckOutcome.PASSED: pb.CHECK_OUTCOME_PASSED, CheckOutcome.FAILED: pb.CHECK_OUTCOME_FAILED}
_OUTCOMES_BACK = {message: outcome for outcome, message in _OUTCOMES.items()}


def outcome_from_proto(check: Checker, field: str, message: pb.CheckOutcome.ValueType) -> CheckOutcome:
    """What a check found."""
    outcome = _OUTCOMES_BACK.get(message)
    if outcome is None:
        check.fail(field, "must be CHECK_OUTCOME_PASSED or CHECK_OUTCOME_FAILED")
        return CheckOutcome.FAILED
    return outcome


def comment_to_proto(comment: Comment) -> pb.Comment:
    """What somebody said."""
    return pb.Comment(
        id=comment.id,
        version=comment.number,
        text=comment.text,
        author=comment.author,
        create_time=time_to_proto(comment.time),
        reply_to=comment.reply_to,
        event_sequence=comment.sequence,
    )


def check_result_to_proto(result: CheckResult) -> pb.CheckResult:
    """What a check found."""
    return pb.CheckResult(
        version=result.number,
        name=result.name,
        outcome=_OUTCOMES[result.outcome],
        summary=result.summary,
        details_uri=result.details_uri,
        reported_by=result.reported_by,
        report_time=time_to_proto(result.time),
        manifest_digest=result.manifest_digest,
        event_sequence=result.sequence,
    )
