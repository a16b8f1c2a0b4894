"""The SDK's calls for policies, approvals, comments, checks, and moves against policies."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest

import registrar
from registrar import (
    ApprovalRule,
    ApprovalStatus,
    ApproverRequirement,
    CheckOutcome,
    Decision,
    FailedGate,
    MetricGate,
    Policy,
    PolicyRef,
    PolicyRules,
    PolicyScope,
    Precondition,
    Stage,
    aio,
)
from registrar.v1 import lifecycle_service_pb2 as pb
from registrar.v1 import model_version_pb2, policy_pb2, reference_pb2
from registrar.v1.model_version_service_pb2 import SetAliasRequest
from tests.unit.client.fake_state import EPOCH_SECONDS, Failure, State

EPOCH = datetime.fromtimestamp(EPOCH_SECONDS, UTC)
SCOPE = PolicyScope(model_patterns=("churn-*",), target_stages=(Stage.PRODUCTION,))
RULES = PolicyRules(
    approval=ApprovalRule((ApproverRequirement("risk-officer"),), valid_for=timedelta(days=30)),
    metric_gates=(MetricGate("f1", min=0.85),),
)
GATE = FailedGate(
    "METRIC", PolicyRef("acme", "gate", 2, "sha256:ab"), "metrics/f1", "f1 is 0.8; at least 0.85 is demanded"
)


@pytest.fixture
def failing(state: State) -> FailedGate:
    """Every version fails this gate."""
    ref = policy_pb2.PolicyRef(tenant="acme", name="gate", revision=2, digest="sha256:ab")
    state.failed_gates.append(
        policy_pb2.FailedGate(type=GATE.type, policy=ref, subject=GATE.subject, description=GATE.description)
    )
    return GATE


@pytest.fixture
def churn(registry: registrar.Registry) -> registrar.ModelVersion:
    """The only version of the model."""
    return registry.register("churn", run_artifact="runs:/1/model")


def test_a_policy_comes_back_as_it_was_written(registry: registrar.Registry) -> None:
    made = registry.create_policy("gate", scope=SCOPE, rules=RULES, description="for customers")
    assert (made.name, made.description, made.scope, made.rules) == ("gate", "for customers", SCOPE, RULES)
    assert (made.tenant, made.revision, made.updated_by, made.create_time) == ("default", 1, "local", EPOCH)
    assert made.delete_time is None
    assert registry.policy("gate") == made
    assert registry.event_sequence == 1


def test_an_update_replaces_what_is_named_only(registry: registrar.Registry, state: State) -> None:
    made = registry.create_policy("gate", scope=SCOPE, rules=RULES, description="old")
    changed = registry.update_policy("gate", description="", etag=made.etag)
    assert (changed.revision, changed.description, changed.rules) == (2, "", RULES)
    (request,) = state.seen(pb.UpdatePolicyRequest)
    assert (request.HasField("description"), request.HasField("scope"), request.HasField("rules")) == (
        True,
        False,
        False,
    )
    with pytest.raises(registrar.Aborted):
        registry.update_policy("gate", rules=PolicyRules(), etag=made.etag)
    assert registry.update_policy("gate", rules=PolicyRules()).rules == PolicyRules()
    assert [one.revision for one in registry.policy_revisions("gate")] == [3, 2, 1]
    assert registry.policy("gate", revision=1).description == "old"


def test_a_policy_that_is_only_checked_is_not_there(registry: registrar.Registry, state: State) -> None:
    assert registry.create_policy("gate", scope=SCOPE, rules=RULES, validate_only=True).name == "gate"
    assert list(registry.policies()) == []
    registry.create_policy("gate", scope=SCOPE, rules=RULES)
    registry.update_policy("gate", description="new", validate_only=True)
    assert registry.policy("gate").revision == 1
    assert [request.request_id for request in state.seen(pb.UpdatePolicyRequest)] == [""]


def test_a_deleted_policy_is_listed_when_asked_for(registry: registrar.Registry) -> None:
    for name in ("a", "b", "c"):
        registry.create_policy(name, scope=SCOPE, rules=RULES)
    assert registry.delete_policy("b").delete_time == EPOCH
    assert [policy.name for policy in registry.policies()] == ["a", "c"]
    assert [policy.name for policy in registry.policies(show_deleted=True)] == ["a", "b", "c"]
    with pytest.raises(registrar.NotFound) as caught:
        registry.policy("b")
    assert caught.value.reason == "POLICY_NOT_FOUND"


def test_the_tenant_of_a_policy_is_the_connections_unless_named(target: str, state: State) -> None:
    with registrar.connect(target, tenant="acme") as registry:
        registry.create_policy("gate", scope=SCOPE, rules=RULES)
        registry.create_policy("everywhere", scope=SCOPE, rules=RULES, tenant=registrar.EVERYWHERE)
        list(registry.policies(model="globex/churn"))
    assert [request.tenant for request in state.seen(pb.CreatePolicyRequest)] == ["acme", "*"]
    (listed,) = state.seen(pb.ListPoliciesRequest)
    assert (listed.tenant, listed.model) == ("globex", "churn")


@pytest.mark.usefixtures("churn")
def test_a_policy_is_tried_by_its_name_or_as_a_draft(
    registry: registrar.Registry, state: State, failing: FailedGate
) -> None:
    tried = registry.test_policy("gate", model="churn", versions=[1])
    (trial,) = tried.trials
    assert (trial.model, trial.version, trial.stage, trial.alias_pattern) == ("churn", 1, Stage.PRODUCTION, "")
    assert (trial.is_covered, trial.failed_gates, trial.passes) == (True, (failing,), False)
    assert (trial.compared_with, trial.was_there, tried.is_truncated) == (None, True, True)
    registry.test_policy(Policy("draft", SCOPE, RULES), newest=3)
    by_name, draft = state.seen(pb.TestPolicyRequest)
    assert (by_name.name, by_name.model, list(by_name.versions), by_name.newest) == ("gate", "churn", [1], 0)
    assert (draft.WhichOneof("subject"), draft.draft.rules.metric_gates[0].min, draft.newest) == ("draft", 0.85, 3)
    with pytest.raises(registrar.InvalidArgument, match="name the model"):
        registry.test_policy("gate", versions=[1])


def test_an_approval_is_asked_for_and_given(
    registry: registrar.Registry, state: State, churn: registrar.ModelVersion, failing: FailedGate
) -> None:
    asked = registry.request_approval(churn, to=Stage.PRODUCTION, comment="better")
    approval = asked.approval
    assert asked.failed_gates == (failing,)
    assert (approval.target, approval.stage, approval.alias) == ("production", Stage.PRODUCTION, "")
    assert (approval.status, approval.awaiting) == (ApprovalStatus.PENDING, (ApproverRequirement("risk-officer"),))
    assert (approval.version_uid, approval.requested_by, approval.request_time) == (churn.uid, "local", EPOCH)
    assert (approval.expire_time, approval.used_event_sequence, approval.void_reason) == (None, None, "")
    given = registry.approve(approval.model_ref, approval.id, role="risk-officer", notes="fine")
    assert (given.status, given.awaiting) == (ApprovalStatus.APPROVED, ())
    (decision,) = given.decisions
    assert (decision.decision, decision.approver_role, decision.notes) == (Decision.APPROVE, "risk-officer", "fine")
    assert (decision.approver, decision.method, decision.decide_time) == ("user:risk@example.com", "oidc", EPOCH)
    assert registry.approval("churn", approval.id) == given
    (request,) = state.seen(pb.DecideApprovalRequest)
    assert (request.model.tenant, request.model.name) == ("default", "churn")


@pytest.mark.usefixtures("churn")
def test_an_approval_for_an_alias_is_rejected_and_another_withdrawn(registry: registrar.Registry) -> None:
    first = registry.request_approval("churn/1", alias="champion").approval
    assert (first.stage, first.alias, first.target) == (None, "champion", "@champion")
    rejected = registry.reject("churn", first.id, role="risk-officer", notes="no")
    assert (rejected.status, rejected.decisions[0].decision) == (ApprovalStatus.REJECTED, Decision.REJECT)
    second = registry.request_approval("churn/1", to=Stage.STAGING).approval
    assert registry.withdraw_approval("churn", second.id, comment="too early").status is ApprovalStatus.WITHDRAWN
    third = registry.request_approval("churn/1", to=Stage.STAGING).approval
    assert [one.id for one in registry.approvals()] == [third.id, second.id, first.id]
    assert [one.id for one in registry.approvals("churn", version=1, open_only=True)] == [third.id]
    assert list(registry.approvals(awaiting_role="ml-lead")) == []


@pytest.mark.parametrize("where", [{}, {"to": Stage.STAGING, "alias": "champion"}], ids=["none", "two"])
def test_an_approval_is_for_one_target(registry: registrar.Registry, where: dict[str, object]) -> None:
    with pytest.raises(registrar.InvalidArgument, match="either `to` or `alias`"):
        registry.request_approval("churn/1", **where)  # type: ignore[arg-type]


@pytest.mark.usefixtures("churn")
def test_a_status_of_a_later_contract_never_counts_as_approved(registry: registrar.Registry, state: State) -> None:
    asked = registry.request_approval("churn/1", to=Stage.STAGING).approval
    state.approvals[0].status = model_version_pb2.ApprovalStatus.ValueType(99)
    state.approvals[0].void_reason = "the model card has revision 3"
    found = registry.approval("churn", asked.id)
    assert (found.status, found.void_reason) == (ApprovalStatus.VOID, "the model card has revision 3")


def test_a_version_tells_of_its_latest_approval(registry: registrar.Registry, state: State) -> None:
    registry.register("churn", run_artifact="runs:/1/model")
    assert registry.get("churn/1").approval is None
    summary = state.versions["churn"][0].approval
    summary.status = model_version_pb2.APPROVAL_STATUS_USED
    summary.approved_by.append("user:risk@example.com")
    summary.approval_id = "ab"
    found = registry.get("churn/1").approval
    assert found is not None
    assert (found.status, found.approved_by, found.approval_id) == (
        ApprovalStatus.USED,
        ("user:risk@example.com",),
        "ab",
    )


@pytest.mark.usefixtures("churn")
def test_comments_and_checks_are_listed_the_newest_first(registry: registrar.Registry, state: State) -> None:
    first = registry.comment("churn/1", "why the drop in eu?")
    answer = registry.comment("churn/1", "fewer samples", reply_to=first.id)
    assert (answer.version, answer.author, answer.reply_to, answer.create_time) == (1, "local", first.id, EPOCH)
    start = EPOCH - timedelta(days=1)
    assert list(registry.comments("churn", version=1, start_time=start, end_time=EPOCH)) == [answer, first]
    (listed,) = state.seen(pb.ListCommentsRequest)
    assert (listed.start_time.seconds, listed.end_time.seconds) == (EPOCH_SECONDS - 86_400, EPOCH_SECONDS)
    failed = registry.report_check("churn/1", "pickle-scan", outcome=CheckOutcome.FAILED, summary="os.system")
    passed = registry.report_check(
        "churn/1", "pickle-scan", outcome=CheckOutcome.PASSED, details_uri="https://a.example"
    )
    assert list(registry.checks("churn/1")) == [passed, failed]
    assert (passed.name, passed.outcome, passed.details_uri) == (
        "pickle-scan",
        CheckOutcome.PASSED,
        "https://a.example",
    )


@pytest.mark.usefixtures("churn")
def test_a_refused_move_names_every_gate(registry: registrar.Registry, failing: FailedGate) -> None:
    with pytest.raises(registrar.FailedPrecondition) as caught:
        registry.promote("churn/1", to=Stage.PRODUCTION)
    assert (caught.value.reason, caught.value.metadata["policies"]) == ("POLICY_NOT_MET", "gate")
    assert caught.value.preconditions == (Precondition("METRIC", "gate/metrics/f1", failing.description),)
    with pytest.raises(registrar.FailedPrecondition):
        registry.set_alias("churn", "champion", 1, validate_only=True)


@pytest.mark.usefixtures("churn")
def test_break_glass_moves_and_says_what_it_overrode(
    registry: registrar.Registry, state: State, failing: FailedGate
) -> None:
    promotion = registry.promote("churn/1", to=Stage.PRODUCTION, comment="outage", break_glass=True)
    assert (promotion.version.stage, promotion.overridden_gates) == (Stage.PRODUCTION, (failing,))
    assert next(registry.transitions("churn")).is_break_glass
    pointing = registry.set_alias("churn", "champion", 1, comment="outage", break_glass=True)
    assert (pointing.version.aliases, pointing.previous_version) == (("champion",), None)
    assert pointing.overridden_gates == (failing,)
    assert registry.event_sequence == pointing.event_sequence
    with pytest.raises(registrar.FailedPrecondition):
        registry.rollback("churn", comment="outage", break_glass=True)
    assert state.seen(pb.RollbackRequest)[0].break_glass
    assert state.seen(SetAliasRequest)[0].break_glass


def test_an_alias_that_is_only_checked_stays(registry: registrar.Registry, churn: registrar.ModelVersion) -> None:
    registry.set_alias("churn", "champion", churn, validate_only=True)
    assert registry.get("churn/1").aliases == ()
    assert registry.set_alias("churn", "champion", churn).previous_version is None
    assert registry.set_alias("churn", "champion", churn).previous_version == 1


CHANGES = {
    "CreatePolicy": lambda registry: registry.create_policy("gate", scope=SCOPE, rules=RULES),
    "RequestApproval": lambda registry: registry.request_approval("churn/1", to=Stage.STAGING),
    "CreateComment": lambda registry: registry.comment("churn/1", "hello"),
    "ReportCheck": lambda registry: registry.report_check("churn/1", "scan", outcome=CheckOutcome.PASSED),
}


@pytest.mark.usefixtures("churn")
@pytest.mark.parametrize("method", CHANGES)
def test_a_change_whose_answer_was_lost_is_not_made_twice(
    registry: registrar.Registry, state: State, method: str
) -> None:
    state.fail_next(method, Failure(grpc.StatusCode.UNAVAILABLE, is_late=True))
    CHANGES[method](registry)
    first, second = (one for one in state.requests if type(one).__name__ == f"{method}Request")
    assert first == second
    made = (*state.policies, *state.approvals, *state.comments, *state.checks)
    assert len(made) == 1


def test_an_event_loop_has_the_same(target: str, state: State) -> None:
    state.awaiting[:] = [policy_pb2.ApproverRequirement(role="ml-lead"), policy_pb2.ApproverRequirement(role="risk")]

    async def calls() -> list[str]:
        async with aio.connect(target) as registry:
            await registry.register("churn", run_artifact="runs:/1/model")
            await registry.create_policy("gate", scope=SCOPE, rules=RULES)
            asked = await registry.request_approval("churn/1", to=Stage.PRODUCTION)
            half = await registry.approve("churn", asked.approval.id, role="ml-lead")
            whole = await registry.approve("churn", asked.approval.id, role="risk")
            await registry.comment("churn/1", "go")
            await registry.report_check("churn/1", "scan", outcome=CheckOutcome.PASSED)
            return [
                half.status,
                whole.status,
                *[policy.name async for policy in registry.policies()],
                *[said.text async for said in registry.comments("churn")],
                *[result.name async for result in registry.checks("churn/1")],
                *[str(len(trial.failed_gates)) for trial in (await registry.test_policy("gate")).trials],
            ]

    assert asyncio.run(calls()) == ["pending", "approved", "gate", "go", "scan", "0"]
    assert state.approvals[0].stage == reference_pb2.STAGE_PRODUCTION
