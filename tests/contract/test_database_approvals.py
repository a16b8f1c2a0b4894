"""Approvals, comments and checks on both databases: what is kept, what answers later, and who wins a race."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

import pytest

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.governance.approval_standing import StandingApproval, approval_standing, use_approval
from registrar_server.application.governance.approvals import (
    ApprovalChanged,
    ApprovalRequested,
    Approvals,
    DecisionRequest,
)
from registrar_server.application.governance.reviews import NewCheck, Reviews
from registrar_server.application.governance.standing import policies_for
from registrar_server.application.history import History
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.database import ApprovalFilter, NewModel
from registrar_server.application.search.searching import Searching, SearchRequest
from registrar_server.domain.access import ALL_ACCESS, EVERY_NAME, Caller, NamePattern
from registrar_server.domain.approvals import ApprovalStatus, Decision
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.lifecycle import Period
from registrar_server.domain.policies import (
    ApprovalRule,
    ApproverRequirement,
    CheckRule,
    MoveTarget,
    Policy,
    PolicyRules,
    PolicyScope,
)
from registrar_server.domain.policy_documents import write_document
from registrar_server.domain.reviews import CheckOutcome, CheckResult, Comment
from registrar_server.domain.values import ByNumber, Stage, VersionRef
from registrar_server.domain.versions import ArtifactLink, Facts
from tests.fixtures.database import NOON, add_model, add_version, at, change
from tests.fixtures.faults import NoSignals
from tests.fixtures.history import SetClock

PRODUCTION, CHAMPION = MoveTarget(Stage.PRODUCTION), MoveTarget(alias="champion")
SCOPE = PolicyScope(target_stages=(Stage.PRODUCTION,), alias_patterns=(NamePattern("champion"),))
RISK = ApprovalRule((ApproverRequirement("risk"),))
AUTOMATIC = ApprovalRule(is_automatic=True)
Result = TypeVar("Result")


def person(name: str) -> Caller:
    return Caller(f"user:{name}", "default", ALL_ACCESS, "oidc")


@dataclass
class Desk:
    """A model with two versions, and the use cases."""

    database: SqlDatabase
    clock: SetClock = field(default_factory=SetClock)

    def __post_init__(self) -> None:
        mutations = Mutations(self.database, self.clock, NoSignals())
        self.approvals = Approvals(self.database, mutations, self.clock)
        self.reviews = Reviews(self.database, mutations)
        self.history = History(self.database, self.clock)
        self.model = self.add_model("credit")

    def add_model(self, name: str) -> NewModel:
        with self.database.writing() as transaction:
            model = add_model(transaction, name)
            for number in (1, 2):
                version = add_version(transaction, model, number)
                made = change(model, "version.registered", version_uid=version, number=number)
                transaction.journal.record(made)
        return model

    def ref(self, number: int = 1, model: NewModel | None = None) -> VersionRef:
        return VersionRef((model or self.model).key, ByNumber(number))

    def policy(self, name: str, rule: ApprovalRule | None, revision: int = 1, **rules: object) -> Policy:
        """One more revision of a policy, in force from now on."""
        said = PolicyRules(approval=rule, **rules)  # type: ignore[arg-type]
        document = write_document(SCOPE, said)
        made = Policy("default", name, revision, "", SCOPE, said, document, "local", NOON, NOON)
        with self.database.writing() as transaction:
            sequence = transaction.journal.record(change(self.model, "model.updated"))
            transaction.policies.add(made, sequence)
        return made

    def run(self, act: Callable[[Mutation[Result]], bytes], who: str = "asking") -> Result:
        """What a use case did."""
        done: list[Result] = []

        def encode(result: Result) -> bytes:
            done.append(result)
            return b""

        act(Mutation(person(who), "Rpc", "", "", encode))
        return done[-1]

    def request(self, number: int = 1, target: MoveTarget = PRODUCTION, **of: NewModel) -> ApprovalRequested:
        return self.run(lambda m: self.approvals.request(m, self.ref(number, **of), target, comment="please"))

    def decide(self, approval_id: str, who: str, role: str = "risk", *, is_approval: bool = True) -> ApprovalChanged:
        what = Decision.APPROVE if is_approval else Decision.REJECT
        wanted = DecisionRequest(self.model.key, approval_id, role, what, "looked at it")
        return self.run(lambda m: self.approvals.decide(m, wanted), who)

    def withdraw(self, approval_id: str) -> ApprovalChanged:
        return self.run(lambda m: self.approvals.withdraw(m, self.model.key, approval_id, comment="no more"))

    def standing(self, target: MoveTarget = PRODUCTION) -> tuple[Sequence[str], str]:
        """What is missing, in words, and the approval that counts."""
        with self.database.reading() as transaction:
            (version,) = transaction.versions.get(self.model.key, ByNumber(1))
            policies = policies_for(transaction, version, target)
            failed, used = approval_standing(transaction, version, target, policies, self.clock.now())
        assert {gate.type.value for gate in failed} <= {"APPROVAL"}
        return [f"{gate.policy.name}/{gate.subject}: {gate.description}" for gate in failed], used

    def summary(self, number: int = 1) -> tuple[ApprovalStatus, tuple[str, ...]] | None:
        """As the version shows it."""
        with self.database.reading() as transaction:
            (version,) = transaction.versions.get(self.model.key, ByNumber(number))
        return (version.approval.status, version.approval.approved_by) if version.approval else None

    def list(self, **wanted: object) -> list[tuple[int, ApprovalStatus]]:
        found = self.approvals.list(ApprovalFilter("default", **wanted), before=0, limit=10)  # type: ignore[arg-type]
        return [(one.approval.number, one.status) for one in found]


@pytest.fixture
def desk(database: SqlDatabase) -> Desk:
    return Desk(database)


def refusal(call: Callable[[], object]) -> RegistrarError:
    with pytest.raises(RegistrarError) as caught:
        call()
    return caught.value


class TestRequests:
    def test_what_was_asked_for_is_read_again_as_it_was(self, desk: Desk) -> None:
        first, second = desk.policy("a-gate", RISK), desk.policy("b-gate", replace(RISK, valid_for=timedelta(hours=1)))
        asked = desk.request().standing
        found = desk.approvals.get(desk.model.key, asked.approval.id)
        assert found == asked
        assert found.status is ApprovalStatus.PENDING
        assert found.approval.binding.policies == (first.ref, second.ref)
        assert found.approval.requirements.valid_for == timedelta(hours=1)
        assert desk.summary() == (ApprovalStatus.PENDING, ())
        assert desk.summary(2) is None

    def test_a_move_has_one_approval_that_counts_and_each_move_its_own(self, desk: Desk) -> None:
        desk.policy("gate", RISK)
        asked = desk.request().standing.approval
        refused = refusal(desk.request)
        assert (refused.reason, refused.metadata["approval_id"]) == (Reason.APPROVAL_EXISTS, asked.id)
        desk.request(2)
        desk.request(target=CHAMPION)

    def test_one_that_is_void_is_no_hindrance(self, desk: Desk) -> None:
        desk.policy("gate", RISK)
        asked = desk.request().standing.approval
        desk.policy("gate", RISK, revision=2)
        void = desk.approvals.get(desk.model.key, asked.id)
        assert void.status is ApprovalStatus.VOID
        assert void.void_reason == "policy gate is at revision 2; asked was revision 1"
        assert desk.request().standing.approval.binding.policies[0].revision == 2
        assert refusal(lambda: desk.decide(asked.id, "ann")).metadata["status"] == "VOID"

    def test_of_requests_at_once_one_gets_it(self, desk: Desk) -> None:
        desk.policy("gate", RISK)
        with ThreadPoolExecutor(6) as pool:
            reasons = list(pool.map(lambda _: _reason(desk.request), range(6)))
        assert sorted(reasons) == ["", *["APPROVAL_EXISTS"] * 5]

    def test_nobody_asks_for_what_no_policy_wants(self, desk: Desk) -> None:
        assert refusal(desk.request).reason is Reason.APPROVAL_NOT_REQUIRED
        desk.policy("gate", None)
        assert refusal(desk.request).reason is Reason.APPROVAL_NOT_REQUIRED


class TestAutomatic:
    def test_the_registry_approves_what_passes_all_other_gates(self, desk: Desk) -> None:
        desk.policy("low-risk", AUTOMATIC)
        done = desk.request()
        assert done.standing.status is ApprovalStatus.APPROVED
        (own,) = done.standing.approval.decisions
        assert (own.approver, own.role, own.method) == ("registrar", "", "none")
        assert "low-risk" in own.notes
        assert own.sequence == done.sequence
        assert desk.summary() == (ApprovalStatus.APPROVED, ("registrar",))
        assert desk.standing() == ([], done.standing.approval.id)

    def test_what_does_not_pass_is_refused_with_all_of_it_and_leaves_nothing(self, desk: Desk) -> None:
        desk.policy("low-risk", AUTOMATIC)
        desk.policy("scans", None, checks=(CheckRule("scan"), CheckRule("load")))
        refused = refusal(desk.request)
        assert refused.reason is Reason.POLICY_NOT_MET
        assert [gate.type for gate in refused.preconditions] == ["CHECK", "CHECK"]
        assert desk.list() == []
        assert desk.summary() is None

    def test_beside_people_it_is_one_word_among_others(self, desk: Desk) -> None:
        desk.policy("low-risk", AUTOMATIC)
        desk.policy("people", RISK, checks=(CheckRule("scan"),))
        done = desk.request()
        assert (done.standing.status, len(done.standing.approval.decisions)) == (ApprovalStatus.PENDING, 1)
        assert [gate.subject for gate in done.failed] == ["checks/scan"]
        approved = desk.decide(done.standing.approval.id, "ann").standing
        assert (approved.status, len(approved.approval.decisions)) == (ApprovalStatus.APPROVED, 2)

    def test_beside_people_its_own_gates_must_pass(self, desk: Desk) -> None:
        desk.policy("low-risk", AUTOMATIC, checks=(CheckRule("scan"),))
        desk.policy("people", RISK)
        assert refusal(desk.request).reason is Reason.POLICY_NOT_MET


class TestDecisions:
    def test_the_last_word_is_given_once(self, desk: Desk) -> None:
        desk.policy("gate", RISK)
        asked = desk.request().standing.approval
        with ThreadPoolExecutor(6) as pool:
            reasons = list(pool.map(lambda who: _reason(lambda: desk.decide(asked.id, f"p{who}")), range(6)))
        assert sorted(reasons) == ["", *["APPROVAL_CLOSED"] * 5]
        found = desk.approvals.get(desk.model.key, asked.id)
        assert (found.status, len(found.approval.decisions)) == (ApprovalStatus.APPROVED, 1)

    def test_one_person_at_several_places_at_once_counts_once(self, desk: Desk) -> None:
        desk.policy("gate", ApprovalRule((ApproverRequirement("risk", 3),)))
        asked = desk.request().standing.approval
        with ThreadPoolExecutor(4) as pool:
            reasons = list(pool.map(lambda _: _reason(lambda: desk.decide(asked.id, "ann")), range(4)))
        assert sorted(reasons) == ["", *["DECIDED_BEFORE"] * 3]

    def test_each_change_is_an_event_with_who_and_why(self, desk: Desk) -> None:
        desk.policy("gate", RISK)
        asked = desk.request()
        decided = desk.decide(asked.standing.approval.id, "ann")
        desk.decide(asked.standing.approval.id, "ben", is_approval=False)
        with desk.database.reading() as transaction:
            events = transaction.journal.events(desk.model.uid, after=asked.sequence - 1, until=10_000)
        assert [event.type for event in events] == ["approval.requested", "approval.approved", "approval.rejected"]
        assert {event.after["approval_id"] for event in events} == {asked.standing.approval.id}
        assert [event.after.get("status") for event in events] == [None, "approved", "rejected"]
        assert events[1].sequence == decided.sequence

    def test_only_who_asked_or_administers_withdraws(self, desk: Desk) -> None:
        desk.policy("gate", RISK)
        asked = desk.request().standing.approval
        stranger = Caller("user:eve", "default", method="oidc")

        def withdraw_as_stranger() -> None:
            mutation: Mutation[ApprovalChanged] = Mutation(stranger, "Rpc", "", "", lambda _: b"")
            desk.approvals.withdraw(mutation, desk.model.key, asked.id, comment="")

        assert refusal(withdraw_as_stranger).reason is Reason.TENANT_NOT_FOUND
        assert desk.withdraw(asked.id).standing.status is ApprovalStatus.WITHDRAWN
        assert refusal(lambda: desk.withdraw(asked.id)).reason is Reason.APPROVAL_CLOSED
        assert desk.summary() == (ApprovalStatus.WITHDRAWN, ())
        assert desk.request().standing.status is ApprovalStatus.PENDING


class TestStanding:
    def test_a_move_is_told_what_is_missing_and_then_which_approval_it_uses(self, desk: Desk) -> None:
        assert desk.standing() == ([], "")
        desk.policy("gate", ApprovalRule((ApproverRequirement("risk", 2), ApproverRequirement("legal"))))
        missing, used = desk.standing()
        assert used == ""
        assert missing == [
            "gate/approval/risk: 2 approvals as risk are needed: request one",
            "gate/approval/legal: 1 approval as legal is needed: request one",
        ]
        asked = desk.request().standing.approval
        desk.decide(asked.id, "ann", "legal")
        desk.decide(asked.id, "ben", "risk")
        missing, _ = desk.standing()
        assert missing == [f"gate/approval/risk: 1 more approval as risk is needed: approval {asked.id} is PENDING"]
        desk.decide(asked.id, "cat", "risk")
        assert desk.standing() == ([], asked.id)
        assert desk.standing(CHAMPION)[1] == ""

    def test_what_became_of_the_last_one_is_told(self, desk: Desk) -> None:
        desk.policy("gate", replace(RISK, valid_for=timedelta(seconds=10)))
        asked = desk.request().standing.approval
        desk.decide(asked.id, "ann")
        desk.clock.time = at(10)
        needed = "1 approval as risk is needed: request one"
        assert desk.standing() == ([f"gate/approval/risk: approval {asked.id} is EXPIRED; {needed}"], "")
        desk.policy("gate", RISK, revision=2)
        because = "policy gate is at revision 2; asked was revision 1"
        assert desk.standing() == ([f"gate/approval/risk: approval {asked.id} is VOID: {because}; {needed}"], "")

    def test_it_counts_for_one_move(self, desk: Desk) -> None:
        desk.policy("gate", RISK)
        asked = desk.request().standing.approval
        desk.decide(asked.id, "ann")
        with desk.database.writing() as transaction:
            sequence = transaction.journal.record(change(desk.model, "version.stage_changed"))
            use_approval(transaction, asked.id, sequence)
        found = desk.approvals.get(desk.model.key, asked.id)
        assert (found.status, found.approval.used_sequence) == (ApprovalStatus.USED, sequence)
        assert desk.standing()[1] == ""
        assert desk.summary() == (ApprovalStatus.USED, ("user:ann",))
        assert refusal(lambda: desk.decide(asked.id, "ben", is_approval=False)).metadata["status"] == "USED"
        assert desk.request().standing.status is ApprovalStatus.PENDING


class TestPast:
    def test_every_state_that_once_was_can_be_told_again(self, desk: Desk) -> None:
        desk.policy("gate", RISK)
        asked = desk.request()
        told = [asked.standing.approval]
        desk.clock.time = at(1)
        told.append(desk.decide(told[0].id, "ann").standing.approval)
        desk.clock.time = at(2)
        told.append(desk.decide(told[0].id, "ben", is_approval=False).standing.approval)
        desk.clock.time = at(3)
        told.append(desk.request().standing.approval)
        sequences = [told[0].sequence, *(one.decisions[-1].sequence for one in told[1:3]), told[3].sequence]
        with desk.database.reading() as transaction:
            uid = told[0].version_uid
            assert list(transaction.approvals.of_version(uid, sequences[0] - 1)) == []
            for one, sequence in zip(told[:3], sequences, strict=False):
                assert list(transaction.approvals.of_version(uid, sequence)) == [one]
            assert list(transaction.approvals.of_version(uid)) == [told[2], told[3]]
            assert list(transaction.approvals.of_version(uid, sequences[3])) == [told[2], told[3]]
        assert [self._shown(desk, seconds) for seconds in (0, 1, 2, 3)] == [
            "pending",
            "approved",
            "rejected",
            "pending",
        ]

    def test_a_withdrawal_and_a_use_are_of_their_moment(self, desk: Desk) -> None:
        desk.policy("gate", RISK)
        asked = desk.request().standing.approval
        withdrawn = desk.withdraw(asked.id)
        with desk.database.reading() as transaction:
            (before,) = transaction.approvals.of_version(asked.version_uid, withdrawn.sequence - 1)
            (after,) = transaction.approvals.of_version(asked.version_uid, withdrawn.sequence)
        assert (before, after) == (asked, withdrawn.standing.approval)

    @staticmethod
    def _shown(desk: Desk, seconds: int) -> str:
        summary = desk.history.get(desk.ref(), at(seconds)).version.approval
        return summary.status.value if summary else ""


class TestLists:
    @pytest.fixture
    def asked(self, desk: Desk) -> Mapping[str, StandingApproval]:
        desk.policy("gate", ApprovalRule((ApproverRequirement("risk"), ApproverRequirement("risk-officer"))))
        other = desk.add_model("fraud")
        found = {
            "pending": desk.request().standing,
            "rejected": desk.request(2).standing,
            "other": desk.request(model=other).standing,
        }
        desk.decide(found["pending"].approval.id, "ann", "risk")
        desk.decide(found["rejected"].approval.id, "ann", "risk", is_approval=False)
        return found

    @pytest.mark.usefixtures("asked")
    def test_they_are_chosen_by_model_version_role_and_openness(self, desk: Desk) -> None:
        pending, rejected = ApprovalStatus.PENDING, ApprovalStatus.REJECTED
        assert desk.list() == [(1, pending), (2, rejected), (1, pending)]
        assert desk.list(model="credit") == [(2, rejected), (1, pending)]
        assert desk.list(model="credit", number=2) == [(2, rejected)]
        assert desk.list(is_open_only=True) == [(1, pending), (1, pending)]
        assert desk.list(awaiting_role="risk") == [(1, pending)]
        assert desk.list(awaiting_role="risk-officer", model="credit") == [(1, pending)]
        assert desk.list(awaiting_role="officer") == []
        assert desk.list(readable=(NamePattern("fra*"),)) == [(1, pending)]
        assert desk.list(readable=()) == []

    def test_pages_follow_one_another(self, desk: Desk, asked: Mapping[str, StandingApproval]) -> None:
        found: list[str] = []
        before = 0
        while page := desk.approvals.list(ApprovalFilter("default"), before=before, limit=1):
            found.append(page[0].approval.id)
            before = page[0].approval.sequence
        assert found == [asked[name].approval.id for name in ("other", "rejected", "pending")]

    @pytest.mark.usefixtures("asked")
    def test_a_tenant_has_its_own_and_one_that_is_not_there_none(self, desk: Desk) -> None:
        assert desk.approvals.list(ApprovalFilter("acme-corp"), before=0, limit=10) == []
        absent = refusal(lambda: desk.approvals.list(ApprovalFilter("nowhere"), before=0, limit=10))
        assert absent.reason is Reason.TENANT_NOT_FOUND


class TestSearch:
    def test_versions_are_found_by_where_their_latest_approval_stood(self, desk: Desk) -> None:
        def found(text: str) -> list[int]:
            searching = Searching(desk.database)
            asked = searching.read(SearchRequest("default", EVERY_NAME, filter=text))
            return sorted(one.version.number for one in searching.find(asked))

        desk.policy("gate", RISK)
        asked = desk.request().standing.approval
        assert found("approval = pending") == [1]
        desk.decide(asked.id, "ann")
        assert (found("approval = pending"), found("approval : approved")) == ([], [1])
        assert (found("approval = *"), found("approval != approved")) == ([1], [2])
        other = desk.request(target=CHAMPION).standing.approval
        desk.decide(asked.id, "ann", is_approval=False)
        assert (found("approval = pending"), found("approval = rejected")) == ([1], [])
        desk.withdraw(other.id)
        assert found("approval = withdrawn") == [1]


class TestReviews:
    def _comment(self, desk: Desk, text: str, number: int = 1, reply_to: str = "") -> Comment:
        return desk.run(lambda m: desk.reviews.comment(m, desk.ref(number), text, reply_to=reply_to))

    def _report(self, desk: Desk, name: str, outcome: CheckOutcome) -> CheckResult:
        return desk.run(lambda m: desk.reviews.report_check(m, desk.ref(), NewCheck(name, outcome)))

    def test_comments_are_found_by_version_and_period(self, desk: Desk) -> None:
        made = []
        for seconds, number in enumerate((1, 2, 1)):
            desk.clock.time = at(seconds)
            made.append(self._comment(desk, f"says {seconds}", number))

        def found(number: int = 0, before: int = 0, **period: object) -> list[Comment]:
            within = Period(**period)  # type: ignore[arg-type]
            key = desk.model.key
            return list(desk.reviews.comments(key, number=number, before=before, limit=10, period=within))

        assert found() == made[::-1]
        assert found(number=1) == [made[2], made[0]]
        assert found(before=made[2].sequence) == [made[1], made[0]]
        assert found(start=at(1)) == [made[2], made[1]]
        assert found(end=at(1)) == [made[0]]

    def test_an_answer_is_to_a_comment_on_the_same_version(self, desk: Desk) -> None:
        first = self._comment(desk, "is this right?")
        assert self._comment(desk, "yes", reply_to=first.id).reply_to == first.id
        refused = refusal(lambda: self._comment(desk, "yes", number=2, reply_to=first.id))
        assert (refused.reason, refused.metadata["comment_id"]) == (Reason.COMMENT_NOT_FOUND, first.id)

    def test_the_last_result_of_a_name_counts(self, desk: Desk) -> None:
        made = [self._report(desk, "scan", CheckOutcome.PASSED), self._report(desk, "load", CheckOutcome.PASSED)]
        made.append(self._report(desk, "scan", CheckOutcome.FAILED))
        with desk.database.reading() as transaction:
            uid = made[0].version_uid
            assert transaction.reviews.latest_checks(uid) == {"scan": made[2], "load": made[1]}
            before = transaction.reviews.latest_checks(uid, made[2].sequence - 1)
            assert before == {"scan": made[0], "load": made[1]}
        assert desk.reviews.checks(desk.ref(), before=0, limit=10) == made[::-1]
        assert desk.reviews.checks(desk.ref(), before=made[2].sequence, limit=1) == [made[1]]

    def test_a_result_about_other_files_counts_for_nothing(self, desk: Desk) -> None:
        made = self._report(desk, "scan", CheckOutcome.PASSED)
        other = ArtifactLink("s3://b/y", "", f"sha256:{'e' * 64}")
        with desk.database.writing() as transaction:
            transaction.versions.set_artifact(made.version_uid, other, Facts(), "f" * 64)
        with desk.database.reading() as transaction:
            assert transaction.reviews.latest_checks(made.version_uid) == {}
        assert desk.reviews.checks(desk.ref(), before=0, limit=10) == [made]


def _reason(call: Callable[[], object]) -> str:
    """What a call was refused with; empty: it was not."""
    try:
        call()
    except RegistrarError as exc:
        return exc.reason.value
    return ""
