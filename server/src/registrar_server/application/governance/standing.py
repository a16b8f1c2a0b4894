"""What the policies in force say of a move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from registrar_server.application.governance.approval_standing import approval_standing
from registrar_server.application.ports.database import Transaction
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.gates import Evidence, failed_gates_of
from registrar_server.domain.policies import FailedGate, MoveTarget, Policy, Standing
from registrar_server.domain.values import MetricGoal
from registrar_server.domain.versions import ModelVersion

OVERRIDDEN_NAMED = 200
"""So many of the gates that a move overrode stand in the audit; their count always does."""
_FILES_AT_ONCE = 5_000


def policies_for(
    transaction: Transaction, version: ModelVersion, target: MoveTarget, *, is_rollback: bool = False
) -> Sequence[Policy]:
    """The policies in force that cover a move of a version, by tenant and name."""
    return [
        policy
        for policy in transaction.policies.in_force(version.model.tenant)
        if policy.scope.covers(version.model.name, target, version.facts.risk_level, is_rollback=is_rollback)
    ]


def standing_of(
    transaction: Transaction, version: ModelVersion, target: MoveTarget, now: datetime, *, is_rollback: bool = False
) -> Standing:
    """All that fails, gates first, then approvals; nobody changes a policy until the transaction ends.

    For whoever makes the move in this transaction, with its model locked.
    """
    transaction.policies.hold()
    policies = policies_for(transaction, version, target, is_rollback=is_rollback)
    failed = list(failed_gates(transaction, version, target, policies, now))
    missing, approval_id = approval_standing(transaction, version, target, policies, now)
    said = [policy.rules.max_holders for policy in policies if policy.rules.max_holders]
    return Standing(policies, [*failed, *missing], approval_id, min(said, default=1))


def require_standing(
    transaction: Transaction,
    version: ModelVersion,
    target: MoveTarget,
    now: datetime,
    *,
    is_break_glass: bool,
    is_rollback: bool = False,
) -> Standing:
    """The standing of a move that may be made: POLICY_NOT_MET when something fails, unless the glass is broken."""
    standing = standing_of(transaction, version, target, now, is_rollback=is_rollback)
    if standing.failed and not is_break_glass:
        raise policy_not_met(version, target, standing.failed)
    return standing


def standing_document(standing: Standing, *, is_break_glass: bool) -> dict[str, object]:
    """What audit and event of a move say of it beyond the move itself."""
    document: dict[str, object] = {"approval_id": standing.approval_id} if standing.approval_id else {}
    if is_break_glass:
        named = standing.failed[:OVERRIDDEN_NAMED]
        document["break_glass"] = True
        document["overridden_count"] = len(standing.failed)
        document["overridden_gates"] = [
            f"{one.type.value} {one.policy.name}/{one.subject}: {one.description}" for one in named
        ]
    return document


def failed_gates(
    transaction: Transaction, version: ModelVersion, target: MoveTarget, policies: Sequence[Policy], now: datetime
) -> Sequence[FailedGate]:
    """What fails of the rules of some policies, approvals aside, measured against the present holder of the target."""
    if not policies:
        return []
    return failed_against(transaction, version, holder_of(transaction, version, target), policies, now)


def failed_against(
    transaction: Transaction,
    version: ModelVersion,
    holder: ModelVersion | None,
    policies: Sequence[Policy],
    now: datetime,
    goals: Mapping[str, MetricGoal] | None = None,
) -> Sequence[FailedGate]:
    """The same against a holder that is given. `goals` None: they are looked up. Only what rules ask for is read."""
    rules = [policy.rules for policy in policies]
    if goals is None:
        is_measured = any(rule.metric_gates for rule in rules)
        model = transaction.models.get(version.model) if is_measured else None
        goals = {} if model is None else model.metric_goals
    evidence = Evidence(
        version=version,
        holder=holder,
        goals=goals,
        paths=_paths(transaction, version) if any(rule.required_files for rule in rules) else (),
        card=transaction.cards.state(version.uid) if any(rule.card for rule in rules) else None,
        checks=transaction.reviews.latest_checks(version.uid) if any(rule.checks for rule in rules) else {},
        now=now,
    )
    return [failed for policy in policies for failed in failed_gates_of(policy, evidence)]


def holder_of(transaction: Transaction, version: ModelVersion, target: MoveTarget) -> ModelVersion | None:
    """The present holder of the target, the version itself aside; of several the one that came last."""
    if target.stage is None:
        held = transaction.aliases.get(version.model_uid, target.alias)
        found = None if held is None else transaction.versions.get_by_uid(held[0])
        return None if found is None or found.uid == version.uid else found
    holders = transaction.versions.holders(version.model_uid, target.stage)
    others = [holder for holder in holders if holder.uid != version.uid]
    return max(others, key=lambda holder: (holder.stage_time, holder.number), default=None)


def policy_not_met(version: ModelVersion, target: MoveTarget, failed: Sequence[FailedGate]) -> RegistrarError:
    """That policies demand what does not hold, with every gate that failed."""
    names = ", ".join(dict.fromkeys(gate.policy.name for gate in failed))
    listed = "; ".join(gate.description for gate in failed)
    where = {"alias": target.alias} if target.stage is None else {"stage": target.stage.value}
    return RegistrarError(
        Reason.POLICY_NOT_MET,
        f"version {version.number} of {version.model.name} cannot go to {target}, as {names} demands: {listed}",
        metadata={"policies": names, "model": version.model.name, "version": str(version.number), **where},
        preconditions=[gate.precondition for gate in failed],
    )


def _paths(transaction: Transaction, version: ModelVersion) -> Sequence[str]:
    """Paths of the files of a version; none of what this registry does not hold."""
    if not version.artifact.is_bundle:
        return ()
    paths: list[str] = []
    while True:
        after = paths[-1] if paths else ""
        files = transaction.bundles.files(version.artifact.bundle_uid, after=after, limit=_FILES_AT_ONCE)
        paths += [file.path for file in files]
        if len(files) < _FILES_AT_ONCE:
            return paths
