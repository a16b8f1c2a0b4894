"""Gates: whether a version meets the rules of a policy. Approvals are judged elsewhere.

Numbers are compared as they are written in decimal: 0.9 is not more than 0.01 better than 0.89.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from registrar_server.domain.cards import CardState
from registrar_server.domain.comparison import SliceKey, guess_goal
from registrar_server.domain.policies import (
    CardRule,
    CheckRule,
    FailedGate,
    GateType,
    MetricGate,
    Policy,
    PolicyRules,
    ProvenanceField,
    SignatureRule,
    SliceScope,
    SliceSelector,
)
from registrar_server.domain.reviews import CheckOutcome, CheckResult
from registrar_server.domain.semantic_versions import SemanticVersion
from registrar_server.domain.signatures import signature_changes
from registrar_server.domain.values import MetricGoal, Stage
from registrar_server.domain.versions import Dataset, Facts, ModelVersion, Provenance

FAILURES_NAMED = 20
"""Of what one metric gate finds wrong so much is named; how much more there is is said."""
_CHANGES_NAMED = 5
_WHOLE = SliceKey()

_Failure = tuple[GateType, str, str]
"""Kind, subject, description."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a version that wants to go somewhere. What no rule asks for may be left empty."""

    version: ModelVersion
    now: datetime
    holder: ModelVersion | None = None
    """Who is at the target now."""
    goals: Mapping[str, MetricGoal] = field(default_factory=dict)
    """What the model declares; other metrics are guessed by their names."""
    paths: Sequence[str] = ()
    card: CardState | None = None
    checks: Mapping[str, CheckResult] = field(default_factory=dict)
    """The last result of each name."""


def failed_gates_of(policy: Policy, evidence: Evidence) -> Sequence[FailedGate]:
    """What the version does not meet, in the order of the rules; empty: it passes."""
    return [
        FailedGate(kind, policy.ref, subject, description)
        for kind, subject, description in _failures(policy.rules, evidence)
    ]


def _failures(rules: PolicyRules, evidence: Evidence) -> Iterator[_Failure]:
    facts = evidence.version.facts
    if rules.from_stages and evidence.version.stage not in rules.from_stages:
        yield _stage(evidence.version.stage, rules.from_stages)
    if rules.is_risk_assessment_required:
        yield from _risk(facts)
    for gate in rules.metric_gates:
        yield from _metric(gate, evidence)
    yield from _files(rules.required_files, evidence.paths)
    if rules.card is not None:
        yield from _card(rules.card, evidence.card, evidence.now)
    yield from _provenance(rules.required_provenance, facts.provenance)
    if rules.signature is not None:
        yield from _signature(rules.signature, evidence.version, evidence.holder)
    yield from _checks(rules.checks, evidence)


def _stage(stage: Stage, allowed: Sequence[Stage]) -> _Failure:
    names = " or ".join(one.value for one in allowed)
    return GateType.FROM_STAGE, "from_stages", f"the version is in {stage.value}; it must come from {names}"


def _risk(facts: Facts) -> Iterator[_Failure]:
    if facts.risk_level is None:
        yield GateType.RISK, "risk/level", "the risk was not assessed; a level is demanded"
    if not facts.risk_assessment_id:
        yield GateType.RISK, "risk/assessment_id", "the risk assessment has no id; one is demanded"


def _metric(gate: MetricGate, evidence: Evidence) -> Iterator[_Failure]:
    measured = _measured(evidence.version.facts, gate.metric)
    chosen, missing = _chosen(gate, measured)
    yield from missing
    held = _held(gate, evidence.holder)
    failures = [failure for key in chosen for failure in _value(gate, key, measured[key], held.get(key), evidence)]
    yield from _named(gate, GateType.SLICE, failures)
    if gate.max_slice_gap is not None:
        of_slices = measured if gate.slices is SliceScope.WHOLE else chosen
        gaps = list(_gaps(gate, {key: measured[key] for key in of_slices if key != _WHOLE}))
        yield from _named(gate, GateType.SLICE_GAP, gaps)


def _named(gate: MetricGate, kind: GateType, failures: Sequence[_Failure]) -> Iterator[_Failure]:
    """So many as are named, and how many there are beyond."""
    yield from failures[:FAILURES_NAMED]
    left = len(failures) - FAILURES_NAMED
    if left > 0:
        yield kind, _subject(gate, _WHOLE), f"{gate.metric} fails {left} times more, on other slices"


def _held(gate: MetricGate, holder: ModelVersion | None) -> Mapping[SliceKey, float]:
    """What the holder has of the metric; nothing where the gate does not ask."""
    is_asked = gate.max_regression is not None or gate.max_relative_regression is not None
    return _measured(holder.facts, gate.metric) if holder is not None and is_asked else {}


def _measured(facts: Facts, metric: str) -> Mapping[SliceKey, float]:
    """Values of a metric by the part of the data, the whole first."""
    tables = [(_WHOLE, facts.metrics)]
    tables += [(SliceKey(part.dimension, part.value, part.dataset), part.metrics) for part in facts.metric_slices]
    return {key: table[metric] for key, table in tables if metric in table}


def _chosen(gate: MetricGate, measured: Mapping[SliceKey, float]) -> tuple[Sequence[SliceKey], Sequence[_Failure]]:
    """The parts of the data that a gate looks at, and what should have been measured and was not."""
    slices = [key for key in measured if key != _WHOLE]
    missing: list[_Failure] = []
    if gate.slices is SliceScope.NAMED:
        found = [(selector, [key for key in slices if _is_meant(selector, key)]) for selector in gate.named_slices]
        for selector, keys in found:
            if not keys:
                key = SliceKey(selector.dimension, selector.value, selector.dataset)
                missing.append((GateType.SLICE, _subject(gate, key), f"{_name(gate, key)} was not measured"))
        return list(dict.fromkeys(key for _, keys in found for key in keys)), missing
    if _WHOLE not in measured:
        missing.append((GateType.METRIC, _subject(gate, _WHOLE), f"{gate.metric} was not measured"))
    if gate.slices is SliceScope.EVERY:
        if not slices:
            missing.append((GateType.SLICE, _subject(gate, _WHOLE), f"{gate.metric} was measured on no slice"))
        return list(measured), missing
    return [key for key in measured if key == _WHOLE], missing


def _is_meant(selector: SliceSelector, key: SliceKey) -> bool:
    return (
        selector.dimension == key.dimension
        and selector.value in ("", key.value)
        and selector.dataset in ("", key.dataset)
    )


def _value(
    gate: MetricGate, key: SliceKey, value: float, present: float | None, evidence: Evidence
) -> Iterator[_Failure]:
    """What is wrong with a value on one part of the data; `present`: what the holder has there."""
    kind = GateType.METRIC if key == _WHOLE else GateType.SLICE
    subject, said = _subject(gate, key), f"{_name(gate, key)} is {value!r}"
    if gate.min is not None and value < gate.min:
        yield kind, subject, f"{said}; at least {gate.min!r} is demanded"
    if gate.max is not None and value > gate.max:
        yield kind, subject, f"{said}; at most {gate.max!r} is demanded"
    if evidence.holder is None or present is None:
        return
    goal = evidence.goals.get(gate.metric) or guess_goal(gate.metric)
    worse = _exact(present) - _exact(value) if goal is MetricGoal.MAXIMIZE else _exact(value) - _exact(present)
    held = f"{said}, {evidence.holder.number} has {present!r}"
    if gate.max_regression is not None and worse > _exact(gate.max_regression):
        yield GateType.REGRESSION, subject, f"{held}; at most {gate.max_regression!r} worse is allowed"
    share = gate.max_relative_regression
    if share is not None and worse > _exact(share) * abs(_exact(present)):
        yield GateType.REGRESSION, subject, f"{held}; at most {share!r} of that worse is allowed"


def _gaps(gate: MetricGate, measured: Mapping[SliceKey, float]) -> Iterator[_Failure]:
    """How far slices of one dimension and data set are apart, beyond what is allowed."""
    if gate.max_slice_gap is None:
        return
    if not measured:
        yield GateType.SLICE_GAP, _subject(gate, _WHOLE), f"{gate.metric} was measured on no slice"
    groups: dict[tuple[str, str], list[SliceKey]] = {}
    for key in measured:
        groups.setdefault((key.dimension, key.dataset), []).append(key)
    for (dimension, dataset), keys in sorted(groups.items()):
        low, high = (choose(keys, key=lambda one: measured[one]) for choose in (min, max))
        if _exact(measured[high]) - _exact(measured[low]) > _exact(gate.max_slice_gap):
            said = f"{gate.metric} is {measured[high]!r} on {_part(high)} and {measured[low]!r} on {_part(low)}"
            subject = _subject(gate, SliceKey(dimension, "", dataset))
            yield GateType.SLICE_GAP, subject, f"{said}; at most {gate.max_slice_gap!r} apart is allowed"


def _files(patterns: Sequence[str], paths: Sequence[str]) -> Iterator[_Failure]:
    known = frozenset(paths)
    for pattern in patterns:
        if pattern in known:
            continue
        # `[` means nothing special here.
        wanted = re.compile(fnmatch.translate(pattern.replace("[", "[[]")))
        if not any(map(wanted.match, paths)):
            yield GateType.FILE, f"files/{pattern}", f"no file matches {pattern}"


def _card(rule: CardRule, card: CardState | None, now: datetime) -> Iterator[_Failure]:
    if card is None:
        yield GateType.CARD, "card", "there is no model card"
        return
    for section in rule.required_sections:
        if section not in card.sections:
            yield GateType.CARD, f"card/{section.value}", f"the model card says nothing in {section.value}"
    if rule.max_age is not None and now - card.time > rule.max_age:
        said = f"revision {card.revision} of the model card is {_text(now - card.time)} old"
        yield GateType.CARD, "card/age", f"{said}; at most {_text(rule.max_age)} is allowed"
    if rule.is_author_required and card.is_prefilled:
        yield GateType.CARD, "card/author", "nobody has written the model card; the registry prefilled it"


def _text(age: timedelta) -> str:
    """In days, hours, minutes and seconds."""
    return str(age).partition(".")[0]


def _provenance(wanted: Iterable[ProvenanceField], provenance: Provenance) -> Iterator[_Failure]:
    for one in wanted:
        if not _is_known(one, provenance):
            yield GateType.PROVENANCE, f"provenance/{one.value}", _UNKNOWN[one]


def _is_known(wanted: ProvenanceField, provenance: Provenance) -> bool:
    match wanted:
        case ProvenanceField.CLEAN_GIT_COMMIT:
            return bool(provenance.git_commit) and provenance.is_git_dirty is False
        case ProvenanceField.TRAINING_DATA:
            return _have_digests(provenance.training_data)
        case ProvenanceField.VALIDATION_DATA:
            return _have_digests(provenance.validation_data)
        case _:
            return bool(getattr(provenance, wanted.value))


def _have_digests(datasets: Sequence[Dataset]) -> bool:
    return bool(datasets) and all(data.digest for data in datasets)


_UNKNOWN: Mapping[ProvenanceField, str] = {
    ProvenanceField.RUN_ID: "no MLflow run was named",
    ProvenanceField.GIT_COMMIT: "the commit of the training code is not known",
    ProvenanceField.CLEAN_GIT_COMMIT: "it is not known that it was made from a commit without other changes",
    ProvenanceField.GIT_REPOSITORY: "the repository of the training code is not known",
    ProvenanceField.CI_BUILD: "the CI build is not known",
    ProvenanceField.IMAGE: "the container image is not known",
    ProvenanceField.LOCK_DIGEST: "the digest of the lock file is not known",
    ProvenanceField.TRAINING_DATA: "the training data is not known, each with a digest",
    ProvenanceField.VALIDATION_DATA: "the validation data is not known, each with a digest",
    ProvenanceField.PARENT: "the version that it was made from is not known",
    ProvenanceField.PREPROCESSING: "what was done to the data is not known",
}


def _signature(rule: SignatureRule, version: ModelVersion, holder: ModelVersion | None) -> Iterator[_Failure]:
    signature = version.facts.signature
    if rule.is_required and signature is None:
        yield GateType.SIGNATURE, "signature", "the version has no signature"
    if not rule.is_compatible or holder is None or holder.facts.signature is None or _is_major(version, holder):
        return
    changes = signature_changes(holder.facts.signature, signature)
    breaking = [change.description for change in changes if change.is_breaking]
    if breaking:
        more = f", and {len(breaking) - _CHANGES_NAMED} more" if len(breaking) > _CHANGES_NAMED else ""
        listed = "; ".join(breaking[:_CHANGES_NAMED]) + more
        said = f"the signature breaks callers of version {holder.number} under the same major version: {listed}"
        yield GateType.SIGNATURE, "signature/compatibility", said


def _is_major(version: ModelVersion, holder: ModelVersion) -> bool:
    """Whether the major number says that callers must look."""
    new, old = version.facts.semantic_version, holder.facts.semantic_version
    return bool(new and old) and SemanticVersion.parse(new).major > SemanticVersion.parse(old).major


def _checks(rules: Sequence[CheckRule], evidence: Evidence) -> Iterator[_Failure]:
    for rule in rules:
        result = evidence.checks.get(rule.name)
        if result is None:
            if not rule.is_only_if_reported:
                yield GateType.CHECK, f"checks/{rule.name}", f"check {rule.name} was not reported"
        elif result.outcome is not CheckOutcome.PASSED:
            yield GateType.CHECK, f"checks/{rule.name}", f"check {rule.name} has {result.outcome.value}"


def _exact(value: float) -> Decimal:
    """The number as it is written."""
    return Decimal(repr(value))


def _part(key: SliceKey) -> str:
    """A slice for people."""
    part = f"{key.dimension}={key.value}" if key.value else key.dimension
    return f"{part}@{key.dataset}" if key.dataset else part


def _subject(gate: MetricGate, key: SliceKey) -> str:
    return f"metrics/{gate.metric}" if key == _WHOLE else f"metrics/{gate.metric}/{_part(key)}"


def _name(gate: MetricGate, key: SliceKey) -> str:
    return gate.metric if key == _WHOLE else f"{gate.metric} on {_part(key)}"
