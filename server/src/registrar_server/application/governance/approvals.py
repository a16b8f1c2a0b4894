"""Use cases about approvals: ask, decide, withdraw, look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from registrar_server.application.authorization import require_one_right, require_right
from registrar_server.application.governance.approval_standing import (
    StandingApproval,
    approvals_of_move,
    present_binding,
)
from registrar_server.application.governance.standing import failed_gates, policies_for, policy_not_met
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.clock import Clock, new_uid
from registrar_server.application.ports.database import ApprovalFilter, Change, Database, Transaction
from registrar_server.application.resolution import find_model, find_version, lock_model, require_tenant, require_usable
from registrar_server.domain.access import Caller, Right
from registrar_server.domain.approvals import (
    REGISTRY,
    Approval,
    ApprovalDecision,
    Decision,
    Requirements,
    approval_rule,
)
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.policies import FailedGate, MoveTarget, Policy
from registrar_server.domain.values import ByUid, ModelKey, VersionRef
from registrar_server.domain.versions import ModelVersion

_ASKING = (Right.REGISTER, Right.PROMOTE)


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """The approval that was asked for, what the version does not meet yet, approvals aside, and the last event."""

    standing: StandingApproval
    failed: Sequence[FailedGate]
    sequence: int


@dataclass(frozen=True, slots=True)
class ApprovalChanged:
    """An approval after a change, and the change's event."""

    standing: StandingApproval
    sequence: int


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """What DecideApproval asks for."""

    model: ModelKey
    approval_id: str
    role: str
    decision: Decision
    notes: str = ""


class Approvals:
    """Asks for approvals and takes decisions, each in one transaction under the model's lock."""

    def __init__(self, database: Database, mutations: Mutations, clock: Clock) -> None:
        self._database = database
        self._mutations = mutations
        self._clock = clock

    def request(
        self, mutation: Mutation[ApprovalRequested], ref: VersionRef, target: MoveTarget, *, comment: str
    ) -> bytes:
        """Ask for the approval of a move; where policies say so, the registry itself decides at once.

        APPROVAL_NOT_REQUIRED, APPROVAL_EXISTS, POLICY_NOT_MET, VERSION_NOT_READY, VERSION_DELETED.
        """
        require_one_right(mutation.caller, _ASKING, ref.model)

        def action(transaction: Transaction, now: datetime) -> ApprovalRequested:
            lock_model(transaction, ref.model)
            version = find_version(transaction, ref)
            require_usable(version)
            transaction.policies.hold()
            policies = policies_for(transaction, version, target)
            requirements = Requirements.of(policies)
            if requirements is None:
                raise _not_required(version, target)
            present = present_binding(transaction, version, target, policies)
            _require_none_counts(approvals_of_move(transaction, version.uid, target, present, now))
            failed = failed_gates(transaction, version, target, policies, now)
            _require_automatic_gates(version, target, policies, failed)
            asked = Approval(
                id=new_uid(),
                model=version.model,
                model_uid=version.model_uid,
                version_uid=version.uid,
                number=version.number,
                target=target,
                requested_by=mutation.caller.actor,
                request_time=now,
                comment=comment,
                binding=present,
                requirements=requirements,
            )
            change = _Recording(transaction, mutation.request_id, now)
            after = {"target": str(target), "policies": [str(policy.ref) for policy in policies]}
            sequence = change.record(asked, mutation.caller, "requested", comment, after)
            asked = replace(asked, sequence=sequence)
            if requirements.automatic:
                sequence = change.record(asked, _registry(version), "approved", _by_itself(requirements), {})
                asked = replace(asked, decisions=(_own_decision(requirements, now, sequence),))
            transaction.approvals.add(asked)
            return ApprovalRequested(StandingApproval.of(asked, present, now), failed, sequence)

        return self._mutations.run(mutation, action)

    def decide(self, mutation: Mutation[ApprovalChanged], wanted: DecisionRequest) -> bytes:
        """Approve or reject; what `Approval.decided` refuses, and APPROVAL_NOT_FOUND."""
        caller = mutation.caller

        def action(transaction: Transaction, now: datetime) -> ApprovalChanged:
            lock_model(transaction, wanted.model)
            approval, version = _find(transaction, wanted.model, wanted.approval_id)
            transaction.policies.hold()
            present = present_binding(transaction, version, approval.target)
            decision = ApprovalDecision(caller.actor, wanted.role, wanted.decision, wanted.notes, now, caller.method)
            decided = approval.decided(decision, author=version.created_by, present=present)
            what = "approved" if wanted.decision is Decision.APPROVE else "rejected"
            change = _Recording(transaction, mutation.request_id, now)
            after = {"status": decided.stored_status.value, "role": wanted.role, "method": caller.method}
            sequence = change.record(approval, caller, what, wanted.notes, after)
            decision = replace(decision, sequence=sequence)
            transaction.approvals.add_decision(approval.id, decision)
            decided = replace(decided, decisions=(*approval.decisions, decision))
            return ApprovalChanged(StandingApproval.of(decided, present, now), sequence)

        return self._mutations.run(mutation, action)

    def withdraw(self, mutation: Mutation[ApprovalChanged], key: ModelKey, approval_id: str, *, comment: str) -> bytes:
        """Take a request back: whoever made it may, and who administers the model.

        Also one that no longer counts, so that it is no longer listed as open. APPROVAL_NOT_FOUND, APPROVAL_CLOSED.
        """

        def action(transaction: Transaction, now: datetime) -> ApprovalChanged:
            lock_model(transaction, key)
            approval, version = _find(transaction, key, approval_id)
            if mutation.caller.actor != approval.requested_by:
                require_right(mutation.caller, Right.ADMINISTER, key)
            if not approval.is_open:
                raise approval.closed(approval.stored_status)
            change = _Recording(transaction, mutation.request_id, now)
            before = {"status": approval.stored_status.value}
            sequence = change.record(approval, mutation.caller, "withdrawn", comment, {}, before)
            transaction.approvals.withdraw(approval.id, sequence)
            withdrawn = replace(approval, withdrawn_sequence=sequence)
            present = present_binding(transaction, version, approval.target)
            return ApprovalChanged(StandingApproval.of(withdrawn, present, now), sequence)

        return self._mutations.run(mutation, action)

    def get(self, key: ModelKey, approval_id: str) -> StandingApproval:
        """An approval of a model, as it stands. APPROVAL_NOT_FOUND."""
        with self._database.reading() as transaction:
            find_model(transaction, key)
            approval, version = _find(transaction, key, approval_id)
            present = present_binding(transaction, version, approval.target)
            return StandingApproval.of(approval, present, self._clock.now())

    def list(self, wanted: ApprovalFilter, *, before: int, limit: int) -> Sequence[StandingApproval]:
        """Approvals of a tenant, as they stand, the newest first, sequences below `before` only. TENANT_NOT_FOUND."""
        now = self._clock.now()
        with self._database.reading() as transaction:
            found = transaction.approvals.list(wanted, before=before, limit=limit)
            if not found:
                require_tenant(transaction, wanted.tenant)
            in_force = transaction.policies.in_force(wanted.tenant) if any(one.is_open for one in found) else ()
            return [_standing(transaction, one, in_force, now) for one in found]


@dataclass(frozen=True, slots=True)
class _Recording:
    """Writes down what happens to approvals."""

    transaction: Transaction
    request_id: str
    time: datetime

    def record(
        self,
        approval: Approval,
        caller: Caller,
        what: str,
        comment: str,
        after: Mapping[str, object],
        before: Mapping[str, object] | None = None,
    ) -> int:
        """The sequence of the event."""
        change = Change(
            action=f"approval.{what}",
            caller=caller,
            time=self.time,
            model=approval.model,
            model_uid=approval.model_uid,
            version_uid=approval.version_uid,
            number=approval.number,
            alias=approval.target.alias,
            comment=comment,
            before=before,
            after={"approval_id": approval.id, **after},
            request_id=self.request_id,
            is_mirrored=False,
        )
        return self.transaction.journal.record(change)


def _find(transaction: Transaction, key: ModelKey, approval_id: str) -> tuple[Approval, ModelVersion]:
    model = find_model(transaction, key)
    approval = transaction.approvals.get(model.uid, approval_id)
    if approval is None:
        raise RegistrarError(
            Reason.APPROVAL_NOT_FOUND,
            f"{key.name} has no approval {approval_id}",
            metadata={"approval_id": approval_id},
        )
    return approval, find_version(transaction, VersionRef(key, ByUid(approval.version_uid)))


def _standing(
    transaction: Transaction, approval: Approval, in_force: Sequence[Policy], now: datetime
) -> StandingApproval:
    """What ended needs no look at what is bound now."""
    if not approval.is_open:
        return StandingApproval(approval, approval.stored_status)
    version = find_version(transaction, VersionRef(approval.model, ByUid(approval.version_uid)))
    return StandingApproval.of(approval, present_binding(transaction, version, approval.target, in_force), now)


def _require_none_counts(asked: Sequence[StandingApproval]) -> None:
    counting = next((one for one in asked if one.counts), None)
    if counting is not None:
        raise RegistrarError(
            Reason.APPROVAL_EXISTS,
            f"approval {counting.approval.id} of this move is {counting.status.name}",
            metadata={"approval_id": counting.approval.id},
        )


def _require_automatic_gates(
    version: ModelVersion, target: MoveTarget, policies: Sequence[Policy], failed: Sequence[FailedGate]
) -> None:
    """The registry approves by itself only what passes: all gates, or its own policies' where people are asked, too."""
    rules = [(policy.ref, rule) for policy in policies if (rule := approval_rule(policy)) is not None]
    automatic = {ref for ref, rule in rules if rule.is_automatic}
    are_people_asked = any(rule.approvers for _, rule in rules)
    hindering = [gate for gate in failed if gate.policy in automatic or not are_people_asked]
    if automatic and hindering:
        raise policy_not_met(version, target, hindering)


def _registry(version: ModelVersion) -> Caller:
    return Caller(REGISTRY, version.model.tenant)


def _by_itself(requirements: Requirements) -> str:
    return f"as {', '.join(requirements.automatic)} says"


def _own_decision(requirements: Requirements, now: datetime, sequence: int) -> ApprovalDecision:
    return ApprovalDecision(REGISTRY, "", Decision.APPROVE, _by_itself(requirements), now, "none", sequence)


def _not_required(version: ModelVersion, target: MoveTarget) -> RegistrarError:
    return RegistrarError(
        Reason.APPROVAL_NOT_REQUIRED,
        f"no policy asks for an approval of version {version.number} of {version.model.name} for {target}",
        metadata={"model": version.model.name, "version": str(version.number)},
    )
