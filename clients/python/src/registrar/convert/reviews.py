"""Comments and check results, both ways."""

from __future__ import annotations

from registrar.convert.values import time_from_proto
from registrar.review_types import CheckOutcome, CheckResult, Comment
from registrar.v1 import review_pb2

_OUTCOME_TO_PROTO = {
    CheckOutcome.PASSED: review_pb2.CHECK_OUTCOME_PASSED,
    CheckOutcome.FAILED: review_pb2.CHECK_OUTCOME_FAILED,
}
_OUTCOME_FROM_PROTO = {number: outcome for outcome, number in _OUTCOME_TO_PROTO.items()}


def outcome_to_proto(outcome: CheckOutcome) -> review_pb2.CheckOutcome.ValueType:
    """The outcome's number in the contract."""
    return _OUTCOME_TO_PROTO[outcome]


def comment_from_proto(message: review_pb2.Comment) -> Comment:
    """A comment."""
    return Comment(
        id=message.id,
        version=message.version,
        text=message.text,
        author=message.author,
        create_time=time_from_proto(message.create_time),
        reply_to=message.reply_to,
        event_sequence=message.event_sequence,
    )


def check_from_proto(message: review_pb2.CheckResult) -> CheckResult:
    """What a check found; an outcome that this client does not know counts as a failure."""
    return CheckResult(
        version=message.version,
        name=message.name,
        outcome=_OUTCOME_FROM_PROTO.get(message.outcome, CheckOutcome.FAILED),
        summary=message.summary,
        details_uri=message.details_uri,
        reported_by=message.reported_by,
        report_time=time_from_proto(message.report_time),
        manifest_digest=message.manifest_digest,
        event_sequence=message.event_sequence,
    )
