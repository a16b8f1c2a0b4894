"""What somebody tries who wants a version to go where policies do not let it, or the registry to fall over its rules."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import grpc
import pytest

from registrar.v1 import card_pb2, model_card_service_pb2, policy_pb2, reference_pb2
from registrar.v1 import lifecycle_service_pb2 as pb
from registrar.v1 import model_version_pb2 as versions_pb
from registrar.v1.model_version_service_pb2 import SetAliasRequest
from tests.end_to_end.api import CALL_SECONDS, CODE, Api, by_number, model_ref, refusal_of, refused, violated
from tests.fixtures.guarded import GuardedServer

STAGING, PRODUCTION = reference_pb2.STAGE_STAGING, reference_pb2.STAGE_PRODUCTION
APPROVED, USED = versions_pb.APPROVAL_STATUS_APPROVED, versions_pb.APPROVAL_STATUS_USED
APPROVE, REJECT = 1, 2


class Siege:
    """A tenant under policy, and who attacks it from within."""

    def __init__(self, guarded: GuardedServer, stack: ExitStack) -> None:
        def join(role: str) -> Api:
            return Api(stack.enter_context(guarded.channel(guarded.secret("acme", role))))

        self.admin, self.author, self.approver = join("administrator"), join("contributor"), join("approver")
        self.promoter, self.glass = join("release-engineer"), join("break-glass")

    def model(self, rules: policy_pb2.PolicyRules | None = None, versions: int = 1) -> str:
        """A model whose versions are in staging, but for all but the first one; under a policy, if rules are given."""
        name = f"besieged-{secrets.token_hex(4)}"
        for _ in range(versions):
            self.author.register(name)
        self.promoter.move(name, 1, STAGING)
        if rules is not None:
            self.policy(name, rules)
        return name

    def policy(self, model: str, rules: policy_pb2.PolicyRules) -> policy_pb2.Policy:
        scope = policy_pb2.PolicyScope(
            model_patterns=[model], target_stages=[PRODUCTION], alias_patterns=["champion", "blue"]
        )
        request = pb.CreatePolicyRequest(name=f"gate-{secrets.token_hex(4)}", scope=scope, rules=rules)
        return self.admin.lifecycle.CreatePolicy(request, timeout=CALL_SECONDS).policy

    def ask(self, model: str, **target: Any) -> str:
        request = pb.RequestApprovalRequest(ref=by_number(model, 1), **(target or {"stage": PRODUCTION}))
        return self.author.lifecycle.RequestApproval(request, timeout=CALL_SECONDS).approval.id

    def decide(self, model: str, approval_id: str, decision: Any = APPROVE, notes: str = "seen") -> None:
        request = pb.DecideApprovalRequest(
            model=model_ref(model), approval_id=approval_id, approver_role="risk", decision=decision, notes=notes
        )
        self.approver.lifecycle.DecideApproval(request, timeout=CALL_SECONDS)

    def approved(self, model: str, **target: Any) -> str:
        approval_id = self.ask(model, **target)
        self.decide(model, approval_id)
        return approval_id

    def status(self, model: str, approval_id: str) -> int:
        request = pb.GetApprovalRequest(model=model_ref(model), approval_id=approval_id)
        return self.admin.lifecycle.GetApproval(request, timeout=CALL_SECONDS).approval.status

    def set_alias(self, model: str, alias: str, version: int = 1) -> None:
        request = SetAliasRequest(ref=by_number(model, version), alias=alias)
        self.promoter.versions.SetAlias(request, timeout=CALL_SECONDS)

    def write_card(self, model: str) -> None:
        card = card_pb2.ModelCard(summary=secrets.token_hex(4))
        request = model_card_service_pb2.UpdateModelCardRequest(ref=by_number(model, 1), card=card)
        self.author.cards.UpdateModelCard(request, timeout=CALL_SECONDS)

    def stage(self, model: str) -> int:
        return self.admin.get(by_number(model, 1)).stage


@pytest.fixture(scope="module")
def siege(guarded: GuardedServer) -> Iterator[Siege]:
    with ExitStack() as stack:
        yield Siege(guarded, stack)


def asking() -> policy_pb2.PolicyRules:
    """Somebody must approve as risk."""
    approvers = [policy_pb2.ApproverRequirement(role="risk")]
    return policy_pb2.PolicyRules(approval=policy_pb2.ApprovalRule(approvers=approvers))


def not_met(call: Callable[[], object]) -> None:
    refused(call, CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")


def outcome(call: Callable[[], object]) -> str:
    """`done`, or the reason why not."""
    try:
        call()
    except grpc.RpcError as exc:
        return refusal_of(exc).reason
    return "done"


def test_an_approval_opens_no_other_door(siege: Siege) -> None:
    one, other = siege.model(asking(), versions=2), siege.model(asking())
    approval_id = siege.approved(one, alias="champion")
    not_met(lambda: siege.promoter.move(one, 1, PRODUCTION))
    not_met(lambda: siege.set_alias(one, "blue"))
    not_met(lambda: siege.set_alias(one, "champion", version=2))
    not_met(lambda: siege.set_alias(other, "champion"))
    refused(lambda: siege.decide(other, approval_id), CODE.NOT_FOUND, "APPROVAL_NOT_FOUND")
    assert siege.status(one, approval_id) == APPROVED
    siege.set_alias(one, "champion")
    assert siege.status(one, approval_id) == USED


def test_what_is_only_checked_uses_no_approval_and_is_remembered_for_no_request(siege: Siege) -> None:
    model = siege.model(asking())
    approval_id = siege.approved(model)
    siege.promoter.move(model, 1, PRODUCTION, validate_only=True, request_id="once")
    siege.glass.move(model, 1, PRODUCTION, validate_only=True, break_glass=True, comment="drill", request_id="once")
    assert (siege.status(model, approval_id), siege.stage(model)) == (APPROVED, STAGING)
    assert siege.promoter.move(model, 1, PRODUCTION, request_id="once").event_sequence > 0


@pytest.mark.parametrize("attack", ["card", "policy", "rejection"])
def test_what_an_approval_is_for_changes_before_the_move_or_after_it_and_never_within(
    siege: Siege, attack: str
) -> None:
    model = siege.model()
    policy = siege.policy(model, asking())
    approval_id = siege.approved(model)
    update = pb.UpdatePolicyRequest(name=policy.name, description="stricter")
    attacks: dict[str, Callable[[], object]] = {
        "card": lambda: siege.write_card(model),
        "policy": lambda: siege.admin.lifecycle.UpdatePolicy(update, timeout=CALL_SECONDS),
        "rejection": lambda: siege.decide(model, approval_id, REJECT),
    }
    with ThreadPoolExecutor(4) as pool:
        attacked = pool.submit(outcome, attacks[attack])
        moves = [pool.submit(outcome, partial(siege.promoter.move, model, 1, PRODUCTION)) for _ in range(3)]
    results = {move.result() for move in moves}
    is_moved = siege.stage(model) == PRODUCTION
    assert is_moved is (siege.status(model, approval_id) == USED)
    # Who moves it where it is already changes nothing, and is told so.
    assert results == ({"done"} if is_moved else {"POLICY_NOT_MET"})
    assert attacked.result() == ("APPROVAL_CLOSED" if attack == "rejection" and is_moved else "done")


def test_a_policy_grows_by_no_update_beyond_what_the_audit_keeps(siege: Siege) -> None:
    policy = siege.policy("none-such", asking())
    selectors = [policy_pb2.SliceSelector(dimension="d" * 250, value=str(number)) for number in range(100)]
    named = policy_pb2.SLICE_SCOPE_NAMED
    gates = [policy_pb2.MetricGate(metric="f1", slices=named, named_slices=selectors) for _ in range(3)]
    request = pb.UpdatePolicyRequest(name=policy.name, rules=policy_pb2.PolicyRules(metric_gates=gates))
    found = violated(lambda: siege.admin.lifecycle.UpdatePolicy(request, timeout=CALL_SECONDS))
    assert list(found) == ["rules"]


@pytest.mark.parametrize("reason", ["", " \t\n", "\u200b\u2060", "\u00a0\u3000", "…"], ids=ascii)
def test_nobody_breaks_the_glass_for_a_reason_that_cannot_be_read(siege: Siege, reason: str) -> None:
    model = siege.model(asking())
    siege.approved(model)
    broken = partial(siege.glass.move, model, 1, PRODUCTION, break_glass=True, comment=reason)
    assert list(violated(broken)) == ["comment"]
    assert siege.stage(model) == STAGING


def test_a_rejection_says_why(siege: Siege) -> None:
    model = siege.model(asking())
    approval_id = siege.ask(model)
    assert list(violated(lambda: siege.decide(model, approval_id, REJECT, "  \n"))) == ["notes"]


def test_a_refusal_is_read_by_every_client_whatever_metrics_are_called(siege: Siege) -> None:
    gates = [policy_pb2.MetricGate(metric="😀" * 200 + str(number)) for number in range(60)]
    model = siege.model(policy_pb2.PolicyRules(metric_gates=gates))
    # Beyond 8 KiB gRPC refuses trailers now and then.
    for _ in range(10):
        not_met(lambda: siege.promoter.move(model, 1, PRODUCTION))
