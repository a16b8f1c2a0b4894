"""Approvals: whose word is needed, whose counts, and what makes it worth nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from registrar_server.domain.approvals import (
    Approval,
    ApprovalDecision,
    ApprovalStatus,
    Binding,
    Decision,
    Requirements,
)
from registrar_server.domain.errors import InvalidRequest, Reason, RegistrarError
from registrar_server.domain.policies import (
    ApprovalRule,
    ApproverRequirement,
    MoveTarget,
    Policy,
    PolicyRules,
    PolicyScope,
)
from registrar_server.domain.values import Stage
from tests.unit.made import MODEL, NOON

AUTHOR, ASKING = "user:author", "user:asking"
PRODUCTION = MoveTarget(Stage.PRODUCTION)
FILES = f"sha256:{'a' * 64}"


def policy(name: str, rule: ApprovalRule | None, revision: int = 1) -> Policy:
    return Policy("default", name, revision, "", PolicyScope(), PolicyRules(rule), "{}", "local", NOON, NOON)


def asked(*roles: str, **fields: object) -> ApprovalRule:
    """A rule that asks for these roles, as often as they are named."""
    approvers = tuple(ApproverRequirement(role, count) for role, count in Counter(roles).items())
    return replace(ApprovalRule(approvers), **fields)  # type: ignore[arg-type]


def bound(*policies: Policy, card: int = 0, files: str = FILES) -> Binding:
    return Binding(files, card, f"sha256:{card}" if card else "", tuple(one.ref for one in policies))


def approval(*policies: Policy, card: int = 0) -> Approval:
    requirements = Requirements.of(policies)
    assert requirements is not None
    return Approval(
        id="a" * 32,
        model=MODEL,
        model_uid="b" * 32,
        version_uid="c" * 32,
        number=1,
        target=PRODUCTION,
        requested_by=ASKING,
        request_time=NOON,
        comment="",
        binding=bound(*policies, card=card),
        requirements=requirements,
        sequence=1,
    )


def decision(
    approver: str, role: str, what: Decision = Decision.APPROVE, time: datetime = NOON, method: str = "oidc"
) -> ApprovalDecision:
    return ApprovalDecision(f"user:{approver}", role, what, "", time, method)


def decide(one: Approval, *decisions: ApprovalDecision) -> Approval:
    for made in decisions:
        one = one.decided(made, author=AUTHOR, present=one.binding)
    return one


def refusal(one: Approval, made: ApprovalDecision, present: Binding | None = None) -> RegistrarError:
    with pytest.raises(RegistrarError) as caught:
        one.decided(made, author=AUTHOR, present=present or one.binding)
    return caught.value


class TestRequirements:
    def test_a_role_that_several_policies_ask_for_is_asked_as_often_as_the_one_that_asks_most(self) -> None:
        merged = Requirements.of([policy("a", asked("legal", "risk")), policy("b", asked("risk", "risk", "ops"))])
        assert merged is not None
        assert [(one.role, one.count) for one in merged.approvers] == [("legal", 1), ("risk", 2), ("ops", 1)]

    @pytest.mark.parametrize("flag", ["is_ordered", "is_four_eyes", "is_people_only"])
    def test_what_one_policy_insists_on_holds_for_all(self, flag: str) -> None:
        plain, strict = asked("risk"), asked("legal", **{flag: True})
        merged = Requirements.of([policy("a", plain), policy("b", strict)])
        assert merged is not None
        assert getattr(merged, flag)
        assert sum((merged.is_ordered, merged.is_four_eyes, merged.is_people_only)) == 1

    def test_the_shortest_time_counts(self) -> None:
        rules = [asked("a", valid_for=timedelta(days=2)), asked("a"), asked("a", valid_for=timedelta(days=1))]
        merged = Requirements.of([policy(str(place), rule) for place, rule in enumerate(rules)])
        assert merged is not None
        assert merged.valid_for == timedelta(days=1)

    def test_who_asks_for_nobody_asks_for_no_approval(self) -> None:
        assert Requirements.of([]) is None
        assert Requirements.of([policy("a", None), policy("b", ApprovalRule(is_four_eyes=True))]) is None

    def test_the_registry_s_own_decision_needs_nobody_else_s(self) -> None:
        own = approval(policy("low-risk", ApprovalRule(is_automatic=True)))
        assert own.requirements.automatic == ("low-risk",)
        assert own.stored_status is ApprovalStatus.APPROVED


class TestDecisions:
    def test_it_is_approved_when_every_role_has_said_so_as_often_as_asked(self) -> None:
        one = approval(policy("a", asked("risk", "risk", "legal")))
        one = decide(one, decision("ann", "risk"), decision("ben", "legal"))
        assert (one.stored_status, [(r.role, r.count) for r in one.awaiting]) == (ApprovalStatus.PENDING, [("risk", 1)])
        one = decide(one, decision("cat", "risk"))
        assert (one.stored_status, one.awaiting) == (ApprovalStatus.APPROVED, ())
        assert one.summary.approved_by == ("user:ann", "user:ben", "user:cat")

    def test_one_person_counts_once_whatever_roles_they_have(self) -> None:
        one = decide(approval(policy("a", asked("risk", "legal"))), decision("ann", "risk"))
        assert refusal(one, decision("ann", "legal")).reason is Reason.DECIDED_BEFORE

    def test_a_role_that_nobody_asks_for_is_named_with_those_that_are(self) -> None:
        refused = refusal(approval(policy("a", asked("risk", "legal"))), decision("ann", "ops"))
        assert isinstance(refused, InvalidRequest)
        assert refused.violations[0].field == "approver_role"
        assert "risk, legal" in refused.violations[0].description

    def test_a_role_that_has_said_all_cannot_approve_again(self) -> None:
        one = decide(approval(policy("a", asked("risk", "legal"))), decision("ann", "risk"))
        refused = refusal(one, decision("ben", "risk"))
        assert (refused.reason, refused.metadata["status"]) == (Reason.APPROVAL_CLOSED, "PENDING")

    def test_who_is_not_in_turn_is_told_who_is(self) -> None:
        one = approval(policy("a", asked("risk", "legal", is_ordered=True)))
        refused = refusal(one, decision("ann", "legal"))
        assert (refused.reason, refused.metadata["awaiting"]) == (Reason.APPROVAL_OUT_OF_ORDER, "risk")
        early = refusal(one, decision("ann", "legal", Decision.REJECT))
        assert early.reason is Reason.APPROVAL_OUT_OF_ORDER
        one = decide(one, decision("ann", "risk"), decision("ben", "legal"))
        assert decide(one, decision("cat", "risk", Decision.REJECT)).stored_status is ApprovalStatus.REJECTED

    @pytest.mark.parametrize("who", ["author", "asking"])
    @pytest.mark.parametrize("what", Decision)
    def test_four_eyes_shut_out_who_registered_and_who_asks(self, who: str, what: Decision) -> None:
        one = approval(policy("a", asked("risk", is_four_eyes=True)))
        assert refusal(one, decision(who, "risk", what)).reason is Reason.FOUR_EYES
        decide(approval(policy("a", asked("risk"))), decision(who, "risk", what))

    @pytest.mark.parametrize("method", ["oidc", "certificate", "none", "token"])
    def test_a_token_is_no_person(self, method: str) -> None:
        one = approval(policy("a", asked("risk", is_people_only=True)))
        made = decision("ann", "risk", method=method)
        if method == "token":
            assert refusal(one, made).reason is Reason.PEOPLE_ONLY
        else:
            decide(one, made)

    def test_a_rejection_ends_it(self) -> None:
        one = decide(approval(policy("a", asked("risk", "legal"))), decision("ann", "risk", Decision.REJECT))
        assert (one.stored_status, one.awaiting) == (ApprovalStatus.REJECTED, ())
        refused = refusal(one, decision("ben", "legal"))
        assert (refused.reason, refused.metadata["status"]) == (Reason.APPROVAL_CLOSED, "REJECTED")

    @pytest.mark.parametrize("who", ["ann", "ben"])
    def test_what_is_approved_can_be_taken_back_by_whoever_may_decide(self, who: str) -> None:
        one = decide(approval(policy("a", asked("risk"))), decision("ann", "risk"))
        assert one.stored_status is ApprovalStatus.APPROVED
        assert decide(one, decision(who, "risk", Decision.REJECT)).stored_status is ApprovalStatus.REJECTED


class TestChanges:
    """What it was given for is no longer so."""

    OLD = policy("production-gate", asked("risk"), revision=2)
    NEW = policy("production-gate", asked("risk"), revision=3)
    OTHER = policy("other", None)

    @pytest.mark.parametrize(
        ("present", "reason"),
        [
            (bound(NEW, card=2), "policy production-gate is at revision 3; asked was revision 2"),
            (bound(OLD, OTHER, card=2), "a policy was added: other"),
            (bound(card=2), "policy production-gate no longer covers the move; asked was revision 2"),
            (bound(OLD, card=3), "the model card is at revision 3; asked was revision 2"),
            (bound(OLD), "the model card is gone; asked was revision 2"),
            (bound(OLD, card=2, files=""), f"the files are gone; asked was {FILES}"),
            (
                bound(NEW, card=3),
                (
                    "the model card is at revision 3; asked was revision 2; "
                    "policy production-gate is at revision 3; asked was revision 2"
                ),
            ),
        ],
        ids=["policy", "added", "gone", "card", "card gone", "files", "several"],
    )
    @pytest.mark.parametrize("is_decided", [False, True], ids=["pending", "approved"])
    def test_a_change_makes_it_void_and_is_told(self, present: Binding, reason: str, is_decided: bool) -> None:
        one = approval(self.OLD, card=2)
        if is_decided:
            one = decide(one, decision("ann", "risk"))
        assert one.status(present, NOON) is ApprovalStatus.VOID
        assert one.void_reason(present) == reason
        refused = refusal(one, decision("ben", "risk", Decision.REJECT), present)
        assert (refused.reason, refused.metadata["status"]) == (Reason.APPROVAL_CLOSED, "VOID")

    def test_what_has_ended_stays_as_it_ended(self) -> None:
        rejected = decide(approval(self.OLD), decision("ann", "risk", Decision.REJECT))
        for one in (rejected, replace(approval(self.OLD), withdrawn_sequence=5)):
            assert one.status(bound(self.NEW), NOON) is one.stored_status
            assert one.void_reason(bound(self.NEW)) == ""

    def test_it_expires_after_its_last_decision(self) -> None:
        one = approval(policy("a", asked("risk", "legal", valid_for=timedelta(hours=1))))
        assert one.expire_time is None
        late = NOON + timedelta(hours=5)
        assert one.status(one.binding, late) is ApprovalStatus.PENDING
        one = decide(one, decision("ann", "risk"), decision("ben", "legal", time=late))
        assert one.expire_time == late + timedelta(hours=1)
        assert one.status(one.binding, one.expire_time - timedelta(microseconds=1)) is ApprovalStatus.APPROVED
        assert one.status(one.binding, one.expire_time) is ApprovalStatus.EXPIRED
        refused = refusal(one, decision("cat", "risk", Decision.REJECT, time=one.expire_time))
        assert refused.metadata["status"] == "EXPIRED"


ROLES = ("legal", "ops", "risk")
RULES = st.builds(
    ApprovalRule,
    approvers=st.lists(
        st.builds(ApproverRequirement, st.sampled_from(ROLES), st.integers(1, 2)),
        min_size=1,
        max_size=2,
        unique_by=lambda one: one.role,
    ).map(tuple),
    is_ordered=st.booleans(),
    is_four_eyes=st.booleans(),
    valid_for=st.sampled_from([None, timedelta(minutes=3), timedelta(minutes=6)]),
    is_people_only=st.booleans(),
)


class ApprovalMachine(RuleBasedStateMachine):
    """An approval, against a plain evaluation of all that was tried."""

    @initialize(rules=st.lists(RULES, min_size=1, max_size=3))
    def ask(self, rules: list[ApprovalRule]) -> None:
        self.demands = rules
        self.policies = [policy(f"p{place}", rule) for place, rule in enumerate(rules)]
        self.one = approval(*self.policies)
        self.now = NOON
        self.card = 0
        self.made: list[ApprovalDecision] = []
        self.ended = ""

    @property
    def present(self) -> Binding:
        return bound(*self.policies, card=self.card)

    @rule(
        who=st.sampled_from([AUTHOR, ASKING, "user:ann", "user:ben", "user:cat", "user:dan"]),
        role=st.sampled_from([*ROLES, "nobody"]),
        what=st.sampled_from([Decision.APPROVE, Decision.APPROVE, Decision.APPROVE, Decision.REJECT]),
        method=st.sampled_from(["oidc", "oidc", "token"]),
    )
    def decide(self, who: str, role: str, what: Decision, method: str) -> None:
        made = ApprovalDecision(who, role, what, "", self.now, method)
        wanted = self.expected_refusal(made)
        try:
            self.one = self.one.decided(made, author=AUTHOR, present=self.present)
        except RegistrarError as exc:
            assert exc.reason is wanted
        else:
            assert wanted is None
            self.made.append(made)

    @rule()
    def wait(self) -> None:
        self.now += timedelta(minutes=2)

    @rule()
    def revise_the_card(self) -> None:
        if len(self.made) > 2:
            self.card += 1

    @rule(end=st.sampled_from(["withdrawn", "used"]))
    def end(self, end: str) -> None:
        if self.expected_status() is ApprovalStatus.APPROVED and end == "used":
            self.one, self.ended = replace(self.one, used_sequence=9), end
        elif self.one.is_open and end == "withdrawn" and len(self.made) > 1:
            self.one, self.ended = replace(self.one, withdrawn_sequence=9), end

    @invariant()
    def it_stands_where_a_plain_evaluation_says(self) -> None:
        assert self.one.status(self.present, self.now) is self.expected_status()
        assert list(self.one.decisions) == self.made

    def expected_status(self) -> ApprovalStatus:
        if self.ended:
            return ApprovalStatus(self.ended)
        if any(made.decision is Decision.REJECT for made in self.made):
            return ApprovalStatus.REJECTED
        if self.card:
            return ApprovalStatus.VOID
        if self.missing():
            return ApprovalStatus.PENDING
        lives = [rule.valid_for for rule in self.demands if rule.valid_for]
        if lives and self.made[-1].time + min(lives) <= self.now:
            return ApprovalStatus.EXPIRED
        return ApprovalStatus.APPROVED

    def missing(self) -> Sequence[str]:
        """Roles in the order in which they were first asked for, each policy looked at by itself."""
        given = Counter(made.role for made in self.made if made.decision is Decision.APPROVE)
        short = [one.role for rule in self.demands for one in rule.approvers if given[one.role] < one.count]
        named = list(dict.fromkeys(one.role for rule in self.demands for one in rule.approvers))
        return sorted(set(short), key=named.index)

    def is_early(self, role: str) -> bool:
        named = list(dict.fromkeys(one.role for rule in self.demands for one in rule.approvers))
        return role in named and any(named.index(other) < named.index(role) for other in self.missing())

    def expected_refusal(self, made: ApprovalDecision) -> Reason | None:
        is_approval = made.decision is Decision.APPROVE
        asked_for = {one.role for rule in self.demands for one in rule.approvers}
        is_ordered = any(rule.is_ordered for rule in self.demands)
        is_four_eyes = any(rule.is_four_eyes for rule in self.demands)
        is_people_only = any(rule.is_people_only for rule in self.demands)
        is_closed = self.expected_status() not in (ApprovalStatus.PENDING, ApprovalStatus.APPROVED)
        refusals = [
            (is_closed, Reason.APPROVAL_CLOSED),
            (made.role not in asked_for, Reason.INVALID_FIELD),
            (is_people_only and made.method == "token", Reason.PEOPLE_ONLY),
            (is_four_eyes and made.approver in (AUTHOR, ASKING), Reason.FOUR_EYES),
            (is_ordered and self.is_early(made.role), Reason.APPROVAL_OUT_OF_ORDER),
            (is_approval and made.approver in {one.approver for one in self.made}, Reason.DECIDED_BEFORE),
            (is_approval and made.role not in self.missing(), Reason.APPROVAL_CLOSED),
        ]
        return next((reason for is_so, reason in refusals if is_so), None)


TestApprovalMachine = ApprovalMachine.TestCase
