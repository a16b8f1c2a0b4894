"""Scope and rules of a policy as the text that is stored, digested and shown in the audit.

JSON with sorted keys and no white space, fields as in `protos/registrar/v1/policy.proto`; what is empty is left out. Equal
rules are equal text. Durations are seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from registrar_server.domain.access import NamePattern
from registrar_server.domain.canonical import canonical_json
from registrar_server.domain.cards import CardSection
from registrar_server.domain.policies import (
    ApprovalRule,
    ApproverRequirement,
    CardRule,
    CheckRule,
    MetricGate,
    PolicyRules,
    PolicyScope,
    ProvenanceField,
    SignatureRule,
    SliceScope,
    SliceSelector,
)
from registrar_server.domain.values import RiskLevel, Stage

_NOT_ASSESSED = "unspecified"


def write_document(scope: PolicyScope, rules: PolicyRules) -> str:
    """The text."""
    document = {"scope": _scope_document(scope), "rules": _rules_document(rules)}
    return canonical_json(document)


def read_document(text: str) -> tuple[PolicyScope, PolicyRules]:
    """The scope and the rules that `write_document` wrote."""
    document: dict[str, Any] = json.loads(text)
    return _read_scope(document["scope"]), _read_rules(document["rules"])


def _filled(document: Mapping[str, object]) -> dict[str, object]:
    """What says something. A limit of 0.0 does, and so does a rule without fields: any card will do."""
    return {key: value for key, value in document.items() if not (value is None or value is False or value in ("", []))}


def _scope_document(scope: PolicyScope) -> dict[str, object]:
    return _filled(
        {
            "model_patterns": [pattern.text for pattern in scope.model_patterns],
            "target_stages": [stage.value for stage in scope.target_stages],
            "alias_patterns": [pattern.text for pattern in scope.alias_patterns],
            "risk_levels": [_NOT_ASSESSED if level is None else level.value for level in scope.risk_levels],
            "includes_rollbacks": scope.is_with_rollbacks,
        }
    )


def _read_scope(document: Mapping[str, Any]) -> PolicyScope:
    return PolicyScope(
        model_patterns=tuple(map(NamePattern, document.get("model_patterns", ()))),
        target_stages=tuple(map(Stage, document.get("target_stages", ()))),
        alias_patterns=tuple(map(NamePattern, document.get("alias_patterns", ()))),
        risk_levels=tuple(
            None if level == _NOT_ASSESSED else RiskLevel(level) for level in document.get("risk_levels", ())
        ),
        is_with_rollbacks=document.get("includes_rollbacks", False),
    )


def _rules_document(rules: PolicyRules) -> dict[str, object]:
    return _filled(
        {
            "approval": rules.approval and _approval_document(rules.approval),
            "metric_gates": [_gate_document(gate) for gate in rules.metric_gates],
            "required_files": list(rules.required_files),
            "card": rules.card and _card_document(rules.card),
            "required_provenance": [field.value for field in rules.required_provenance],
            "signature": rules.signature
            and _filled(
                {"is_required": rules.signature.is_required, "must_be_compatible": rules.signature.is_compatible}
            ),
            "requires_risk_assessment": rules.is_risk_assessment_required,
            "from_stages": [stage.value for stage in rules.from_stages],
            "max_holders": rules.max_holders or None,
            "checks": [_filled({"name": c.name, "only_if_reported": c.is_only_if_reported}) for c in rules.checks],
        }
    )


def _read_rules(document: Mapping[str, Any]) -> PolicyRules:
    approval, card, signature = (document.get(name) for name in ("approval", "card", "signature"))
    return PolicyRules(
        approval=None if approval is None else _read_approval(approval),
        metric_gates=tuple(map(_read_gate, document.get("metric_gates", ()))),
        required_files=tuple(document.get("required_files", ())),
        card=None if card is None else _read_card(card),
        required_provenance=tuple(map(ProvenanceField, document.get("required_provenance", ()))),
        signature=None
        if signature is None
        else SignatureRule(signature.get("is_required", False), signature.get("must_be_compatible", False)),
        is_risk_assessment_required=document.get("requires_risk_assessment", False),
        from_stages=tuple(map(Stage, document.get("from_stages", ()))),
        max_holders=document.get("max_holders", 0),
        checks=tuple(CheckRule(c["name"], c.get("only_if_reported", False)) for c in document.get("checks", ())),
    )


def _approval_document(rule: ApprovalRule) -> dict[str, object]:
    return _filled(
        {
            "approvers": [{"role": one.role, "count": one.count} for one in rule.approvers],
            "is_ordered": rule.is_ordered,
            "requires_four_eyes": rule.is_four_eyes,
            "valid_for_seconds": _seconds(rule.valid_for),
            "is_automatic": rule.is_automatic,
            "people_only": rule.is_people_only,
        }
    )


def _read_approval(document: Mapping[str, Any]) -> ApprovalRule:
    return ApprovalRule(
        approvers=tuple(ApproverRequirement(one["role"], one["count"]) for one in document.get("approvers", ())),
        is_ordered=document.get("is_ordered", False),
        is_four_eyes=document.get("requires_four_eyes", False),
        valid_for=_duration(document.get("valid_for_seconds")),
        is_automatic=document.get("is_automatic", False),
        is_people_only=document.get("people_only", False),
    )


def _gate_document(gate: MetricGate) -> dict[str, object]:
    return _filled(
        {
            "metric": gate.metric,
            "min": gate.min,
            "max": gate.max,
            "max_regression": gate.max_regression,
            "max_relative_regression": gate.max_relative_regression,
            "slices": None if gate.slices is SliceScope.WHOLE else gate.slices.value,
            "named_slices": [_selector_document(selector) for selector in gate.named_slices],
            "max_slice_gap": gate.max_slice_gap,
        }
    )


def _read_gate(document: Mapping[str, Any]) -> MetricGate:
    return MetricGate(
        metric=document["metric"],
        min=document.get("min"),
        max=document.get("max"),
        max_regression=document.get("max_regression"),
        max_relative_regression=document.get("max_relative_regression"),
        slices=SliceScope(document.get("slices", SliceScope.WHOLE.value)),
        named_slices=tuple(_read_selectors(document.get("named_slices", ()))),
        max_slice_gap=document.get("max_slice_gap"),
    )


def _selector_document(selector: SliceSelector) -> dict[str, object]:
    return _filled({"dimension": selector.dimension, "value": selector.value, "dataset": selector.dataset})


def _read_selectors(documents: Sequence[Mapping[str, Any]]) -> Sequence[SliceSelector]:
    return [SliceSelector(**document) for document in documents]


def _card_document(rule: CardRule) -> dict[str, object]:
    return _filled(
        {
            "required_sections": [section.value for section in rule.required_sections],
            "max_age_seconds": _seconds(rule.max_age),
            "requires_author": rule.is_author_required,
        }
    )


def _read_card(document: Mapping[str, Any]) -> CardRule:
    return CardRule(
        required_sections=tuple(map(CardSection, document.get("required_sections", ()))),
        max_age=_duration(document.get("max_age_seconds")),
        is_author_required=document.get("requires_author", False),
    )


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
