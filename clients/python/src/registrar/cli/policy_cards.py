"""How policies and their trials look to a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from registrar.access_types import EVERYWHERE
from registrar.amounts import moment
from registrar.cli.text import ago, columns, plain, shortened
from registrar.policy_types import (
    ApprovalRule,
    ApproverRequirement,
    CardRule,
    MetricGate,
    Policy,
    PolicyRules,
    PolicyScope,
    PolicyTest,
    PolicyTrial,
    SignatureRule,
    SliceScope,
    SliceSelector,
)

_WIDTH = 48
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def policies_table(policies: Sequence[Policy]) -> str:
    """One line a policy."""
    if not policies:
        return "There are no policies here. `registrar policy apply FILE` makes the first."
    rows = [("POLICY", "OF", "REVISION", "MODELS", "MOVES TO", "RISK", "CHANGED", "")]
    rows += [
        (
            policy.name,
            _where(policy.tenant),
            str(policy.revision),
            _models(policy.scope),
            _targets(policy.scope),
            _risks(policy.scope) or "any",
            ago(policy.update_time) if policy.update_time else "-",
            "deleted" if policy.delete_time else shortened(policy.description, _WIDTH),
        )
        for policy in policies
    ]
    return columns(rows, right=(2,))


def policy_card(policy: Policy) -> str:
    """What a policy is about, and a line for each thing that it demands."""
    facts = [
        ("models", _models(policy.scope)),
        ("moves to", _targets(policy.scope)),
        ("risk", _risks(policy.scope)),
        ("changed", _when(policy)),
        ("deleted", moment(policy.delete_time) if policy.delete_time else ""),
        ("digest", policy.digest),
    ]
    head = [f"{plain(policy.name)}  of {plain(_where(policy.tenant))}  revision {policy.revision}"]
    head += [plain(policy.description)] if policy.description else []
    demands = [f"  - {plain(demand)}" for demand in _demands(policy.rules)] or ["  nothing"]
    table = columns([(name, text) for name, text in facts if text], indent="  ")
    return "\n".join([*head, "", table, "", "It demands", *demands])


def changes(before: Policy, after: Policy) -> tuple[list[str], list[str]]:
    """Lines that a policy no longer says, and lines that it says now."""
    old, new = _said(before), _said(after)
    return [line for line in old if line not in new], [line for line in new if line not in old]


def revisions_card(policies: Sequence[Policy]) -> str:
    """What each revision changed, the newest first."""
    blocks = []
    for policy, before in zip(policies, [*policies[1:], None], strict=True):
        lines = [plain(f"revision {policy.revision}   {_when(policy)}")]
        if policy.delete_time:
            lines.append(f"  deleted {moment(policy.delete_time)}")
        gone, come = changes(before, policy) if before else ([], _said(policy))
        lines += change_lines(gone, come)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def change_lines(gone: Sequence[str], come: Sequence[str]) -> list[str]:
    """What goes, with a minus, and what comes, with a plus."""
    return [*(f"  - {plain(line)}" for line in gone), *(f"  + {plain(line)}" for line in come)]


def trials_card(test: PolicyTest) -> str:
    """A line for each version and target, and under it what is not met; the sum of it at the end."""
    if not test.trials:
        return "There is no version to test it with."
    lines = [line for trial in test.trials for line in _trial(trial)]
    covered = [trial for trial in test.trials if trial.is_covered]
    passing = sum(trial.passes for trial in covered)
    lines += ["", f"{passing} of {len(covered)} would pass."]
    return "\n".join(lines) + (" There are more versions than were looked at." if test.is_truncated else "")


def _trial(trial: PolicyTrial) -> Iterator[str]:
    target = str(trial.stage) if trial.stage is not None else f"@{trial.alias_pattern}"
    result = "not covered" if not trial.is_covered else "passes" if trial.passes else "does not pass"
    notes = ["was there"] if trial.was_there else []
    notes += [f"measured against {trial.compared_with}"] if trial.compared_with is not None else []
    yield plain(f"{trial.model}/{trial.version} → {target}: {result}" + (f" ({', '.join(notes)})" if notes else ""))
    for gate in trial.failed_gates:
        yield f"  - {plain(gate.description)}"


def _said(policy: Policy) -> list[str]:
    scope = policy.scope
    lines = [f"description: {policy.description}"] if policy.description else []
    lines += [f"models: {_models(scope)}", f"moves to: {_targets(scope)}", f"risk: {_risks(scope) or 'any'}"]
    return lines + list(_demands(policy.rules))


def _when(policy: Policy) -> str:
    if policy.update_time is None:
        return ""
    return f"{ago(policy.update_time)}   {moment(policy.update_time)}   by {policy.updated_by}"


def _where(tenant: str) -> str:
    return "all tenants" if tenant == EVERYWHERE else tenant


def _models(scope: PolicyScope) -> str:
    return ", ".join(scope.model_patterns) or "all"


def _targets(scope: PolicyScope) -> str:
    named = ", ".join([*scope.target_stages, *(f"@{pattern}" for pattern in scope.alias_patterns)])
    return f"{named}, rollbacks too" if scope.includes_rollbacks else named


def _risks(scope: PolicyScope) -> str:
    return ", ".join("not assessed" if level is None else level for level in scope.risk_levels)


def _demands(rules: PolicyRules) -> Iterator[str]:
    if rules.from_stages:
        yield f"it comes from {' or '.join(rules.from_stages)}"
    if rules.approval is not None:
        yield _approval(rules.approval)
    yield from map(_metric, rules.metric_gates)
    for pattern in rules.required_files:
        yield f"a file {pattern}"
    if rules.card is not None:
        yield _card(rules.card)
    if rules.required_provenance:
        yield f"known origin: {', '.join(rules.required_provenance)}"
    if rules.signature is not None:
        yield _signature(rules.signature)
    if rules.requires_risk_assessment:
        yield "an assessed risk"
    for check in rules.checks:
        yield f"check {check.name} passed" + (", where it was reported" if check.only_if_reported else "")
    if rules.max_holders:
        yield f"at most {rules.max_holders} at once"


def _approval(rule: ApprovalRule) -> str:
    parts = [f"approval by {approvers(rule.approvers, in_order=rule.is_ordered)}" if rule.approvers else "approval"]
    parts += ["given by the registry itself"] if rule.is_automatic else []
    parts += ["four eyes"] if rule.requires_four_eyes else []
    parts += ["people only"] if rule.people_only else []
    parts += [f"counts for {span(rule.valid_for)}"] if rule.valid_for is not None else []
    return "; ".join(parts)


def approvers(requirements: Sequence[ApproverRequirement], *, in_order: bool = False) -> str:
    """`risk-officer, 2 of ml-lead`."""
    named = [one.role if one.count == 1 else f"{one.count} of {one.role}" for one in requirements]
    return (", then " if in_order else ", ").join(named)


def _metric(gate: MetricGate) -> str:
    parts = [f"at least {gate.min!r}"] if gate.min is not None else []
    parts += [f"at most {gate.max!r}"] if gate.max is not None else []
    parts += [f"at most {gate.max_regression!r} worse than the holder's"] if gate.max_regression is not None else []
    if gate.max_relative_regression is not None:
        parts.append(f"at most {gate.max_relative_regression!r} of the holder's worse")
    if gate.slices is SliceScope.EVERY:
        parts.append("on every slice too")
    if gate.slices is SliceScope.NAMED:
        parts.append(f"on {', '.join(map(_slice, gate.named_slices))}")
    parts += [f"slices at most {gate.max_slice_gap!r} apart"] if gate.max_slice_gap is not None else []
    return f"{gate.metric} {'; '.join(parts) or 'measured'}"


def _slice(selector: SliceSelector) -> str:
    named = f"{selector.dimension}={selector.value or '*'}"
    return f"{named} ({selector.dataset})" if selector.dataset else named


def _card(rule: CardRule) -> str:
    parts = ["a model card" + (f" with {', '.join(rule.required_sections)}" if rule.required_sections else "")]
    parts += [f"at most {span(rule.max_age)} old"] if rule.max_age is not None else []
    parts += ["written by somebody"] if rule.requires_author else []
    return "; ".join(parts)


def _signature(rule: SignatureRule) -> str:
    if rule.must_be_compatible:
        kind = "a signature" if rule.is_required else "a signature, where there is one,"
        return f"{kind} that breaks no caller of the holder's"
    return "a signature" if rule.is_required else "any signature, or none"


def span(duration: timedelta) -> str:
    """`30 days`, `12 hours`."""
    seconds = duration.total_seconds()
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size and seconds % size == 0), (1, "second"))
    count = seconds / size
    return f"{count:g} {unit}{'' if count == 1 else 's'}"
