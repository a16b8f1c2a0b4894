"""The part of `Registry` that moves versions through their stages."""

from __future__ import annotations

from registrar.calls import lifecycle as calls
from registrar.methods import Calls, listing, unary


class LifecycleCalls(Calls):
    """Stages: promote, roll back, history."""

    promote = unary(calls.promote)
    rollback = unary(calls.rollback)
    transitions = listing(calls.transitions)
