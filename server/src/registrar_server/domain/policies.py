"""Policies: what must hold before a version goes to a stage, or an alias moves to it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from registrar_server.domain.access import NamePattern
from registrar_server.domain.canonical import canonical_json
from registrar_server.domain.cards import CardSection
from registrar_server.domain.errors import FailedPrecondition
from registrar_server.domain.values import RiskLevel, Stage

POLICY_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
APPROVER_ROLE = re.compile(r"[a-z][a-z0-9-]{0,62}")
CHECK_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


class SliceScope(StrEnum):
    """Which part of the evaluation data a gate looks at."""

    WHOLE = "whole"
    EVERY = "every"
    NAMED = "named"


class ProvenanceField(StrEnum):
    """Something that can be known of a version's origin."""

    RUN_ID = "run_id"
    GIT_COMMIT = "git_commit"
    CLEAN_GIT_COMMIT = "clean_git_commit"
    GIT_REPOSITORY = "git_repository"
    CI_BUILD = "ci_build"
    IMAGE = "image"
    LOCK_DIGEST = "lock_digest"
    TRAINING_DATA = "training_data"
    VALIDATION_DATA = "validation_data"
    PARENT = "parent"
    PREPROCESSING = "preprocessing"


class GateType(StrEnum):
    """What kind of demand a version does not meet."""

    APPROVAL = "APPROVAL"
    METRIC = "METRIC"
    REGRESSION = "REGRESSION"
    SLICE = "SLICE"
    SLICE_GAP = "SLICE_GAP"
    FILE = "FILE"
    CARD = "CARD"
    PROVENANCE = "PROVENANCE"
    SIGNATURE = "SIGNATURE"
    RISK = "RISK"
    FROM_STAGE = "FROM_STAGE"
    CHECK = "CHECK"


@dataclass(frozen=True, slots=True)
class MoveTarget:
    """Where a version goes: to a stage, or under an alias. Exactly one is given."""

    stage: Stage | None = None
    alias: str = ""

    def __str__(self) -> str:
        return f"alias {self.alias}" if self.stage is None else f"stage {self.stage.value}"


@dataclass(frozen=True, slots=True)
class PolicyScope:
    """Which moves a policy is about. Empty patterns and risk levels: all. In `risk_levels` None stands for not assessed."""

    model_patterns: tuple[NamePattern, ...] = ()
    target_stages: tuple[Stage, ...] = ()
    alias_patterns: tuple[NamePattern, ...] = ()
    risk_levels: tuple[RiskLevel | None, ...] = ()
    is_with_rollbacks: bool = False

    def covers_model(self, name: str) -> bool:
        """Whether a model matches."""
        return not self.model_patterns or any(pattern.matches(name) for pattern in self.model_patterns)

    def covers(self, name: str, target: MoveTarget, risk: RiskLevel | None, *, is_rollback: bool = False) -> bool:
        """Whether a move is meant."""
        if is_rollback and not self.is_with_rollbacks:
            return False
        if target.stage is not None:
            is_target_meant = target.stage in self.target_stages
        else:
            is_target_meant = any(pattern.matches(target.alias) for pattern in self.alias_patterns)
        return is_target_meant and self.covers_model(name) and (not self.risk_levels or risk in self.risk_levels)


@dataclass(frozen=True, slots=True)
class ApproverRequirement:
    """How many must approve in the name of a role."""

    role: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """Who must approve a move. `valid_for` None: until it is used."""

    approvers: tuple[ApproverRequirement, ...] = ()
    is_ordered: bool = False
    is_four_eyes: bool = False
    valid_for: timedelta | None = None
    is_automatic: bool = False
    is_people_only: bool = False


@dataclass(frozen=True, slots=True)
class SliceSelector:
    """Names slices; an empty value or data set is any."""

    dimension: str
    value: str = ""
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class MetricGate:
    """What a metric must be; None demands nothing."""

    metric: str
    min: float | None = None
    max: float | None = None
    max_regression: float | None = None
    max_relative_regression: float | None = None
    slices: SliceScope = SliceScope.WHOLE
    named_slices: tuple[SliceSelector, ...] = ()
    max_slice_gap: float | None = None


@dataclass(frozen=True, slots=True)
class CardRule:
    """What the model card must have; `max_age` None: any age."""

    required_sections: tuple[CardSection, ...] = ()
    max_age: timedelta | None = None
    is_author_required: bool = False


@dataclass(frozen=True, slots=True)
class SignatureRule:
    """What the signature must be."""

    is_required: bool = False
    is_compatible: bool = False


@dataclass(frozen=True, slots=True)
class CheckRule:
    """A check that must have passed."""

    name: str
    is_only_if_reported: bool = False


@dataclass(frozen=True, slots=True)
class PolicyRules:
    """What a policy demands; what is absent or empty demands nothing. `max_holders` 0: one."""

    approval: ApprovalRule | None = None
    metric_gates: tuple[MetricGate, ...] = ()
    required_files: tuple[str, ...] = ()
    card: CardRule | None = None
    required_provenance: tuple[ProvenanceField, ...] = ()
    signature: SignatureRule | None = None
    is_risk_assessment_required: bool = False
    from_stages: tuple[Stage, ...] = ()
    max_holders: int = 0
    checks: tuple[CheckRule, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """Names one revision of a policy, and what it says by its digest."""

    tenant: str
    name: str
    revision: int
    digest: str

    def __str__(self) -> str:
        return f"{self.name} revision {self.revision}"


@dataclass(frozen=True, slots=True)
class Policy:
    """One revision of a policy. `document` is scope and rules as they are stored: JSON, keys in order."""

    tenant: str
    name: str
    revision: int
    description: str
    scope: PolicyScope
    rules: PolicyRules
    document: str
    updated_by: str
    create_time: datetime
    update_time: datetime
    delete_time: datetime | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of what this revision says, with its name: `sha256:` and hex."""
        said = {"document": self.document, "name": self.name, "revision": self.revision, "tenant": self.tenant}
        text = canonical_json(said)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    @property
    def ref(self) -> PolicyRef:
        """Its name, revision and digest."""
        return PolicyRef(self.tenant, self.name, self.revision, self.digest)

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return f"p{self.revision}" if self.delete_time is None else f"p{self.revision}d"


@dataclass(frozen=True, slots=True)
class FailedGate:
    """One demand of a policy that a version does not meet."""

    type: GateType
    policy: PolicyRef
    subject: str
    """What it is about, within the policy: `metrics/f1`."""
    description: str

    @property
    def precondition(self) -> FailedPrecondition:
        """As errors carry it."""
        return FailedPrecondition(self.type.value, f"{self.policy.name}/{self.subject}", self.description)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the policies in force say of a move: what fails, and the approval that the move would use (empty: none)."""

    policies: Sequence[Policy] = ()
    failed: Sequence[FailedGate] = ()
    approval_id: str = ""
    max_holders: int = field(default=1)
