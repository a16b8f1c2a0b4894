"""The part of `Registry` that keeps policies."""

from __future__ import annotations

from registrar.calls import policies as calls
from registrar.methods import Calls, listing, unary


class PolicyCalls(Calls):
    """Policies: create, read, list, revisions, update, delete, test."""

    create_policy = unary(calls.create_policy)
    policy = unary(calls.policy)
    policies = listing(calls.policies)
    policy_revisions = listing(calls.policy_revisions)
    update_policy = unary(calls.update_policy)
    delete_policy = unary(calls.delete_policy)
    test_policy = unary(calls.test_policy)
