"""The part of `Registry` that asks for approvals and decides about them."""

from __future__ import annotations

from registrar.calls import approvals as calls
from registrar.methods import Calls, listing, unary


class ApprovalCalls(Calls):
    """Approvals: request, decide, withdraw, read, list."""

    request_approval = unary(calls.request_approval)
    decide_approval = unary(calls.decide_approval)
    approve = unary(calls.approve)
    reject = unary(calls.reject)
    withdraw_approval = unary(calls.withdraw_approval)
    approval = unary(calls.approval)
    approvals = listing(calls.approvals)
