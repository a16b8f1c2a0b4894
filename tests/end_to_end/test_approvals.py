"""Approvals over the wire: several people, each with rights of their own, and a move that waits for them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from registrar.v1 import access_pb2, approval_pb2, policy_pb2, reference_pb2
from registrar.v1 import admin_service_pb2 as admin_pb
from registrar.v1 import lifecycle_service_pb2 as pb
from registrar.v1 import model_version_pb2 as versions_pb
from registrar.v1.model_version_service_pb2 import SetAliasRequest
from tests.end_to_end.api import CALL_SECONDS, CODE, Api, by_number, model_ref, refused, violated
from tests.fixtures.guarded import GuardedServer

STAGING, PRODUCTION = reference_pb2.STAGE_STAGING, reference_pb2.STAGE_PRODUCTION
PENDING, APPROVED = versions_pb.APPROVAL_STATUS_PENDING, versions_pb.APPROVAL_STATUS_APPROVED
VOID, WITHDRAWN = versions_pb.APPROVAL_STATUS_VOID, versions_pb.APPROVAL_STATUS_WITHDRAWN
APPROVE, REJECT = approval_pb2.DECISION_APPROVE, approval_pb2.DECISION_REJECT


@dataclass(frozen=True)
class Person:
    """Somebody with rights of its own."""

    name: str
    api: Api

    @property
    def actor(self) -> str:
        return f"service:{self.name}"

    def request(self, model: str, version: int = 1, **fields: Any) -> pb.RequestApprovalResponse:
        target = {} if "alias" in fields else {"stage": PRODUCTION}
        request = pb.RequestApprovalRequest(ref=by_number(model, version), **{**target, **fields})
        return self.api.lifecycle.RequestApproval(request, timeout=CALL_SECONDS)

    def decide(
        self,
        model: str,
        approval_id: str,
        role: str,
        decision: approval_pb2.Decision.ValueType = APPROVE,
        **fields: Any,
    ) -> pb.DecideApprovalResponse:
        request = pb.DecideApprovalRequest(
            model=model_ref(model),
            approval_id=approval_id,
            approver_role=role,
            decision=decision,
            **{"notes": "looked at it", **fields},
        )
        return self.api.lifecycle.DecideApproval(request, timeout=CALL_SECONDS)

    def withdraw(self, model: str, approval_id: str, **fields: Any) -> pb.WithdrawApprovalResponse:
        request = pb.WithdrawApprovalRequest(model=model_ref(model), approval_id=approval_id, **fields)
        return self.api.lifecycle.WithdrawApproval(request, timeout=CALL_SECONDS)

    def get(self, model: str, approval_id: str) -> approval_pb2.Approval:
        request = pb.GetApprovalRequest(model=model_ref(model), approval_id=approval_id)
        return self.api.lifecycle.GetApproval(request, timeout=CALL_SECONDS).approval

    def list(self, **fields: Any) -> pb.ListApprovalsResponse:
        return self.api.lifecycle.ListApprovals(pb.ListApprovalsRequest(**fields), timeout=CALL_SECONDS)


class Team:
    """Who works on the models of tenant acme."""

    def __init__(self, guarded: GuardedServer, stack: ExitStack) -> None:
        self._guarded, self._stack = guarded, stack
        self.admin = self.join("administrator")
        self.data = self.join("contributor")
        self.ops = self.join("release-engineer")
        self.reader = self.join("reader")
        self.risk, self.other_risk = self.approver("risk"), self.approver("risk")
        self.legal = self.approver("legal")

    def join(self, role: str, models: str = "*") -> Person:
        token = self._guarded.create_token("acme", role, models)
        channel = self._stack.enter_context(self._guarded.channel(token.secret))
        return Person(token.token.name, Api(channel))

    def approver(self, approver_role: str) -> Person:
        name = f"{approver_role}-{secrets.token_hex(4)}"
        grants = [
            access_pb2.Grant(right=access_pb2.RIGHT_READ),
            access_pb2.Grant(right=access_pb2.RIGHT_APPROVE, approver_roles=[approver_role]),
        ]
        request = admin_pb.CreateRoleRequest(tenant="acme", name=name, grants=grants)
        self.admin.api.admin.CreateRole(request, timeout=CALL_SECONDS)
        return self.join(name)

    def policy(self, model: str, name: str = "", *roles: str, **fields: Any) -> policy_pb2.Policy:
        """A policy for a model's way to production and for its alias champion."""
        approvers = [policy_pb2.ApproverRequirement(role=role) for role in roles]
        rules = policy_pb2.PolicyRules(approval=policy_pb2.ApprovalRule(approvers=approvers, **fields))
        scope = policy_pb2.PolicyScope(model_patterns=[model], target_stages=[PRODUCTION], alias_patterns=["champion"])
        wanted = pb.CreatePolicyRequest(name=name or f"gate-{secrets.token_hex(4)}", scope=scope, rules=rules)
        return self.admin.api.lifecycle.CreatePolicy(wanted, timeout=CALL_SECONDS).policy


@pytest.fixture(scope="module")
def team(guarded: GuardedServer) -> Iterator[Team]:
    with ExitStack() as stack:
        yield Team(guarded, stack)


@pytest.fixture
def model(team: Team) -> str:
    """A model with a version, registered by data."""
    name = f"credit-{secrets.token_hex(4)}"
    team.data.api.register(name)
    return name


def promote(who: Person, model: str, **fields: Any) -> pb.TransitionStageResponse:
    return who.api.move(model, 1, PRODUCTION, **fields)


class TestOneRelease:
    def test_it_waits_for_all_who_are_asked_and_uses_their_word_once(self, team: Team, model: str) -> None:
        policy = team.policy(model, "", "risk", "legal", requires_four_eyes=True)
        waiting = refused(lambda: promote(team.ops, model), CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")
        assert waiting.preconditions == ("APPROVAL", "APPROVAL")
        asked = team.ops.request(model, comment="for the spring campaign")
        approval = asked.approval
        assert (approval.status, approval.requested_by, approval.stage) == (PENDING, team.ops.actor, PRODUCTION)
        assert [ref.digest for ref in approval.policies] == [policy.digest]
        assert [one.role for one in approval.awaiting] == ["risk", "legal"]
        assert asked.event_sequence > 0
        team.risk.decide(model, approval.id, "risk")
        refused(lambda: promote(team.ops, model), CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")
        last = team.legal.decide(model, approval.id, "legal", notes="fine by us").approval
        assert (last.status, len(last.awaiting)) == (APPROVED, 0)
        moved = promote(team.ops, model)
        used = team.reader.get(model, approval.id)
        assert (used.status, used.used_event_sequence) == (versions_pb.APPROVAL_STATUS_USED, moved.event_sequence)
        assert [(one.approver, one.approver_role, one.method) for one in used.decisions] == [
            (team.risk.actor, "risk", "token"),
            (team.legal.actor, "legal", "token"),
        ]
        for shown in (moved.model_version.approval, team.reader.api.get(by_number(model, 1)).approval):
            assert (shown.approval_id, shown.status) == (approval.id, versions_pb.APPROVAL_STATUS_USED)
            assert list(shown.approved_by) == [team.risk.actor, team.legal.actor]
            assert shown.notes == "fine by us"

    def test_an_alias_has_approvals_of_its_own(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk")
        point = SetAliasRequest(ref=by_number(model, 1), alias="champion")
        refused(lambda: team.ops.api.versions.SetAlias(point), CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")
        approval = team.data.request(model, alias="champion").approval
        assert approval.alias == "champion"
        team.risk.decide(model, approval.id, "risk")
        refused(lambda: promote(team.ops, model), CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")
        team.ops.api.versions.SetAlias(point, timeout=CALL_SECONDS)

    def test_the_registry_approves_low_risk_by_itself(self, team: Team, model: str) -> None:
        team.policy(model, "", is_automatic=True)
        approval = team.ops.request(model).approval
        assert (approval.status, [one.approver for one in approval.decisions]) == (APPROVED, ["registrar"])
        promote(team.ops, model)

    def test_what_was_not_asked_for_is_not_asked(self, team: Team, model: str) -> None:
        refused(lambda: team.ops.request(model), CODE.FAILED_PRECONDITION, "APPROVAL_NOT_REQUIRED")


class TestWhoMay:
    def test_the_author_and_who_asks_are_no_second_pair_of_eyes(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk", requires_four_eyes=True)
        approval = team.admin.request(model).approval
        refused(lambda: team.admin.decide(model, approval.id, "risk"), CODE.PERMISSION_DENIED, "FOUR_EYES")
        team.risk.decide(model, approval.id, "risk")

    def test_the_admin_s_own_version_waits_for_somebody_else(self, team: Team, model: str) -> None:
        team.admin.api.register(model)
        team.policy(model, "", "risk", requires_four_eyes=True)
        approval = team.ops.request(model, 2).approval
        refused(lambda: team.admin.decide(model, approval.id, "risk"), CODE.PERMISSION_DENIED, "FOUR_EYES")

    def test_a_token_does_not_count_where_people_are_wanted(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk", people_only=True)
        approval = team.ops.request(model).approval
        refused(lambda: team.risk.decide(model, approval.id, "risk"), CODE.PERMISSION_DENIED, "PEOPLE_ONLY")

    def test_one_decides_in_roles_that_one_has(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk", "legal")
        approval = team.ops.request(model).approval
        missing = refused(
            lambda: team.risk.decide(model, approval.id, "legal"), CODE.PERMISSION_DENIED, "PERMISSION_DENIED"
        )
        assert (missing.metadata["right"], missing.metadata["approver_role"]) == ("approve", "legal")
        wrong = violated(lambda: team.admin.decide(model, approval.id, "ops"))
        assert wrong == {"approver_role": "must be one of those that are asked: risk, legal"}

    def test_one_counts_once_and_a_role_too(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk", "legal")
        approval = team.ops.request(model).approval
        team.admin.decide(model, approval.id, "risk")
        refused(lambda: team.admin.decide(model, approval.id, "legal"), CODE.PERMISSION_DENIED, "DECIDED_BEFORE")
        closed = refused(
            lambda: team.risk.decide(model, approval.id, "risk"), CODE.FAILED_PRECONDITION, "APPROVAL_CLOSED"
        )
        assert closed.metadata == {"approval_id": approval.id, "status": "PENDING"}

    def test_an_order_is_kept(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk", "legal", is_ordered=True)
        approval = team.ops.request(model).approval
        early = refused(
            lambda: team.legal.decide(model, approval.id, "legal"), CODE.FAILED_PRECONDITION, "APPROVAL_OUT_OF_ORDER"
        )
        assert early.metadata["awaiting"] == "risk"

    def test_to_ask_needs_a_right_beyond_reading(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk")
        missing = refused(lambda: team.reader.request(model), CODE.PERMISSION_DENIED, "PERMISSION_DENIED")
        assert missing.metadata["right"] == "register,promote"

    def test_to_withdraw_is_for_who_asked_and_for_administrators(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk")
        approval = team.ops.request(model).approval
        missing = refused(lambda: team.risk.withdraw(model, approval.id), CODE.PERMISSION_DENIED, "PERMISSION_DENIED")
        assert missing.metadata["right"] == "administer"
        assert team.ops.withdraw(model, approval.id).approval.status == WITHDRAWN
        refused(lambda: team.ops.withdraw(model, approval.id), CODE.FAILED_PRECONDITION, "APPROVAL_CLOSED")
        again = team.ops.request(model).approval
        assert team.admin.withdraw(model, again.id).approval.status == WITHDRAWN


class TestEnds:
    def test_a_rejection_says_why_and_ends_it(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk", "legal")
        approval = team.ops.request(model).approval
        assert "notes" in violated(lambda: team.risk.decide(model, approval.id, "risk", REJECT, notes=""))
        rejected = team.risk.decide(model, approval.id, "risk", REJECT, notes="the eu slice").approval
        assert rejected.status == versions_pb.APPROVAL_STATUS_REJECTED
        closed = refused(
            lambda: team.legal.decide(model, approval.id, "legal"), CODE.FAILED_PRECONDITION, "APPROVAL_CLOSED"
        )
        assert closed.metadata["status"] == "REJECTED"
        assert team.ops.request(model).approval.status == PENDING

    def test_a_word_can_be_taken_back_while_it_is_unused(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk")
        approval = team.ops.request(model).approval
        team.risk.decide(model, approval.id, "risk")
        team.risk.decide(model, approval.id, "risk", REJECT)
        refused(lambda: promote(team.ops, model), CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")

    def test_a_policy_that_is_added_voids_it_and_the_move_says_so(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk")
        approval = team.ops.request(model).approval
        team.risk.decide(model, approval.id, "risk")
        added = team.policy(model, "", "legal")
        void = team.reader.get(model, approval.id)
        assert (void.status, void.void_reason) == (VOID, f"a policy was added: {added.name}")
        waiting = refused(lambda: promote(team.ops, model), CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")
        assert f"approval {approval.id} is VOID: a policy was added" in waiting.message
        assert team.ops.request(model).approval.id != approval.id

    def test_a_request_once_made_is_not_made_again(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk")
        approval = team.ops.request(model).approval
        again = refused(lambda: team.data.request(model), CODE.ALREADY_EXISTS, "APPROVAL_EXISTS")
        assert again.metadata["approval_id"] == approval.id

    def test_of_many_approvers_at_once_one_is_needed(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk")
        approval = team.ops.request(model).approval
        people = [team.risk, team.other_risk, team.admin]
        with ThreadPoolExecutor(3) as pool:
            sent = [pool.submit(person.decide, model, approval.id, "risk") for person in people]
        assert sum(one.exception() is None for one in sent) == 1
        assert len(team.reader.get(model, approval.id).decisions) == 1


class TestCalls:
    def test_a_repetition_is_answered_as_the_first_was(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk")
        key: dict[str, Any] = {"request_id": secrets.token_hex(8)}
        asked = team.ops.request(model, **key)
        assert team.ops.request(model, **key) == asked
        refused(lambda: team.ops.request(model, comment="x", **key), CODE.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
        done = team.risk.decide(model, asked.approval.id, "risk", **key)
        assert team.risk.decide(model, asked.approval.id, "risk", **key) == done
        gone = team.ops.withdraw(model, asked.approval.id, **key)
        assert team.ops.withdraw(model, asked.approval.id, **key) == gone
        refused(
            lambda: team.ops.withdraw(model, asked.approval.id, comment="x", **key),
            CODE.INVALID_ARGUMENT,
            "REQUEST_ID_REUSED",
        )

    def test_what_is_not_there_is_not_found(self, team: Team, model: str) -> None:
        absent = "0" * 32
        for call in (
            lambda: team.ops.get(model, absent),
            lambda: team.ops.withdraw(model, absent),
            lambda: team.risk.decide(model, absent, "risk"),
        ):
            assert refused(call, CODE.NOT_FOUND, "APPROVAL_NOT_FOUND").metadata == {"approval_id": absent}
        refused(lambda: team.ops.request("no-such-model"), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
        refused(lambda: team.ops.request(model, 7), CODE.NOT_FOUND, "VERSION_NOT_FOUND")
        team.policy(model, "", "risk")
        approval = team.ops.request(model).approval
        other = f"other-{secrets.token_hex(4)}"
        team.data.api.register(other)
        refused(lambda: team.ops.get(other, approval.id), CODE.NOT_FOUND, "APPROVAL_NOT_FOUND")

    def test_wrong_fields_are_named_all_at_once(self, team: Team, model: str) -> None:
        long = "x" * 5_001
        request = pb.RequestApprovalRequest(ref=by_number(model, 0), comment=long, request_id="\n")
        assert set(violated(lambda: team.ops.api.lifecycle.RequestApproval(request))) == {
            "ref.version",
            "target",
            "comment",
            "request_id",
        }
        decision = approval_pb2.DECISION_UNSPECIFIED
        assert set(violated(lambda: team.admin.decide(model, "x", "", decision, notes=long))) == {
            "approval_id",
            "approver_role",
            "decision",
            "notes",
        }
        assert set(violated(lambda: team.ops.withdraw(model, "", comment=long))) == {"approval_id", "comment"}
        assert set(violated(lambda: team.ops.get(model, "A" * 32))) == {"approval_id"}
        assert set(violated(lambda: team.ops.list(version=1, awaiting_role="Risk"))) == {"version", "awaiting_role"}
        assert "alias" in violated(lambda: team.ops.request(model, alias="production"))

    def test_lists_hold_what_may_be_read_page_by_page(self, team: Team, model: str) -> None:
        team.policy(model, "", "risk")
        team.data.api.register(model)
        ids = [team.ops.request(model, number).approval.id for number in (1, 2)]
        first = team.reader.list(model=model, page_size=1)
        second = team.reader.list(model=model, page_size=1, page_token=first.next_page_token)
        assert [one.id for page in (first, second) for one in page.approvals] == ids[::-1]
        assert not second.next_page_token
        found = team.reader.list(model=model, version=1, awaiting_role="risk", open_only=True)
        assert [one.id for one in found.approvals] == ids[:1]
        team.risk.decide(model, ids[0], "risk", REJECT)
        assert [one.id for one in team.reader.list(model=model, open_only=True).approvals] == ids[1:]
        narrow = team.join("reader", models=f"{model}-else")
        assert not narrow.list(model=model).approvals
        reused = refused(
            lambda: team.reader.list(page_token=first.next_page_token), CODE.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"
        )
        assert not reused.violations
