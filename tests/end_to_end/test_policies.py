"""Policies over the wire: written in revisions, obeyed by every move, broken only in an emergency that shows."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from registrar.v1 import lifecycle_service_pb2 as pb
from registrar.v1 import policy_pb2, reference_pb2, value_pb2
from registrar.v1.audit_pb2 import AUDIT_OUTCOME_DONE, AuditEvent
from registrar.v1.audit_service_pb2 import ListAuditEventsRequest
from registrar.v1.audit_service_pb2_grpc import AuditServiceStub
from registrar.v1.model_service_pb2 import GetModelRequest
from registrar.v1.model_version_service_pb2 import (
    GetModelVersionRequest,
    ListAliasHistoryRequest,
    SetAliasRequest,
    SetAliasResponse,
)
from registrar.v1.reference_pb2 import ModelVersionRef
from tests.end_to_end.api import CODE, Api, by_number, by_stage, model_ref, refused, violated
from tests.fixtures.guarded import GuardedServer

NONE, STAGING = reference_pb2.STAGE_NONE, reference_pb2.STAGE_STAGING
PRODUCTION, ARCHIVED = reference_pb2.STAGE_PRODUCTION, reference_pb2.STAGE_ARCHIVED
F1 = policy_pb2.MetricGate(metric="f1", min=0.9)
NEEDS_F1 = policy_pb2.PolicyRules(metric_gates=[F1])
Govern = Callable[..., policy_pb2.Policy]


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


@pytest.fixture
def policy_name() -> str:
    """One that no other test uses: names are never given again."""
    return f"policy-{secrets.token_hex(6)}"


@pytest.fixture
def govern(api: Api, unique_name: str) -> Govern:
    """Write a policy about the test's own model: production, unless the scope says more."""

    def made(rules: policy_pb2.PolicyRules | None = None, tenant: str = "", **scope: Any) -> policy_pb2.Policy:
        meant = {} if scope.get("alias_patterns") else {"target_stages": [PRODUCTION]}
        request = pb.CreatePolicyRequest(
            tenant=tenant,
            name=f"policy-{secrets.token_hex(6)}",
            scope=policy_pb2.PolicyScope(**{"model_patterns": [unique_name], **meant, **scope}),
            rules=rules,
        )
        return api.lifecycle.CreatePolicy(request).policy

    return made


def versions(api: Api, name: str, *f1: float, **fields: Any) -> None:
    """Versions of a model, one for each value."""
    artifact_id = api.upload(name, {"model.pkl": b"weights"}).id
    for value in f1:
        api.register(name, artifact_id=artifact_id, metrics={"f1": value}, **fields)


def set_alias(api: Api, name: str, number: int, alias: str = "champion", **fields: Any) -> SetAliasResponse:
    return api.versions.SetAlias(SetAliasRequest(ref=by_number(name, number), alias=alias, **fields))


def in_production(api: Api, name: str) -> list[int]:
    stages = {n: api.get(by_number(name, n)).stage for n in range(1, 1 + model(api, name).latest_version)}
    return [number for number, stage in stages.items() if stage == PRODUCTION]


def model(api: Api, name: str) -> Any:
    return api.models.GetModel(GetModelRequest(model=model_ref(name))).model


def audited(api: Api, **wanted: Any) -> list[AuditEvent]:
    return list(AuditServiceStub(api.channel).ListAuditEvents(ListAuditEventsRequest(page_size=100, **wanted)).events)


def transitions(api: Api, name: str) -> list[Any]:
    return list(api.lifecycle.ListTransitions(pb.ListTransitionsRequest(model=model_ref(name))).transitions)


def get(api: Api, name: str, **fields: Any) -> policy_pb2.Policy:
    return api.lifecycle.GetPolicy(pb.GetPolicyRequest(name=name, **fields)).policy


def test_a_policy_is_written_in_revisions_that_stay(api: Api, unique_name: str, policy_name: str) -> None:
    scope = policy_pb2.PolicyScope(model_patterns=[unique_name], target_stages=[PRODUCTION])
    request = pb.CreatePolicyRequest(name=policy_name, description="why", scope=scope, rules=NEEDS_F1, request_id="1")
    made = api.lifecycle.CreatePolicy(request)
    assert api.lifecycle.CreatePolicy(request) == made
    first = made.policy
    assert (first.tenant, first.revision, first.etag, first.scope, first.rules) == ("default", 1, "p1", scope, NEEDS_F1)
    assert first.digest.startswith("sha256:")
    assert get(api, policy_name) == first

    update = pb.UpdatePolicyRequest(name=policy_name, rules=policy_pb2.PolicyRules(max_holders=2), etag=first.etag)
    second = api.lifecycle.UpdatePolicy(update).policy
    assert (second.revision, second.description, second.scope) == (2, "why", scope)
    assert (second.rules.max_holders, list(second.rules.metric_gates)) == (2, [])
    assert second.digest != first.digest
    refused(partial(api.lifecycle.UpdatePolicy, update), CODE.ABORTED, "ETAG_MISMATCH")
    same = api.lifecycle.UpdatePolicy(pb.UpdatePolicyRequest(name=policy_name, scope=scope, rules=second.rules))
    assert (same.policy, same.event_sequence) == (second, 0)

    deleted = api.lifecycle.DeletePolicy(pb.DeletePolicyRequest(name=policy_name, etag="p2")).policy
    assert deleted.HasField("delete_time")
    refused(partial(get, api, policy_name), CODE.NOT_FOUND, "POLICY_NOT_FOUND")
    refused(
        partial(api.lifecycle.DeletePolicy, pb.DeletePolicyRequest(name=policy_name)),
        CODE.NOT_FOUND,
        "POLICY_NOT_FOUND",
    )
    assert get(api, policy_name, revision=1) == first
    listed = api.lifecycle.ListPolicyRevisions(pb.ListPolicyRevisionsRequest(name=policy_name))
    assert list(listed.policies) == [deleted, first]
    request.request_id = ""
    refused(partial(api.lifecycle.CreatePolicy, request), CODE.ALREADY_EXISTS, "POLICY_EXISTS")

    events = [one for one in audited(api, outcome=AUDIT_OUTCOME_DONE) if policy_name in one.before + one.after]
    assert [one.action for one in events] == ["policy.deleted", "policy.updated", "policy.created"]
    before, after = json.loads(events[1].before), json.loads(events[1].after)
    assert (before["revision"], after["revision"]) == (1, 2)
    assert before["rules"] == {"metric_gates": [{"metric": "f1", "min": 0.9}]}
    assert after["digest"] == second.digest


def test_what_is_only_validated_is_not_written(api: Api, unique_name: str, policy_name: str) -> None:
    scope = policy_pb2.PolicyScope(target_stages=[PRODUCTION], model_patterns=[unique_name])
    request = pb.CreatePolicyRequest(name=policy_name, scope=scope, validate_only=True)
    assert api.lifecycle.CreatePolicy(request).policy.revision == 1
    refused(partial(get, api, policy_name), CODE.NOT_FOUND, "POLICY_NOT_FOUND")
    request.validate_only = False
    api.lifecycle.CreatePolicy(request)
    update = pb.UpdatePolicyRequest(name=policy_name, description="new", validate_only=True)
    assert api.lifecycle.UpdatePolicy(update).policy.revision == 2
    assert get(api, policy_name).revision == 1


def test_every_wrong_field_of_a_policy_is_named_at_once(api: Api) -> None:
    gate = policy_pb2.MetricGate
    rules = policy_pb2.PolicyRules(
        approval=policy_pb2.ApprovalRule(
            approvers=[policy_pb2.ApproverRequirement(role="Risk Officer", count=21)],
            is_automatic=True,
            valid_for=Duration(seconds=-1),
        ),
        metric_gates=[
            gate(min=float("nan")),
            gate(metric="f1", min=2, max=1, max_regression=-0.1, max_slice_gap=float("inf")),
            gate(metric="f1", slices=policy_pb2.SLICE_SCOPE_NAMED),
            gate(metric="f1", named_slices=[policy_pb2.SliceSelector()]),
        ],
        required_files=["a", "a"],
        card=policy_pb2.CardRule(max_age=Duration(seconds=10**12)),
        required_provenance=[policy_pb2.PROVENANCE_FIELD_UNSPECIFIED],
        from_stages=[reference_pb2.STAGE_UNSPECIFIED],
        max_holders=101,
        checks=[policy_pb2.CheckRule(name="Pickle scan")],
    )
    scope = policy_pb2.PolicyScope(model_patterns=["*x"])
    request = pb.CreatePolicyRequest(name="Gate!", tenant="?", description="x" * 1_001, scope=scope, rules=rules)
    assert set(violated(partial(api.lifecycle.CreatePolicy, request))) == {
        "tenant",
        "name",
        "description",
        "scope.target_stages",
        "scope.model_patterns[0]",
        "rules.approval.is_automatic",
        "rules.approval.approvers[0].role",
        "rules.approval.approvers[0].count",
        "rules.approval.valid_for",
        "rules.metric_gates[0].metric",
        "rules.metric_gates[0].min",
        "rules.metric_gates[1].max",
        "rules.metric_gates[1].max_regression",
        "rules.metric_gates[1].max_slice_gap",
        "rules.metric_gates[2].named_slices",
        "rules.metric_gates[3].named_slices",
        "rules.metric_gates[3].named_slices[0].dimension",
        "rules.required_files[1]",
        "rules.card.max_age",
        "rules.required_provenance[0]",
        "rules.from_stages[0]",
        "rules.max_holders",
        "rules.checks[0].name",
    }


def test_a_policy_too_long_for_the_audit_is_refused(api: Api, policy_name: str) -> None:
    gates = [
        policy_pb2.MetricGate(metric=f"{index}-{'x' * 240}", slices=policy_pb2.SLICE_SCOPE_NAMED)
        for index in range(100)
    ]
    for gate in gates:
        gate.named_slices.extend(policy_pb2.SliceSelector(dimension="d" * 120, value=str(n)) for n in range(10))
    scope = policy_pb2.PolicyScope(target_stages=[PRODUCTION])
    rules = policy_pb2.PolicyRules(metric_gates=gates)
    request = pb.CreatePolicyRequest(name=policy_name, scope=scope, rules=rules)
    assert list(violated(partial(api.lifecycle.CreatePolicy, request))) == ["rules"]


def test_a_tenants_policies_are_listed_with_those_of_all_tenants(api: Api, govern: Govern, unique_name: str) -> None:
    own = sorted(govern().name for _ in range(3))
    shared = govern(tenant="*").name
    gone = govern().name
    api.lifecycle.DeletePolicy(pb.DeletePolicyRequest(name=gone))

    def listed(**fields: Any) -> list[str]:
        found: list[str] = []
        request = pb.ListPoliciesRequest(model=unique_name, page_size=2, **fields)
        while True:
            page = api.lifecycle.ListPolicies(request)
            # Other tests may have policies about all models.
            found += [one.name for one in page.policies if list(one.scope.model_patterns) == [unique_name]]
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    assert listed() == [*own, shared]
    assert listed(show_deleted=True) == [*sorted([*own, gone]), shared]
    assert listed(tenant="*") == [shared]
    assert get(api, shared, tenant="*").tenant == "*"
    refused(partial(get, api, shared), CODE.NOT_FOUND, "POLICY_NOT_FOUND")
    refused(
        lambda: api.lifecycle.ListPolicies(pb.ListPoliciesRequest(page_token="nonsense")),
        CODE.INVALID_ARGUMENT,
        "PAGE_TOKEN_INVALID",
    )


def test_all_failed_gates_of_all_policies_come_in_one_refusal(api: Api, govern: Govern, unique_name: str) -> None:
    govern(
        policy_pb2.PolicyRules(
            metric_gates=[F1, policy_pb2.MetricGate(metric="auc", min=0.5)],
            required_files=["*.safetensors"],
            card=policy_pb2.CardRule(max_age=Duration(seconds=86_400), requires_author=True),
            required_provenance=[policy_pb2.PROVENANCE_FIELD_GIT_COMMIT],
            signature=policy_pb2.SignatureRule(is_required=True),
            from_stages=[STAGING],
        )
    )
    govern(
        policy_pb2.PolicyRules(requires_risk_assessment=True, checks=[policy_pb2.CheckRule(name="pickle-scan")]),
        tenant="*",
    )
    govern(policy_pb2.PolicyRules(metric_gates=[F1]), risk_levels=[value_pb2.RISK_LEVEL_HIGH])
    versions(api, unique_name, 0.81)
    for is_validate_only in (True, False):
        found = refused(
            partial(api.move, unique_name, 1, PRODUCTION, validate_only=is_validate_only),
            CODE.FAILED_PRECONDITION,
            "POLICY_NOT_MET",
        )
        assert [one for one in found.preconditions if one != "CARD"] == [
            "RISK",
            "RISK",
            "CHECK",
            "FROM_STAGE",
            "METRIC",
            "METRIC",
            "FILE",
            "PROVENANCE",
            "SIGNATURE",
        ]
        assert "CARD" in found.preconditions
        assert found.metadata["stage"] == "production"
        assert (found.metadata["model"], found.metadata["version"]) == (unique_name, "1")
    assert transitions(api, unique_name) == []
    api.move(unique_name, 1, STAGING)


def test_more_gates_than_fit_a_trailer_are_counted(api: Api, govern: Govern, unique_name: str) -> None:
    gates = [policy_pb2.MetricGate(metric=f"metric-{index}-{'x' * 200}") for index in range(100)]
    govern(policy_pb2.PolicyRules(metric_gates=gates))
    versions(api, unique_name, 0.5)
    found = refused(partial(api.move, unique_name, 1, PRODUCTION), CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")
    assert 5 < len(found.preconditions) < 100


def test_a_lost_race_is_told_before_what_a_policy_demands(api: Api, govern: Govern, unique_name: str) -> None:
    govern(NEEDS_F1, target_stages=[PRODUCTION], alias_patterns=["champ*"])
    versions(api, unique_name, 0.5)
    for fields, reason in (({"expected_holder": 7}, "STAGE_HOLDER_CHANGED"), ({"etag": "77"}, "ETAG_MISMATCH")):
        refused(partial(api.move, unique_name, 1, PRODUCTION, **fields), CODE.ABORTED, reason)
    refused(partial(set_alias, api, unique_name, 1, expected_version=7), CODE.ABORTED, "ALIAS_MOVED")
    refused(partial(api.move, unique_name, 1, PRODUCTION), CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")


def test_an_alias_moves_under_policy_too(api: Api, govern: Govern, unique_name: str) -> None:
    rules = policy_pb2.PolicyRules(metric_gates=[policy_pb2.MetricGate(metric="f1", max_regression=0.01)])
    govern(rules, alias_patterns=["champ*"])
    versions(api, unique_name, 0.9, 0.8, 0.89)
    assert set_alias(api, unique_name, 1, validate_only=True).model_version.aliases == ["champion"]
    assert not api.get(by_number(unique_name, 1)).aliases
    set_alias(api, unique_name, 1)
    set_alias(api, unique_name, 2, alias="challenger")
    for is_validate_only in (True, False):
        found = refused(
            partial(set_alias, api, unique_name, 2, validate_only=is_validate_only),
            CODE.FAILED_PRECONDITION,
            "POLICY_NOT_MET",
        )
        assert (found.preconditions, found.metadata["alias"]) == (("REGRESSION",), "champion")
        assert "f1 is 0.8, 1 has 0.9; at most 0.01 worse is allowed" in found.message
    assert set_alias(api, unique_name, 3).previous_version == 1


def test_a_refused_move_stands_in_the_audit_with_what_failed(api: Api, govern: Govern, unique_name: str) -> None:
    policy = govern(NEEDS_F1)
    versions(api, unique_name, 0.5)
    refused(partial(api.move, unique_name, 1, PRODUCTION), CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")
    (entry,) = [one for one in audited(api, model=unique_name) if one.reason]
    assert (entry.action, entry.reason) == ("transition_stage", "POLICY_NOT_MET")
    after = json.loads(entry.after)
    assert after["failed"] == [f"METRIC {policy.name}/metrics/f1: f1 is 0.5; at least 0.9 is demanded"]
    assert after["failed_count"] == 1


def test_a_policy_holds_from_the_answer_on_and_until_it_is_deleted(api: Api, govern: Govern, unique_name: str) -> None:
    versions(api, unique_name, 0.5)
    policy = govern(NEEDS_F1, target_stages=[STAGING])
    refused(partial(api.move, unique_name, 1, STAGING), CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")
    softer = policy_pb2.PolicyRules(metric_gates=[policy_pb2.MetricGate(metric="f1", min=0.5)])
    api.lifecycle.UpdatePolicy(pb.UpdatePolicyRequest(name=policy.name, rules=softer))
    api.move(unique_name, 1, STAGING)
    api.lifecycle.UpdatePolicy(pb.UpdatePolicyRequest(name=policy.name, rules=NEEDS_F1))
    api.move(unique_name, 1, NONE)
    refused(partial(api.move, unique_name, 1, STAGING), CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")
    api.lifecycle.DeletePolicy(pb.DeletePolicyRequest(name=policy.name))
    api.move(unique_name, 1, STAGING)


def test_breaking_the_glass_overrides_policies_and_is_marked(api: Api, govern: Govern, unique_name: str) -> None:
    policy = govern(NEEDS_F1, target_stages=[PRODUCTION], alias_patterns=["champion"])
    versions(api, unique_name, 0.5)
    assert list(violated(partial(api.move, unique_name, 1, PRODUCTION, break_glass=True))) == ["comment"]
    made = api.move(unique_name, 1, PRODUCTION, break_glass=True, comment="the site is down")
    (gate,) = made.overridden_gates
    assert (gate.type, gate.policy.name, gate.policy.revision, gate.policy.digest, gate.subject) == (
        "METRIC",
        policy.name,
        1,
        policy.digest,
        "metrics/f1",
    )
    assert transitions(api, unique_name)[0].is_break_glass
    moved = set_alias(api, unique_name, 1, break_glass=True, comment="still")
    assert [one.type for one in moved.overridden_gates] == ["METRIC"]
    (move,) = api.versions.ListAliasHistory(ListAliasHistoryRequest(model=model_ref(unique_name))).moves
    assert move.is_break_glass
    for entry, action in zip(
        audited(api, model=unique_name)[:2], ("alias.moved", "version.stage_changed"), strict=True
    ):
        after = json.loads(entry.after)
        assert (entry.action, after["break_glass"], after["overridden_count"]) == (action, True, 1)
        assert after["overridden_gates"] == [f"METRIC {policy.name}/metrics/f1: f1 is 0.5; at least 0.9 is demanded"]


def test_broken_glass_is_marked_where_nothing_failed_and_overrides_nothing_but_policies(
    api: Api, unique_name: str
) -> None:
    versions(api, unique_name, 0.5, 0.6)
    glass: Mapping[str, Any] = {"break_glass": True, "comment": "now"}
    refused(
        partial(api.move, unique_name, 1, PRODUCTION, expected_holder=2, **glass),
        CODE.ABORTED,
        "STAGE_HOLDER_CHANGED",
    )
    refused(partial(api.move, unique_name, 1, PRODUCTION, etag="77", **glass), CODE.ABORTED, "ETAG_MISMATCH")
    api.move(unique_name, 2, ARCHIVED)
    refused(partial(api.move, unique_name, 2, PRODUCTION, **glass), CODE.FAILED_PRECONDITION, "ILLEGAL_TRANSITION")
    made = api.move(unique_name, 1, PRODUCTION, **glass)
    assert not made.overridden_gates
    assert transitions(api, unique_name)[0].is_break_glass
    assert not transitions(api, unique_name)[1].is_break_glass


def test_breaking_the_glass_needs_a_right_of_its_own(guarded: GuardedServer, unique_name: str) -> None:
    glass: Mapping[str, Any] = {"break_glass": True, "comment": "now"}
    with guarded.channel(guarded.secret("acme", "administrator")) as channel:
        api = Api(channel)
        versions(api, unique_name, 0.5)
        for call in (
            partial(api.move, unique_name, 1, PRODUCTION, **glass),
            partial(set_alias, api, unique_name, 1, **glass),
            partial(api.roll_back, unique_name, **glass),
        ):
            assert refused(call, CODE.PERMISSION_DENIED, "PERMISSION_DENIED").metadata["right"] == "break_glass"
    with guarded.channel(guarded.secret("acme", "break-glass")) as channel:
        assert Api(channel).move(unique_name, 1, PRODUCTION, **glass).event_sequence


def test_policies_of_all_tenants_are_read_by_all_and_written_by_those_who_administer_all(
    guarded: GuardedServer, policy_name: str
) -> None:
    scope = policy_pb2.PolicyScope(target_stages=[PRODUCTION], model_patterns=[policy_name])
    request = pb.CreatePolicyRequest(tenant="*", name=policy_name, scope=scope)
    with guarded.channel(guarded.secret("acme", "administrator")) as channel:
        refused(partial(Api(channel).lifecycle.CreatePolicy, request), CODE.PERMISSION_DENIED, "PERMISSION_DENIED")
    with guarded.channel(guarded.admin_secret) as channel:
        made = Api(channel).lifecycle.CreatePolicy(request).policy
    with guarded.channel(guarded.secret("globex", "reader")) as channel:
        api = Api(channel)
        assert get(api, policy_name, tenant="*") == made
        assert made in api.lifecycle.ListPolicies(pb.ListPoliciesRequest()).policies
        refused(
            partial(api.lifecycle.DeletePolicy, pb.DeletePolicyRequest(tenant="*", name=policy_name)),
            CODE.PERMISSION_DENIED,
            "PERMISSION_DENIED",
        )


def test_several_may_hold_a_stage_and_who_was_there_longest_makes_room(
    api: Api, govern: Govern, unique_name: str
) -> None:
    policy = govern(policy_pb2.PolicyRules(max_holders=2))
    govern(policy_pb2.PolicyRules(max_holders=3))
    versions(api, unique_name, *[0.9] * 5)
    assert not api.move(unique_name, 2, PRODUCTION).displaced
    assert not api.move(unique_name, 1, PRODUCTION, expected_holder=2).displaced
    assert in_production(api, unique_name) == [1, 2]
    several = refused(
        lambda: api.versions.GetModelVersion(GetModelVersionRequest(ref=by_stage(unique_name, PRODUCTION))),
        CODE.FAILED_PRECONDITION,
        "STAGE_HAS_SEVERAL_HOLDERS",
    )
    assert several.metadata["versions"] == "1, 2"
    assert model(api, unique_name).production_version == 2
    for expected in (0, 3):
        wrong = partial(api.move, unique_name, 3, PRODUCTION, expected_holder=expected)
        assert refused(wrong, CODE.ABORTED, "STAGE_HOLDER_CHANGED").metadata["holder"] == "1, 2"
    made = api.move(unique_name, 3, PRODUCTION, expected_holder=1)
    assert [one.version for one in made.displaced] == [2]
    assert in_production(api, unique_name) == [1, 3]

    api.lifecycle.UpdatePolicy(pb.UpdatePolicyRequest(name=policy.name, rules=policy_pb2.PolicyRules(max_holders=1)))
    made = api.move(unique_name, 4, PRODUCTION)
    assert [one.version for one in made.displaced] == [1, 3]
    assert api.get(by_stage(unique_name, PRODUCTION)).version == 4
    assert [one.version for one in api.move(unique_name, 5, PRODUCTION).displaced] == [4]


def test_a_rollback_of_several_holders_leaves_the_one_that_was_there_before_the_last(
    api: Api, govern: Govern, unique_name: str
) -> None:
    govern(policy_pb2.PolicyRules(max_holders=3))
    versions(api, unique_name, *[0.9] * 3)
    for number in (1, 2, 3):
        api.move(unique_name, number, PRODUCTION)
    made = api.roll_back(unique_name, expected_holder=1)
    assert (made.model_version.version, [one.version for one in made.displaced]) == (2, [1, 3])
    assert in_production(api, unique_name) == [2]
    assert api.roll_back(unique_name).model_version.version == 1
    assert in_production(api, unique_name) == [1]


def test_a_rollback_is_under_those_policies_that_include_rollbacks(api: Api, govern: Govern, unique_name: str) -> None:
    versions(api, unique_name, 0.5, 0.95)
    api.move(unique_name, 1, PRODUCTION)
    govern(NEEDS_F1)
    api.move(unique_name, 2, PRODUCTION)
    assert api.roll_back(unique_name, validate_only=True).model_version.version == 1
    policy = govern(NEEDS_F1, includes_rollbacks=True)
    refused(partial(api.roll_back, unique_name), CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")
    assert in_production(api, unique_name) == [2]
    made = api.roll_back(unique_name, break_glass=True, comment="it gives nonsense")
    assert [one.policy.name for one in made.overridden_gates] == [policy.name]
    assert [one.is_break_glass for one in transitions(api, unique_name)[:2]] == [True, False]


def trial(api: Api, **fields: Any) -> pb.TestPolicyResponse:
    return api.lifecycle.TestPolicy(pb.TestPolicyRequest(**fields))


def test_a_draft_is_tried_on_what_was_released_before(api: Api, unique_name: str) -> None:
    versions(api, unique_name, 0.9, 0.7, 0.8)
    for number in (1, 2):
        api.move(unique_name, number, PRODUCTION)
    events = len(audited(api, model=unique_name))
    scope = policy_pb2.PolicyScope(model_patterns=[unique_name], target_stages=[PRODUCTION], alias_patterns=["champ*"])
    gates = [policy_pb2.MetricGate(metric="f1", max_regression=0.05, min=0.75)]
    draft = policy_pb2.Policy(scope=scope, rules=policy_pb2.PolicyRules(metric_gates=gates))
    found = trial(api, draft=draft).trials
    stage = [one for one in found if one.HasField("stage")]
    told = [(one.version, one.was_there, one.compared_with, [g.type for g in one.failed_gates]) for one in stage]
    assert told == [(3, False, 2, []), (2, True, 1, ["METRIC", "REGRESSION"]), (1, True, 0, [])]
    aliased = [
        (one.version, one.alias_pattern, [g.type for g in one.failed_gates]) for one in found if one not in stage
    ]
    assert aliased == [(3, "champ*", []), (2, "champ*", ["METRIC"]), (1, "champ*", [])]
    assert all(one.is_covered for one in found)
    assert len(audited(api, model=unique_name)) == events
    assert [one.version for one in trial(api, draft=draft, newest=1).trials] == [3, 3]
    assert [one.version for one in trial(api, draft=draft, model=unique_name, versions=[1, 2]).trials] == [2, 2, 1, 1]


def test_a_policy_in_force_is_tried_by_its_name_and_says_what_it_does_not_cover(
    api: Api, govern: Govern, unique_name: str
) -> None:
    name = govern(NEEDS_F1, tenant="*", risk_levels=[value_pb2.RISK_LEVEL_HIGH]).name
    versions(api, unique_name, 0.5)
    versions(api, unique_name, 0.5, risk=value_pb2.RiskAssessment(level=value_pb2.RISK_LEVEL_HIGH))
    high, unassessed = trial(api, name=name).trials
    assert (high.version, high.is_covered, len(high.failed_gates)) == (2, True, 1)
    assert (unassessed.version, unassessed.is_covered, len(unassessed.failed_gates)) == (1, False, 0)
    refused(partial(trial, api, name="no-such-policy"), CODE.NOT_FOUND, "POLICY_NOT_FOUND")
    refused(partial(trial, api, name=name, model=f"{unique_name}-no"), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
    missing = partial(trial, api, name=name, model=unique_name, versions=[9])
    refused(missing, CODE.NOT_FOUND, "VERSION_NOT_FOUND")
    assert set(violated(partial(trial, api, versions=[0, 0], newest=-1))) == {
        "subject",
        "versions[0]",
        "versions[1]",
        "model",
        "newest",
    }


def test_a_version_is_named_by_its_uid_as_well(api: Api, govern: Govern, unique_name: str) -> None:
    govern(NEEDS_F1)
    versions(api, unique_name, 0.5)
    ref = ModelVersionRef(model=model_ref(unique_name), uid=api.get(by_number(unique_name, 1)).uid)
    request = pb.TransitionStageRequest(ref=ref, stage=PRODUCTION)
    refused(partial(api.lifecycle.TransitionStage, request), CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")
