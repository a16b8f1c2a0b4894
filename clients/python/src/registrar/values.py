"""What callers say about a version: stages, parameters, slices, signatures, provenance, risk.

These go both ways: they are given to `push` and `register`, and come back on a `ModelVersion`. Limits are in the
contract (`registrar/v1/value.proto`); the server checks them and names every violation at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registrar.reference import VersionRef

Parameter = int | float | str | bool
"""A training parameter. Its Python type is kept: 200 stays an integer, 0.05 a double, True a truth value."""


class Stage(StrEnum):
    """Where a version stands in its life. A version is in exactly one."""

    NONE = "none"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


class VersionState(StrEnum):
    """Whether a version can be used."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class ArtifactKind(StrEnum):
    """Who answers for the bytes: this registry (bundle), or somebody else (external: unverified)."""

    BUNDLE = "bundle"
    EXTERNAL = "external"


class FileType(IntEnum):
    """What a file of a bundle is for. The numbers are the contract's and stand in the canonical manifest."""

    MODEL = 1
    PREPROCESSOR = 2
    TOKENIZER = 3
    CONFIG = 4
    METRICS = 5
    REQUIREMENTS = 6
    THRESHOLDS = 7
    EVALUATION = 8
    CARD = 9
    OTHER = 10


class MetricGoal(StrEnum):
    """Which direction of a metric is better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


class RiskLevel(StrEnum):
    """How much harm a wrong model could do."""

    LOW = "low"
    LIMITED = "limited"
    HIGH = "high"


class ApprovalStatus(StrEnum):
    """Where an approval stands. VOID: what it was given for is no longer so. USED: a move was made with it."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    VOID = "void"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    USED = "used"


class CardSection(StrEnum):
    """The nine sections of a model card (Mitchell et al., 2019, https://arxiv.org/abs/1810.03993), in their order."""

    MODEL_DETAILS = "model_details"
    INTENDED_USE = "intended_use"
    FACTORS = "factors"
    METRICS = "metrics"
    EVALUATION_DATA = "evaluation_data"
    TRAINING_DATA = "training_data"
    QUANTITATIVE_ANALYSES = "quantitative_analyses"
    ETHICAL_CONSIDERATIONS = "ethical_considerations"
    CAVEATS_AND_RECOMMENDATIONS = "caveats_and_recommendations"


class TransitionKind(StrEnum):
    """How a move from stage to stage came about."""

    REQUESTED = "requested"
    DISPLACED = "displaced"
    ROLLED_BACK_TO = "rolled_back_to"
    ROLLED_BACK_FROM = "rolled_back_from"


@dataclass(frozen=True, slots=True)
class MetricSlice:
    """Metrics on a part of the evaluation data: `MetricSlice("region", "eu", {"accuracy": 0.91})`."""

    dimension: str
    value: str
    metrics: Mapping[str, float]
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output. -1 in the shape stands for any size; an empty shape is a scalar or a table's column."""

    name: str
    dtype: str
    shape: Sequence[int] = ()
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives, in order."""

    inputs: Sequence[TensorSpec] = ()
    outputs: Sequence[TensorSpec] = ()


@dataclass(frozen=True, slots=True)
class SignatureChange:
    """One difference between two signatures: where (`inputs.amount`), what, and whether callers of the old one break."""

    place: str
    description: str
    is_breaking: bool


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data that a version was made or judged with. The digest has its function in front: `sha256:…`, `md5:…`."""

    name: str
    uri: str = ""
    digest: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Environment:
    """What the training ran in: container image, and digest of the lock file of the dependencies."""

    image: str = ""
    lock_digest: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a version comes from. It cannot change once the version is registered."""

    run_id: str = ""
    git_commit: str = ""
    is_git_dirty: bool | None = None
    git_repository: str = ""
    ci_build: str = ""
    environment: Environment | None = None
    training_data: Sequence[Dataset] = ()
    validation_data: Sequence[Dataset] = ()
    parent: VersionRef | None = None
    preprocessing: str = ""


@dataclass(frozen=True, slots=True)
class RiskAssessment:
    """Outcome of an assessment made elsewhere."""

    level: RiskLevel | None = None
    assessment_id: str = ""


@dataclass(frozen=True, slots=True)
class Documentation:
    """Documents kept elsewhere."""

    model_card_uri: str = ""
    datasheet_uri: str = ""


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file of a bundle: its path below the bundle's root, its size, and 64 lower-case hex digits of SHA-256."""

    path: str
    size_bytes: int
    sha256: str
    type: FileType = FileType.OTHER
