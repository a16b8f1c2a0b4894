"""Policies: what must hold before a version goes to a stage, or an alias moves to it. All of it is frozen.

Rules go both ways: they are given to `create_policy` and `update_policy`, and come back on a `Policy`. Limits are in the
contract (`registrar/v1/policy.proto`); the server checks them and names every violation at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from registrar.values import CardSection, RiskLevel, Stage


class SliceScope(StrEnum):
    """Which part of the evaluation data a gate looks at: the whole, the whole and every slice, or named slices."""

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


@dataclass(frozen=True, slots=True)
class PolicyScope:
    """Which moves a policy is about; at least one target is required.

    Patterns are names, or the beginning of names with `*` behind. Without model patterns: all models; without risk levels:
    all, and None among them stands for versions that were not assessed. `includes_rollbacks`: rollbacks to its stages too.
    """

    model_patterns: Sequence[str] = ()
    target_stages: Sequence[Stage] = ()
    alias_patterns: Sequence[str] = ()
    risk_levels: Sequence[RiskLevel | None] = ()
    includes_rollbacks: bool = False


@dataclass(frozen=True, slots=True)
class ApproverRequirement:
    """So many must approve in the name of a role. One person counts once in an approval."""

    role: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """Who must approve a move before it may be made.

    `is_ordered`: nobody decides before those named earlier have. `requires_four_eyes`: neither who registered the version
    nor who asks may decide. `valid_for`: how long it counts from its last decision; None: until it is used.
    `is_automatic`: the registry approves by itself as soon as all other gates pass. `people_only`: no API tokens.
    """

    approvers: Sequence[ApproverRequirement] = ()
    is_ordered: bool = False
    requires_four_eyes: bool = False
    valid_for: timedelta | None = None
    is_automatic: bool = False
    people_only: bool = False


@dataclass(frozen=True, slots=True)
class SliceSelector:
    """Names slices. Without a value: every value of the dimension; without a data set: whatever it is."""

    dimension: str
    value: str = ""
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class MetricGate:
    """What a metric must be. A version without the metric does not pass.

    `max_regression` is how much worse than the present holder's, in the metric's unit; `max_relative_regression` the same
    as a share of the holder's value (0.01 is one hundredth); `max_slice_gap` how far the best and the worst slice may be
    apart. None demands nothing. `named_slices` goes with NAMED.
    """

    metric: str
    min: float | None = None
    max: float | None = None
    max_regression: float | None = None
    max_relative_regression: float | None = None
    slices: SliceScope = SliceScope.WHOLE
    named_slices: Sequence[SliceSelector] = ()
    max_slice_gap: float | None = None


@dataclass(frozen=True, slots=True)
class CardRule:
    """What the model card must have: sections that say something, a last revision no older than that, a human author."""

    required_sections: Sequence[CardSection] = ()
    max_age: timedelta | None = None
    requires_author: bool = False


@dataclass(frozen=True, slots=True)
class SignatureRule:
    """Whether there must be a signature, and whether it must not break callers of the present holder's."""

    is_required: bool = False
    must_be_compatible: bool = False


@dataclass(frozen=True, slots=True)
class CheckRule:
    """A check that must have passed; `only_if_reported`: where somebody has reported one."""

    name: str
    only_if_reported: bool = False


@dataclass(frozen=True, slots=True)
class PolicyRules:
    """What a policy demands. A rule that is absent demands nothing.

    `required_files` are paths, or patterns with `*` and `?`, for each of which a file must match. `from_stages`: where it
    may come from; empty: as the state machine allows. `max_holders`: how many may hold a target stage at once; 0: one.
    """

    approval: ApprovalRule | None = None
    metric_gates: Sequence[MetricGate] = ()
    required_files: Sequence[str] = ()
    card: CardRule | None = None
    required_provenance: Sequence[ProvenanceField] = ()
    signature: SignatureRule | None = None
    requires_risk_assessment: bool = False
    from_stages: Sequence[Stage] = ()
    max_holders: int = 0
    checks: Sequence[CheckRule] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """What must hold before moves that its scope covers. All that cover a move hold together.

    Made by a caller, it is a draft: what comes after `rules` is filled in by the registry. `tenant` is where it holds, or
    EVERYWHERE. `revision` counts the changes, from 1; `digest` is the SHA-256 of what this one says, `sha256:` in front.
    """

    name: str
    scope: PolicyScope
    rules: PolicyRules
    description: str = ""
    tenant: str = ""
    revision: int = 0
    digest: str = ""
    etag: str = field(default="", repr=False)
    updated_by: str = ""
    create_time: datetime | None = None
    update_time: datetime | None = None
    delete_time: datetime | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> Policy:
        """Read what a JSON or YAML file says: see `registrar.policy_documents`. InvalidArgument names all that is wrong."""
        from registrar.policy_documents import policy_from_document

        return policy_from_document(document)

    def to_document(self) -> dict[str, object]:
        """What it says, as `from_document` reads it and grpcurl sends it: protobuf's JSON with the contract's names."""
        from registrar.policy_documents import policy_to_document

        return policy_to_document(self)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """One revision of a policy, by its number and the digest of what it says."""

    tenant: str
    name: str
    revision: int
    digest: str


@dataclass(frozen=True, slots=True)
class FailedGate:
    """One demand of a policy that a version does not meet.

    `type` is METRIC, REGRESSION, SLICE, SLICE_GAP, FILE, CARD, PROVENANCE, SIGNATURE, RISK, FROM_STAGE, CHECK or APPROVAL;
    `subject` what it is about within the policy (`metrics/f1`); `description` what is missing, with the values.
    """

    type: str
    policy: PolicyRef
    subject: str
    description: str


@dataclass(frozen=True, slots=True)
class PolicyTrial:
    """What a policy says of one version on its way to `stage`, or to aliases that match `alias_pattern`.

    `is_covered`: the policy is about it at all. `compared_with` is the version that it was measured against; None: none.
    """

    model: str
    version: int
    stage: Stage | None
    alias_pattern: str
    is_covered: bool
    failed_gates: Sequence[FailedGate]
    compared_with: int | None
    was_there: bool

    @property
    def passes(self) -> bool:
        """Whether the version would pass. Approvals are not asked for."""
        return not self.failed_gates


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """What came of testing a policy, one trial for each version and target. `is_truncated`: there were more versions."""

    trials: Sequence[PolicyTrial]
    is_truncated: bool
