"""What the registry answers. All of it is frozen; times are aware datetimes in UTC; sizes are in bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from registrar.policy_types import FailedGate
from registrar.reference import ModelRef, VersionRef
from registrar.values import (
    ApprovalStatus,
    ArtifactKind,
    BundleFile,
    Documentation,
    MetricGoal,
    MetricSlice,
    Parameter,
    Provenance,
    RiskAssessment,
    Signature,
    SignatureChange,
    Stage,
    TransitionKind,
    VersionState,
)


@dataclass(frozen=True, slots=True)
class Model:
    """A named line of versions."""

    tenant: str
    name: str
    uid: str
    description: str
    tags: Mapping[str, str]
    metric_goals: Mapping[str, MetricGoal]
    latest_version: int | None
    production_version: int | None
    staging_version: int | None
    aliases: Mapping[str, int]
    created_by: str
    create_time: datetime
    update_time: datetime
    etag: str
    delete_time: datetime | None
    purge_time: datetime | None

    @property
    def ref(self) -> ModelRef:
        """A reference to this model."""
        return ModelRef(self.name, self.tenant)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ApprovalSummary:
    """The latest approval of a version in short, as of its last decision; `approval` says whether it still counts."""

    status: ApprovalStatus
    approved_by: Sequence[str]
    approval_time: datetime | None
    notes: str
    approval_id: str


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One trained model with what is known about it. `version` is 0 until it is READY; `uid` is known at once."""

    tenant: str
    name: str
    version: int
    uid: str
    state: VersionState
    failure: str
    stage: Stage
    stage_time: datetime | None
    aliases: Sequence[str]
    semantic_version: str
    description: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    metric_slices: Sequence[MetricSlice]
    parameters: Mapping[str, Parameter]
    artifact_id: str
    artifact_uri: str
    artifact_kind: ArtifactKind
    manifest_digest: str
    signature: Signature | None
    flavors: Sequence[str]
    provenance: Provenance
    risk: RiskAssessment
    documentation: Documentation
    drift_monitor_id: str
    deprecation_note: str
    approval: ApprovalSummary | None
    created_by: str
    create_time: datetime
    update_time: datetime
    etag: str
    delete_time: datetime | None
    purge_time: datetime | None
    advice: RegistrationAdvice | None = field(default=None, compare=False)
    """Set by `push` and `register`, when there is any."""
    as_of: AsOf | None = None
    """Set when it was asked for as of a moment: `stage`, `stage_time` and `aliases` are those of then."""

    @property
    def ref(self) -> VersionRef:
        """A reference to exactly this version: by number, or by uid while it has none."""
        model = ModelRef(self.name, self.tenant)
        return VersionRef(model, version=self.version) if self.version else VersionRef(model, uid=self.uid)

    def __str__(self) -> str:
        return f"{self.name}/{self.version}" if self.version else f"{self.name}#{self.uid}"


@dataclass(frozen=True, slots=True)
class RegistrationAdvice:
    """What the registry says of a registration, beyond whether it is allowed.

    `suggested_semantic_version` follows from how the signature differs from that of the version number `compared_with`,
    which has the highest semantic version; None: no version has one. Empty: nothing can be said. `missing_recommended`:
    paths of metadata that the tenant's schema recommends.
    """

    suggested_semantic_version: str = ""
    signature_changes: Sequence[SignatureChange] = ()
    compared_with: int | None = None
    missing_recommended: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Artifact:
    """A committed bundle: its bytes are verified and never change."""

    id: str
    tenant: str
    model_name: str
    manifest_digest: str
    uri: str
    size_bytes: int
    file_count: int
    created_by: str
    create_time: datetime
    verify_time: datetime | None


@dataclass(frozen=True, slots=True)
class DownloadUrl:
    """Where to read one file straight from the store, by HTTP GET. Compare what comes with the file's size and SHA-256.

    The URL is a secret until `expire_time`, so it is not shown.
    """

    file: BundleFile
    url: str = field(repr=False)
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """What the store has under a file's name. An empty `stored_sha256`: nothing, or nothing that can be read."""

    file: BundleFile
    is_intact: bool
    stored_sha256: str
    stored_size_bytes: int


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One change of an alias; None stands for not existing, before or after.

    `is_break_glass`: it was made against a policy, in an emergency. `approval_id`: the approval that it used; empty: none.
    """

    alias: str
    from_version: int | None
    to_version: int | None
    actor: str
    comment: str
    move_time: datetime
    event_sequence: int
    is_break_glass: bool = False
    approval_id: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """One move of a version from stage to stage. `caused_by_version` moved it, when another's move did.

    `is_break_glass`: it was made against a policy, in an emergency. `approval_id`: the approval that it used; empty: none.
    """

    version: int
    from_stage: Stage
    to_stage: Stage
    kind: TransitionKind
    actor: str
    comment: str
    transition_time: datetime
    caused_by_version: int | None
    event_sequence: int
    is_break_glass: bool = False
    approval_id: str = ""


@dataclass(frozen=True, slots=True)
class AsOf:
    """A moment in the past, and who made things so by then.

    `transition` brought the version into its stage, None: it had not moved yet; `alias_move` made the alias point at it,
    None: it was not asked for by an alias.
    """

    time: datetime
    transition: Transition | None
    alias_move: AliasMove | None


@dataclass(frozen=True, slots=True)
class Promotion:
    """Outcome of a promotion or rollback: the version after it, and those that it took out of the stage.

    `overridden_gates`: with `break_glass`, the demands of policies that did not hold.
    """

    version: ModelVersion
    displaced: Sequence[ModelVersion]
    event_sequence: int
    overridden_gates: Sequence[FailedGate] = ()


@dataclass(frozen=True, slots=True)
class AliasPointing:
    """Outcome of pointing an alias at a version: the version after it, and where the alias pointed (None: nowhere).

    `overridden_gates`: with `break_glass`, the demands of policies that did not hold.
    """

    version: ModelVersion
    previous_version: int | None
    event_sequence: int
    overridden_gates: Sequence[FailedGate] = ()


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A version's value of a metric, and the difference to the first compared version's where that has one."""

    version: int
    value: float
    delta: float | None


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One metric of the compared versions side by side. `slice_dimension` is empty for the whole data."""

    metric: str
    slice_dimension: str
    slice_value: str
    slice_dataset: str
    goal: MetricGoal | None
    is_goal_guessed: bool
    values: Sequence[MetricValue]
    winners: Sequence[int]


@dataclass(frozen=True, slots=True)
class ComparedVersion:
    """One version in a comparison."""

    version: int
    stage: Stage
    metrics: Mapping[str, float]
    metric_slices: Sequence[MetricSlice]
    parameters: Mapping[str, Parameter]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Versions of one model side by side; the first is what the others are measured against."""

    versions: Sequence[ComparedVersion]
    metrics: Sequence[MetricComparison]
    recommendation: str
    recommended_version: int | None
    as_of_time: datetime | None = None
    """The moment in the past that was asked about."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds that a request must keep."""

    message_bytes: int
    chunk_bytes: int
    metadata_bytes: int
    bundle_files: int
    transfer_slots: int
    tags: int
    metrics: int
    description_characters: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Who the server takes the caller for."""

    actor: str
    tenant: str
    roles: Sequence[str]


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """How far MLflow follows: every event up to `mirrored_sequence` is there."""

    event_sequence: int
    mirrored_sequence: int
    pending_models: int


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """How far the cache of the process that answered follows: every event up to `event_sequence`, `behind` ago."""

    entries: int
    event_sequence: int
    behind: timedelta
    is_degraded: bool


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What the server is and allows. A `cache_ttl` of zero: nothing is cached."""

    server_version: str
    features: Sequence[str]
    digest_functions: Sequence[str]
    limits: Limits
    bulk_endpoint: str
    caller: Caller
    mirror: MirrorStatus
    cache_ttl: timedelta
    artifact_root: str
    cache: CacheStatus
