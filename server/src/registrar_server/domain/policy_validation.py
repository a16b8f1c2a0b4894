"""Whether a policy that somebody wrote can be one. Limits are those of `protos/registrar/v1/policy.proto`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

from registrar_server.domain import limits
from registrar_server.domain.access import ALIAS_PATTERN, MODEL_PATTERN, NamePattern
from registrar_server.domain.policies import (
    APPROVER_ROLE,
    CHECK_NAME,
    POLICY_NAME,
    ApprovalRule,
    MetricGate,
    PolicyRules,
    PolicyScope,
    SliceScope,
)
from registrar_server.domain.policy_documents import write_document
from registrar_server.domain.validation import Checker

PATTERNS = 50
APPROVERS = 20
APPROVERS_OF_A_ROLE = 20
METRIC_GATES = 100
NAMED_SLICES = 100
REQUIRED_FILES = 100
CHECKS = 50
HOLDERS = 100
DOCUMENT_BYTES = 64 * 2**10
"""Scope and rules together, as they are stored: each change writes them into the audit."""
LONGEST = timedelta(days=3_653)

_NAME = "[a-z][a-z0-9-]{0,62}"


def check_policy_name(check: Checker, field: str, name: str) -> str:
    """A policy's name."""
    return check.pattern(field, name, POLICY_NAME, _NAME)


def check_scope(check: Checker, field: str, scope: PolicyScope) -> PolicyScope:
    """Which moves a policy is about: some target at least."""
    if not scope.target_stages and not scope.alias_patterns:
        check.fail(f"{field}.target_stages", "is required, or alias_patterns")
    _patterns(check, f"{field}.model_patterns", scope.model_patterns)
    _patterns(check, f"{field}.alias_patterns", scope.alias_patterns, is_of_aliases=True)
    check.unique(f"{field}.target_stages", scope.target_stages)
    check.unique(f"{field}.risk_levels", scope.risk_levels)
    return scope


def check_rules(check: Checker, field: str, rules: PolicyRules) -> PolicyRules:
    """What a policy demands."""
    if rules.approval is not None:
        _approval(check, f"{field}.approval", rules.approval)
    check.count(f"{field}.metric_gates", rules.metric_gates, METRIC_GATES)
    for index, gate in enumerate(rules.metric_gates):
        _gate(check, f"{field}.metric_gates[{index}]", gate)
    check.count(f"{field}.required_files", rules.required_files, REQUIRED_FILES)
    check.unique(f"{field}.required_files", rules.required_files)
    for index, path in enumerate(rules.required_files):
        check.text(f"{field}.required_files[{index}]", path, limits.PATH_BYTES, is_required=True)
    if rules.card is not None:
        check.unique(f"{field}.card.required_sections", rules.card.required_sections)
    check.unique(f"{field}.required_provenance", rules.required_provenance)
    check.unique(f"{field}.from_stages", rules.from_stages)
    if not 0 <= rules.max_holders <= HOLDERS:
        check.fail(f"{field}.max_holders", f"must be from 0 to {HOLDERS}")
    check.count(f"{field}.checks", rules.checks, CHECKS)
    check.unique(f"{field}.checks", [rule.name for rule in rules.checks])
    for index, rule in enumerate(rules.checks):
        check.pattern(f"{field}.checks[{index}].name", rule.name, CHECK_NAME, _NAME)
    return rules


def check_size(check: Checker, field: str, scope: PolicyScope, rules: PolicyRules) -> None:
    """A policy that is not too long to be kept whole in the audit."""
    size = len(write_document(scope, rules).encode(errors="replace"))
    if size > DOCUMENT_BYTES:
        check.fail(field, f"takes {size} bytes together with the scope, at most {DOCUMENT_BYTES} are allowed")


def check_duration(check: Checker, field: str, seconds: float) -> timedelta:
    """More than nothing, and at most ten years."""
    if not 1e-6 <= seconds <= LONGEST.total_seconds():
        check.fail(field, "must be more than 0 seconds, and at most 10 years")
        return LONGEST
    return timedelta(seconds=seconds)


def _patterns(check: Checker, field: str, patterns: Sequence[NamePattern], *, is_of_aliases: bool = False) -> None:
    check.count(field, patterns, PATTERNS)
    check.unique(field, patterns)
    pattern, noun = (ALIAS_PATTERN, "an alias") if is_of_aliases else (MODEL_PATTERN, "a model's name")
    for index, one in enumerate(patterns):
        check.pattern(f"{field}[{index}]", one.text, pattern, f"{noun}, or the beginning of one with * behind")


def _approval(check: Checker, field: str, rule: ApprovalRule) -> None:
    if rule.is_automatic and rule.approvers:
        check.fail(f"{field}.is_automatic", "excludes approvers")
    if not rule.is_automatic and not rule.approvers:
        check.fail(f"{field}.approvers", "is required, or is_automatic")
    check.count(f"{field}.approvers", rule.approvers, APPROVERS)
    check.unique(f"{field}.approvers", [one.role for one in rule.approvers])
    for index, one in enumerate(rule.approvers):
        at = f"{field}.approvers[{index}]"
        check.pattern(f"{at}.role", one.role, APPROVER_ROLE, _NAME)
        if not 0 < one.count <= APPROVERS_OF_A_ROLE:
            check.fail(f"{at}.count", f"must be from 1 to {APPROVERS_OF_A_ROLE}, or 0 for 1")


def _gate(check: Checker, field: str, gate: MetricGate) -> None:
    check.text(f"{field}.metric", gate.metric, limits.METRIC_NAME_CHARACTERS, is_required=True)
    for name in ("min", "max"):
        value: float | None = getattr(gate, name)
        if value is not None:
            check.finite(f"{field}.{name}", value)
    if gate.min is not None and gate.max is not None and gate.min > gate.max:
        check.fail(f"{field}.max", "must not be less than min")
    for name in ("max_regression", "max_relative_regression", "max_slice_gap"):
        allowed: float | None = getattr(gate, name)
        if allowed is not None and not 0 <= allowed < math.inf:
            check.fail(f"{field}.{name}", "must be a finite number, at least 0")
    _slices(check, field, gate)


def _slices(check: Checker, field: str, gate: MetricGate) -> None:
    if gate.slices is SliceScope.NAMED and not gate.named_slices:
        check.fail(f"{field}.named_slices", "is required with SLICE_SCOPE_NAMED")
    if gate.slices is not SliceScope.NAMED and gate.named_slices:
        check.fail(f"{field}.named_slices", "is for SLICE_SCOPE_NAMED only")
    check.count(f"{field}.named_slices", gate.named_slices, NAMED_SLICES)
    check.unique(f"{field}.named_slices", gate.named_slices)
    for index, selector in enumerate(gate.named_slices):
        at = f"{field}.named_slices[{index}]"
        check.text(f"{at}.dimension", selector.dimension, limits.LABEL_CHARACTERS, is_required=True)
        check.text(f"{at}.value", selector.value, limits.LABEL_CHARACTERS)
        check.text(f"{at}.dataset", selector.dataset, limits.LABEL_CHARACTERS)
