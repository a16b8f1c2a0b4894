"""A version: one trained model with what is known about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from registrar_server.domain.approvals import ApprovalSummary
from registrar_server.domain.values import ModelKey, Parameter, RiskLevel, Stage, VersionRef, VersionState


@dataclass(frozen=True, slots=True)
class MetricSlice:
    """Metrics of one part of the evaluation data."""

    dimension: str
    value: str
    dataset: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output; -1 in `shape` stands for any size."""

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data that a version was made or judged with."""

    name: str = ""
    uri: str = ""
    digest: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a version comes from."""

    run_id: str = ""
    git_commit: str = ""
    is_git_dirty: bool | None = None
    git_repository: str = ""
    ci_build: str = ""
    image: str = ""
    lock_digest: str = ""
    training_data: tuple[Dataset, ...] = ()
    validation_data: tuple[Dataset, ...] = ()
    parent: VersionRef | None = None
    preprocessing: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What can never change about a version."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    metric_slices: tuple[MetricSlice, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    signature: Signature | None = None
    flavors: tuple[str, ...] = ()
    semantic_version: str = ""
    provenance: Provenance = Provenance()
    risk_level: RiskLevel | None = None
    risk_assessment_id: str = ""


@dataclass(frozen=True, slots=True)
class Notes:
    """What people may change about a version."""

    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    deprecation_note: str = ""
    model_card_uri: str = ""
    datasheet_uri: str = ""
    drift_monitor_id: str = ""


@dataclass(frozen=True, slots=True)
class ArtifactLink:
    """What a version consists of. A bundle has an id and a digest; an external artifact only an address."""

    uri: str
    bundle_uid: str = ""
    manifest_digest: str = ""

    @property
    def is_bundle(self) -> bool:
        """Whether this registry holds and has verified the bytes."""
        return bool(self.bundle_uid)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version as it was at the time of reading."""

    uid: str
    model: ModelKey
    model_uid: str
    number: int
    """0 until the version is READY."""
    state: VersionState
    stage: Stage
    stage_time: datetime
    facts: Facts
    notes: Notes
    artifact: ArtifactLink
    run_id: str
    """Of the run that its metrics live on; empty until there is one."""
    revision: int
    created_by: str
    create_time: datetime
    update_time: datetime
    failure: str = ""
    failure_reason: str = ""
    aliases: tuple[str, ...] = ()
    delete_time: datetime | None = None
    purge_time: datetime | None = None
    approval: ApprovalSummary | None = None
    """Of the latest approval; None: there was none."""

    @property
    def etag(self) -> str:
        """Changes whenever `revision` does."""
        return str(self.revision)


def content_digest(manifest_digest: str, facts: Facts) -> str:
    """Identity of what a version says and holds: the bundle, its metrics, slices and parameters.

    Two registrations with equal content are the same model measured the same way; provenance is left out,
    because a CI job that runs twice has two build numbers.
    """
    document = {
        "manifest": manifest_digest,
        "metrics": dict(facts.metrics),
        "slices": sorted([s.dimension, s.value, s.dataset, sorted(s.metrics.items())] for s in facts.metric_slices),
        "parameters": {name: [type(value).__name__, value] for name, value in facts.parameters.items()},
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
