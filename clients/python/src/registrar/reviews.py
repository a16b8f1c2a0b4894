"""The part of `Registry` that keeps what people and checks say about versions."""

from __future__ import annotations

from registrar.calls import reviews as calls
from registrar.methods import Calls, listing, unary


class ReviewCalls(Calls):
    """Comments and check results."""

    comment = unary(calls.comment)
    comments = listing(calls.comments)
    report_check = unary(calls.report_check)
    checks = listing(calls.checks)
